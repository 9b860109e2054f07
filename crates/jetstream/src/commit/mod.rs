//! Group commit: one write and one sync for everything that waits, across all streams of a store directory.
//!
//! Actors append records and effects to the queue while they hold their stream, so the records of one stream are queued in
//! entry order. Two commit threads take turns: one drains the queue, writes, syncs, and hands the writer on; then it releases the
//! effects of its batch while the other already writes the next. The `order` lock is taken before the writer is handed on, so that
//! effects leave in the order of the records.
//!
//! | policy | effects leave after | survives `kill -9` | survives power loss |
//! | --- | --- | --- | --- |
//! | [`SyncPolicy::Always`] | the sync of their batch | yes | yes |
//! | [`SyncPolicy::Every`] | the write of their batch | yes | what is older than the interval |

mod queue;
mod room;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use everjet_routing::Turn;
use everjet_store::{Durable, Fault, Journal, JournalBatch, JournalStart, Lsn};
use everjet_values::{EntryIndex, StreamSequence};
use parking_lot::{Condvar, Mutex};

use crate::actor::StreamActor;
use crate::helpers::Helpers;
use crate::report::{Level, Report};

pub(crate) use self::queue::Release;
use self::queue::{Queue, Signal, Taking, Waiter};
pub(crate) use self::room::Admission;

/// When the journal is synced; see the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before every acknowledgement. The default.
    Always,
    /// In the background, at the latest this long after the write.
    Every(Duration),
}

/// Records nobody waits for (deliveries, plain acks) are committed at the latest this long after they were queued.
const LAZY_COMMIT: Duration = Duration::from_millis(50);
/// With a lazy policy and nothing to sync, the commit threads look again after this at the earliest.
const SYNC_LOOK_MIN: Duration = Duration::from_millis(5);
/// How often a write that met a full disk is tried again.
const FULL_RETRY: Duration = Duration::from_millis(100);
/// Bytes that may wait for the journal. Above it new publishes are answered with 429; as nats-server's `max_buffered_size`.
const QUEUED_BYTES_MAX: usize = 128 << 20;

/// What a batch is once its effects may leave.
enum Committed {
    /// On stable storage.
    Durable(#[expect(dead_code, reason = "the proof itself is what counts")] Durable<Lsn>),
    /// With the operating system: enough for [`SyncPolicy::Every`] only.
    Written,
}

struct Writer {
    journal: Journal,
    batch: JournalBatch,
    waiters: Vec<Waiter>,
    /// A helper thread is zero-filling the next file.
    making_spare: bool,
    /// The next file could not be made; said once.
    starved: bool,
    /// [`Commit::written_bytes`] when the disk was last asked how much is free.
    looked_at: u64,
}

/// The commit side of one store directory.
pub(crate) struct Commit {
    policy: SyncPolicy,
    queue: Mutex<Queue>,
    ready: Condvar,
    writer: Mutex<Writer>,
    order: Mutex<()>,
    /// The writer holds a batch that did not fit, or that a commit thread has to finish.
    left_with_writer: AtomicBool,
    /// The writer's batch met a disk that is full or makes no files.
    stuck: AtomicBool,
    admission: AtomicU8,
    queued_bytes: AtomicU64,
    /// Bytes of the journal: those found at the start that no checkpoint had taken, and those written since.
    written_bytes: AtomicU64,
    /// Of these, the bytes that a checkpoint has taken into the streams' files.
    checkpointed_bytes: AtomicU64,
    /// Of these, the bytes that a checkpoint has at least tried to take: what it could not take, waiting does not help.
    visited_bytes: AtomicU64,
    /// Bytes that no checkpoint has visited above which the journal waits.
    behind_bytes_max: u64,
    failure: Mutex<Option<String>>,
    started: Instant,
    /// When the journal was last synced, in milliseconds since `started`.
    synced_at_millis: AtomicU64,
    /// Bytes free on the disk of the journal.
    free_bytes: Box<dyn Fn() -> u64 + Send + Sync>,
    helpers: Arc<Helpers>,
    report: Arc<dyn Report>,
}

impl Commit {
    /// The commit side of `journal`, which holds `journal_bytes` of records that no checkpoint has taken. It waits for
    /// checkpoints when more than `behind_bytes_max` are in memory only because of them.
    pub(crate) fn new(
        journal: Journal,
        journal_bytes: u64,
        policy: SyncPolicy,
        behind_bytes_max: u64,
        free_bytes: Box<dyn Fn() -> u64 + Send + Sync>,
        helpers: Arc<Helpers>,
        report: Arc<dyn Report>,
    ) -> Arc<Self> {
        Arc::new(Self {
            policy,
            queue: Mutex::default(),
            ready: Condvar::new(),
            writer: Mutex::new(Writer {
                journal,
                batch: JournalBatch::default(),
                waiters: Vec::new(),
                making_spare: false,
                starved: false,
                looked_at: 0,
            }),
            order: Mutex::new(()),
            left_with_writer: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            admission: AtomicU8::new(Admission::Open as u8),
            queued_bytes: AtomicU64::new(0),
            written_bytes: AtomicU64::new(journal_bytes),
            checkpointed_bytes: AtomicU64::new(0),
            visited_bytes: AtomicU64::new(0),
            behind_bytes_max,
            failure: Mutex::new(None),
            started: Instant::now(),
            synced_at_millis: AtomicU64::new(0),
            free_bytes,
            helpers,
            report,
        })
    }

