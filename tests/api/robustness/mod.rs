//! What a client can do wrong, by mistake or by intent, without harm to the server or to others.

mod connections;
mod memory;
mod wire;
