//! The thread that gives back the space of removed messages: it rewrites segments, one at a time and not too fast, while
//! their streams go on.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use everjet_routing::Turn;
use everjet_store::{Compaction, CompactionError, StreamId};
use parking_lot::{Condvar, Mutex};

use crate::actor::StreamActor;
use crate::host::Host;
use crate::report::Level;

/// How often the streams that changed are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Bytes read and written in a second. A disk that does more has the rest for publishers and readers.
const BYTES_PER_SECOND: u64 = 64 << 20;
/// What stays free on the disk: more than what publishes are refused for.
const FREE_BYTES_MIN: u64 = 32 << 20;
/// A stream for which there was no room is left alone this long.
const NO_ROOM_PAUSE: Duration = Duration::from_secs(10);

/// Rewrites segments in the background.
pub(crate) struct Compactor {
    host: Arc<Host>,
    stopping: Mutex<bool>,
    changed: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Streams that are left alone for now, `None`: until the next start.
type LeftAlone = HashMap<StreamId, Option<Instant>>;

impl Compactor {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start(host: Arc<Host>, seed: u64) -> io::Result<Arc<Self>> {
        let compactor = Arc::new(Self {
            host,
            stopping: Mutex::new(false),
            changed: Condvar::new(),
            thread: Mutex::new(None),
        });
        let own = Arc::clone(&compactor);
        let thread = std::thread::Builder::new()
            .name("compactor".to_owned())
            .spawn(move || own.work(&mut Turn::new(seed)))?;
        *compactor.thread.lock() = Some(thread);
        Ok(compactor)
    }

    /// Ends the thread; what it is rewriting is given up.
    pub(crate) fn stop(&self) {
        *self.stopping.lock() = true;
        self.changed.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            drop(thread.join());
        }
    }

    fn work(&self, turn: &mut Turn) {
        let mut left_alone = LeftAlone::new();
        while self.wait(LOOK_EVERY) {
            let actors = self.host.registry.all();
            left_alone.retain(|id, until| {
                until.is_none_or(|until| until > Instant::now())
                    && actors.iter().any(|actor| actor.id == *id)
            });
            for actor in actors.iter().filter(|actor| actor.is_on_disk()) {
                if left_alone.contains_key(&actor.id) || !actor.take_compactable() {
                    continue;
                }
                if let Some(until) = self.compact(actor, turn) {
                    // What kept it from being done may be over then.
                    actor.set_compactable();
                    left_alone.insert(actor.id, until);
                }
            }
        }
    }

    /// Rewrites what is worth it; says how long to leave the stream alone when that fails.
    fn compact(&self, actor: &Arc<StreamActor>, turn: &mut Turn) -> Option<Option<Instant>> {
        loop {
            if self.host.commit.failure().is_some() {
                // Nothing of what comes from here on may count.
                return Some(None);
            }
            // Whoever deletes the stream waits for this before the folder goes.
            let _folder_stays = self.host.compacting.lock();
            let (taken, is_changed, later) = actor.with(turn, |stream, _, _| {
                let store = stream.store_mut();
                let taken = store.take_compaction();
                (taken, store.has_new_list(), store.may_compact_later())
            })?;
            if later {
                actor.set_compactable();
            }
            if is_changed {
                // A segment was sealed to be rewritten; the next checkpoint gives it its footer.
                actor.set_dirty();
            }
            let compaction = taken?;
            if !self.has_room(&compaction) {
                return Some(Some(Instant::now() + NO_ROOM_PAUSE));
            }
            let mut pace = |bytes| self.pace(bytes) && !actor.is_retired();
            match compaction.rewrite(&mut pace) {
                Ok(done) => {
                    actor.with(turn, |stream, _, _| {
                        stream.store_mut().finish_compaction(done)
                    });
                    actor.set_dirty();
                }
                Err(CompactionError::Stopped) => return Some(Some(Instant::now())),
                Err(error @ CompactionError::Damaged { .. }) => {
                    self.note(actor, &error);
                    if let CompactionError::Damaged { file, .. } = error {
                        actor.with(turn, |stream, _, _| stream.store_mut().keep_damaged(&file));
                    }
                }
                Err(CompactionError::Fault(fault)) if fault.is_full() => {
                    return Some(Some(Instant::now() + NO_ROOM_PAUSE));
                }
                Err(error) => {
                    self.note(actor, &error);
                    return Some(None);
                }
            }
        }
    }

    fn has_room(&self, compaction: &Compaction) -> bool {
        let root = self.host.paths.root();
        let free = self.host.seams.disk.free_bytes(root).unwrap_or(u64::MAX);
        free > compaction.bytes().saturating_add(FREE_BYTES_MIN)
    }

    /// Waits as long as reading and writing `bytes` may take. Whether to go on.
    fn pace(&self, bytes: u64) -> bool {
        self.wait(Duration::from_micros(bytes * 1_000_000 / BYTES_PER_SECOND))
    }

    /// Waits; false when the thread is to end.
    fn wait(&self, time: Duration) -> bool {
        let mut stopping = self.stopping.lock();
        if !*stopping {
            self.changed.wait_for(&mut stopping, time);
        }
        !*stopping
    }

    fn note(&self, actor: &Arc<StreamActor>, error: &CompactionError) {
        let text = format!(
            "the space of messages removed from stream {} does not come back: {error}",
            actor.name
        );
        self.host.seams.report.report(Level::Error, &text);
    }
}
