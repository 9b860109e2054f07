//! What the housekeeper is asked to do: to stop, or to erase messages and then say so.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::actor::StreamActor;

/// A message was removed and its bytes are to be overwritten; who asked waits for that.
pub(crate) struct Erasing {
    pub(crate) actor: Arc<StreamActor>,
    pub(crate) reply: Vec<u8>,
    /// The answer when it was done.
    pub(crate) answer: Vec<u8>,
    /// The advisory of that, if somebody listens.
    pub(crate) audit: Option<Vec<u8>>,
}

#[derive(Default)]
struct State {
    stopping: bool,
    erasing: Vec<Erasing>,
}

/// The list. It is as long as there are requests of the API that wait, which have a bound of their own.
#[derive(Default)]
pub(crate) struct Chores {
    state: Mutex<State>,
    changed: Condvar,
}

impl Chores {
    /// Asks for an erasure.
    pub(crate) fn erase(&self, erasing: Erasing) {
        self.state.lock().erasing.push(erasing);
        self.changed.notify_all();
    }

    /// How many erasures are waited for.
    pub(crate) fn erasing(&self) -> usize {
        self.state.lock().erasing.len()
    }

    /// Asks the housekeeper to end.
    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
        self.changed.notify_all();
    }

    /// Waits until something is asked for, or `time` is over; what is to be erased. `None` to end.
    pub(crate) fn wait(&self, time: Duration) -> Option<Vec<Erasing>> {
        let mut state = self.state.lock();
        if !state.stopping && state.erasing.is_empty() {
            self.changed.wait_for(&mut state, time);
        }
        (!state.stopping).then(|| std::mem::take(&mut state.erasing))
    }
}
