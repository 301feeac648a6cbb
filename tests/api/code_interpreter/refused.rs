use super::*;

/// An assistant can have the tool; what cannot be had is its result.
#[tokio::test]
async fn where_it_is_refused_runs_that_need_it_fail_with_the_reason() {
    for is_v1 in [false, true] {
        let scene = scene_on(TestApp::start().await, is_v1).await;
        assert_eq!(scene.assistant["tools"][0], json!({"type": "code_interpreter"}));
        scene.model().script(code("print(1)"));
        let events = scene.stream(json!({})).await.rest().await;
        let expected = format!("{BEGIN} step.created step.in_progress step.delta*3 step.failed run.failed");
        assert_eq!(shape(&events), expected);
        assert_as_stored(&scene, &events).await;
        let run = bodies(&events, "thread.run.failed")[0];
        let message = word(&run["last_error"]["message"]);
        assert!(message.starts_with("code_interpreter cannot run on this server: "), "{message}");
        assert!(message.contains("LOCUM_CODE_SANDBOX"), "{message}");

        let asked = scene.model().requests().len();
        let run = scene.run(json!({"tool_choice": {"type": "code_interpreter"}}), "failed").await;
        assert_eq!(run["last_error"]["message"], message);
        assert_eq!(scene.model().requests().len(), asked, "the model is not asked");
        // Who does not call it is not bothered.
        scene.model().script(Reply::text(["Hello."]));
        scene.run(json!({}), "completed").await;
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn readyz_says_what_isolates_or_why_nothing_does() {
    let off = TestApp::start().await;
    let health = off.anonymous().with_base(&off.url);
    let said = health.get("/readyz").await.ok();
    assert_eq!((&said["status"], &said["code_interpreter"]["status"]), (&json!("ready"), &json!("refused")));
    assert!(word(&said["code_interpreter"]["reason"]).contains("LOCUM_CODE_SANDBOX"), "{said}");
    off.stop().await;
    let on = server().start().await;
    let said = on.anonymous().with_base(&on.url).get("/readyz").await.ok();
    let tier = word(&said["code_interpreter"]["sandbox"]);
    assert!(["namespaces", "landlock"].contains(&tier.as_str()));
    assert_eq!(said, json!({"status": "ready", "code_interpreter": {"status": "ready", "sandbox": tier}}));
    on.stop().await;
}
