//! What of the file system is there (Landlock, Linux 5.13): what is named, and nothing else.
//!
//! The first version of Landlock is required and all that a kernel has beyond it is used. What the first lacks, the filter of
//! system calls denies as well: cutting off files by their path or in opening them, sockets, and signals to others.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

/// `read` and `write` are what can be read, and written too. Where `execute` names files, nothing else can be executed.
pub fn apply(read: &[PathBuf], write: &[PathBuf], execute: Option<&[PathBuf]>) -> Result<(), String> {
    let status = restrict(read, write, execute).map_err(|error| {
        format!("Landlock cannot be used ({error}): it needs Linux 5.13 or newer with Landlock enabled")
    })?;
    if status == RulesetStatus::NotEnforced {
        return Err("Landlock is not enforced: it needs Linux 5.13 or newer with Landlock enabled".to_owned());
    }
    Ok(())
}

fn restrict(
    read: &[PathBuf],
    write: &[PathBuf],
    execute: Option<&[PathBuf]>,
) -> Result<RulesetStatus, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::from_all(ABI::V4))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?;
    // Nothing that is written can be executed, nor become a device, a socket or a pipe.
    let never = AccessFs::Execute
        | AccessFs::MakeChar
        | AccessFs::MakeBlock
        | AccessFs::MakeSock
        | AccessFs::MakeFifo;
    let writing = AccessFs::from_all(ABI::V5) & !never;
    let executing = AccessFs::from_read(ABI::V5);
    let reading = if execute.is_some() { executing & !AccessFs::Execute } else { executing };
    for (paths, access) in [(read, reading), (write, writing), (execute.unwrap_or_default(), executing)] {
        for path in paths {
            // What is not there needs no rule.
            if let Ok(opened) = PathFd::new(path) {
                ruleset = ruleset.add_rule(PathBeneath::new(opened, of(path, access)))?;
            }
        }
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

/// A file has fewer rights than a folder.
fn of(path: &std::path::Path, access: BitFlags<AccessFs>) -> BitFlags<AccessFs> {
    if path.is_dir() { access } else { access & AccessFs::from_file(ABI::V5) }
}
