use serde_json::{Value, json};

use super::table::{Row, default, echo, foreign, of_version, only, only_within, unknown};
use super::{Place, check_accepted, check_refused, messages, shared};
use crate::support::TestApp;
use crate::support::client::id;

/// What create and modify share.
fn rows() -> Vec<Row> {
    let field = "tool_resources";
    let (none, both) = (
        json!({"code_interpreter": {"file_ids": []}}),
        json!({"code_interpreter": {"file_ids": []}, "file_search": {"vector_store_ids": []}}),
    );
    let mut rows = shared::metadata();
    rows.extend(shared::tool_resources());
    let mut resources = default(field, none.clone());
    resources.extend([
        echo(field, json!({}), none.clone()),
        echo(field, json!({"code_interpreter": {"file_ids": []}}), none),
        echo(field, json!({"file_search": {}}), both),
    ]);
    rows.extend(of_version("v2", resources));
    rows.push(foreign("v1", field, json!({"file_search": {}})));
    rows.push(unknown("foo", "foo", json!(1)));
    rows.push(unknown("file_ids", "file_ids", json!(["file-a"])));
    rows
}

/// Rows of a new thread, wherever it stands.
pub fn created() -> Vec<Row> {
    let mut rows = rows();
    rows.extend(only("messages", "an array"));
    rows.extend(only_within("messages", "messages[0]", "an object", |value| json!([value])));
    rows
}

#[tokio::test]
async fn a_new_thread_is_held_to_every_limit_and_shows_every_default() {
    let app = TestApp::start().await;
    let place = Place::body("/threads", json!({}));
    check_refused(&app, &place, &created()).await;
    let count = "select count(*) from threads";
    let stored: i64 = sqlx::query_scalar(count).fetch_one(app.db().await).await.unwrap();
    assert_eq!(stored, 0);
    check_accepted(&app, &place, &created()).await;
    for (client, messages) in [(app.v1(), json!(null)), (app.v2(), json!([]))] {
        let thread = client.post("/threads", json!({"messages": messages})).await.ok();
        assert_eq!(client.messages(&thread).await, Vec::<Value>::new());
    }
    let wrap = |message| json!({"messages": [{"role": "user", "content": "a"}, message]});
    let place = Place::within("/threads", messages::base(), "messages[1].", &wrap);
    check_refused(&app, &place, &messages::rows()).await;
}

#[tokio::test]
async fn a_modified_thread_is_held_to_the_same_limits() {
    let app = TestApp::start().await;
    let thread = app.v2().post("/threads", json!({"metadata": {"a": "1"}})).await.ok();
    let path = format!("/threads/{}", id(&thread));
    let place = Place::body(&path, json!({}));
    let mut rows = rows();
    rows.push(unknown("messages", "messages", json!([])));
    check_refused(&app, &place, &rows).await;
    assert_eq!(app.v2().get(&path).await.ok(), thread);
    rows.retain(|row| row.value.is_some());
    // What a modify request does not name, its resources keep.
    rows.retain(|row| row.field != "tool_resources" || row.value != Some(json!({})));
    check_accepted(&app, &place, &rows).await;

    let whole = json!({"metadata": {"a": "1"}, "tool_resources": {"file_search": {}}});
    let whole = app.v2().post(&path, whole).await.ok();
    for client in [app.v1(), app.v2()] {
        client.post(&path, json!({})).await.ok();
        assert_eq!(app.v2().get(&path).await.ok(), whole);
    }
}
