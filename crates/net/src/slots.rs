//! Where a reactor keeps its connections; the number of a slot is the token of its socket.

use std::io;
use std::sync::Arc;

use everjet_routing::ConnectionId;
use everjet_values::Timestamp;

use crate::connection::Connection;
use crate::mailbox::Place;
use crate::socket::Socket;

/// The slots of one reactor. A slot is given to another connection only after it was released.
#[derive(Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

/// A connection that is closed for everybody but the socket: what the peer still sends is read away.
pub(crate) struct Lingering {
    pub(crate) id: ConnectionId,
    pub(crate) socket: Arc<Socket>,
    pub(crate) until: Timestamp,
    /// How much more is read away before the peer is cut off.
    pub(crate) bytes_left: usize,
}

/// Reads from a lingering connection per event.
const LINGER_READS_MAX: usize = 16;

impl Lingering {
    /// Reads what the peer still sends, a bounded amount. Returns whether it is over: the peer is done too, or has sent more
    /// than anybody waits for.
    pub(crate) fn read_away(&mut self, buffer: &mut [u8]) -> bool {
        for _ in 0..LINGER_READS_MAX {
            match self.socket.read(buffer) {
                Ok(0) => return true,
                Ok(count) => match self.bytes_left.checked_sub(count) {
                    Some(left) => self.bytes_left = left,
                    None => return true,
                },
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        false
    }
}

enum Slot {
    Free,
    Open(Box<Connection>),
    Lingering(Lingering),
}

impl Slots {
    /// The slot that [`Self::put`] fills next.
    pub(crate) fn vacant(&self) -> usize {
        self.free.last().copied().unwrap_or(self.slots.len())
    }

    /// Puts a connection into the slot that [`Self::vacant`] named.
    pub(crate) fn put(&mut self, connection: Box<Connection>) {
        let slot = Slot::Open(connection);
        match self.free.pop() {
            Some(vacant) => self.slots[vacant] = slot,
            None => self.slots.push(slot),
        }
    }

    /// Takes a connection out; its slot stays taken until [`Self::release`] or [`Self::linger`].
    pub(crate) fn take(&mut self, slot: usize) -> Option<Box<Connection>> {
        let slot = self.slots.get_mut(slot)?;
        match std::mem::replace(slot, Slot::Free) {
            Slot::Open(connection) => Some(connection),
            other => {
                *slot = other;
                None
            }
        }
    }

    /// Keeps the socket of a connection that was taken out.
    pub(crate) fn linger(&mut self, slot: usize, lingering: Lingering) {
        self.slots[slot] = Slot::Lingering(lingering);
    }

    /// Frees a slot whose connection was taken out, closing the socket if it lingers.
    pub(crate) fn release(&mut self, slot: usize) {
        self.slots[slot] = Slot::Free;
        self.free.push(slot);
    }

    /// The connection in a slot.
    pub(crate) fn get(&mut self, slot: usize) -> Option<&mut Connection> {
        match self.slots.get_mut(slot)? {
            Slot::Open(connection) => Some(connection),
            Slot::Free | Slot::Lingering(..) => None,
        }
    }

    /// The connection in a slot, if it is still the one that is meant.
    pub(crate) fn at(&mut self, place: Place) -> Option<&mut Connection> {
        self.get(place.slot)
            .filter(|connection| connection.id() == place.id)
    }

    /// What lingers in a slot.
    pub(crate) fn lingering(&mut self, slot: usize) -> Option<&mut Lingering> {
        match self.slots.get_mut(slot)? {
            Slot::Lingering(lingering) => Some(lingering),
            Slot::Free | Slot::Open(_) => None,
        }
    }

    /// The first open connection in the slots from `from` on.
    pub(crate) fn next_open(&self, from: usize) -> Option<Place> {
        let slots = self.slots.iter().enumerate().skip(from);
        slots.into_iter().find_map(|(slot, found)| match found {
            Slot::Open(connection) => Some(Place {
                slot,
                id: connection.id(),
            }),
            Slot::Free | Slot::Lingering(..) => None,
        })
    }

    /// The slots of connections that another reactor could take over, and that had something to read since `since`.
    pub(crate) fn movable(&self, since: Timestamp) -> Vec<usize> {
        let slots = self.slots.iter().enumerate();
        slots
            .filter(|(_, slot)| match slot {
                Slot::Open(connection) => connection.active_at >= since && connection.is_movable(),
                Slot::Free | Slot::Lingering(..) => false,
            })
            .map(|(index, _)| index)
            .collect()
    }

    /// Number of slots, free ones included.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// All open connections, to change them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.slots.iter_mut().filter_map(|slot| match slot {
            Slot::Open(connection) => Some(&mut **connection),
            Slot::Free | Slot::Lingering(..) => None,
        })
    }

    /// All open connections.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Open(connection) => Some(&**connection),
            Slot::Free | Slot::Lingering(..) => None,
        })
    }
}
