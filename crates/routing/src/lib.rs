//! Routing: accounts and their interest, the choice of queue group members, and the staging of one thread's turn.
//!
//! What a client publishes is first mapped, if its account has [`Mappings`]. A message is matched once ([`Turn::publish`]) and staged: rendered per connection, copied per party inside the
//! server. [`Turn::flush`] then calls every destination once. No lock is held while a destination or a receiver runs.
//! Sockets, streams and the JetStream API are behind [`Destination`] and [`LocalReceiver`]; nothing here does I/O.
#![forbid(unsafe_code)]

mod account;
mod generations;
mod interest;
mod mapper;
mod mappings;
mod matches;
mod memo;
mod message_batch;
mod origin;
mod out_batch;
mod random;
mod sink;
mod staging;
mod subscription;
mod turn;
mod watches;

pub use account::Account;
pub use everjet_wire::Message;
pub use mappings::Mappings;
pub use message_batch::MessageBatch;
pub use origin::{ConnectionId, Origin};
pub use out_batch::{OutBatch, Piece};
pub use sink::{Destination, LocalReceiver, Sink};
pub use subscription::Subscription;
pub use turn::Turn;
pub use watches::{InterestWatcher, WatchId};
