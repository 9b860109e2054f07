//! `DIRECT.GET`: a message as a message, not as JSON.

use std::sync::Arc;

use everjet_api::{
    ErrorCode, MsgGetRequest, REQUIRED_LEVEL_HEADER, decode_lenient, serves_required_level,
};
use everjet_routing::{Message, Origin, Turn};
use everjet_store::{JournalBatch, Lookup, MessageView};
use everjet_stream::GetMany;
use everjet_wire::{HeaderBuilder, Headers};

use super::many::ManyGets;
use super::worker::no_responders;
use super::{Answer, Request};
use crate::actor::Wait;
use crate::host::Host;

/// What every header block begins with when it has no status.
const VERSION_LINE: &[u8] = b"NATS/1.0\r\n";
/// What status 404 says.
pub(super) const NOT_FOUND: &str = "Message Not Found";

/// Answers `DIRECT.GET.<stream>[.<subject>]` (ADR-31). Without the stream, or its permission, nobody listens. When the message is on
/// disk and this thread must not wait for that: [`Answer::Later`].
pub(super) fn get(
    host: &Arc<Host>,
    request: &Request,
    (stream, subject): (&str, Option<&str>),
    turn: &mut Turn,
    wait: Wait,
) -> Answer {
    let Some((actor, true)) = host.registry.find_for_gets(stream) else {
        no_responders(host, request, turn);
        return Answer::Silence;
    };
    if !serves_level(&request.headers) {
        let status = status_block(412, "Required Api Level");
        return answer(host, request, &status, b"", turn);
    }
    let wanted = match wanted(request, subject) {
        Ok(wanted) => wanted,
        Err(status) => return answer(host, request, &status_block(408, status), b"", turn),
    };
    if let Some(many) = GetMany::new(&wanted, host.config.answer_bytes_max) {
        // It may take long, and others ask, too.
        if wait == Wait::No {
            return Answer::Later;
        }
        if !request.reply.is_empty() {
            ManyGets::new(Arc::clone(host), actor, many, request, wanted.no_hdr).run(turn);
        }
        return Answer::Silence;
    }
    // What bounds a batch says nothing of one message.
    let wanted = MsgGetRequest {
        max_bytes: 0,
        up_to_seq: 0,
        up_to_time: None,
        ..wanted
    };
    let found = actor.look_back(turn, wait, |stream| match stream.message(&wanted) {
        Ok(found) => found.map(|message| Ok((message.sequence > stream.durable(), message))),
        Err(error) => Lookup::Ready(Err(error)),
    });
    let found = match found {
        Some(Lookup::Ready(found)) => found,
        Some(Lookup::Cold(_)) => return Answer::Later,
        None => Err(ErrorCode::NoMessageFound.error()),
    };
    let message = match found {
        // What a power cut could still take back is not shown before it is durable.
        Ok((true, message)) => {
            // Answers from before need not wait with this one.
            turn.flush();
            match host.commit.commit_and_wait(&mut JournalBatch::default()) {
                Ok(()) => message,
                Err(why) => return answer(host, request, &status_block(500, &why), b"", turn),
            }
        }
        Ok((false, message)) => message,
        Err(error) if error.is(ErrorCode::NoMessageFound) => {
            return answer(host, request, &status_block(404, NOT_FOUND), b"", turn);
        }
        Err(error) => {
            return answer(
                host,
                request,
                &status_block(500, &error.description),
                b"",
                turn,
            );
        }
    };
    let headers = if wanted.no_hdr {
        Vec::new()
    } else {
        message_block(Vec::new(), stream, &message.view())
    };
    answer(host, request, &headers, message.payload(), turn)
}

/// What the request asks for, or the text of status 408.
fn wanted(request: &Request, subject: Option<&str>) -> Result<MsgGetRequest, &'static str> {
    if let Some(subject) = subject {
        if !request.body.is_empty() {
            return Err("Bad Request");
        }
        return Ok(MsgGetRequest {
            last_by_subj: subject.to_owned(),
            ..MsgGetRequest::default()
        });
    }
    if request.body.is_empty() {
        return Err("Empty Request");
    }
    if request.body.trim_ascii().is_empty() {
        return Err("Malformed Request");
    }
    let wanted: MsgGetRequest = decode_lenient(&request.body).map_err(|_| "Malformed Request")?;
    let by_sequence = wanted.seq != 0;
    let by_time = wanted.start_time.is_some();
    let by_next = !wanted.next_by_subj.is_empty();
    let by_last = !wanted.last_by_subj.is_empty();
    let by_lasts = !wanted.multi_last.is_empty();
    if !(by_sequence || by_time || by_next || by_last || by_lasts) {
        return Err("Empty Request");
    }
    let is_batch = wanted.batch != 0;
    let contradicts = (by_last && (by_sequence || by_time || by_next || by_lasts || is_batch))
        || (by_lasts && by_next)
        || (by_sequence && by_time)
        || (wanted.up_to_seq != 0 && wanted.up_to_time.is_some());
    if contradicts {
        return Err("Bad Request");
    }
    Ok(wanted)
}

