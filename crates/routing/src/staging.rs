//! What one turn has staged, per destination.

use std::ops::Range;
use std::sync::Arc;

use everjet_wire::Message;
use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::{ConnectionId, Destination, LocalReceiver, MessageBatch, Origin, OutBatch};

/// Memory that the buffer of a destination keeps from turn to turn, for the first destinations of a turn.
const BUFFER_KEPT_MAX: usize = 512 * 1024;

/// Destinations that may keep so much; those after them keep [`SMALL_BUFFER_KEPT_MAX`].
const BUFFERS_KEPT_MAX: usize = 64;

/// Memory that the other buffers keep: with a wide fan-out each destination gets little per turn.
const SMALL_BUFFER_KEPT_MAX: usize = 8 * 1024;

/// Destinations whose buffers are kept at all. The bounds add up to 64 MiB a thread at the very worst.
const SLOTS_KEPT_MAX: usize = 4096;

/// Connections in one flush from which on a thread that hands over does so.
const HANDED_OVER_MIN: usize = 8;

/// Bytes staged for a connection that are written before the turn ends, so that they are still in the cache.
///
/// A full read of a busy publisher, 256 KiB, becomes a little more for each receiver: three writes of about the same size, not four and
/// one for a rest that costs as much.
const EARLY_BYTES: usize = 96 * 1024;

/// From this size on, the payload for several receivers is shared instead of copied.
const SHARED_BYTES_MIN: usize = 2 * 1024;

/// Bytes for connections, one batch each.
pub(crate) struct ConnectionStaging {
    slots: Vec<ConnectionSlot>,
    used: usize,
    index: HashMap<ConnectionId, usize, RandomState>,
    last: usize,
    /// Slots with [`EARLY_BYTES`] or more.
    full: Vec<usize>,
    /// Whether connections of a flush are left to the threads that own them when they are many.
    pub(crate) hands_over: bool,
}

struct ConnectionSlot {
    destination: Option<Arc<dyn Destination>>,
    id: ConnectionId,
    batch: OutBatch,
}

impl ConnectionStaging {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            used: 0,
            index: HashMap::default(),
            last: 0,
            full: Vec::new(),
            hands_over: false,
        }
    }

    /// Lets `append` add bytes for a connection.
    pub(crate) fn stage(
        &mut self,
        destination: &Arc<dyn Destination>,
        id: ConnectionId,
        append: impl FnOnce(&mut OutBatch),
    ) {
        let position = self.position(destination, id);
        append(&mut self.slots[position].batch);
        self.note_full(position);
    }

    /// Adds two runs of bytes for the connection of the slot, as [`Self::slot`] named it. Returns whether the slot is still
    /// that connection's; if not, nothing happened.
    #[inline]
    pub(crate) fn stage_at(
        &mut self,
        slot: u32,
        id: ConnectionId,
        prefix: &[u8],
        rest: &[u8],
    ) -> bool {
        let position = slot as usize;
        match self.slots[..self.used].get_mut(position) {
            Some(slot) if slot.id == id => {
                slot.batch.push_both(prefix, rest);
                self.note_full(position);
                true
            }
            _ => false,
        }
    }

    /// Lets `append` add bytes for the connection in a slot that [`Self::slot`] just named.
    pub(crate) fn stage_in(&mut self, slot: u32, append: impl FnOnce(&mut OutBatch)) {
        let position = slot as usize;
        append(&mut self.slots[position].batch);
        self.note_full(position);
    }

    /// The connection's slot for the rest of this turn, and probably of the next ones; `hint` is what it was last.
    pub(crate) fn slot(
        &mut self,
        destination: &Arc<dyn Destination>,
        id: ConnectionId,
        hint: u32,
    ) -> u32 {
        let hinted = self.slots[..self.used].get(hint as usize);
        if hinted.is_some_and(|slot| slot.id == id) {
            return hint;
        }
        let position = self.position(destination, id);
        u32::try_from(position).expect("fewer connections than 4 billion")
    }

    /// Whether much is staged for a connection.
    #[inline]
    pub(crate) fn has_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// Delivers to the connections that much is staged for, while it is still in the cache.
    pub(crate) fn flush_full(&mut self) {
        for position in self.full.drain(..) {
            self.slots[position].deliver(BUFFER_KEPT_MAX, false);
        }
    }

    #[inline]
    fn note_full(&mut self, position: usize) {
        if self.slots[position].batch.len() >= EARLY_BYTES && self.full.last() != Some(&position) {
            self.full.push(position);
        }
    }

    /// Delivers to every connection that something is staged for.
    pub(crate) fn flush(&mut self) {
        self.full.clear();
        let hands_over = self.hands_over && self.used >= HANDED_OVER_MIN;
        for (position, slot) in self.slots[..self.used].iter_mut().enumerate() {
            let kept_max = match position {
                ..BUFFERS_KEPT_MAX => BUFFER_KEPT_MAX,
                _ => SMALL_BUFFER_KEPT_MAX,
            };
            slot.deliver(kept_max, hands_over);
            if !hands_over {
                slot.destination = None;
            }
        }
        if hands_over {
            for slot in &mut self.slots[..self.used] {
                if let Some(destination) = slot.destination.take() {
                    destination.wake_owner();
                }
            }
        }
        self.slots.truncate(SLOTS_KEPT_MAX);
        self.index.clear();
        self.used = 0;
        self.last = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.used == 0
    }

    fn position(&mut self, destination: &Arc<dyn Destination>, id: ConnectionId) -> usize {
        if self.last < self.used && self.slots[self.last].id == id {
            return self.last;
        }
        let used = self.used;
        let position = *self.index.entry(id).or_insert(used);
        self.last = position;
        if position < used {
            return position;
        }
        self.used += 1;
        match self.slots.get_mut(position) {
            Some(slot) => {
                slot.destination = Some(destination.clone());
                slot.id = id;
            }
            None => self.slots.push(ConnectionSlot {
                destination: Some(destination.clone()),
                id,
                batch: OutBatch::new(),
            }),
        }
        position
    }
}

