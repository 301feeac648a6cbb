//! What must be true when a round is over, whatever happened in it.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::ledger::Entries;
use super::stored::{Stored, StoredMessage, StoredRun, StoredStep};
use crate::support::planned::{Ask, Plan, output_of};

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    pub what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A run that does not end.
    Stuck,
    /// Something acknowledged that is gone.
    Lost,
    /// Something that is there twice.
    Doubled,
    /// Any other invariant.
    Broken,
}

impl Finding {
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }
}

/// What a round did that may explain how runs ended.
pub struct Circumstances<'a> {
    pub asks: &'a [Ask],
    /// Whether nodes may have lost runs.
    pub runs_were_taken_away: bool,
    /// Whether a node may have worked on a run that was another's by then.
    pub leases_were_left_behind: bool,
}

/// Checks all that is stored.
pub fn check(stored: &Stored, told: &Entries, circumstances: &Circumstances<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    acknowledged(stored, told, &mut findings);
    not_done(stored, told, &mut findings);
    threads(stored, &mut findings);
    let mut answered: HashMap<String, usize> = HashMap::new();
    for run in &stored.runs {
        ended(run, told, &mut findings);
        match plan_of(stored, run) {
            Some(plan) => {
                *answered.entry(plan.id.clone()).or_default() += 1;
                planned(stored, run, &plan, circumstances, &mut findings);
            }
            None => findings.push(Finding::new(Kind::Broken, format!("run {} has no prompt", run.id))),
        }
    }
    if !circumstances.leases_were_left_behind {
        asked_in_order(circumstances.asks, &answered, &mut findings);
    }
    findings
}

/// All that clients were told is there, once.
fn acknowledged(stored: &Stored, told: &Entries, findings: &mut Vec<Finding>) {
    let threads: HashSet<&str> = stored.threads.iter().map(|thread| thread.id.as_str()).collect();
    let runs: HashSet<&str> = stored.runs.iter().map(|run| run.id.as_str()).collect();
    for (id, thread) in &told.threads {
        if thread.deleted && threads.contains(id.as_str()) {
            findings.push(Finding::new(Kind::Broken, format!("thread {id} was deleted and is there")));
        }
        if thread.delete_asked {
            continue;
        }
        if !threads.contains(id.as_str()) {
            findings.push(Finding::new(Kind::Lost, format!("thread {id}")));
            continue;
        }
        let place = |message_id: &str| {
            stored.messages_of(id).position(|message| message.id == message_id && message.role == "user")
        };
        let places: Vec<Option<usize>> = thread.messages.iter().map(|(message, _)| place(message)).collect();
        for ((message, text), place) in thread.messages.iter().zip(&places) {
            let found = place.and_then(|place| stored.messages_of(id).nth(place));
            if found.is_none_or(|found| found.text != *text) {
                findings.push(Finding::new(Kind::Lost, format!("message {message} of thread {id}: {text}")));
            }
        }
        if !places.iter().flatten().is_sorted() {
            findings
                .push(Finding::new(Kind::Broken, format!("messages of thread {id} are not in their order")));
        }
    }
    for (id, run) in &told.runs {
        let is_deleted = told.threads.get(&run.thread).is_some_and(|thread| thread.delete_asked);
        if !runs.contains(id.as_str()) && !is_deleted {
            findings.push(Finding::new(Kind::Lost, format!("run {id} of thread {}", run.thread)));
        }
    }
    let mut texts = HashSet::new();
    for message in stored.messages.iter().filter(|message| message.role == "user") {
        if !texts.insert(&message.text) {
            findings.push(Finding::new(Kind::Doubled, format!("message {}: {}", message.id, message.text)));
        }
    }
}

/// Nothing is there that was answered with a 503, after which clients try again.
fn not_done(stored: &Stored, told: &Entries, findings: &mut Vec<Finding>) {
    let texts = stored.messages.iter().filter(|message| message.role == "user").map(|message| &message.text);
    let there: HashSet<&String> =
        texts.chain(stored.runs.iter().filter_map(|run| run.name.as_ref())).collect();
    for name in told.not_done.iter().filter(|name| there.contains(name)) {
        findings.push(Finding::new(Kind::Broken, format!("answered with a 503 and done: {name}")));
    }
}

fn threads(stored: &Stored, findings: &mut Vec<Finding>) {
    for thread in &stored.threads {
        if let Some(run) = &thread.active_run_id {
            findings.push(Finding::new(Kind::Stuck, format!("thread {} is held by run {run}", thread.id)));
        }
        let messages = stored.messages_of(&thread.id).map(|message| message.ord);
        let runs = stored.runs.iter().filter(|run| run.thread_id == thread.id).map(|run| run.ord);
        if messages.chain(runs).any(|ord| ord > thread.last_ord) {
            findings
                .push(Finding::new(Kind::Broken, format!("thread {} has more than it knows of", thread.id)));
        }
    }
}

/// A run has ended in a way that can be explained by what clients did.
fn ended(run: &StoredRun, told: &Entries, findings: &mut Vec<Finding>) {
    let mut broken =
        |what: String| findings.push(Finding::new(Kind::Broken, format!("run {}: {what}", run.id)));
    let note = told.runs.get(&run.id);
    match run.status.as_str() {
        "completed" | "failed" => {}
        "cancelled" if note.is_some_and(|note| note.cancel_asked) => {}
        "expired" if run.is_past_expiry => {}
        "queued" | "in_progress" | "requires_action" | "cancelling" => {
            findings.push(Finding::new(Kind::Stuck, format!("run {} is {}", run.id, run.status)));
            return;
        }
        status => broken(format!("is {status} for no reason")),
    }
    if run.is_leased {
        broken("has ended and is leased".to_owned());
    }
    if run.attempt > 3 {
        broken(format!("was tried {} times", run.attempt));
    }
    if note.is_some_and(|note| note.cancelled) && run.status != "cancelled" {
        broken(format!("was cancelled and is {}", run.status));
    }
    if (run.status == "failed") != run.error.as_ref().is_some_and(|(_, message)| !message.is_empty()) {
        broken(format!("is {} with the error {:?}", run.status, run.error));
    }
}

