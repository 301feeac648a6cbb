//! Every operation of both documents that Locum serves, as data, but for those of models (tests/api/models). Those of
//! vector stores are in a file of their own.
//!
//! In paths, bodies and messages `$name` stands for an id of the [`World`](super::world::World).

/// One operation of the documents.
pub struct Operation {
    /// Its `operationId`.
    pub id: &'static str,
    pub method: &'static str,
    /// The template of its path, with the parameters' names.
    pub path: &'static str,
    pub contracts: &'static [Contract],
    /// A valid request has this body.
    pub body: Body,
    /// The ids of a valid request that are not the world's of the same name, as (name, name in the world).
    pub ids: &'static [(&'static str, &'static str)],
    /// What `object` of the reply says; nothing where the reply is a file's bytes, `events` where it is a stream.
    pub shows: &'static str,
    pub refused: Refused,
    /// Ids of the body that must exist too; those of the path must all.
    pub also: &'static [&'static str],
    pub tenancy: Tenancy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contract {
    V1,
    V2,
}

impl Contract {
    pub const fn word(self) -> &'static str {
        match self {
            Contract::V1 => "v1",
            Contract::V2 => "v2",
        }
    }
}

#[derive(Clone, Copy)]
pub enum Body {
    None,
    Json(&'static str),
    /// Of v1, and of v2.
    Either(&'static str, &'static str),
    Form(&'static [Field]),
}

/// A field of a form.
#[derive(Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    /// The field is a file of this name.
    pub file: Option<&'static str>,
    pub value: &'static str,
}

/// A request that is a 400, and the error.
pub struct Refused {
    pub how: How,
    pub message: &'static str,
    pub param: Option<&'static str>,
    pub code: Option<&'static str>,
}

/// What is wrong with the request.
#[derive(Clone, Copy)]
pub enum How {
    Query(&'static str),
    Body(Body),
    /// The last id of the path is no UTF-8.
    Path,
    /// These ids instead, as in [`Operation::ids`]: the objects are in no state for it.
    Ids(&'static [(&'static str, &'static str)]),
}

/// How the objects of a project are kept from others.
pub enum Tenancy {
    /// With another project's key the same 404 as for what does not exist.
    Same404,
    /// Another project's list does not show the world's object of this name.
    NotListed(&'static str),
    /// What it makes is another project's 404 under this method and path (`$made`).
    NotFound(&'static str, &'static str),
}

const BOTH: &[Contract] = &[Contract::V1, Contract::V2];
const V1: &[Contract] = &[Contract::V1];
pub const V2: &[Contract] = &[Contract::V2];

pub const fn operation(id: &'static str, method: &'static str, path: &'static str) -> Operation {
    Operation {
        id,
        method,
        path,
        contracts: BOTH,
        body: Body::None,
        ids: &[],
        shows: "list",
        refused: NO_UTF8,
        also: &[],
        tenancy: Tenancy::Same404,
    }
}

pub const fn refused(
    how: How,
    message: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
) -> Refused {
    Refused { how, message, param, code }
}

const NO_UTF8: Refused =
    refused(How::Path, "The path of the URL is not valid percent-encoded UTF-8.", None, None);

pub const NO_LIMIT: Refused = refused(
    How::Query("limit=0"),
    "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got 0 instead.",
    Some("limit"),
    Some("integer_below_min_value"),
);

pub const NO_METADATA: Refused = refused(
    How::Body(Body::Json(r#"{"metadata": {"k": ["v"]}}"#)),
    "Invalid type for 'metadata.k': expected a string, but got an array instead.",
    Some("metadata.k"),
    Some("invalid_type"),
);

/// An empty object where a field is required.
macro_rules! lacks {
    ($field:literal) => {
        lacks!($field, Body::Json("{}"))
    };
    ($field:literal, $body:expr) => {
        refused(
            How::Body($body),
            concat!("Missing required parameter: '", $field, "'."),
            Some($field),
            Some("missing_required_parameter"),
        )
    };
}

pub(super) use lacks;

const METADATA: Body = Body::Json(r#"{"metadata": {"k": "v"}}"#);

const ASSISTANT: Body = Body::Either(
    r#"{"model": "gpt-4o", "name": "n", "description": "d", "instructions": "i", "file_ids": ["$file_id"],
        "tools": [{"type": "code_interpreter"}, {"type": "retrieval"}, {"type": "function", "function":
        {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}}],
        "metadata": {"k": "v"}, "temperature": 0.5, "top_p": 0.5, "response_format": "auto"}"#,
    r#"{"model": "gpt-4o", "name": "n", "description": "d", "instructions": "i",
        "tools": [{"type": "code_interpreter"}, {"type": "file_search", "file_search": {"max_num_results": 5,
        "ranking_options": {"ranker": "auto", "score_threshold": 0.5}}}, {"type": "function", "function":
        {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}, "strict": false}}],
        "tool_resources": {"code_interpreter": {"file_ids": ["$file_id"]}},
        "metadata": {"k": "v"}, "temperature": 0.5, "top_p": 0.5, "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}}"#,
);

const THREAD: Body = Body::Either(
    r#"{"messages": [{"role": "user", "content": "Hi", "file_ids": ["$file_id"], "metadata": {"k": "v"}}],
        "metadata": {"k": "v"}}"#,
    r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}],
        "attachments": [{"file_id": "$file_id", "tools": [{"type": "code_interpreter"}]}]},
        {"role": "assistant", "content": "Hello"}],
        "tool_resources": {"code_interpreter": {"file_ids": ["$file_id"]}}, "metadata": {"k": "v"}}"#,
);

