//! Choosing and ranking the chunks of one store for one query.

use std::collections::{BTreeSet, HashMap};

use super::terms;
use crate::error::Error;
use crate::pool::PgPool;

/// Of a query the rarest words count, so many at most.
const QUERY_TERMS: usize = 64;
/// The rarest words that stand in so many chunks together choose candidates alone; more common ones do so in pairs, which
/// stand in as many.
const CHOSEN: f64 = 2_000.0;
/// Pairs at most.
const PAIRS: usize = 64;
/// Common words at most that choose candidates alone.
const COMMON: usize = 8;
/// How much likelier two words of a query stand together than by chance.
const TOGETHER: f64 = 2.0;
/// Chunks at most that a word or a pair chooses.
const CANDIDATES: i64 = 2_000;
/// What a word adds to a score at most, of its weight: one that stands more than twice in a chunk of common length adds
/// more, which few do.
const REPEATED: f64 = 1.5;
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

/// What is searched of a store, and for how many chunks.
struct Scope<'a> {
    store: &'a Store,
    files: Option<&'a [i64]>,
    limit: usize,
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
    let scores = candidates(db, &Scope { store, files, limit }, &terms).await?;
    // Words that the store does not have are asked for too, and no chunk has them.
    let absent = absent as f64 * weight(store.chunks as f64, 0.0);
    let most = (absent + terms.iter().map(|term| term.weight).sum::<f64>()) * (K1 + 1.0);
    let mut ranked: Vec<Candidate> = scores
        .into_iter()
        .map(|(number, score)| Candidate { number, score: (score / most).clamp(0.0, 1.0) })
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

/// Chunks that may be the best, and their scores: all with a rare word of the query; where chunks with its common words alone
/// may be better, those with two of them; and where all these are too few, some with one.
async fn candidates(db: &PgPool, scope: &Scope<'_>, terms: &[Term]) -> Result<HashMap<i64, f64>, Error> {
    let mut together = 0.0;
    let rare = terms.iter().take_while(|term| {
        together += term.chunks as f64;
        together <= CHOSEN
    });
    let (rare, common) = terms.split_at(rare.count());
    let mut scores = HashMap::new();
    score(db, scope, terms, rare.iter().map(alone), &mut scores).await?;
    let most = common.iter().map(|term| term.weight).sum::<f64>() * REPEATED;
    if most > worst(&scores, scope.limit) {
        score(db, scope, terms, pairs(common, scope.store.chunks as f64), &mut scores).await?;
    }
    if scores.len() < scope.limit {
        score(db, scope, terms, common.iter().take(COMMON).map(alone), &mut scores).await?;
    }
    Ok(scores)
}

/// The score that a further chunk must exceed to be among so many of the best.
fn worst(scores: &HashMap<i64, f64>, limit: usize) -> f64 {
    let mut scores: Vec<f64> = scores.values().copied().collect();
    if limit == 0 || scores.len() < limit {
        return 0.0;
    }
    let (_, worst, _) = scores.select_nth_unstable_by(limit - 1, |a, b| b.total_cmp(a));
    *worst
}

fn alone(term: &Term) -> (i32, i32) {
    (term.hash, term.hash)
}

/// Pairs of words, those first that are likely to stand together in the fewest chunks.
fn pairs(terms: &[Term], all: f64) -> impl Iterator<Item = (i32, i32)> {
    let mut pairs = Vec::new();
    for (nth, one) in terms.iter().enumerate() {
        for other in &terms[nth + 1..] {
            let chunks = one.chunks as f64 * other.chunks as f64 / all * TOGETHER;
            pairs.push((chunks, (one.hash, other.hash)));
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut together = 0.0;
    let few = pairs.into_iter().take(PAIRS).take_while(move |(chunks, _)| {
        // The first is taken however many it has.
        let takes = together == 0.0 || together + chunks <= CHOSEN;
        together += chunks;
        takes
    });
    few.map(|(_, pair)| pair)
}

/// Adds the scores of the chunks that have both words of a pair.
async fn score(
    db: &PgPool,
    scope: &Scope<'_>,
    terms: &[Term],
    pairs: impl Iterator<Item = (i32, i32)>,
    scores: &mut HashMap<i64, f64>,
) -> Result<(), Error> {
    let (ones, others): (Vec<i32>, Vec<i32>) = pairs.unzip();
    if ones.is_empty() {
        return Ok(());
    }
    let mean = (scope.store.words as f64 / scope.store.chunks as f64).max(1.0);
    // Files that are gone are few, and read once; a join would look each chunk's file up.
    let rows = sqlx::query_as!(
        Row,
        "select c.number, c.words, c.terms, c.counts
         from unnest($1::integer[], $2::integer[]) as pair (one, other)
         cross join lateral (
            select number, words, terms, counts from vector_store_chunks
            where terms @> array[pair.one, pair.other] and store = $3 and ($4::bigint[] is null or file = any ($4))
                and file not in (select f.number from vector_store_files f where f.store_id = $5 and f.gone and f.chunks > 0)
            limit $6
         ) as c",
        &ones,
        &others,
        scope.store.number,
        scope.files,
        scope.store.id,
        CANDIDATES,
    )
    .fetch_all(db)
    .await?;
    scores.extend(rows.iter().map(|row| (row.number, bm25(row, terms, mean))));
    Ok(())
}
