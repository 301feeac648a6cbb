//! Many at once: locks hold, nothing is lost, and nothing stays behind.

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::client::{Answer, id, run_path};
use crate::support::scene::{cancel_path, outputs, submit_path, word};
use crate::support::{Client, Reply, Scene, TestApp};

/// Sends the same request so many times at once.
async fn at_once(client: &Client, path: &str, body: &Value, count: usize) -> Vec<Answer> {
    let requests = (0..count).map(|_| {
        let (client, path, body) = (client.clone(), path.to_owned(), body.clone());
        tokio::spawn(async move { client.post(&path, body).await })
    });
    join_all(requests).await.into_iter().map(|answer| answer.expect("no panic")).collect()
}

/// Splits answers into successes and the messages of the 400s; there must be no others.
fn sort(answers: Vec<Answer>) -> (Vec<Value>, Vec<String>) {
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer.status {
            200 => done.push(answer.body),
            400 => refused.push(word(&answer.body["error"]["message"])),
            _ => panic!("{} {}", answer.status, answer.text),
        }
    }
    (done, refused)
}

/// Checks that runs which have ended hold nothing: no lease, no thread, no open step or message.
async fn assert_nothing_held(db: &PgPool) {
    for (what, query) in [
        (
            "runs with a lease after their end",
            "select id from runs where (lease_owner is not null or lease_until is not null)
                and status not in ('queued', 'in_progress', 'cancelling')",
        ),
        (
            "threads locked by a run that has ended",
            "select t.id from threads t where active_run_id is not null and not exists (select 1 from runs r
                where r.id = t.active_run_id and r.thread_id = t.id
                and r.status in ('queued', 'in_progress', 'requires_action', 'cancelling'))",
        ),
        (
            "live runs whose thread is not locked by them",
            "select r.id from runs r join threads t on t.id = r.thread_id
                where r.status in ('queued', 'in_progress', 'requires_action', 'cancelling')
                and t.active_run_id is distinct from r.id",
        ),
        (
            "steps left open",
            "select s.id from run_steps s join runs r on r.id = s.run_id where s.status = 'in_progress'
                and r.status not in ('queued', 'in_progress', 'requires_action', 'cancelling')",
        ),
        (
            "messages left open",
            "select m.id from messages m join runs r on r.id = m.run_id where m.status = 'in_progress'
                and r.status not in ('queued', 'in_progress', 'requires_action', 'cancelling')",
        ),
        (
            "messages above what their thread knows",
            "select m.id from messages m join threads t on t.id = m.thread_id
                where m.ord > t.last_ord and t.active_run_id is null",
        ),
    ] {
        let ids: Vec<String> = sqlx::query_scalar(query).fetch_all(db).await.expect("the query runs");
        assert_eq!(ids, Vec::<String>::new(), "{what}");
    }
}

