//! The real binary, killed.

use super::*;
use crate::support::Model;
use crate::support::binary::Server;
use crate::support::database::TestDatabase;

pub const KEY: &str = "lk_configured";

pub fn serve(database: &TestDatabase, model: &Model) -> Server {
    Server::start(&[
        ("DATABASE_URL", &database.url()),
        ("LOCUM_API_KEYS", KEY),
        ("LOCUM_MODEL_URL", &model.url()),
        ("LOCUM_LEASE_SECONDS", "2"),
    ])
}

/// A turn that was stored whole, and one under way when the node is killed.
#[tokio::test]
async fn a_stream_whose_node_is_killed_is_resumed_at_the_node_that_finishes_its_run() {
    let (database, model) = (TestDatabase::create(), Model::start().await);
    let (first, second) = (serve(&database, &model), serve(&database, &model));
    let client = first.client(KEY);
    let assistant = client.create_assistant(json!({"tools": [function("get_weather")]})).await;
    let thread = client.create_thread(&["What is the weather like?"]).await;
    let body = json!({"assistant_id": id(&assistant)});
    // A function that nobody knows is answered by the server, and the next turn follows.
    model.script(Reply::text(["Let me look."]).then_call("no_such_function", "{}"));
    model.script(Reply::text(["Rai", "ny"]).hang_after(2));
    let mut stream = client.resumable_stream(&format!("/threads/{}/runs", id(&thread)), body).await;
    let mut events = stream.until("thread.message.delta").await;
    events.extend(stream.until("thread.run.step.delta").await);
    events.extend(stream.until("thread.message.delta").await);
    let run = run_of(&events);
    model.script(Reply::text(["Sun", "ny", "."]));
    first.kill();
    drop(stream);

    let client = second.client(KEY);
    events.extend(client.events(&run, Some(last_id(&events))).await.rest().await);
    assert_eq!(events.last().unwrap().name, "thread.run.completed");
    Kept::of(&events).assert_stored(&client, &run).await;
    let run = client.reload(&run).await;
    assert_eq!(client.messages(&thread).await.iter().map(text).collect::<Vec<_>>().last().unwrap(), "Sunny.");
    assert_eq!((model.requests().len(), client.steps(&run).await.len()), (3, 3));
    let whole = client.events(&run, None).await.rest().await;
    Kept::of(&whole).assert_stored(&client, &run).await;
    second.stop();
}
