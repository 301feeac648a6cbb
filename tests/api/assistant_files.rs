//! `/assistants/{assistant_id}/files` of v1.

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::client::{Client, id};

async fn attach(client: &Client, assistant: &Value, file: &Value) -> Value {
    let path = format!("/assistants/{}/files", id(assistant));
    client.post(&path, json!({"file_id": id(file)})).await.ok()
}

fn path(assistant: &Value, rest: &str) -> String {
    format!("/assistants/{}/files{rest}", id(assistant))
}

/// The ids of a list.
fn ids(files: &[Value]) -> Vec<&str> {
    files.iter().map(id).collect()
}

#[tokio::test]
async fn a_file_is_attached_shown_listed_and_taken_away() {
    let app = TestApp::start().await;
    let (v1, v2) = (app.v1(), app.v2());
    let files = v1.upload_many(2).await;
    let assistant = v1.create_assistant(json!({"tools": [{"type": "retrieval"}]})).await;
    let attached = attach(&v1, &assistant, &files[0]).await;
    let created_at = attached["created_at"].as_i64().expect("a time");
    assert!(created_at >= assistant["created_at"].as_i64().expect("a time"));
    let expected = json!({
        "id": id(&files[0]), "object": "assistant.file", "created_at": created_at, "assistant_id": id(&assistant),
    });
    assert_eq!(attached, expected);
    let one = path(&assistant, &format!("/{}", id(&files[0])));
    assert_eq!(v1.get(&one).await.ok(), attached);
    assert_eq!(v1.get(&path(&assistant, "")).await.data(), [attached]);
    // v1 shows it in its one list, v2 as the code interpreter's.
    let seen = v1.get(&format!("/assistants/{}", id(&assistant))).await.ok();
    assert_eq!(seen["file_ids"], json!([id(&files[0])]));
    let seen = v2.get(&format!("/assistants/{}", id(&assistant))).await.ok();
    assert_eq!(seen["tool_resources"]["code_interpreter"]["file_ids"], json!([id(&files[0])]));

    attach(&v1, &assistant, &files[1]).await;
    let deleted = v1.delete(&one).await.ok();
    let expected = json!({"id": id(&files[0]), "object": "assistant.file.deleted", "deleted": true});
    assert_eq!(deleted, expected);
    let message = format!("No assistant file found with id '{}'.", id(&files[0]));
    v1.get(&one).await.assert_error(404, &message, None, None);
    v1.delete(&one).await.assert_error(404, &message, None, None);
    let seen = v1.get(&format!("/assistants/{}", id(&assistant))).await.ok();
    assert_eq!(seen["file_ids"], json!([id(&files[1])]));
    let seen = v2.get(&format!("/assistants/{}", id(&assistant))).await.ok();
    assert_eq!(seen["tool_resources"]["code_interpreter"]["file_ids"], json!([id(&files[1])]));
    // The file itself stays.
    assert_eq!(v1.download(&files[0]).await.bytes, b"0");
}

#[tokio::test]
async fn what_is_attached_already_stays_as_it_is() {
    let app = TestApp::start().await;
    let client = app.v1();
    let files = client.upload_many(2).await;
    let assistant = client.create_assistant(json!({"file_ids": [id(&files[0])]})).await;
    let first = client.get(&path(&assistant, "")).await.data();
    assert_eq!(first[0]["created_at"], assistant["created_at"]);
    attach(&client, &assistant, &files[1]).await;
    assert_eq!(attach(&client, &assistant, &files[0]).await, first[0]);
    assert_eq!(client.get(&path(&assistant, "?order=asc")).await.data().len(), 2);
}

