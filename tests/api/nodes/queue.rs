use serde_json::json;

use super::desk_and_worker;
use crate::support::client::id;
use crate::support::scene::{cancel_path, outputs, submit_path};
use crate::support::{Reply, Scene, TestApp};

#[tokio::test]
async fn a_node_without_workers_takes_requests_and_another_executes() {
    let (desk, worker) = desk_and_worker(TestApp::builder()).await;
    desk.model().script(Reply::call("get_weather", "{}"));
    desk.model().script(Reply::words("Sunny."));
    let waiting = desk.run(json!({}), "requires_action").await;
    desk.client.post(&submit_path(&waiting), outputs(&waiting, &["sunny"])).await.ok();
    let done = worker.v2().wait_until(&waiting, "completed").await;
    assert_eq!(desk.client.reload(&done).await, done);
    assert_eq!(desk.texts().await.last().unwrap().1, "Sunny.");
}

#[tokio::test]
async fn a_cancel_at_another_node_ends_the_upstream_request() {
    let (desk, worker) = desk_and_worker(TestApp::builder()).await;
    desk.model().script(Reply::words("Half a sentence").hang_after(2));
    let run = desk.create(json!({})).await;
    desk.model().wait_for_request().await;
    let run = desk.client.wait_until(&run, "in_progress").await;
    let answer = desk.client.post(&cancel_path(&run), json!({})).await.ok();
    assert_eq!(answer["status"], "cancelling");
    desk.model().wait_for_disconnect().await;
    let run = worker.v2().wait_until(&run, "cancelled").await;
    assert_eq!(run["assistant_id"], id(&desk.assistant));
}

#[tokio::test]
async fn runs_of_a_node_that_stops_go_on_at_once_elsewhere() {
    // Nothing but the release could bring the run to the other node within a test's patience.
    let lease = |builder: crate::support::app::Builder| builder.argument("--lease-seconds", 600);
    let first = Scene::on(
        lease(TestApp::builder())
            .argument("--shutdown-seconds", 0)
            .argument("--close-seconds", 0)
            .start()
            .await,
    )
    .await;
    let model = first.model().clone();
    model.script(Reply::words("Half a sentence").hang_after(2));
    model.script(Reply::words("Whole."));
    let run = first.create(json!({})).await;
    model.wait_for_request().await;
    let second = lease(TestApp::builder()).database(&first.app.database).model(&model).start().await;
    first.app.stop().await;
    let run = second.v2().wait_until(&run, "completed").await;
    assert_eq!(second.v2().messages(&json!({"id": run["thread_id"]})).await.len(), 2);
}

#[tokio::test]
async fn a_lease_that_nobody_extends_lapses_and_the_run_goes_on() {
    let (desk, worker) = desk_and_worker(TestApp::builder().argument("--lease-seconds", 1)).await;
    let (reply, gate) = Reply::words("Long since somebody else's.").gated(2);
    desk.model().script(reply);
    desk.model().script(Reply::words("Whole."));
    let run = desk.create(json!({})).await;
    desk.model().wait_for_request().await;
    // As if its node had been silent: another has the run by now, and has lost it again.
    let stolen = sqlx::query(
        "update runs set lease_owner = 'node_gone', lease_token = lease_token + 1, lease_until = now()",
    );
    stolen.execute(desk.app.db().await).await.unwrap();
    gate.open();
    let run = worker.v2().wait_until(&run, "completed").await;
    assert_eq!(desk.texts().await.last().unwrap().1, "Whole.");
    assert_eq!(desk.client.steps(&run).await.len(), 1);
}
