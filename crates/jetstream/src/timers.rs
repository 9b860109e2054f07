//! One thread that wakes streams when their next timer is due.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use everjet_routing::Turn;
use everjet_store::StreamId;
use everjet_values::{Clock, Timestamp};
use parking_lot::{Condvar, Mutex};

use crate::actor::StreamActor;

/// The thread looks at the clock at least this often while something is due some time: the clock may be set forward, and its sleep
/// would not end earlier for it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Schedule {
    due: BTreeMap<(Timestamp, StreamId), Weak<StreamActor>>,
    /// Where each stream stands in `due`.
    times: HashMap<StreamId, Timestamp>,
    stopping: bool,
}

impl Schedule {
    /// Puts `stream` at `at`, wherever it was before; whether nothing is due earlier.
    fn put(&mut self, at: Timestamp, stream: StreamId, actor: Weak<StreamActor>) -> bool {
        self.remove(stream);
        let next = self.due.first_key_value();
        let is_earliest = next.is_none_or(|((first, _), _)| at < *first);
        self.times.insert(stream, at);
        self.due.insert((at, stream), actor);
        is_earliest
    }

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
        let is_earliest = self
            .schedule
            .lock()
            .put(at, actor.id, Arc::downgrade(actor));
        if is_earliest {
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
                    self.changed
                        .wait_for(&mut schedule, at.since(now).min(LOOK_EVERY));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn a_stream_has_one_entry_at_the_last_time_it_asked_for() {
        let mut schedule = Schedule::default();
        let (restless, patient) = (StreamId(1), StreamId(2));
        assert!(schedule.put(at(500), patient, Weak::new()));
        for near in 0..1_000 {
            schedule.put(at(1_000_000 + near), restless, Weak::new());
            let is_earliest = schedule.put(at(near), restless, Weak::new());
            assert_eq!(is_earliest, near < 500, "{near}");
            assert_eq!((schedule.due.len(), schedule.times.len()), (2, 2), "{near}");
        }
        let due: Vec<_> = schedule.due.keys().copied().collect();
        assert_eq!(due, [(at(500), patient), (at(999), restless)]);
        assert!(schedule.remove(restless).is_some());
        assert!(schedule.remove(restless).is_none());
        assert_eq!((schedule.due.len(), schedule.times.len()), (1, 1));
    }
}
