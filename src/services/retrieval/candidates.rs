//! Choosing and ranking the chunks of one store for one query.

use std::collections::{BTreeSet, HashMap};

use super::terms;
use crate::error::Error;
use crate::pool::PgPool;

/// Of a query the rarest words count, so many at most.
const QUERY_TERMS: usize = 64;
/// Words that stand in more chunks than this all together do not choose candidates, they only rank them.
const CHOSEN: i64 = 1_000;
/// Candidates of one statement at most.
const CANDIDATES: i64 = 1_000;
/// With so many candidates no further ones are looked for.
const ENOUGH: usize = 200;
/// BM25: how soon a word's repetition stops to count, and how much the length of a chunk does.
const K1: f64 = 1.2;
const B: f64 = 0.75;

/// A store that is searched.
pub struct Store {
    pub id: String,
    pub number: i64,
    /// Its searchable chunks, and the words in them.
    pub chunks: i64,
    pub words: i64,
    /// What its files are embedded with, where they are.
    pub embedding_model: Option<String>,
    pub dimensions: Option<i32>,
}

impl Store {
    /// Whether its vectors are of this model and have so many dimensions.
    pub fn has_vectors(&self, model: Option<&str>, dimensions: usize) -> bool {
        let known = self.dimensions.and_then(|known| usize::try_from(known).ok());
        model.is_some() && self.embedding_model.as_deref() == model && known == Some(dimensions)
    }
}

/// A chunk and its score, 0 to 1: the share of what a chunk with all words of the query, over and over, would have.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    pub number: i64,
    pub score: f64,
}

/// A word of the query that the store has, its weight, and in how many chunks it stands.
struct Term {
    hash: i32,
    weight: f64,
    chunks: i64,
}

struct Row {
    number: i64,
    words: i32,
    terms: Vec<i32>,
    counts: Vec<u8>,
}

/// The best chunks for a query, best first; of these files alone where they are named.
pub async fn rank(
    db: &PgPool,
    store: &Store,
    query: &str,
    files: Option<&[i64]>,
    limit: usize,
) -> Result<Vec<Candidate>, Error> {
    let (terms, absent) = weigh(db, store, query).await?;
    if terms.is_empty() {
        return Ok(Vec::new());
    }
    let rows = candidates(db, store, &terms, files).await?;
    // Words that the store does not have are asked for too, and no chunk has them.
    let absent = absent as f64 * weight(store.chunks as f64, 0.0);
    let most = (absent + terms.iter().map(|term| term.weight).sum::<f64>()) * (K1 + 1.0);
    let mean = (store.words as f64 / store.chunks as f64).max(1.0);
    let mut ranked: Vec<Candidate> = rows
        .into_values()
        .map(|row| Candidate { number: row.number, score: (bm25(&row, &terms, mean) / most).clamp(0.0, 1.0) })
        .collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.number.cmp(&b.number)));
    ranked.truncate(limit);
    Ok(ranked)
}

fn bm25(row: &Row, terms: &[Term], mean: f64) -> f64 {
    let length = K1 * (1.0 - B + B * f64::from(row.words) / mean);
    let score = terms.iter().filter_map(|term| {
        let place = row.terms.binary_search(&term.hash).ok()?;
        let count = f64::from(*row.counts.get(place)?);
        Some(term.weight * count * (K1 + 1.0) / (count + length))
    });
    score.sum()
}

/// How much a word counts that stands in so many of all chunks.
fn weight(all: f64, chunks: f64) -> f64 {
    (1.0 + (all - chunks + 0.5) / (chunks + 0.5)).ln()
}

/// The words of a query that the store has, rarest first, and how many it does not have.
async fn weigh(db: &PgPool, store: &Store, query: &str) -> Result<(Vec<Term>, usize), Error> {
    let hashes: BTreeSet<i32> =
        terms::words(query).iter().map(|word| terms::term(store.number, word)).collect();
    let hashes: Vec<i32> = hashes.into_iter().collect();
    let rows = sqlx::query!(
        "select term, chunks from vector_store_terms where store = $1 and term = any ($2) and chunks > 0",
        store.number,
        &hashes,
    )
    .fetch_all(db)
    .await?;
    let all = store.chunks as f64;
    let mut terms: Vec<Term> = rows
        .into_iter()
        .map(|row| {
            // What was deleted and is not cleared yet is counted still.
            let chunks = (row.chunks as f64).min(all);
            Term { hash: row.term, weight: weight(all, chunks), chunks: row.chunks }
        })
        .collect();
    terms.sort_by_key(|term| (term.chunks, term.hash));
    let absent = hashes.len() - terms.len();
    terms.truncate(QUERY_TERMS);
    Ok((terms, absent))
}

/// Chunks that may be the best: all with a rare word of the query; and where these are few, those with all of its
/// common words, then those with all but the most common, and so on.
async fn candidates(
    db: &PgPool,
    store: &Store,
    terms: &[Term],
    files: Option<&[i64]>,
) -> Result<HashMap<i64, Row>, Error> {
    let mut together = 0;
    let rare: Vec<i32> = terms
        .iter()
        .take_while(|term| {
            together += term.chunks;
            together <= CHOSEN
        })
        .map(|term| term.hash)
        .collect();
    let mut found = HashMap::new();
    if !rare.is_empty() {
        found.extend(with_any(db, store, &rare, files).await?);
    }
    let mut common: Vec<i32> = terms.iter().skip(rare.len()).map(|term| term.hash).collect();
    while found.len() < ENOUGH && !common.is_empty() {
        found.extend(with_all(db, store, &common, files).await?);
        common.pop();
    }
    Ok(found)
}

async fn with_any(
    db: &PgPool,
    store: &Store,
    terms: &[i32],
    files: Option<&[i64]>,
) -> Result<impl Iterator<Item = (i64, Row)>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select c.number, c.words, c.terms, c.counts from vector_store_chunks c
         join vector_store_files f on f.number = c.file
         where c.terms && $1 and c.store = $2 and not f.gone and ($3::bigint[] is null or c.file = any ($3)) limit $4",
        terms,
        store.number,
        files,
        CANDIDATES,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.number, row)))
}

async fn with_all(
    db: &PgPool,
    store: &Store,
    terms: &[i32],
    files: Option<&[i64]>,
) -> Result<impl Iterator<Item = (i64, Row)>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select c.number, c.words, c.terms, c.counts from vector_store_chunks c
         join vector_store_files f on f.number = c.file
         where c.terms @> $1 and c.store = $2 and not f.gone and ($3::bigint[] is null or c.file = any ($3)) limit $4",
        terms,
        store.number,
        files,
        CANDIDATES,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.number, row)))
}
