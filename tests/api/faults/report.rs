//! What rounds did and found, as lines of a log and as the tables of docs/faults.md.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::invariants::Kind;
use super::round::Round;

/// The kinds of findings, as the tables name them.
const KINDS: &[(Kind, &str)] = &[
    (Kind::Stuck, "stuck"),
    (Kind::Lost, "lost"),
    (Kind::Doubled, "doubled"),
    (Kind::Broken, "invariants broken"),
];

/// One round in some lines.
pub fn lines(round: &Round) -> String {
    let mut text = String::new();
    let ends: Vec<String> = round.ends.iter().map(|(status, count)| format!("{count} {status}")).collect();
    let runs: usize = round.ends.values().sum();
    let found: Vec<String> =
        KINDS.iter().map(|(kind, name)| format!("{} {name}", found(round, *kind))).collect();
    let _ = writeln!(
        text,
        "SEED={}: {:.1} s (quiet after {:.1} s), {} threads, {runs} runs ({}), {} turns redone, {} looks: {}",
        round.seed,
        round.took.as_secs_f64(),
        round.quiet_after.as_secs_f64(),
        round.threads,
        ends.join(", "),
        round.redone,
        round.looks,
        found.join(", "),
    );
    let faults: Vec<String> =
        round.faults.iter().map(|(at, fault)| format!("{:.1} s {fault:?}", at.as_secs_f64())).collect();
    let _ = writeln!(text, "    faults: {}", faults.join("; "));
    let _ = writeln!(text, "    replies: {:?}; failed: {:?}", round.replies, round.reasons);
    for finding in &round.findings {
        let _ = writeln!(text, "    {:?}: {}", finding.kind, finding.what);
    }
    text
}

fn found(round: &Round, kind: Kind) -> usize {
    round.findings.iter().filter(|finding| finding.kind == kind).count()
}

/// All rounds as tables of Markdown.
pub fn tables(rounds: &[Round], nodes: usize, lease: Duration) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}\n", summary(rounds, nodes, lease));
    table(
        &mut text,
        ["found", "times"],
        KINDS
            .iter()
            .map(|(kind, name)| (*name, rounds.iter().map(|round| found(round, *kind)).sum::<usize>())),
    );
    let mut faults: BTreeMap<&str, usize> = BTreeMap::new();
    for round in rounds {
        round.faults.iter().for_each(|(_, fault)| *faults.entry(fault.text()).or_default() += 1);
        round.lies.iter().for_each(|(lie, count)| *faults.entry(lie.text()).or_default() += count);
    }
    table(&mut text, ["injected", "times"], faults.into_iter());
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for round in rounds {
        round.ends.iter().for_each(|(status, count)| *ends.entry(status).or_default() += count);
        round.reasons.iter().for_each(|(reason, count)| *reasons.entry(reason).or_default() += count);
    }
    table(&mut text, ["runs ended as", "runs"], ends.into_iter());
    table(&mut text, ["runs failed because", "runs"], reasons.into_iter());
    text
}

fn summary(rounds: &[Round], nodes: usize, lease: Duration) -> String {
    let total = |count: fn(&Round) -> usize| rounds.iter().map(count).sum::<usize>();
    let seconds: f64 = rounds.iter().map(|round| round.took.as_secs_f64()).sum();
    let longest = rounds.iter().map(|round| round.quiet_after.as_secs_f64()).fold(0.0, f64::max);
    let seeds =
        rounds.first().zip(rounds.last()).map(|(first, last)| format!("{} to {}", first.seed, last.seed));
    format!(
        "{} rounds (seeds {}) with {nodes} nodes and leases of {} s, {:.0} minutes when added up: {} runs in {} threads, {} turns \
         redone, {} looks at the database in the middle of it. When the faults were over, the last run ended within \
         {longest:.1} s.",
        rounds.len(),
        seeds.unwrap_or_default(),
        lease.as_secs_f64(),
        seconds / 60.0,
        total(|round| round.ends.values().sum()),
        total(|round| round.threads),
        total(|round| round.redone),
        total(|round| round.looks),
    )
}

fn table<'a>(text: &mut String, head: [&str; 2], rows: impl Iterator<Item = (&'a str, usize)>) {
    let _ = writeln!(text, "| {} | {} |\n|---|---:|", head[0], head[1]);
    for (name, count) in rows {
        let _ = writeln!(text, "| {} | {count} |", name.replace('|', "\\|"));
    }
    let _ = writeln!(text);
}
