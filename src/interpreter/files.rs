//! Files of a session, read and written by its own process: no path of the server's is ever opened for them.

use std::collections::HashSet;
use std::io;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use super::frames::{Answer, Limits, Operation};
use super::session::Session;

/// Bytes of a name; file systems take no more.
const NAME: usize = 255;
/// Bytes of a path below the folder of the session.
const PATH: usize = 1024;
/// Bytes that are sent or asked for at once.
const PIECE: usize = 1024 * 1024;
/// Files that are listed.
const FILES: usize = 1_000;

/// A regular file of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Relative to the folder of the session, with `/` between folders.
    pub name: String,
    pub size: u64,
    pub modified_ns: i64,
}

/// The files of a session.
#[derive(Debug, Default, PartialEq)]
pub struct Listing {
    /// The last changed first, at most 1,000.
    pub entries: Vec<Entry>,
    /// There are more.
    pub is_cut: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system's words, such as "No space left on device", or what is wrong with the name.
    #[error("{0}")]
    Refused(String),
    /// The session is no more; the reason is part of a sentence.
    #[error("the Python session is gone: {0}")]
    Gone(String),
    /// What should have been written could not be read.
    #[error("the content of the file cannot be read: {0}")]
    Content(#[source] io::Error),
}

impl Session {
    /// Writes a file, in place of another of that name; it is there whole or not at all.
    pub async fn put(
        &mut self,
        name: &str,
        content: impl Stream<Item = io::Result<Bytes>>,
        read_only: bool,
    ) -> Result<Entry, FileError> {
        check_name(name)?;
        let mut content = std::pin::pin!(content);
        let mut gathered = BytesMut::new();
        let mut first = true;
        loop {
            let chunk = content.next().await.transpose().map_err(FileError::Content)?;
            let last = chunk.is_none();
            gathered.extend_from_slice(&chunk.unwrap_or_default());
            while gathered.len() >= PIECE || last {
                let piece = gathered.split_to(gathered.len().min(PIECE));
                let last = last && !gathered.has_remaining();
                let operation = Operation::Put { name, first, last, read_only };
                let (answer, _) = self.file(operation, &piece, Limits::PLAIN).await?;
                first = false;
                if last {
                    let mut files = answer.files.unwrap_or_default();
                    return match files.pop() {
                        Some((put, size, modified_ns)) if put == name && files.is_empty() => {
                            Ok(Entry { name: put, size, modified_ns })
                        }
                        _ => Err(self.broke("a file that was put is another")),
                    };
                }
            }
        }
    }

    /// Gives a file of the folder a second name.
    pub async fn link(&mut self, name: &str, target: &str) -> Result<(), FileError> {
        check_name(name)?;
        check_name(target)?;
        self.file(Operation::Link { name, target }, &[], Limits::PLAIN).await.map(drop)
    }

    pub async fn list(&mut self) -> Result<Listing, FileError> {
        let (answer, _) = self.file(Operation::List { limit: FILES }, &[], Limits::LIST).await?;
        let files = answer.files.unwrap_or_default();
        let names: HashSet<&str> = files.iter().map(|(name, ..)| name.as_str()).collect();
        let is_sound = files.len() <= FILES && names.len() == files.len() && names.into_iter().all(is_path);
        if !is_sound {
            return Err(self.broke("its list of files is none"));
        }
        let entry = |(name, size, modified_ns)| Entry { name, size, modified_ns };
        let entries = files.into_iter().map(entry).collect();
        Ok(Listing { entries, is_cut: answer.is_cut.unwrap_or_default() })
    }

    fn broke(&mut self, what: &str) -> FileError {
        let reason = format!("it broke the protocol: {what}");
        self.kill(&reason);
        FileError::Gone(reason)
    }

    /// Bytes of a file from an offset on, at most so many or a megabyte; none at its end.
    pub async fn get(&mut self, name: &str, offset: u64, limit: usize) -> Result<Bytes, FileError> {
        if !is_path(name) {
            return Err(FileError::Refused("it is no path of a file".to_owned()));
        }
        let limit = limit.min(PIECE);
        let (_, content) =
            self.file(Operation::Get { name, offset, limit }, &[], Limits::content(limit)).await?;
        Ok(content)
    }

    async fn file(
        &mut self,
        operation: Operation<'_>,
        content: &[u8],
        limits: Limits,
    ) -> Result<(Answer, Bytes), FileError> {
        let (answer, content) = self.ask(operation, content, limits).await.map_err(FileError::Gone)?;
        match answer.error {
            Some(error) => Err(FileError::Refused(error)),
            None => Ok((answer, content)),
        }
    }
}

/// A name under which a file of a stranger can be put: the last part of what it is called, with nothing that a
/// terminal or a command would take for something else, and short enough.
pub fn name_of(filename: &str) -> String {
    let last = filename.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String =
        last.chars().map(|character| if character.is_control() { '_' } else { character }).collect();
    let plain = plain.trim();
    match plain {
        "" | "." | ".." => "file".to_owned(),
        // A command would take it for an option.
        plain if plain.starts_with('-') => shortened(&format!("_{plain}")),
        plain => shortened(plain),
    }
}

/// At most as long as a name may be, its extension kept.
fn shortened(name: &str) -> String {
    if name.len() <= NAME {
        return name.to_owned();
    }
    let extension = name.rfind('.').map_or("", |at| &name[at..]);
    let extension = if extension.len() <= NAME / 4 { extension } else { "" };
    let fits = (0..=NAME - extension.len()).rev().find(|at| name.is_char_boundary(*at));
    format!("{}{extension}", &name[..fits.unwrap_or_default()])
}

fn check_name(name: &str) -> Result<(), FileError> {
    let is_name = is_part(name) && !name.starts_with('-') && !name.contains(char::is_control);
    if is_name { Ok(()) } else { Err(FileError::Refused("it is no name of a file".to_owned())) }
}

fn is_path(path: &str) -> bool {
    path.len() <= PATH && path.split('/').all(is_part)
}

fn is_part(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && part.len() <= NAME && !part.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_name_becomes_one_that_can_be_put() {
        let long = format!("{}.csv", "ü".repeat(300));
        for (filename, name) in [
            ("sales 2024.csv", "sales 2024.csv"),
            ("../../etc/passwd", "passwd"),
            ("C:\\data\\a.txt", "a.txt"),
            ("-rf", "_-rf"),
            ("a\0b\n.txt", "a_b_.txt"),
            ("..", "file"),
            ("a/", "file"),
            (" ", "file"),
            ("", "file"),
            (long.as_str(), &format!("{}.csv", "ü".repeat(125))),
            (&"x".repeat(300), &"x".repeat(255)),
            (&format!("a.{}", "x".repeat(300)), &format!("a.{}", "x".repeat(253))),
        ] {
            assert_eq!(name_of(filename), name, "{filename:?}");
            assert!(check_name(&name_of(filename)).is_ok());
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let long = "x".repeat(256);
        for name in ["", ".", "..", "a/b", "/a", "a\0", "-a", "a\n", long.as_str()] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for path in ["", "/", "/a", "a//b", "a/../b", "../a", "a/.", "a\0", long.as_str(), &"a/".repeat(600)]
        {
            assert!(!is_path(path), "{path:?}");
        }
        assert!(is_path("a/-b/c d.txt") && is_path("...") && check_name("ü.csv").is_ok());
    }
}
