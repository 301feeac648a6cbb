//! Embedding the chunks of a file with the model of their store.

use std::sync::Arc;

use super::indexes::Indexes;
use crate::embeddings::Embedder;
use crate::error::Error;
use crate::pool::PgPool;
use crate::services::vector_stores::embeddings::{self, Embedded};
use crate::services::vector_stores::queue::{Index, Leased};
use crate::upstream::ModelError;

/// An embedding model, and the indexes over what it makes.
pub struct Embedding {
    embedder: Arc<Embedder>,
    indexes: Arc<Indexes>,
}

/// Why a file could not be embedded.
pub enum Failure {
    Model(ModelError),
    Database(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl Embedding {
    pub fn new(embedder: Arc<Embedder>, indexes: Arc<Indexes>) -> Self {
        Self { embedder, indexes }
    }

    /// Adds the vectors of its chunks to an index. Nothing is added where the store has another model or none, or the model's
    /// vectors are others than they were: the file is then found by its words alone, as the store's others are.
    pub async fn embed(&self, db: &PgPool, leased: &Leased, index: &mut Index) -> Result<(), Failure> {
        let model = self.embedder.model();
        let known = embeddings::remember(db, leased.store, model).await?;
        if known.model.as_deref() != Some(model) {
            tracing::debug!(store = leased.store, "the files of this store are not embedded by this model");
            return Ok(());
        }
        let texts: Vec<&str> = index.chunks.iter().map(|chunk| chunk.content.as_str()).collect();
        let vectors = self.embedder.documents(&texts).await.map_err(Failure::Model)?;
        let length = vectors.first().map_or(0, Vec::len);
        let dimensions = i32::try_from(length).unwrap_or(i32::MAX);
        let is_known = match known.dimensions {
            Some(known) => known == dimensions,
            None => embeddings::settle(db, leased.store, model, dimensions).await?,
        };
        if !is_known {
            tracing::warn!(
                model,
                dimensions,
                store = leased.store,
                "the embedding model's vectors have other dimensions than those of a store; its new files are found by words alone"
            );
            return Ok(());
        }
        self.indexes.ensure(db, length);
        index.embedded = Some(Embedded { dimensions, vectors });
        Ok(())
    }
}
