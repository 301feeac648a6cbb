//! `/threads/runs` and `/threads/{thread_id}/runs`.

use axum::Router;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::response::Response;
use axum::routing::{get, post};

use super::extract::{After, Body, Caller, Ids, Included, Parameters, Resumable};
use super::reply::{self, json};
use crate::dialect::include::Include;
use crate::dialect::requests;
use crate::error::Error;
use crate::events::Audience;
use crate::services::run_events::reader::{Reader, Subject};
use crate::services::runs;
use crate::services::runs::create::Created;
use crate::state::AppState;
use crate::types::run::Run;

/// What a live run tells pollers to wait, in milliseconds.
const POLL_AFTER: HeaderValue = HeaderValue::from_static("500");

pub fn router() -> Router<AppState> {
    Router::new()
        .route("/threads/runs", post(create_thread_and_run))
        .route("/threads/{thread_id}/runs", get(list).post(create))
        .route("/threads/{thread_id}/runs/{run_id}", get(retrieve).post(modify))
        .route("/threads/{thread_id}/runs/{run_id}/cancel", post(cancel))
        .route("/threads/{thread_id}/runs/{run_id}/submit_tool_outputs", post(submit_tool_outputs))
        .route("/threads/{thread_id}/runs/{run_id}/events", get(events))
}

/// `createThreadAndRun`. The documents give only `createRun` an `include[]`; a stream may want it here too.
async fn create_thread_and_run(
    State(state): State<AppState>,
    caller: Caller,
    Included(include): Included,
    Resumable(resumable): Resumable,
    Body(fields): Body,
) -> Result<Response, Error> {
    let request = requests::create_thread_and_run(fields)?;
    let (context, project, dialect) = (state.runs.clone(), caller.project.clone(), caller.dialect);
    let created = whole(async move {
        runs::create_thread_and_run(&context, &project.0, dialect, request, resumable).await
    })
    .await?;
    answer(&state, &caller, include, resumable, created)
}

/// `listRuns`.
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Ids(thread_id): Ids<String>,
    Parameters(query): Parameters,
) -> Result<Response, Error> {
    let request = requests::page_request(&query, Run::PREFIX)?;
    json(caller.dialect, &runs::list(&state.db, &caller.project.0, &thread_id, request).await?)
}

/// `createRun`.
async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Ids(thread_id): Ids<String>,
    Included(include): Included,
    Resumable(resumable): Resumable,
    Body(fields): Body,
) -> Result<Response, Error> {
    let request = requests::create_run(fields)?;
    let (context, project, dialect) = (state.runs.clone(), caller.project.clone(), caller.dialect);
    let created =
        whole(
            async move { runs::create(&context, &project.0, dialect, &thread_id, request, resumable).await },
        )
        .await?;
    answer(&state, &caller, include, resumable, created)
}

/// `getRun`.
async fn retrieve(
    State(state): State<AppState>,
    caller: Caller,
    Ids((thread_id, id)): Ids<(String, String)>,
) -> Result<Response, Error> {
    let run = runs::get(&state.db, &caller.project.0, &thread_id, &id).await?;
    let mut response = json(caller.dialect, &run)?;
    if !run.status.is_terminal() {
        response.headers_mut().insert("openai-poll-after-ms", POLL_AFTER);
    }
    Ok(response)
}

/// `modifyRun`.
async fn modify(
    State(state): State<AppState>,
    caller: Caller,
    Ids((thread_id, id)): Ids<(String, String)>,
    Body(fields): Body,
) -> Result<Response, Error> {
    let request = requests::modify_run(fields)?;
    json(caller.dialect, &runs::modify(&state.db, &caller.project.0, &thread_id, &id, request).await?)
}

/// `cancelRun`.
async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    Ids((thread_id, id)): Ids<(String, String)>,
) -> Result<Response, Error> {
    let (context, project) = (state.runs.clone(), caller.project.clone());
    let run = whole(async move { runs::cancel(&context, &project.0, &thread_id, &id).await }).await?;
    json(caller.dialect, &run)
}

/// `submitToolOuputsToRun` (the document's spelling).
async fn submit_tool_outputs(
    State(state): State<AppState>,
    caller: Caller,
    Ids((thread_id, id)): Ids<(String, String)>,
    Included(include): Included,
    Resumable(resumable): Resumable,
    Body(fields): Body,
) -> Result<Response, Error> {
    let request = requests::submit_tool_outputs(fields)?;
    let (context, project) = (state.runs.clone(), caller.project.clone());
    let created = whole(async move {
        runs::submit_tool_outputs(&context, &project.0, &thread_id, &id, request, resumable).await
    })
    .await?;
    answer(&state, &caller, include, resumable, created)
}

/// The events of a run for a client that comes back, or comes later: no operation of the documents.
async fn events(
    State(state): State<AppState>,
    caller: Caller,
    Ids((thread_id, run_id)): Ids<(String, String)>,
    Included(include): Included,
    After(after): After,
) -> Result<Response, Error> {
    let audience = Audience { dialect: caller.dialect, include, resumable: true };
    let subject = Subject { project: caller.project.0.clone(), thread_id, run_id };
    Ok(reply::stream(Reader::of_events(&state.runs, subject, audience, after).await?))
}

/// Runs a change to its end although axum drops a handler whose client leaves: between the commit and
/// the hand-over to the engine a run would wait for its lease to lapse.
async fn whole<T: Send + 'static>(
    change: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(change).await.map_err(|error| Error::Internal(error.to_string()))?
}

/// The run, or its stream where the client asked for one.
fn answer(
    state: &AppState,
    caller: &Caller,
    include: Include,
    resumable: bool,
    created: Created,
) -> Result<Response, Error> {
    let Created { run, events, is_elsewhere } = created;
    let Some(events) = events else { return json(caller.dialect, &run) };
    let audience = Audience { dialect: caller.dialect, include, resumable };
    let subject = Subject { project: caller.project.0.clone(), thread_id: run.thread_id, run_id: run.id };
    Ok(reply::stream(Reader::of_request(&state.runs, subject, audience, events, is_elsewhere)))
}
