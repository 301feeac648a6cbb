//! Bodies and queries of `/vector_stores`, the same in both contracts.

use serde_json::Value;

use super::fields::{
    At, Fields, Foreign, array, boolean, check_length, decimal, filled_text, id, integer, metadata, object,
    short_text, text, word, wrong_type, wrong_word,
};
use super::{Dialect, Query};
use crate::error::Invalid;
use crate::page::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::types::tool::RankingOptions;
use crate::types::vector_store::{
    AddFile, Attributes, Chunking, Comparison, ContentPage, CreateVectorStore, ExpiresAfter, FileCursors,
    Filter, ModifyVectorStore, SearchResultsPage, SearchVectorStore, VectorStore, VectorStoreFile,
    VectorStoreFileBatch, VectorStoreFileStatus,
};

/// Characters.
const NAME: usize = 256;
const DESCRIPTION: usize = 512;
const QUERY: usize = 4_096;
/// Files of a new store, and the queries of one search.
const FILE_IDS: usize = 500;
const QUERIES: usize = 16;
/// Pairs in `attributes`, and characters in their keys and values.
const ATTRIBUTES: usize = 16;
const ATTRIBUTE_KEY: usize = 64;
const ATTRIBUTE_VALUE: usize = 512;
/// Filters within each other, filters side by side, and values of one.
const FILTER_DEPTH: usize = 16;
const FILTERS: usize = 256;
const FILTER_VALUES: usize = 1_000;
/// Tokens of a chunk.
const CHUNK: (i64, i64) = (100, 4_096);

const RANKERS: &[&str] = &["none", "auto", "default-2024-11-15", "default_2024_08_21"];

/// The body of `createVectorStore`.
pub fn create_vector_store(mut fields: Fields) -> Result<CreateVectorStore, Invalid> {
    let request = create_fields(&mut fields)?;
    fields.finish(Foreign::NONE)?;
    Ok(request)
}

/// A store within `tool_resources.file_search.vector_stores`.
pub fn inline_vector_store(value: Value, at: At) -> Result<CreateVectorStore, Invalid> {
    let mut fields = Fields::of(value, at)?;
    let request = CreateVectorStore {
        file_ids: fields.optional("file_ids", file_ids(VectorStore::FILES))?.unwrap_or_default(),
        chunking: fields.optional("chunking_strategy", chunking)?.unwrap_or_default(),
        metadata: fields.optional("metadata", metadata)?.unwrap_or_default(),
        ..CreateVectorStore::default()
    };
    fields.finish(Foreign::NONE)?;
    Ok(request)
}

fn create_fields(fields: &mut Fields) -> Result<CreateVectorStore, Invalid> {
    Ok(CreateVectorStore {
        name: fields.optional("name", short_text(NAME))?,
        description: fields.optional("description", short_text(DESCRIPTION))?,
        file_ids: fields.optional("file_ids", file_ids(FILE_IDS))?.unwrap_or_default(),
        chunking: fields.optional("chunking_strategy", chunking)?.unwrap_or_default(),
        expires_after: fields.optional("expires_after", expires_after)?,
        metadata: fields.optional("metadata", metadata)?.unwrap_or_default(),
    })
}

/// The body of `modifyVectorStore`.
pub fn modify_vector_store(mut fields: Fields) -> Result<ModifyVectorStore, Invalid> {
    let request = ModifyVectorStore {
        name: fields.patch("name", short_text(NAME))?,
        description: fields.patch("description", short_text(DESCRIPTION))?,
        expires_after: fields.patch("expires_after", expires_after)?,
        metadata: fields.patch("metadata", metadata)?,
    };
    fields.finish(Foreign::NONE)?;
    Ok(request)
}

fn file_ids(max: usize) -> impl Fn(Value, At) -> Result<Vec<String>, Invalid> {
    array(max, id("file"))
}

fn expires_after(value: Value, at: At) -> Result<ExpiresAfter, Invalid> {
    let mut fields = Fields::of(value, at)?;
    let anchors: &[&str] = &[ExpiresAfter::ANCHOR];
    fields.required("anchor", word(anchors, |word| (word == ExpiresAfter::ANCHOR).then_some(())))?;
    let days = fields.required("days", integer(1, 365))?;
    fields.finish(Foreign::NONE)?;
    Ok(ExpiresAfter::days(i32::try_from(days).unwrap_or(365)))
}

/// `chunking_strategy`.
fn chunking(value: Value, at: At) -> Result<Chunking, Invalid> {
    let mut fields = Fields::of(value, at)?;
    let kind = fields.required("type", text)?;
    let chunking = match kind.as_str() {
        "auto" => Chunking::default(),
        // The documents' own example has the numbers beside the type.
        "static" if fields.has("static") => fields.required("static", static_chunking)?,
        "static" => static_sizes(&mut fields)?,
        _ => return Err(wrong_word(&fields.path("type"), &kind, &["auto", "static"])),
    };
    fields.finish(Foreign::NONE)?;
    Ok(chunking)
}

