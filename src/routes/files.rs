//! `/files`, the same in both contracts.

use axum::Router;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::extract::{Caller, Ids, Parameters};
use super::form::{Form, FormFile};
use super::reply::json;
use crate::dialect::Dialect;
use crate::dialect::fields::{At, Fields};
use crate::dialect::files as requests;
use crate::error::{Error, Invalid};
use crate::services::files;
use crate::state::AppState;

pub fn router() -> Router<AppState> {
    Router::new()
        .route("/files", get(list).post(create))
        .route("/files/{file_id}", get(retrieve).delete(delete))
        .route("/files/{file_id}/content", get(content))
}

/// `listFiles`.
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(query): Parameters,
) -> Result<Response, Error> {
    let (purpose, request) = requests::list_files(&query)?;
    json(caller.dialect, &files::list(&state.db, &caller.project.0, purpose, request).await?)
}

/// `createFile`.
async fn create(State(state): State<AppState>, caller: Caller, form: Form) -> Result<Response, Error> {
    let form = form.read(&state.files, "file", state.files.file_bytes).await?;
    let FormFile { name, stored } = form.file.ok_or_else(|| missing("file"))?;
    let name = requests::filename(name, At { path: "file", dialect: Dialect::V2 })?;
    let fields = Fields::form(requests::form(form.texts), caller.dialect)?;
    let request = requests::create_file(fields, name)?;
    json(caller.dialect, &files::create(&state.files, &caller.project.0, request, stored).await?)
}

/// The error of a form without its file.
pub fn missing(field: &str) -> Invalid {
    Invalid::field(field, "missing_required_parameter", format!("Missing required parameter: '{field}'."))
}

/// `retrieveFile`.
async fn retrieve(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
) -> Result<Response, Error> {
    json(caller.dialect, &files::get(&state.db, &caller.project.0, &id).await?)
}

/// `deleteFile`.
async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
) -> Result<Response, Error> {
    json(caller.dialect, &files::delete(&state.files, &caller.project.0, &id).await?)
}

/// `downloadFile`.
async fn content(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
) -> Result<Response, Error> {
    let (file, bytes) = files::content(&state.files, &caller.project.0, &id).await?;
    let mut response = HttpBody::from_stream(bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(file.bytes));
    headers.insert(header::CONTENT_DISPOSITION, disposition(&file.filename));
    // What a browser is shown is never run by it.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// What `filename*` carries as it is (RFC 8187, `attr-char`).
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `attachment` with the file's name (RFC 6266): as it is where it fits a quoted string, else also encoded.
fn disposition(name: &str) -> HeaderValue {
    let is_plain = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\' | '%');
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut value = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        value.push_str(&format!("; filename*=UTF-8''{}", utf8_percent_encode(name, ATTR_CHAR)));
    }
    HeaderValue::from_str(&value).unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_downloads_are_encoded() {
        assert_eq!(disposition("a b.txt"), "attachment; filename=\"a b.txt\"");
        assert_eq!(
            disposition("Übung \"1\"\r\n.txt"),
            "attachment; filename=\"_bung _1___.txt\"; filename*=UTF-8''%C3%9Cbung%20%221%22%0D%0A.txt"
        );
    }
}
