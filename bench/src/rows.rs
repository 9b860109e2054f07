//! The rows of the comparison.

use std::time::Duration;

use everjet_conformance::ServerProcess;

use crate::figure::{Figure, Goal};
use crate::outcome::Outcome;
use crate::store::data::Data;
use crate::store::site::Site;
use crate::stream_load::Shape;
use crate::{
    churn_load, connections_load, core_load, distinct_load, pull_load, queue_load, request_crowd,
    request_load, stalled_load, store, stream_load,
};

/// Bytes of payload in most rows.
pub(crate) const PAYLOAD: usize = 128;
/// Unacknowledged messages of an asynchronous publisher.
pub(crate) const WINDOW: usize = 1_024;
/// How often a pair is repeated, usually.
pub(crate) const REPEATS: usize = 2;

/// Rows that are run, and written into a page, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Messages without streams.
    Core,
    /// Streams and consumers.
    JetStream,
    /// What streams keep: how fast it is stored, found, removed and there again.
    Store,
}

impl Group {
    pub(crate) const ALL: [Self; 3] = [Self::Core, Self::JetStream, Self::Store];

    /// The name on the command line and in the markers of a page.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::JetStream => "jetstream",
            Self::Store => "store",
        }
    }
}

/// One workload.
#[derive(Debug)]
pub(crate) struct Row {
    /// The name on the command line.
    pub(crate) name: &'static str,
    /// The name in the table.
    pub(crate) title: &'static str,
    pub(crate) group: Group,
    /// What the table shows, in this order, and what it should reach.
    pub(crate) lines: &'static [(Figure, Goal)],
    /// Pairs of runs unless the command line says otherwise.
    pub(crate) pairs: usize,
    /// Seconds of a run unless the command line says otherwise.
    pub(crate) seconds: f64,
    /// How often a pair is run again when the machine's speed changed between its halves, before it counts anyway.
    pub(crate) repeats: usize,
    pub(crate) run: Run,
}

impl Row {
    /// Whether it uses that prepared store.
    pub(crate) fn uses(&self, data: Data) -> bool {
        matches!(self.run, Run::Site { data: Some(used), .. } if used == data)
    }
}

/// How a row is run.
#[derive(Debug)]
pub(crate) enum Run {
    /// Against a server that was started for it, in an empty directory.
    Fresh {
        /// The server's configuration, the same for both servers.
        config: &'static str,
        /// Runs the load for about that long.
        load: fn(&ServerProcess, Duration) -> Outcome,
    },
    /// With what the row needs: it starts and stops its servers itself.
    Site {
        /// The prepared store it uses, which is kept as long as a later row uses it too.
        data: Option<Data>,
        load: fn(&mut Site<'_>) -> Outcome,
    },
}

const CORE: &str = "";
pub(crate) const LAZY: &str = "jetstream: { store_dir: \"{dir}/store\", sync_interval: \"2m\" }\n";
pub(crate) const DURABLE: &str =
    "jetstream: { store_dir: \"{dir}/store\", sync_interval: always }\n";

/// Never worse than the reference, on any row.
pub(crate) const NOT_WORSE: Goal = Goal::Ratio(1.0);
const RATE_AND_CPU: &[(Figure, Goal)] = &[(Figure::Rate, NOT_WORSE), (Figure::Cpu, NOT_WORSE)];

const fn core(
    name: &'static str,
    title: &'static str,
    lines: &'static [(Figure, Goal)],
    load: fn(&ServerProcess, Duration) -> Outcome,
) -> Row {
    Row {
        name,
        title,
        group: Group::Core,
        lines,
        pairs: 5,
        seconds: 1.5,
        repeats: REPEATS,
        run: Run::Fresh { config: CORE, load },
    }
}

const fn jetstream(
    name: &'static str,
    title: &'static str,
    config: &'static str,
    load: fn(&ServerProcess, Duration) -> Outcome,
) -> Row {
    Row {
        name,
        title,
        group: Group::JetStream,
        lines: RATE_AND_CPU,
        pairs: 5,
        seconds: 2.5,
        repeats: REPEATS,
        run: Run::Fresh { config, load },
    }
}

/// All rows, in the order of the tables.
pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    CORE_AND_JETSTREAM.iter().chain(&store::rows::ALL)
}

