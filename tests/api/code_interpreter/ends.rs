use super::*;

/// It heeds nothing but an interruption.
const ENDLESS: &str = "survivor = 1\nprint('begun', flush=True)\nwhile True: pass";

#[tokio::test]
async fn cancelling_interrupts_the_code_and_keeps_the_variables() {
    for is_v1 in [false, true] {
        let scene = scene(is_v1).await;
        run(&scene, "x = 41").await;
        let name = mark();
        let program = format!("y = x + 1\nprint('begun')\n{}\nimport time\ntime.sleep(600)", marking(&name));
        scene.model().script(code(&program));
        let mut stream = scene.stream(json!({})).await;
        let events = stream.until("thread.run.created").await;
        let created = bodies(&events, "thread.run.created")[0].clone();
        wait_for_code(&name).await;
        scene.client.post(&cancel_path(&created), json!({})).await.ok();
        let rest = stream.rest().await;
        assert_as_stored(&scene, &rest).await;
        let run = scene.client.reload(&created).await;
        assert_eq!(run["status"], "cancelled");
        let step = &scene.client.steps(&run).await[0];
        assert_eq!(step["status"], "cancelled");
        let said = logs_of(&step["step_details"]["tool_calls"][0]);
        assert!(said.starts_with("begun\n"), "{said}");
        assert_eq!(logs(&scene, "y").await, "42\n");
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_stopped_and_the_model_is_told() {
    let scene = scene_on(server().argument("--code-seconds", 3).start().await, false).await;
    let said = logs(&scene, ENDLESS).await;
    assert!(said.starts_with("begun\n"), "{said}");
    assert!(
        said.ends_with("[The code was stopped: a call may take 3 seconds at most. Variables are kept.]"),
        "{said}"
    );
    assert!(told(&scene).contains("a call may take 3 seconds at most"));
    assert_eq!(logs(&scene, "survivor").await, "1\n");
    scene.app.stop().await;
}

#[tokio::test]
async fn a_run_that_expires_within_code_ends_with_it() {
    let scene = scene_on(server().run_seconds(8.0).start().await, false).await;
    let name = mark();
    scene.model().script(code(&format!("{}\n{ENDLESS}", marking(&name))));
    let run = scene.create(json!({})).await;
    wait_for_code(&name).await;
    let run = scene.client.wait_until(&run, "expired").await;
    let step = &scene.client.steps(&run).await[0];
    assert_eq!(step["status"], "expired");
    assert!(logs_of(&step["step_details"]["tool_calls"][0]).starts_with("begun\n"), "{step}");
    scene.app.stop().await;
}

/// What code removed does not come back with the next session, and what does not fit stays away.
#[tokio::test]
async fn a_fresh_session_has_what_was_there_as_far_as_there_is_room() {
    let scene = scene_on(server().argument("--code-disk-mib", 16).start().await, false).await;
    run(&scene, "open('old.bin', 'wb').write(b'o' * (6 << 20)); open('gone.txt', 'w').write('x');").await;
    run(&scene, "import os; os.remove('gone.txt'); open('new.bin', 'wb').write(b'n' * (5 << 20));").await;
    run(&scene, "os._exit(1)").await;
    let said = logs(&scene, "sorted(open(n, 'rb').read(1) for n in __import__('os').listdir())").await;
    assert_eq!(
        said,
        "[The Python session is new: variables and imports of earlier calls are gone. These files are in /mnt/data \
         again: new.bin. These are not, for there is no room: old.bin.]\n[b'n']\n"
    );
    scene.app.stop().await;
}

/// A run that is cancelled while a file is put loses neither the session nor, the next time, the file.
#[tokio::test]
async fn cancelling_while_a_file_is_put_loses_nothing() {
    let scene = scene(false).await;
    run(&scene, "x = 1").await;
    let large = "y".repeat(60 << 20);
    let file = scene.client.upload("large.txt", "assistants", &large).await;
    attach(&scene, &file).await;
    for pause in [0, 20, 60, 120, 200] {
        scene.model().script(code("x"));
        let run = scene.create(json!({})).await;
        scene.model().wait_for_request().await;
        // Wherever it is by then, all must hold.
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        scene.client.post(&cancel_path(&run), json!({})).await;
        while !["cancelled", "completed", "failed"]
            .contains(&word(&scene.client.reload(&run).await["status"]).as_str())
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        scene.model().forget_scripts();
    }
    let said = logs(&scene, "import os; (x, os.path.getsize('large.txt'), os.listdir())").await;
    let names = format!("['large.txt', '{}']", id(&file));
    let turned = format!("['{}', 'large.txt']", id(&file));
    assert!([names, turned].iter().any(|names| said == format!("(1, {}, {names})\n", 60 << 20)), "{said}");
    scene.app.stop().await;
}

/// A session that dies takes its variables along; what was saved is there again, and everybody is told.
#[tokio::test]
async fn a_session_that_dies_is_followed_by_a_fresh_one() {
    let scene = scene(false).await;
    run(
        &scene,
        "x = 1\nimport os\nos.makedirs('sub', exist_ok=True)\nopen('sub/kept.txt', 'w').write('kept')",
    )
    .await;
    let said = logs(&scene, "print('before', flush=True)\nimport os\nos._exit(3)").await;
    assert!(said.contains("[The Python session ended: it ended with status 3."), "{said}");
    let said = logs(&scene, "print(open('sub/kept.txt').read(), 'x' in globals())").await;
    let note = "[The Python session is new: variables and imports of earlier calls are gone. \
                These files are in /mnt/data again: sub/kept.txt.]";
    assert_eq!(said, format!("{note}\nkept False\n"));
    assert!(told(&scene).starts_with(note));
    // What was restored is no new file.
    assert_eq!(scene.client.get("/files").await.data().len(), 1);
    scene.app.stop().await;
}

#[tokio::test]
async fn an_idle_session_is_ended_and_its_files_come_back() {
    let scene = scene_on(server().argument("--code-idle-seconds", 0.2).start().await, false).await;
    let name = mark();
    run(&scene, &format!("{}\nx = 1\nopen('kept.txt', 'w').write('kept')", marking(&name))).await;
    assert_ended(&name).await;
    let said = logs(&scene, "open('kept.txt').read()").await;
    assert!(said.starts_with("[The Python session is new") && said.ends_with("'kept'\n"), "{said}");
    scene.app.stop().await;
}

#[tokio::test]
async fn deleting_the_thread_ends_the_code() {
    let scene = scene(false).await;
    let name = mark();
    scene.model().script(code(&format!("{}\n{ENDLESS}", marking(&name))));
    let run = scene.create(json!({})).await;
    wait_for_code(&name).await;
    scene.client.delete(&format!("/threads/{}", id(&scene.thread))).await.ok();
    assert_eq!(scene.client.get(&run_path(&run)).await.status, 404);
    let rows: i64 = sqlx::query_scalar("select count(*) from code_sessions")
        .fetch_one(scene.app.db().await)
        .await
        .expect("a count");
    assert_eq!(rows, 0);
    assert_ended(&name).await;
    scene.app.stop().await;
}
