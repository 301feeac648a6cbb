//! `/responses`: what a server keeps for one project does not exist for another.

use super::*;

/// The reply of a server that keeps a response with these metadata.
fn kept(metadata: &Value) -> Answer {
    Answer::json(200, &json!({"id": "resp_1", "object": "response", "metadata": metadata}))
}

fn not_found(id: &str) -> String {
    format!("No response found with id '{id}'.")
}

#[tokio::test]
async fn what_is_kept_is_marked_with_its_project_and_what_is_not_goes_as_it_is() {
    let (app, upstream) = passing("rename = { mine = 'theirs' }").await;
    let client = app.bare();
    let body = json!({"model": "mine", "input": "Hi", "metadata": {"a": "b", "locum_project": "another"}});
    assert_eq!(post(&client, "/responses", &body).await.status(), 200);
    let seen = upstream.last().json();
    assert_eq!((&seen["model"], &seen["metadata"]["a"]), (&json!("theirs"), &json!("b")));
    let project = seen["metadata"]["locum_project"].as_str().expect("a project").to_owned();
    assert_ne!(project, "another");
    let tenant = app.other_tenant().await;
    assert_eq!(post(&tenant, "/responses", &body).await.status(), 200);
    assert_ne!(upstream.last().json()["metadata"]["locum_project"], project);
    let stateless = json!({"model": "theirs", "input": "Hi", "store": false});
    assert_eq!(post(&client, "/responses", &stateless).await.status(), 200);
    assert_eq!(upstream.last().body, stateless.to_string());
    // The server judges what are no metadata, and a stored prompt may name the model.
    let odd = json!({"prompt": {"id": "pmpt_1"}, "metadata": 5});
    assert_eq!(post(&client, "/responses", &odd).await.status(), 404, "the server of the options is nobody");
    app.stop().await;
}

#[tokio::test]
async fn a_response_is_its_projects_alone() {
    let (app, upstream) = passing("").await;
    let client = app.bare();
    let body = json!({"model": "m", "input": "Hi"});
    assert_eq!(post(&client, "/responses", &body).await.status(), 200);
    let own = upstream.last().json()["metadata"].clone();
    let tenant = app.other_tenant().await;
    for (method, path) in [
        (Method::GET, "/responses/resp_1?include[]=x&stream=true"),
        (Method::GET, "/responses/resp_1/input_items?limit=2"),
        (Method::POST, "/responses/resp_1/cancel"),
        (Method::DELETE, "/responses/resp_1"),
    ] {
        upstream.answer(kept(&own));
        let request = client.request(method.clone(), path);
        assert_eq!(request.send().await.expect("the server answers").status(), 200, "{path}");
        let seen = upstream.last();
        assert_eq!(seen.method, method.as_str());
        let expected = format!("/v1{}", path.replace("[]", "%5B%5D"));
        assert_eq!(seen.path, expected);
        for metadata in [own.clone(), json!({}), Value::Null] {
            let asked = upstream.seen().len();
            upstream.answer(kept(&metadata));
            let refused = tenant.send(tenant.request(method.clone(), path)).await;
            refused.assert_error(404, &not_found("resp_1"), None, None);
            // It was looked at, and nothing more.
            assert_eq!(upstream.seen().len(), asked + 1);
            assert_eq!(
                (upstream.last().method.as_str(), &*upstream.last().path),
                ("GET", "/v1/responses/resp_1")
            );
        }
    }
    // To go on from it is to read it.
    let further = json!({"model": "m", "input": "Hi", "previous_response_id": "resp_1"});
    upstream.answer(kept(&own));
    assert_eq!(post(&client, "/responses", &further).await.status(), 200);
    assert_eq!(upstream.last().json()["previous_response_id"], "resp_1");
    for path in ["/responses", "/responses/input_tokens", "/responses/compact"] {
        upstream.answer(kept(&own));
        let refused = tenant.post(path, further.clone()).await;
        let (param, code) = (Some("previous_response_id"), Some("previous_response_not_found"));
        refused.assert_error(400, "Previous response with id 'resp_1' not found.", param, code);
        assert_eq!(upstream.last().method, "GET");
    }
    app.stop().await;
}

#[tokio::test]
async fn what_is_no_id_names_nothing_and_conversations_are_not_passed_on() {
    let (app, upstream) = passing("").await;
    let client = app.bare();
    for id in ["..%2fmodels", "%2e%2e", "resp_1%3fx", "a%20b", "%00", "resp.1", "a%2f..%2f..%2fadmin"] {
        let answer = client.get(&format!("/responses/{id}")).await;
        assert_eq!(answer.status, 404, "{id}");
    }
    let body = json!({"model": "m", "input": "Hi", "previous_response_id": "../files"});
    assert_eq!(client.post("/responses", body).await.status, 404);
    let body = json!({"model": "m", "input": "Hi", "conversation": "conv_1"});
    let refused = client.post("/responses", body).await;
    let message =
        "Invalid 'conversation': this server passes no conversations on. Use 'previous_response_id'.";
    refused.assert_error(400, message, Some("conversation"), Some("unsupported_parameter"));
    assert!(upstream.seen().is_empty());
    app.stop().await;
}
