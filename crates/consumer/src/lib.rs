//! Consumers of a stream: what they have delivered, what was acknowledged, and what comes next.
//!
//! A consumer has two halves. [`ConsumerState`] is what survives; it changes only by [`Change`]s, which travel in the
//! journal of the stream, and by the removal of messages. [`Dispatcher`] is what only the server needs that serves the
//! consumer: waiting pull requests, the window of a push consumer, deadlines. It is rebuilt when serving begins.
#![forbid(unsafe_code)]

mod advisory;
mod change;
pub mod codec;
mod config;
mod consumer;
mod dispatcher;
mod pending;
mod pin;
mod priority;
mod pull;
mod push;
mod rate;
mod redelivery;
mod replay;
mod restore;
mod sampling;
mod sends;
mod snapshot;
mod state;
mod status;
mod update;

pub use advisory::{Advisories, Advisory};
pub use change::{Change, ChangeLog};
pub use config::{ConsumerRules, normalise_config, set_required_level};
pub use consumer::{Consumer, ConsumerId, SEQUENCE_MAX};
pub use dispatcher::{Dispatcher, Progress, Turn};
pub use pending::{Delivery, Pending};
pub use priority::is_valid_group;
pub use restore::WaitingDelivery;
pub use sampling::is_sampled;
pub use sends::{Content, Outgoing, Sends};
pub use state::{ConsumerState, Position};
pub use update::check_update;
