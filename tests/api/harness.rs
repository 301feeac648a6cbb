//! The harness itself: what it must not let pass.

use serde_json::json;

use crate::support::client::run_path;
use crate::support::{Reply, TestApp};

#[tokio::test]
#[should_panic(expected = "runs were left over")]
async fn a_run_that_has_not_ended_fails_its_test() {
    let app = TestApp::start().await;
    let client = app.v2();
    let function = json!({"type": "function", "function": {"name": "get_weather"}});
    let assistant = client.create_assistant(json!({"tools": [function]})).await;
    let thread = client.create_thread(&["call get_weather"]).await;
    let run = client.create_run(&thread, &assistant).await;
    client.wait_until(&run, "requires_action").await;
}

#[tokio::test]
async fn the_model_notices_that_its_client_has_left_and_no_other_end() {
    let app = TestApp::start().await;
    let client = app.v2();
    app.model.script(Reply::words("All is well."));
    app.model.script(Reply::words("One two three").hang_after(2));
    let assistant = client.create_assistant(json!({})).await;
    for end in ["completed", "cancelled"] {
        let thread = client.create_thread(&["Hello"]).await;
        let run = client.create_run(&thread, &assistant).await;
        app.model.wait_for_request().await;
        assert_eq!(app.model.disconnects(), 0);
        if end == "cancelled" {
            client.post(&format!("{}/cancel", run_path(&run)), json!({})).await.ok();
            app.model.wait_for_disconnect().await;
        }
        client.wait_until(&run, end).await;
    }
    app.stop().await;
}