fn static_chunking(value: Value, at: At) -> Result<Chunking, Invalid> {
    let mut fields = Fields::of(value, at)?;
    let chunking = static_sizes(&mut fields)?;
    fields.finish(Foreign::NONE)?;
    Ok(chunking)
}

fn static_sizes(fields: &mut Fields) -> Result<Chunking, Invalid> {
    let size = fields.required("max_chunk_size_tokens", integer(CHUNK.0, CHUNK.1))?;
    let path = fields.path("chunk_overlap_tokens");
    let overlap = fields.required("chunk_overlap_tokens", integer(0, i64::MAX))?;
    if overlap > size / 2 {
        let message = format!(
            "Invalid '{path}': integer above maximum value. Expected a value <= {} (half of max_chunk_size_tokens), but \
             got {overlap} instead.",
            size / 2
        );
        return Err(Invalid::field(path, "integer_above_max_value", message));
    }
    let narrow = |tokens: i64| i32::try_from(tokens).unwrap_or(i32::MAX);
    Ok(Chunking { max_chunk_size_tokens: narrow(size), chunk_overlap_tokens: narrow(overlap) })
}

/// The body of `createVectorStoreFile`.
pub fn add_file(mut fields: Fields) -> Result<AddFile, Invalid> {
    let request = file_fields(&mut fields)?;
    fields.finish(Foreign::NONE)?;
    Ok(request)
}

fn file_fields(fields: &mut Fields) -> Result<AddFile, Invalid> {
    Ok(AddFile {
        file_id: fields.required("file_id", id("file"))?,
        attributes: fields.optional("attributes", attributes)?.unwrap_or_default(),
        chunking: fields.optional("chunking_strategy", chunking)?.unwrap_or_default(),
    })
}

/// The body of `createVectorStoreFileBatch`: files that share everything, or each with its own.
pub fn create_batch(mut fields: Fields) -> Result<Vec<AddFile>, Invalid> {
    const MAX: usize = VectorStoreFileBatch::FILES;
    let of_all = fields.optional("file_ids", file_ids(MAX))?;
    let of_each = fields.optional("files", array(MAX, |value, at| add_file(Fields::of(value, at)?)))?;
    let attributes = fields.optional("attributes", attributes)?.unwrap_or_default();
    let chunking = fields.optional("chunking_strategy", chunking)?.unwrap_or_default();
    fields.finish(Foreign::NONE)?;
    let files = match (of_all, of_each) {
        (Some(_), Some(_)) => {
            let message = "'file_ids' and 'files' are mutually exclusive: send one of them.";
            return Err(Invalid::field("files", "mutually_exclusive_parameters", message));
        }
        (Some(ids), None) => {
            let file = |file_id| AddFile { file_id, attributes: attributes.clone(), chunking };
            ids.into_iter().map(file).collect()
        }
        (None, Some(files)) => files,
        (None, None) => {
            let message = "Missing required parameter: 'file_ids'.";
            return Err(Invalid::field("file_ids", "missing_required_parameter", message));
        }
    };
    if files.is_empty() {
        let message = "Invalid 'file_ids': empty array. Expected an array with minimum length 1, but got an empty array instead.";
        return Err(Invalid::field("file_ids", "empty_array", message));
    }
    Ok(files)
}

/// The body of `updateVectorStoreFileAttributes`; null clears them.
pub fn update_attributes(mut fields: Fields) -> Result<Attributes, Invalid> {
    let patch = fields.patch("attributes", attributes)?;
    fields.finish(Foreign::NONE)?;
    match patch {
        crate::types::Patch::Set(attributes) => Ok(attributes),
        crate::types::Patch::Clear => Ok(Attributes::new()),
        crate::types::Patch::Keep => {
            let message = "Missing required parameter: 'attributes'.";
            Err(Invalid::field("attributes", "missing_required_parameter", message))
        }
    }
}

/// `attributes`: at most 16 pairs, keys up to 64 and texts up to 512 characters; numbers and booleans too.
fn attributes(value: Value, at: At) -> Result<Attributes, Invalid> {
    let map = object(value, at)?;
    if map.len() > ATTRIBUTES {
        let message = format!(
            "Invalid '{}': too many properties. Expected an object with at most {ATTRIBUTES} properties, but got an \
             object with {} properties instead.",
            at.path,
            map.len()
        );
        return Err(Invalid::field(at.path, "object_above_max_properties", message));
    }
    for (key, value) in &map {
        let path = format!("{}.{key}", at.path);
        let here = At { path: &path, dialect: at.dialect };
        check_length(key, ATTRIBUTE_KEY, here)?;
        match value {
            Value::String(text) => check_length(text, ATTRIBUTE_VALUE, here)?,
            Value::Number(_) | Value::Bool(_) => {}
            other => return Err(wrong_type(&path, "a string, a number or a boolean", other)),
        }
    }
    Ok(map)
}

/// `filter` of a list of files.
pub fn status_filter(query: &Query) -> Result<Option<VectorStoreFileStatus>, Invalid> {
    match query.get("filter").map(String::as_str) {
        None | Some("") => Ok(None),
        Some(name) => {
            let at = At { path: "filter", dialect: Dialect::V2 };
            word(VectorStoreFileStatus::WORDS, VectorStoreFileStatus::from_word)(Value::from(name), at)
                .map(Some)
        }
    }
}