#[tokio::test]
async fn an_assistant_has_twenty_files() {
    let app = TestApp::start().await;
    let client = app.v1();
    let files = client.upload_many(21).await;
    let some: Vec<&str> = files[..18].iter().map(id).collect();
    let assistant = client.create_assistant(json!({"file_ids": some})).await;
    attach(&client, &assistant, &files[18]).await;
    // Two at once take one place.
    let files_path = path(&assistant, "");
    let (one, two) = tokio::join!(
        client.post(&files_path, json!({"file_id": id(&files[19])})),
        client.post(&files_path, json!({"file_id": id(&files[20])})),
    );
    let (refused, late) = if one.status == 200 { (two, &files[20]) } else { (one, &files[19]) };
    let message = format!("Assistant {} has 20 files already, which is the maximum.", id(&assistant));
    refused.assert_error(400, &message, Some("file_id"), Some("array_above_max_length"));
    assert_eq!(client.get(&path(&assistant, "?limit=100")).await.data().len(), 20);
    // One that is attached already is still taken; where one goes, another fits.
    attach(&client, &assistant, &files[0]).await;
    client.delete(&path(&assistant, &format!("/{}", id(&files[0])))).await.ok();
    attach(&client, &assistant, late).await;
}

#[tokio::test]
async fn pages_follow_the_order_in_which_files_were_attached() {
    let app = TestApp::start().await;
    let client = app.v1();
    let mut files = client.upload_many(6).await;
    // Attached otherwise than they were made, the first two at once.
    files.reverse();
    let assistant = client.create_assistant(json!({"file_ids": [id(&files[0]), id(&files[1])]})).await;
    for file in &files[2..] {
        attach(&client, &assistant, file).await;
    }
    let list = |query: String| {
        let (client, path) = (client.clone(), path(&assistant, &query));
        async move {
            let page = client.get(&path).await;
            let has_more = page.body["has_more"] == true;
            (page.data(), has_more)
        }
    };
    let at = |number: usize| id(&files[number]);
    for (query, expected, has_more) in [
        ("?order=asc".to_owned(), vec![0, 1, 2, 3, 4, 5], false),
        (String::new(), vec![5, 4, 3, 2, 1, 0], false),
        ("?limit=2".to_owned(), vec![5, 4], true),
        (format!("?limit=2&after={}", at(4)), vec![3, 2], true),
        (format!("?limit=2&after={}", at(2)), vec![1, 0], false),
        (format!("?after={}", at(0)), vec![], false),
        (format!("?order=asc&limit=3&after={}", at(0)), vec![1, 2, 3], true),
        (format!("?limit=2&before={}", at(1)), vec![3, 2], true),
        (format!("?order=asc&limit=10&before={}", at(2)), vec![0, 1], false),
        (format!("?after={}&before={}", at(5), at(1)), vec![4, 3, 2], false),
    ] {
        let (page, more) = list(query.clone()).await;
        let expected: Vec<&str> = expected.into_iter().map(at).collect();
        assert_eq!((ids(&page), more), (expected, has_more), "{query}");
    }
    // A cursor whose file was taken away, or deleted altogether, keeps its place.
    client.delete(&path(&assistant, &format!("/{}", at(3)))).await.ok();
    client.delete(&format!("/files/{}", at(3))).await.ok();
    let (page, _) = list(format!("?limit=2&after={}", at(3))).await;
    assert_eq!(ids(&page), [at(2), at(1)]);
    // Attached anew, a file is as new.
    client.delete(&path(&assistant, &format!("/{}", at(0)))).await.ok();
    attach(&client, &assistant, &files[0]).await;
    let (page, _) = list("?limit=2".to_owned()).await;
    assert_eq!(ids(&page), [at(0), at(5)]);
    let other = client.upload("other", "assistants", "x").await;
    for cursor in ["after", "before"] {
        let refused = client.get(&path(&assistant, &format!("?{cursor}={}", id(&other)))).await;
        let message = format!("Invalid '{cursor}': '{}' is no file of this assistant.", id(&other));
        refused.assert_error(400, &message, Some(cursor), Some("invalid_value"));
    }
    assert_eq!(client.get(&path(&assistant, "?limit=101")).await.status, 400);
}

