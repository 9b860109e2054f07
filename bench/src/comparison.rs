//! Interleaved pairs of runs.

use std::path::Path;

use everjet_conformance::ServerProcess;

use crate::arguments::Options;
use crate::machine;
use crate::rows::{Load, Row};

/// A pair whose halves met a machine this much faster or slower is run again.
const SPEED_RATIO_MAX: f64 = 1.5;
/// How often, before it counts anyway.
const ATTEMPTS: usize = 3;

/// One run of each server, close together in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) ours: Load,
    pub(crate) reference: Load,
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
    let rows = options.rows.iter();
    rows.map(|row| {
        let mut series = Series {
            row,
            pairs: Vec::new(),
            dropped: 0,
        };
        for index in 0..options.pairs {
            eprintln!("{}: pair {} of {}", row.name, index + 1, options.pairs);
            let pair = one_pair(options, row, index % 2 == 1, &mut series.dropped);
            series.pairs.push(pair);
        }
        series
    })
    .collect()
}

fn one_pair(options: &Options, row: &Row, reversed: bool, dropped: &mut usize) -> Pair {
    let mut attempt = 1;
    loop {
        let (first, second) = match reversed {
            false => (&options.ours, &options.reference),
            true => (&options.reference, &options.ours),
        };
        let (speed_first, first) = one_run(first, row, options);
        let (speed_second, second) = one_run(second, row, options);
        let ratio = speed_first / speed_second;
        let comparable = (1.0 / SPEED_RATIO_MAX..=SPEED_RATIO_MAX).contains(&ratio);
        if !comparable && attempt < ATTEMPTS {
            attempt += 1;
            *dropped += 1;
            continue;
        }
        return match reversed {
            false => Pair {
                ours: first,
                reference: second,
            },
            true => Pair {
                ours: second,
                reference: first,
            },
        };
    }
}

fn one_run(executable: &Path, row: &Row, options: &Options) -> (f64, Load) {
    let who = if executable == options.ours {
        "ours"
    } else {
        "reference"
    };
    let server = ServerProcess::start_with(executable, row.config, &[]);
    let speed = machine::speed();
    let load = (row.run)(&server, options.length);
    eprintln!(
        "  {who:<9} {:>10.0}/s {:>8.3} us CPU each",
        load.rate(),
        load.cpu_each_us()
    );
    (speed, load)
}