const MESSAGE: Body = Body::Either(
    r#"{"role": "user", "content": "Hi", "file_ids": ["$file_id"], "metadata": {"k": "v"}}"#,
    r#"{"role": "user", "content": [{"type": "text", "text": "Hi"}], "metadata": {"k": "v"},
        "attachments": [{"file_id": "$file_id", "tools": [{"type": "code_interpreter"}]}]}"#,
);

const RUN: Body = Body::Either(
    r#"{"assistant_id": "$assistant_id", "model": "gpt-4o", "instructions": "i", "additional_instructions": "a",
        "additional_messages": [{"role": "user", "content": "Hi"}], "tools": [{"type": "code_interpreter"}],
        "metadata": {"k": "v"}, "temperature": 0.5, "top_p": 0.5, "stream": false, "max_prompt_tokens": 1000,
        "max_completion_tokens": 1000, "truncation_strategy": {"type": "last_messages", "last_messages": 3},
        "tool_choice": "auto", "response_format": "auto"}"#,
    r#"{"assistant_id": "$assistant_id", "model": "gpt-4o", "instructions": "i", "additional_instructions": "a",
        "additional_messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "tools": [{"type": "function", "function": {"name": "f"}}], "parallel_tool_calls": true,
        "metadata": {"k": "v"}, "temperature": 0.5, "top_p": 0.5, "stream": false, "max_prompt_tokens": 1000,
        "max_completion_tokens": 1000, "truncation_strategy": {"type": "last_messages", "last_messages": 3},
        "tool_choice": "none", "response_format": {"type": "text"}, "reasoning_effort": "low"}"#,
);

const THREAD_AND_RUN: Body = Body::Either(
    r#"{"assistant_id": "$assistant_id", "thread": {"messages": [{"role": "user", "content": "Hi"}]},
        "instructions": "i", "metadata": {"k": "v"}, "tool_choice": "none", "stream": false}"#,
    r#"{"assistant_id": "$assistant_id", "thread": {"messages": [{"role": "user", "content": "Hi"}],
        "tool_resources": {"code_interpreter": {"file_ids": ["$file_id"]}}}, "instructions": "i",
        "tool_resources": {"code_interpreter": {"file_ids": ["$file_id"]}}, "metadata": {"k": "v"},
        "tool_choice": "none", "parallel_tool_calls": false, "stream": false}"#,
);

const FILE: Body = Body::Form(&[
    Field { name: "purpose", file: None, value: "assistants" },
    Field { name: "file", file: Some("notes.txt"), value: "Some notes." },
]);

const PART: Body = Body::Form(&[Field { name: "data", file: Some("part"), value: " and more" }]);

const UPLOAD: Body = Body::Json(
    r#"{"filename": "notes.txt", "purpose": "assistants", "bytes": 11, "mime_type": "text/plain",
        "expires_after": {"anchor": "created_at", "seconds": 3600}}"#,
);