#[tokio::test]
async fn both_contracts_see_each_change_of_the_other() {
    let app = TestApp::start().await;
    let (v1, v2) = (app.v1(), app.v2());
    let files = v1.upload_many(3).await;
    let resources = json!({"tool_resources": {"code_interpreter": {"file_ids": [id(&files[0])]}}});
    let assistant = v2.create_assistant(resources).await;
    assert_eq!(ids(&v1.get(&path(&assistant, "")).await.data()), [id(&files[0])]);
    attach(&v1, &assistant, &files[1]).await;
    let shown = v2.get(&format!("/assistants/{}", id(&assistant))).await.ok();
    let expected = json!({"code_interpreter": {"file_ids": [id(&files[0]), id(&files[1])]}});
    assert_eq!(shown["tool_resources"], expected);
    let resources = json!({"tool_resources": {"code_interpreter": {"file_ids": [id(&files[2])]}}});
    v2.post(&format!("/assistants/{}", id(&assistant)), resources).await.ok();
    assert_eq!(ids(&v1.get(&path(&assistant, "")).await.data()), [id(&files[2])]);
    v1.post(&format!("/assistants/{}", id(&assistant)), json!({"file_ids": []})).await.ok();
    assert_eq!(v1.get(&path(&assistant, "")).await.data(), Vec::<Value>::new());
    assert_eq!(v1.get(&path(&assistant, &format!("/{}", id(&files[2])))).await.status, 404);
    // Given back by a change of the assistant, a file is as new here too.
    let again: Vec<&str> = [2, 0].map(|number| id(&files[number])).into();
    v1.post(&format!("/assistants/{}", id(&assistant)), json!({"file_ids": again})).await.ok();
    assert_eq!(ids(&v1.get(&path(&assistant, "?order=asc")).await.data()), again);
    // The same path and rules in the other contract.
    assert_eq!(v2.get(&path(&assistant, "")).await.data().len(), 2);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let app = TestApp::start().await;
    let client = app.v1();
    let assistant = client.create_assistant(json!({})).await;
    let file = client.upload("a", "assistants", "a").await;
    for (body, param, code) in [
        (json!({}), "file_id", Some("missing_required_parameter")),
        (json!({"file_id": 7}), "file_id", Some("invalid_type")),
        (json!({"file_id": "asst_1"}), "file_id", Some("invalid_value")),
        (json!({"file_id": "file-missing"}), "id", None),
        (json!({"file_id": id(&file), "colour": "red"}), "colour", Some("unknown_parameter")),
    ] {
        let answer = client.post(&path(&assistant, ""), body).await;
        let error = &answer.body["error"];
        assert_eq!(
            (answer.status, &error["param"], &error["code"]),
            (400, &json!(param), &json!(code)),
            "{error}"
        );
    }
    let message = "No assistant found with id 'asst_missing'.";
    let missing = "/assistants/asst_missing/files";
    client.get(missing).await.assert_error(404, message, None, None);
    client.post(missing, json!({"file_id": id(&file)})).await.assert_error(404, message, None, None);
    client.get(&format!("{missing}/{}", id(&file))).await.assert_error(404, message, None, None);
    client.delete(&format!("{missing}/{}", id(&file))).await.assert_error(404, message, None, None);
    let message = format!("No assistant file found with id '{}'.", id(&file));
    client.get(&path(&assistant, &format!("/{}", id(&file)))).await.assert_error(404, &message, None, None);
    // Nothing of another project is reached, neither its assistants nor its files.
    let stranger = app.other_tenant().await.with_beta(Some("assistants=v1"));
    let message = format!("No assistant found with id '{}'.", id(&assistant));
    stranger.get(&path(&assistant, "")).await.assert_error(404, &message, None, None);
    let own = stranger.upload("own", "assistants", "own").await;
    let refused = stranger.post(&path(&assistant, ""), json!({"file_id": id(&own)})).await;
    refused.assert_error(404, &message, None, None);
    let own = stranger.create_assistant(json!({})).await;
    let refused = stranger.post(&path(&own, ""), json!({"file_id": id(&file)})).await;
    refused.assert_error(400, &format!("No such File object: {}", id(&file)), Some("id"), None);
}
