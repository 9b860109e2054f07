//! Whole storage in one thread: the machines of the server, its journal, checkpoints and recovery, over a disk that lies.
//!
//! A [`World`] does by seed what clients do to a server: publish, pull, acknowledge, purge, delete. It keeps a [`Ledger`] of what was
//! acknowledged. After a power cut at any operation of the disk the store is opened again and compared with the ledger.
#![forbid(unsafe_code)]

mod ledger;
mod world;

pub use ledger::Ledger;
pub use world::{Crashed, World, WorldOptions};
