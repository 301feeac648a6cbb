//! What the model and readers are told of code that was run.

use std::time::Duration;

use serde_json::json;

use super::folder::FILES;
use crate::engine::tokens;
use crate::engine::tools::code_interpreter::FOLDER;
use crate::interpreter::Outcome;

/// What the model is told where its call held no code.
pub const NO_CODE: &str = r#"Nothing was run. Call it with the code to run: {"code": "…"}."#;
const NOTHING_SAID: &str = "(The code ran. It printed nothing, and its last line has no value.)";
/// Names that a list of files tells.
const NAMES: usize = 50;
/// The share of a long output that stays of its beginning, of three; the rest stays of its end.
const HEAD: i64 = 2;

/// What a call has left behind.
#[derive(Debug, Default)]
pub struct Written {
    /// The files of all images: those that were drawn, then those that were saved.
    pub images: Vec<String>,
    /// How many were drawn.
    pub figures: usize,
    /// Files that were saved and can be linked.
    pub names: Vec<String>,
    /// Files that were not kept, and why.
    pub left_out: Vec<(String, String)>,
    /// How many more files were written than are kept after a call, and whether there are yet more of them.
    pub more: usize,
    pub is_cut: bool,
}

/// Texts below each other.
pub fn joined(texts: &[String]) -> String {
    let mut joined = String::new();
    for text in texts {
        if !joined.is_empty() && !joined.ends_with('\n') {
            joined.push('\n');
        }
        joined.push_str(text);
    }
    joined
}

/// A word on an end that the code's own output does not tell.
pub fn of_outcome(outcome: &Outcome, gone: Option<&str>, limit: Duration) -> Option<String> {
    let what = match outcome {
        Outcome::Completed | Outcome::Failed => return None,
        Outcome::Interrupted => "The code was interrupted.".to_owned(),
        Outcome::TimedOut => {
            format!("The code was stopped: a call may take {} seconds at most.", limit.as_secs_f64())
        }
        Outcome::Died { reason } => format!("The Python session ended: {reason}."),
    };
    Some(match gone {
        Some(_) => format!(
            "[{what} Variables, imports and files that this call wrote are gone; the next call begins anew.]"
        ),
        None => format!("[{what} Variables are kept.]"),
    })
}

/// That a session is new although the thread ran code before.
pub fn new_session(restored: &[String], left_out: &[String]) -> String {
    let files = match restored {
        [] => String::new(),
        names => format!(" These files are in {FOLDER} again: {}.", list(names)),
    };
    let others = match left_out {
        [] => String::new(),
        names => format!(" These are not, for there is no room: {}.", list(names)),
    };
    format!("[The Python session is new: variables and imports of earlier calls are gone.{files}{others}]")
}

/// That not all files are where they belong.
pub fn too_many_inputs(most: usize) -> String {
    format!(
        "[More than {most} files belong to this conversation: the first {most} of the newest are in {FOLDER}.]"
    )
}

/// That a file is not where it belongs.
pub fn not_put(filename: &str, reason: &str) -> String {
    format!("[The file '{}' is not in {FOLDER}: {reason}.]", plain(filename))
}

pub fn too_large(limit: u64) -> String {
    match limit >> 20 {
        0 => format!("it is larger than {limit} bytes"),
        mebibytes => format!("it is larger than {mebibytes} MiB"),
    }
}

/// Code that moves files within the folder and leaves no name behind.
pub fn moving(moves: &[(String, String)]) -> String {
    // JSON as a Python literal: escapes of text are the same in both.
    format!(
        "(lambda os, moves: [(os.makedirs(os.path.dirname(to) or '.', exist_ok=True), os.replace(of, to)) \
         for of, to in moves])(__import__('os'), {}) and None",
        json!(moves)
    )
}

/// What the model is told of a call.
pub fn output(said: &str, written: &Written, has_died: bool, room: i64) -> String {
    let mut ends = Vec::new();
    if !written.names.is_empty() {
        ends.push(format!(
            "[Saved: {}. The user gets such a file by a link in your answer, such as [{1}](sandbox:{FOLDER}/{1}).]",
            list(&written.names),
            plain(&written.names[0]),
        ));
    }
    if written.figures > 0 {
        ends.push(format!("[Figures shown to the user: {}.]", written.figures));
    }
    let left_out = written.left_out.iter().take(NAMES);
    ends.extend(left_out.map(|(name, reason)| format!("[Not kept: '{}', {reason}.]", plain(name))));
    if written.more > 0 {
        let least = if written.is_cut { "at least " } else { "" };
        ends.push(format!(
            "[Not kept: {least}{} more files, for a call keeps the {FILES} that it wrote last. Save fewer, or as one archive.]",
            written.more,
        ));
    }
    let end = ends.join("\n");
    if said.is_empty() {
        let nothing = if has_died { "" } else { NOTHING_SAID };
        return joined(&[nothing.to_owned(), end]).trim().to_owned();
    }
    let said = fit(said, room - tokens::at_most(&end));
    if end.is_empty() { said } else { joined(&[said, end]) }
}

/// As much of a text as may be said in so many tokens: its beginning and its end.
fn fit(text: &str, room: i64) -> String {
    let room = room.max(100);
    if tokens::at_most(text) <= room || tokens::count(text) <= room {
        return text.to_owned();
    }
    let head = tokens::beginning(text, room * HEAD / 3);
    // No token is shorter than a byte.
    let bytes = usize::try_from(room / 3).unwrap_or(0);
    let from = (text.len() - bytes.min(text.len())..=text.len()).find(|at| text.is_char_boundary(*at));
    let tail = &text[from.unwrap_or(text.len()).max(head.len())..];
    let left_out = text.len() - head.len() - tail.len();
    format!("{head}\n[… {left_out} bytes of output are left out here: print less …]\n{tail}")
}

fn list(names: &[String]) -> String {
    let mut list = names.iter().take(NAMES).map(|name| plain(name)).collect::<Vec<_>>().join(", ");
    if names.len() > NAMES {
        list.push_str(&format!(" and {} more", names.len() - NAMES));
    }
    list
}

/// A stranger's name on one line.
fn plain(name: &str) -> String {
    name.chars().map(|character| if character.is_control() { '_' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_output_keeps_its_beginning_and_its_end() {
        let long = format!("first {} last", "word ".repeat(10_000));
        let fitted = fit(&long, 600);
        assert!(fitted.starts_with("first word") && fitted.ends_with(" last"), "{fitted}");
        assert!(tokens::count(&fitted) < 700, "{}", tokens::count(&fitted));
        assert!(fitted.contains("bytes of output are left out here"));
        assert_eq!(fit("short", 0), "short");
        assert_eq!(fit(&"é".repeat(20), 10_000), "é".repeat(20));
    }

    #[test]
    fn what_was_not_kept_is_told() {
        let written = Written {
            names: vec!["a.csv".to_owned()],
            left_out: vec![("b\n.bin".to_owned(), too_large(32 << 20))],
            ..Written::default()
        };
        let told = output("1\n", &written, false, 1_000);
        assert!(told.starts_with("1\n[Saved: a.csv."), "{told}");
        assert!(told.contains("(sandbox:/mnt/data/a.csv)"), "{told}");
        assert!(told.ends_with("[Not kept: 'b_.bin', it is larger than 32 MiB.]"), "{told}");
        assert_eq!(output("", &Written::default(), false, 1_000), NOTHING_SAID);
    }
}
