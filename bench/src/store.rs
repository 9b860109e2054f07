//! What streams keep: how fast it is stored, found, removed, and there again after a restart; and how much memory that takes.
//!
//! Loading millions of messages takes longer than most of what is measured with them, so a loaded store directory is prepared once
//! a server ([`site::Stores`]) and used by all pairs and rows that it can be used for: [`data`] says what is in which.

mod bucket;
pub(crate) mod data;
mod memory;
mod pipe;
mod ready;
mod restart;
pub(crate) mod rows;
pub(crate) mod site;
