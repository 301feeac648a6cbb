//! The process that reads one file: `locum extract`.
//!
//! Standard input holds pieces, each behind its length (four bytes, little-endian): the name of the file, its
//! content, and an empty one where it ends. Standard output gets an `Answer`. Standard input stays open; its
//! end is that of the server, and of this process.

mod html;
mod kind;
mod office;
mod output;
mod pdf;
mod sandbox;
mod text;

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc;

use self::kind::Kind;
use self::output::Output;
use super::Failure;
use crate::types::vector_store::FileErrorCode;

/// The piece that ends a file.
pub(super) const END_OF_FILE: &[u8] = &[];

/// Bytes of a file. Larger ones are refused while they come.
const FILE: usize = 256 * 1024 * 1024;
/// Bytes of stack for the parsers, some of which descend with what a file nests. Only what is used takes memory.
const STACK: usize = 128 * 1024 * 1024;

/// What the parent allows.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Arguments {
    /// Seconds of computing.
    #[arg(long)]
    pub seconds: u64,
    /// Bytes of address space.
    #[arg(long)]
    pub memory: u64,
    /// Bytes of text.
    #[arg(long)]
    pub text: usize,
}

/// A file's name and content.
struct File {
    name: String,
    content: Vec<u8>,
}

/// What the process has to say of its file.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Text(String),
    Failure(Failure),
}

impl Answer {
    /// A byte that says what follows, and that in UTF-8.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (kind, text) = match self {
            Answer::Text(text) => (b't', text),
            Answer::Failure(Failure { code, message }) => match code {
                FileErrorCode::UnsupportedFile => (b'u', message),
                FileErrorCode::InvalidFile => (b'i', message),
                FileErrorCode::ServerError => (b's', message),
            },
        };
        [&[kind], text.as_bytes()].concat()
    }

    /// What a process answered; None if it is no answer. The process may have been taken over by what it read, so
    /// nothing of it is believed unseen.
    pub(super) fn parse(mut bytes: Vec<u8>) -> Option<Result<String, Failure>> {
        let kind = *bytes.first()?;
        bytes.remove(0);
        let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))?;
        let code = match kind {
            b't' => return Some(Ok(text)),
            b'u' => FileErrorCode::UnsupportedFile,
            b'i' => FileErrorCode::InvalidFile,
            b's' => FileErrorCode::ServerError,
            _ => return None,
        };
        Some(Err(Failure::new(code, text)))
    }
}

/// `locum extract`: reads the file of standard input and ends. It is no server: nothing else of Locum may have
/// been started in this process, no thread above all.
pub fn run(arguments: Arguments) -> ExitCode {
    if let Err(error) = sandbox::limit(arguments.memory, arguments.seconds) {
        eprintln!("the limits cannot be set: {error}");
        return ExitCode::FAILURE;
    }
    let (sender, receiver) = mpsc::sync_channel::<Result<File, Failure>>(1);
    let reader = std::thread::Builder::new().name("file".to_owned()).stack_size(STACK).spawn(move || {
        // Without a file there is nobody left to answer to.
        let Ok(file) = receiver.recv() else { return };
        let text = file.and_then(|file| read(&file, arguments.text));
        end(&text.map_or_else(Answer::Failure, Answer::Text));
    });
    if reader.is_err() {
        end(&Answer::Failure(Failure::too_big_to_read()));
    }
    sandbox::confine();
    let mut stdin = io::stdin().lock();
    match receive(&mut stdin) {
        Ok(file) => {
            // It is received, or the process ends.
            let _ = sender.send(file);
            // Until the server ends. More than the end is not to come.
            let _ = io::copy(&mut stdin, &mut io::sink());
            ExitCode::FAILURE
        }
        // The server is gone.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Takes name and content. A file that is too large is known before it is whole.
fn receive(input: &mut impl Read) -> io::Result<Result<File, Failure>> {
    let mut name = Vec::new();
    piece(input, &mut name)?;
    let mut content = Vec::new();
    while piece(input, &mut content)? > 0 {
        if content.len() > FILE {
            let message = format!("The file is larger than can be read ({FILE} bytes).");
            return Ok(Err(Failure::invalid(message)));
        }
    }
    Ok(Ok(File { name: String::from_utf8_lossy(&name).into_owned(), content }))
}

/// Appends one piece; returns its length.
fn piece(input: &mut impl Read, to: &mut Vec<u8>) -> io::Result<u32> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    let read = input.take(length.into()).read_to_end(to)?;
    if read < length as usize { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(length) }
}

/// The text of a file. A parser that panics has met what its author did not think of.
fn read(file: &File, limit: usize) -> Result<String, Failure> {
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut output = Output::new(limit);
        match kind::of(&file.name, &file.content)? {
            Kind::Text(markup) => output.push(&text::decode(&file.content, markup, limit)?)?,
            Kind::Html => html::read(&text::decode(&file.content, true, limit)?, &mut output)?,
            Kind::Pdf => pdf::read(&file.content, &mut output)?,
            Kind::Office(archive) => office::read(archive, &mut output)?,
        }
        output.finish()
    }));
    result.unwrap_or_else(|_| Err(Failure::damaged()))
}

/// Answers and ends the process.
fn end(answer: &Answer) -> ! {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(&answer.bytes()).and_then(|()| stdout.flush());
    std::process::exit(i32::from(written.is_err()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(pieces: &[&[u8]]) -> Vec<u8> {
        let length = |piece: &[u8]| u32::try_from(piece.len()).unwrap().to_le_bytes();
        pieces.iter().flat_map(|piece| [&length(piece)[..], piece].concat()).collect()
    }

    #[test]
    fn a_file_comes_in_pieces_and_ends_with_an_empty_one() {
        let input = pieces(&[b"a.txt", b"Hell", b"o", b""]);
        let file = receive(&mut &input[..]).unwrap().unwrap();
        assert_eq!((file.name.as_str(), file.content.as_slice()), ("a.txt", &b"Hello"[..]));
        for end in 0..input.len() {
            assert!(receive(&mut &input[..end]).is_err(), "{end} bytes were taken for a file");
        }
    }

    #[test]
    fn answers_are_read_as_they_are_written() {
        for answer in [Ok("t\u{e4}xt".to_owned()), Err(Failure::damaged()), Err(Failure::unsupported("x"))] {
            let said = answer.clone().map_or_else(Answer::Failure, Answer::Text);
            assert_eq!(Answer::parse(said.bytes()), Some(answer));
        }
    }
}
