//! Calls about single messages.

use everjet_api::{
    ApiError, ErrorCode, MsgDeleteRequest, MsgGetRequest, MsgGetResponse, StoredMessage,
    SuccessResponse,
};
use everjet_store::Lookup;
use everjet_values::StreamSequence;

use super::{Answer, Call};

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
        self.change(&actor, |stream, now, output| {
            stream.delete_message(now, StreamSequence(request.seq), request.no_erase, output)?;
            Ok(SuccessResponse::DONE)
        })
    }
}
