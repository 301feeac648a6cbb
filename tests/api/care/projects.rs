use super::walk::{assert_same, walk};
use super::*;

/// The projects that are listed, by name.
fn listed(place: &Place) -> Vec<String> {
    let said = stdout(&["projects", "list"], &place.settings());
    said.lines().skip(1).map(|line| line.split('\t').nth(1).expect("a name").to_owned()).collect()
}

/// A thing of each kind that a project can have. Returns the thread.
async fn fill(client: &Client, model: &Model) -> Vec<String> {
    client.store_of(&[("a.txt", "A puppy needs a licence."), ("b.txt", "Cats do not.")]).await;
    client.upload("large.bin", "assistants", noise(300_000)).await;
    let body =
        json!({"filename": "parts.txt", "purpose": "assistants", "bytes": 6, "mime_type": "text/plain"});
    let upload = client.post("/uploads", body).await.ok();
    let part = Form::new().file("data", "part", "abc");
    client.post_form(&format!("/uploads/{}/parts", id(&upload)), part).await.ok();
    let assistant = client.create_assistant(json!({"tools": [function("get_weather")]})).await;
    let done = client.create_thread(&["Hi"]).await;
    let run = client.create_run(&done, &assistant).await;
    client.wait_until(&run, "completed").await;
    model.script(Reply::call("get_weather", "{}"));
    let waiting = client.create_thread(&["Hi"]).await;
    let run = client.create_run(&waiting, &assistant).await;
    client.wait_until(&run, "requires_action").await;
    vec![id(&done).to_owned(), id(&waiting).to_owned()]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_goes_with_all_that_it_has_and_leaves_the_others() {
    let model = Model::start().await;
    let place = Place::new(&model);
    let key = |project: &str| {
        stdout(&["keys", "create", "--project", project], &place.settings()).trim().to_owned()
    };
    let (red, blue) = (key("red"), key("blue"));
    stdout(&["projects", "create", "empty"], &place.settings());
    let server = place.start();
    let (red, blue) = (server.client(&red), server.client(&blue));
    let threads = fill(&blue, &model).await;
    let before = walk(&blue, &threads).await;
    let alone = place.filled().await;
    let blobs = stored(place.database.files());
    fill(&red, &model).await;

    // A deletion that was broken off: the keys are gone, and a store.
    let pool = place.database.pool().await;
    let project = "(select id from projects where name = 'red')";
    for statement in [
        format!("delete from api_keys where project_id = {project}"),
        format!("update vector_stores set gone = true where project_id = {project}"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&pool).await.expect("it is broken off");
    }
    assert_eq!(listed(&place), ["red", "blue", "empty", "default"]);
    assert_eq!(stdout(&["projects", "delete", "red"], &place.settings()), "");
    assert_eq!(listed(&place), ["blue", "empty", "default"]);
    assert_eq!(red.get("/assistants").await.status, 401);

    assert_same(&walk(&blue, &threads).await, &before);
    assert_eq!(place.filled().await, alone);
    let mut left = stored(place.database.files());
    left.sort();
    assert_eq!(left.len(), blobs.len());
    let chunks: i64 = sqlx::query_scalar(
        "select (select count(*) from vector_store_chunks) + (select count(*) from vector_store_files)
            + (select count(*) from blobs)",
    )
    .fetch_one(&pool)
    .await
    .expect("a count");
    assert_eq!(chunks, 2 + 2 + i64::try_from(blobs.len()).expect("a few"));
    pool.close().await;
    let key = stdout(&["keys", "create", "--project", "red"], &place.settings());
    assert!(server.client(key.trim()).get("/files").await.data().is_empty());
    server.stop();
}

#[test]
fn projects_that_cannot_be_deleted_or_made_are_named() {
    let database = TestDatabase::create();
    let url = database.url();
    let files = format!("file://{}", database.files().display());
    let settings = [("DATABASE_URL", url.as_str()), ("LOCUM_FILES_URL", &files)];
    stdout(&["projects", "create", "default"], &settings);
    let said = failure(&["projects", "create", "default"], &settings);
    assert!(said.contains("locum: There is a project 'default' already."), "{said}");
    let said = failure(&["projects", "delete", "default"], &settings);
    assert!(said.contains("locum: The project 'default' is the one of LOCUM_API_KEYS"), "{said}");
    let said = failure(&["projects", "delete", "none"], &settings);
    assert!(said.contains("locum: There is no project 'none'."), "{said}");
    stdout(&["projects", "delete", "default", "--force"], &settings);
    assert_eq!(stdout(&["projects", "list"], &settings).lines().count(), 1);
}
