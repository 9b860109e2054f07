//! Flow control of a backup that is sent: so many chunks may be on their way, each acknowledgement allows another one.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::PATIENCE;

/// How many chunks were acknowledged.
#[derive(Default)]
pub(crate) struct Window {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    acknowledged: u64,
    stopped: bool,
}

/// Why a backup is not sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nobody acknowledges.
    NoFlow,
    /// The server stops.
    Stopping,
}

impl Window {
    /// A chunk has arrived.
    pub(super) fn acknowledge(&self) {
        self.state.lock().acknowledged += 1;
        self.changed.notify_all();
    }

    /// Lets whoever waits go.
    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Waits until fewer than `most` of the `sent` chunks are on their way.
    pub(super) fn wait(&self, sent: u64, most: u64) -> Result<(), Stop> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return Err(Stop::Stopping);
            }
            if sent.saturating_sub(state.acknowledged) < most {
                return Ok(());
            }
            let before = state.acknowledged;
            let waited = self.changed.wait_for(&mut state, PATIENCE);
            if waited.timed_out() && state.acknowledged == before {
                return Err(Stop::NoFlow);
            }
        }
    }

    /// Waits a while, for something that nobody reports. Whether the server goes on.
    pub(super) fn pause(&self, time: Duration) -> Result<(), Stop> {
        let mut state = self.state.lock();
        if !state.stopped {
            self.changed.wait_for(&mut state, time);
        }
        if state.stopped {
            Err(Stop::Stopping)
        } else {
            Ok(())
        }
    }
}
