//! Plain streams of a run elsewhere, some of whose events are gone: what follows tells no less, and nothing twice.

use super::*;

/// From now on frames like this are never written down, as if a crash of PostgreSQL had emptied the table after them.
pub async fn forget(app: &TestApp, frames: &str) {
    let db = app.db().await;
    let body = format!(
        "create function forget() returns trigger language plpgsql as $$ begin
            if new.frame ~ '{frames}' then return null; end if;
            return new;
         end $$"
    );
    sqlx::query(sqlx::AssertSqlSafe(body)).execute(db).await.unwrap();
    let trigger = "create trigger forget before insert on run_events for each row execute function forget()";
    sqlx::query(trigger).execute(db).await.unwrap();
}

fn arguments(events: &[Event]) -> String {
    let deltas = events.iter().filter(|event| event.name == "thread.run.step.delta");
    let piece = |event: &Event| {
        let call = &event.data["delta"]["step_details"]["tool_calls"][0];
        call["function"]["arguments"].as_str().map(str::to_owned)
    };
    deltas.filter_map(piece).collect()
}

#[tokio::test]
async fn a_plain_stream_is_told_the_pieces_that_were_lost() {
    // One piece, all but the first, and all with the end of the message and of its step.
    for frames in ["\"ny\"", "\\.delta.*(\"ny\"|today|\"\\.\")", "today|step\\.completed"] {
        let first = TestApp::builder().config(|config| config.runs.workers = 0).start().await;
        forget(&first, frames).await;
        let second = beside(&first).await;
        let scene = Scene::on(first).await;
        let (reply, gate) = Reply::text(["Sun", "ny", " today", "."]).gated(2);
        scene.model().script(reply);
        let mut stream = scene.stream(json!({})).await;
        let mut events = stream.until("thread.message.delta").await;
        gate.reached().await;
        gate.open();
        events.extend(stream.rest().await);
        let run = run_of(&events);
        Kept::of(&events).assert_stored(&scene.client, &run).await;
        let message = "step.created step.in_progress message.created message.in_progress message.delta";
        let told = shape(&events);
        assert!(told.contains(message), "{frames}: {told}");
        for once in
            ["message.created", "message.completed", "step.created", "step.completed", "run.completed"]
        {
            let times = events
                .iter()
                .filter(|event| event.name == format!("thread.{}", once.replace("step.", "run.step.")));
            assert_eq!(times.count(), 1, "{frames}: {once} in {told}");
        }
        second.stop().await;
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn a_plain_stream_is_told_the_arguments_that_were_lost() {
    for frames in ["Par", "Par|requires_action"] {
        let first = TestApp::builder().config(|config| config.runs.workers = 0).start().await;
        forget(&first, frames).await;
        let second = beside(&first).await;
        let scene = Scene::on(first).await;
        scene.model().script(Reply::call("get_weather", r#"{"city":"Paris, which is far away"}"#));
        let events = scene.stream(json!({})).await.rest().await;
        assert_eq!(arguments(&events), r#"{"city":"Paris, which is far away"}"#, "{}", shape(&events));
        assert_eq!(events.last().unwrap().name, "thread.run.requires_action");
        scene.client.post(&format!("{}/cancel", run_path(&run_of(&events))), json!({})).await.ok();
        second.stop().await;
        scene.app.stop().await;
    }
}
