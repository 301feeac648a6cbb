//! Tests of the API over HTTP, a file per resource, against a real PostgreSQL and a scripted model.
//! They run by `scripts/with-postgres cargo test --test api`; those of embeddings by
//! `scripts/with-postgres --vector scripts/with-postgres cargo test --test api`, with a second PostgreSQL that has pgvector.

mod support;

mod architecture;
mod assistant_files;
mod assistants;
mod auth;
mod care;
mod code_interpreter;
mod concurrency;
mod conformance;
mod crossing;
mod deployment;
mod dialect;
mod embeddings;
mod extraction;
mod faults;
mod file_ids;
mod file_search;
mod files;
mod harness;
mod headers;
mod http;
mod include;
mod interpreter;
mod limits;
mod lists;
mod message_files;
mod messages;
mod metrics;
mod models;
mod nodes;
mod operations;
mod plans;
mod process;
mod resuming;
mod robustness;
mod run_steps;
mod runs;
mod sandbox;
mod sdk;
mod statements;
mod streaming;
mod tenancy;
mod threads;
mod uploads;
mod upstream;
mod vector_stores;
