use super::*;

#[tokio::test]
async fn a_header_of_another_value_is_refused_by_name() {
    let scene = Scene::start().await;
    for value in ["yes", "1", "", "true, true"] {
        let body = scene.body(json!({}));
        let request = scene.client.json(&scene.runs(), &body).header("locum-resumable", value);
        let message = "Invalid value in the header 'Locum-Resumable': it is 'true' or 'false'.";
        scene.client.send(request).await.assert_error(400, message, None, None);
    }
    let body = scene.body(json!({}));
    let request = scene.client.json(&scene.runs(), &body).header("locum-resumable", "False");
    let run = scene.client.send(request).await.ok();
    scene.client.wait_until(&run, "completed").await;
    let written: i64 =
        sqlx::query_scalar("select count(*) from run_events").fetch_one(scene.app.db().await).await.unwrap();
    assert_eq!(written, 0);
    scene.app.stop().await;
}

#[tokio::test]
async fn an_id_that_is_none_is_refused_by_name() {
    let scene = Scene::start().await;
    let run = scene.run(json!({}), "completed").await;
    let path = format!("{}/events", run_path(&run));
    for bad in ["x", "1", "1-", "-1", "1-1-1", "1-99999999999999999999", ""] {
        let answer = scene.client.get(&format!("{path}?after={bad}")).await;
        let message = "Invalid 'after': it is the id of an event of this run, such as '1-12'.";
        answer.assert_error(400, message, Some("after"), Some("invalid_value"));
        if !bad.is_empty() {
            let request = scene.client.request(Method::GET, &path).header("Last-Event-ID", bad);
            let message = "Invalid value in the header 'Last-Event-ID': it is the id of an event of this run, such as '1-12'.";
            scene.client.send(request).await.assert_error(400, message, None, None);
        }
    }
    scene.app.stop().await;
}

#[tokio::test]
async fn the_header_tells_where_to_go_on_and_the_query_wins() {
    let scene = Scene::start().await;
    let events = scene.resumable().await.rest().await;
    let run = run_of(&events);
    let after = |index: usize| events[index].id.clone().unwrap();
    let path = format!("{}/events", run_path(&run));
    let request = scene.client.request(Method::GET, &path).header("Last-Event-ID", after(3));
    assert_eq!(scene.client.events_of(request).await.rest().await, events[4..]);
    let request = scene.client.request(Method::GET, &format!("{path}?after={}", after(5)));
    let request = request.header("Last-Event-ID", after(3));
    assert_eq!(scene.client.events_of(request).await.rest().await, events[6..]);
    let request = scene.client.request(Method::GET, &path).header("Last-Event-ID", "");
    assert_eq!(scene.client.events_of(request).await.rest().await, events);
    scene.app.stop().await;
}

#[tokio::test]
async fn events_of_another_project_do_not_exist() {
    let scene = Scene::start().await;
    let events = scene.resumable().await.rest().await;
    let run = run_of(&events);
    let stranger = scene.app.other_tenant().await;
    let message = format!("No thread found with id '{}'.", id(&scene.thread));
    for query in ["", "?after=1-1"] {
        let answer = stranger.get(&format!("{}/events{query}", run_path(&run))).await;
        answer.assert_error(404, &message, None, None);
    }
    let path = format!("/threads/{}/runs/run_none/events", id(&scene.thread));
    scene.client.get(&path).await.assert_error(404, "No run found with id 'run_none'.", None, None);
    scene.app.stop().await;
}

#[tokio::test]
async fn the_events_of_a_deleted_thread_are_deleted() {
    let scene = Scene::start().await;
    let events = scene.resumable().await.rest().await;
    // Who is told the end from the table knows that all is in it.
    assert_resumes_everywhere(&scene.client, &events).await;
    let count = "select count(*) from run_events";
    let db = scene.app.db().await;
    assert!(sqlx::query_scalar::<_, i64>(count).fetch_one(db).await.unwrap() > 0);
    scene.client.delete(&format!("/threads/{}", id(&scene.thread))).await.ok();
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(db).await.unwrap(), 0);
    scene.app.stop().await;
}
