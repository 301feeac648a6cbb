use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::database::Cluster;
use crate::support::embeddings::Embeddings;

use super::walk::{assert_same, walk};
use super::*;

/// What is there before anything else, and does not change: a thing of each kind.
struct Scene {
    threads: Vec<String>,
    /// It waits for outputs of its functions.
    waiting: Value,
    /// The model hangs in the middle of its reply.
    hanging: Value,
    /// An upload with one of its two parts.
    upload: Value,
    part: Value,
}

async fn scene(client: &Client, model: &Model) -> Scene {
    client.upload("image.png", "vision", crate::support::form::PNG).await;
    client.upload("empty.txt", "assistants", "").await;
    client.upload("large.bin", "assistants", noise(3 * 1024 * 1024)).await;
    let store = client
        .store_of(&[
            ("dogs.txt", "A puppy needs a licence.\n\tTabs, \\backslashes and ünïcödé."),
            ("cats.txt", "A cat needs no licence."),
        ])
        .await;
    let tools = json!([function("get_weather"), {"type": "file_search"}]);
    let resources = json!({"file_search": {"vector_store_ids": [id(&store)]}});
    let assistant = client
        .create_assistant(json!({"tools": tools, "tool_resources": resources, "name": "Zoë \\N \u{1}", "metadata": {"a": "1"}}))
        .await;
    let mut threads = Vec::new();
    let mut run = async |reply: Option<Reply>, text: &str| {
        let asked = model.requests().len();
        if let Some(reply) = reply {
            model.script(reply);
        }
        let thread = client.create_thread(&[text]).await;
        threads.push(id(&thread).to_owned());
        let run = client.create_run(&thread, &assistant).await;
        model.wait_for_requests(asked + 1).await;
        run
    };
    let done = run(None, "Hi").await;
    client.wait_until(&done, "completed").await;
    let waiting = run(Some(Reply::call("get_weather", "{\"city\": \"Köln\"}")), "Weather?").await;
    let waiting = client.wait_until(&waiting, "requires_action").await;
    let hanging = run(Some(Reply::words("Half a sentence").hang_after(2)), "Hi").await;
    let (upload, part) = pending_upload(client).await;
    Scene { threads, waiting, hanging, upload, part }
}

async fn pending_upload(client: &Client) -> (Value, Value) {
    let body =
        json!({"filename": "parts.txt", "purpose": "assistants", "bytes": 6, "mime_type": "text/plain"});
    let upload = client.post("/uploads", body).await.ok();
    let form = Form::new().file("data", "part", "abc");
    let part = client.post_form(&format!("/uploads/{}/parts", id(&upload)), form).await.ok();
    (upload, part)
}

