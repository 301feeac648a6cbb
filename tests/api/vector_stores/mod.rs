//! `/vector_stores`: stores, their files, batches of files, and what is found in them.

mod attachments;
mod away;
mod batches;
mod crashes;
mod files;
mod hostile;
mod kinds;
mod plans;
mod recorded;
mod requests;
mod search;
mod stores;

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::client::{Client, id};

/// How long a small file may take to be searchable.
const LOOKS: usize = 600;

impl Client {
    /// A new store with files of these texts, all of them searchable.
    pub async fn store_of(&self, texts: &[(&str, &str)]) -> Value {
        let mut file_ids = Vec::new();
        for (filename, text) in texts {
            file_ids.push(id(&self.upload(filename, "assistants", text).await).to_owned());
        }
        let store = self.post("/vector_stores", json!({"file_ids": file_ids})).await.ok();
        self.wait_for_store(&store).await
    }

    /// Waits until no file of the store is in progress.
    pub async fn wait_for_store(&self, store: &Value) -> Value {
        for _ in 0..LOOKS {
            let store = self.get(&format!("/vector_stores/{}", id(store))).await.ok();
            if store["file_counts"]["in_progress"] == 0 {
                return store;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("files of {store} are still in progress");
    }

    /// The ids of the files that a search finds, best first.
    async fn found(&self, store: &Value, body: Value) -> Vec<String> {
        let page = self.post(&format!("/vector_stores/{}/search", id(store)), body).await.ok();
        let results = page["data"].as_array().expect("results");
        results.iter().map(|result| result["file_id"].as_str().expect("an id").to_owned()).collect()
    }
}

fn files_path(store: &Value) -> String {
    format!("/vector_stores/{}/files", id(store))
}

fn file_path(store: &Value, file: &Value) -> String {
    format!("{}/{}", files_path(store), id(file))
}
