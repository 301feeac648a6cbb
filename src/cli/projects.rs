//! `locum projects`.

use std::io::Write;

use clap::{Args, Subcommand};
use time::format_description::well_known::Rfc3339;

use super::Error;
use super::care::open_blobs;
use crate::care::projects;
use crate::config::{DatabaseOptions, FileOptions};
use crate::database::{Database, Purpose};
use crate::services::{files, keys};

#[derive(Debug, Subcommand)]
pub enum Projects {
    /// List all projects and how much they have.
    List(DatabaseOptions),
    /// Make a project without a key; 'locum keys create' makes one with a key.
    Create(CreateProject),
    /// Delete a project with all its keys, objects and files. What was begun and broken off can be repeated.
    Delete(Box<DeleteProject>),
}

#[derive(Debug, Args)]
pub struct CreateProject {
    #[command(flatten)]
    pub database: DatabaseOptions,
    /// Its name.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub name: String,
}

#[derive(Debug, Args)]
pub struct DeleteProject {
    #[command(flatten)]
    pub database: DatabaseOptions,
    #[command(flatten)]
    pub files: FileOptions,
    /// The project 'default' too. Servers that run on must be started again before they take LOCUM_API_KEYS.
    #[arg(long)]
    pub force: bool,
    /// Its name, as 'locum projects list' shows it.
    pub name: String,
}

/// `locum projects …`.
pub async fn run(command: &Projects) -> Result<(), Error> {
    let options = match command {
        Projects::List(options) => options,
        Projects::Create(arguments) => &arguments.database,
        Projects::Delete(arguments) => &arguments.database,
    };
    let database = Database::connect(options, Purpose::Command).await?;
    let result = run_on(&database, command).await;
    database.close().await;
    result
}

async fn run_on(database: &Database, command: &Projects) -> Result<(), Error> {
    database.migrate().await?;
    match command {
        Projects::List(_) => list(database).await,
        Projects::Create(arguments) => create(database, &arguments.name).await,
        Projects::Delete(arguments) => delete(database, arguments).await,
    }
}

async fn list(database: &Database) -> Result<(), Error> {
    let listed = projects::list(&database.pool).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "ID\tNAME\tCREATED\tKEYS\tTHREADS\tFILES\tBYTES")?;
    for project in listed {
        let created = project.created_at.replace_nanosecond(0).ok().and_then(|at| at.format(&Rfc3339).ok());
        writeln!(
            out,
            "{}\t{}\t{}\t{}\t{}\t{}\t{}",
            project.id,
            project.name,
            created.as_deref().unwrap_or("-"),
            project.keys,
            project.threads,
            project.files,
            project.bytes,
        )?;
    }
    Ok(())
}

async fn create(database: &Database, name: &str) -> Result<(), Error> {
    if projects::find(&database.pool, name).await?.is_some() {
        return Err(Error::ProjectExists(name.to_owned()));
    }
    let id = keys::ensure_project(&database.pool, name).await?;
    writeln!(std::io::stdout(), "{id}")?;
    Ok(())
}

async fn delete(database: &Database, arguments: &DeleteProject) -> Result<(), Error> {
    let name = &arguments.name;
    if name == keys::DEFAULT_PROJECT && !arguments.force {
        return Err(Error::DefaultProject(name.clone()));
    }
    let id = projects::find(&database.pool, name).await?;
    let id = id.ok_or_else(|| Error::NoSuchProject(name.clone()))?;
    let blobs = open_blobs(&arguments.files, &arguments.database).await?;
    let context = files::Context::new(database.pool.clone(), blobs, arguments.files.file_bytes);
    Ok(projects::delete(&context, &id).await?)
}
