//! `/models`.

use super::*;

#[tokio::test]
async fn the_lists_of_all_servers_and_the_names_of_the_configuration_are_one_list() {
    let (first, second) = (Model::start().await, Model::start().await);
    first.set_models(json!({"object": "list", "data": [
        {"id": "small", "object": "model", "created": 7, "owned_by": "someone"},
        {"id": "hidden", "object": "model", "created": 8, "owned_by": "someone"},
    ]}));
    second.set_models(json!({"data": [{"id": "models/gemini-2.5-flash"}, {"id": "small"}, {"id": 1}, "x"]}));
    let file = File::of(&format!(
        "[[upstream]]\nname = 'first'\nbase_url = '{}'\nmodels = ['small']\nrename = {{ 'gpt-4o-mini' = 'small' }}\n\
         [[upstream]]\nname = 'second'\npreset = 'gemini'\nbase_url = '{}'\nmodels = ['gemini-*', 'org/name']\n\
         [[upstream]]\nname = 'away'\nbase_url = 'http://127.0.0.1:1/v1'\nmodels = ['there']\n",
        first.url(),
        second.url(),
    ));
    let embeddings = Model::start().await;
    embeddings.set_models(json!({"data": [{"id": "minilm", "created": 3, "owned_by": "them"}]}));
    let builder = file.builder().aliases("old=new").argument("--embedding-url", embeddings.url());
    let app = builder.start().await;
    app.model.set_models(json!({"data": [{"id": "new", "created": 9, "owned_by": "me"}]}));
    let entry = |id: &str, created: i64, owner: &str| json!({"id": id, "object": "model", "created": created, "owned_by": owner});
    let expected = [
        entry("gemini-2.5-flash", 0, "second"),
        entry("gpt-4o-mini", 7, "someone"),
        entry("minilm", 3, "them"),
        entry("new", 9, "me"),
        entry("old", 9, "me"),
        entry("org/name", 0, "second"),
        entry("small", 7, "someone"),
        entry("there", 0, "away"),
    ];
    for client in [app.bare(), app.v1(), app.v2()] {
        let list = client.get("/models").await.ok();
        assert_eq!(list, json!({"object": "list", "data": expected}));
    }
    for one in &expected {
        let reply = app.bare().request(Method::GET, &format!("/models/{}", id(one))).send().await;
        assert_eq!(json_of(reply.expect("the server answers")).await, *one);
    }
    assert_eq!(app.bare().get("/models/org%2Fname").await.ok(), expected[5]);
    app.stop().await;
}

#[tokio::test]
async fn a_model_that_is_in_no_list_is_a_404_and_none_can_be_deleted() {
    let app = TestApp::start().await;
    let client = app.bare();
    let message = "The model 'nothing' does not exist or you do not have access to it.";
    client.get("/models/nothing").await.assert_error(404, message, None, Some("model_not_found"));
    let message = "The model 'gpt-4o' cannot be deleted: models are the model servers' own, and are taken away by \
                   whoever configures this server.";
    let refused = client.delete("/models/gpt-4o").await;
    refused.assert_error(400, message, Some("model"), Some("model_not_deletable"));
    assert_eq!(app.anonymous().get("/models").await.status, 401);
    app.stop().await;
}