    /// Whether more waits for the journal than its bound allows.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.queued_bytes.load(Ordering::Relaxed) > QUEUED_BYTES_MAX as u64
    }

    /// Bytes of the journal that no checkpoint had taken at the start, and those written since.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }

    /// Queues the records of `batch` (left empty) and what is to leave with them. Called with the stream held, so that its
    /// records keep their order.
    pub(crate) fn submit(&self, batch: &mut JournalBatch, sync_wanted: bool, release: Release) {
        self.enqueue(batch, sync_wanted, Waiter::Stream(release));
    }

    fn enqueue(&self, batch: &mut JournalBatch, sync_wanted: bool, waiter: Waiter) {
        let waits = matches!(waiter, Waiter::Thread(_));
        let mut queue = self.queue.lock();
        self.queued_bytes
            .fetch_add(batch.bytes(), Ordering::Relaxed);
        queue.batch.append(batch);
        queue.waiters.push(waiter);
        let was_idle = queue.oldest.is_none();
        if was_idle {
            queue.oldest = Some(Instant::now());
        }
        let first_wanted = (sync_wanted && !queue.sync_wanted) || (waits && !queue.thread_waits);
        queue.sync_wanted |= sync_wanted;
        queue.thread_waits |= waits;
        drop(queue);
        // With a lazy policy whoever queued drives, unless a thread waits for the sync.
        if (was_idle || first_wanted) && (self.policy == SyncPolicy::Always || waits) {
            self.ready.notify_one();
        }
    }