/// Whether the header that asks for a level of the API asks for one that is served.
pub(super) fn serves_level(headers: &[u8]) -> bool {
    let level = Headers(headers).get(REQUIRED_LEVEL_HEADER);
    level.is_none_or(|level| std::str::from_utf8(level).is_ok_and(serves_required_level))
}

fn answer(
    host: &Arc<Host>,
    request: &Request,
    headers: &[u8],
    payload: &[u8],
    turn: &mut Turn,
) -> Answer {
    if !request.reply.is_empty() {
        let message = Message {
            subject: &request.reply,
            reply: b"",
            headers,
            payload,
        };
        turn.publish(host.registry.account(), Origin::SERVER, &message);
    }
    Answer::Silence
}

pub(super) fn status_block(code: u16, text: &str) -> Vec<u8> {
    HeaderBuilder::with_status(code, text).finish()
}

/// The stored headers first, then where the message comes from, in the order of nats-server. In the memory of `block`.
pub(super) fn message_block(block: Vec<u8>, stream: &str, message: &MessageView<'_>) -> Vec<u8> {
    message_headers(block, stream, message).finish()
}

/// [`message_block`] to which more may be added.
pub(super) fn message_headers(
    mut block: Vec<u8>,
    stream: &str,
    message: &MessageView<'_>,
) -> HeaderBuilder {
    block.clear();
    // A stored block ends in an empty line, which comes last.
    let stored = message.headers.strip_suffix(b"\r\n");
    block.extend_from_slice(stored.unwrap_or(VERSION_LINE));
    HeaderBuilder::going_on(block)
        .add("Nats-Stream", stream)
        .add("Nats-Subject", message.subject)
        .add(
            "Nats-Sequence",
            itoa::Buffer::new().format(message.sequence.0),
        )
        .add("Nats-Time-Stamp", message.time.text().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: Result<(), &'static str>) {
        let request = Request {
            subject: Vec::new(),
            reply: Vec::new(),
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
            origin: Origin::SERVER,
        };
        assert_eq!(wanted(&request, None).map(|_| ()), expected, "{body}");
    }

    #[test]
    fn what_a_direct_get_asks_for_is_checked() {
        check("", Err("Empty Request"));
        check(" ", Err("Malformed Request"));
        check("{", Err("Malformed Request"));
        check("null", Err("Empty Request"));
        check("{}", Err("Empty Request"));
        check(r#"{"no_hdr":true}"#, Err("Empty Request"));
        check(r#"{"seq":1}"#, Ok(()));
        check(r#"{"last_by_subj":"a"}"#, Ok(()));
        check(r#"{"seq":2,"next_by_subj":"a"}"#, Ok(()));
        check(r#"{"batch":10,"seq":1}"#, Ok(()));
        check(r#"{"batch":10}"#, Err("Empty Request"));
        check(r#"{"multi_last":["a"],"seq":4}"#, Ok(()));
        check(r#"{"multi_last":[]}"#, Err("Empty Request"));
        check(r#"{"last_by_subj":"a","batch":2}"#, Err("Bad Request"));
        check(r#"{"last_by_subj":"a","seq":2}"#, Err("Bad Request"));
        check(
            r#"{"multi_last":["a"],"next_by_subj":"a"}"#,
            Err("Bad Request"),
        );
        let time = "2026-01-01T00:00:00Z";
        check(
            &format!(r#"{{"seq":1,"start_time":"{time}"}}"#),
            Err("Bad Request"),
        );
        check(
            &format!(r#"{{"multi_last":["a"],"up_to_seq":1,"up_to_time":"{time}"}}"#),
            Err("Bad Request"),
        );
    }
}
