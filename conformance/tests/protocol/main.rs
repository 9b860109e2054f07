//! The client protocol of one server without JetStream, as a client sees it: mostly transcripts, see
//! `everjet_conformance::check` for how to read them.

mod connect;
mod delivery;
mod errors;
mod greeting;
mod headers;
mod hostile;
mod lame_duck;
mod log;
mod mappings;
mod parsing;
mod proxy;
mod publish;
mod queue;
mod subjects;
mod subscribe;
mod tls;
mod websocket;

use everjet_conformance::ServerProcess;

/// Runs a transcript against a fresh server with the default configuration.
#[track_caller]
fn check(transcript: &str) {
    everjet_conformance::check(&ServerProcess::start(""), transcript);
}

/// Runs a transcript against a fresh server with this configuration.
#[track_caller]
fn check_with(config: &str, transcript: &str) {
    everjet_conformance::check(&ServerProcess::start(config), transcript);
}