/// Somebody who never stops: a thread, a file, and a message with that file; now and then a file is deleted and a run
/// made. Returns ids of threads and files in the order in which they were made, those that are deleted left out.
async fn busy(client: Client, assistant: Value, stop: Arc<AtomicBool>) -> (Vec<String>, Vec<String>) {
    let (mut threads, mut files) = (Vec::new(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let file = client.upload("busy.txt", "assistants", format!("number {}", files.len())).await;
        let attachments = json!([{"file_id": id(&file), "tools": [{"type": "file_search"}]}]);
        let thread = client.post("/threads", json!({})).await.ok();
        let path = format!("/threads/{}/messages", id(&thread));
        client
            .post(&path, json!({"role": "user", "content": "Busy.", "attachments": attachments}))
            .await
            .ok();
        client.create_run(&thread, &assistant).await;
        threads.push(id(&thread).to_owned());
        files.push(id(&file).to_owned());
        let fleeting = client.upload("fleeting.bin", "assistants", noise(100_000)).await;
        client.delete(&format!("/files/{}", id(&fleeting))).await.ok();
    }
    (threads, files)
}

/// How many of these, in their order, a table has; behind the first that is missing there is none.
async fn length_of_prefix(of: &[String], table: &str, db: &sqlx::PgPool) -> usize {
    let query = format!("select id from {table} where id = any($1)");
    let there: Vec<String> =
        sqlx::query_scalar(sqlx::AssertSqlSafe(query)).bind(of).fetch_all(db).await.expect("the rows");
    let length = of.iter().take_while(|id| there.contains(id)).count();
    assert_eq!(there.len(), length, "{table}: of {of:?} {there:?}");
    length
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_has_one_instant_and_all_of_it() {
    let model = Model::start().await;
    let (source, target) = (Place::new(&model), Place::new(&model));
    let (_folder, archive) = folder();
    let server = source.start();
    let client = server.client(KEY);
    let scene = scene(&client, &model).await;
    let before = walk(&client, &scene.threads).await;

    let stop = Arc::new(AtomicBool::new(false));
    let assistant = client.create_assistant(json!({})).await;
    let load: Vec<_> =
        (0..2).map(|_| tokio::spawn(busy(client.clone(), assistant.clone(), Arc::clone(&stop)))).collect();
    model.wait_for_requests(model.requests().len() + 2).await;
    let said = tokio::task::block_in_place(|| source.back_up(&archive));
    model.wait_for_requests(model.requests().len() + 1).await;
    stop.store(true, Ordering::Relaxed);
    let mut made = Vec::new();
    for busy in load {
        made.push(busy.await.expect("it is busy to the end"));
    }
    assert!(said.starts_with("Backed up ") && !said.contains("missing in the store"), "{said}");

    target.restore(&archive);
    let model_asked = model.requests().len();
    let restored = target.start();
    let client = restored.client(KEY);
    let after = walk(&client, &scene.threads).await;
    for (what, value) in &before {
        let run = id(&scene.hanging);
        // Under way again, or done by now.
        if !what.contains(run) && !what.contains(&scene.threads[2]) {
            assert_eq!(after.get(what), Some(value), "{what}");
        }
    }
    let pool = target.database.pool().await;
    for (threads, files) in &made {
        let (threads, files) = (
            length_of_prefix(threads, "threads", &pool).await,
            length_of_prefix(files, "files", &pool).await,
        );
        assert!(threads == files || threads + 1 == files, "{threads} threads, {files} files");
    }
    pool.close().await;
    // What had begun is begun again, and everything goes on.
    client.wait_until(&scene.hanging, "completed").await;
    assert!(model.requests().len() > model_asked);
    client.post(&submit_path(&scene.waiting), outputs(&scene.waiting, &["sunny"])).await.ok();
    client.wait_until(&scene.waiting, "completed").await;
    let path = format!("/uploads/{}", id(&scene.upload));
    let form = Form::new().file("data", "part", "def");
    let second = client.post_form(&format!("{path}/parts"), form).await.ok();
    let parts = json!({"part_ids": [id(&scene.part), id(&second)]});
    let completed = client.post(&format!("{path}/complete"), parts).await.ok();
    assert_eq!(client.download(&completed["file"]).await.bytes, b"abcdef");
    client.store_of(&[("new.txt", "Numbers go on where they were.")]).await;
    restored.stop();
    // It would wait for the run that hangs.
    server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_of_every_project_is_restored_as_it_was() {
    let model = Model::start().await;
    let (source, target) = (Place::new(&model), Place::new(&model));
    let (_folder, archive) = folder();
    let key = stdout(&["keys", "create", "--project", "red"], &source.settings());
    let revoked = stdout(&["keys", "create", "--project", "blue", "--name", "old"], &source.settings());
    let server = source.start();
    let client = server.client(KEY);
    let red = server.client(key.trim());
    let scene = scene(&client, &model).await;
    client
        .post(&format!("/threads/{}/runs/{}/cancel", scene.threads[2], id(&scene.hanging)), json!({}))
        .await
        .ok();
    client.wait_until(&scene.hanging, "cancelled").await;
    red.store_of(&[("red.txt", "Another project.")]).await;
    let thread = red.create_thread(&["Hi"]).await;
    let red_threads = [id(&thread).to_owned()];
    let (before, red_before) = (walk(&client, &scene.threads).await, walk(&red, &red_threads).await);
    assert!(server.client(revoked.trim()).get("/assistants").await.status == 200);
    server.stop();
    let listed = stdout(&["keys", "list"], &source.settings());

    source.back_up(&archive);
    // A pipe does as well as a file.
    let settings = target.settings();
    let mut restore = binary::locum(&["restore", "-"], &settings);
    restore.stdin(std::fs::File::open(&archive).expect("the archive"));
    let output = restore.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(stdout(&["keys", "list"], &target.settings()), listed);
    let restored = target.start();
    assert_same(&walk(&restored.client(KEY), &scene.threads).await, &before);
    assert_same(&walk(&restored.client(key.trim()), &red_threads).await, &red_before);
    assert!(before.len() > 25 && red_before.len() > 5, "{} {}", before.len(), red_before.len());
    restored.stop();
}

/// Settings of an embedding model, beside those of a place.
fn embedding<'a>(place: &'a Place, embeddings: &'a Embeddings) -> Vec<(&'a str, &'a str)> {
    let mut settings = place.settings();
    settings.extend([("LOCUM_EMBEDDING_MODEL", "embedder"), ("LOCUM_EMBEDDING_URL", embeddings.url())]);
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_are_restored_and_may_be_left_out() {
    let (model, embeddings) = (Model::start().await, Embeddings::start().await);
    let in_vector = || Place::on(TestDatabase::create_in(Cluster::Vector), &model);
    let (source, target, plain) = (in_vector(), in_vector(), Place::new(&model));
    let (_folder, archive) = folder();
    let server = Server::start(&embedding(&source, &embeddings));
    let client = server.client(KEY);
    client
        .store_of(&[
            ("garage.txt", "The automobile stands in the garage."),
            ("kennel.txt", "A puppy sleeps."),
        ])
        .await;
    let before = walk(&client, &[]).await;
    server.stop();
    source.back_up(&archive);
    let vectors = async |place: &Place| -> i64 {
        let pool = place.database.pool().await;
        let count = sqlx::query_scalar("select count(*) from vector_store_embeddings").fetch_one(&pool).await;
        pool.close().await;
        count.expect("a count")
    };

    target.restore(&archive);
    assert_eq!((vectors(&source).await, vectors(&target).await), (2, 2));
    let server = Server::start(&embedding(&target, &embeddings));
    assert_same(&walk(&server.client(KEY), &[]).await, &before);
    server.stop();

    // Where there is no pgvector, words remain.
    let output = binary::run(&["restore", "--without-vectors", path(&archive)], &plain.settings());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let server = plain.start();
    let client = server.client(KEY);
    let store = client.get("/vector_stores").await.data().pop().expect("a store");
    let found =
        client.post(&format!("/vector_stores/{}/search", id(&store)), json!({"query": "puppies"})).await.ok();
    assert_eq!(found["data"][0]["filename"], "kennel.txt", "{found}");
    server.stop();
}
