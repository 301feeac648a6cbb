//! Pages: `limit`, `order`, `after` and `before`, the same on every list.

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::client::{Client, id, run_path};

/// The ids of a page, and whether there is more.
async fn page(client: &Client, path: &str, query: &str) -> (Vec<String>, bool) {
    let answer = client.get(&format!("{path}?{query}")).await;
    let has_more =
        answer.body["has_more"].as_bool().unwrap_or_else(|| panic!("{path}?{query}: {}", answer.text));
    (answer.data().iter().map(|object| id(object).to_owned()).collect(), has_more)
}

/// Checks every rule of paging on a list that holds these objects, oldest first; at least seven.
async fn check_pages(client: &Client, path: &str, ids: &[String]) {
    let page = async |query: String| page(client, path, &query).await;
    let newest_first: Vec<String> = ids.iter().rev().cloned().collect();
    let count = ids.len();
    assert!(count >= 7);

    assert_eq!(page(String::new()).await, (newest_first.clone(), false));
    assert_eq!(page("order=desc".into()).await, (newest_first.clone(), false));
    assert_eq!(page("order=asc".into()).await, (ids.to_vec(), false));
    assert_eq!(page("limit=2".into()).await, (newest_first[..2].to_vec(), true));
    assert_eq!(page(format!("limit={count}")).await, (newest_first.clone(), false));
    assert_eq!(page(format!("limit={}", count - 1)).await, (newest_first[..count - 1].to_vec(), true));
    assert_eq!(page("limit=1".into()).await, (newest_first[..1].to_vec(), true));
    assert_eq!(page("limit=100&order=asc".into()).await, (ids.to_vec(), false));
    // Clients write empty values for what they leave out.
    assert_eq!(page("limit=&order=&after=&before=".into()).await, (newest_first.clone(), false));

    assert_eq!(page(format!("limit=2&after={}", newest_first[1])).await, (newest_first[2..4].to_vec(), true));
    assert_eq!(page(format!("order=asc&limit=2&after={}", ids[1])).await, (ids[2..4].to_vec(), true));
    assert_eq!(page(format!("order=asc&after={}", ids[count - 3])).await, (ids[count - 2..].to_vec(), false));
    assert_eq!(page(format!("after={}", ids[0])).await, (vec![], false));
    assert_eq!(page(format!("order=asc&after={}", ids[count - 1])).await, (vec![], false));

    // `before` is the page that ends just before the object, in the order asked for.
    assert_eq!(
        page(format!("limit=2&before={}", newest_first[4])).await,
        (newest_first[2..4].to_vec(), true)
    );
    assert_eq!(
        page(format!("limit=2&before={}", newest_first[2])).await,
        (newest_first[..2].to_vec(), false)
    );
    assert_eq!(
        page(format!("limit=5&before={}", newest_first[2])).await,
        (newest_first[..2].to_vec(), false)
    );
    assert_eq!(page(format!("order=asc&limit=2&before={}", ids[4])).await, (ids[2..4].to_vec(), true));
    assert_eq!(page(format!("before={}", newest_first[0])).await, (vec![], false));

    // Both bound both sides.
    let between = format!("after={}&before={}", newest_first[0], newest_first[5]);
    assert_eq!(page(between.clone()).await, (newest_first[1..5].to_vec(), false));
    assert_eq!(page(format!("{between}&limit=2")).await, (newest_first[1..3].to_vec(), true));
    assert_eq!(
        page(format!("order=asc&after={}&before={}", ids[1], ids[4])).await,
        (ids[2..4].to_vec(), false)
    );
    assert_eq!(page(format!("after={}&before={}", newest_first[3], newest_first[1])).await, (vec![], false));

    // A client that follows the pages sees everything once.
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let (ids, has_more) = page(format!("limit=3&after={after}")).await;
        // Old SDKs do not look at has_more: they go on until a page is empty.
        let Some(last) = ids.last() else { break };
        after.clone_from(last);
        seen.extend(ids);
        assert_eq!(has_more, seen.len() < count);
    }
    assert_eq!(seen, newest_first);
}

/// Checks the bad queries of a list whose ids begin with `kind`.
async fn check_bad_queries(client: &Client, path: &str, kind: &str, foreign: &str) {
    let range = |limit: i64, what: &str, bound: &str| {
        format!("Invalid 'limit': integer {what} value. Expected a value {bound}, but got {limit} instead.")
    };
    for (limit, what, bound, code) in [
        (0, "below minimum", ">= 1", "integer_below_min_value"),
        (-1, "below minimum", ">= 1", "integer_below_min_value"),
        (101, "above maximum", "<= 100", "integer_above_max_value"),
        (10_000, "above maximum", "<= 100", "integer_above_max_value"),
    ] {
        let answer = client.get(&format!("{path}?limit={limit}")).await;
        answer.assert_error(400, &range(limit, what, bound), Some("limit"), Some(code));
    }
    for limit in ["abc", "1.5", "99999999999999999999"] {
        let answer = client.get(&format!("{path}?limit={limit}")).await;
        let message = "Invalid type for 'limit': expected an integer, but got a string instead.";
        answer.assert_error(400, message, Some("limit"), Some("invalid_type"));
    }
    let answer = client.get(&format!("{path}?order=up")).await;
    let message = "Invalid value: 'up'. Supported values are: 'asc' and 'desc'.";
    answer.assert_error(400, message, Some("order"), Some("invalid_value"));

    let unreadable = format!("{kind}_abc");
    for name in ["after", "before"] {
        for cursor in [foreign, "nonsense", unreadable.as_str()] {
            let answer = client.get(&format!("{path}?{name}={cursor}")).await;
            let message = format!(
                "Invalid '{name}': '{cursor}'. Expected the ID of an object of this list, which begins with '{kind}'."
            );
            answer.assert_error(400, &message, Some(name), Some("invalid_value"));
        }
        // A null character is in no id.
        let answer = client.get(&format!("{path}?{name}=%00")).await;
        assert_eq!((answer.status, &answer.body["error"]["param"]), (400, &json!(name)));
    }
}

