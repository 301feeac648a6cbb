//! Bodies and queries of `/files` and `/uploads`, the same in both contracts, and of the files of v1
//! assistants. Forms are read as if they were JSON objects, so that their errors are the same.

use serde_json::{Map, Value};

use super::Query;
use super::fields::{At, Fields, Foreign, array, filled_text, id, integer, text, word};
use super::requests::page_request_within;
use crate::error::Invalid;
use crate::page::PageRequest;
use crate::types::file::{
    AssistantFile, CompleteUpload, CreateFile, CreateUpload, File, FilePurpose, MessageFile, Upload,
    UploadPart,
};

/// Characters of a file's name.
const FILENAME: usize = 1_024;
const MIME_TYPE: usize = 256;
/// Seconds that a file may be told to live: an hour to 30 days.
const EXPIRES_AFTER: (i64, i64) = (3_600, 2_592_000);
/// Files on a page, where the client names no limit too.
const FILES: i64 = 10_000;

/// The text fields of a form as a JSON object: `a[b]` is field b of object a.
pub fn form(fields: Vec<(String, String)>) -> Value {
    let mut object = Map::new();
    for (name, text) in fields {
        match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
            Some((outer, inner)) => {
                let outer = object.entry(outer).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(outer) = outer {
                    outer.insert(inner.to_owned(), Value::String(text));
                }
            }
            None => {
                object.insert(name, Value::String(text));
            }
        }
    }
    Value::Object(object)
}

/// The form of `createFile` without the file, and the file's name.
pub fn create_file(mut fields: Fields, filename: String) -> Result<CreateFile, Invalid> {
    let request = CreateFile {
        purpose: fields.required("purpose", purpose)?,
        expires_after: fields.optional("expires_after", expires_after)?,
        filename,
    };
    fields.finish(Foreign::NONE)?;
    Ok(request)
}

/// The name of a file that came in a form, held to what the body of `createUpload` is held to.
pub fn filename(name: String, at: At) -> Result<String, Invalid> {
    filled_text(FILENAME)(Value::String(name), at)
}

/// A purpose that clients may upload files for; the error is in the words of the hosted API.
fn purpose(value: Value, at: At) -> Result<FilePurpose, Invalid> {
    let word = text(value, at)?;
    let purpose = FilePurpose::from_word(&word).filter(|purpose| FilePurpose::UPLOADED.contains(purpose));
    purpose.ok_or_else(|| {
        let words: Vec<String> =
            FilePurpose::UPLOADED.iter().map(|purpose| format!("'{}'", purpose.as_str())).collect();
        let word: String = word.chars().take(64).collect();
        Invalid {
            message: format!("'{word}' is not one of [{}] - '{}'", words.join(", "), at.path),
            param: Some(at.path.to_owned()),
            code: None,
        }
    })
}

/// `expires_after`: in a form its fields are texts, or it is one text of JSON.
fn expires_after(value: Value, at: At) -> Result<i64, Invalid> {
    let value = match value {
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        value => value,
    };
    let mut fields = Fields::of(value, at)?;
    fields.required("anchor", word(&["created_at"], |word| (word == "created_at").then_some(())))?;
    let seconds = fields.required("seconds", |value, at| {
        let value = match value {
            Value::String(text) => text.parse::<i64>().map_or(Value::String(text), Value::from),
            value => value,
        };
        integer(EXPIRES_AFTER.0, EXPIRES_AFTER.1)(value, at)
    })?;
    fields.finish(Foreign::NONE)?;
    Ok(seconds)
}

/// The query of `listFiles`.
pub fn list_files(query: &Query) -> Result<(Option<FilePurpose>, PageRequest), Invalid> {
    let words = FilePurpose::WORDS;
    let purpose = match query.get("purpose").map(String::as_str) {
        None | Some("") => None,
        Some(name) => {
            let at = At { path: "purpose", dialect: super::Dialect::V2 };
            Some(word(words, FilePurpose::from_word)(Value::from(name), at)?)
        }
    };
    Ok((purpose, page_request_within(query, File::PREFIX, FILES, FILES)?))
}

/// The body of `createUpload`.
pub fn create_upload(mut fields: Fields) -> Result<CreateUpload, Invalid> {
    let request = CreateUpload {
        file: CreateFile {
            filename: fields.required("filename", filled_text(FILENAME))?,
            purpose: fields.required("purpose", purpose)?,
            expires_after: fields.optional("expires_after", expires_after)?,
        },
        bytes: fields.required("bytes", integer(0, Upload::MAX_BYTES))?,
        mime_type: fields.required("mime_type", filled_text(MIME_TYPE))?,
    };
    fields.finish(Foreign::NONE)?;
    Ok(request)
}

/// The body of `completeUpload`.
pub fn complete_upload(mut fields: Fields) -> Result<CompleteUpload, Invalid> {
    let request = CompleteUpload {
        part_ids: fields.required("part_ids", array(Upload::MAX_PARTS, id(UploadPart::PREFIX)))?,
        md5: fields.optional("md5", md5)?,
    };
    fields.finish(Foreign::NONE)?;
    Ok(request)
}

fn md5(value: Value, at: At) -> Result<String, Invalid> {
    let md5 = text(value, at)?.to_ascii_lowercase();
    if md5.len() == 32 && md5.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(md5);
    }
    let message = format!("Invalid '{}'. Expected the 32 hexadecimal digits of an MD5 checksum.", at.path);
    Err(Invalid::field(at.path, "invalid_value", message))
}

/// The body of `createAssistantFile`: the id of the file.
pub fn create_assistant_file(mut fields: Fields) -> Result<String, Invalid> {
    let file_id = fields.required("file_id", id("file"))?;
    fields.finish(Foreign::NONE)?;
    Ok(file_id)
}

/// Objects that are the same in both contracts.
macro_rules! same_in_both {
    ($($object:ty),+ $(,)?) => {$(
        impl super::View for $object {
            fn v1(&self) -> impl serde::Serialize + '_ {
                self
            }
        }
    )+};
}

same_in_both!(File, Upload, UploadPart, AssistantFile, MessageFile);
