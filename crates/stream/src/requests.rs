//! Requests of the JetStream API that concern one stream. Requests that concern a consumer are in `consumers.rs`.

use everjet_api::{
    ApiError, ConsumerEvent, ErrorCode, MsgGetRequest, OneMessage, StreamConfig, StreamInfo,
    StreamInfoRequest,
};
use everjet_store::{Lookup, StoredMessage};
use everjet_values::{StreamSequence, Timestamp};

use crate::Output;
use crate::command::Command;
use crate::machine::Stream;
use crate::read::Looked;
use crate::{info, read, update};

impl Stream {
    /// Changes the configuration. `config` comes from [`normalise_update`](crate::normalise_update).
    ///
    /// # Errors
    /// What cannot change, or consumers that break the new limits.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a request is handed over whole"
    )]
    pub fn update(
        &mut self,
        _now: Timestamp,
        config: StreamConfig,
        out: &mut Output,
    ) -> Result<(), ApiError> {
        update::check_update(&self.state.config, &config)?;
        update::check_consumer_limits(&config, self.state.consumers.values())?;
        out.sync_wanted = true;
        if config != self.state.config {
            let becomes_interest = config.retention != self.state.config.retention;
            let json = serde_json::to_vec(&config).expect("a configuration has string keys");
            self.commit(&Command::ConfigUpdated { config: &json }, out);
            self.read_config();
            if !self.state.config.allow_atomic {
                self.batches.clear();
            }
            if !self.state.config.allow_batched {
                self.ingests.clear();
            }
            if becomes_interest {
                self.interest.forget();
                self.remove_unwanted(&[], out);
            }
        }
        Ok(())
    }

    /// What the stream says about itself; domain, cluster and pages are the driver's.
    #[must_use]
    pub fn info(&self, now: Timestamp, request: &StreamInfoRequest) -> StreamInfo {
        info::stream(&self.state, now, request)
    }

    /// Removes one message. Without `no_erase` its bytes are overwritten: in memory now, in its file by the next
    /// checkpoint. In a memory stream there is nothing to overwrite.
    ///
    /// # Errors
    /// Sealed or protected streams, a sequence without message.
    pub fn delete_message(
        &mut self,
        _now: Timestamp,
        sequence: StreamSequence,
        no_erase: bool,
        out: &mut Output,
    ) -> Result<(), ApiError> {
        self.flush(out);
        if self.state.config.sealed {
            return Err(ErrorCode::StreamSealed.error());
        }
        let failed = |text: &str| Err(ErrorCode::StreamMsgDeleteFailed.because(text));
        if self.state.config.deny_delete {
            return failed("message delete not permitted");
        }
        if sequence < self.state.store.first_sequence() {
            return failed("no message found");
        }
        if sequence > self.state.store.last_sequence() {
            return failed("stream store EOF");
        }
        if !self.state.store.contains(sequence) {
            return Err(ErrorCode::SequenceNotFound.error().with("seq", sequence));
        }
        out.sync_wanted = true;
        let command = if no_erase || !self.state.is_journaled() {
            Command::MessageRemoved { sequence }
        } else {
            Command::MessageErased { sequence }
        };
        self.commit(&command, out);
        Ok(())
    }

    /// A message. It may be one that is not durable yet: compare with [`durable`](Self::durable), and let the answer
    /// wait as an effect. When it, or what says which it is, is on disk: what to read and admit before asking again.
    ///
    /// # Errors
    /// A bad request, or no such message.
    pub fn message(&self, request: &MsgGetRequest) -> Result<Lookup<StoredMessage>, ApiError> {
        read::message(&self.state, request)
    }

    /// Several messages: [`Stream::message`] for those who first look whether the operating system has them in memory. For each
    /// its sequence, and the message or where it is on disk, or why it cannot be had as far as that is known without reading it.
    /// Subjects have no wildcards.
    #[must_use]
    pub fn messages(&self, wanted: &[OneMessage<'_>]) -> Vec<Looked> {
        read::several(&self.state, wanted)
    }

    /// The server goes away: tells everybody who waits.
    pub fn shutdown(&mut self, _now: Timestamp, out: &mut Output) {
        self.flush(out);
        for dispatcher in self.leader.dispatchers() {
            dispatcher.end_shutdown(&mut out.sends);
        }
    }

    /// The stream goes away: tells everybody who waits.
    pub fn delete(&mut self, _now: Timestamp, out: &mut Output) {
        self.flush(out);
        for dispatcher in self.leader.dispatchers() {
            dispatcher.end_deleted(&mut out.sends);
        }
        for name in self.state.names.keys() {
            self.advisories.push(name, ConsumerEvent::Deleted);
        }
    }
}
