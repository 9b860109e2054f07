//! Reading many messages with one request (ADR-31): messages in order, or the last ones of several subjects. Done in parts, between
//! which the stream goes on.

use std::collections::VecDeque;

use everjet_api::MsgGetRequest;
use everjet_store::{Lasts, LastsUpTo, Lookup, ReadError, StoredMessage, StreamStore, SubjectSet};
use everjet_subject::is_valid_filter;
use everjet_values::{StreamSequence, Timestamp};

use crate::Stream;

/// Messages and bytes of one part, and places of messages that are looked at for it.
const MESSAGES_PER_PART: usize = 256;
const BYTES_PER_PART: u64 = 1 << 20;
const SLOTS_PER_PART: usize = 1 << 18;
/// What a message costs on the wire beside its subject, headers and payload, about.
const OVERHEAD: u64 = 256;
/// Subjects whose last messages are given at once, as in nats-server.
const LASTS_MAX: usize = 1024;

/// A request for many messages that is being answered.
#[derive(Debug)]
pub struct GetMany {
    plan: Plan,
    /// Messages that may still come.
    left: u64,
    /// Bytes of subjects, headers and payloads after which it ends, and bytes on the wire.
    bytes_left: u64,
    room_left: u64,
    /// What is still there after the messages that were given.
    pending: u64,
    /// The message that was given last.
    last: StreamSequence,
}

#[derive(Debug)]
enum Plan {
    /// Messages in order, not begun.
    From(Start, Option<String>),
    InOrder {
        set: SubjectSet,
        next: StreamSequence,
        /// The last message of the stream when those that are still there were counted.
        counted: StreamSequence,
    },
    /// Last messages, not begun.
    Lasts {
        filters: Vec<String>,
        up_to: UpTo,
        from: StreamSequence,
    },
    Searching {
        search: LastsUpTo,
        up_to: StreamSequence,
        from: StreamSequence,
    },
    Listed {
        sequences: VecDeque<StreamSequence>,
        up_to: StreamSequence,
    },
}

#[derive(Clone, Copy, Debug)]
enum Start {
    Sequence(StreamSequence),
    Time(Timestamp),
}

#[derive(Clone, Copy, Debug)]
enum UpTo {
    Now,
    Sequence(StreamSequence),
    /// Before this.
    Time(Timestamp),
}

/// One of many messages.
#[derive(Clone, Debug)]
pub struct OneOfMany {
    /// The message.
    pub message: StoredMessage,
    /// How many come after it, those beyond the end of the batch included.
    pub pending: u64,
    /// The message that was given before; zero for the first.
    pub previous: StreamSequence,
}

/// Some of many messages.
#[derive(Debug)]
pub struct PartOfMany {
    /// The messages. All of them are durable.
    pub messages: Vec<OneOfMany>,
    /// What follows.
    pub then: AfterPart,
}

/// What follows some of many messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterPart {
    /// More; ask again.
    More,
    /// More, which is not durable yet: ask again when it is.
    NotDurable,
    /// Nothing: this is the end.
    End {
        /// What is still there.
        pending: u64,
        /// The message that was given last.
        last: StreamSequence,
        /// Of last messages, as of when they are.
        up_to: Option<StreamSequence>,
    },
    /// There is no message to begin with, or one has gone meanwhile.
    NotFound,
    /// No subject that was asked for has a message.
    NoResults,
    /// Too many subjects have one.
    TooManyResults,
    /// A message is there and cannot be read.
    Unreadable(String),
}

impl GetMany {
    /// What a request asks for, if that is many messages; it must have been checked. What is given ends at the latest when it takes
    /// about `room` bytes on the wire.
    #[must_use]
    pub fn new(request: &MsgGetRequest, room: u64) -> Option<Self> {
        let plan = if !request.multi_last.is_empty() {
            Plan::Lasts {
                filters: request.multi_last.clone(),
                up_to: match (request.up_to_seq, request.up_to_time) {
                    (_, Some(time)) => UpTo::Time(time),
                    (0, None) => UpTo::Now,
                    (sequence, None) => UpTo::Sequence(StreamSequence(sequence)),
                },
                from: StreamSequence(request.seq),
            }
        } else if request.batch != 0 {
            let start = match request.start_time {
                Some(time) => Start::Time(time),
                None => Start::Sequence(StreamSequence(request.seq)),
            };
            let filter = Some(&request.next_by_subj).filter(|filter| !filter.is_empty());
            Plan::From(start, filter.cloned())
        } else {
            return None;
        };
        let is_listed = matches!(plan, Plan::Lasts { .. });
        let bytes = u64::try_from(request.max_bytes).ok();
        Some(Self {
            plan,
            left: match u64::try_from(request.batch) {
                Ok(0) | Err(_) if is_listed => u64::MAX,
                // A negative number means none, but what is there is told.
                count => count.unwrap_or(0),
            },
            bytes_left: bytes.filter(|&bytes| bytes > 0).unwrap_or(u64::MAX),
            room_left: room,
            pending: 0,
            last: StreamSequence::ZERO,
        })
    }

    /// Whether messages are given one after the other, not the last ones of several subjects.
    #[must_use]
    pub fn is_in_order(&self) -> bool {
        matches!(self.plan, Plan::From(..) | Plan::InOrder { .. })
    }

