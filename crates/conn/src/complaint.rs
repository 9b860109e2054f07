//! What the log says about a client that does what it may not.

use std::fmt;

use everjet_wire::{ConnectOptions, put_quoted};

use crate::CloseReason;

/// Bytes that are shown of what could not be read, as in nats-server.
const SNIPPET_BYTES: usize = 32;

/// Bytes that are shown of a line that is too long.
const LINE_SNIPPET_BYTES: usize = 128;

/// Something that a client may not do. It was told so and stays. Shown as nats-server words it in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// To publish to the subject.
    Publish(&'a [u8]),
    /// To publish with the reply subject.
    Reply(&'a [u8]),
    /// To subscribe.
    Subscribe {
        /// The subjects it wanted.
        filter: &'a [u8],
        /// The queue group it wanted to join; empty for none.
        queue: &'a [u8],
        /// The client's name for it.
        sid: &'a [u8],
    },
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Publish(subject) => {
                write!(f, "Publish Violation - Subject {}", Quoted(subject))
            }
            Self::Reply(reply) => write!(f, "Publish Violation - Reply {}", Quoted(reply)),
            Self::Subscribe { filter, queue, sid } => {
                write!(f, "Subscription Violation - Subject {}", Quoted(filter))?;
                if !queue.is_empty() {
                    write!(f, ", Queue: {}", Quoted(queue))?;
                }
                write!(f, ", SID {}", String::from_utf8_lossy(sid))
            }
        }
    }
}

/// What the log says about a client that is closed for what it sent; `frame` are the bytes from the beginning of the frame. `None`
/// when the reason says it all.
#[must_use]
pub fn complaint(reason: CloseReason, frame: &[u8]) -> Option<String> {
    // What stands in a CONNECT may be a password, wherever it is cut.
    let is_connect = frame
        .get(..7)
        .is_some_and(|verb| verb.eq_ignore_ascii_case(b"CONNECT"));
    let snippet = |size: usize| match frame.get(..size) {
        _ if is_connect => "\"CONNECT [REDACTED]\"".to_owned(),
        cut => Quoted(cut.unwrap_or(frame)).to_string(),
    };
    Some(match reason {
        CloseReason::ProtocolViolation | CloseReason::ParseError => {
            format!("Client parser ERROR: proto='{}...'", snippet(SNIPPET_BYTES))
        }
        CloseReason::MaximumControlLineExceeded => format!(
            "maximum control line exceeded (snip: {}...)",
            snippet(LINE_SNIPPET_BYTES)
        ),
        CloseReason::MaximumPayloadExceeded => format!(
            "maximum payload exceeded: {}",
            Quoted(frame.split(|&byte| byte == b'\n').next()?.trim_ascii())
        ),
        CloseReason::AuthenticationFailure => match user_of(frame, is_connect) {
            Some(user) => format!("authentication error - User {}", Quoted(user.as_bytes())),
            None => "authentication error".to_owned(),
        },
        CloseReason::BadClientProtocolVersion => "invalid client protocol".to_owned(),
        CloseReason::NoRespondersRequiresHeaders => {
            "no responders requires headers support".to_owned()
        }
        _ => return None,
    })
}

/// The user that a CONNECT names.
fn user_of(frame: &[u8], is_connect: bool) -> Option<String> {
    let line = frame.split(|&byte| byte == b'\n').next()?;
    let json = line.get(7..).filter(|_| is_connect)?;
    let options = ConnectOptions::parse(json.trim_ascii()).ok()?;
    (!options.user.is_empty()).then_some(options.user)
}

/// Text of a client in quotes.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut quoted = Vec::with_capacity(self.0.len() + 2);
        put_quoted(&mut quoted, self.0);
        f.write_str(&String::from_utf8_lossy(&quoted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reason: CloseReason, frame: &str, expected: &str) {
        let expected = (!expected.is_empty()).then(|| expected.to_owned());
        assert_eq!(complaint(reason, frame.as_bytes()), expected);
    }

    #[test]
    fn complaints_show_the_beginning_of_what_is_wrong() {
        let violation = CloseReason::ProtocolViolation;
        check(
            violation,
            "BLA\r\n",
            r#"Client parser ERROR: proto='"BLA\r\n"...'"#,
        );
        let long = "x".repeat(5_000);
        check(
            violation,
            &long,
            &format!("Client parser ERROR: proto='\"{}\"...'", &long[..32]),
        );
        check(
            CloseReason::MaximumControlLineExceeded,
            &long,
            &format!(
                "maximum control line exceeded (snip: \"{}\"...)",
                &long[..128]
            ),
        );
        check(
            CloseReason::MaximumPayloadExceeded,
            "PUB foo 99999999\r\nabc",
            "maximum payload exceeded: \"PUB foo 99999999\"",
        );
        check(CloseReason::ClientClosed, "PING\r\n", "");
    }

    #[test]
    fn passwords_are_not_shown() {
        let connect = r#"connect {"pass":"s3cret","user":"a\"da","#;
        for reason in [
            CloseReason::ProtocolViolation,
            CloseReason::MaximumControlLineExceeded,
            CloseReason::AuthenticationFailure,
        ] {
            let text = complaint(reason, connect.as_bytes()).expect("something is said");
            assert!(!text.contains("s3cret"), "{text}");
        }
        check(
            CloseReason::AuthenticationFailure,
            "CONNECT {\"user\":\"a\\\"da\",\"pass\":\"s3cret\"}\r\nPING\r\n",
            r#"authentication error - User "a\"da""#,
        );
        check(
            CloseReason::AuthenticationFailure,
            "SUB a 1\r\n",
            "authentication error",
        );
    }

    #[test]
    fn refusals_are_worded_as_in_nats_server() {
        let shown = |refusal: Refusal<'_>| refusal.to_string();
        assert_eq!(
            shown(Refusal::Publish(b"$NRG.x")),
            r#"Publish Violation - Subject "$NRG.x""#
        );
        assert_eq!(
            shown(Refusal::Reply(b"_R_.x")),
            r#"Publish Violation - Reply "_R_.x""#
        );
        let mut refusal = Refusal::Subscribe {
            filter: b"x",
            queue: b"_sys_",
            sid: b"3",
        };
        assert_eq!(
            shown(refusal),
            r#"Subscription Violation - Subject "x", Queue: "_sys_", SID 3"#
        );
        if let Refusal::Subscribe { queue, .. } = &mut refusal {
            *queue = b"";
        }
        assert_eq!(
            shown(refusal),
            r#"Subscription Violation - Subject "x", SID 3"#
        );
    }
}
