//! Messages copied into one buffer, for receivers inside the server.

use crate::{Message, Origin};

/// Messages in the order of publishing, copied into one buffer. Reused turn after turn without allocating.
#[derive(Clone, Debug, Default)]
pub struct MessageBatch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// One message: its four parts follow each other from `start`.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: usize,
    reply: usize,
    headers: usize,
    payload: usize,
    end: usize,
    origin: Origin,
}

impl MessageBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies one message to the end.
    pub fn push(&mut self, message: &Message<'_>, origin: Origin) {
        let start = self.bytes.len();
        let reply = start + message.subject.len();
        let headers = reply + message.reply.len();
        let payload = headers + message.headers.len();
        let end = payload + message.payload.len();
        self.bytes.reserve(end - start);
        self.bytes.extend_from_slice(message.subject);
        self.bytes.extend_from_slice(message.reply);
        self.bytes.extend_from_slice(message.headers);
        self.bytes.extend_from_slice(message.payload);
        self.entries.push(Entry {
            start,
            reply,
            headers,
            payload,
            end,
            origin,
        });
    }

    /// Moves all messages of `other` behind those of this batch, leaving `other` empty.
    pub fn append(&mut self, other: &mut Self) {
        if self.entries.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.entries.extend(other.entries.iter().map(|entry| Entry {
            start: entry.start + shift,
            reply: entry.reply + shift,
            headers: entry.headers + shift,
            payload: entry.payload + shift,
            end: entry.end + shift,
            origin: entry.origin,
        }));
        other.clear();
    }

    /// Forgets all messages, keeping the buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// The messages in order, with who published them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Message<'_>, Origin)> {
        self.entries.iter().map(|entry| {
            let message = Message {
                subject: &self.bytes[entry.start..entry.reply],
                reply: &self.bytes[entry.reply..entry.headers],
                headers: &self.bytes[entry.headers..entry.payload],
                payload: &self.bytes[entry.payload..entry.end],
            };
            (message, entry.origin)
        })
    }

    /// Number of messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all messages: subjects, replies, headers and payloads.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Empties the batch and gives its memory back when it grew past `capacity_max` bytes.
    pub(crate) fn recycle(&mut self, capacity_max: usize) {
        self.clear();
        let entries_max = capacity_max / size_of::<Entry>();
        if self.bytes.capacity() > capacity_max || self.entries.capacity() > entries_max {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConnectionId;

    fn message<'a>(
        subject: &'a str,
        reply: &'a str,
        headers: &'a str,
        payload: &'a str,
    ) -> Message<'a> {
        Message {
            subject: subject.as_bytes(),
            reply: reply.as_bytes(),
            headers: headers.as_bytes(),
            payload: payload.as_bytes(),
        }
    }

    fn shown(batch: &MessageBatch) -> Vec<String> {
        batch
            .iter()
            .map(|(message, origin)| {
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                format!(
                    "{}|{}|{}|{}|{:?}",
                    text(message.subject),
                    text(message.reply),
                    text(message.headers),
                    text(message.payload),
                    origin.connection.map(|id| id.0)
                )
            })
            .collect()
    }

    #[test]
    fn messages_come_back_in_order_with_all_their_parts() {
        let client = Origin {
            connection: Some(ConnectionId(7)),
            ..Origin::SERVER
        };
        let mut first = MessageBatch::new();
        first.push(&message("a", "", "", "one"), client);
        let mut second = MessageBatch::new();
        second.push(&message("b", "r", "NATS/1.0\r\n\r\n", ""), Origin::SERVER);
        second.push(&message("c", "", "", "three"), client);
        first.append(&mut second);
        assert_eq!(
            shown(&first),
            [
                "a|||one|Some(7)",
                "b|r|NATS/1.0\r\n\r\n||None",
                "c|||three|Some(7)"
            ]
        );
        assert_eq!((first.len(), first.bytes()), (3, 4 + 14 + 6));
        assert!(second.is_empty());
        let taken = std::mem::take(&mut first);
        assert!(first.is_empty());
        assert_eq!(taken.len(), 3);
    }
}
