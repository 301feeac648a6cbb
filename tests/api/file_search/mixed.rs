use super::*;

/// A search and a function in one reply.
fn both_calls(search_first: bool) -> Reply {
    let mut calls = [("file_search", r#"{"queries":["cake"]}"#), ("get_weather", r#"{"city":"Paris"}"#)];
    if !search_first {
        calls.reverse();
    }
    Reply::calls(calls)
}

#[tokio::test]
async fn what_the_server_answers_waits_with_the_run_for_what_the_client_does() {
    for library in Library::both().await {
        for search_first in [true, false] {
            let marker = library.marker((0, 0), 0, FOODS.0);
            library.scene.model().script(both_calls(search_first));
            let run = library.scene.run(json!({}), "requires_action").await;
            let required = required_calls(&run);
            assert_eq!((required.len(), &required[0]["function"]["name"]), (1, &json!("get_weather")));
            // It is there already, and shown.
            let step = library.scene.client.steps(&run).await[0].clone();
            let at = usize::from(!search_first);
            let calls = step["step_details"]["tool_calls"].as_array().unwrap();
            assert_eq!((calls.len(), &step["status"]), (2, &json!("in_progress")));
            let kind = if library.is_v1 { "retrieval" } else { "file_search" };
            assert_eq!(
                (&calls[at]["type"], &calls[1 - at]["function"]["output"]),
                (&json!(kind), &Value::Null)
            );
            if !library.is_v1 {
                assert_eq!(calls[at]["file_search"]["results"][0]["file_name"], FOODS.0);
            }

            library.scene.model().script(Reply::text(["Cake", &marker, " and sun."]));
            library.scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
            library.scene.client.wait_until(&run, "completed").await;
            let requests = library.scene.model().requests();
            let messages = requests.last().unwrap()["messages"].as_array().unwrap();
            let outputs: Vec<&Value> =
                messages.iter().rev().take(2).map(|message| &message["content"]).collect();
            assert_eq!(outputs[at], "sunny");
            assert!(word(outputs[1 - at]).contains(&marker));
            let message = library.scene.client.messages(&library.scene.thread).await.pop().unwrap();
            assert_eq!(cited(&message), [(marker, library.files[1].clone())]);
        }
        library.close().await;
    }
}

#[tokio::test]
async fn both_kinds_are_streamed_as_one_step() {
    for library in Library::both().await {
        let path = library.including();
        let marker = library.marker((0, 0), 0, FOODS.0);
        library.scene.model().script(both_calls(true));
        let events = library.scene.client.stream(&path, library.scene.body(json!({}))).await.rest().await;
        // The search has one piece, the function one and its arguments in three.
        let expected = format!("{BEGIN} step.created step.in_progress step.delta*5 run.requires_action");
        assert_eq!(shape(&events), expected);
        let run = bodies(&events, "thread.run.requires_action")[0].clone();
        library.scene.model().script(Reply::text([&marker]));
        let submit = submit_path(&run);
        let rest = library.scene.client.stream(&submit, outputs(&run, &["sunny"])).await.rest().await;
        let expected =
            format!("step.completed run.queued run.in_progress {OPEN} message.delta {CLOSE} run.completed");
        assert_eq!(shape(&rest), expected);
        assert_as_stored(&library.scene, &rest).await;
        assert_pieces_make(&rest, &library.message().await, library.is_v1);
        library.close().await;
    }
}

#[tokio::test]
async fn a_name_that_nobody_has_stands_beside_a_search() {
    let library = Library::open(false).await;
    library.scene.model().script(Reply::calls([("fly", "{}"), ("file_search", r#"{"queries":["cake"]}"#)]));
    library.scene.model().script(Reply::text(["Cake【0:0†foods.txt】"]));
    let events = library.scene.stream(json!({})).await.rest().await;
    assert_as_stored(&library.scene, &events).await;
    let call = &bodies(&events, "thread.run.step.completed")[0]["step_details"]["tool_calls"];
    assert!(word(&call[0]["function"]["output"]).contains("no function named 'fly'"));
    assert_eq!(cited(&library.message().await).len(), 1);
    library.close().await;
}