    /// Whether the journal holds a batch that it cannot write for now.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Acquire)
    }

    /// Queues `batch`, for which nobody waits.
    pub(crate) fn commit_some_time(&self, batch: &mut JournalBatch) {
        self.enqueue(batch, false, Waiter::Nobody);
    }

    /// Queues `batch` and waits until it is durable, whatever the policy. For threads that may block.
    ///
    /// # Errors
    /// Why the journal cannot make it durable.
    pub(crate) fn commit_and_wait(&self, batch: &mut JournalBatch) -> Result<(), String> {
        if self.is_stuck() {
            return Err("the disk is full; free disk space and try again".to_owned());
        }
        let signal = Arc::new(Signal::default());
        self.enqueue(batch, true, Waiter::Thread(Arc::clone(&signal)));
        let mut result = signal.result.lock();
        while result.is_none() {
            signal.set.wait(&mut result);
        }
        result.clone().expect("set by the commit thread")
    }

    /// Takes what was queued a step further on the thread that queued it, when nobody else is writing: no hop to another thread.
    ///
    /// With a lazy policy it is written and its effects leave. Otherwise records that nobody waits for are written, so that they survive
    /// the end of the process at once; a commit thread syncs them soon.
    pub(crate) fn drive(self: &Arc<Self>, turn: &mut Turn) {
        match self.policy {
            SyncPolicy::Always => self.write_early(),
            SyncPolicy::Every(_) => self.drive_lazily(turn),
        }
    }

    fn write_early(self: &Arc<Self>) {
        let Some(mut writer) = self.writer.try_lock().filter(|_| !self.is_behind()) else {
            return;
        };
        let took = self.take_queue(&mut writer, Taking::UnlessWanted);
        // Who waits stays with the writer, for the commit thread that syncs. A new file is its affair too: this thread serves sockets.
        if took && writer.journal.fits_current_file(&writer.batch) {
            let _left_with_writer = self.write(&mut writer, false);
        }
    }

    fn drive_lazily(self: &Arc<Self>, turn: &mut Turn) {
        loop {
            // Most runs leave nothing, those that this very loop causes among them: they must not wake a commit thread.
            if self.queue.lock().waiters.is_empty() {
                return;
            }
            let (Some(mut writer), Some(order)) = (self.writer.try_lock(), self.order.try_lock())
            else {
                // Somebody writes, perhaps this very thread further out; a commit thread takes what they do not see.
                self.ready.notify_one();
                return;
            };
            let waits = |waiter: &Waiter| matches!(waiter, Waiter::Thread(_));
            if !self.take_queue(&mut writer, Taking::Everything) {
                return;
            }
            let for_commit_thread = writer.waiters.iter().any(waits)
                || self.is_behind()
                || !writer.journal.fits_current_file(&writer.batch);
            let outcome = if for_commit_thread {
                None
            } else {
                Some(self.write(&mut writer, false))
            };
            let outcome = match outcome {
                Some(Err(_)) if writer.journal.latched().is_none() => None,
                other => other,
            };
            // A thread waits for a sync, a new file is due, or the disk is full: for the commit threads, which may wait.
            let Some(outcome) = outcome else {
                self.left_with_writer.store(true, Ordering::Release);
                self.ready.notify_one();
                return;
            };
            let waiters = std::mem::take(&mut writer.waiters);
            drop(writer);
            self.release(waiters, outcome.as_ref(), turn);
            drop(order);
        }
    }

    /// The loop of a commit thread; ends after [`Commit::stop`] when the queue is empty.
    pub(crate) fn run(self: &Arc<Self>, turn: &mut Turn) {
        while self.wait_for_work() {
            let mut writer = self.writer.lock();
            if self.has_to_wait(&self.queue.lock()) {
                // The batch that the other thread wrote meanwhile reached the bound.
                continue;
            }
            self.take_queue(&mut writer, Taking::Everything);
            if writer.waiters.is_empty() && !self.sync_is_due(&writer) {
                self.left_with_writer.store(false, Ordering::Release);
                if writer.journal.last_synced() >= writer.journal.last_written() {
                    self.note_sync();
                }
                self.prepare_spare(&mut writer);
                self.watch_room(&mut writer);
                continue;
            }
            let sync = self.must_sync(&writer);
            let outcome = self.write(&mut writer, sync);
            if let Err(fault) = &outcome
                && writer.journal.latched().is_none()
                && !self.queue.lock().stopping
            {
                self.keep_for_later(&mut writer, fault);
                drop(writer);
                std::thread::sleep(FULL_RETRY);
                continue;
            }
            self.stuck.store(false, Ordering::Release);
            self.left_with_writer.store(false, Ordering::Release);
            writer.batch.clear();
            let waiters = std::mem::take(&mut writer.waiters);
            self.prepare_spare(&mut writer);
            let order = self.order.lock();
            drop(writer);
            self.release(waiters, outcome.as_ref(), turn);
            drop(order);
            turn.flush();
        }
    }

    /// A batch that does not fit stays with the writer: no publish of it is acknowledged until it does. Threads are told at once,
    /// so that they can go on; what they wanted may still become durable.
    fn keep_for_later(&self, writer: &mut Writer, fault: &Fault) {
        self.stuck.store(true, Ordering::Release);
        self.left_with_writer.store(true, Ordering::Release);
        writer.waiters.retain(|waiter| match waiter {
            Waiter::Stream(_) | Waiter::Nobody => true,
            Waiter::Thread(signal) => {
                signal.tell(Err(fault.to_string()));
                false
            }
        });
        // With nobody left waiting the batch itself still waits.
        if writer.waiters.is_empty() {
            writer.waiters.push(Waiter::Nobody);
        }
    }

    /// Lets the commit threads end once everything queued is committed.
    pub(crate) fn stop(&self) {
        self.queue.lock().stopping = true;
        self.ready.notify_all();
    }

    /// Syncs everything written so far and returns the position up to which the journal is durable.
    ///
    /// # Errors
    /// The fault that makes the journal useless from now on.
    pub(crate) fn sync_now(&self) -> Result<Lsn, Fault> {
        let mut writer = self.writer.lock();
        self.note_sync();
        let synced = writer.journal.sync();
        if let Err(fault) = &synced {
            self.fail(fault);
        }
        synced.map(|durable| *durable.get())
    }

    /// From where on the journal is needed once everything written so far is in the streams' files.
    pub(crate) fn position(&self) -> JournalStart {
        self.writer.lock().journal.position()
    }

    /// Makes durable what the start has read, if that is not known to be; commits go on meanwhile. Called before any
    /// checkpoint, so that none of its files is given back under it.
    pub(crate) fn make_recovered_durable(&self) {
        let tail = self.writer.lock().journal.take_recovered_tail();
        let Some(tail) = tail else { return };
        let outcome = tail.make_durable();
        let finished = self.writer.lock().journal.finish_recovered(outcome);
        if let Err(fault) = finished {
            self.fail(&fault);
        }
    }

    /// Gives back journal files that hold nothing after `through`.
    ///
    /// # Errors
    /// What the disk says; the files are then given back another time.
    pub(crate) fn release_journal(&self, through: Lsn) -> Result<(), Fault> {
        self.writer.lock().journal.release(through)
    }

    /// Makes everything that was queued so far durable, in files of the journal that are not written any more. Returns the
    /// last position in those.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn close_files(&self) -> Result<Lsn, String> {
        self.commit_and_wait(&mut JournalBatch::default())?;
        let mut writer = self.writer.lock();
        let rolled = writer.journal.roll();
        if let Err(fault) = &rolled
            && writer.journal.latched().is_some()
        {
            self.fail(fault);
        }
        rolled.map_err(|fault| fault.to_string())
    }

    /// As [`Commit::release_journal`], and overwrites what the files given back held. Slow; commits go on meanwhile.
    ///
    /// # Errors
    /// Why something up to `closed` may still be readable.
    pub(crate) fn scrub_journal(&self, through: Lsn, closed: Lsn) -> Result<(), String> {
        let mut writer = self.writer.lock();
        let scrub = writer.journal.release_to_scrub(through, closed);
        drop(writer);
        let mut scrub = scrub.map_err(|fault| fault.to_string())?;
        let scrubbed = scrub.run();
        let is_complete = scrub.is_complete();
        let finished = self.writer.lock().journal.finish_scrub(scrub);
        scrubbed.and(finished).map_err(|fault| fault.to_string())?;
        if is_complete {
            Ok(())
        } else {
            Err("files of the journal that hold it are still needed".to_owned())
        }
    }

    /// Marks the end of an orderly run in the journal. Costs nothing but a better diagnosis when it fails.
    pub(crate) fn seal(&self) {
        if let Err(fault) = self.writer.lock().journal.seal() {
            self.report.report(
                Level::Warn,
                &format!("the journal has no orderly end: {fault}"),
            );
        }
    }

    /// Waits until there is something to do; `false` when there never will be.
    fn wait_for_work(&self) -> bool {
        let mut queue = self.queue.lock();
        loop {
            if self.has_to_wait(&queue) {
                self.ready.wait_for(&mut queue, LAZY_COMMIT);
                continue;
            }
            if queue.sync_wanted || self.left_with_writer.load(Ordering::Acquire) {
                return true;
            }
            let timeout = match (queue.oldest, self.policy) {
                (Some(_), _) if queue.stopping => return true,
                (None, _) if queue.stopping => return false,
                (Some(since), _) => LAZY_COMMIT.saturating_sub(since.elapsed()),
                (None, _) if self.admission() == Admission::Full => FULL_RETRY,
                (None, SyncPolicy::Every(interval)) => interval
                    .saturating_sub(self.since_sync())
                    .max(SYNC_LOOK_MIN),
                (None, SyncPolicy::Always) => {
                    self.ready.wait(&mut queue);
                    continue;
                }
            };
            if timeout.is_zero() || self.ready.wait_for(&mut queue, timeout).timed_out() {
                return true;
            }
        }
    }

    /// Whether nothing is written before a checkpoint has caught up.
    fn has_to_wait(&self, queue: &Queue) -> bool {
        self.is_behind() && !queue.thread_waits && !queue.stopping
    }

    /// Moves the queue to the writer; `false` when there was nothing to move.
    fn take_queue(&self, writer: &mut Writer, taking: Taking) -> bool {
        let mut queue = self.queue.lock();
        match taking {
            Taking::UnlessWanted if queue.sync_wanted => return false,
            // They are still unsynced: `oldest` goes on to say since when.
            Taking::UnlessWanted => {}
            Taking::Everything => {
                queue.sync_wanted = false;
                queue.thread_waits = false;
                queue.oldest = None;
            }
        }
        if queue.waiters.is_empty() {
            return false;
        }
        if writer.batch.is_empty() {
            std::mem::swap(&mut writer.batch, &mut queue.batch);
        } else {
            writer.batch.append(&mut queue.batch);
        }
        if writer.waiters.is_empty() {
            std::mem::swap(&mut writer.waiters, &mut queue.waiters);
        } else {
            writer.waiters.append(&mut queue.waiters);
        }
        true
    }

    fn sync_is_due(&self, writer: &Writer) -> bool {
        match self.policy {
            SyncPolicy::Always => false,
            SyncPolicy::Every(interval) => {
                self.since_sync() >= interval
                    && writer.journal.last_synced() < writer.journal.last_written()
            }
        }
    }

    /// Whether this batch is synced before its effects leave. A waiting thread always gets a sync: what it does next (creating or
    /// removing a stream's folder) must not run ahead of the record.
    fn must_sync(&self, writer: &Writer) -> bool {
        self.policy == SyncPolicy::Always
            || self.sync_is_due(writer)
            || writer
                .waiters
                .iter()
                .any(|waiter| matches!(waiter, Waiter::Thread(_)))
    }

    fn write(&self, writer: &mut Writer, sync: bool) -> Result<Committed, Fault> {
        let bytes = writer.batch.bytes();
        if !writer.batch.is_empty() {
            match writer.journal.write(&mut writer.batch) {
                Ok(_) => {}
                Err(fault) => {
                    if writer.journal.latched().is_none() {
                        self.close(Admission::Full, &fault);
                    } else {
                        self.fail(&fault);
                        writer.batch.clear();
                    }
                    return Err(fault);
                }
            }
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.written_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        self.watch_room(writer);
        if !sync {
            return Ok(Committed::Written);
        }
        self.note_sync();
        match writer.journal.sync() {
            Ok(durable) => Ok(Committed::Durable(durable)),
            Err(fault) => {
                self.fail(&fault);
                Err(fault)
            }
        }
    }

    fn note_sync(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.synced_at_millis.store(elapsed, Ordering::Release);
    }

    /// Time since the last sync.
    fn since_sync(&self) -> Duration {
        let at = Duration::from_millis(self.synced_at_millis.load(Ordering::Acquire));
        self.started.elapsed().saturating_sub(at)
    }

    fn release(&self, waiters: Vec<Waiter>, outcome: Result<&Committed, &Fault>, turn: &mut Turn) {
        assert!(
            self.policy != SyncPolicy::Always || !matches!(outcome, Ok(Committed::Written)),
            "nothing is acknowledged before it is on stable storage"
        );
        // A stream that has waited several times runs once, when all that waited for it have their answers.
        let mut reached: Vec<Reached> = Vec::new();
        for waiter in waiters {
            match (waiter, outcome) {
                (Waiter::Stream(release), Ok(_)) => {
                    release.actor.release(&release.effects, None, turn);
                    let next = Reached::by(release);
                    match reached.last_mut() {
                        Some(last) if Arc::ptr_eq(&last.actor, &next.actor) => *last = next,
                        _ => reached.push(next),
                    }
                }
                (Waiter::Stream(release), Err(fault)) => {
                    release
                        .actor
                        .release(&release.effects, Some(&fault.to_string()), turn);
                }
                (Waiter::Thread(signal), outcome) => {
                    signal.tell(outcome.map(|_| ()).map_err(ToString::to_string));
                }
                (Waiter::Nobody, _) => {}
            }
        }
        turn.flush_connections();
        for Reached {
            actor,
            entry,
            sequence,
        } in reached
        {
            actor.durable(entry, sequence, turn);
        }
        turn.flush_connections();
    }
}

/// How far a stream is durable.
struct Reached {
    actor: Arc<StreamActor>,
    entry: EntryIndex,
    sequence: StreamSequence,
}

impl Reached {
    fn by(release: Release) -> Self {
        Self {
            actor: release.actor,
            entry: release.entry,
            sequence: release.durable,
        }
    }
}
