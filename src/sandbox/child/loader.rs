//! What has to be executed so that a program runs: itself, and the loader that it names (ELF, `PT_INTERP`).

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const ELF_64: &[u8] = b"\x7fELF\x02\x01";
/// Bytes of the file's head and of one of a segment's.
const HEAD: usize = 64;
const SEGMENT: usize = 56;
const PT_INTERP: u32 = 3;
/// Segments, and bytes of a path: real ones have fewer.
const SEGMENTS: u16 = 256;
const PATH: u64 = 4_096;

/// The files that have to be executed; a program that is no ELF file of 64 bits has no loader.
pub fn executed(program: &Path) -> Vec<PathBuf> {
    let mut files = vec![program.to_owned()];
    files.extend(loader(program).ok().flatten());
    files
}

fn loader(program: &Path) -> io::Result<Option<PathBuf>> {
    let file = File::open(program)?;
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, 0)?;
    if !head.starts_with(ELF_64) {
        return Ok(None);
    }
    let (first, count) = (number(&head[32..40]), u16::from_le_bytes([head[56], head[57]]));
    for nth in 0..u64::from(count.min(SEGMENTS)) {
        let mut segment = [0; SEGMENT];
        file.read_exact_at(&mut segment, first.saturating_add(nth * SEGMENT as u64))?;
        if segment[..4] != PT_INTERP.to_le_bytes() {
            continue;
        }
        let (offset, length) = (number(&segment[8..16]), number(&segment[32..40]).min(PATH));
        let mut path = vec![0; usize::try_from(length).unwrap_or_default()];
        file.read_exact_at(&mut path, offset)?;
        path.retain(|byte| *byte != 0);
        return Ok(Some(std::ffi::OsString::from_vec(path).into()));
    }
    Ok(None)
}

/// Eight bytes, the lowest first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
