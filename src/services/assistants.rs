//! Assistants.

use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

use super::{AsJson, assistant_files, files, known, now, vector_stores};
use crate::error::{Error, Invalid};
use crate::ids;
use crate::page::PageRequest;
use crate::pool::PgPool;
use crate::types::assistant::{Assistant, CreateAssistant, ModifyAssistant};
use crate::types::tool::{ResponseFormat, Tool, ToolResources};
use crate::types::{Deleted, List, Metadata, ReasoningEffort};

struct Row {
    id: String,
    created_at: OffsetDateTime,
    model: String,
    name: Option<String>,
    description: Option<String>,
    instructions: Option<String>,
    tools: Json<Vec<Tool>>,
    tool_resources: Json<ToolResources>,
    metadata: Json<Metadata>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    response_format: Json<ResponseFormat>,
    reasoning_effort: Option<String>,
    file_times: Json<assistant_files::Times>,
}

macro_rules! select {
    ($tail:literal $(+ $end:literal)? $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"select id, created_at, model, name, description, instructions,
                tools as "tools: Json<Vec<Tool>>", tool_resources as "tool_resources: Json<ToolResources>",
                metadata as "metadata: Json<Metadata>", temperature, top_p,
                response_format as "response_format: Json<ResponseFormat>", reasoning_effort,
                file_times as "file_times: Json<assistant_files::Times>"
             from assistants "# + $tail $(+ $end)?
            $(, $argument)*
        )
    };
}

impl TryFrom<Row> for Assistant {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let reasoning_effort = row.reasoning_effort.as_deref();
        Ok(Assistant {
            id: row.id,
            object: Assistant::OBJECT,
            created_at: row.created_at,
            name: row.name,
            description: row.description,
            model: row.model,
            instructions: row.instructions,
            tools: row.tools.0,
            top_p: row.top_p,
            temperature: row.temperature,
            reasoning_effort: reasoning_effort
                .map(|word| known("assistants.reasoning_effort", word, ReasoningEffort::from_word))
                .transpose()?,
            tool_resources: row.tool_resources.0,
            metadata: row.metadata.0,
            response_format: row.response_format.0,
        })
    }
}

/// The 404 of an assistant.
pub fn not_found(id: &str) -> Error {
    Error::NotFound { kind: "assistant", id: id.to_owned() }
}

/// `createAssistant`.
pub async fn create(
    context: &vector_stores::Context,
    project: &str,
    mut request: CreateAssistant,
) -> Result<Assistant, Error> {
    check_names(&request.tools)?;
    if !request.tool_resources.describes_stores() {
        let mut connection = context.db.acquire().await?;
        check_resources(&mut connection, project, &request.tool_resources).await?;
        let assistant = insert(&mut connection, project, request).await?;
        connection.done();
        return Ok(assistant);
    }
    let mut tx = super::begin(&context.db).await?;
    check_resources(&mut tx, project, &request.tool_resources).await?;
    vector_stores::attachments::make(&mut tx, project, &mut request.tool_resources, false).await?;
    let assistant = insert(&mut tx, project, request).await?;
    tx.commit().await?;
    context.knock.knock();
    Ok(assistant)
}

async fn insert(db: &mut PgConnection, project: &str, request: CreateAssistant) -> Result<Assistant, Error> {
    let ord = ids::new_ord();
    let assistant = Assistant {
        id: ids::id_of(Assistant::PREFIX, ord),
        object: Assistant::OBJECT,
        created_at: ids::instant_of(ord),
        name: request.name,
        description: request.description,
        model: request.model,
        instructions: request.instructions,
        tools: request.tools,
        // The defaults are echoed, as the hosted API did.
        top_p: request.top_p.or(Some(1.0)),
        temperature: request.temperature.or(Some(1.0)),
        reasoning_effort: request.reasoning_effort,
        tool_resources: request.tool_resources,
        metadata: request.metadata,
        response_format: request.response_format,
    };
    let mut file_times = assistant_files::Times::new();
    let file_ids = assistant.tool_resources.file_ids();
    assistant_files::note(&mut file_times, &[], file_ids, assistant.created_at);
    sqlx::query!(
        "insert into assistants (id, project_id, ord, created_at, model, name, description, instructions, tools,
            tool_resources, metadata, temperature, top_p, response_format, reasoning_effort, file_times)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        assistant.id,
        project,
        ord,
        assistant.created_at,
        assistant.model,
        assistant.name,
        assistant.description,
        assistant.instructions,
        AsJson(&assistant.tools) as _,
        AsJson(&assistant.tool_resources) as _,
        AsJson(&assistant.metadata) as _,
        assistant.temperature,
        assistant.top_p,
        AsJson(&assistant.response_format) as _,
        assistant.reasoning_effort.map(ReasoningEffort::as_str),
        AsJson(&file_times) as _,
    )
    .execute(db)
    .await?;
    Ok(assistant)
}

