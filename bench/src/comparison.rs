//! Interleaved pairs of runs.

use everjet_conformance::ServerProcess;

use crate::arguments::Options;
use crate::machine;
use crate::outcome::Outcome;
use crate::rows::{Group, Row, Run};
use crate::store::site::{Site, Stores, Who};

/// A pair whose halves met a machine this much faster or slower is run again.
const SPEED_RATIO_MAX: f64 = 1.5;

/// More than a server grows by in a run that begins with an empty store, its files in the page cache included.
const WARM_BYTES: usize = 4 << 30;

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
    let mut stores = Stores::default();
    let rows = options.rows.iter().enumerate();
    rows.map(|(number, row)| {
        let mut series = Series {
            row,
            pairs: Vec::new(),
            dropped: 0,
        };
        let pairs = options.pairs(row);
        for index in 0..pairs {
            eprintln!("{}: pair {} of {pairs}", row.name, index + 1);
            let reversed = index % 2 == 1;
            let pair = one_pair(options, row, reversed, &mut stores, &mut series.dropped);
            series.pairs.push(pair);
        }
        let later = &options.rows[number + 1..];
        stores.keep_only(|data| later.iter().any(|row| row.uses(data)));
        series
    })
    .collect()
}

fn one_pair(
    options: &Options,
    row: &Row,
    reversed: bool,
    stores: &mut Stores,
    dropped: &mut usize,
) -> Pair {
    let mut repeats = row.repeats;
    loop {
        let mut run = |who| one_run(options, who, row, stores);
        let (ours, reference) = if reversed {
            let first = run(Who::Reference);
            (run(Who::Ours), first)
        } else {
            (run(Who::Ours), run(Who::Reference))
        };
        let ratio = ours.0 / reference.0;
        let comparable = (1.0 / SPEED_RATIO_MAX..=SPEED_RATIO_MAX).contains(&ratio);
        if !comparable && repeats > 0 {
            repeats -= 1;
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
fn one_run(options: &Options, who: Who, row: &Row, stores: &mut Stores) -> (f64, Outcome) {
    let executable = match who {
        Who::Ours => &options.ours,
        Who::Reference => &options.reference,
    };
    let length = options.length(row);
    let (speed, outcome) = match row.run {
        Run::Fresh { config, load } => {
            if row.group != Group::Core {
                machine::warm_memory(WARM_BYTES);
            }
            let server = ServerProcess::start_with(executable, config, &[]);
            (machine::speed(), load(&server, length))
        }
        Run::Site { load, .. } => {
            let mut site = Site {
                executable,
                who,
                length,
                scale: options.scale,
                stores,
            };
            (machine::speed(), load(&mut site))
        }
    };
    eprintln!("  {who:<9} {}", outcome.describe());
    (speed, outcome)
}
