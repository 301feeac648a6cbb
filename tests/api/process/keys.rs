use super::*;

#[tokio::test]
async fn the_first_start_prints_a_key_and_the_second_does_not() {
    let database = TestDatabase::create();
    let url = database.url();
    let settings = [("DATABASE_URL", url.as_str())];
    let said = Server::start(&settings).stop();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert_is_key(lines[1]);

    let server = Server::start(&settings);
    assert_eq!(server.client(lines[1]).get("/assistants").await.status, 200);
    assert!(server.log.iter().all(|line| !line.contains("lk_")), "{:?}", server.log);
    assert_eq!(server.stop(), "");
}

#[tokio::test]
async fn no_key_is_made_where_one_is_configured() {
    let database = TestDatabase::create();
    let url = database.url();
    let settings = [("DATABASE_URL", url.as_str()), ("LOCUM_API_KEYS", "one, two")];
    let server = Server::start(&settings);
    for (key, status) in [("one", 200), ("two", 200), ("three", 401)] {
        assert_eq!(server.client(key).get("/assistants").await.status, status, "{key}");
    }
    assert_eq!(server.stop(), "");
    assert_eq!(stdout(&["keys", "list"], &settings).lines().count(), 1);
}

#[tokio::test]
async fn keys_are_made_listed_and_revoked_with_and_without_a_server_on_the_embedded_cluster() {
    let folder = DataDir::new();
    let settings = [("LOCUM_DATA_DIR", folder.name())];
    let made = stdout(&["keys", "create", "--project", "red", "--name", "before"], &settings);
    let first = made.strip_suffix('\n').expect("one line");
    assert_is_key(first);
    // The command has stopped the cluster that it had started.
    assert!(!folder.path().join("postgres/postmaster.pid").exists());

    let server = Server::start(&settings);
    let made = stdout(&["keys", "create", "--project", "red"], &settings);
    let second = made.strip_suffix('\n').expect("one line");
    let made = stdout(&["keys", "create", "--project", "blue"], &settings);
    let foreign = made.strip_suffix('\n').expect("one line");

    // Two keys of one project share it, a key of another sees nothing of it.
    let assistant = server.client(first).create_assistant(json!({"name": "shared"})).await;
    let path = format!("/assistants/{}", id(&assistant));
    assert_eq!(server.client(second).get(&path).await.ok(), assistant);
    let message = format!("No assistant found with id '{}'.", id(&assistant));
    server.client(foreign).get(&path).await.assert_error(404, &message, None, None);

    let list = stdout(&["keys", "list"], &settings);
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[0][..3], ["ID", "PROJECT", "NAME"]);
    let projects: Vec<(&str, &str)> = rows[1..].iter().map(|row| (row[1], row[2])).collect();
    assert_eq!(projects, [("red", "before"), ("red", "-"), ("blue", "-")]);
    assert!([first, second, foreign].iter().all(|key| !list.contains(key)), "{list}");

    stdout(&["keys", "revoke", rows[1][0]], &settings);
    wait_until_refused(&server.client(first)).await;
    assert_eq!(server.client(second).get(&path).await.status, 200);
    let again = failure(&["keys", "revoke", rows[1][0]], &settings);
    assert_eq!(again.trim_end(), format!("locum: There is no valid key with the id '{}'.", rows[1][0]));
    // There was a key at the start.
    assert_eq!(server.stop(), "");
}

#[tokio::test]
async fn keys_are_made_and_revoked_beside_a_server_with_a_database_url() {
    let database = TestDatabase::create();
    let url = database.url();
    let settings = [("DATABASE_URL", url.as_str())];
    let server = Server::start(&settings);
    let made = stdout(&["keys", "create", "--project", "red", "--expires-in", "1h"], &settings);
    let key = made.strip_suffix('\n').expect("one line");
    assert_is_key(key);
    assert_eq!(server.client(key).get("/assistants").await.status, 200);
    let list = stdout(&["keys", "list"], &settings);
    let row = list.lines().find(|line| line.contains("\tred\t")).expect("the key is listed");
    stdout(&["keys", "revoke", row.split('\t').next().expect("an id")], &settings);
    wait_until_refused(&server.client(key)).await;
    server.stop();
}

#[test]
fn a_project_is_required_and_an_expiry_is_checked() {
    let missing = failure(&["keys", "create"], &[]);
    assert!(missing.contains("--project"), "{missing}");
    let wrong = failure(&["keys", "create", "--project", "x", "--expires-in", "soon"], &[]);
    assert!(wrong.contains("--expires-in"), "{wrong}");
}
