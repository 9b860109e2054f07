//! The rows of the comparison.

use std::time::Duration;

use everjet_conformance::ServerProcess;

use crate::{core_load, pull_load, stream_load};

/// Bytes of payload in every row.
pub(crate) const PAYLOAD: usize = 128;
/// Unacknowledged messages of an asynchronous publisher.
const WINDOW: usize = 1_024;

/// One workload.
#[derive(Debug)]
pub(crate) struct Row {
    /// The name on the command line.
    pub(crate) name: &'static str,
    /// The name in the table.
    pub(crate) title: &'static str,
    /// The server's configuration, the same for both servers.
    pub(crate) config: &'static str,
    /// Runs the load for about that long.
    pub(crate) run: fn(&ServerProcess, Duration) -> Load,
}

/// What a load generator did in the measured part of its run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Messages that count: published, delivered or acknowledged, as the row says.
    pub(crate) messages: u64,
    /// How long that took.
    pub(crate) elapsed: Duration,
    /// Processor time of the server in the same span.
    pub(crate) cpu: Duration,
}

const CORE: &str = "";
const LAZY: &str = "jetstream: { store_dir: \"{dir}/store\", sync_interval: \"2m\" }\n";
const DURABLE: &str = "jetstream: { store_dir: \"{dir}/store\", sync_interval: always }\n";

/// All rows, in the order of the table.
pub(crate) const ALL: [Row; 8] = [
    Row {
        name: "core-publish",
        title: "publish only, 128 B",
        config: CORE,
        run: core_load::publish_only,
    },
    Row {
        name: "core-1to1",
        title: "1:1, 128 B",
        config: CORE,
        run: |server, length| core_load::fan_out(server, length, 1),
    },
    Row {
        name: "core-fanout",
        title: "fan-out 1:10, 128 B (deliveries)",
        config: CORE,
        run: |server, length| core_load::fan_out(server, length, 10),
    },
    Row {
        name: "js-async-lazy",
        title: "async publish, window 1,024, lazy sync",
        config: LAZY,
        run: |server, length| stream_load::publish(server, length, WINDOW),
    },
    Row {
        name: "js-async-durable",
        title: "async publish, window 1,024, synced before the ack",
        config: DURABLE,
        run: |server, length| stream_load::publish(server, length, WINDOW),
    },
    Row {
        name: "js-sync-lazy",
        title: "sync publish, lazy sync",
        config: LAZY,
        run: |server, length| stream_load::publish(server, length, 1),
    },
    Row {
        name: "js-sync-durable",
        title: "sync publish, synced before the ack",
        config: DURABLE,
        run: |server, length| stream_load::publish(server, length, 1),
    },
    Row {
        name: "js-pull-ack",
        title: "pull with explicit ack, lazy sync",
        config: LAZY,
        run: pull_load::consume,
    },
];
