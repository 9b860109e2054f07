//! The thread that writes checkpoints: of streams that fell quiet, and of all when much or long has gathered in the journal.

use std::collections::HashMap;
use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use everjet_api::{API_AUDIT_SUBJECT, ErrorCode, ResponseType, render_error};
use everjet_routing::{Message, Origin, Turn};
use everjet_store::{Fault, JournalBatch, Lsn, SavedSegments, StreamId};
use parking_lot::Mutex;

use crate::actor::StreamActor;
use crate::cadence::{Cadence, CadenceBytes};
use crate::checkpoint::Captured;
use crate::chores::Erasing;
use crate::host::Host;
use crate::report::Level;

/// How often the streams are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often when as much as [`MUCH_BYTES`] came since the last look.
const LOOK_SOON: Duration = Duration::from_millis(20);
const MUCH_BYTES: u64 = 8 << 20;
/// Looks of a quiet server after which the allocator has given back what it is going to: two seconds.
const IDLE_LOOKS: u32 = 10;
/// More than an allocator keeps for small things.
const REMINDER_BYTES: usize = 4 << 20;
/// A stream without a change for this long is quiet, and its messages go to their segment.
const QUIET_AFTER: Duration = Duration::from_millis(300);

/// Which streams a checkpoint takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Quiet,
    Everything,
    /// Everything, so that nothing of the journal is needed any more.
    Erasing,
}

/// Writes checkpoints in the background, and a last one at the end.
pub(crate) struct Housekeeper {
    host: Arc<Host>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Checkpoints that could not be finished: to be written before anything newer of their stream.
    unfinished: Mutex<HashMap<StreamId, Unfinished>>,
    /// The manifest could not be written the last time; said once.
    unpublished: AtomicBool,
}

/// A checkpoint that could not be finished.
struct Unfinished {
    captured: Captured,
    /// The disk was full, so that the same may succeed once there is room. After any other fault the state of the files is unknown
    /// and they are left alone until the server is restarted; the journal keeps what they lack.
    retry: bool,
}

