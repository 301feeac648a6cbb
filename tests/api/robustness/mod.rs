//! What a client can do wrong, by mistake or by intent, without harm to the server or to others.

mod attempt;
mod connections;
mod everything;
mod memory;
mod odd;
mod secrets;
mod sessions;
mod transactions;
mod wire;
