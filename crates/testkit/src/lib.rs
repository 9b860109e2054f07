//! What tests of several crates share: the simulated disk.
#![forbid(unsafe_code)]

pub use everjet_store::{SimDisk, SimFault};
