//! Which server a name goes to, and what each is sent.

use super::*;

/// The names under which a server was asked for chats.
fn asked(model: &Model) -> Vec<String> {
    let names = model.requests().into_iter().map(|request| request["model"].as_str().map(str::to_owned));
    names.map(|name| name.expect("a name")).collect()
}

#[tokio::test]
async fn runs_and_chats_go_to_the_first_server_whose_patterns_match() {
    let (first, second) = (Model::start().await, Model::start().await);
    let file = File::of(&format!(
        "[[upstream]]\nname = 'first'\nbase_url = '{}'\nmodels = ['gpt-4o*']\nrename = {{ 'gpt-4o-mini' = 'small' }}\n\
         [[upstream]]\nname = 'second'\nbase_url = '{}/'\n$key\nmodels = ['gpt-*', 'claude-*']\n",
        first.url(),
        second.url(),
    ));
    let scene = Scene::on(file.builder().aliases("o1=own").start().await).await;
    for model in ["gpt-4o", "gpt-4o-mini", "gpt-4", "o1", "llama"] {
        scene.run(json!({"model": model, "tools": []}), "completed").await;
        let reply = post(&scene.client, "/chat/completions", &chat(model)).await;
        assert_eq!(reply.status(), 200, "{model}");
    }
    assert_eq!(asked(&first), ["gpt-4o", "gpt-4o", "small", "small"]);
    assert_eq!(asked(&second), ["gpt-4", "gpt-4"]);
    assert_eq!(asked(scene.model()), ["own", "own", "llama", "llama"]);
    let key = Some(format!("Bearer {MODEL_KEY}"));
    assert_eq!(second.authorizations(), [key.clone(), key]);
    assert_eq!(first.authorizations(), [None, None, None, None]);
    scene.app.stop().await;
}

#[tokio::test]
async fn a_name_that_nobody_has_is_a_404_and_fails_a_run_with_the_reason() {
    let upstream = Upstream::start().await;
    let file =
        File::of(&format!("[[upstream]]\nname = 'only'\nbase_url = '{}'\nmodels = ['mine']\n", upstream.url));
    // The server of the options is one that nobody has set.
    let builder = file.builder().argument("--model-url", "https://api.openai.com/v1");
    let scene = Scene::on(builder.start().await).await;
    let answer = scene.client.post("/chat/completions", chat("gpt-4o")).await;
    let message = "The model 'gpt-4o' does not exist or you do not have access to it.";
    answer.assert_error(404, message, None, Some("model_not_found"));
    let run = scene.run(json!({"tools": []}), "failed").await;
    let message = "No upstream of this server has a model named 'gpt-4o' (LOCUM_CONFIG).";
    assert_eq!(run["last_error"], json!({"code": "server_error", "message": message}));
    assert!(upstream.seen().is_empty());
    scene.app.stop().await;
}

#[tokio::test]
async fn azure_has_the_model_in_the_path_and_the_key_in_a_header_of_its_own() {
    let upstream = Upstream::start().await;
    let file = File::of(&format!(
        "[[upstream]]\nname = 'azure'\npreset = 'azure'\nbase_url = '{}'\napi_version = '2024-10-21'\n$key\n\
         rename = {{ 'gpt-4o' = 'my deployment' }}\nheaders = {{ x-team = 'search' }}\n",
        upstream.url.replace("/v1", "/openai")
    ));
    let app = file.builder().start().await;
    let reply = post(&app.bare(), "/chat/completions", &chat("gpt-4o")).await;
    assert_eq!(reply.status(), 200);
    let seen = upstream.last();
    assert_eq!(seen.path, "/openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21");
    assert_eq!(seen.header("api-key"), Some(MODEL_KEY));
    assert_eq!((seen.header("authorization"), seen.header("x-team")), (None, Some("search")));
    assert_eq!(seen.json()["model"], "my deployment");
    app.stop().await;
}

#[tokio::test]
async fn the_star_of_the_aliases_replaces_no_model_that_embeds() {
    let app = TestApp::builder().aliases("*=llama").start().await;
    let upstream = Upstream::start().await;
    let second = TestApp::builder()
        .aliases("*=llama,ada=minilm")
        .argument("--model-url", &upstream.url)
        .database(&app.database)
        .start()
        .await;
    for (path, model, expected) in [
        ("/embeddings", "text-embedding-3-small", "text-embedding-3-small"),
        ("/embeddings", "ada", "minilm"),
        ("/moderations", "omni", "omni"),
        ("/chat/completions", "gpt-4o", "llama"),
        ("/completions", "gpt-4o", "llama"),
    ] {
        let reply = post(&second.bare(), path, &json!({"model": model, "input": "a"})).await;
        assert_eq!(reply.status(), 200);
        assert_eq!(upstream.last().json()["model"], expected, "{path} {model}");
    }
    second.stop().await;
    app.stop().await;
}

#[tokio::test]
async fn embeddings_go_to_the_server_of_the_embedding_model_where_it_has_one() {
    let upstream = Upstream::start().await;
    let app = TestApp::builder().argument("--embedding-url", &upstream.url).start().await;
    let reply = post(&app.bare(), "/embeddings", &json!({"model": "minilm", "input": ["a"]})).await;
    assert_eq!(reply.status(), 200);
    assert_eq!(upstream.last().path, "/v1/embeddings");
    assert_eq!(upstream.last().json(), json!({"model": "minilm", "input": ["a"]}));
    app.stop().await;
}
