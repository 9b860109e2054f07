//! The public surface of the crate, from outside.

mod decoding;
mod garbage;
