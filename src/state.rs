//! What every request handler can reach.

use std::sync::Arc;

use crate::auth::Authenticator;
use crate::dialect::Dialect;
use crate::interpreter::Interpreter;
use crate::pool::PgPool;
use crate::sandbox::Tier;
use crate::services::{files, retrieval, runs, vector_stores};
use crate::upstream::Upstreams;

/// Shared by all handlers; cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Inner>);

/// The parts of the state.
pub struct Inner {
    pub db: PgPool,
    pub auth: Authenticator,
    pub runs: runs::Context,
    pub files: files::Context,
    pub vector_stores: vector_stores::Context,
    pub retrieval: retrieval::Context,
    pub interpreter: Interpreter,
    /// What isolates the code that it runs, unless it is refused.
    pub tier: Option<Tier>,
    /// The servers of models.
    pub upstreams: Arc<Upstreams>,
    /// The contract of requests without an `OpenAI-Beta` header.
    pub default_dialect: Dialect,
}

impl AppState {
    pub fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }
}

impl std::ops::Deref for AppState {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
