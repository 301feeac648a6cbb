//! The headers of every route, and what of a URL and of a request's headers is passed over. That every reply
//! has `x-request-id`, `openai-processing-ms` and `openai-version` is checked by the client itself.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{id, run_path};
use crate::support::{Reply, Scene, TestApp};

/// Every route and its methods.
const ROUTES: &[(&str, &[&str])] = &[
    ("/assistants", &["GET", "POST"]),
    ("/assistants/asst_x", &["GET", "POST", "DELETE"]),
    ("/threads", &["POST"]),
    ("/threads/thread_x", &["GET", "POST", "DELETE"]),
    ("/threads/thread_x/messages", &["GET", "POST"]),
    ("/threads/thread_x/messages/msg_x", &["GET", "POST", "DELETE"]),
    ("/threads/runs", &["POST"]),
    ("/threads/thread_x/runs", &["GET", "POST"]),
    ("/threads/thread_x/runs/run_x", &["GET", "POST"]),
    ("/threads/thread_x/runs/run_x/cancel", &["POST"]),
    ("/threads/thread_x/runs/run_x/submit_tool_outputs", &["POST"]),
    ("/threads/thread_x/runs/run_x/steps", &["GET"]),
    ("/threads/thread_x/runs/run_x/steps/step_x", &["GET"]),
];

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).expect("a method")
}

#[tokio::test]
async fn every_route_answers_every_method_with_the_headers_of_the_api() {
    let app = TestApp::start().await;
    for base in [app.url.clone(), format!("{}/v1", app.url)] {
        for client in [app.v1().with_base(&base), app.v2().with_base(&base)] {
            for (path, allowed) in ROUTES {
                for name in METHODS {
                    let answer = client.send(client.request(method(name), path)).await;
                    let reads = *name == "HEAD" && allowed.contains(&"GET");
                    let is_allowed = allowed.contains(name) || reads;
                    assert_eq!(answer.status != 405, is_allowed, "{name} {path}");
                    assert_eq!(answer.headers["content-type"], "application/json", "{name} {path}");
                    assert_eq!(answer.headers.contains_key("allow"), !is_allowed, "{name} {path}");
                    assert_eq!(answer.text.is_empty(), *name == "HEAD", "{name} {path}");
                }
            }
        }
    }
}

