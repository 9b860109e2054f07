//! Calls about single messages.

use std::sync::Arc;

use everjet_api::{
    ApiError, ErrorCode, MsgDeleteRequest, MsgGetRequest, MsgGetResponse, StoredMessage,
    SuccessResponse, render_response,
};
use everjet_store::Lookup;
use everjet_values::StreamSequence;

use super::{Answer, Call};
use crate::actor::StreamActor;
use crate::chores::Erasing;

/// Erasures that may wait for the disk.
const ERASING_MAX: usize = 10_000;

impl Call<'_> {
    pub(super) fn get_message(&mut self, stream: &str) -> Result<Answer, ApiError> {
        let request: MsgGetRequest = self.body()?;
        let actor = self.stream(stream)?;
        // `read` answers then without waiting, but a payload shown must still be there after a crash.
        let unsettled = actor.is_on_disk() && self.nothing_becomes_durable();
        self.read_cold(&actor, |stream, _| {
            let durable = stream.durable();
            let message = match stream.message(&request)? {
                Lookup::Ready(message) => message,
                Lookup::Cold(read) => return Ok(Lookup::Cold(read)),
            };
            if unsettled && message.sequence > durable {
                let text = format!(
                    "message {} is not durable: the journal failed or is stuck, see the log",
                    message.sequence
                );
                return Err(ErrorCode::StreamStoreFailed.because(text));
            }
            Ok(Lookup::Ready(MsgGetResponse {
                message: StoredMessage {
                    subject: String::from_utf8_lossy(message.subject()).into_owned(),
                    seq: message.sequence,
                    headers: if request.no_hdr {
                        Vec::new()
                    } else {
                        message.headers().to_vec()
                    },
                    data: message.payload().to_vec(),
                    time: message.time,
                },
            }))
        })
    }

    pub(super) fn delete_message(&mut self, stream: &str) -> Result<Answer, ApiError> {
        let request: MsgDeleteRequest = self.body()?;
        let actor = self.stream(stream)?;
        if !request.no_erase && actor.is_on_disk() {
            return self.erase_message(actor, StreamSequence(request.seq));
        }
        self.change(&actor, |stream, now, output| {
            stream.delete_message(now, StreamSequence(request.seq), request.no_erase, output)?;
            Ok(SuccessResponse::DONE)
        })
    }

    /// Removes a message and has its bytes overwritten. The housekeeper answers, once that is durable.
    fn erase_message(
        &mut self,
        actor: Arc<StreamActor>,
        sequence: StreamSequence,
    ) -> Result<Answer, ApiError> {
        let is_crowded = self.host.chores.erasing() >= ERASING_MAX;
        if is_crowded || self.host.commit.is_stuck() {
            return Err(ErrorCode::StorageResourcesExceeded.error());
        }
        if let Some(why) = self.host.commit.failure() {
            return Err(ErrorCode::StreamMsgDeleteFailed.because(why));
        }
        let removed = actor.with(self.turn, |stream, now, output| {
            stream.delete_message(now, sequence, false, output)
        });
        removed.unwrap_or_else(|| Err(ErrorCode::StreamNotFound.error()))?;
        let answer = render_response(self.kind, Ok(SuccessResponse::DONE));
        self.host.chores.erase(Erasing {
            actor,
            reply: self.request.reply.clone(),
            audit: self
                .is_audited
                .then(|| self.host.advisories.audit(self.request, &answer)),
            answer,
        });
        Ok(Answer::Silence)
    }
}
