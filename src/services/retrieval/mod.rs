//! Finding pieces of files. Lexical: the best candidates come from an index by their rarest words, and are ranked by BM25
//! (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009) with the frequencies of their store. Ranking
//! all that has any word of the query, in SQL, is too slow, and asking for all words finds too little.

mod candidates;
mod filter;
mod of_run;
pub mod terms;

use std::collections::HashMap;

use sqlx::types::Json;

use crate::error::Error;
use crate::pool::PgPool;
use crate::services::vector_stores::{self, Knock};
use crate::types::vector_store::{
    Attributes, Filter, SearchResult, SearchResultsPage, SearchVectorStore, TextContent, VectorStoreStatus,
};
use candidates::{Candidate, Store};

pub use of_run::stores_of_run;

/// What a search needs.
#[derive(Clone)]
pub struct Context {
    pub db: PgPool,
    /// Says that there is a file to make searchable.
    pub knock: Knock,
}

/// What a search asks for.
#[derive(Debug, Clone)]
pub struct Search {
    pub vector_store_ids: Vec<String>,
    pub queries: Vec<String>,
    pub filter: Option<Filter>,
    /// Chunks at most.
    pub limit: usize,
    /// 0 to 1.
    pub score_threshold: f64,
}

/// A chunk that was found.
#[derive(Debug, Clone)]
pub struct Found {
    pub file_id: String,
    pub filename: String,
    /// 0 to 1.
    pub score: f64,
    pub attributes: Attributes,
    pub text: String,
}

/// Searches the stores of a project, best first. One that is expired or gone holds nothing.
pub async fn search(context: &Context, project: &str, search: &Search) -> Result<Vec<Found>, Error> {
    let mut best: HashMap<i64, f64> = HashMap::new();
    for store in stores(&context.db, project, &search.vector_store_ids).await? {
        let files = match &search.filter {
            None => None,
            Some(filter) => Some(passing(&context.db, &store, filter).await?),
        };
        if files.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        for query in &search.queries {
            for Candidate { number, score } in
                candidates::rank(&context.db, &store, query, files.as_deref(), search.limit).await?
            {
                if score >= search.score_threshold {
                    let known = best.entry(number).or_insert(score);
                    *known = known.max(score);
                }
            }
        }
    }
    let mut best: Vec<(i64, f64)> = best.into_iter().collect();
    best.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    best.truncate(search.limit);
    read(&context.db, &best).await
}

/// `searchVectorStore`. The query is searched as it is: `rewrite_query` changes nothing.
pub async fn page(
    context: &Context,
    project: &str,
    store_id: &str,
    request: SearchVectorStore,
) -> Result<SearchResultsPage, Error> {
    let store = vector_stores::get(&context.db, project, store_id).await?;
    if store.status == VectorStoreStatus::Expired {
        return Err(vector_stores::expired(store_id).into());
    }
    let asked = Search {
        vector_store_ids: vec![store.id],
        queries: request.queries,
        filter: request.filter,
        limit: usize::try_from(request.max_num_results).unwrap_or(1),
        score_threshold: request.score_threshold,
    };
    let found = search(context, project, &asked).await?;
    vector_stores::touch(&context.db, &asked.vector_store_ids).await?;
    let result = |found: Found| SearchResult {
        file_id: found.file_id,
        filename: found.filename,
        score: found.score,
        attributes: found.attributes,
        content: vec![TextContent::new(found.text)],
    };
    Ok(SearchResultsPage {
        object: SearchResultsPage::OBJECT,
        search_query: asked.queries,
        data: found.into_iter().map(result).collect(),
        has_more: false,
        next_page: None,
    })
}

/// The stores that can be searched, and what their frequencies are measured against.
async fn stores(db: &PgPool, project: &str, ids: &[String]) -> Result<Vec<Store>, Error> {
    let stores = sqlx::query_as!(
        Store,
        r#"select s.id, s.number, files.chunks as "chunks!", files.words as "words!"
         from vector_stores s
         cross join lateral (
            select coalesce(sum(chunks), 0)::bigint as chunks, coalesce(sum(words), 0)::bigint as words
            from vector_store_files f where f.store_id = s.id and f.status = 'completed' and not f.gone
         ) as files
         where s.id = any ($1) and s.project_id = $2 and not s.gone and files.chunks > 0
            and (s.expires_after_days is null
                or s.last_active_at + make_interval(hours => 24 * s.expires_after_days) > now())"#,
        ids,
        project,
    )
    .fetch_all(db)
    .await?;
    Ok(stores)
}

/// The files of a store whose attributes a filter lets through.
async fn passing(db: &PgPool, store: &Store, filter: &Filter) -> Result<Vec<i64>, Error> {
    let files = sqlx::query!(
        r#"select number, attributes as "attributes: Json<Attributes>" from vector_store_files
         where store_id = $1 and status = 'completed' and not gone"#,
        store.id
    )
    .fetch_all(db)
    .await?;
    let passing = files.into_iter().filter(|file| filter::passes(filter, &file.attributes.0));
    Ok(passing.map(|file| file.number).collect())
}

/// Reads chunks that were chosen, in their order. What was deleted meanwhile is left out.
async fn read(db: &PgPool, chosen: &[(i64, f64)]) -> Result<Vec<Found>, Error> {
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: Vec<i64> = chosen.iter().map(|(number, _)| *number).collect();
    let rows = sqlx::query!(
        r#"select c.number, c.content, f.file_id, f.attributes as "attributes: Json<Attributes>", files.filename
         from vector_store_chunks c
         join vector_store_files f on f.number = c.file
         join files on files.id = f.file_id
         where c.number = any ($1) and not f.gone and (files.expires_at is null or files.expires_at > now())"#,
        &numbers,
    )
    .fetch_all(db)
    .await?;
    let mut rows: HashMap<i64, Found> = rows
        .into_iter()
        .map(|row| {
            let found = Found {
                file_id: row.file_id,
                filename: row.filename,
                score: 0.0,
                attributes: row.attributes.0,
                text: row.content,
            };
            (row.number, found)
        })
        .collect();
    let found =
        chosen.iter().filter_map(|(number, score)| Some(Found { score: *score, ..rows.remove(number)? }));
    Ok(found.collect())
}
