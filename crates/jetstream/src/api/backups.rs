//! `STREAM.SNAPSHOT` and `STREAM.RESTORE`: what is asked, and the beginning; a thread of its own goes on with it.

use std::sync::Arc;

use everjet_api::{
    ApiError, ErrorCode, RestoreCreated, RestoreRequest, RestoreResponse, SnapshotCreated,
    SnapshotRequest, SnapshotResponse, StreamInfoRequest, check_stream_name, is_empty_request,
    remove_level_metadata,
};
use everjet_store::{JournalBatch, Lookup};
use everjet_stream::{ServerLimits, normalise_config};
use everjet_subject::is_valid_literal;

use super::streams::exact_info;
use super::{Answer, Call};
use crate::actor::Wait;
use crate::backup::{Output, Receiver, Sender, Sizes, archived};
use crate::report::Level;

impl Call<'_> {
    pub(super) fn snapshot_stream(&mut self, name: &str) -> Result<Answer, ApiError> {
        let actor = self.stream(name)?;
        if is_empty_request(&self.request.body) {
            return Err(ErrorCode::BadRequest.error());
        }
        let request: SnapshotRequest = self.body()?;
        if !is_valid_literal(request.deliver_subject.as_bytes()) {
            return Err(ErrorCode::DeliverSubjectInvalid.error());
        }
        self.host
            .backups
            .check_room()
            .map_err(|why| ErrorCode::StreamSnapshot.because(why))?;
        let started = self.host.seams.clock.now();
        let looked = actor.with_reads(self.turn, Wait::Yes, |stream, now, _| {
            exact_info(stream, now, &StreamInfoRequest::default()).map(|info| {
                let last = info.state.last_seq;
                let all = stream.consumers().filter(|_| !request.no_consumers);
                let consumers: Vec<_> = all.map(|consumer| archived(consumer, last)).collect();
                (info, consumers)
            })
        });
        let Some(Lookup::Ready((mut info, consumers))) = looked else {
            return Err(ErrorCode::StreamNotFound.error());
        };
        if !self.nothing_becomes_durable() {
            // What it tells of is durable.
            self.host
                .commit
                .commit_and_wait(&mut JournalBatch::default())
                .map_err(|why| ErrorCode::StreamSnapshot.because(why))?;
        }
        remove_level_metadata(&mut info.config.metadata);
        let mut state = info.state.clone();
        state.consumer_count = consumers.len() as u64;
        let client = self.host.advisories.client(self.request.origin);
        let advice = SnapshotCreated {
            stream: name,
            state: &info.state,
            client: &client,
        };
        let subject = format!("$JS.EVENT.ADVISORY.STREAM.SNAPSHOT_CREATE.{name}");
        self.host.advisories.tell(&subject, &advice, self.turn);
        let sender = Sender {
            host: Arc::clone(self.host),
            actor,
            name: self.host.advisories.draw_name(),
            deliver_subject: request.deliver_subject.clone(),
            sizes: Sizes::of(&request),
            state,
            consumers,
            client,
            started,
            out: Output::default(),
        };
        let answer = self.answer(SnapshotResponse {
            config: info.config,
            state: info.state,
        });
        // The answer comes before the first chunk.
        let host = Arc::clone(self.host);
        self.afterwards = Some(Box::new(move || {
            if let Err(why) = host.backups.send(sender) {
                host.seams.report.report(Level::Warn, &why);
            }
        }));
        Ok(answer)
    }

    pub(super) fn restore_stream(&mut self, name: &str) -> Result<Answer, ApiError> {
        if is_empty_request(&self.request.body) {
            return Err(ErrorCode::BadRequest.error());
        }
        let request: RestoreRequest = self.body()?;
        check_stream_name(name)?;
        if request.config.name != name {
            return Err(ErrorCode::StreamMismatch.error());
        }
        let registry = &self.host.registry;
        let is_taken = registry.find(name).is_some()
            || registry.offline(name).is_some()
            || self.host.backups.is_restoring(name);
        if is_taken {
            return Err(ErrorCode::StreamNameExistsRestoreFailed.error());
        }
        let config = normalise_config(request.config, false, &ServerLimits::default())?;
        if let Some(why) = self.host.commit.failure() {
            return Err(ErrorCode::StreamRestore.because(why));
        }
        let client = self.host.advisories.client(self.request.origin);
        let advice = RestoreCreated {
            stream: name,
            client: &client,
        };
        let subject = format!("$JS.EVENT.ADVISORY.STREAM.RESTORE_CREATE.{name}");
        self.host.advisories.tell(&subject, &advice, self.turn);
        let token = self.host.advisories.draw_name();
        let deliver_subject = format!("$JS.SNAPSHOT.RESTORE.{name}.{token}");
        self.host
            .backups
            .receive(Receiver::new(self.host, token, config, client))
            .map_err(|why| ErrorCode::StreamRestore.because(why))?;
        Ok(self.answer(RestoreResponse { deliver_subject }))
    }
}
