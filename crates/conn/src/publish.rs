//! Checks of what a client publishes.

use everjet_wire::Message;

/// What is wrong with a message. The message is dropped and the connection stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// The subject belongs to the server.
    Subject,
    /// The reply subject belongs to the server.
    Reply,
}

/// Whether a client may publish the message: subjects of gateways and consensus, and reply subjects of routed requests
/// and acknowledgements are the server's own.
#[inline]
pub(crate) fn check(message: &Message<'_>) -> Result<(), Violation> {
    if is_reserved(message.subject, &[b"$NRG.", b"_GR_.", b"$GR."]) {
        return Err(Violation::Subject);
    }
    if is_reserved(message.reply, &[b"_R_.", b"$JS.ACK.", b"_GR_.", b"$GR."]) {
        return Err(Violation::Reply);
    }
    Ok(())
}

#[inline]
fn is_reserved(subject: &[u8], prefixes: &[&[u8]]) -> bool {
    // Nearly all subjects are done with after their first byte.
    matches!(subject.first(), Some(b'$' | b'_'))
        && prefixes.iter().any(|prefix| subject.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(subject: &str, reply: &str, expected: Result<(), Violation>) {
        let message = Message {
            subject: subject.as_bytes(),
            reply: reply.as_bytes(),
            ..Message::default()
        };
        assert_eq!(check(&message), expected, "{subject} {reply}");
    }

    #[test]
    fn subjects_of_the_server_are_refused() {
        verdict("orders.new", "_INBOX.x", Ok(()));
        verdict("$JS.API.INFO", "", Ok(()));
        verdict("$JS.ACK.S.C.1.1.1.1.0", "", Ok(()));
        verdict("_R_.x", "", Ok(()));
        verdict("$NRG", "", Ok(()));
        verdict("$NRG.x", "", Err(Violation::Subject));
        verdict("_GR_.x", "_R_.x", Err(Violation::Subject));
        verdict("$GR.x", "", Err(Violation::Subject));
        verdict("a", "_R_.x", Err(Violation::Reply));
        verdict("a", "$JS.ACK.x", Err(Violation::Reply));
        verdict("a", "_GR_.x", Err(Violation::Reply));
        verdict("a", "$GR.x", Err(Violation::Reply));
        verdict("a", "$NRG.x", Ok(()));
    }
}
