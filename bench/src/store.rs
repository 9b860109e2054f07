//! What streams keep: how fast it is stored, found, removed, and there again after a restart; and how much memory that takes.
//!
//! Loading millions of messages takes longer than most of what is measured with them, so a loaded store directory is prepared once
//! a server ([`site::Stores`]) and used by all pairs and rows that it can be used for: [`data`] says what is in which.

mod bucket;
mod crowd;
pub(crate) mod data;
mod matching;
mod memory;
mod one_by_one;
mod paced;
pub(crate) mod pipe;
mod purge;
mod reads;
mod ready;
mod restart;
pub(crate) mod rows;
pub(crate) mod site;
mod syncs;
