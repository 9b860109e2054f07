//! The rows of this group.

use std::time::Duration;

use everjet_conformance::ServerProcess;

use super::data::Data;
use super::reads::Way;
use super::site::{Site, Who};
use super::{bucket, crowd, matching, memory, one_by_one, purge, reads, restart};
use crate::figure::{Figure, Goal};
use crate::outcome::Outcome;
use crate::rows::{DURABLE, Group, LAZY, NOT_WORSE, REPEATS, Row, Run, WINDOW};
use crate::stream_load::{Shape, publish};

/// A row without a prepared store.
const fn fresh(
    name: &'static str,
    title: &'static str,
    lines: &'static [(Figure, Goal)],
    run: Run,
) -> Row {
    Row {
        name,
        title,
        group: Group::Store,
        lines,
        pairs: 3,
        seconds: 2.5,
        repeats: REPEATS,
        run,
    }
}

/// A row with a prepared store.
const fn with(
    data: Data,
    name: &'static str,
    title: &'static str,
    lines: &'static [(Figure, Goal)],
    load: fn(&mut Site<'_>) -> Outcome,
) -> Row {
    let data = Some(data);
    fresh(name, title, lines, Run::Site { data, load })
}

const fn lazy(load: fn(&ServerProcess, Duration) -> Outcome) -> Run {
    Run::Fresh { config: LAZY, load }
}

const fn durable(load: fn(&ServerProcess, Duration) -> Outcome) -> Run {
    Run::Fresh {
        config: DURABLE,
        load,
    }
}

const CLEAN: &[(Figure, Goal)] = &[
    (Figure::Time, Goal::Ratio(10.0)),
    (Figure::CpuOnce, NOT_WORSE),
];
const KILLED: &[(Figure, Goal)] = &[
    (Figure::Time, Goal::Ratio(20.0)),
    (Figure::CpuOnce, NOT_WORSE),
];
const READ: &[(Figure, Goal)] = &[(Figure::Cpu, Goal::Ratio(4.0)), (Figure::Rate, NOT_WORSE)];
const PURGE: &[(Figure, Goal)] = &[
    (Figure::TimeEach, Goal::Ratio(50.0)),
    (Figure::Cpu, NOT_WORSE),
    (Figure::BeforeP99, Goal::Shown),
    (Figure::DuringP99, Goal::Shown),
    (Figure::OverBefore, Goal::AtMost(1.5)),
];

/// All rows, in the order of the table. Those that use the same prepared store stand together: the disk need not hold all of them.
pub(crate) static ALL: [Row; 30] = [
    fresh(
        "store-async-lazy",
        "async publish, window 1,024, lazy sync",
        &[
            (Figure::Rate, Goal::Ratio(5.0)),
            (Figure::Cpu, Goal::Ratio(8.0)),
        ],
        lazy(|server, length| publish(server, length, Shape::window(WINDOW)).into()),
    ),
    fresh(
        "store-async-durable",
        "async publish, window 1,024, synced before the ack",
        &[(Figure::Rate, Goal::Ratio(100.0)), (Figure::Cpu, NOT_WORSE)],
        durable(|server, length| publish(server, length, Shape::window(WINDOW)).into()),
    ),
    fresh(
        "store-async-durable-to-lazy",
        "async publish, window 1,024, ours synced before the ack, the reference lazy",
        &[(Figure::Rate, Goal::Ratio(1.5)), (Figure::Cpu, NOT_WORSE)],
        Run::Site {
            data: None,
            load: |site| {
                let server = site.start(match site.who {
                    Who::Ours => DURABLE,
                    Who::Reference => LAZY,
                });
                publish(&server, site.length, Shape::window(WINDOW)).into()
            },
        },
    ),
    fresh(
        "store-async-512",
        "async publish, 512 B, window 1,024, synced before the ack",
        &[
            (Figure::Rate, Goal::AtLeast(150_000.0)),
            (Figure::Cpu, NOT_WORSE),
        ],
        durable(|server, length| {
            let shape = Shape {
                payload: 512,
                ..Shape::window(WINDOW)
            };
            publish(server, length, shape).into()
        }),
    ),
    fresh(
        "store-async-memory",
        "async publish, window 1,024, stream in memory",
        &[(Figure::Rate, Goal::Ratio(6.0)), (Figure::Cpu, NOT_WORSE)],
        lazy(|server, length| {
            let shape = Shape {
                storage: "memory",
                ..Shape::window(WINDOW)
            };
            publish(server, length, shape).into()
        }),
    ),
    fresh(
        "store-crowd-16",
        "16 publishers, window 64, synced before the ack",
        &[(Figure::Rate, Goal::Ratio(100.0)), (Figure::Cpu, NOT_WORSE)],
        durable(|server, length| crowd::publish(server, length, 16, 64)),
    ),
    fresh(
        "store-crowd-64",
        "64 sync publishers, synced before the ack",
        &[(Figure::Rate, Goal::Ratio(20.0)), (Figure::Cpu, NOT_WORSE)],
        durable(|server, length| crowd::publish(server, length, 64, 1)),
    ),
    fresh(
        "store-streams",
        "1,000 streams, one message in flight each, synced before the ack",
        &[
            (Figure::Rate, Goal::AtLeast(50_000.0)),
            (Figure::Cpu, NOT_WORSE),
        ],
        Run::Site {
            data: None,
            load: crowd::many_streams,
        },
    ),
    Row {
        pairs: 1,
        ..fresh(
            "store-streams-syncs",
            "the same, syncs counted",
            &[(Figure::Syncs, Goal::AtMost(0.05))],
            Run::Site {
                data: None,
                load: crowd::many_streams_syncs,
            },
        )
    },
    fresh(
        "store-sync-lazy",
        "sync publish, one client, lazy sync",
        &[
            (Figure::P50, NOT_WORSE),
            (Figure::Rate, NOT_WORSE),
            (Figure::Cpu, NOT_WORSE),
        ],
        lazy(one_by_one::lazy),
    ),
    fresh(
        "store-sync-durable",
        "sync publish, one client, synced before the ack",
        &[
            (Figure::Rate, Goal::Ratio(1.2)),
            (Figure::P50, NOT_WORSE),
            (Figure::BareP50, Goal::Shown),
            (Figure::AboveBare, Goal::AtMost(150.0)),
            (Figure::Cpu, NOT_WORSE),
        ],
        durable(one_by_one::durable),
    ),
    Row {
        // Loading takes most of the time, and memory does not depend on the machine's speed.
        pairs: 1,
        repeats: 0,
        ..with(
            Data::Bucket,
            "store-memory-keys",
            "a bucket of 1 M keys of 29 B, beyond an empty server",
            &[
                (Figure::KeyLoaded, Goal::AtMost(100.0)),
                (Figure::KeyRestarted, Goal::AtMost(100.0)),
            ],
            memory::keys,
        )
    },
    with(
        Data::Bucket,
        "store-read-direct-cold",
        "last of a key of 1 M, direct get, cold",
        READ,
        |site| reads::cold(site, Way::Direct),
    ),
    with(
        Data::Bucket,
        "store-read-direct",
        "last of a key of 1 M, direct get, warm",
        READ,
        |site| reads::warm(site, Way::Direct),
    ),
    with(
        Data::Bucket,
        "store-read-api-cold",
        "last of a key of 1 M, API, cold",
        READ,
        |site| reads::cold(site, Way::Api),
    ),
    with(
        Data::Bucket,
        "store-read-api",
        "last of a key of 1 M, API, warm",
        READ,
        |site| reads::warm(site, Way::Api),
    ),
    with(
        Data::Bucket,
        "store-overwrite",
        "overwrite of 1 M keys, random, window 1,024, lazy sync",
        &[(Figure::Rate, Goal::Ratio(8.0)), (Figure::Cpu, NOT_WORSE)],
        bucket::overwrite,
    ),
    with(
        Data::Bucket,
        "store-purge-one",
        "purge of one key of 1 M",
        PURGE,
        purge::single,
    ),
    with(
        Data::Bucket,
        "store-purge-tenth",
        "purge of 100 k keys of 1 M by a wildcard",
        PURGE,
        purge::wildcard,
    ),
    with(
        Data::Bucket,
        "store-restart-bucket",
        "restart after a clean stop, a bucket of 1 M keys",
        CLEAN,
        |site| restart::clean(site, Data::Bucket),
    ),
    with(
        Data::Bucket,
        "store-killed-bucket",
        "restart after `kill -9`, a bucket of 1 M keys",
        KILLED,
        |site| restart::killed(site, Data::Bucket),
    ),
    Row {
        pairs: 1,
        repeats: 0,
        ..with(
            Data::Distinct,
            "store-memory-messages",
            "10 M messages of 128 B on 1 M subjects",
            &[
                (Figure::Loaded, Goal::Ratio(3.0)),
                (Figure::Restarted, Goal::Ratio(3.0)),
            ],
            memory::messages,
        )
    },
    with(
        Data::Distinct,
        "store-next-match",
        "a filter that takes one in 100 k of 10 M messages (matches)",
        &[
            (Figure::TimeEach, Goal::Ratio(100.0)),
            (Figure::Cpu, NOT_WORSE),
        ],
        matching::next_match,
    ),
    with(
        Data::Distinct,
        "store-restart-subjects",
        "restart after a clean stop, 10 M messages on 1 M subjects",
        CLEAN,
        |site| restart::clean(site, Data::Distinct),
    ),
    with(
        Data::Distinct,
        "store-killed-subjects",
        "restart after `kill -9`, 10 M messages on 1 M subjects",
        KILLED,
        |site| restart::killed(site, Data::Distinct),
    ),
    with(
        Data::Plain,
        "store-restart-messages",
        "restart after a clean stop, 10 M messages on one subject",
        CLEAN,
        |site| restart::clean(site, Data::Plain),
    ),
    with(
        Data::Plain,
        "store-restart-recent",
        "the same, all of them inside the duplicate window",
        CLEAN,
        restart::recent,
    ),
    with(
        Data::Plain,
        "store-killed-messages",
        "restart after `kill -9`, 10 M messages on one subject",
        KILLED,
        |site| restart::killed(site, Data::Plain),
    ),
    with(
        Data::Streams,
        "store-restart-streams",
        "restart after a clean stop, 1,000 streams of 1,000 messages",
        CLEAN,
        |site| restart::clean(site, Data::Streams),
    ),
    with(
        Data::Streams,
        "store-killed-streams",
        "restart after `kill -9`, 1,000 streams of 1,000 messages",
        KILLED,
        |site| restart::killed(site, Data::Streams),
    ),
];
