//! Keys: who gets in, and what everybody else is told.

use std::time::Duration;

use locum::services::keys;
use reqwest::Method;
use serde_json::json;
use time::OffsetDateTime;

use crate::support::TestApp;
use crate::support::client::{Client, id};

const NO_KEY: &str = "You didn't provide an API key. You need to provide your API key in an Authorization header using \
                      Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";

fn incorrect(shown: &str) -> String {
    format!("Incorrect API key provided: {shown}. Ask whoever runs this server for a key.")
}

/// Requests to known routes, unknown ones, wrong methods and bad bodies.
const REQUESTS: &[(&str, &str)] = &[
    ("GET", "/assistants"),
    ("POST", "/assistants"),
    ("DELETE", "/assistants/asst_abc"),
    ("PUT", "/assistants"),
    ("POST", "/threads"),
    ("GET", "/threads/thread_abc/runs/run_abc/steps"),
    ("POST", "/threads/runs"),
    ("GET", "/nowhere"),
    ("GET", ""),
    ("GET", "/healthz"),
    ("GET", "/assistants/%FF"),
];

#[tokio::test]
async fn without_a_key_every_path_is_a_401_known_or_not() {
    let app = TestApp::start().await;
    let with_v1 = app.anonymous();
    let without_v1 = app.anonymous().with_base(&app.url);
    for (method, path) in REQUESTS {
        for client in [&with_v1, &without_v1] {
            if std::ptr::eq(client, &without_v1) && path.ends_with("/healthz") {
                continue;
            }
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let request = client.request(method, path).body("{").header("content-type", "application/json");
            client.send(request).await.assert_error(401, NO_KEY, None, Some("invalid_api_key"));
        }
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_masked() {
    let app = TestApp::start().await;
    let secret = "lk_wrongwrongwrongwrongwrongyz";
    for (key, shown) in
        [(secret, "lk_wr***yz"), ("sk-short", "***"), ("12345678901", "***"), ("123456789012", "12345***12")]
    {
        for (method, path) in REQUESTS {
            let client = app.v2().with_key(Some(key));
            let request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), path);
            let answer = client.send(request).await;
            answer.assert_error(401, &incorrect(shown), None, Some("invalid_api_key"));
            assert!(!answer.text.contains(secret));
        }
    }
}

#[tokio::test]
async fn a_header_that_holds_no_key_is_a_401() {
    let app = TestApp::start().await;
    let client = app.anonymous();
    let headers: [&[u8]; 7] =
        [b"Bearer", b"Bearer ", b"Bearer   ", b"Basic bGs6", b"", b"Bearer\xff\xfe", b"Bearer \xff\xfe"];
    for header in headers {
        let request = client.request(Method::GET, "/assistants").header("authorization", header);
        let answer = client.send(request).await;
        answer.assert_error(401, &incorrect("''"), None, Some("invalid_api_key"));
    }
    let key = format!("{} ", app.key);
    let bare = client.request(Method::GET, "/assistants").header("authorization", key);
    assert_eq!(client.send(bare).await.status, 401);
}

#[tokio::test]
async fn the_scheme_has_no_case() {
    let app = TestApp::start().await;
    let client = app.anonymous();
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let header = format!("{scheme} {}", app.key);
        let request = client.request(Method::GET, "/assistants").header("authorization", header);
        assert_eq!(client.send(request).await.status, 200, "{scheme}");
    }
}

#[tokio::test]
async fn the_key_is_compared_whole() {
    let app = TestApp::start().await;
    for key in [format!("{}x", app.key), app.key[..app.key.len() - 1].to_owned(), app.key.to_uppercase()] {
        assert_eq!(app.v2().with_key(Some(&key)).get("/assistants").await.status, 401);
    }
}

#[tokio::test]
async fn health_needs_no_key() {
    let app = TestApp::start().await;
    let wrong = app.anonymous().with_key(Some("lk_wrong"));
    for client in [app.anonymous(), app.bare(), wrong] {
        let client = client.with_base(&app.url);
        assert_eq!(client.get("/healthz").await.ok(), json!({"status": "ok"}));
        assert_eq!(client.get("/readyz").await.ok()["status"], "ready");
    }
}

