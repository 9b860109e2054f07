//! One thread that wakes streams when their next timer is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use everjet_routing::Turn;
use everjet_values::{Clock, Timestamp};
use parking_lot::{Condvar, Mutex};

use crate::actor::StreamActor;

#[derive(Default)]
struct Schedule {
    due: BinaryHeap<Reverse<(Timestamp, u64)>>,
    actors: hashbrown::HashMap<u64, Weak<StreamActor>>,
    next_key: u64,
    stopping: bool,
}

/// The timers of all streams: at most a few entries a stream, because a stream asks again only for an earlier time.
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

    /// Wakes `actor` at `at` or soon after.
    pub(crate) fn schedule(&self, at: Timestamp, actor: &Arc<StreamActor>) {
        let mut schedule = self.schedule.lock();
        let earliest = schedule
            .due
            .peek()
            .is_none_or(|Reverse((first, _))| at < *first);
        let key = schedule.next_key;
        schedule.next_key += 1;
        schedule.actors.insert(key, Arc::downgrade(actor));
        schedule.due.push(Reverse((at, key)));
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
            match schedule.due.peek().copied() {
                None => self.changed.wait(&mut schedule),
                Some(Reverse((at, _))) if at > now => {
                    self.changed.wait_for(&mut schedule, at.since(now));
                }
                Some(Reverse((_, key))) => {
                    schedule.due.pop();
                    let actor = schedule
                        .actors
                        .remove(&key)
                        .and_then(|actor| actor.upgrade());
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