/// The query of a list of files without its cursors, and these.
pub fn file_page(query: &Query) -> Result<(crate::page::PageRequest, FileCursors), Invalid> {
    let mut rest = query.clone();
    let mut cursor = |name: &str| rest.remove(name).filter(|id| !id.is_empty());
    let cursors = FileCursors { after: cursor("after"), before: cursor("before") };
    Ok((super::requests::page_request_within(&rest, "file-", DEFAULT_LIMIT, MAX_LIMIT)?, cursors))
}

/// The body of `searchVectorStore`.
pub fn search(mut fields: Fields) -> Result<SearchVectorStore, Invalid> {
    let queries = fields.required("query", queries)?;
    // A model that rewrites queries would be one more that may be down; the query is searched as it is.
    fields.optional("rewrite_query", boolean)?;
    let filter = fields.optional("filters", |value, at| filter(value, at, FILTER_DEPTH))?;
    let max_num_results = fields.optional("max_num_results", integer(1, 50))?.unwrap_or(10);
    let ranking = fields.optional("ranking_options", ranking_options)?.unwrap_or_default();
    let weights = ranking.weights();
    let score_threshold = ranking.score_threshold;
    let request = SearchVectorStore { queries, filter, max_num_results, score_threshold, weights };
    fields.finish(Foreign::NONE)?;
    Ok(request)
}

fn queries(value: Value, at: At) -> Result<Vec<String>, Invalid> {
    match value {
        Value::String(_) => Ok(vec![filled_text(QUERY)(value, at)?]),
        Value::Array(ref queries) if queries.is_empty() => {
            let message = format!(
                "Invalid '{}': empty array. Expected an array with minimum length 1, but got an empty array instead.",
                at.path
            );
            Err(Invalid::field(at.path, "empty_array", message))
        }
        Value::Array(_) => array(QUERIES, filled_text(QUERY))(value, at),
        other => Err(wrong_type(at.path, "a string or an array of strings", &other)),
    }
}

/// `ranking_options` of a search: its rankers have other names than those of the tool, and change nothing.
fn ranking_options(value: Value, at: At) -> Result<RankingOptions, Invalid> {
    let mut fields = Fields::of(value, at)?;
    fields.optional("ranker", |value, at| {
        let ranker = text(value, at)?;
        if RANKERS.contains(&ranker.as_str()) { Ok(()) } else { Err(wrong_word(at.path, &ranker, RANKERS)) }
    })?;
    let options = RankingOptions {
        score_threshold: fields.optional("score_threshold", decimal(0.0, 1.0))?.unwrap_or(0.0),
        hybrid_search: fields.optional("hybrid_search", super::tools::hybrid_search)?,
        ..RankingOptions::default()
    };
    fields.finish(Foreign::NONE)?;
    Ok(options)
}

/// A comparison, or several filters combined.
fn filter(value: Value, at: At, depth: usize) -> Result<Filter, Invalid> {
    const TYPES: &[&str] = &["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "and", "or"];
    if depth == 0 {
        let message = format!("Invalid '{}': filters are nested more than {FILTER_DEPTH} deep.", at.path);
        return Err(Invalid::field(at.path, "invalid_value", message));
    }
    let mut fields = Fields::of(value, at)?;
    let path = fields.path("type");
    let kind = fields.required("type", text)?;
    let filter = match kind.as_str() {
        "and" | "or" => {
            let filters =
                fields.required("filters", array(FILTERS, |value, at| filter(value, at, depth - 1)))?;
            if kind == "and" { Filter::And(filters) } else { Filter::Or(filters) }
        }
        kind if TYPES.contains(&kind) => {
            let key = fields.required("key", filled_text(ATTRIBUTE_KEY))?;
            let comparison = fields.required("value", |value, at| comparison(kind, value, at))?;
            Filter::Compare { key, comparison }
        }
        _ => return Err(wrong_word(&path, &kind, TYPES)),
    };
    fields.finish(Foreign::NONE)?;
    Ok(filter)
}

fn comparison(kind: &str, value: Value, at: At) -> Result<Comparison, Invalid> {
    match kind {
        "in" => return Ok(Comparison::In(array(FILTER_VALUES, scalar)(value, at)?)),
        "nin" => return Ok(Comparison::Nin(array(FILTER_VALUES, scalar)(value, at)?)),
        _ => {}
    }
    let value = scalar(value, at)?;
    Ok(match kind {
        "ne" => Comparison::Ne(value),
        "gt" => Comparison::Gt(value),
        "gte" => Comparison::Gte(value),
        "lt" => Comparison::Lt(value),
        "lte" => Comparison::Lte(value),
        _ => Comparison::Eq(value),
    })
}

fn scalar(value: Value, at: At) -> Result<Value, Invalid> {
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(value),
        other => Err(wrong_type(at.path, "a string, a number or a boolean", &other)),
    }
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

same_in_both!(VectorStore, VectorStoreFile, VectorStoreFileBatch, ContentPage, SearchResultsPage);
