//! One JetStream stream with its consumers, as a machine without I/O.
//!
//! [`Stream`] is driven by an actor: it takes publishes, pull requests, acknowledgements and API calls together with
//! the time, and returns what is to be committed, released and sent ([`Output`]). What must survive lives in a state
//! that only committed commands change, so that replaying the journal gives the same state again; what only the
//! server that serves the stream needs (waiting pull requests, timers) is rebuilt by [`Stream::lead`].
#![forbid(unsafe_code)]

mod acks;
mod advisories;
mod apply;
mod batch;
mod checks;
mod command;
mod config;
mod consumers;
mod counter;
mod decimal;
mod dedupe;
mod expiries;
mod expiry;
mod get_many;
mod info;
mod ingest;
mod interest;
mod leader;
mod limits;
mod machine;
mod marker;
mod output;
mod pause;
mod persist;
mod purge;
mod read;
mod recovery;
mod republish;
mod requests;
mod reset;
mod rollup;
mod runs;
mod settle;
mod state;
mod transform;
mod ttl;
mod unpin;
mod update;
mod wanted;

pub use batch::{AbandonReason, AbandonedBatch, Inflight};
pub use command::{describe_record, sequences_at_most};
pub use config::{ServerLimits, normalise_config, normalise_update};
pub use consumers::CreateConsumer;
pub use everjet_consumer::{Advisory, Outgoing, Sends};
pub use get_many::{AfterPart, GetMany, OneOfMany, PartOfMany};
pub use machine::{Polled, Publish, Reads, Stream};
pub use output::{Effect, Effects, Output};
pub use purge::{PurgeProgress, PurgeWay};
pub use read::Looked;
pub use recovery::{ConsumerSnapshot, ReplayError, StreamCheckpoint};
