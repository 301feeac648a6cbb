//! `/uploads`, the same in both contracts.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;

use super::extract::{Body, Caller, Ids};
use super::files::missing;
use super::form::Form;
use super::reply::json;
use crate::dialect::fields::Fields;
use crate::dialect::files as requests;
use crate::error::Error;
use crate::services::uploads;
use crate::state::AppState;

/// Bytes of a part: 64 MB.
const PART_BYTES: u64 = 64 * 1024 * 1024;

pub fn router() -> Router<AppState> {
    Router::new()
        .route("/uploads", post(create))
        .route("/uploads/{upload_id}/parts", post(add_part))
        .route("/uploads/{upload_id}/complete", post(complete))
        .route("/uploads/{upload_id}/cancel", post(cancel))
}

/// `createUpload`.
async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Body(fields): Body,
) -> Result<Response, Error> {
    let request = requests::create_upload(fields)?;
    json(caller.dialect, &uploads::create(&state.db, &caller.project.0, request).await?)
}

/// `addUploadPart`.
async fn add_part(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
    form: Form,
) -> Result<Response, Error> {
    let pending = uploads::check_pending(&state.db, &caller.project.0, &id).await;
    let form = form.read(&state.files, "data", if pending.is_ok() { PART_BYTES } else { 0 }).await;
    // The form is read either way, so that its client is told what is wrong.
    pending?;
    let form = form?;
    let data = form.file.ok_or_else(|| missing("data"))?;
    Fields::form(requests::form(form.texts), caller.dialect)?.finish(Default::default())?;
    json(caller.dialect, &uploads::add_part(&state.files, &caller.project.0, &id, data.stored).await?)
}

/// `completeUpload`.
async fn complete(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
    Body(fields): Body,
) -> Result<Response, Error> {
    let request = requests::complete_upload(fields)?;
    json(caller.dialect, &uploads::complete(&state.files, &caller.project.0, &id, request).await?)
}

/// `cancelUpload`.
async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
) -> Result<Response, Error> {
    json(caller.dialect, &uploads::cancel(&state.files, &caller.project.0, &id).await?)
}