/// The run that waits for tool outputs.
const WAITING: &[(&str, &str)] = &[("thread_id", "waiting_thread_id"), ("run_id", "waiting_run_id")];

/// All of them.
pub fn operations() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().chain(super::vector_stores::OPERATIONS)
}

/// In the order of the documents.
const OPERATIONS: &[Operation] = &[
    Operation {
        tenancy: Tenancy::NotListed("assistant_id"),
        refused: NO_LIMIT,
        ..operation("listAssistants", "GET", "/assistants")
    },
    Operation {
        body: ASSISTANT,
        shows: "assistant",
        refused: lacks!("model"),
        tenancy: Tenancy::NotFound("GET", "/assistants/$made"),
        ..operation("createAssistant", "POST", "/assistants")
    },
    Operation { shows: "assistant", ..operation("getAssistant", "GET", "/assistants/{assistant_id}") },
    Operation {
        body: ASSISTANT,
        shows: "assistant",
        refused: NO_METADATA,
        ..operation("modifyAssistant", "POST", "/assistants/{assistant_id}")
    },
    Operation {
        shows: "assistant.deleted",
        ..operation("deleteAssistant", "DELETE", "/assistants/{assistant_id}")
    },
    Operation {
        contracts: V1,
        refused: NO_LIMIT,
        ..operation("listAssistantFiles", "GET", "/assistants/{assistant_id}/files")
    },
    Operation {
        contracts: V1,
        body: Body::Json(r#"{"file_id": "$other_file_id"}"#),
        shows: "assistant.file",
        refused: refused(
            How::Body(Body::Json(r#"{"file_id": "notes.txt"}"#)),
            "Invalid 'file_id': 'notes.txt'. Expected an ID that begins with 'file'.",
            Some("file_id"),
            Some("invalid_value"),
        ),
        also: &["other_file_id"],
        ..operation("createAssistantFile", "POST", "/assistants/{assistant_id}/files")
    },
    Operation {
        contracts: V1,
        shows: "assistant.file",
        ..operation("getAssistantFile", "GET", "/assistants/{assistant_id}/files/{file_id}")
    },
    Operation {
        contracts: V1,
        shows: "assistant.file.deleted",
        ..operation("deleteAssistantFile", "DELETE", "/assistants/{assistant_id}/files/{file_id}")
    },
    Operation {
        body: THREAD,
        shows: "thread",
        refused: refused(
            How::Body(Body::Json(r#"{"messages": "Hi"}"#)),
            "Invalid type for 'messages': expected an array, but got a string instead.",
            Some("messages"),
            Some("invalid_type"),
        ),
        tenancy: Tenancy::NotFound("GET", "/threads/$made"),
        ..operation("createThread", "POST", "/threads")
    },
    Operation { shows: "thread", ..operation("getThread", "GET", "/threads/{thread_id}") },
    Operation {
        body: METADATA,
        shows: "thread",
        refused: NO_METADATA,
        ..operation("modifyThread", "POST", "/threads/{thread_id}")
    },
    Operation { shows: "thread.deleted", ..operation("deleteThread", "DELETE", "/threads/{thread_id}") },
    Operation { refused: NO_LIMIT, ..operation("listMessages", "GET", "/threads/{thread_id}/messages") },
    Operation {
        body: MESSAGE,
        shows: "thread.message",
        refused: lacks!("role"),
        ..operation("createMessage", "POST", "/threads/{thread_id}/messages")
    },
    Operation {
        shows: "thread.message",
        ..operation("getMessage", "GET", "/threads/{thread_id}/messages/{message_id}")
    },
    Operation {
        body: METADATA,
        shows: "thread.message",
        refused: NO_METADATA,
        ..operation("modifyMessage", "POST", "/threads/{thread_id}/messages/{message_id}")
    },
    Operation {
        contracts: V2,
        shows: "thread.message.deleted",
        ..operation("deleteMessage", "DELETE", "/threads/{thread_id}/messages/{message_id}")
    },
    Operation {
        contracts: V1,
        refused: NO_LIMIT,
        ..operation("listMessageFiles", "GET", "/threads/{thread_id}/messages/{message_id}/files")
    },
    Operation {
        contracts: V1,
        shows: "thread.message.file",
        ..operation("getMessageFile", "GET", "/threads/{thread_id}/messages/{message_id}/files/{file_id}")
    },
    Operation {
        body: THREAD_AND_RUN,
        shows: "thread.run",
        refused: lacks!("assistant_id"),
        also: &["assistant_id"],
        ..operation("createThreadAndRun", "POST", "/threads/runs")
    },
    Operation { refused: NO_LIMIT, ..operation("listRuns", "GET", "/threads/{thread_id}/runs") },
    Operation {
        body: RUN,
        shows: "thread.run",
        refused: lacks!("assistant_id"),
        also: &["assistant_id"],
        ..operation("createRun", "POST", "/threads/{thread_id}/runs")
    },
    Operation { shows: "thread.run", ..operation("getRun", "GET", "/threads/{thread_id}/runs/{run_id}") },
    Operation {
        body: METADATA,
        shows: "thread.run",
        refused: NO_METADATA,
        ..operation("modifyRun", "POST", "/threads/{thread_id}/runs/{run_id}")
    },
    Operation {
        body: Body::Json(
            r#"{"tool_outputs": [{"tool_call_id": "$call_id", "output": "sunny"}], "stream": false}"#,
        ),
        ids: WAITING,
        shows: "thread.run",
        refused: lacks!("tool_outputs"),
        ..operation("submitToolOuputsToRun", "POST", "/threads/{thread_id}/runs/{run_id}/submit_tool_outputs")
    },
    Operation {
        ids: WAITING,
        shows: "thread.run",
        refused: refused(How::Ids(&[]), "Cannot cancel run with status 'completed'.", None, None),
        ..operation("cancelRun", "POST", "/threads/{thread_id}/runs/{run_id}/cancel")
    },
    // Our own addition.
    Operation {
        shows: "events",
        refused: refused(
            How::Query("after=x"),
            "Invalid 'after': it is the id of an event of this run, such as '1-12'.",
            Some("after"),
            Some("invalid_value"),
        ),
        ..operation("events (Locum's own)", "GET", "/threads/{thread_id}/runs/{run_id}/events")
    },
    Operation {
        refused: NO_LIMIT,
        ..operation("listRunSteps", "GET", "/threads/{thread_id}/runs/{run_id}/steps")
    },
    Operation {
        shows: "thread.run.step",
        ..operation("getRunStep", "GET", "/threads/{thread_id}/runs/{run_id}/steps/{step_id}")
    },
    Operation {
        tenancy: Tenancy::NotListed("file_id"),
        refused: NO_LIMIT,
        ..operation("listFiles", "GET", "/files")
    },
    Operation {
        body: FILE,
        shows: "file",
        refused: lacks!(
            "purpose",
            Body::Form(&[Field { name: "file", file: Some("notes.txt"), value: "Some notes." }])
        ),
        tenancy: Tenancy::NotFound("GET", "/files/$made"),
        ..operation("createFile", "POST", "/files")
    },
    Operation { shows: "file", ..operation("retrieveFile", "GET", "/files/{file_id}") },
    Operation { shows: "file", ..operation("deleteFile", "DELETE", "/files/{file_id}") },
    Operation { shows: "", ..operation("downloadFile", "GET", "/files/{file_id}/content") },
    Operation {
        contracts: V2,
        body: UPLOAD,
        shows: "upload",
        refused: lacks!("filename"),
        tenancy: Tenancy::NotFound("POST", "/uploads/$made/cancel"),
        ..operation("createUpload", "POST", "/uploads")
    },
    Operation {
        contracts: V2,
        body: PART,
        shows: "upload.part",
        refused: lacks!("data", Body::Form(&[Field { name: "purpose", file: None, value: "assistants" }])),
        ..operation("addUploadPart", "POST", "/uploads/{upload_id}/parts")
    },
    Operation {
        contracts: V2,
        body: Body::Json(r#"{"part_ids": ["$part_id"]}"#),
        shows: "upload",
        refused: lacks!("part_ids"),
        ..operation("completeUpload", "POST", "/uploads/{upload_id}/complete")
    },
    Operation {
        contracts: V2,
        shows: "upload",
        refused: refused(
            How::Ids(&[("upload_id", "completed_upload_id")]),
            "Upload $completed_upload_id has status 'completed'; only a pending upload can be changed.",
            None,
            None,
        ),
        ..operation("cancelUpload", "POST", "/uploads/{upload_id}/cancel")
    },
];
