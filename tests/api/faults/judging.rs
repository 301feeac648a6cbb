//! The judge itself: a sound state passes, and each way of spoiling it is found.

use serde_json::json;
use uuid::Uuid;

use super::invariants::{Circumstances, Finding, Kind, check};
use super::ledger::Ledger;
use super::stored::{Stored, StoredMessage, StoredRun, StoredStep, StoredThread};
use crate::support::planned::{Ask, Lie, Plan, output_of};

fn plan() -> Plan {
    Plan { id: "p".to_owned(), calls: vec![2], preamble: true, words: 2, pace: 0, refused: false }
}

fn ord(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn message(number: u128, role: &str, text: &str) -> StoredMessage {
    StoredMessage {
        id: format!("msg_{number}"),
        thread_id: "thread".to_owned(),
        ord: ord(number),
        role: role.to_owned(),
        status: "completed".to_owned(),
        text: text.to_owned(),
        run_id: (role == "assistant").then(|| "run".to_owned()),
    }
}

fn step(number: u128, turn: i32, details: serde_json::Value) -> StoredStep {
    let id = format!("step_{number}");
    StoredStep { id, run_id: "run".to_owned(), turn, status: "completed".to_owned(), details, usage: (3, 2) }
}

/// A thread with a question and a completed run of [`plan`].
fn sound() -> Stored {
    let calls: Vec<serde_json::Value> = plan().keys(0).iter().map(|key| call(key, &output_of(key))).collect();
    let said = || json!({"message_creation": {}});
    let texts = plan().texts();
    let run = StoredRun {
        id: "run".to_owned(),
        thread_id: "thread".to_owned(),
        ord: ord(2),
        status: "completed".to_owned(),
        is_leased: false,
        attempt: 1,
        error: None,
        is_past_expiry: false,
        usage: (9, 6),
        name: Some("try".to_owned()),
    };
    Stored {
        threads: vec![StoredThread { id: "thread".to_owned(), last_ord: ord(9), active_run_id: None }],
        runs: vec![run],
        messages: vec![
            message(1, "user", &plan().to_string()),
            message(3, "assistant", &texts[0]),
            message(5, "assistant", &texts[1]),
        ],
        steps: vec![step(3, 0, said()), step(4, 0, json!({ "tool_calls": calls })), step(5, 1, said())],
    }
}

fn call(key: &str, output: &str) -> serde_json::Value {
    let arguments = json!({ "key": key }).to_string();
    json!({"function": {"name": "lookup", "arguments": arguments, "output": output}})
}

fn told() -> Ledger {
    let told = Ledger::default();
    told.thread("thread");
    told.message("thread", "msg_1", &plan().to_string());
    told.run("thread", "run");
    told
}

fn ask(turn: usize, lie: Option<Lie>) -> Ask {
    Ask { plan: "p".to_owned(), turn, lie }
}

fn judge(stored: &Stored, told: &Ledger, asks: &[Ask]) -> Vec<Finding> {
    let circumstances = Circumstances { asks, runs_were_taken_away: false, leases_were_left_behind: false };
    check(stored, &told.lock(), &circumstances)
}

#[track_caller]
fn assert_found(kind: Kind, spoil: impl FnOnce(&mut Stored)) {
    let mut stored = sound();
    spoil(&mut stored);
    let findings = judge(&stored, &told(), &[]);
    assert!(findings.iter().any(|finding| finding.kind == kind), "{kind:?} is not among {findings:?}");
}

#[test]
fn a_sound_state_has_no_findings() {
    assert_eq!(judge(&sound(), &told(), &[ask(0, None), ask(0, None), ask(1, None)]), []);
}

#[test]
fn what_was_acknowledged_and_is_gone_is_lost() {
    assert_found(Kind::Lost, |stored| stored.threads.clear());
    assert_found(Kind::Lost, |stored| stored.runs.clear());
    assert_found(Kind::Lost, |stored| stored.messages[0].text.push('!'));
    assert_found(Kind::Lost, |stored| stored.messages.clear());
}

#[test]
fn what_is_there_twice_is_doubled() {
    assert_found(Kind::Doubled, |stored| stored.messages.push(message(1, "user", &plan().to_string())));
    assert_found(Kind::Doubled, |stored| stored.messages.push(message(6, "assistant", "more")));
    assert_found(Kind::Doubled, |stored| stored.steps.push(step(6, 2, json!({}))));
    let findings = judge(&sound(), &told(), &[ask(0, None), ask(1, None), ask(0, None)]);
    assert_eq!(findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [Kind::Doubled]);
}

#[test]
fn what_has_not_ended_is_stuck() {
    assert_found(Kind::Stuck, |stored| stored.runs[0].status = "in_progress".to_owned());
    assert_found(Kind::Stuck, |stored| stored.threads[0].active_run_id = Some("run".to_owned()));
}

#[test]
fn everything_else_that_is_wrong_is_broken() {
    let texts = plan().texts();
    assert_found(Kind::Broken, |stored| stored.messages[2].text = texts[1][..5].to_owned());
    assert_found(Kind::Broken, |stored| stored.messages[2].status = "in_progress".to_owned());
    assert_found(Kind::Broken, |stored| stored.threads[0].last_ord = ord(4));
    assert_found(Kind::Broken, |stored| stored.runs[0].usage = (9, 7));
    assert_found(Kind::Broken, |stored| stored.runs[0].attempt = 4);
    assert_found(Kind::Broken, |stored| stored.runs[0].is_leased = true);
    assert_found(Kind::Broken, |stored| stored.runs[0].status = "cancelled".to_owned());
    assert_found(Kind::Broken, |stored| stored.runs[0].status = "expired".to_owned());
    assert_found(Kind::Broken, |stored| stored.runs[0].status = "failed".to_owned());
    assert_found(Kind::Broken, |stored| stored.steps[0].status = "in_progress".to_owned());
    assert_found(Kind::Broken, |stored| {
        stored.steps[1].details["tool_calls"][0]["function"]["output"] = json!("x")
    });
    assert_found(Kind::Broken, |stored| {
        stored.steps.pop();
    });
}

#[test]
fn what_was_answered_with_503_is_not_there() {
    for name in [plan().to_string(), "try".to_owned()] {
        let told = told();
        told.not_done(&name);
        let findings = judge(&sound(), &told, &[]);
        assert_eq!(findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [Kind::Broken]);
    }
}

#[test]
fn a_failure_needs_a_reason_that_the_round_explains() {
    let mut stored = sound();
    stored.runs[0].status = "failed".to_owned();
    stored.runs[0].error = Some(("server_error".to_owned(), "The model server was silent.".to_owned()));
    assert_eq!(judge(&stored, &told(), &[ask(0, Some(Lie::Answers500))]), []);
    let findings = judge(&stored, &told(), &[ask(0, Some(Lie::LeavesOutTheUsage))]);
    assert_eq!(findings.len(), 1, "{findings:?}");
}
