//! `/files`: uploads, lists, contents, ends, and what goes wrong with each.

mod content;
mod create;
mod ends;
mod expiry;
mod faults;
mod limits;
mod list;
mod memory;
mod plans;
mod refusals;
mod s3;
