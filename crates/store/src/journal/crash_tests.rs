//! Power cuts and kills at every operation: what a sync covered is there, nothing is there that was not written, and nothing
//! that a start has cut comes back.

use std::ops::Range;

use everjet_values::{Entropy, EntryIndex, SeededEntropy};

use super::tests::{Seen, durable_later, is_durable_later, open, with_keys};
use super::*;
use crate::sim_disk::{SimDisk, SimFault};

/// What was asked of the journal, to compare with what it has.
#[derive(Clone, Default)]
struct Model {
    /// All records of the present history, LSN 1 first; `None` for the journal's own. The last ones may belong to a write that
    /// failed.
    records: Vec<Option<Seen>>,
    /// LSNs up to this one were written, the write returned.
    written: u64,
    /// LSNs up to this one are durable.
    synced: u64,
    /// What a manifest would say.
    from: u64,
    /// Makes every record different from all others.
    made: u64,
}

impl Model {
    /// A random batch, noted as the next records.
    fn make(&mut self, dice: &SeededEntropy) -> JournalBatch {
        let mut batch = JournalBatch::new();
        self.records.truncate(self.written as usize);
        for _ in 0..=below(dice, 4) {
            self.made += 1;
            let length = [0, 10, 300, 700, 2000][below(dice, 5) as usize];
            let body = vec![self.made as u8; length];
            let lsn = self.records.len() as u64 + 1;
            let (stream, kind) = (1 + below(dice, 3), 1 + below(dice, 9) as u8);
            batch.push(StreamId(stream), EntryIndex(self.made), kind, |bytes| {
                bytes.extend(&body)
            });
            self.records
                .push(Some((lsn, stream, self.made, kind, body)));
        }
        batch
    }

    /// Compares what a start has found; `kept` says up to which LSN everything must be there.
    fn compare(&self, found: &Opened, kept: u64, context: &str) {
        let (journal, report, seen) = found;
        assert_eq!(report.damage, vec![], "{context}");
        let (first, end) = (self.from.max(1), journal.next_lsn().0);
        // The last mark says nothing, so its position may be given again.
        let last_is_mark = kept > 0 && self.records.get(kept as usize - 1) == Some(&None);
        let kept = kept - u64::from(last_is_mark);
        assert!(
            end > kept,
            "{context}: {kept} was kept, found {first}..{end}"
        );
        let expected = self.records.get(first as usize - 1..end as usize - 1);
        let expected = expected.unwrap_or_else(|| panic!("{context}: {end} was never written"));
        assert!(
            seen.iter().eq(expected.iter().flatten()),
            "{context}: {seen:?}\n{expected:?}"
        );
    }

    /// The history goes on from what the start has found, and of that is durable what the journal says.
    fn go_on(&mut self, journal: &Journal) {
        let end = journal.last_written().0;
        self.records.truncate(end as usize);
        self.written = end;
        let durable = journal.last_synced().0;
        assert!(is_durable_later() || durable == end);
        // A mark at the end says nothing: its position may be given again.
        self.synced = self.synced.max(durable).min(end);
    }
}

type Opened = (Journal, JournalReport, Vec<Seen>);

fn below(dice: &SeededEntropy, end: u64) -> u64 {
    dice.next_u64() % end
}

/// A random life of a journal; ends early with the first fault.
fn live(journal: &mut Journal, model: &mut Model, dice: &SeededEntropy) -> Result<(), Fault> {
    let lazy = below(dice, 3) == 0;
    for _ in 0..12 {
        match below(dice, 8) {
            0..4 => {
                let mut batch = model.make(dice);
                let last = journal.write(&mut batch)?;
                assert_eq!(last.0, model.records.len() as u64);
                model.written = last.0;
                if !lazy {
                    model.synced = journal.sync()?.into_inner().0;
                }
            }
            4 => model.synced = journal.sync()?.into_inner().0,
            5 if below(dice, 4) == 0 => {
                if let Some(tail) = journal.take_recovered_tail() {
                    let last = model.written;
                    let mut batch = model.make(dice);
                    model.written = journal.write(&mut batch)?.0;
                    journal.finish_recovered(tail.make_durable())?;
                    assert!(journal.last_synced().0 <= last);
                    model.synced = model.synced.max(journal.last_synced().0);
                }
            }
            5 => {
                // A checkpoint of everything written up to somewhere: the manifest is written first.
                let through =
                    model.from + below(dice, model.written.saturating_sub(model.from) + 2);
                let through = through.min(model.written);
                model.from = model.from.max(through + 1);
                journal.release(Lsn(through))?;
            }
            6 => {
                if let Some(job) = journal.spare_job() {
                    let spare = job.run()?;
                    journal.install_spare(spare)?;
                }
            }
            _ => {
                model.records.truncate(model.written as usize);
                model.records.push(None);
                let last = journal.seal()?.into_inner().0;
                if last == model.written {
                    // A stop right after an orderly one has nothing to say.
                    model.records.pop();
                }
                assert_eq!(last, model.records.len() as u64);
                (model.written, model.synced) = (last, last);
            }
        }
    }
    Ok(())
}

