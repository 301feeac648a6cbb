//! Vector stores that are searched by meaning too: with an embedding model at the wire, in a PostgreSQL with pgvector.

mod index;
mod model;
mod search;
mod start;
mod stores;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::app::Builder;
use crate::support::client::{Client, id};
use crate::support::database::{Cluster, TestDatabase};
use crate::support::embeddings::{Embeddings, Failure};
use crate::support::{Reply, Scene, TestApp};

/// The name of the model; that of its server is never asked.
const MODEL: &str = "embedder";

const THINGS: &[(&str, &str)] = &[
    ("garage.txt", "The automobile stands in the garage."),
    ("kennel.txt", "A puppy sleeps in the kennel."),
    ("kitchen.txt", "Spaghetti is on the stove."),
    ("valley.txt", "A stream runs down the valley."),
];

fn builder(database: &Arc<TestDatabase>, embeddings: &Embeddings) -> Builder {
    builder_of(database, embeddings, MODEL)
}

fn builder_of(database: &Arc<TestDatabase>, embeddings: &Embeddings, model: &str) -> Builder {
    TestApp::builder()
        .database(database)
        .argument("--embedding-model", model)
        .argument("--embedding-url", embeddings.url())
}

/// A server with an embedding model.
async fn start() -> (TestApp, Embeddings) {
    let embeddings = Embeddings::start().await;
    let app = builder(&database(), &embeddings).start().await;
    (app, embeddings)
}

fn database() -> Arc<TestDatabase> {
    Arc::new(TestDatabase::create_in(Cluster::Vector))
}

/// Waits for what no event tells.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("not in time: {what}");
}

impl Client {
    /// The names of the files that a search finds, best first, and their scores.
    async fn ranked(&self, store: &Value, body: Value) -> Vec<(String, f64)> {
        let page = self.post(&format!("/vector_stores/{}/search", id(store)), body).await.ok();
        let results = page["data"].as_array().expect("results").iter();
        let name = |result: &Value| result["filename"].as_str().expect("a name").to_owned();
        results.map(|result| (name(result), result["score"].as_f64().expect("a score"))).collect()
    }

    /// The name of the best.
    async fn best(&self, store: &Value, query: &str) -> Option<String> {
        self.ranked(store, json!({"query": query})).await.into_iter().next().map(|(name, _)| name)
    }

    /// Adds a file to a store and waits until it is searchable or never will be.
    async fn add(&self, store: &Value, filename: &str, text: &str) -> Value {
        let file = self.upload(filename, "assistants", text).await;
        let path = format!("/vector_stores/{}/files", id(store));
        self.post(&path, json!({"file_id": id(&file)})).await.ok();
        self.wait_for_store(store).await;
        self.get(&format!("{path}/{}", id(&file))).await.ok()
    }

    async fn empty_store(&self) -> Value {
        self.post("/vector_stores", json!({})).await.ok()
    }
}
