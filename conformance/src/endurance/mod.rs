//! Load whose outcome can be checked: clients that note what they were told, a server that is killed or loses power under them, and a
//! comparison of what it serves afterwards with the notes.
//!
//! [`Load`] runs the clients, [`Ledger`] holds what they were told, `check` compares. What was not confirmed when the server went away
//! may have happened or not; everything else is settled. `conformance/tests/crash.rs` kills a server with it, the programs of
//! `conformance/rig` soak it for half an hour and cut its power.

mod check;
mod chores;
mod consume;
mod findings;
mod ledger;
mod load;
mod payload;
mod publish;
mod random;
mod session;

pub use check::{Depth, check};
pub use findings::Findings;
pub use ledger::Ledger;
pub use load::{Load, Pace};
pub use random::Random;
