//! Finding pieces of files. Lexical: the best candidates come from an index by their rarest words, and are ranked by BM25
//! (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009) with the frequencies of their store. Ranking
//! all that has any word of the query, in SQL, is too slow, and asking for all words finds too little.

mod candidates;
mod filter;
mod fusion;
mod of_run;
pub mod terms;
mod vectors;

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::types::Json;

use crate::embeddings::{Embedder, Vector};
use crate::error::Error;
use crate::pool::PgPool;
use crate::services::vector_stores::{self, Knock};
use crate::types::tool::HybridSearch;
use crate::types::vector_store::{
    Attributes, Filter, SearchResult, SearchResultsPage, SearchVectorStore, TextContent, VectorStoreStatus,
};
use candidates::{Candidate, Store};

pub use of_run::{Named, Scope, names, scope_of_run};

/// What a search needs.
#[derive(Clone)]
pub struct Context {
    pub db: PgPool,
    /// Says that there is a file to make searchable.
    pub knock: Knock,
    /// What embeds queries, where files are embedded.
    pub embedder: Option<Arc<Embedder>>,
}

/// Of each ranking so many chunks are fused, or as many as are asked for.
const FUSED: usize = 100;

/// What a search asks for.
#[derive(Debug, Clone)]
pub struct Search {
    pub scope: Scope,
    pub queries: Vec<String>,
    pub filter: Option<Filter>,
    /// Chunks at most.
    pub limit: usize,
    /// 0 to 1.
    pub score_threshold: f64,
    /// Of words and meaning, where the store has both.
    pub weights: HybridSearch,
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
    let stores = stores(&context.db, project, &search.scope.vector_store_ids).await?;
    let (model, vectors) = embed(context, &stores, search).await.unzip();
    let searched = searched(&context.db, stores, search).await?;
    let mut best: HashMap<i64, f64> = HashMap::new();
    for (nth, query) in search.queries.iter().enumerate() {
        let vector = vectors.as_ref().and_then(|vectors| vectors.get(nth));
        let asked = Asked { query, model, vector };
        for Candidate { number, score } in rank(context, &searched, &asked, search).await? {
            if score >= search.score_threshold {
                let known = best.entry(number).or_insert(score);
                *known = known.max(score);
            }
        }
    }
    let candidates = best.into_iter().map(|(number, score)| Candidate { number, score }).collect();
    read(&context.db, &sorted(candidates, search.limit)).await
}

/// A store that is searched.
struct Searched {
    store: Store,
    /// These files alone.
    files: Option<Passing>,
}

/// What of the stores is meant.
async fn searched(db: &PgPool, stores: Vec<Store>, search: &Search) -> Result<Vec<Searched>, Error> {
    let mut searched = Vec::with_capacity(stores.len());
    for store in stores {
        let named = search.scope.named.as_ref().filter(|named| named.vector_store_id == store.id);
        let files = match (&search.filter, named) {
            (None, None) => None,
            (filter, named) => Some(passing(db, &store, filter.as_ref(), named).await?),
        };
        if files.as_ref().is_none_or(|files| !files.numbers.is_empty()) {
            searched.push(Searched { store, files });
        }
    }
    Ok(searched)
}

/// What is looked for.
struct Asked<'a> {
    query: &'a str,
    /// Its vector, and the model that made it.
    model: Option<&'a str>,
    vector: Option<&'a Vector>,
}

/// The best chunks of all stores for one query, best first: by words, by meaning, or by both. There is one ranking by each, over
/// all stores; those that have no vectors of this model are in the one by words alone.
async fn rank(
    context: &Context,
    searched: &[Searched],
    asked: &Asked<'_>,
    search: &Search,
) -> Result<Vec<Candidate>, Error> {
    let db = &context.db;
    let (embedded, others): (Vec<&Searched>, Vec<&Searched>) = searched.iter().partition(|searched| {
        asked.vector.is_some_and(|vector| searched.store.has_vectors(asked.model, vector.len()))
    });
    let Some(vector) = asked.vector.filter(|_| !embedded.is_empty()) else {
        return by_words(db, &others, asked.query, search.limit).await;
    };
    if search.weights.text_weight <= 0.0 {
        let mut found = by_meaning(db, &embedded, vector, search.limit).await?;
        found.extend(by_words(db, &others, asked.query, search.limit).await?);
        return Ok(sorted(found, search.limit));
    }
    let each = search.limit.max(FUSED);
    let all: Vec<&Searched> = searched.iter().collect();
    let (words, meaning) =
        tokio::try_join!(by_words(db, &all, asked.query, each), by_meaning(db, &embedded, vector, each))?;
    Ok(fusion::fuse(&words, &meaning, search.weights))
}

