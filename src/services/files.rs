//! Files that other objects name. This version stores none, so every id that a request names is one of
//! a file that does not exist.

use crate::error::{Error, Invalid};

/// Checks that the files which a request names exist in its project.
pub fn check_exist<'a>(mut file_ids: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    match file_ids.next() {
        None => Ok(()),
        Some(id) => Err(Invalid {
            message: format!("No such File object: {id}"),
            param: Some("id".to_owned()),
            code: None,
        }
        .into()),
    }
}

/// Checks that the vector stores which a request names exist in its project.
pub fn check_vector_stores_exist<'a>(mut ids: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    match ids.next() {
        None => Ok(()),
        Some(id) => Err(Invalid::state(format!("Vector store with id '{id}' not found.")).into()),
    }
}
