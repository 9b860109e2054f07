//! One thread that wakes streams when their next timer is due.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use everjet_routing::Turn;
use everjet_store::StreamId;
use everjet_values::{Clock, Timestamp};
use parking_lot::{Condvar, Mutex};

use crate::actor::StreamActor;

#[derive(Default)]
struct Schedule {
    due: BTreeMap<(Timestamp, StreamId), Weak<StreamActor>>,
    /// Where each stream stands in `due`.
    times: HashMap<StreamId, Timestamp>,
    stopping: bool,
}

impl Schedule {
    fn remove(&mut self, stream: StreamId) -> Option<Weak<StreamActor>> {
        let at = self.times.remove(&stream)?;
        self.due.remove(&(at, stream))
    }
}

/// The timers of all streams: one entry a stream, the earliest time it asked for.
pub(crate) struct Timers {
    clock: Arc<dyn Clock>,
    schedule: Mutex<Schedule>,
    changed: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Timers {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start(clock: Arc<dyn Clock>, seed: u64) -> std::io::Result<Arc<Self>> {
        let timers = Arc::new(Self {
            clock,
            schedule: Mutex::default(),
            changed: Condvar::new(),
            thread: Mutex::new(None),
        });
        let own = Arc::clone(&timers);
        let thread = std::thread::Builder::new()
            .name("timers".to_owned())
            .spawn(move || own.work(&mut Turn::new(seed)))?;
        *timers.thread.lock() = Some(thread);
        Ok(timers)
    }

    /// Wakes `actor` at `at` or soon after, instead of at the time asked for before.
    pub(crate) fn schedule(&self, at: Timestamp, actor: &Arc<StreamActor>) {
        let mut schedule = self.schedule.lock();
        schedule.remove(actor.id);
        let earliest = schedule
            .due
            .first_key_value()
            .is_none_or(|((first, _), _)| at < *first);
        schedule.times.insert(actor.id, at);
        schedule.due.insert((at, actor.id), Arc::downgrade(actor));
        drop(schedule);
        if earliest {
            self.changed.notify_one();
        }
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.schedule.lock().stopping = true;
        self.changed.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            drop(thread.join());
        }
    }

    fn work(&self, turn: &mut Turn) {
        let mut schedule = self.schedule.lock();
        while !schedule.stopping {
            let now = self.clock.now();
            match schedule.due.first_key_value().map(|(key, _)| *key) {
                None => self.changed.wait(&mut schedule),
                Some((at, _)) if at > now => {
                    self.changed.wait_for(&mut schedule, at.since(now));
                }
                Some((_, stream)) => {
                    let actor = schedule.remove(stream).and_then(|actor| actor.upgrade());
                    drop(schedule);
                    if let Some(actor) = actor {
                        actor.tick(turn);
                        turn.flush();
                    }
                    schedule = self.schedule.lock();
                }
            }
        }
    }
}