/// Polls runs until all have ended; returns them as they are then.
async fn wait_for_ends(client: &Client, runs: &[Value]) -> Vec<Value> {
    let mut ended = Vec::new();
    for run in runs {
        let mut run = run.clone();
        for _ in 0..1_500 {
            run = client.reload(&run).await;
            if run["expires_at"].is_null() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(run["expires_at"].is_null(), "the run does not end: {run:#}");
        ended.push(run);
    }
    ended
}

#[tokio::test]
async fn of_fifty_runs_at_once_on_one_thread_one_is_created() {
    let scene = Scene::start().await;
    let (reply, gate) = Reply::words("Sunny.").gated(0);
    scene.model().script(reply);
    let answers = at_once(&scene.client, &scene.runs(), &scene.body(json!({})), 50).await;
    let (created, refused) = sort(answers);
    assert_eq!((created.len(), refused.len()), (1, 49));
    let expected = format!("Thread {} already has an active run {}.", id(&scene.thread), id(&created[0]));
    assert!(refused.iter().all(|message| *message == expected), "{refused:?}");
    gate.open();
    scene.client.wait_until(&created[0], "completed").await;
    assert_eq!(scene.client.get(&scene.runs()).await.data().len(), 1);
    assert_eq!(scene.model().requests().len(), 1);
    assert_nothing_held(scene.app.db().await).await;
    scene.app.stop().await;
}

#[tokio::test]
async fn a_hundred_messages_at_once_are_all_there_in_one_strict_order() {
    let scene = Scene::start().await;
    let path = format!("/threads/{}/messages", id(&scene.thread));
    let writers = (0..10).map(|writer| {
        let (client, path) = (scene.client.clone(), path.clone());
        tokio::spawn(async move {
            let mut written = Vec::new();
            for number in 0..10 {
                let body = json!({"role": "user", "content": format!("{writer}/{number}")});
                written.push(client.post(&path, body).await.ok());
            }
            written
        })
    });
    let written: Vec<Vec<Value>> =
        join_all(writers).await.into_iter().map(|written| written.expect("no panic")).collect();

    let mut listed = Vec::new();
    let mut page = scene.client.get(&format!("{path}?order=asc&limit=40")).await.ok();
    loop {
        listed.extend(page["data"].as_array().expect("data").clone());
        if page["has_more"] == false {
            break;
        }
        let next = format!("{path}?order=asc&limit=40&after={}", page["last_id"].as_str().expect("an id"));
        page = scene.client.get(&next).await.ok();
    }
    assert_eq!(listed.len(), 101);
    assert!(listed.windows(2).all(|pair| id(&pair[0]) < id(&pair[1])));
    let place = |message: &Value| listed.iter().position(|listed| listed == message).expect("it is listed");
    for written in &written {
        // What one writer wrote later stands later.
        let places: Vec<usize> = written.iter().map(place).collect();
        assert!(places.is_sorted(), "{places:?}");
    }
    assert_nothing_held(scene.app.db().await).await;
    scene.app.stop().await;
}

#[tokio::test]
async fn no_message_slips_into_a_thread_after_its_run_began() {
    let scene = Scene::start().await;
    let (reply, gate) = Reply::words("Sunny.").gated(0);
    scene.model().script(reply);
    let path = format!("/threads/{}/messages", id(&scene.thread));
    let message = json!({"role": "user", "content": "Quick!"});
    let (messages, run) = tokio::join!(at_once(&scene.client, &path, &message, 60), scene.create(json!({})));
    let (stored, refused) = sort(messages);
    assert_eq!(stored.len() + refused.len(), 60);
    let busy = format!("Can't add messages to {} while a run {} is active.", id(&scene.thread), id(&run));
    assert!(refused.iter().all(|message| *message == busy), "{refused:?}");
    // Ids sort as their objects were added: the run comes after every message that was taken.
    let of_run = id(&run).strip_prefix("run_").expect("a run's id");
    for message in &stored {
        assert!(id(message).strip_prefix("msg_").expect("a message's id") < of_run);
    }
    gate.open();
    scene.client.wait_until(&run, "completed").await;
    assert_eq!(scene.client.messages(&scene.thread).await.len(), 2 + stored.len());
    // The model was shown each of them.
    let asked = &scene.model().requests()[0]["messages"];
    assert_eq!(asked.as_array().expect("messages").len(), 1 + stored.len());
    scene.app.stop().await;
}

#[tokio::test]
async fn a_hundred_runs_at_once_complete_with_four_workers() {
    let scene = Scene::on(TestApp::builder().workers(4).start().await).await;
    let thread = json!({"thread": {"messages": [{"role": "user", "content": "Hi"}]}});
    let answers = at_once(&scene.client, "/threads/runs", &scene.body(thread), 100).await;
    let (runs, refused) = sort(answers);
    assert_eq!((runs.len(), refused), (100, vec![]));
    for run in wait_for_ends(&scene.client, &runs).await {
        assert_eq!(run["status"], "completed", "{run:#}");
        let path = format!("/threads/{}/messages?order=asc", word(&run["thread_id"]));
        let messages = scene.client.get(&path).await.data();
        let roles: Vec<&Value> = messages.iter().map(|message| &message["role"]).collect();
        assert_eq!(roles, ["user", "assistant"]);
    }
    assert_eq!(scene.model().requests().len(), 100);
    assert_nothing_held(scene.app.db().await).await;
    scene.app.stop().await;
}

#[tokio::test]
async fn two_nodes_share_the_runs_and_none_is_done_twice() {
    let first = TestApp::builder().workers(2).start().await;
    let second = TestApp::builder().workers(2).database(&first.database).model(&first.model).start().await;
    let other = second.v2();
    let scene = Scene::on(first).await;
    let body = scene.body(json!({"thread": {"messages": [{"role": "user", "content": "Hi"}]}}));
    let (here, there) = tokio::join!(
        at_once(&scene.client, "/threads/runs", &body, 20),
        at_once(&other, "/threads/runs", &body, 20)
    );
    let runs: Vec<Value> = [here, there].into_iter().flat_map(|answers| sort(answers).0).collect();
    assert_eq!(runs.len(), 40);
    for run in wait_for_ends(&other, &runs).await {
        assert_eq!(run["status"], "completed", "{run:#}");
    }
    assert_eq!(scene.model().requests().len(), 40);
    assert_nothing_held(scene.app.db().await).await;
    second.stop().await;
    scene.app.stop().await;
}

#[tokio::test]
async fn a_cancel_and_an_end_at_once_leave_one_of_both() {
    let scene = Scene::start().await;
    let body = scene.body(json!({"thread": {"messages": [{"role": "user", "content": "Hi"}]}}));
    let races = (0..40).map(|_| {
        let (client, body) = (scene.client.clone(), body.clone());
        tokio::spawn(async move {
            let run = client.post("/threads/runs", body).await.ok();
            let cancel = client.post(&cancel_path(&run), json!({})).await;
            (run, cancel)
        })
    });
    let races: Vec<(Value, Answer)> =
        join_all(races).await.into_iter().map(|race| race.expect("no panic")).collect();
    for (run, cancel) in races {
        let ended = wait_for_ends(&scene.client, std::slice::from_ref(&run)).await.remove(0);
        if cancel.status == 200 {
            assert_eq!(
                (&cancel.body["status"], &ended["status"]),
                (&json!("cancelling"), &json!("cancelled"))
            );
        } else {
            cancel.assert_error(400, "Cannot cancel run with status 'completed'.", None, None);
            assert_eq!(ended["status"], "completed");
        }
        let path = format!("/threads/{}/messages?run_id={}", word(&run["thread_id"]), id(&run));
        for message in scene.client.get(&path).await.data() {
            let expected = if ended["status"] == "completed" { "completed" } else { "incomplete" };
            assert_eq!(message["status"], expected);
        }
    }
    assert_nothing_held(scene.app.db().await).await;
    scene.app.stop().await;
}

#[tokio::test]
async fn of_twenty_equal_submissions_one_is_taken() {
    let scene = Scene::start().await;
    scene.model().script(Reply::call("get_weather", "{}"));
    let (reply, gate) = Reply::words("Sunny.").gated(0);
    scene.model().script(reply);
    let run = scene.run(json!({}), "requires_action").await;
    let answers = at_once(&scene.client, &submit_path(&run), &outputs(&run, &["sunny"]), 20).await;
    let (taken, refused) = sort(answers);
    assert_eq!((taken.len(), refused.len()), (1, 19));
    assert!(refused.iter().all(|message| message.ends_with("do not accept tool outputs.")), "{refused:?}");
    gate.open();
    scene.client.wait_until(&run, "completed").await;
    assert_eq!(scene.model().requests().len(), 2);
    assert_nothing_held(scene.app.db().await).await;
    scene.app.stop().await;
}

#[tokio::test]
async fn a_worker_that_has_lost_its_lease_writes_nothing_more() {
    let scene = Scene::start().await;
    let (reply, gate) = Reply::text(["Out ", "of ", "date."]).gated(2);
    scene.model().script(reply);
    scene.model().script(Reply::words("In time."));
    let run = scene.create(json!({})).await;
    gate.reached().await;
    let db = scene.app.db().await;
    let lapse = "update runs set lease_until = now() - interval '1 second' where id = $1";
    sqlx::query(lapse).bind(id(&run)).execute(db).await.expect("the lease lapses");
    // Taken back and done anew, while the first worker still believes that the run is its own.
    let ended = scene.client.wait_until(&run, "completed").await;
    gate.open();
    scene.model().wait_for_requests(2).await;
    scene.run(json!({}), "completed").await;
    let said: Vec<String> = scene.texts().await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(said, ["What is the weather like?", "In time.", "Hello from the scripted model."]);
    assert_eq!(scene.client.reload(&run).await, ended);
    assert_eq!(scene.client.steps(&run).await.len(), 1);
    assert_nothing_held(db).await;
    scene.app.stop().await;
}

#[tokio::test]
async fn threads_are_deleted_whatever_their_runs_are_doing() {
    let scene = Scene::start().await;
    let body = scene.body(json!({"thread": {"messages": [{"role": "user", "content": "Hi"}]}}));
    let deletions = (0..60_u64).map(|number| {
        let (client, body) = (scene.client.clone(), body.clone());
        tokio::spawn(async move {
            let run = client.post("/threads/runs", body).await.ok();
            // Somewhere between its beginning and its end.
            tokio::time::sleep(std::time::Duration::from_millis(number % 20)).await;
            let deleted = client.delete(&format!("/threads/{}", word(&run["thread_id"]))).await;
            (run, deleted)
        })
    });
    for deletion in join_all(deletions).await {
        let (run, deleted) = deletion.expect("no panic");
        assert_eq!(deleted.ok()["deleted"], true);
        assert_eq!(scene.client.get(&run_path(&run)).await.status, 404);
    }
    let db = scene.app.db().await;
    for table in ["runs", "run_steps", "messages"] {
        let query = format!("select count(*) from {table} x where thread_id <> $1");
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .bind(id(&scene.thread))
            .fetch_one(db)
            .await
            .expect("the query runs");
        assert_eq!(left, 0, "{table}");
    }
    scene.app.stop().await;
}
