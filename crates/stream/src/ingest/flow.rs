//! The fast batches of a stream, and how often their publishers hear something.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use everjet_api::{ApiError, BatchFlow, ErrorCode};
use everjet_values::{StreamSequence, Timestamp};

use crate::batch::{Inflight, IngestShare};

use super::call::{Call, Operation};

/// Most fast batches of a stream.
const BATCHES_MAX: usize = 1000;
/// A batch that nothing comes for so long is forgotten.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most messages from one acknowledgement to the next, shared by all batches of a stream.
const FLOW_MAX: u16 = 500;

/// A fast batch that goes on.
#[derive(Debug)]
pub(super) struct Ingest {
    /// Number of the last message that came.
    pub(super) last: u64,
    /// Number of the last one that was stored, or was a duplicate.
    pub(super) reached: u64,
    /// Sequence of the last one that was stored.
    pub(super) stored: StreamSequence,
    pub(super) takes_gaps: bool,
    /// Number up to which the publisher has heard.
    told: u64,
    /// Messages from one acknowledgement to the next, and how many that may become.
    flow: u16,
    flow_max: u16,
    touched: Timestamp,
    _share: IngestShare,
}

/// The fast batches of a stream.
#[derive(Debug, Default)]
pub(crate) struct Ingests {
    open: BTreeMap<Vec<u8>, Ingest>,
    inflight: Arc<Inflight>,
    /// No batch is to be forgotten before; it may be later.
    next_look: Option<Timestamp>,
}

impl Ingests {
    /// Counts with the batches of other streams.
    pub(crate) fn share(&mut self, inflight: &Arc<Inflight>) {
        self.inflight = Arc::clone(inflight);
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
        self.next_look = None;
    }

    /// How many batches there are besides one that was taken.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// When [`expire`](Self::expire) has something to do; may be too early.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        self.next_look
    }

    /// Forgets batches that nothing came for.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        if self.next_look.is_none_or(|at| at > now) {
            return;
        }
        self.open
            .retain(|_, ingest| ingest.touched.plus(PATIENCE) > now);
        let touched = self.open.values().map(|ingest| ingest.touched).min();
        self.next_look = touched.map(|touched| touched.plus(PATIENCE));
    }

    /// Takes the batch that a message is for; its first message begins it.
    ///
    /// # Errors
    /// An unknown batch, or too many.
    pub(super) fn take(&mut self, now: Timestamp, call: &Call<'_>) -> Result<Ingest, ApiError> {
        self.expire(now);
        if let Some(mut ingest) = self.open.remove(call.id) {
            ingest.touched = now;
            return Ok(ingest);
        }
        if call.number != 1 || call.operation == Operation::Ping {
            return Err(ErrorCode::BatchPublishUnknownBatchId.error());
        }
        let too_many = || ErrorCode::BatchPublishTooManyInflight.error();
        if self.open.len() >= BATCHES_MAX {
            return Err(too_many());
        }
        let share = IngestShare::of(&self.inflight).ok_or_else(too_many)?;
        self.next_look.get_or_insert(now.plus(PATIENCE));
        Ok(Ingest {
            last: 0,
            reached: 0,
            stored: StreamSequence::ZERO,
            takes_gaps: call.takes_gaps,
            told: 0,
            // Who comes to others begins slowly.
            flow: match self.open.is_empty() {
                true => call.flow.min(FLOW_MAX),
                false => 1,
            },
            flow_max: call.flow,
            touched: now,
            _share: share,
        })
    }

    /// Puts back what was taken.
    pub(super) fn put(&mut self, id: &[u8], ingest: Ingest) {
        self.open.insert(id.to_vec(), ingest);
    }
}

impl Ingest {
    /// The acknowledgement of the first message: nothing is stored, and so often another one comes.
    pub(super) fn ack(&self) -> BatchFlow {
        BatchFlow::Ack {
            seq: 0,
            msgs: self.flow,
        }
    }

    /// The acknowledgement that was sent last.
    pub(super) fn acked(&self) -> BatchFlow {
        BatchFlow::Ack {
            seq: self.told,
            msgs: self.flow,
        }
    }

    /// The acknowledgement that is due, if one is. `batches` of the stream share how far publishers may run ahead: each comes up to
    /// its share by doubling, and down to it by halving.
    pub(super) fn next_ack(&mut self, batches: usize) -> Option<BatchFlow> {
        let flow = u64::from(self.flow);
        if self.reached < self.told + flow {
            return None;
        }
        // Of several that are due one is enough.
        self.told += (self.reached - self.told) / flow * flow;
        let share = usize::from(FLOW_MAX) / batches.max(1);
        let share = u16::try_from(share).unwrap_or(FLOW_MAX).max(1);
        let share = share.min(self.flow_max);
        self.flow = match self.flow < share {
            true => self.flow.saturating_mul(2).min(share),
            false => (self.flow / 2).max(share),
        };
        Some(self.acked())
    }
}