impl ConnectionSlot {
    fn deliver(&mut self, kept_max: usize, hand_over: bool) {
        if let Some(destination) = &self.destination
            && !self.batch.is_empty()
        {
            if hand_over {
                destination.hand_over(&mut self.batch);
            } else {
                destination.deliver(&mut self.batch);
            }
        }
        self.batch.recycle(kept_max);
    }
}

/// A party inside the server with what it is to get.
pub(crate) type Consignment = (Arc<dyn LocalReceiver>, MessageBatch);

/// Messages for parties inside the server, one batch each.
#[derive(Default)]
pub(crate) struct LocalStaging {
    staged: Vec<Consignment>,
    /// Positions in `staged` by the receiver's address, which is its own while `staged` holds it.
    index: HashMap<usize, usize, RandomState>,
    /// The address and position used last.
    last: Option<(usize, usize)>,
    spare: Vec<MessageBatch>,
}

impl LocalStaging {
    /// Copies a message for a receiver.
    pub(crate) fn stage(
        &mut self,
        receiver: &Arc<dyn LocalReceiver>,
        message: &Message<'_>,
        origin: Origin,
    ) {
        // Only the address counts, not the table of methods that is beside it in the handle.
        let address = Arc::as_ptr(receiver).addr();
        let position = match self.last {
            Some((last, position)) if last == address => position,
            _ => self.position(receiver, address),
        };
        self.last = Some((address, position));
        self.staged[position].1.push(message, origin);
    }

    /// Takes what is staged, in the order in which the receivers got their first message. `into` must be empty.
    pub(crate) fn take(&mut self, into: &mut Vec<Consignment>) {
        std::mem::swap(&mut self.staged, into);
        self.index.clear();
        self.last = None;
    }

    /// Gives a buffer back for later turns.
    pub(crate) fn recycle(&mut self, mut batch: MessageBatch) {
        if self.spare.len() < BUFFERS_KEPT_MAX {
            batch.recycle(BUFFER_KEPT_MAX);
            self.spare.push(batch);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.staged.is_empty()
    }

    fn position(&mut self, receiver: &Arc<dyn LocalReceiver>, address: usize) -> usize {
        let next = self.staged.len();
        let position = *self.index.entry(address).or_insert(next);
        if position == next {
            let batch = self.spare.pop().unwrap_or_default();
            self.staged.push((receiver.clone(), batch));
        }
        position
    }
}

/// The block of one large message that its receivers share: headers, payload, line end.
#[derive(Default)]
pub(crate) struct SharedBody(Option<Arc<[u8]>>);

impl SharedBody {
    /// Renders `message` for one of `receivers`, sharing what is large.
    pub(crate) fn render(
        &mut self,
        out: &mut OutBatch,
        message: &Message<'_>,
        sid: &[u8],
        headers: bool,
        receivers: usize,
    ) {
        if receivers < 2 || !is_shared(message) {
            everjet_wire::put_message(out.inline_mut(), message, sid, headers);
            return;
        }
        let body = self.0.get_or_insert_with(|| {
            let mut body = Vec::with_capacity(message.headers.len() + message.payload.len() + 2);
            body.extend_from_slice(message.headers);
            body.extend_from_slice(message.payload);
            body.extend_from_slice(b"\r\n");
            body.into()
        });
        let range = put_line(out.inline_mut(), message, sid, headers, body.len());
        out.push_shared(body.clone(), range);
    }
}

/// Whether several receivers share the message instead of getting copies.
pub(crate) fn is_shared(message: &Message<'_>) -> bool {
    message.payload.len() >= SHARED_BYTES_MIN
}

/// Writes the `MSG` or `HMSG` line and returns the part of the shared body that follows it.
fn put_line(
    out: &mut Vec<u8>,
    message: &Message<'_>,
    sid: &[u8],
    headers: bool,
    body: usize,
) -> Range<usize> {
    let with_headers = headers && !message.headers.is_empty();
    out.extend_from_slice(if with_headers { b"HMSG " } else { b"MSG " });
    for field in [message.subject, sid, message.reply] {
        if !field.is_empty() {
            out.extend_from_slice(field);
            out.push(b' ');
        }
    }
    if with_headers {
        let total = message.headers.len() + message.payload.len();
        out.extend_from_slice(format!("{} {total}\r\n", message.headers.len()).as_bytes());
        0..body
    } else {
        out.extend_from_slice(format!("{}\r\n", message.payload.len()).as_bytes());
        message.headers.len()..body
    }
}
