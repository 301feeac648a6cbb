//! What an operator does beside the server, with the real binary.

mod archives;
mod backup;
mod doctor;
mod projects;
mod tables;
mod walk;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::binary::{self, Server, failure, stdout};
use crate::support::client::id;
use crate::support::database::TestDatabase;
use crate::support::form::{Form, noise, stored};
use crate::support::scene::{function, outputs, submit_path};
use crate::support::{Client, Model, Reply};

const KEY: &str = "lk_configured";

/// A database with a store of files and a model, and what the binary is told of them.
struct Place {
    database: TestDatabase,
    settings: Vec<(&'static str, String)>,
}

impl Place {
    /// With the tables of this version, and no rows.
    fn new(model: &Model) -> Self {
        Self::on(TestDatabase::create(), model)
    }

    fn on(database: TestDatabase, model: &Model) -> Self {
        let settings = vec![
            ("DATABASE_URL", database.url()),
            ("LOCUM_FILES_URL", format!("file://{}", database.files().display())),
            ("LOCUM_API_KEYS", KEY.to_owned()),
            ("LOCUM_MODEL_URL", model.url()),
        ];
        Self { database, settings }
    }

    fn settings(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    fn start(&self) -> Server {
        Server::start(&self.settings())
    }

    /// A backup, beside whatever goes on.
    fn back_up(&self, archive: &Path) -> String {
        let output = binary::run(&["backup", path(archive)], &self.settings());
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(output.status.success(), "{said}");
        said
    }

    fn restore(&self, archive: &Path) -> String {
        let output = binary::run(&["restore", path(archive)], &self.settings());
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(output.status.success(), "{said}");
        said
    }

    /// What a restore that fails says.
    fn cannot_restore(&self, archive: &Path) -> String {
        failure(&["restore", path(archive)], &self.settings())
    }

    /// The tables that have rows.
    async fn filled(&self) -> Vec<String> {
        let pool = self.database.pool().await;
        let mut filled = Vec::new();
        for table in locum::care::tables::KEPT.iter().filter(|table| **table != locum::care::tables::VECTORS)
        {
            let query = format!("select exists (select from {table})");
            if sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&pool).await.expect("a table") {
                filled.push((*table).to_owned());
            }
        }
        pool.close().await;
        filled
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A folder for archives.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("locum.tar.gz");
    (folder, archive)
}