impl Housekeeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start(host: Arc<Host>, seed: u64) -> io::Result<Arc<Self>> {
        let keeper = Arc::new(Self {
            host,
            thread: Mutex::new(None),
            unfinished: Mutex::default(),
            unpublished: AtomicBool::new(false),
        });
        let own = Arc::clone(&keeper);
        let thread = std::thread::Builder::new()
            .name("housekeeper".to_owned())
            .spawn(move || own.work(&mut Turn::new(seed)))?;
        *keeper.thread.lock() = Some(thread);
        Ok(keeper)
    }

    /// Ends the thread and writes a last checkpoint of everything. Nothing may change any more.
    pub(crate) fn stop(&self) {
        self.host.chores.stop();
        if let Some(thread) = self.thread.lock().take() {
            drop(thread.join());
        }
        let mut turn = Turn::new(0);
        self.checkpoint(Scope::Everything, &mut turn);
        self.write_indexes(&mut turn);
        self.host.commit.seal();
    }

    /// Writes the checkpoint files that make the next start fast. Nothing depends on them.
    fn write_indexes(&self, turn: &mut Turn) {
        for actor in self.host.registry.all() {
            let write = actor.with(turn, |stream, _, _| {
                stream.store_mut().take_last_checkpoint()
            });
            if let Some(Err(fault)) = write
                .flatten()
                .map(|write| write.write(&*self.host.seams.disk))
            {
                self.note(&actor, &fault);
            }
        }
    }

    fn work(&self, turn: &mut Turn) {
        let storage = &self.host.config.storage;
        let mut cadence = Cadence::new(CadenceBytes {
            limit: storage.checkpoint_bytes,
            soon: storage.checkpoint_soon_bytes,
        });
        let started = Instant::now();
        let mut seen_bytes = self.host.commit.written_bytes();
        // Who waits for the server is answered first.
        let mut look_after = LOOK_SOON;
        let mut last_look = started;
        let mut idle_looks = 0;
        while let Some(erasing) = self.host.chores.wait(look_after) {
            self.host.commit.make_recovered_durable();
            if !erasing.is_empty() {
                self.erase(&erasing, turn);
            }
            let bytes = self.host.commit.written_bytes();
            let is_much = bytes - seen_bytes >= MUCH_BYTES;
            look_after = if is_much { LOOK_SOON } else { LOOK_EVERY };
            if bytes == seen_bytes {
                self.host.memory.release_spares();
                idle_looks += 1;
                if idle_looks <= IDLE_LOOKS {
                    remind_allocator();
                }
            } else {
                idle_looks = 0;
            }
            seen_bytes = bytes;
            let began = started.elapsed();
            let due = self.host.commit.wants_checkpoint()
                || cadence.is_due(began, bytes, || self.changed_streams());
            if due || last_look.elapsed() >= LOOK_EVERY {
                self.checkpoint(if due { Scope::Everything } else { Scope::Quiet }, turn);
                last_look = Instant::now();
            }
            if due {
                self.host.commit.note_visit(bytes);
                cadence.note(began, started.elapsed(), bytes);
            }
        }
    }

    /// How many streams the next checkpoint of all of them takes.
    fn changed_streams(&self) -> usize {
        let streams = self.host.registry.all();
        let changed = streams
            .iter()
            .filter(|actor| actor.is_on_disk() && actor.is_dirty());
        changed.count()
    }

    /// Overwrites what was removed to be erased, in the files of the streams and of the journal, and says so. All that
    /// were asked for meanwhile go together.
    fn erase(&self, erasing: &[Erasing], turn: &mut Turn) {
        let erased = self.host.commit.close_files().and_then(|closed| {
            let through = self.checkpoint(Scope::Erasing, turn);
            let through = through.ok_or("not all streams could be checkpointed, see the log")?;
            self.host.commit.scrub_journal(through, closed)
        });
        for erasing in erasing {
            let actor = &erasing.actor;
            let is_left = actor.with(turn, |stream, _, _| stream.store().has_erasures());
            let outcome = match (&erased, is_left) {
                (Err(why), _) => Err(why.as_str()),
                (Ok(()), Some(true)) => Err("its file could not be written, see the log"),
                (Ok(()), _) => Ok(()),
            };
            let failed = |why| {
                let text = format!("the message is removed, but not overwritten: {why}");
                let error = ErrorCode::StreamMsgDeleteFailed.because(text);
                render_error(ResponseType::StreamMsgDelete, &error)
            };
            if let (Ok(()), Some(audit)) = (outcome, &erasing.audit) {
                self.host.advisories.publish(API_AUDIT_SUBJECT, audit, turn);
            }
            let body = outcome.map_or_else(failed, |()| erasing.answer.clone());
            if !erasing.reply.is_empty() {
                let message = Message {
                    subject: &erasing.reply,
                    reply: b"",
                    headers: b"",
                    payload: &body,
                };
                turn.publish(&actor.account, Origin::SERVER, &message);
            }
        }
        turn.flush();
    }

    /// One checkpoint: capture, write and sync files, switch the manifest, give the journal back.
    ///
    /// Returns the last position of the journal that nothing needs any more, when everything was taken. To erase, the
    /// journal's files are left to the caller.
    fn checkpoint(&self, scope: Scope, turn: &mut Turn) -> Option<Lsn> {
        let host = &self.host;
        if host.commit.failure().is_some() {
            // What the journal could not keep must not look durable in the files.
            return None;
        }
        let mut checkpointer = host.checkpointer.lock();
        let mut unfinished = self.unfinished.lock();
        let bytes_before = host.commit.written_bytes();
        let position = host.commit.position();
        let written_before = position.from.previous();
        let actors: Vec<_> = host
            .registry
            .all()
            .into_iter()
            .filter(|actor| actor.is_on_disk())
            .collect();
        unfinished.retain(|id, _| actors.iter().any(|actor| actor.id == *id));
        let mut complete = host.may_release_journal();
        let mut finished = Vec::new();
        for actor in &actors {
            if unfinished
                .get(&actor.id)
                .is_some_and(|unfinished| !unfinished.retry)
            {
                complete = false;
                continue;
            }
            let retry = unfinished
                .remove(&actor.id)
                .map(|unfinished| unfinished.captured);
            let take = match scope {
                Scope::Everything | Scope::Erasing => actor.take_dirty(),
                Scope::Quiet => actor.take_quiet(QUIET_AFTER),
            };
            // What was captured before has to be written first; what changed since is taken the next time.
            let is_retry = retry.is_some();
            let again = is_retry && take;
            let Some(captured) = retry.or_else(|| take.then(|| capture(actor, turn)).flatten())
            else {
                complete &= !actor.is_dirty();
                continue;
            };
            let persisted = if captured.erases()
                && self
                    .host
                    .commit
                    .commit_and_wait(&mut JournalBatch::default())
                    .is_err()
            {
                // What is overwritten must be known to be removed.
                Err(Fault::write(&host.paths.journal())(
                    io::ErrorKind::StorageFull.into(),
                ))
            } else {
                checkpointer.persist(&captured)
            };
            match persisted {
                Ok(written) => {
                    finished.push((Arc::clone(actor), captured.into_segments(), written));
                }
                Err(fault) => {
                    if !is_retry {
                        self.note(actor, &fault);
                    }
                    unfinished.insert(
                        actor.id,
                        Unfinished {
                            captured,
                            retry: !fault.is_final(),
                        },
                    );
                    complete = false;
                }
            }
            if again {
                actor.set_dirty();
            }
            // It was captured before `written_before`: the journal holds more of it than the files do.
            complete &= !is_retry;
        }
        if finished.is_empty() && !checkpointer.is_changed() && scope != Scope::Erasing {
            return None;
        }
        let synced = host.commit.sync_now();
        let journal = if complete {
            position
        } else {
            Lsn::FIRST.into()
        };
        let published = synced.and_then(|_| checkpointer.publish(journal, host.next_stream_id()));
        for (actor, saved, written) in finished {
            // Read back from the files or not: the bytes are there, whether or not the manifest names them yet.
            self.finish(&actor, &saved, written.as_ref(), published.is_ok(), turn);
            if published.is_err() {
                actor.set_dirty();
            }
        }
        self.trim_tails(&actors, turn);
        match published {
            Ok(()) if complete && scope == Scope::Erasing => {
                host.commit.note_checkpoint(bytes_before);
            }
            Ok(()) if complete => {
                if let Err(fault) = host.commit.release_journal(written_before) {
                    host.seams.report.report(
                        Level::Warn,
                        &format!("journal files are given back later: {fault}"),
                    );
                }
                host.commit.note_checkpoint(bytes_before);
            }
            Ok(()) => {}
            Err(fault) => {
                if !self.unpublished.swap(true, Ordering::Relaxed) {
                    let text = format!(
                        "a checkpoint does not count, and the next ones until this is over: {fault}"
                    );
                    host.seams.report.report(Level::Error, &text);
                }
                turn.flush();
                return None;
            }
        }
        self.unpublished.store(false, Ordering::Relaxed);
        turn.flush();
        complete.then_some(written_before)
    }

    /// Keeps what is in memory of messages on disk within its bound. Only here does it grow, with each checkpoint.
    fn trim_tails(&self, actors: &[Arc<StreamActor>], turn: &mut Turn) {
        let excess = self.host.memory.tail_excess();
        if excess.is_empty() {
            return;
        }
        let marks: HashMap<StreamId, u64> = excess.into_iter().collect();
        for actor in actors {
            if let Some(mark) = marks.get(&actor.id) {
                actor.with(turn, |stream, _, _| stream.store_mut().trim_tail(*mark));
            }
        }
    }

    fn finish(
        &self,
        actor: &Arc<StreamActor>,
        saved: &SavedSegments,
        written: Option<&everjet_store::WrittenSegments>,
        published: bool,
        turn: &mut Turn,
    ) {
        let obsolete = actor.with(turn, |stream, _, _| {
            let store = stream.store_mut();
            if let Some(written) = written {
                store.finish_writes(written);
            }
            published.then(|| store.obsolete_files(saved))
        });
        if written.is_some() {
            // What was written can be rewritten, now that the removals are known to the files.
            actor.set_compactable();
        }
        let Some(obsolete) = obsolete.flatten().filter(|obsolete| !obsolete.is_empty()) else {
            return;
        };
        match obsolete.delete(&*self.host.seams.disk) {
            Ok(()) => {
                actor.with(turn, |stream, _, _| {
                    stream.store_mut().finish_obsolete(&obsolete)
                });
            }
            Err(fault) => self.note(actor, &fault),
        }
    }

    fn note(&self, actor: &Arc<StreamActor>, fault: &Fault) {
        let text = format!(
            "stream {} stays in the journal for now: {fault}",
            actor.name
        );
        self.host.seams.report.report(Level::Error, &text);
    }
}

/// Asks the allocator for something large, untouched, and gives it back. The one of the binary returns freed memory to the operating system
/// a second later, but looks for it only when it is asked for more, and nobody asks in a server that has become quiet.
fn remind_allocator() {
    drop(black_box(Vec::<u8>::with_capacity(REMINDER_BYTES)));
}

fn capture(actor: &Arc<StreamActor>, turn: &mut Turn) -> Option<Captured> {
    let account = actor.account.name().to_owned();
    actor.with(turn, |stream, _, _| Captured::take(stream, &account))
}