static CORE_AND_JETSTREAM: [Row; 23] = [
    core(
        "core-publish",
        "publish only, 128 B",
        &[(Figure::Rate, NOT_WORSE), (Figure::Cpu, Goal::Ratio(2.5))],
        |server, length| core_load::publish_only(server, length, PAYLOAD),
    ),
    core(
        "core-1to1-16",
        "1:1, 16 B",
        &[
            (Figure::Rate, Goal::Ratio(3.0)),
            (Figure::Cpu, Goal::Ratio(5.0)),
        ],
        |server, length| core_load::one_subject(server, length, 1, 1, 16),
    ),
    core(
        "core-1to1-128",
        "1:1, 128 B",
        &[
            (Figure::Rate, Goal::Ratio(3.0)),
            (Figure::Cpu, Goal::Ratio(4.0)),
        ],
        |server, length| core_load::one_subject(server, length, 1, 1, PAYLOAD),
    ),
    core(
        "core-1to1-1k",
        "1:1, 1 KiB",
        RATE_AND_CPU,
        |server, length| core_load::one_subject(server, length, 1, 1, 1 << 10),
    ),
    core(
        "core-1to1-16k",
        "1:1, 16 KiB",
        &[(Figure::Rate, NOT_WORSE), (Figure::Cpu, Goal::Ratio(1.5))],
        |server, length| core_load::one_subject(server, length, 1, 1, 16 << 10),
    ),
    core(
        "core-fanout-10",
        "fan-out 1:10, 128 B (deliveries)",
        &[(Figure::Rate, NOT_WORSE), (Figure::Cpu, Goal::Ratio(5.0))],
        |server, length| core_load::one_subject(server, length, 1, 10, PAYLOAD),
    ),
    core(
        "core-fanout-100",
        "fan-out 1:100, 128 B (deliveries)",
        &[(Figure::Rate, NOT_WORSE), (Figure::Cpu, Goal::Ratio(5.0))],
        |server, length| core_load::one_subject(server, length, 1, 100, PAYLOAD),
    ),
    core(
        "core-fanin-8",
        "fan-in 8:1, 128 B",
        &[(Figure::Rate, NOT_WORSE), (Figure::Cpu, Goal::Ratio(4.0))],
        |server, length| core_load::one_subject(server, length, 8, 1, PAYLOAD),
    ),
    core(
        "core-queue-4to4",
        "4 publishers, queue group of 4, 128 B",
        &[(Figure::Rate, NOT_WORSE), (Figure::Cpu, Goal::Ratio(4.0))],
        |server, length| core_load::queue_group(server, length, 4, 4, PAYLOAD),
    ),
    core(
        "core-distinct-all",
        "1 M distinct subjects to `>`, 16 B",
        &[(Figure::Rate, NOT_WORSE), (Figure::Cpu, Goal::Ratio(8.0))],
        distinct_load::to_everything,
    ),
    core(
        "core-distinct-wildcards",
        "1 M distinct subjects to 10 k wildcard subscriptions, four match, 16 B (messages)",
        &[(Figure::Rate, NOT_WORSE), (Figure::Cpu, Goal::Ratio(8.0))],
        distinct_load::to_wildcards,
    ),
    Row {
        // Processor time is known to 10 ms, and two halves of a run are compared.
        seconds: 3.0,
        ..core(
            "core-churn",
            "1:1, 128 B, beside 5 k/s SUB and UNSUB",
            &[
                (Figure::Rate, NOT_WORSE),
                (Figure::Cpu, NOT_WORSE),
                (Figure::CpuGrowth, Goal::AtMost(15.0)),
            ],
            |server, length| churn_load::beside_one_to_one(server, length, PAYLOAD),
        )
    },
    core(
        "core-request-1",
        "request and reply, 1 client, 128 B",
        &[
            (Figure::P50, NOT_WORSE),
            (Figure::P99, NOT_WORSE),
            (Figure::RelayP50, Goal::Shown),
            (Figure::RelayP99, Goal::Shown),
            (Figure::OverRelay, Goal::AtMost(1.3)),
            (Figure::Cpu, NOT_WORSE),
        ],
        request_load::one_client,
    ),
    core(
        "core-request-100",
        "request and reply, 100 clients, 128 B",
        &[(Figure::Rate, NOT_WORSE), (Figure::Cpu, Goal::Ratio(3.0))],
        |server, length| request_crowd::many_clients(server, length, 100),
    ),
    Row {
        seconds: 2.0,
        ..core(
            "core-stalled",
            "one stalled subscriber among ten, 128 B (messages)",
            &[
                (Figure::Rate, NOT_WORSE),
                (Figure::RateKept, Goal::AtLeast(98.0)),
            ],
            |server, length| stalled_load::one_of_ten(server, length, PAYLOAD),
        )
    },
    Row {
        pairs: 2,
        ..core(
            "core-idle",
            "10 k idle connections, one subscription each",
            &[(Figure::Resident, Goal::AtMost(3.0))],
            connections_load::idle,
        )
    },
    Row {
        pairs: 3,
        ..core(
            "core-connects",
            "10 k connects: CONNECT, PING, end",
            &[(Figure::Rate, NOT_WORSE), (Figure::Cpu, Goal::Ratio(2.0))],
            connections_load::connects,
        )
    },
    jetstream(
        "js-async-lazy",
        "async publish, window 1,024, lazy sync",
        LAZY,
        |server, length| stream_load::publish(server, length, Shape::window(WINDOW)).into(),
    ),
    jetstream(
        "js-async-durable",
        "async publish, window 1,024, synced before the ack",
        DURABLE,
        |server, length| stream_load::publish(server, length, Shape::window(WINDOW)).into(),
    ),
    jetstream(
        "js-sync-lazy",
        "sync publish, lazy sync",
        LAZY,
        |server, length| stream_load::publish(server, length, Shape::window(1)).into(),
    ),
    jetstream(
        "js-sync-durable",
        "sync publish, synced before the ack",
        DURABLE,
        |server, length| stream_load::publish(server, length, Shape::window(1)).into(),
    ),
    jetstream(
        "js-pull-ack",
        "pull with explicit ack, lazy sync",
        LAZY,
        |server, length| pull_load::consume(server, length).into(),
    ),
    Row {
        lines: &[(Figure::Rate, Goal::Ratio(8.0)), (Figure::Cpu, Goal::Shown)],
        ..jetstream(
            "js-queue-lazy",
            "work queue: publish, pull 500, ack, remove, lazy sync",
            LAZY,
            |server, length| queue_load::work(server, length).into(),
        )
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_say_their_group() {
        let names: HashSet<&str> = all().map(|row| row.name).collect();
        assert_eq!(names.len(), all().count());
        for row in all() {
            let prefix = match row.group {
                Group::Core => "core-",
                Group::JetStream => "js-",
                Group::Store => "store-",
            };
            assert!(row.name.starts_with(prefix), "{}", row.name);
            assert!(!row.lines.is_empty() && row.pairs > 0, "{}", row.name);
        }
    }
}
