//! Several nodes on one database.

mod pooler;
mod projects;
mod queue;
mod refusals;

use crate::support::app::Builder;
use crate::support::{Client, Scene, TestApp};

/// A server that takes requests and leaves the runs to others, with an assistant and a thread; and another that
/// executes them, both on one database and one model.
async fn desk_and_worker(worker: Builder) -> (Scene, TestApp) {
    let desk = Scene::on(TestApp::builder().workers(0).start().await).await;
    let worker = worker.database(&desk.app.database).model(desk.model()).start().await;
    (desk, worker)
}

/// A client of another project.
async fn stranger(app: &TestApp, project: &str) -> Client {
    let key = app.new_key(project, None).await;
    app.v2().with_key(Some(&key))
}
