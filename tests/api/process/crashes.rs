use super::*;

/// Kills a server that has begun 20 runs, and checks what the next one makes of them. `begun` of them
/// are in the middle of a reply, the others queued.
async fn kill_twenty_runs(workers: &str, begun: usize) {
    let folder = DataDir::new();
    let model = Model::start().await;
    let model_url = model.url();
    let settings = [
        ("LOCUM_DATA_DIR", folder.name()),
        ("LOCUM_API_KEYS", KEY),
        ("LOCUM_MODEL_URL", &model_url),
        ("LOCUM_WORKERS", workers),
    ];
    let server = Server::start(&settings);
    let client = server.client(KEY);
    // One run waits for its client all the while.
    model.script(Reply::call("get_weather", "{}"));
    let (_, waiting) = start_runs(&client, 1).await;
    let waiting = client.wait_until(&waiting[0], "requires_action").await;
    for _ in 0..begun {
        model.script(Reply::words("Half a sentence").hang_after(2));
    }
    let (assistant, runs) = start_runs(&client, 20).await;
    model.wait_for_requests(1 + begun).await;
    let mut in_progress = 0;
    for run in &runs {
        in_progress += usize::from(client.reload(run).await["status"] == "in_progress");
    }
    assert_eq!(in_progress, begun);
    server.kill();

    let server = Server::start(&settings);
    let client = server.client(KEY);
    for run in &runs {
        assert_answered_once(&client, run).await;
        let listed = client.get(&format!("/threads/{}/runs", run["thread_id"].as_str().unwrap())).await;
        assert_eq!(listed.data().len(), 1);
    }
    assert_eq!(client.reload(&waiting).await, waiting);
    client.post(&submit_path(&waiting), outputs(&waiting, &["sunny"])).await.ok();
    let waiting = client.wait_until(&waiting, "completed").await;
    assert_eq!(client.messages(&json!({"id": waiting["thread_id"]})).await.len(), 2);
    assert_eq!(client.get(&format!("/assistants/{}", id(&assistant))).await.ok(), assistant);
    // Those that had begun were begun again, the others once.
    assert_eq!(model.requests().len(), 2 + begun + 20);
    server.stop();
}

#[tokio::test]
async fn a_server_whose_own_postgresql_was_killed_ends_and_the_next_start_has_everything() {
    let folder = DataDir::new();
    let settings = [("LOCUM_DATA_DIR", folder.name()), ("LOCUM_API_KEYS", KEY)];
    let mut server = Server::start(&settings);
    let thread = server.client(KEY).post("/threads", json!({"metadata": {"a": "1"}})).await.ok();
    let pid_file = std::fs::read_to_string(folder.path().join("postgres/postmaster.pid")).unwrap();
    let killed = std::process::Command::new("kill").args(["-9", pid_file.lines().next().unwrap()]).status();
    assert!(killed.unwrap().success());
    assert!(!server.wait().success());
    let reason = "locum: the private PostgreSQL ended by itself; the next start recovers it";
    assert!(server.log.iter().any(|line| line == reason), "{:#?}", server.log);

    let server = Server::start(&settings);
    assert_eq!(server.client(KEY).get(&format!("/threads/{}", id(&thread))).await.ok(), thread);
    server.stop();
}

#[tokio::test]
async fn twenty_runs_in_progress_survive_kill_9() {
    kill_twenty_runs("64", 20).await;
}

#[tokio::test]
async fn twenty_runs_most_of_them_queued_survive_kill_9() {
    kill_twenty_runs("4", 4).await;
}

#[tokio::test]
async fn a_run_whose_server_dies_each_time_fails_after_three_attempts() {
    let folder = DataDir::new();
    let model = Model::start().await;
    let model_url = model.url();
    let settings =
        [("LOCUM_DATA_DIR", folder.name()), ("LOCUM_API_KEYS", KEY), ("LOCUM_MODEL_URL", &model_url)];
    for _ in 0..3 {
        model.script(Reply::words("Half a sentence").hang_after(2));
    }
    let server = Server::start(&settings);
    let (_, runs) = start_runs(&server.client(KEY), 1).await;
    model.wait_for_requests(1).await;
    server.kill();
    for attempt in 2..=3 {
        let server = Server::start(&settings);
        model.wait_for_requests(attempt).await;
        server.kill();
    }
    let server = Server::start(&settings);
    let client = server.client(KEY);
    let run = client.wait_until(&runs[0], "failed").await;
    assert_eq!(run["last_error"]["code"], "server_error");
    let message = run["last_error"]["message"].as_str().expect("a message");
    assert!(message.starts_with("The run was interrupted too often"), "{message}");
    assert_eq!(model.requests().len(), 3);
    let path = format!("/threads/{}/messages", run["thread_id"].as_str().expect("a thread"));
    client.post(&path, json!({"role": "user", "content": "Again."})).await.ok();
    server.stop();
}
