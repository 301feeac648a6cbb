//! How long an upstream asks to wait.

use super::*;

/// How long after the first request the second comes, if the first is answered so.
async fn wait_of(reply: Reply) -> Duration {
    let scene = Scene::start().await;
    scene.model().script(reply);
    let run = scene.create(json!({})).await;
    scene.model().wait_for_requests(1).await;
    let asked = Instant::now();
    scene.model().wait_for_requests(2).await;
    let waited = asked.elapsed();
    scene.client.wait_until(&run, "completed").await;
    scene.app.stop().await;
    waited
}

fn limited() -> Reply {
    Reply::error(429, "Slow down.")
}

#[tokio::test]
async fn seconds_milliseconds_and_dates_are_waited_for() {
    let dated = limited().header("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    for reply in [
        limited().header("retry-after", "1"),
        limited().header("retry-after-ms", "1000").header("retry-after", "30"),
        dated.header("retry-after", "Sun, 06 Nov 1994 08:49:38 GMT"),
    ] {
        let waited = wait_of(reply).await;
        assert!(waited >= Duration::from_millis(900), "{waited:?}");
    }
}

#[tokio::test]
async fn a_wait_that_makes_no_sense_is_our_own() {
    for nonsense in ["-5", "soon", "1e400"] {
        let waited = wait_of(limited().header("retry-after", nonsense)).await;
        assert!(waited >= Duration::from_millis(150), "{nonsense}: {waited:?}");
    }
}

#[tokio::test]
async fn a_wait_longer_than_the_run_lives_is_not_begun() {
    let scene = Scene::start().await;
    for wait in ["700", "86400", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        scene.model().script(limited().header("retry-after", wait));
        let run = scene.create(json!({})).await;
        let message = "The model server answered 429: Slow down.";
        assert_failed(&scene, &run, "rate_limit_exceeded", message).await;
    }
    assert_eq!(scene.model().requests().len(), 3);
    scene.app.stop().await;
}

#[tokio::test]
async fn a_run_whose_time_is_up_while_it_waits_has_expired() {
    let scene = Scene::on(TestApp::builder().run_seconds(1.0).start().await).await;
    scene.model().script(limited().header("retry-after", "0.5"));
    scene.model().script(Reply::hang());
    scene.run(json!({}), "expired").await;
    assert_eq!(scene.model().requests().len(), 2);
    scene.app.stop().await;
}
