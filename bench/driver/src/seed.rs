//! Threads, messages and finished runs as if Locum had made them: its ids, its sort keys, its times.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Result;

use crate::postgres::Postgres;

/// When the first message of every thread was written: 2025 began. Each further one came a second later.
const BEGUN: Duration = Duration::from_secs(1_735_689_600);
/// Julian day of 1970-01-01: PostgreSQL reads days so counted.
const EPOCH_DAY: u64 = 2_440_588;
/// ASCII order, so that ids sort as their sort keys do.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Digits of an id behind its prefix.
const LENGTH: usize = 24;

/// A thread to be, in numbers.
pub struct Thread {
    /// Another for each thread.
    pub number: u64,
    pub id: String,
    pub messages: u64,
    /// Finished runs.
    pub runs: u64,
}

/// The id that a thread of this number has by default.
pub fn thread_id(number: u64) -> String {
    id_of("thread_", ord(number, 0))
}

/// Stores threads with their messages, each of this content, of a user and of an assistant by turns; the last
/// is a user's. Runs have one step each.
pub fn store(postgres: &Postgres, project: &str, content: &str, threads: &[Thread]) -> Result<()> {
    postgres.copy("threads (id, project_id, ord, created_at, metadata, tool_resources, last_ord)", |to| {
        for Thread { number, id, messages, .. } in threads {
            let (ord, last) = (ord(*number, 0), ord(*number, *messages));
            writeln!(to, "{id}\t{project}\t{ord:032x}\t{}\t{{}}\t{{}}\t{last:032x}", moment(0))?;
        }
        Ok(())
    })?;
    let columns = "id, project_id, thread_id, ord, created_at, role, status, content, attachments, metadata, completed_at";
    postgres.copy(&format!("messages ({columns})"), |to| {
        threads.iter().try_for_each(|thread| write_messages(to, project, content, thread))
    })?;
    let columns = "id, project_id, thread_id, assistant_id, ord, created_at, queued_at, started_at, completed_at, expires_at,
        status, dialect, model, tools, tool_resources, metadata, truncation_strategy, tool_choice, response_format,
        parallel_tool_calls, turns, attempt, lease_token";
    let rest = "completed\tv2\tgpt-4o\t[]\t{}\t{}\t{\"type\":\"auto\"}\t\"auto\"\t\"auto\"\ttrue\t1\t1\t1";
    postgres.copy(&format!("runs ({columns})"), |to| {
        write_runs(to, threads, |run| {
            let Ids { run, thread, ord, at, .. } = run;
            format!(
                "{run}\t{project}\t{thread}\t{ASSISTANT}\t{ord:032x}\t{at}\t{at}\t{at}\t{at}\t{at}\t{rest}"
            )
        })
    })?;
    let columns = "id, project_id, run_id, thread_id, assistant_id, ord, created_at, completed_at, expires_at, turn, type, status,
        step_details, metadata";
    postgres.copy(&format!("run_steps ({columns})"), |to| {
        write_runs(to, threads, |run| {
            let Ids { run, step, message, thread, ord, at } = run;
            let details = format!(
                "{{\"type\":\"message_creation\",\"message_creation\":{{\"message_id\":\"{message}\"}}}}"
            );
            let place =
                format!("{step}\t{project}\t{run}\t{thread}\t{ASSISTANT}\t{ord:032x}\t{at}\t{at}\t{at}");
            format!("{place}\t0\tmessage_creation\tcompleted\t{details}\t{{}}")
        })
    })
}

/// An assistant that is gone.
const ASSISTANT: &str = "asst_000000000000000000000000";

/// A finished run of a thread, its step and its message.
struct Ids<'a> {
    run: String,
    step: String,
    message: String,
    thread: &'a str,
    ord: u128,
    at: String,
}

/// A line for every run.
fn write_runs(to: &mut dyn Write, threads: &[Thread], line: impl Fn(Ids<'_>) -> String) -> io::Result<()> {
    for thread in threads {
        for n in 1..=thread.runs {
            let ord = ord(thread.number, n);
            let id = |prefix| id_of(prefix, ord);
            let (run, step, message) = (id("run_"), id("step_"), id("msg_"));
            let run = Ids { run, step, message, thread: &thread.id, ord, at: moment(n) };
            writeln!(to, "{}", line(run))?;
        }
    }
    Ok(())
}

fn write_messages(to: &mut dyn Write, project: &str, content: &str, thread: &Thread) -> io::Result<()> {
    for n in 1..=thread.messages {
        let ord = ord(thread.number, n);
        let (id, at) = (id_of("msg_", ord), moment(n));
        let role = if (thread.messages - n).is_multiple_of(2) { "user" } else { "assistant" };
        let thread = &thread.id;
        writeln!(
            to,
            "{id}\t{project}\t{thread}\t{ord:032x}\t{at}\t{role}\tcompleted\t{content}\t[]\t{{}}\t{at}"
        )?;
    }
    Ok(())
}

/// The sort key of the n-th message of a thread, or with 0 of the thread itself: a UUIDv7.
fn ord(thread: u64, n: u64) -> u128 {
    let milliseconds = BEGUN.as_millis() + u128::from(n) * 1_000;
    let random = u128::from(scatter(thread << 32 | n)) << 10 | u128::from(thread % 1_024);
    let (above, below) = (random >> 62, random & ((1 << 62) - 1));
    milliseconds << 80 | 7 << 76 | above << 64 | 2 << 62 | below
}

/// Another number for each number, without visible order (SplitMix64).
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The id of the object with this sort key: base 62, zero-padded.
fn id_of(prefix: &str, ord: u128) -> String {
    let mut digits = [b'0'; LENGTH];
    let mut rest = ord;
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[usize::try_from(rest % 62).unwrap_or(0)];
        rest /= 62;
    }
    let mut id = String::with_capacity(prefix.len() + LENGTH);
    id.push_str(prefix);
    id.extend(digits.iter().map(|digit| char::from(*digit)));
    id
}

/// When the n-th message was written, as PostgreSQL reads it.
fn moment(n: u64) -> String {
    const DAY: u64 = 86_400;
    let seconds = BEGUN.as_secs() + n;
    let (day, rest) = (EPOCH_DAY + seconds / DAY, seconds % DAY);
    format!("J{day} {:02}:{:02}:{:02}+00", rest / 3_600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sort_keys_are_uuids_of_version_7_in_order() {
        let ords: Vec<u128> = (0..1_000).map(|n| ord(3, n)).collect();
        assert!(ords.is_sorted());
        assert!(ords.iter().all(|ord| ord >> 76 & 0xf == 7 && ord >> 62 & 3 == 2));
        assert_eq!(ords[1] >> 80, BEGUN.as_millis() + 1_000);
    }

    #[test]
    fn ids_sort_as_their_sort_keys_and_differ_from_thread_to_thread() {
        let mut ids: Vec<String> = (0..100).map(|n| id_of("msg_", ord(1, n))).collect();
        assert!(ids.is_sorted());
        ids.extend((0..100).map(|n| id_of("msg_", ord(2, n))));
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 200);
        assert_eq!(thread_id(5).len(), "thread_".len() + LENGTH);
        // What Locum makes of the largest sort key.
        assert_eq!(id_of("", u128::MAX), "007n42DGM5Tflk9n8mt7Fhc7");
    }

    #[test]
    fn moments_are_days_and_times() {
        assert_eq!(moment(0), "J2460677 00:00:00+00");
        assert_eq!(moment(86_400 + 3_661), "J2460678 01:01:01+00");
    }
}
