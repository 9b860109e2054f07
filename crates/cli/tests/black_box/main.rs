//! The tool against a real server: `EVERJET_TEST_SERVER_BIN`, or the workspace's own. Passes on nats-server too.

mod connection;
mod consumers;
mod messages;
mod story;
mod streams;
mod support;