/// Runs a life on `base` with a cut at each operation in turn, crashes, and checks what is left; then goes on with another life
/// on some of the remains.
fn cut_everywhere(base: &SimDisk, model: &Model, seed: u64, crashes: &Range<u64>, depth: u32) {
    for operation in 1.. {
        let disk = base.kill();
        let mut model = model.clone();
        disk.fail_at(operation, SimFault::Cut);
        let dice = SeededEntropy::new(seed);
        let context = |crash: &str| {
            format!("seed {seed}, operation {operation}, crash {crash}, depth {depth}")
        };
        let outcome = open(&disk, model.from).and_then(|mut found| {
            model.compare(&found, model.synced, &context("none"));
            model.go_on(&found.0);
            live(&mut found.0, &mut model, &dice)
        });
        // A killed process loses nothing it has written.
        model.compare(
            &open(&disk.kill(), model.from).unwrap(),
            model.written,
            &context("kill"),
        );
        for crash in crashes.clone() {
            let name = crash.to_string();
            let context = || context(&name);
            let after = disk.crash(crash * 1000 + operation);
            let remains = after.kill();
            let found = open(&after, model.from).unwrap();
            model.compare(&found, model.synced, &context());
            // What one start has made durable, every later one shows, whatever happens to the disk in between.
            let again = open(&after.crash(crash), model.from).unwrap();
            model.compare(&again, model.synced, &context());
            assert!(
                is_durable_later() || found.2 == again.2,
                "{}: {:?} {:?}",
                context(),
                found.2,
                again.2
            );
            if depth > 0 && crash == crashes.start && operation % 7 == seed % 7 {
                let mut model = model.clone();
                model.written = model.synced;
                cut_everywhere(&remains, &model, seed + 1, &(crash..crash + 2), depth - 1);
            }
        }
        if outcome.is_ok() {
            break;
        }
    }
}

#[test]
fn a_cut_at_any_operation_loses_nothing_synced_and_shows_nothing_unwritten() {
    for seed in 0..60 {
        cut_everywhere(&SimDisk::new(), &Model::default(), seed, &(0..4), 0);
    }
}

#[test]
fn a_cut_in_a_journal_that_was_cut_before_revives_nothing() {
    for seed in 0..2 {
        cut_everywhere(&SimDisk::new(), &Model::default(), 100 + seed, &(0..2), 2);
    }
}

#[test]
fn many_crashes_in_a_row_keep_one_history() {
    for seed in 0..300 {
        let dice = SeededEntropy::new(seed);
        let mut disk = SimDisk::new();
        let mut model = Model::default();
        for round in 0..8 {
            disk.fail_at(1 + below(&dice, 60), SimFault::Cut);
            let _ = open(&disk, model.from).and_then(|mut found| {
                model.compare(&found, model.synced, &format!("seed {seed}, round {round}"));
                model.go_on(&found.0);
                live(&mut found.0, &mut model, &dice)
            });
            if below(&dice, 3) == 0 {
                disk = disk.kill();
            } else {
                disk = disk.crash(dice.next_u64());
            }
        }
    }
}

#[test]
fn a_cut_at_any_operation_loses_nothing_of_sealed_records() {
    with_keys(|| {
        for seed in 0..15 {
            cut_everywhere(&SimDisk::new(), &Model::default(), seed, &(0..4), 0);
        }
        cut_everywhere(&SimDisk::new(), &Model::default(), 100, &(0..2), 2);
    });
}

#[test]
fn a_cut_before_a_start_has_made_durable_what_it_read_loses_nothing_synced() {
    durable_later(|| {
        for seed in 0..30 {
            cut_everywhere(&SimDisk::new(), &Model::default(), seed, &(0..4), 0);
        }
        for seed in 0..4 {
            cut_everywhere(&SimDisk::new(), &Model::default(), 100 + seed, &(0..2), 2);
        }
    });
}