#[tokio::test]
async fn without_a_key_every_route_and_method_is_a_401_that_names_the_scheme() {
    let app = TestApp::start().await;
    let client = app.anonymous();
    for (path, _) in ROUTES.iter().chain(&[("/nowhere", &["GET"] as &[&str])]) {
        for name in METHODS {
            let answer = client.send(client.request(method(name), path)).await;
            assert_eq!(answer.status, 401, "{name} {path}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            assert_eq!(answer.headers["content-type"], "application/json");
        }
    }
}

#[tokio::test]
async fn only_a_live_run_tells_when_to_poll_and_only_to_who_reads_it() {
    let scene = Scene::start().await;
    let has = |answer: &crate::support::client::Answer| answer.headers.contains_key("openai-poll-after-ms");
    scene.model().script(Reply::call("get_weather", "{}"));
    let created = scene.try_create(json!({})).await;
    assert!(!has(&created));
    let run = scene.client.wait_until(&created.ok(), "requires_action").await;
    for client in [scene.app.v1(), scene.app.v2()] {
        assert!(has(&client.get(&run_path(&run)).await));
        assert!(!has(&client.get(&scene.runs()).await));
        assert!(!has(&client.get(&format!("{}/steps", run_path(&run))).await));
    }
    let cancelled = scene.client.post(&format!("{}/cancel", run_path(&run)), json!({})).await;
    assert!(!has(&cancelled));
    scene.client.wait_until(&run, "cancelled").await;
    assert!(!has(&scene.client.get(&run_path(&run)).await));
    scene.app.stop().await;
}

#[tokio::test]
async fn a_head_says_what_a_get_would() {
    let scene = Scene::start().await;
    let run = scene.run(json!({}), "completed").await;
    for path in ["/assistants", &run_path(&run), "/threads/thread_x"] {
        let get = scene.client.get(path).await;
        let head = scene.client.send(scene.client.request(Method::HEAD, path)).await;
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        for name in ["content-type", "content-length"] {
            assert_eq!(head.headers.get(name), get.headers.get(name), "{path} {name}");
        }
    }
    scene.app.stop().await;
}

#[tokio::test]
async fn several_slashes_are_one() {
    let scene = Scene::start().await;
    let client = scene.client.clone().with_base(&scene.app.url);
    let thread = id(&scene.thread);
    for path in [
        format!("//v1/threads/{thread}"),
        format!("/v1//threads/{thread}"),
        format!("/v1/threads//{thread}"),
        format!("//threads///{thread}?a=b//c"),
    ] {
        assert_eq!(client.get(&path).await.ok(), scene.thread, "{path}");
    }
    // An id that a client leaves out, as the hosted API took it.
    let message = json!({"role": "user", "content": "a"});
    let answer = client.post("/v1/threads//messages", message).await;
    answer.assert_error(400, "Unknown parameter: 'role'.", Some("role"), Some("unknown_parameter"));
    let answer = client.get("/v1//nowhere//").await;
    answer.assert_error(404, "Invalid URL (GET /v1/nowhere/)", None, Some("unknown_url"));
    // An encoded slash is part of an id.
    let answer = client.get("/v1/threads/%2F%2F").await;
    answer.assert_error(404, "No thread found with id '//'.", None, None);
    let anonymous = scene.app.anonymous().with_base(&scene.app.url);
    assert_eq!(anonymous.get("//v1//threads").await.status, 401);
    assert_eq!(anonymous.get("//healthz").await.status, 200);
    scene.app.stop().await;
}

#[tokio::test]
async fn what_a_request_says_beyond_the_documents_is_passed_over() {
    let scene = Scene::start().await;
    let path = format!("/threads/{}/messages", id(&scene.thread));
    let expected = scene.client.get(&path).await.ok();
    for query in [
        "foo=1",
        "foo",
        "&&",
        "=",
        "limit=20&foo[]=1&foo[]=2",
        "order=desc&order=desc",
        "limit=1&limit=20",
        "%6Cimit=20",
    ] {
        assert_eq!(scene.client.get(&format!("{path}?{query}")).await.ok(), expected, "{query}");
    }
    let request = scene.client.request(Method::GET, &path);
    let request = request.header("OpenAI-Organization", "org-a").header("OpenAI-Project", "proj_a");
    let request = request.header("Idempotency-Key", "a").header("X-Stainless-Retry-Count", "2");
    assert_eq!(scene.client.send(request.header("Accept", "text/html")).await.ok(), expected);
    // What follows a question mark is read on the routes that know it, in any encoding of its own.
    let page = scene.client.get(&format!("{path}?%6Cimit=1&order=%61sc")).await.data();
    assert_eq!(page.len(), 1);
    let answer = scene.client.get(&format!("{path}?limit=%FF")).await;
    assert_eq!((answer.status, answer.body["error"]["type"].as_str()), (400, Some("invalid_request_error")));
    scene.app.stop().await;
}

#[tokio::test]
async fn a_page_may_read_every_header_of_a_reply() {
    let app = TestApp::builder().argument("--cors-origins", "https://a.example").start().await;
    let client = app.v2();
    let answer =
        client.send(client.request(Method::GET, "/assistants").header("origin", "https://a.example")).await;
    let exposed = answer.headers["access-control-expose-headers"].to_str().unwrap();
    let mut exposed: Vec<&str> = exposed.split(',').map(str::trim).collect();
    exposed.sort_unstable();
    let expected = [
        "content-disposition",
        "openai-poll-after-ms",
        "openai-processing-ms",
        "openai-version",
        "retry-after",
        "x-request-id",
    ];
    assert_eq!(exposed, expected);
    assert_eq!(answer.data(), Vec::<Value>::new());
}
