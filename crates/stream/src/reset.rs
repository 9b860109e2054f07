//! Letting a consumer begin anew.

use everjet_api::{ApiError, ConsumerResetResponse, DeliverPolicy, ErrorCode};
use everjet_consumer::{Consumer, SEQUENCE_MAX};
use everjet_store::Lookup;
use everjet_values::{StreamSequence, Timestamp};

use crate::Output;
use crate::command::Command;
use crate::consumers::owned_filters;
use crate::machine::Stream;

impl Stream {
    /// What has to be known of the messages before [`reset_consumer`](Self::reset_consumer): where the consumer's start time lies.
    #[must_use]
    pub fn reset_needs(&self, name: &str) -> Option<Lookup<StreamSequence>> {
        let start = self.state.consumer(name)?.config.opt_start_time?;
        Some(self.state.store.search_time(start))
    }

    /// Lets a consumer begin anew at a message, or after its ack floor when `sequence` is zero.
    ///
    /// # Errors
    /// [`ErrorCode::ConsumerNotFound`], [`ErrorCode::ConsumerInvalidReset`] for a message it would not have begun at.
    pub fn reset_consumer(
        &mut self,
        now: Timestamp,
        name: &str,
        sequence: u64,
        out: &mut Output,
    ) -> Result<ConsumerResetResponse, ApiError> {
        let consumer = self.state.consumer(name);
        let consumer = consumer.ok_or_else(|| ErrorCode::ConsumerNotFound.error())?;
        let id = consumer.id;
        let sequence = match sequence {
            0 => consumer.state.ack_floor().stream.next(),
            sequence => self.check_start(consumer, StreamSequence(sequence))?,
        };
        let filters = owned_filters(consumer);
        if consumer.is_volatile() {
            self.flush(out);
            if let Some(consumer) = self.state.consumers.get_mut(&id) {
                let fits = consumer.reset(sequence);
                fits.expect("the sequence was checked, and the floor is that of a message");
            }
        } else {
            let command = Command::ConsumerReset {
                consumer: id,
                sequence,
            };
            self.commit(&command, out);
        }
        let Self { state, leader, .. } = self;
        if let (Some(consumer), Some(dispatcher)) =
            (state.consumers.get(&id), leader.dispatcher(id))
        {
            dispatcher.on_reset(now, consumer);
            leader.mark_ready(id);
            leader.schedule(id);
        }
        // What it was done with it may want again, and the other way round.
        self.after_filters_changed(&filters, out);
        Ok(ConsumerResetResponse {
            info: self.consumer_info(now, name)?,
            reset_seq: sequence.0,
        })
    }

    /// Refuses to begin where the consumer would not have begun.
    fn check_start(
        &self,
        consumer: &Consumer,
        sequence: StreamSequence,
    ) -> Result<StreamSequence, ApiError> {
        let refuse = |why: &str| Err(ErrorCode::ConsumerInvalidReset.because(why));
        let config = &consumer.config;
        match config.deliver_policy {
            _ if sequence > SEQUENCE_MAX => refuse("beyond the last possible sequence"),
            DeliverPolicy::All => Ok(sequence),
            DeliverPolicy::ByStartSequence if sequence.0 < config.opt_start_seq => {
                refuse("below start seq")
            }
            DeliverPolicy::ByStartSequence => Ok(sequence),
            DeliverPolicy::ByStartTime => {
                let end = self.state.store.last_sequence().next();
                let start = config.opt_start_time;
                let first = start.map_or(end, |time| self.state.store.first_at_or_after(time));
                match sequence < first {
                    true => refuse("below start time"),
                    false => Ok(sequence),
                }
            }
            DeliverPolicy::New | DeliverPolicy::Last | DeliverPolicy::LastPerSubject => {
                refuse("not allowed")
            }
        }
    }
}
