use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{desk_and_worker, stranger};
use crate::support::client::id;
use crate::support::{Client, Reply, Scene, TestApp};

/// Runs on so many new threads, all at once; the thread says whose they are.
async fn runs_of(client: &Client, name: &str, count: usize) -> Vec<Value> {
    let assistant = client.create_assistant(json!({})).await;
    let created = (0..count).map(|_| async {
        let thread = client.create_thread(&[name]).await;
        client.create_run(&thread, &assistant).await
    });
    join_all(created).await
}

/// The first message of a request to the model that is a user's.
fn asked(request: &Value) -> String {
    let mut messages = request["messages"].as_array().expect("messages").iter();
    let message = messages.find(|message| message["role"] == "user").expect("a user's message");
    message["content"].as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn a_project_with_many_queued_runs_does_not_keep_another_waiting() {
    let app = TestApp::builder().workers(1).start().await;
    let (reply, gate) = Reply::words("First.").gated(0);
    app.model.script(reply);
    let many = runs_of(&app.v2(), "many", 8).await;
    app.model.wait_for_request().await;
    let few = runs_of(&stranger(&app, "few").await, "few", 2).await;
    gate.open();
    for run in &many {
        app.v2().wait_until(run, "completed").await;
    }
    let order: Vec<String> = app.model.requests().iter().map(asked).collect();
    // They take turns: whose is next depends on their ids.
    assert_eq!((order.len(), few.len()), (10, 2));
    assert!(order[1..=4].iter().filter(|name| *name == "few").count() == 2, "{order:?}");
}

#[tokio::test]
async fn a_project_that_has_less_under_way_goes_first() {
    let app = TestApp::builder().workers(2).start().await;
    let mut gates = Vec::new();
    for _ in 0..2 {
        let (reply, gate) = Reply::words("First.").gated(0);
        app.model.script(reply);
        gates.push(gate);
    }
    runs_of(&app.v2(), "many", 8).await;
    app.model.wait_for_requests(2).await;
    // The next replies wait too, so that one of the first project stays under way.
    let (reply, last) = Reply::words("Few.").gated(0);
    app.model.script(reply);
    runs_of(&stranger(&app, "few").await, "few", 1).await;
    gates.remove(0).open();
    let requests = app.model.wait_for_requests(3).await;
    assert_eq!(asked(&requests[2]), "few");
    last.open();
    gates.remove(0).open();
}

#[tokio::test]
async fn no_more_runs_of_a_project_are_executed_at_once_than_its_limit() {
    let limited = || TestApp::builder().argument("--project-runs", 3);
    let app = limited().start().await;
    let other = limited().database(&app.database).model(&app.model).start().await;
    let mut gates = Vec::new();
    for _ in 0..12 {
        let (reply, gate) = Reply::words("Done.").gated(0);
        app.model.script(reply);
        gates.push(gate);
    }
    let (here, there) = (app.v2(), other.v2());
    let (first, second) = tokio::join!(runs_of(&here, "one", 6), runs_of(&there, "one", 6));
    let stranger = stranger(&app, "other").await;
    for (ended, gate) in gates.into_iter().enumerate() {
        // Three are at the model, and one more was for each that has ended.
        let asked = app.model.wait_for_requests((3 + ended).min(12)).await.len();
        assert!(asked <= 3 + ended, "{asked} runs begun when {ended} had ended");
        assert!(executed(&app).await <= 3);
        gate.open();
    }
    for run in first.iter().chain(&second) {
        here.wait_until(run, "completed").await;
    }
    // The limit is a project's.
    let runs = runs_of(&stranger, "other", 1).await;
    stranger.wait_until(&runs[0], "completed").await;
    assert_eq!(app.model.requests().len(), 13);
}

async fn executed(app: &TestApp) -> i64 {
    let count = sqlx::query_scalar("select count(*) from runs where lease_owner is not null");
    count.fetch_one(app.db().await).await.unwrap()
}

#[tokio::test]
async fn a_project_at_its_limit_leaves_room_for_another() {
    let (desk, _worker) = desk_and_worker(TestApp::builder().workers(2).argument("--project-runs", 1)).await;
    let (reply, gate) = Reply::words("Long.").gated(0);
    desk.model().script(reply);
    let many = runs_of(&desk.client, "many", 5).await;
    desk.model().wait_for_request().await;
    let other = stranger(&desk.app, "other").await;
    let runs = runs_of(&other, "other", 1).await;
    other.wait_until(&runs[0], "completed").await;
    // One of the first project is at work all the while, none has ended.
    assert_eq!(desk.model().requests().len(), 2);
    gate.open();
    for run in &many {
        desk.client.wait_until(run, "completed").await;
    }
}

#[tokio::test]
async fn tool_outputs_are_worked_on_under_the_limit_as_well() {
    let app = TestApp::builder().argument("--project-runs", 1).start().await;
    let scene = Scene::on(app).await;
    scene.model().script(Reply::call("get_weather", "{}"));
    let waiting = scene.run(json!({}), "requires_action").await;
    let (reply, gate) = Reply::words("Long.").gated(0);
    scene.model().script(reply);
    scene.model().script(Reply::words("Sunny."));
    let other = runs_of(&scene.client, "other", 1).await;
    scene.model().wait_for_requests(2).await;
    let body = crate::support::scene::outputs(&waiting, &["sunny"]);
    let run = scene.client.post(&crate::support::scene::submit_path(&waiting), body).await.ok();
    assert_eq!(executed(&scene.app).await, 1);
    gate.open();
    scene.client.wait_until(&run, "completed").await;
    assert_eq!(id(&scene.client.wait_until(&other[0], "completed").await), id(&other[0]));
}
