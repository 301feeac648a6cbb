use super::*;

/// A database without any table.
async fn empty() -> TestDatabase {
    let database = TestDatabase::create();
    let pool = database.pool().await;
    for statement in ["drop schema public cascade", "create schema public"] {
        sqlx::query(statement).execute(&pool).await.expect("the schema is emptied");
    }
    pool.close().await;
    database
}

#[tokio::test]
async fn migrate_makes_the_tables_and_may_be_repeated() {
    let database = empty().await;
    let url = database.url();
    let settings = [("DATABASE_URL", url.as_str())];
    for _ in 0..2 {
        assert_eq!(stdout(&["migrate"], &settings), "");
    }
    let pool = database.pool().await;
    let tables: i64 = sqlx::query_scalar("select count(*) from runs").fetch_one(&pool).await.expect("runs");
    assert_eq!(tables, 0);
    pool.close().await;
}

#[tokio::test]
async fn two_servers_may_start_at_once_on_an_empty_database() {
    let database = empty().await;
    let url = database.url();
    let start = || {
        let url = url.clone();
        std::thread::spawn(move || Server::start(&[("DATABASE_URL", url.as_str())]))
    };
    let (first, second) = (start(), start());
    let servers = [first, second].map(|server| server.join().expect("it starts"));
    for server in servers {
        server.stop();
    }
}

#[test]
fn a_second_server_on_the_same_folder_says_so_and_ends() {
    let folder = DataDir::new();
    let settings = [("LOCUM_DATA_DIR", folder.name()), ("LOCUM_BIND", "127.0.0.1:0")];
    let server = Server::start(&settings);
    let refused = failure(&["serve"], &settings);
    let sentence = format!(
        "locum: the data folder {} is in use by a Locum server (process {})",
        folder.name(),
        server.pid()
    );
    assert!(refused.contains(&sentence), "{refused}");
    server.stop();
    assert!(!folder.path().join("postgres/postmaster.pid").exists());
}

#[test]
fn a_database_that_does_not_answer_ends_the_start() {
    let url = "postgres://locum:secret@127.0.0.1:1/locum";
    let refused = failure(&["migrate"], &[("DATABASE_URL", url)]);
    assert!(refused.starts_with("locum: The database does not answer: "), "{refused}");
    assert!(!refused.contains("secret"), "{refused}");
}

#[test]
fn a_url_of_another_kind_of_database_is_refused() {
    let refused = failure(&["migrate"], &[("DATABASE_URL", "mysql://root:secret@localhost/x")]);
    assert!(refused.starts_with("locum: DATABASE_URL is not a PostgreSQL URL"), "{refused}");
    assert!(!refused.contains("secret"), "{refused}");
}
