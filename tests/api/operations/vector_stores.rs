//! The operations of vector stores, of the document of v2 alone; they are the same whatever a request speaks.

use super::table::{Body, How, NO_LIMIT, NO_METADATA, Operation, Tenancy, V2, lacks, operation, refused};

const STORES: &str = "/vector_stores";
const STORE: &str = "/vector_stores/{vector_store_id}";
const FILES: &str = "/vector_stores/{vector_store_id}/files";
const FILE: &str = "/vector_stores/{vector_store_id}/files/{file_id}";
const BATCHES: &str = "/vector_stores/{vector_store_id}/file_batches";
const BATCH: &str = "/vector_stores/{vector_store_id}/file_batches/{batch_id}";

const CREATED: Body = Body::Json(
    r#"{"name": "n", "description": "d", "file_ids": ["$file_id"], "metadata": {"k": "v"},
        "expires_after": {"anchor": "last_active_at", "days": 1}, "chunking_strategy": {"type": "auto"}}"#,
);
const ADDED: Body = Body::Json(
    r#"{"file_id": "$other_file_id", "attributes": {"a": "b", "c": 1, "d": true}, "chunking_strategy":
        {"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 100}}}"#,
);
const SEARCHED: Body = Body::Json(
    r#"{"query": ["a", "b"], "max_num_results": 3, "rewrite_query": true, "ranking_options": {"ranker": "auto",
        "score_threshold": 0.1}, "filters": {"type": "and", "filters": [{"type": "eq", "key": "a", "value": "b"}]}}"#,
);

/// In the order of the document.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        contracts: V2,
        tenancy: Tenancy::NotListed("vector_store_id"),
        refused: NO_LIMIT,
        ..operation("listVectorStores", "GET", STORES)
    },
    Operation {
        contracts: V2,
        body: CREATED,
        shows: "vector_store",
        refused: NO_METADATA,
        tenancy: Tenancy::NotFound("GET", "/vector_stores/$made"),
        ..operation("createVectorStore", "POST", STORES)
    },
    Operation { contracts: V2, shows: "vector_store", ..operation("getVectorStore", "GET", STORE) },
    Operation {
        contracts: V2,
        body: Body::Json(r#"{"name": "n", "metadata": {"k": "v"}, "expires_after": null}"#),
        shows: "vector_store",
        refused: NO_METADATA,
        ..operation("modifyVectorStore", "POST", STORE)
    },
    Operation {
        contracts: V2,
        shows: "vector_store.deleted",
        ..operation("deleteVectorStore", "DELETE", STORE)
    },
    Operation {
        contracts: V2,
        body: SEARCHED,
        shows: "vector_store.search_results.page",
        refused: lacks!("query"),
        ..operation("searchVectorStore", "POST", "/vector_stores/{vector_store_id}/search")
    },
    Operation { contracts: V2, refused: NO_LIMIT, ..operation("listVectorStoreFiles", "GET", FILES) },
    Operation {
        contracts: V2,
        body: ADDED,
        shows: "vector_store.file",
        refused: lacks!("file_id"),
        ..operation("createVectorStoreFile", "POST", FILES)
    },
    Operation { contracts: V2, shows: "vector_store.file", ..operation("getVectorStoreFile", "GET", FILE) },
    Operation {
        contracts: V2,
        body: Body::Json(r#"{"attributes": {"a": "b", "c": 1.5, "d": false}}"#),
        shows: "vector_store.file",
        refused: lacks!("attributes"),
        ..operation("updateVectorStoreFileAttributes", "POST", FILE)
    },
    Operation {
        contracts: V2,
        shows: "vector_store.file.deleted",
        ..operation("deleteVectorStoreFile", "DELETE", FILE)
    },
    Operation {
        contracts: V2,
        shows: "vector_store.file_content.page",
        ..operation(
            "retrieveVectorStoreFileContent",
            "GET",
            "/vector_stores/{vector_store_id}/files/{file_id}/content",
        )
    },
    Operation {
        contracts: V2,
        body: Body::Json(r#"{"file_ids": ["$other_file_id"], "attributes": {"a": "b"}}"#),
        shows: "vector_store.file_batch",
        refused: lacks!("file_ids"),
        ..operation("createVectorStoreFileBatch", "POST", BATCHES)
    },
    Operation {
        contracts: V2,
        shows: "vector_store.file_batch",
        ..operation("getVectorStoreFileBatch", "GET", BATCH)
    },
    Operation {
        contracts: V2,
        shows: "vector_store.file_batch",
        ..operation(
            "cancelVectorStoreFileBatch",
            "POST",
            "/vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel",
        )
    },
    Operation {
        contracts: V2,
        refused: refused(
            How::Query("filter=done"),
            "Invalid value: 'done'. Supported values are: 'in_progress', 'completed', 'cancelled', and 'failed'.",
            Some("filter"),
            Some("invalid_value"),
        ),
        ..operation(
            "listFilesInVectorStoreBatch",
            "GET",
            "/vector_stores/{vector_store_id}/file_batches/{batch_id}/files",
        )
    },
];