#[tokio::test]
async fn readyz_says_when_the_database_is_not_ready() {
    let app = TestApp::start().await;
    sqlx::query("delete from _sqlx_migrations").execute(app.db().await).await.unwrap();
    let client = app.anonymous().with_base(&app.url);
    let answer = client.get("/readyz").await;
    assert_eq!((answer.status, &answer.body["status"]), (503, &json!("unavailable")));
    assert_eq!(client.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn configured_and_stored_keys_are_valid_beside_each_other() {
    let app = TestApp::builder().argument("--api-keys", "lk_one, lk_two,,").start().await;
    let stored = app.new_key("default", None).await;
    let assistant = app.v2().with_key(Some("lk_one")).create_assistant(json!({})).await;
    for key in ["lk_one", "lk_two", stored.as_str()] {
        let listed = app.v2().with_key(Some(key)).get("/assistants").await.data();
        assert_eq!(listed, std::slice::from_ref(&assistant), "{key}");
    }
    assert_eq!(app.v2().with_key(Some("")).get("/assistants").await.status, 401);
    assert_eq!(app.v2().with_key(Some(",")).get("/assistants").await.status, 401);
}

#[tokio::test]
async fn an_expired_key_is_a_401() {
    let app = TestApp::start().await;
    let past = OffsetDateTime::now_utc() - Duration::from_secs(1);
    let key = app.new_key("default", Some(past)).await;
    assert_refused(&app.v2().with_key(Some(&key)), &key).await;
}

#[tokio::test]
async fn a_key_that_expires_stops_although_it_was_used_just_before() {
    let app = TestApp::start().await;
    let soon = OffsetDateTime::now_utc() + Duration::from_secs(2);
    let key = app.new_key("default", Some(soon)).await;
    let client = app.v2().with_key(Some(&key));
    assert_eq!(client.get("/assistants").await.status, 200);
    wait_until_refused(&client).await;
    assert!(OffsetDateTime::now_utc() >= soon);
    assert_refused(&client, &key).await;
}

#[tokio::test]
async fn a_revoked_key_stops_at_once_although_it_was_used_just_before() {
    let app = TestApp::start().await;
    let key = app.new_key("other", None).await;
    let client = app.v2().with_key(Some(&key));
    let assistant = client.create_assistant(json!({})).await;
    let stored = keys::list(app.db().await).await.unwrap().remove(0);
    assert_eq!(stored.hint, format!("{}…{}", &key[..6], &key[key.len() - 2..]));
    assert!(keys::revoke(app.db().await, &stored.id).await.unwrap());
    wait_until_refused(&client).await;
    assert_refused(&client, &key).await;
    assert!(!keys::revoke(app.db().await, &stored.id).await.unwrap(), "it was revoked before");
    // What it made belongs to the project and stays.
    let other = app.v2().with_key(Some(&app.new_key("other", None).await));
    assert_eq!(other.get(&format!("/assistants/{}", id(&assistant))).await.ok(), assistant);
}

#[tokio::test]
async fn keys_are_stored_as_digests_alone() {
    let app = TestApp::start().await;
    let key = app.new_key("default", None).await;
    assert_eq!(app.v2().with_key(Some(&key)).get("/assistants").await.status, 200);
    let rows: Vec<String> =
        sqlx::query_scalar("select api_keys::text from api_keys").fetch_all(app.db().await).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(!rows[0].contains(&key[6..key.len() - 2]), "{}", rows[0]);
}

async fn assert_refused(client: &Client, key: &str) {
    let shown = format!("{}***{}", &key[..5], &key[key.len() - 2..]);
    let answer = client.get("/assistants").await;
    answer.assert_error(401, &incorrect(&shown), None, Some("invalid_api_key"));
}

/// Far sooner than the cache of keys forgets by itself, which takes 30 s.
async fn wait_until_refused(client: &Client) {
    for _ in 0..100 {
        if client.get("/assistants").await.status == 401 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the key still works");
}