/// `listAssistants`.
pub async fn list(
    db: impl PgExecutor<'_>,
    project: &str,
    request: PageRequest,
) -> Result<List<Assistant>, Error> {
    let window = request.window();
    let rows = scan!(db, window, select, "where project_id = $4", project);
    let assistants = rows.into_iter().map(Assistant::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(window.page(assistants, |assistant| &assistant.id))
}

/// `getAssistant`.
pub async fn get(db: impl PgExecutor<'_>, project: &str, id: &str) -> Result<Assistant, Error> {
    let row = select!("where id = $1 and project_id = $2", id, project).fetch_optional(db).await?;
    row.ok_or_else(|| not_found(id))?.try_into()
}

/// `modifyAssistant`: absent keeps, null clears, lists and metadata replace whole, `tool_resources` per tool.
pub async fn modify(
    db: &PgPool,
    project: &str,
    id: &str,
    request: ModifyAssistant,
) -> Result<Assistant, Error> {
    let mut tx = super::begin(db).await?;
    let row =
        select!("where id = $1 and project_id = $2 for update", id, project).fetch_optional(&mut *tx).await?;
    let row = row.ok_or_else(|| not_found(id))?;
    let mut file_times = row.file_times.0.clone();
    let mut assistant: Assistant = row.try_into()?;
    if let Some(model) = request.model {
        assistant.model = model;
    }
    request.name.apply(&mut assistant.name);
    request.description.apply(&mut assistant.description);
    request.instructions.apply(&mut assistant.instructions);
    request.tools.apply_or_default(&mut assistant.tools);
    request.metadata.apply_or_default(&mut assistant.metadata);
    request.temperature.apply(&mut assistant.temperature);
    request.top_p.apply(&mut assistant.top_p);
    assistant.temperature.get_or_insert(1.0);
    assistant.top_p.get_or_insert(1.0);
    request.response_format.apply_or_default(&mut assistant.response_format);
    request.reasoning_effort.apply(&mut assistant.reasoning_effort);
    let before = assistant.tool_resources.file_ids().to_vec();
    super::apply_resources(&mut tx, project, request.tool_resources, &mut assistant.tool_resources).await?;
    assistant_files::note(&mut file_times, &before, assistant.tool_resources.file_ids(), now());
    check_names(&assistant.tools)?;
    sqlx::query!(
        "update assistants set model = $2, name = $3, description = $4, instructions = $5, tools = $6,
            tool_resources = $7, metadata = $8, temperature = $9, top_p = $10, response_format = $11,
            reasoning_effort = $12, file_times = $13
         where id = $1",
        assistant.id,
        assistant.model,
        assistant.name,
        assistant.description,
        assistant.instructions,
        AsJson(&assistant.tools) as _,
        AsJson(&assistant.tool_resources) as _,
        AsJson(&assistant.metadata) as _,
        assistant.temperature,
        assistant.top_p,
        AsJson(&assistant.response_format) as _,
        assistant.reasoning_effort.map(ReasoningEffort::as_str),
        AsJson(&file_times) as _,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(assistant)
}

/// `deleteAssistant`. Its threads, runs and messages stay.
pub async fn delete(db: impl PgExecutor<'_>, project: &str, id: &str) -> Result<Deleted, Error> {
    let gone = sqlx::query_scalar!(
        r#"with gone as (delete from assistants where id = $1 and project_id = $2 returning id),
         hidden as (update vector_stores s set gone = true from gone where s.owner = gone.id and not s.gone)
         select id as "id!" from gone"#,
        id,
        project
    )
    .fetch_optional(db)
    .await?;
    if gone.is_none() {
        return Err(not_found(id));
    }
    Ok(Deleted { id: id.to_owned(), object: "assistant.deleted", deleted: true })
}

/// Refuses two functions of one name: a call could not be told which it means.
pub fn check_names(tools: &[Tool]) -> Result<(), Invalid> {
    let mut names = std::collections::HashSet::new();
    for tool in tools {
        if let Tool::Function { function } = tool
            && !names.insert(function.name.as_str())
        {
            let message =
                format!("Invalid 'tools': there is more than one function named '{}'.", function.name);
            return Err(Invalid::field("tools", "invalid_value", message));
        }
    }
    Ok(())
}

/// Checks that what `tool_resources` names exists.
pub async fn check_resources(
    db: &mut PgConnection,
    project: &str,
    resources: &ToolResources,
) -> Result<(), Error> {
    files::check_exist(&mut *db, project, resources.file_ids().iter().map(String::as_str)).await?;
    let stores = resources.file_search.iter().flat_map(|search| &search.vector_store_ids);
    vector_stores::check_named(db, project, stores).await
}
