//! Interleaved pairs of runs.

use std::path::Path;
use std::time::Duration;

use everjet_conformance::ServerProcess;

use crate::arguments::Options;
use crate::machine;
use crate::outcome::Outcome;
use crate::rows::Row;

/// A pair whose halves met a machine this much faster or slower is run again.
const SPEED_RATIO_MAX: f64 = 1.5;
/// How often, before it counts anyway.
const ATTEMPTS: usize = 3;

/// One run of each server, close together in time.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) ours: Outcome,
    pub(crate) reference: Outcome,
}

/// The pairs of one row.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) row: &'static Row,
    pub(crate) pairs: Vec<Pair>,
    /// Pairs thrown away because the machine's speed changed between their halves.
    pub(crate) dropped: usize,
}

/// Runs all rows; the order within pairs alternates: A B, B A, A B, ...
pub(crate) fn run(options: &Options) -> Vec<Series> {
    // Before the first server starts: it inherits the limit.
    machine::raise_open_files();
    let rows = options.rows.iter();
    rows.map(|row| {
        let mut series = Series {
            row,
            pairs: Vec::new(),
            dropped: 0,
        };
        let pairs = options.pairs(row);
        for index in 0..pairs {
            eprintln!("{}: pair {} of {pairs}", row.name, index + 1);
            let pair = one_pair(options, row, index % 2 == 1, &mut series.dropped);
            series.pairs.push(pair);
        }
        series
    })
    .collect()
}

fn one_pair(options: &Options, row: &Row, reversed: bool, dropped: &mut usize) -> Pair {
    let length = options.length(row);
    let mut attempt = 1;
    loop {
        let run = |server: &Path, who| one_run(server, who, row, length);
        let ours = || run(&options.ours, "ours");
        let reference = || run(&options.reference, "reference");
        let (ours, reference) = if reversed {
            let first = reference();
            (ours(), first)
        } else {
            (ours(), reference())
        };
        let ratio = ours.0 / reference.0;
        let comparable = (1.0 / SPEED_RATIO_MAX..=SPEED_RATIO_MAX).contains(&ratio);
        if !comparable && attempt < ATTEMPTS {
            attempt += 1;
            *dropped += 1;
            continue;
        }
        return Pair {
            ours: ours.1,
            reference: reference.1,
        };
    }
}

/// The machine's speed just before, and the outcome.
fn one_run(executable: &Path, who: &str, row: &Row, length: Duration) -> (f64, Outcome) {
    let server = ServerProcess::start_with(executable, row.config, &[]);
    let speed = machine::speed();
    let outcome = (row.run)(&server, length);
    eprintln!("  {who:<9} {}", outcome.describe());
    (speed, outcome)
}
