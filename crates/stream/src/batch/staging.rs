//! Batches that are not committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use everjet_api::{ApiError, ErrorCode, StreamConfig};
use everjet_values::Timestamp;

use crate::Publish;
use crate::apply::MessageFate;
use crate::checks;

use super::MESSAGES_MAX;
use super::headers::{BatchHeaders, End, without_level};
use super::inflight::{Inflight, Share};
use super::members::Member;

/// Most batches of a stream that are not committed.
const BATCHES_MAX: usize = 50;
/// Most bytes of a batch: subjects, headers, payloads. They are one record of the journal.
const BYTES_MAX: usize = 64 << 20;
/// Longest id.
const ID_MAX: usize = 64;
/// A batch that nothing comes for so long is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most batches given up that are told at once; nothing relies on being told.
const TOLD_MAX: usize = 1024;

/// A batch that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbandonedBatch {
    /// Its id.
    pub id: Vec<u8>,
    /// Why.
    pub reason: AbandonReason,
}

/// Why a batch was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbandonReason {
    /// Nothing came for too long.
    Timeout,
    /// It has too many messages, or they are too large.
    Large,
    /// A message is missing.
    Incomplete,
    /// It asks for more than the server can do.
    Unsupported,
}

impl AbandonReason {
    /// The word for it in advisories.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Large => "large",
            Self::Incomplete => "incomplete",
            Self::Unsupported => "unsupported",
        }
    }
}

/// The messages of a batch that came so far.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) id: Vec<u8>,
    pub(super) count: u64,
    /// In the form of [`super::members`].
    pub(super) members: Vec<u8>,
    touched: Timestamp,
    share: Share,
}

/// What became of a member.
#[derive(Debug)]
pub(super) enum Staged {
    /// It waits for the others.
    Waits,
    /// Its batch can be committed.
    Complete(Box<Batch>),
}

/// The batches of a stream that are not committed.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    open: BTreeMap<Vec<u8>, Batch>,
    inflight: Arc<Inflight>,
    abandoned: Vec<AbandonedBatch>,
}

/// Why a member does not get into its batch, and what that means for the batch.
struct Refusal {
    error: ApiError,
    /// The batch ends with it.
    abandons: Option<AbandonReason>,
}

impl Batches {
    /// Counts with the batches of other streams.
    pub(super) fn share(&mut self, inflight: &Arc<Inflight>) {
        self.inflight = Arc::clone(inflight);
    }

    /// Gives up everything without a word.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }

    pub(super) fn take_abandoned(&mut self) -> Vec<AbandonedBatch> {
        std::mem::take(&mut self.abandoned)
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        let touched = self.open.values().map(|batch| batch.touched).min()?;
        Some(touched.plus(PATIENCE))
    }

    /// Gives up batches that nothing came for.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        if self.next_timer().is_none_or(|at| at > now) {
            return;
        }
        let late = self
            .open
            .extract_if(.., |_, batch| batch.touched.plus(PATIENCE) <= now);
        for id in late.map(|(id, _)| id).collect::<Vec<_>>() {
            self.tell(id, AbandonReason::Timeout);
        }
    }

    /// A member comes: it joins its batch, or begins it.
    ///
    /// # Errors
    /// Its batch, if it has one, is over then.
    pub(super) fn stage(
        &mut self,
        config: &StreamConfig,
        now: Timestamp,
        publish: &Publish<'_>,
        headers: &BatchHeaders<'_>,
    ) -> Result<Staged, ApiError> {
        self.expire(now);
        checks::check_sealed(config)?;
        checks::check_message_size(config, publish)?;
        if headers.id.len() > ID_MAX {
            return Err(ErrorCode::AtomicPublishInvalidBatchId.error());
        }
        let sequence = headers.sequence();
        let sequence = sequence.ok_or_else(|| ErrorCode::AtomicPublishMissingSeq.error())?;
        let mut batch = match self.open.remove(headers.id) {
            Some(batch) => batch,
            None => self.begin(now, sequence, headers)?,
        };
        match batch.add(now, publish, sequence, headers) {
            Ok(()) if headers.end() == End::No => {
                self.open.insert(batch.id.clone(), batch);
                Ok(Staged::Waits)
            }
            Ok(()) => Ok(Staged::Complete(Box::new(batch))),
            Err(Refusal { error, abandons }) => {
                if let Some(reason) = abandons {
                    self.tell(batch.id, reason);
                }
                Err(error)
            }
        }
    }

    fn begin(
        &self,
        now: Timestamp,
        sequence: u64,
        headers: &BatchHeaders<'_>,
    ) -> Result<Batch, ApiError> {
        if sequence != 1 {
            return Err(match size(sequence, headers) > MESSAGES_MAX {
                true => too_large(),
                false => incomplete(),
            });
        }
        let too_many = || ErrorCode::AtomicPublishTooManyInflight.error();
        if self.open.len() >= BATCHES_MAX {
            return Err(too_many());
        }
        Ok(Batch {
            id: headers.id.to_vec(),
            count: 0,
            members: Vec::new(),
            touched: now,
            share: Share::of(&self.inflight).ok_or_else(too_many)?,
        })
    }

    fn tell(&mut self, id: Vec<u8>, reason: AbandonReason) {
        if self.abandoned.len() < TOLD_MAX {
            self.abandoned.push(AbandonedBatch { id, reason });
        }
    }
}

impl Batch {
    fn add(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        sequence: u64,
        headers: &BatchHeaders<'_>,
    ) -> Result<(), Refusal> {
        let refuse = |error, abandons| Err(Refusal { error, abandons });
        if headers.end() == End::Invalid {
            return refuse(ErrorCode::AtomicPublishInvalidBatchCommit.error(), None);
        }
        let Some(stripped) = without_level(publish.headers) else {
            let error = ErrorCode::RequiredApiLevel.error();
            return refuse(error, Some(AbandonReason::Unsupported));
        };
        self.touched = now;
        let is_first_marker = sequence == 1 && headers.ends_batch();
        if sequence != self.count + 1 || is_first_marker {
            return refuse(incomplete(), Some(AbandonReason::Incomplete));
        }
        if size(sequence, headers) > MESSAGES_MAX {
            return refuse(too_large(), Some(AbandonReason::Large));
        }
        if headers.ends_batch() {
            return Ok(());
        }
        let block = stripped.as_deref().unwrap_or(publish.headers);
        let added = publish.subject.len() + block.len() + publish.payload.len();
        if self.members.len() + added > BYTES_MAX {
            let text = format!("atomic publish batch exceeds {BYTES_MAX} bytes");
            let error = ErrorCode::StreamStoreFailed.because(text);
            return refuse(error, Some(AbandonReason::Large));
        }
        if !self.share.grow(added as u64) {
            let error = ErrorCode::AtomicPublishTooManyInflight.error();
            return refuse(error, Some(AbandonReason::Incomplete));
        }
        let member = Member {
            fate: MessageFate::Stored,
            subject: publish.subject,
            headers: block,
            payload: publish.payload,
        };
        member.put(&mut self.members);
        self.count = sequence;
        Ok(())
    }
}

/// How many messages the batch has with this one; what only ends it is none.
fn size(sequence: u64, headers: &BatchHeaders<'_>) -> u64 {
    sequence.saturating_sub(u64::from(headers.ends_batch()))
}

fn too_large() -> ApiError {
    let error = ErrorCode::AtomicPublishTooLargeBatch.error();
    error.with("size", MESSAGES_MAX)
}

fn incomplete() -> ApiError {
    ErrorCode::AtomicPublishIncompleteBatch.error()
}
