//! The journal read by a thread of its own while a store is opened: it reads and checks while the streams are loaded, and stays
//! ahead of what applies the records.

use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use everjet_store::{Fault, JournalOpening, JournalRecord};

use crate::open::OpenError;

/// Bodies of the records that are handed on together.
const BATCH_BYTES: usize = 256 << 10;
/// How many batches the reader may be ahead: 8 MiB, unless single records are larger.
const BATCHES: usize = 32;
/// As many at most are applied together: those of a stream one after the other, wherever they lie among those of others.
const TOGETHER: usize = 32;

/// Records of the journal, copied.
#[derive(Default)]
struct Batch {
    bodies: Vec<u8>,
    /// All but their bodies, and where those are.
    records: Vec<(JournalRecord<'static>, Range<usize>)>,
}

impl Batch {
    fn push(&mut self, record: &JournalRecord<'_>) {
        let start = self.bodies.len();
        self.bodies.extend_from_slice(record.body);
        let head = JournalRecord {
            body: &[],
            ..*record
        };
        self.records.push((head, start..self.bodies.len()));
    }

    fn clear(&mut self) {
        self.bodies.clear();
        self.bodies.shrink_to(2 * BATCH_BYTES);
        self.records.clear();
    }

    fn is_full(&self) -> bool {
        self.bodies.len() >= BATCH_BYTES || self.records.len() >= BATCH_BYTES / 32
    }

    fn records(&self) -> impl Iterator<Item = JournalRecord<'_>> {
        let record = |(head, body): &(JournalRecord<'static>, Range<usize>)| JournalRecord {
            body: self.bodies.get(body.clone()).unwrap_or_default(),
            ..*head
        };
        self.records.iter().map(record)
    }
}

fn records_of(batches: &[Batch]) -> Vec<JournalRecord<'_>> {
    let count = batches.iter().map(|batch| batch.records.len()).sum();
    let mut records = Vec::with_capacity(count);
    records.extend(batches.iter().flat_map(Batch::records));
    records
}

/// The reading side: fills batches, taking those that were emptied.
struct Filling {
    batch: Batch,
    filled: SyncSender<Batch>,
    emptied: Receiver<Batch>,
}

impl Filling {
    fn push(&mut self, record: &JournalRecord<'_>) {
        self.batch.push(record);
        if self.batch.is_full() {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        let next = self.emptied.try_recv().unwrap_or_default();
        let full = std::mem::replace(&mut self.batch, next);
        // Nobody takes it only when whoever applies is gone, and with it the start.
        let _taken = self.filled.send(full);
    }
}

/// Reads the journal on this thread and lets `apply` have its records in order.
///
/// # Errors
/// What the journal's disk says; some records were applied then.
pub(crate) fn read_in_turn(
    opening: &mut JournalOpening,
    mut apply: impl FnMut(&mut [JournalRecord<'_>]),
) -> Result<(), Fault> {
    let mut batch = Batch::default();
    opening.read(&mut |record| {
        batch.push(&record);
        if batch.is_full() {
            apply(&mut records_of(std::slice::from_ref(&batch)));
            batch.clear();
        }
        Ok(())
    })?;
    apply(&mut records_of(std::slice::from_ref(&batch)));
    Ok(())
}

/// Reads the journal while `prepare` runs, then lets `apply` have its records in order.
///
/// # Errors
/// [`OpenError::Fault`]: what the disk says, some records were applied then. [`OpenError::Thread`].
pub(crate) fn read_ahead<T>(
    opening: &mut JournalOpening,
    target: &mut T,
    prepare: impl FnOnce(&mut T),
    mut apply: impl FnMut(&mut T, &mut [JournalRecord<'_>]),
) -> Result<(), OpenError> {
    let (filled, batches) = sync_channel(BATCHES);
    let (empties, emptied) = channel();
    thread::scope(|scope| {
        let mut filling = Filling {
            batch: Batch::default(),
            filled,
            emptied,
        };
        let reader = thread::Builder::new().name("journal-reader".to_owned());
        let reader = reader.spawn_scoped(scope, move || {
            let outcome = opening.read(&mut |record| {
                filling.push(&record);
                Ok(())
            });
            filling.hand_on();
            outcome
        });
        prepare(target);
        let reader = reader.map_err(OpenError::Thread)?;
        take(&batches, &empties, |records| apply(target, records));
        reader
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            .map_err(OpenError::Fault)
    })
}

/// Applies what comes, until nothing comes any more. Does not wait for more than one batch at a time.
fn take(
    batches: &Receiver<Batch>,
    empties: &Sender<Batch>,
    mut apply: impl FnMut(&mut [JournalRecord<'_>]),
) {
    let mut together = Vec::with_capacity(TOGETHER);
    while let Ok(first) = batches.recv() {
        together.push(first);
        together.extend(batches.try_iter().take(TOGETHER - 1));
        apply(&mut records_of(&together));
        for mut batch in together.drain(..) {
            batch.clear();
            // The reader may be done.
            let _taken = empties.send(batch);
        }
    }
}
