//! One ranking of two: reciprocal rank fusion (Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet
//! and individual Rank Learning Methods", 2009). What stands first in both has the score 1.

use std::collections::HashMap;

use super::candidates::Candidate;
use crate::types::tool::HybridSearch;

/// How slowly a rank's worth falls. The paper has 60; with that the places of two rankings of one store hardly differ
/// in worth, and `make bench-retrieval` finds less by both than by meaning alone.
const K: f64 = 5.0;

/// Fuses chunks that were found by their words and chunks that were found by their meaning, each best first.
pub fn fuse(words: &[Candidate], meaning: &[Candidate], weights: HybridSearch) -> Vec<Candidate> {
    let all = weights.text_weight + weights.embedding_weight;
    let mut scores: HashMap<i64, f64> = HashMap::new();
    for (ranked, weight) in [(words, weights.text_weight), (meaning, weights.embedding_weight)] {
        for (rank, candidate) in ranked.iter().enumerate() {
            *scores.entry(candidate.number).or_default() +=
                weight / all * (K + 1.0) / (K + 1.0 + rank as f64);
        }
    }
    let candidates = scores.into_iter().map(|(number, score)| Candidate { number, score: score.min(1.0) });
    let mut candidates: Vec<Candidate> = candidates.collect();
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.number.cmp(&b.number)));
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(numbers: &[i64]) -> Vec<Candidate> {
        numbers.iter().map(|number| Candidate { number: *number, score: 0.5 }).collect()
    }

    fn order(fused: &[Candidate]) -> Vec<i64> {
        fused.iter().map(|candidate| candidate.number).collect()
    }

    #[test]
    fn what_both_find_comes_before_what_one_finds() {
        let fused = fuse(&ranked(&[1, 2, 3]), &ranked(&[4, 2, 1]), HybridSearch::default());
        assert_eq!(order(&fused), [1, 2, 4, 3]);
        assert!(fused.iter().all(|candidate| (0.0..=1.0).contains(&candidate.score)));
        let first = fuse(&ranked(&[7]), &ranked(&[7]), HybridSearch::default());
        assert!((first[0].score - 1.0).abs() < 1e-9);
    }

    #[test]
    fn weights_decide_whose_order_counts() {
        let weights = HybridSearch { embedding_weight: 9.0, text_weight: 1.0 };
        assert_eq!(order(&fuse(&ranked(&[1]), &ranked(&[2]), weights)), [2, 1]);
    }
}
