use super::*;

/// A thread of 16 long messages and a short one.
async fn long_thread() -> Scene {
    let scene = Scene::start().await;
    let path = format!("/threads/{}/messages", id(&scene.thread));
    for number in 0..16 {
        let content = format!("Message {number}. {}", "word ".repeat(50));
        scene.client.post(&path, json!({"role": "user", "content": content})).await.ok();
    }
    scene.client.post(&path, json!({"role": "user", "content": "The newest."})).await.ok();
    scene
}

/// How many messages each request had; the newest must always be there.
fn counts(scene: &Scene) -> Vec<usize> {
    let requests = scene.model().requests();
    let messages = requests.iter().map(|request| request["messages"].as_array().unwrap());
    messages
        .map(|messages| {
            assert_eq!(messages.last().unwrap()["content"], "The newest.");
            messages.len()
        })
        .collect()
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_halved_twice() {
    let scene = long_thread().await;
    for _ in 0..2 {
        scene.model().script(Reply::context_length_exceeded());
    }
    scene.run(json!({}), "completed").await;
    let counts = counts(&scene);
    assert_eq!((counts.len(), counts[0]), (3, 18));
    assert!((7..=10).contains(&counts[1]), "{counts:?}");
    assert!((3..=5).contains(&counts[2]), "{counts:?}");
    scene.app.stop().await;
}

#[tokio::test]
async fn a_prompt_that_stays_too_long_fails_the_run_with_the_upstreams_words() {
    let scene = long_thread().await;
    for _ in 0..3 {
        scene.model().script(Reply::context_length_exceeded());
    }
    let run = scene.create(json!({})).await;
    let message = "The model server answered 400: This model's maximum context length is 10 tokens.";
    assert_failed(&scene, &run, "invalid_prompt", message).await;
    assert_eq!(counts(&scene).len(), 3);
    scene.app.stop().await;
}

#[tokio::test]
async fn servers_that_say_so_within_the_stream_are_understood_as_well() {
    let scene = long_thread().await;
    let error = json!({"error": {"type": "exceed_context_size_error", "message": "too long"}});
    scene.model().script(Reply::raw(&format!("data: {error}\n\n")));
    scene.run(json!({}), "completed").await;
    let counts = counts(&scene);
    assert!(counts.len() == 2 && counts[1] < counts[0], "{counts:?}");
    scene.app.stop().await;
}