/// The plan in the newest message of a user when the run began.
fn plan_of(stored: &Stored, run: &StoredRun) -> Option<Plan> {
    let mut before = stored.messages_of(&run.thread_id).rev();
    let prompt = before.find(|message| message.role == "user" && message.ord < run.ord)?;
    prompt.text.parse().ok()
}

/// A run has written what its plan says, and no more.
fn planned(
    stored: &Stored,
    run: &StoredRun,
    plan: &Plan,
    around: &Circumstances<'_>,
    findings: &mut Vec<Finding>,
) {
    let mut broken =
        |what: String| findings.push(Finding::new(Kind::Broken, format!("run {}: {what}", run.id)));
    let messages: Vec<&StoredMessage> = stored
        .messages_of(&run.thread_id)
        .filter(|message| message.run_id.as_ref() == Some(&run.id))
        .collect();
    let steps: Vec<&StoredStep> = stored.steps_of(&run.id).collect();
    for message in messages.iter().filter(|message| message.status == "in_progress") {
        broken(format!("message {} is in progress", message.id));
    }
    for step in steps.iter().filter(|step| step.status == "in_progress") {
        broken(format!("step {} is in progress", step.id));
    }
    let texts = plan.texts();
    for (message, text) in messages.iter().zip(&texts) {
        let fits = if message.status == "completed" {
            message.text == *text
        } else {
            text.starts_with(&message.text)
        };
        if !fits {
            broken(format!(
                "message {} ({}) is {:?} in place of {text:?}",
                message.id, message.status, message.text
            ));
        }
    }
    let expected = expected_steps(plan);
    let found: Vec<Value> = steps.iter().map(|step| shape(step)).collect();
    if messages.len() > texts.len() || found.len() > expected.len() {
        let what = format!("run {} has {} messages and {} steps", run.id, messages.len(), found.len());
        findings.push(Finding::new(Kind::Doubled, what));
        return;
    }
    let mut broken =
        |what: String| findings.push(Finding::new(Kind::Broken, format!("run {}: {what}", run.id)));
    match run.status.as_str() {
        "completed" => {
            if plan.refused {
                broken("completed what the upstream refuses".to_owned());
            }
            if messages.len() != texts.len() || found != expected {
                broken(format!(
                    "has {} messages and the steps {found:?} in place of {expected:?}",
                    messages.len()
                ));
            }
            let sum = steps.iter().fold((0, 0), |sum, step| (sum.0 + step.usage.0, sum.1 + step.usage.1));
            if sum != run.usage {
                broken(format!("used {:?}, its steps {sum:?}", run.usage));
            }
        }
        "failed" => {
            let (_, reason) = run.error.clone().unwrap_or_default();
            if !explains(&reason, plan, around) {
                broken(format!("failed and nothing explains it: {reason}"));
            }
        }
        _ => {}
    }
}

/// The steps of a completed run, as [`shape`] shows them.
fn expected_steps(plan: &Plan) -> Vec<Value> {
    let said = |turn: usize| serde_json::json!({"turn": turn, "status": "completed", "said": true});
    let mut steps = Vec::new();
    for turn in 0..plan.calls.len() {
        if plan.preamble {
            steps.push(said(turn));
        }
        let keys = plan.keys(turn);
        let calls: Vec<Value> =
            keys.iter().map(|key| serde_json::json!(["lookup", {"key": key}, output_of(key)])).collect();
        steps.push(serde_json::json!({"turn": turn, "status": "completed", "calls": calls}));
    }
    steps.push(said(plan.calls.len()));
    steps
}

/// A step without what differs each time.
fn shape(step: &StoredStep) -> Value {
    let calls = step.details["tool_calls"].as_array();
    let Some(calls) = calls else {
        return serde_json::json!({"turn": step.turn, "status": step.status, "said": true});
    };
    let calls: Vec<Value> = calls
        .iter()
        .map(|call| {
            let function = &call["function"];
            let arguments = function["arguments"].as_str().unwrap_or_default();
            let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
            serde_json::json!([function["name"], arguments, function["output"]])
        })
        .collect();
    serde_json::json!({"turn": step.turn, "status": step.status, "calls": calls})
}

/// Whether what was done in the round explains why a run failed.
fn explains(reason: &str, plan: &Plan, around: &Circumstances<'_>) -> bool {
    if reason.starts_with("The run was interrupted too often") {
        return around.runs_were_taken_away;
    }
    if reason.starts_with("The model server answered 400: The plan is refused.") {
        return plan.refused;
    }
    let lied =
        around.asks.iter().any(|ask| ask.plan == plan.id && ask.lie.is_some_and(|lie| !lie.is_harmless()));
    reason.starts_with("The model server") && lied
}

/// A turn whose reply is stored is not asked for again: no turn is asked for after a later one.
fn asked_in_order(asks: &[Ask], answered: &HashMap<String, usize>, findings: &mut Vec<Finding>) {
    let mut latest: HashMap<&str, usize> = HashMap::new();
    for ask in asks.iter().filter(|ask| answered.get(&ask.plan) == Some(&1)) {
        let turn = latest.entry(&ask.plan).or_default();
        if ask.turn < *turn {
            let what = format!("turn {} of {} was asked for after turn {turn}", ask.turn, ask.plan);
            findings.push(Finding::new(Kind::Doubled, what));
        }
        *turn = ask.turn.max(*turn);
    }
}
