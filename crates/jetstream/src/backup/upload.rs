//! The chunks of a backup that were received and not yet taken in.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

use super::PATIENCE;

/// Bytes that may wait. Clients have a few chunks on their way and wait for answers; who sends more does not listen.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// What a chunk costs besides its bytes.
const CHUNK_COST: usize = 256;

/// A part of a backup.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) body: Vec<u8>,
    /// Where its arrival is to be told.
    pub(super) reply: Vec<u8>,
}

/// Chunks on their way to the thread that takes them in.
#[derive(Default)]
pub(crate) struct Upload {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Chunk>,
    bytes: usize,
    /// More came than may wait, or the server stops.
    is_over: bool,
}

impl Upload {
    /// A chunk has come.
    pub(super) fn push(&self, chunk: Chunk) {
        let mut state = self.state.lock();
        state.bytes += chunk.body.len() + CHUNK_COST;
        if state.bytes > WAITING_BYTES_MAX {
            state.is_over = true;
            state.waiting.clear();
        } else if !state.is_over {
            state.waiting.push_back(chunk);
        }
        self.changed.notify_all();
    }

    /// Lets whoever waits go.
    pub(super) fn stop(&self) {
        self.state.lock().is_over = true;
        self.changed.notify_all();
    }

    /// The next chunk; `None` when none comes for too long, too many came, or the server stops.
    pub(super) fn next(&self) -> Option<Chunk> {
        let mut state = self.state.lock();
        loop {
            if state.is_over {
                return None;
            }
            if let Some(chunk) = state.waiting.pop_front() {
                state.bytes -= chunk.body.len() + CHUNK_COST;
                return Some(chunk);
            }
            if self.changed.wait_for(&mut state, PATIENCE).timed_out() && state.waiting.is_empty() {
                return None;
            }
        }
    }
}
