//! What the messages of a batch must satisfy when it is committed: each for itself, and all together.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use everjet_api::{ApiError, Discard, ErrorCode};
use everjet_store::{PlantedBug, is_planted};
use everjet_values::{StreamSequence, Timestamp};
use everjet_wire::strip;

use crate::apply::MessageFate;
use crate::checks::{self, Admission, REQUEST_INFO};
use crate::counter::{self, Counted};
use crate::limits::limit;
use crate::machine::{Publish, Stream};
use crate::state::StreamState;
use crate::ttl;

use super::headers::{BatchHeaders, with_commit};
use super::members::{Member, decode};
use super::staging::Batch;

/// Messages that passed the checks, in the form of [`super::members`].
pub(super) struct Checked {
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Checked {
    /// All of them.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What goes into one record each: everything into one.
    pub(super) fn records(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        let ends = match is_planted(PlantedBug::BatchSplit) {
            true => &self.ends[..],
            false => self.ends.last().map_or(&[][..], std::slice::from_ref),
        };
        ends.iter().map(move |&end| {
            let part = &self.bytes[from..end];
            from = end;
            part
        })
    }

    fn push(&mut self, member: &Member<'_>) {
        member.put(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }
}

/// What the messages of a batch that were looked at so far would do.
#[derive(Default)]
struct Before<'a> {
    /// How many there were.
    messages: u64,
    /// How many of them are stored, and what they count for.
    stored: u64,
    bytes: u64,
    /// How many of each subject.
    subjects: HashMap<&'a [u8], u64>,
    message_ids: HashSet<&'a [u8]>,
    /// Headers and payload of the last message of each counter.
    counted: HashMap<&'a [u8], (Vec<u8>, Vec<u8>)>,
}

impl Stream {
    /// Checks all messages of a batch. Nothing changes.
    ///
    /// # Errors
    /// The first error of the first message that has one.
    pub(super) fn check_batch(
        &mut self,
        now: Timestamp,
        batch: &Batch,
        is_marked: bool,
    ) -> Result<Checked, ApiError> {
        let members = decode(&batch.members).expect("they were staged by this process");
        let mut before = Before::default();
        let mut checked = Checked {
            bytes: Vec::with_capacity(batch.members.len() + 32),
            ends: Vec::with_capacity(members.len()),
        };
        let first = self.state.store.last_sequence().next();
        let last = members.len() - 1;
        for (at, member) in members.iter().enumerate() {
            before.check(&self.state, member)?;
            let headers = match is_marked && at == last {
                true => Cow::Owned(with_commit(member.headers)),
                false => Cow::Borrowed(member.headers),
            };
            let publish = Publish {
                subject: member.subject,
                reply: b"",
                headers: &headers,
                payload: member.payload,
            };
            let sequence = StreamSequence(first.0 + at as u64);
            let wanted = self.is_wanted_as(member.subject, sequence);
            let (fate, has_request_info) = match checks::all(&self.state, now, &publish, wanted)? {
                Admission::Stored { has_request_info } => (MessageFate::Stored, has_request_info),
                Admission::Skipped => (MessageFate::Skipped, false),
                Admission::Duplicate(_) => {
                    return Err(ErrorCode::AtomicPublishContainsDuplicateMessage.error());
                }
            };
            let stripped = has_request_info.then(|| strip(&headers, &[REQUEST_INFO]));
            let kept = stripped.as_deref().unwrap_or(&headers);
            let publish = Publish {
                headers: kept,
                ..publish
            };
            let counted = before.count(&self.state, &publish)?;
            let publish = match &counted {
                Some(counted) => counted.publish(&publish),
                None => publish,
            };
            checks::check_size(&self.state.config, &publish)?;
            before.add(&self.state, member.subject, &publish, fate)?;
            let raised = ttl::raised(&self.state.config, publish.headers);
            checked.push(&Member {
                fate,
                subject: publish.subject,
                headers: raised.as_deref().unwrap_or(publish.headers),
                payload: publish.payload,
            });
            if let Some(counted) = counted {
                let headers = counted.headers.unwrap_or_else(|| kept.to_vec());
                let counted = (headers, counted.payload);
                before.counted.insert(member.subject, counted);
            }
        }
        Ok(checked)
    }
}

impl<'a> Before<'a> {
    /// What a message may not ask for because of those before it in the batch.
    fn check(&mut self, state: &StreamState, member: &Member<'a>) -> Result<(), ApiError> {
        let headers = BatchHeaders::read(member.headers);
        if !headers.expected_last_message_id.is_empty() {
            let error = ErrorCode::AtomicPublishUnsupportedHeader.error();
            return Err(error.with("header", "Nats-Expected-Last-Msg-Id"));
        }
        if !headers.message_id.is_empty() && !self.message_ids.insert(headers.message_id) {
            return Err(ErrorCode::AtomicPublishContainsDuplicateMessage.error());
        }
        if self.messages == 0 {
            return Ok(());
        }
        if !headers.expected_last_sequence.is_empty() {
            // Only the first one may expect it.
            let last = StreamSequence(state.store.last_sequence().0 + self.messages);
            checks::expect_sequence(headers.expected_last_sequence, last)?;
            return Err(ErrorCode::StreamWrongLastSequenceConstant.error());
        }
        let subject = match headers.expected_last_subject {
            b"" => member.subject,
            subject => subject,
        };
        let expects = !headers.expected_last_subject_sequence.is_empty();
        if expects && self.subjects.contains_key(subject) {
            return Err(ErrorCode::StreamWrongLastSequenceConstant.error());
        }
        let rolls_up = headers.rollup.to_ascii_lowercase();
        let refused = match rolls_up.as_slice() {
            b"sub" => self.subjects.contains_key(member.subject),
            b"all" => true,
            _ => false,
        };
        if refused && state.config.allow_rollup_hdrs && !state.config.deny_purge {
            let value = String::from_utf8_lossy(&rolls_up);
            let text = format!("batch rollup {value} invalid");
            return Err(ErrorCode::StreamRollupFailed.because(text));
        }
        Ok(())
    }