    /// The next part; what has to be read for it when that is on disk.
    pub fn go_on(&mut self, stream: &Stream) -> Lookup<PartOfMany> {
        let (store, durable) = (stream.store(), stream.durable());
        match self.begin(store) {
            Lookup::Ready(None) => {}
            Lookup::Ready(Some(then)) => {
                return Lookup::Ready(PartOfMany {
                    messages: Vec::new(),
                    then,
                });
            }
            Lookup::Cold(read) => return Lookup::Cold(read),
        }
        let mut messages = Vec::new();
        let mut bytes = 0;
        let then = loop {
            if self.left == 0 || self.bytes_left == 0 || self.room_left == 0 {
                break self.end(store);
            }
            let Some(sequence) = self.peek(store) else {
                break self.end(store);
            };
            if sequence > durable {
                break AfterPart::NotDurable;
            }
            if messages.len() == MESSAGES_PER_PART || bytes >= BYTES_PER_PART {
                break AfterPart::More;
            }
            match store.lookup(sequence, Some(self.last)) {
                Ok(Lookup::Ready(message)) => {
                    bytes += size(&message);
                    messages.push(self.take(message));
                }
                Ok(Lookup::Cold(_)) if !messages.is_empty() => break AfterPart::More,
                Ok(Lookup::Cold(read)) => return Lookup::Cold(read),
                Err(ReadError::NotFound | ReadError::Deleted) => break AfterPart::NotFound,
                Err(error) => break AfterPart::Unreadable(error.to_string()),
            }
        };
        Lookup::Ready(PartOfMany { messages, then })
    }

    /// Finds out where to begin, as far as that is not known.
    fn begin(&mut self, store: &StreamStore) -> Lookup<Option<AfterPart>> {
        let next = match &mut self.plan {
            Plan::From(start, filter) => {
                let next = match *start {
                    Start::Sequence(sequence) => sequence,
                    Start::Time(time) => match store.search_time(time) {
                        Lookup::Ready(found) => found,
                        Lookup::Cold(read) => return Lookup::Cold(read),
                    },
                };
                let filter = filter.as_ref().map(String::as_bytes);
                if filter.is_some_and(|filter| !is_valid_filter(filter)) {
                    return Lookup::Ready(Some(AfterPart::NotFound));
                }
                let set = store.select(filter.as_slice());
                self.pending = store.count_match(&set, next);
                if self.pending == 0 && self.left > 0 {
                    return Lookup::Ready(Some(AfterPart::NotFound));
                }
                Plan::InOrder {
                    set,
                    next,
                    counted: store.last_sequence(),
                }
            }
            Plan::Lasts {
                filters,
                up_to,
                from,
            } => {
                let last = store.last_sequence();
                let up_to = match *up_to {
                    UpTo::Now => last,
                    UpTo::Sequence(sequence) => sequence,
                    UpTo::Time(time) => match store.search_time(time) {
                        Lookup::Ready(found) => found.previous(),
                        Lookup::Cold(read) => return Lookup::Cold(read),
                    },
                };
                let filters: Vec<&[u8]> = filters
                    .iter()
                    .map(|filter| filter.as_bytes())
                    .filter(|filter| is_valid_filter(filter))
                    .collect();
                if filters.is_empty() || up_to == StreamSequence::ZERO {
                    return Lookup::Ready(Some(AfterPart::NoResults));
                }
                Plan::Searching {
                    search: store.lasts_up_to(&store.select(&filters), up_to, LASTS_MAX),
                    up_to,
                    from: *from,
                }
            }
            Plan::Searching {
                search,
                up_to,
                from,
            } => match store.find_lasts(search, SLOTS_PER_PART) {
                Lasts::Unfinished => return Lookup::Ready(Some(AfterPart::More)),
                Lasts::TooMany => return Lookup::Ready(Some(AfterPart::TooManyResults)),
                Lasts::Found(found) if found.is_empty() => {
                    return Lookup::Ready(Some(AfterPart::NoResults));
                }
                Lasts::Found(found) => {
                    let sequences: VecDeque<_> =
                        found.into_iter().filter(|found| found >= from).collect();
                    self.pending = sequences.len() as u64;
                    Plan::Listed {
                        sequences,
                        up_to: *up_to,
                    }
                }
            },
            Plan::InOrder { .. } | Plan::Listed { .. } => return Lookup::Ready(None),
        };
        self.plan = next;
        self.begin(store)
    }

    /// The message that comes next.
    fn peek(&mut self, store: &StreamStore) -> Option<StreamSequence> {
        match &mut self.plan {
            Plan::InOrder { set, next, .. } => {
                store.extend(set);
                store.next_match(set, *next)
            }
            Plan::Listed { sequences, .. } => sequences.front().copied(),
            _ => unreachable!("it was begun"),
        }
    }

    /// Counts a message that is given.
    fn take(&mut self, message: StoredMessage) -> OneOfMany {
        let size = size(&message);
        let previous = std::mem::replace(&mut self.last, message.sequence);
        self.left -= 1;
        self.bytes_left = self.bytes_left.saturating_sub(size);
        self.room_left = self.room_left.saturating_sub(size + OVERHEAD);
        self.pending = self.pending.saturating_sub(1);
        match &mut self.plan {
            Plan::InOrder { next, .. } => *next = message.sequence.next(),
            Plan::Listed { sequences, .. } => drop(sequences.pop_front()),
            _ => unreachable!("it was begun"),
        }
        OneOfMany {
            message,
            pending: self.pending,
            previous,
        }
    }

    fn end(&self, store: &StreamStore) -> AfterPart {
        let (pending, up_to) = match &self.plan {
            // What came meanwhile is there as well.
            Plan::InOrder { set, next, counted } if store.last_sequence() > *counted => {
                (store.count_match(set, *next), None)
            }
            Plan::Listed { up_to, .. } => (self.pending, Some(*up_to)),
            _ => (self.pending, None),
        };
        AfterPart::End {
            pending,
            last: self.last,
            up_to,
        }
    }
}

/// What a message counts for in `max_bytes`.
fn size(message: &StoredMessage) -> u64 {
    (message.subject().len() + message.headers().len() + message.payload().len()) as u64
}
