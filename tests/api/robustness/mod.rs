//! What a client can do wrong, by mistake or by intent, without harm to the server or to others.

mod memory;
