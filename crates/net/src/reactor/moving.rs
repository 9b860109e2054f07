//! Connections that go from one reactor to another.

use std::sync::Arc;
use std::time::Duration;

use everjet_conn::CloseReason;
use everjet_routing::Destination;
use everjet_values::Timestamp;
use mio::Token;
use rustix::time::{ClockId, clock_gettime};

use super::Reactor;
use crate::mailbox::{Mail, Moving, Place};

impl Reactor {
    /// Notes the turn that ends, and gives connections away when there are too many busy ones. Everything that the turn has
    /// staged is written by now, so that the order of what a client publishes is kept.
    pub(super) fn relieve(&mut self, now: Timestamp) {
        let overloaded = self.meter.on_turn(now, worked, &self.shared.loads);
        if self.stop_at.is_some() {
            return;
        }
        if let Some(target) = self.rotate_to.take() {
            let all = self.slots.movable(Timestamp::UNSET);
            self.give_away(&all, target);
        }
        let Some(since) = overloaded else {
            return;
        };
        let Some(target) = self.shared.loads.relief(now, self.meter.reactor()) else {
            return;
        };
        // Every second one of those that were active: one alone would be as much work over there.
        let active = self.slots.movable(since);
        let given: Vec<usize> = active.into_iter().skip(1).step_by(2).collect();
        self.give_away(&given, target);
    }

    fn give_away(&mut self, slots: &[usize], target: usize) {
        if slots.is_empty() || target == self.meter.reactor() {
            return;
        }
        for &slot in slots {
            let Some(mut connection) = self.slots.take(slot) else {
                continue;
            };
            self.slots.release(slot);
            connection.listed = false;
            // If it stays registered, its events here are for nobody.
            let _ = connection.socket.deregister(self.poll.registry());
            let facts = self.facts.clone();
            let mail = Mail::Adopt(Moving { connection, facts });
            // Either it is read with the next event, or that reactor has ended: the server stops, and the connection closes.
            let _ = self.shared.mailboxes[target].post(mail);
        }
        self.readable.retain(|slot| !slots.contains(slot));
    }

    /// Takes a connection over.
    pub(super) fn adopt(&mut self, moving: Moving, now: Timestamp) {
        let Moving {
            mut connection,
            facts,
        } = moving;
        let slot = self.slots.vacant();
        let id = connection.id();
        let place = Place { slot, id };
        let registered = connection
            .socket
            .register(self.poll.registry(), Token(slot));
        connection.outbound.move_to(self.mailbox.clone(), place);
        // Whatever happened to it on the way was told to who had it before.
        if registered.is_err() {
            self.ending.push((place, CloseReason::ReadError));
        } else if connection.outbound.is_closed() {
            self.ending.push((place, CloseReason::WriteError));
        }
        // What others left for it meanwhile may be told to nobody. A socket that fails says so with its next event.
        let _ = connection.outbound.flush_pending();
        if connection.outbound.is_stalled() {
            let deadline = now.plus(self.shared.write_deadline);
            let deadline = connection.deadline_at.unwrap_or(deadline);
            connection.deadline_at = Some(deadline);
            self.timers.set(deadline, place);
        } else {
            connection.deadline_at = None;
        }
        if !Arc::ptr_eq(&facts, &self.facts) {
            let out = &mut self.bench.out;
            connection.client.announce(self.facts.clone(), out);
            connection.send_answers(&mut self.bench);
        }
        self.timers.set(connection.timer_at, place);
        // The poller tells what is there now, but not of frames that were left to the next slice.
        connection.listed = true;
        self.readable.push(slot);
        self.slots.put(connection);
    }
}

/// Processor time that this thread has had.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
