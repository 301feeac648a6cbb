//! Faults: real nodes on a PostgreSQL that is treated badly, under load, at random moments ([`rounds`]),
//! and one fault at a time, where exactly one thing may follow ([`scenarios`], [`disks`]).
//!
//! A round's seed decides its faults, its clients and how its model lies. When the faults are over, every
//! run must end; then what is stored and what every node shows is held against what clients were told.

mod caller;
mod cluster;
mod disks;
mod injection;
mod invariants;
mod judging;
mod ledger;
mod load;
mod nodes;
mod pages;
mod report;
mod round;
mod rounds;
mod scenarios;
mod stored;
mod streams;

/// Where nodes log unless a script says otherwise.
fn logs() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults")
}
