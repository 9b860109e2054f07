//! Whole storage in one thread: the machines of the server, its journal, checkpoints and recovery, over a disk that lies.
//!
//! A [`World`] does by seed what clients do to a server: publish, pull, acknowledge, purge, delete. It keeps a [`Ledger`] of what was
//! acknowledged. After a power cut at any operation of the disk the store is opened again and compared with the ledger. [`run`] does
//! that for a seed, [`rot`] damages what a run has left behind. See the README beside this crate.
#![forbid(unsafe_code)]

mod batches;
mod checkpoints;
mod clients;
mod compactions;
mod derived;
mod erase;
mod ledger;
mod model;
mod options;
mod questions;
mod retention;
pub mod rot;
pub mod run;
mod seals;
mod streams;
mod wide;
mod wishes;
mod world;

pub use ledger::{Erased, Ledger, Ledgers};
pub use options::{Key, Wide, WorldOptions};
pub use world::{Stop, World};