    /// What a message adds up to; `None` in a stream without counters.
    fn count(
        &self,
        state: &StreamState,
        publish: &Publish<'_>,
    ) -> Result<Option<Counted>, ApiError> {
        if !state.config.allow_msg_counter {
            return Ok(None);
        }
        match self.counted.get(publish.subject) {
            Some((headers, payload)) => {
                counter::count_on(Some((headers, payload)), publish).map(Some)
            }
            None => counter::count(state, publish).map(Some),
        }
    }

    /// Adds a message; with discard new, all of them together must fit.
    fn add(
        &mut self,
        state: &StreamState,
        subject: &'a [u8],
        publish: &Publish<'_>,
        fate: MessageFate,
    ) -> Result<(), ApiError> {
        let config = &state.config;
        self.messages += 1;
        let of_subject = self.subjects.entry(subject).or_default();
        *of_subject += 1;
        if config.discard != Discard::New || fate == MessageFate::Skipped {
            return Ok(());
        }
        self.stored += 1;
        self.bytes += checks::stored_size(config.storage, publish);
        let full = |text: &str| Err(ErrorCode::StreamStoreFailed.because(text));
        let over = |max: i64, value: u64| limit(max).is_some_and(|max| value > max);
        if over(config.max_msgs, state.store.messages() + self.stored) {
            return full("maximum messages exceeded");
        }
        if over(config.max_bytes, state.store.bytes() + self.bytes) {
            return full("maximum bytes exceeded");
        }
        let headers = BatchHeaders::read(publish.headers);
        if config.discard_new_per_subject && headers.rollup.is_empty() {
            let id = state.store.subjects().lookup(subject);
            let stored = id.map_or(0, |id| state.store.count_of(id));
            if over(config.max_msgs_per_subject, stored + *of_subject) {
                return full("maximum messages per subject exceeded");
            }
        }
        Ok(())
    }
}
