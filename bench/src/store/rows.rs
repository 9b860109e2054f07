//! The rows of this group.

use super::data::Data;
use super::site::Site;
use super::{bucket, memory, restart};
use crate::figure::{Figure, Goal};
use crate::outcome::Outcome;
use crate::rows::{Group, NOT_WORSE, REPEATS, Row, Run};

const fn with(
    data: Data,
    name: &'static str,
    title: &'static str,
    lines: &'static [(Figure, Goal)],
    load: fn(&mut Site<'_>) -> Outcome,
) -> Row {
    Row {
        name,
        title,
        group: Group::Store,
        lines,
        pairs: 3,
        seconds: 2.5,
        repeats: REPEATS,
        run: Run::Site {
            data: Some(data),
            load,
        },
    }
}

const CLEAN: &[(Figure, Goal)] = &[(Figure::Time, Goal::Ratio(10.0))];
const KILLED: &[(Figure, Goal)] = &[(Figure::Time, Goal::Ratio(20.0))];

/// All rows, in the order of the table. Those that use the same prepared store stand together: the disk need not hold all of them.
pub(crate) static ALL: [Row; 11] = [
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
        "store-overwrite",
        "overwrite of 1 M keys, random, window 1,024, lazy sync",
        &[(Figure::Rate, Goal::Ratio(8.0)), (Figure::Cpu, NOT_WORSE)],
        bucket::overwrite,
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