fn ids(objects: &[Value]) -> Vec<String> {
    objects.iter().map(|object| id(object).to_owned()).collect()
}

#[tokio::test]
async fn assistants_come_in_pages() {
    let app = TestApp::start().await;
    let client = app.v2();
    let mut assistants = Vec::new();
    for _ in 0..7 {
        assistants.push(client.create_assistant(json!({})).await);
    }
    check_pages(&client, "/assistants", &ids(&assistants)).await;
    check_pages(&app.v1(), "/assistants", &ids(&assistants)).await;
    let thread = client.create_thread(&[]).await;
    check_bad_queries(&client, "/assistants", "asst", id(&thread)).await;
}

#[tokio::test]
async fn messages_come_in_pages() {
    let app = TestApp::start().await;
    let client = app.v2();
    let thread = client.create_thread(&["1", "2", "3", "4", "5", "6", "7", "8"]).await;
    // Another thread's messages are on no page of this one.
    client.create_thread(&["a", "b", "c"]).await;
    let path = format!("/threads/{}/messages", id(&thread));
    let messages = client.messages(&thread).await;
    check_pages(&client, &path, &ids(&messages)).await;
    check_bad_queries(&client, &path, "msg", id(&thread)).await;
}

#[tokio::test]
async fn runs_come_in_pages() {
    let app = TestApp::start().await;
    let client = app.v2();
    let assistant = client.create_assistant(json!({})).await;
    let thread = client.create_thread(&["Hello"]).await;
    let mut runs = Vec::new();
    for _ in 0..7 {
        let run = client.create_run(&thread, &assistant).await;
        runs.push(client.wait_until(&run, "completed").await);
    }
    let path = format!("/threads/{}/runs", id(&thread));
    check_pages(&client, &path, &ids(&runs)).await;
    check_bad_queries(&client, &path, "run", id(&thread)).await;
    // Seven answers, each of its run.
    let messages = client.messages(&thread).await;
    let answers: Vec<&Value> = messages.iter().skip(1).map(|message| &message["run_id"]).collect();
    assert_eq!(answers, runs.iter().map(|run| &run["id"]).collect::<Vec<_>>());
}

#[tokio::test]
async fn run_steps_come_in_pages() {
    let app = TestApp::start().await;
    let client = app.v2();
    let function = json!({"type": "function", "function": {"name": "get_weather"}});
    let assistant = client.create_assistant(json!({"tools": [function]})).await;
    let thread = client.create_thread(&["Hello"]).await;
    for _ in 0..6 {
        app.model.script(crate::support::Reply::call("get_weather", "{}"));
    }
    let mut run = client.create_run(&thread, &assistant).await;
    for _ in 0..6 {
        run = client.wait_until(&run, "requires_action").await;
        let call = &run["required_action"]["submit_tool_outputs"]["tool_calls"][0];
        let outputs = json!({"tool_outputs": [{"tool_call_id": call["id"], "output": "sunny"}]});
        run = client.post(&format!("{}/submit_tool_outputs", run_path(&run)), outputs).await.ok();
    }
    let run = client.wait_until(&run, "completed").await;
    let steps = client.steps(&run).await;
    let path = format!("{}/steps", run_path(&run));
    check_pages(&client, &path, &ids(&steps)).await;
    check_bad_queries(&client, &path, "step", id(&run)).await;
}

#[tokio::test]
async fn a_page_holds_twenty_where_no_limit_is_named() {
    let app = TestApp::start().await;
    let client = app.v2();
    let texts: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let thread = client.create_thread(&texts).await;
    let path = format!("/threads/{}/messages", id(&thread));
    for (query, length) in [("", 20), ("limit=100", 100), ("limit=99", 99)] {
        let (ids, has_more) = page(&client, &path, query).await;
        assert_eq!((ids.len(), has_more), (length, true), "{query}");
    }
}

#[tokio::test]
async fn an_empty_page_has_null_ids() {
    let app = TestApp::start().await;
    let empty = json!({"object": "list", "data": [], "first_id": null, "last_id": null, "has_more": false});
    for client in [app.v1(), app.v2()] {
        let thread = client.create_thread(&[]).await;
        assert_eq!(client.get("/assistants").await.ok(), empty);
        assert_eq!(client.get(&format!("/threads/{}/messages", id(&thread))).await.ok(), empty);
        assert_eq!(client.get(&format!("/threads/{}/runs", id(&thread))).await.ok(), empty);
    }
}

#[tokio::test]
async fn a_cursor_outlives_its_object() {
    let app = TestApp::start().await;
    let client = app.v2();
    let thread = client.create_thread(&["1", "2", "3", "4", "5"]).await;
    let path = format!("/threads/{}/messages", id(&thread));
    let ids = ids(&client.messages(&thread).await);
    client.delete(&format!("{path}/{}", ids[2])).await.ok();
    let (after, more) = page(&client, &path, &format!("order=asc&after={}", ids[2])).await;
    assert_eq!((after, more), (ids[3..].to_vec(), false));
    let (before, more) = page(&client, &path, &format!("order=asc&before={}", ids[2])).await;
    assert_eq!((before, more), (ids[..2].to_vec(), false));
    let (rest, more) = page(&client, &path, &format!("limit=1&after={}", ids[2])).await;
    assert_eq!((rest, more), (vec![ids[1].clone()], true));
}
