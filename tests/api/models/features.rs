//! What runs make of what a server is like: its bounds, and what its models take.

use super::*;

/// A scene whose every model is at a scripted model with these settings.
async fn scene(more: &str) -> (Scene, Model) {
    let model = Model::start().await;
    let text =
        format!("[[upstream]]\nname = 'there'\nbase_url = '{}'\nmodels = ['*']\n{more}\n", model.url());
    let app = File::of(&text).builder().start().await;
    let client = app.v2();
    (Scene::with(app, client, json!({"instructions": "Be kind."})).await, model)
}

#[tokio::test]
async fn requests_are_in_the_words_of_the_server() {
    let more = "body = { chat_template_kwargs = { thinking = false } }\n\
                features = { max_tokens = 'max_completion_tokens', instructions_role = 'developer' }";
    let (scene, model) = scene(more).await;
    scene.run(json!({"max_completion_tokens": 300}), "completed").await;
    let request = model.wait_for_request().await;
    assert_eq!(request["messages"][0], json!({"role": "developer", "content": "Be kind."}));
    assert_eq!((&request["max_completion_tokens"], &request["max_tokens"]), (&json!(300), &Value::Null));
    assert_eq!(request["chat_template_kwargs"], json!({"thinking": false}));
    scene.app.stop().await;
}

#[tokio::test]
async fn a_schema_is_said_in_words_where_the_server_takes_none() {
    let (scene, model) = scene("features = { json_schema = false }").await;
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "place", "schema": schema}});
    scene.run(json!({"response_format": format}), "completed").await;
    let request = model.wait_for_request().await;
    assert_eq!(request["response_format"], json!({"type": "json_object"}));
    let instructions = request["messages"][0]["content"].as_str().expect("instructions");
    let expected = format!(
        "Be kind.\n\nReply with one JSON object and nothing else. It is valid against this JSON Schema:\n{schema}"
    );
    assert_eq!(instructions, expected);
    scene.run(json!({"response_format": format, "instructions": ""}), "completed").await;
    let request = model.wait_for_request().await;
    assert_eq!(request["messages"][0]["role"], "system");
    assert!(
        request["messages"][0]["content"].as_str().is_some_and(|text| text.starts_with("Reply with one"))
    );
    scene.app.stop().await;
}

#[tokio::test]
async fn images_are_words_where_the_model_cannot_see() {
    let (scene, model) = scene("features = { vision = false }").await;
    let image = json!({"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}});
    let content = json!([{"type": "text", "text": "Look."}, image]);
    let path = format!("/threads/{}/messages", id(&scene.thread));
    scene.client.post(&path, json!({"role": "user", "content": content})).await.ok();
    scene.run(json!({}), "completed").await;
    let request = model.wait_for_request().await;
    let seen = &request["messages"].as_array().expect("messages").last().expect("a message")["content"];
    let unseen = json!({"type": "text", "text": "[An image that this model cannot see.]"});
    assert_eq!(*seen, json!([{"type": "text", "text": "Look."}, unseen]));
    scene.app.stop().await;
}

#[tokio::test]
async fn a_run_with_tools_fails_where_the_model_takes_none() {
    let (scene, model) = scene("features = { tools = false }").await;
    let tool = crate::support::scene::function("get_weather");
    let run = scene.run(json!({"tools": [tool]}), "failed").await;
    let message = "The run has tools, and the model 'gpt-4o' of 'there' takes none.";
    assert_eq!(run["last_error"], json!({"code": "invalid_prompt", "message": message}));
    assert!(model.requests().is_empty());
    scene.run(json!({}), "completed").await;
    scene.app.stop().await;
}

#[tokio::test]
async fn the_context_window_is_the_servers_own() {
    let (scene, model) = scene("context_tokens = 300").await;
    let path = format!("/threads/{}/messages", id(&scene.thread));
    for _ in 0..6 {
        let content = "word ".repeat(60);
        scene.client.post(&path, json!({"role": "user", "content": content})).await.ok();
    }
    scene.run(json!({}), "completed").await;
    let messages = model.wait_for_request().await["messages"].as_array().expect("messages").len();
    assert!((2..=4).contains(&messages), "{messages}");
    scene.app.stop().await;
}

#[tokio::test]
async fn one_request_at_once_is_sent_where_one_is_taken_and_who_waits_can_be_cancelled() {
    let (scene, model) = scene("concurrency = 1").await;
    let (reply, gate) = Reply::words("One.").gated(0);
    model.script(reply);
    let first = scene.create(json!({})).await;
    model.wait_for_request().await;
    // Three wait: a run that is cancelled, one that is not, and a chat.
    let (client, assistant) = (scene.client.clone(), scene.assistant.clone());
    let waiting = |text: &'static str| {
        let (client, assistant) = (client.clone(), assistant.clone());
        async move {
            let thread = client.create_thread(&[text]).await;
            let run = client.create_run(&thread, &assistant).await;
            client.wait_until(&run, "in_progress").await
        }
    };
    let second = waiting("Two").await;
    let third = waiting("Three").await;
    let chatting = client.clone();
    let chat = tokio::spawn(async move { post(&chatting, "/chat/completions", &chat("gpt-4o")).await });
    client.post(&crate::support::scene::cancel_path(&second), json!({})).await.ok();
    client.wait_until(&second, "cancelled").await;
    assert_eq!(model.requests().len(), 1);
    gate.open();
    client.wait_until(&first, "completed").await;
    client.wait_until(&third, "completed").await;
    assert_eq!(chat.await.expect("the chat ends").status(), 200);
    assert_eq!(model.requests().len(), 3);
    scene.app.stop().await;
}

#[tokio::test]
async fn a_request_that_waits_too_long_for_its_turn_is_told_so() {
    // What passes waits so long for its turn; runs do not.
    let (scene, model) = scene("concurrency = 1\nreply_seconds = 0.2").await;
    let (reply, gate) = Reply::words("One.").gated(0);
    model.script(reply);
    let run = scene.create(json!({})).await;
    model.wait_for_request().await;
    let busy = scene.client.post("/chat/completions", chat("gpt-4o")).await;
    let message = "The model server has as many requests as it takes. Try again shortly.";
    busy.assert_error(503, message, None, Some("upstream_busy"));
    gate.open();
    scene.client.wait_until(&run, "completed").await;
    assert_eq!(model.requests().len(), 1);
    scene.app.stop().await;
}

#[tokio::test]
async fn a_run_that_waits_for_its_turn_expires_and_who_leaves_makes_room() {
    let upstream = Upstream::start().await;
    let text = format!(
        "[[upstream]]\nname = 'there'\nbase_url = '{}'\nmodels = ['*']\nconcurrency = 1\n",
        upstream.url
    );
    let app = File::of(&text).builder().run_seconds(0.5).start().await;
    let (answer, events) = Answer::events();
    upstream.answer(answer);
    events.send(": hello\n\n".into()).expect("the stream is read");
    let reply = post(&app.bare(), "/chat/completions", &chat("gpt-4o")).await;
    assert_eq!(reply.status(), 200);
    let scene = Scene::on(app).await;
    scene.run(json!({"tools": []}), "expired").await;
    assert!(upstream.seen().iter().all(|seen| seen.method == "GET" || seen.json() == chat("gpt-4o")));
    drop(reply);
    upstream.wait_for_left(1).await;
    assert_eq!(post(&scene.client, "/chat/completions", &chat("gpt-4o")).await.status(), 200);
    scene.app.stop().await;
}
