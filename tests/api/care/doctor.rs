use super::*;
use crate::support::binary::DataDir;

/// What the model server must never be quoted with.
const SECRET: &str = "sk-secret-of-the-model";

/// What the doctor says, with these settings beside those of the place, and whether all is well.
fn examine(place: &Place, more: &[(&str, &str)]) -> (String, bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = place.settings();
    settings.extend([("LOCUM_DATA_DIR", path(folder.path())), ("LOCUM_MODEL_API_KEY", SECRET)]);
    settings.extend([("LOCUM_CODE_SANDBOX", "off"), ("LOCUM_MODEL_RETRIES", "0")]);
    settings.extend(more);
    let output = binary::run(&["doctor"], &settings);
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(!said.contains(SECRET) && !said.contains(KEY), "{said}");
    (said, output.status.success())
}

/// The line about a thing.
fn line<'a>(said: &'a str, name: &str) -> &'a str {
    let found = said.lines().find(|line| {
        line.split_once(' ').is_some_and(|(_, rest)| rest.trim_start().starts_with(&format!("{name}:")))
    });
    found.unwrap_or_else(|| panic!("nothing is said of {name}: {said}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_has_a_line_for_each_thing_and_changes_nothing() {
    let model = Model::start().await;
    let place = Place::new(&model);
    let (said, well) = examine(&place, &[("LOCUM_CODE_SANDBOX", "auto")]);
    assert!(well && !said.contains("fail "), "{said}");
    let names = [
        "data folder",
        "database",
        "commit",
        "notifications",
        "migrations",
        "pgvector",
        "clock",
        "storage",
        "model",
        "embeddings",
        "sandbox",
    ];
    assert_eq!(said.lines().count(), names.len(), "{said}");
    for name in names {
        line(&said, name);
    }
    assert!(line(&said, "database").contains("PostgreSQL "), "{said}");
    assert!(line(&said, "model").contains(" wrote a token in "), "{said}");
    let asked = model.requests().pop().expect("the model was asked");
    assert_eq!(asked["max_completion_tokens"], 1);
    assert!(place.filled().await.is_empty());
    assert_eq!(stored(place.database.files()), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_is_broken_fails_by_itself() {
    let model = Model::start().await;
    let place = Place::new(&model);
    let expect = |more: &[(&str, &str)], name: &str, part: &str| {
        let (said, well) = examine(&place, more);
        let failed: Vec<&str> = said.lines().filter(|line| line.starts_with("fail ")).collect();
        assert_eq!(failed, [line(&said, name)], "{said}");
        assert!(failed[0].contains(part) && !well, "{said}");
    };
    let nowhere = "postgres://locum:password-of-the-database@127.0.0.1:1/locum";
    let (said, well) = examine(&place, &[("DATABASE_URL", nowhere)]);
    assert!(line(&said, "database").starts_with("fail ") && !well, "{said}");
    assert!(!said.contains("password-of-the-database"), "{said}");

    expect(&[("LOCUM_MODEL_URL", "http://127.0.0.1:1/v1")], "model", "LOCUM_MODEL_URL");
    model.script(Reply::error(401, &format!("Incorrect API key provided: {SECRET}")));
    expect(&[], "model", "LOCUM_MODEL_API_KEY");
    expect(&[("LOCUM_FILES_URL", "file:///proc/locum")], "storage", "LOCUM_FILES_URL");
    let pool = place.database.pool().await;
    let newest = "delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)";
    sqlx::query(newest).execute(&pool).await.expect("a migration is forgotten");
    pool.close().await;
    expect(&[], "migrations", "locum migrate");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_sees_the_embedded_cluster_with_and_without_a_server() {
    let model = Model::start().await;
    let folder = DataDir::new();
    let url = model.url();
    let settings =
        [("LOCUM_DATA_DIR", folder.name()), ("LOCUM_MODEL_URL", &url), ("LOCUM_CODE_SANDBOX", "off")];
    let server = Server::start(&settings);
    let beside = stdout(&["doctor"], &settings);
    assert!(line(&beside, "migrations").starts_with("ok "), "{beside}");
    server.stop();
    let alone = stdout(&["doctor"], &settings);
    assert!(
        line(&alone, "commit").starts_with("ok ")
            || line(&alone, "commit").contains("each step of a run waits"),
        "{alone}"
    );
    assert!(!folder.path().join("postgres/postmaster.pid").exists());
}