async fn by_words(
    db: &PgPool,
    searched: &[&Searched],
    query: &str,
    limit: usize,
) -> Result<Vec<Candidate>, Error> {
    let mut found = Vec::new();
    for Searched { store, files } in searched {
        let files = files.as_ref().map(|files| files.numbers.as_slice());
        found.extend(candidates::rank(db, store, query, files, limit).await?);
    }
    Ok(sorted(found, limit))
}

async fn by_meaning(
    db: &PgPool,
    searched: &[&Searched],
    vector: &Vector,
    limit: usize,
) -> Result<Vec<Candidate>, Error> {
    let mut found = Vec::new();
    for Searched { store, files } in searched {
        let chunks = files.as_ref().map_or(store.chunks, |files| files.chunks);
        let files = files.as_ref().map(|files| files.numbers.as_slice());
        found.extend(vectors::nearest(db, &vectors::Scope { store, files, chunks }, vector, limit).await?);
    }
    Ok(sorted(found, limit))
}

/// The best, best first.
fn sorted(mut candidates: Vec<Candidate>, limit: usize) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.number.cmp(&b.number)));
    candidates.truncate(limit);
    candidates
}

/// The vectors of the queries, where a store is embedded by the model of this server. Where the model does not answer, words
/// alone are searched.
async fn embed<'a>(
    context: &'a Context,
    stores: &[Store],
    search: &Search,
) -> Option<(&'a str, Vec<Vector>)> {
    let embedder = context.embedder.as_ref()?;
    let model = embedder.model();
    let is_embedded = stores.iter().any(|store| store.embedding_model.as_deref() == Some(model));
    if search.weights.embedding_weight <= 0.0 || !is_embedded {
        return None;
    }
    let queries: Vec<&str> = search.queries.iter().map(String::as_str).collect();
    match embedder.queries(&queries).await {
        Ok(vectors) => Some((model, vectors)),
        Err(error) => {
            tracing::warn!(reason = ?error.kind, "a search has no vectors, and finds by words alone");
            None
        }
    }
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
        scope: Scope { vector_store_ids: vec![store.id], named: None },
        queries: request.queries,
        filter: request.filter,
        limit: usize::try_from(request.max_num_results).unwrap_or(1),
        score_threshold: request.score_threshold,
        weights: request.weights,
    };
    let found = search(context, project, &asked).await?;
    vector_stores::touch(&context.db, &asked.scope.vector_store_ids).await?;
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
        r#"select s.id, s.number, s.embedding_model, s.dimensions, files.chunks as "chunks!", files.words as "words!"
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

/// Files that are searched, and how many chunks they have together.
struct Passing {
    numbers: Vec<i64>,
    chunks: i64,
}

/// The files of a store that are meant: whose attributes a filter lets through, and that are named.
async fn passing(
    db: &PgPool,
    store: &Store,
    filter: Option<&Filter>,
    named: Option<&Named>,
) -> Result<Passing, Error> {
    let files = sqlx::query!(
        r#"select number, chunks, attributes as "attributes: Json<Attributes>" from vector_store_files
         where store_id = $1 and status = 'completed' and not gone and ($2::text[] is null or file_id = any ($2))"#,
        store.id,
        named.map(|named| &named.file_ids[..]),
    )
    .fetch_all(db)
    .await?;
    let passes = |attributes: &Attributes| filter.is_none_or(|filter| filter::passes(filter, attributes));
    let mut passing = Passing { numbers: Vec::new(), chunks: 0 };
    for file in files.iter().filter(|file| passes(&file.attributes.0)) {
        passing.numbers.push(file.number);
        passing.chunks += i64::from(file.chunks);
    }
    Ok(passing)
}

/// Reads chunks that were chosen, in their order. What was deleted meanwhile is left out.
async fn read(db: &PgPool, chosen: &[Candidate]) -> Result<Vec<Found>, Error> {
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: Vec<i64> = chosen.iter().map(|chosen| chosen.number).collect();
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
    let found = chosen
        .iter()
        .filter_map(|chosen| Some(Found { score: chosen.score, ..rows.remove(&chosen.number)? }));
    Ok(found.collect())
}
