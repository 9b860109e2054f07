//! What the reply subject of a message says about its fast batch.

/// The end of the reply subjects of fast batches.
const SUFFIX: &[u8] = b".$FI";
/// Messages from one acknowledgement to the next, when the publisher names no number.
const FLOW_DEFAULT: u16 = 10;

/// What a message is in its batch, from its reply subject `<inbox>.<id>.<flow>.<gap mode>.<number>.<operation>.$FI`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call<'a> {
    pub(super) id: &'a [u8],
    /// Most messages that the publisher wants from one acknowledgement to the next.
    pub(super) flow: u16,
    /// Whether the batch goes on when messages are missing.
    pub(super) takes_gaps: bool,
    /// Its number in the batch, from 1.
    pub(super) number: u64,
    pub(super) operation: Operation,
}

/// What a message does in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// It is the first or a further message.
    Store,
    /// It is the last message.
    StoreLast,
    /// The message before was the last one; this one is not stored.
    End,
    /// It asks how far the batch came.
    Ping,
}

/// Whether the reply subject is one of a fast batch, valid or not.
pub(crate) fn is_call(reply: &[u8]) -> bool {
    reply.len() > SUFFIX.len() && reply.ends_with(SUFFIX)
}

impl<'a> Call<'a> {
    /// Reads a reply subject; `None` for one that means nothing.
    pub(super) fn parse(reply: &'a [u8]) -> Option<Self> {
        let mut tokens = reply.strip_suffix(SUFFIX)?.rsplit(|byte| *byte == b'.');
        let operation: u64 = number(tokens.next()?)?;
        let number = number(tokens.next()?).filter(|number| (1..u64::MAX).contains(number))?;
        let operation = match operation {
            0 if number == 1 => Operation::Store,
            1 if number > 1 => Operation::Store,
            2 => Operation::StoreLast,
            3 if number > 1 => Operation::End,
            4 => Operation::Ping,
            _ => return None,
        };
        let takes_gaps = match tokens.next()? {
            b"ok" => true,
            b"fail" => false,
            _ => return None,
        };
        let flow = self::number(tokens.next()?).filter(|flow| *flow > 0);
        let id = tokens.next()?;
        // There is an inbox before it.
        tokens.next()?;
        Some(Self {
            id,
            flow: flow.map_or(FLOW_DEFAULT, |flow| flow.try_into().unwrap_or(u16::MAX)),
            takes_gaps,
            number,
            operation,
        })
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| is_number)?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_say_what_a_message_is() {
        let check = |reply: &str, expected: Option<(u16, bool, u64, Operation)>| {
            let call = Call::parse(reply.as_bytes());
            let call = call.map(|call| (call.flow, call.takes_gaps, call.number, call.operation));
            assert_eq!(call, expected, "{reply}");
        };
        check(
            "in.a.10.fail.1.0.$FI",
            Some((10, false, 1, Operation::Store)),
        );
        check(
            "x.y.in.a.2.ok.7.1.$FI",
            Some((2, true, 7, Operation::Store)),
        );
        check(
            "in.a.0.ok.1.2.$FI",
            Some((10, true, 1, Operation::StoreLast)),
        );
        check("in.a.x.ok.2.3.$FI", Some((10, true, 2, Operation::End)));
        check(
            "in.a.99999999.ok.1.4.$FI",
            Some((u16::MAX, true, 1, Operation::Ping)),
        );
        for reply in [
            "a.10.fail.1.0.$FI",
            "in.a.10.fail.1.1.$FI",
            "in.a.10.fail.2.0.$FI",
            "in.a.10.fail.1.3.$FI",
            "in.a.10.fail.0.4.$FI",
            "in.a.10.fail.+1.0.$FI",
            "in.a.10.fail.18446744073709551615.1.$FI",
            "in.a.10.fail.1.5.$FI",
            "in.a.10.maybe.1.0.$FI",
            "in.$FI",
            "in",
        ] {
            check(reply, None);
        }
    }
}
