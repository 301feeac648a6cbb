//! Locum: a self-hosted server for the OpenAI Assistants API, v1 and v2, on PostgreSQL.
//!
//! A request goes from `routes` (HTTP) to one function of `services` (rules and SQL) and back. A run
//! lives in the database, not in a response: the `engine` leases it, lets the model reply turn by turn,
//! and publishes `events`, which a stream only reads. Objects have one canonical shape (`types`), that
//! of v2; the `dialect` reads and writes v1.
//!
//! In reading order:

/// Wires everything.
pub mod app;
/// API keys and projects.
pub mod auth;
/// File bytes in an object store.
pub mod blobs;
/// Backups, and what else an operator does beside the server.
pub mod care;
/// The command line.
pub mod cli;
/// Flags and environment.
pub mod config;
/// Pool and migrations.
pub mod database;
/// The two contracts: reading requests, writing objects.
pub mod dialect;
/// Vectors of texts, from a server that embeds them.
pub mod embeddings;
/// Executing runs.
pub mod engine;
/// The one error of requests and its shape on the wire.
pub mod error;
/// What happens to a run, for those who watch it.
pub mod events;
/// Text of files, read in a process of its own.
pub mod extraction;
/// Whether the server of this machine is ready.
pub mod health;
/// Ids, their order, and what they say of time.
pub mod ids;
/// Making the files of vector stores searchable.
pub mod ingestion;
/// Sessions of Python for code_interpreter.
pub mod interpreter;
/// Removing what is no file.
pub mod janitor;
/// Hearing of the other nodes.
pub mod listener;
/// Counts and histograms, for Prometheus.
pub mod metrics;
/// Keyset pages.
pub mod page;
/// Requests that a server of models answers.
pub mod passthrough;
/// Connections to the database, shared.
pub mod pool;
/// The private PostgreSQL of the embedded default.
pub mod postgres;
/// HTTP, a file per resource.
pub mod routes;
/// Isolation of code that a model wrote: of Linux alone.
#[cfg(target_os = "linux")]
pub mod sandbox;
/// HTTP connections.
pub mod server;
/// Rules and SQL, a file per resource.
pub mod services;
/// What handlers can reach.
pub mod state;
/// Logs.
pub mod telemetry;
/// Wire vocabulary: canonical objects and requests. Serde only.
pub mod types;
/// Servers of models: reaching them, and what their refusals mean.
pub mod upstream;
