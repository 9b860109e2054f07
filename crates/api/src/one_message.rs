//! Requests for one message in their shortest forms, as most of them come.

/// A message that is found without a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneMessage<'a> {
    /// The message with this sequence, which is not zero.
    Sequence(u64),
    /// The last message of this subject, which may be a filter as far as this type knows.
    LastOf(&'a [u8]),
}

impl<'a> OneMessage<'a> {
    /// What a [`MsgGetRequest`](crate::MsgGetRequest) asks for that has this one member and nothing that would have to be
    /// decoded. `None` says nothing but that: decode it.
    #[must_use]
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let inside = body.trim_ascii().strip_prefix(b"{")?.strip_suffix(b"}")?;
        let inside = inside.trim_ascii();
        if let Some(value) = member(inside, b"\"last_by_subj\"") {
            let subject = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
            // Quotes end the text, backslashes begin what stands for something else, and JSON is UTF-8.
            let is_plain = |byte: &u8| *byte > b' ' && !matches!(byte, b'"' | b'\\' | 0x7f..);
            return (!subject.is_empty() && subject.iter().all(is_plain))
                .then_some(Self::LastOf(subject));
        }
        let digits = member(inside, b"\"seq\"")?;
        let is_number = digits
            .first()
            .is_some_and(|first| matches!(first, b'1'..=b'9'))
            && digits.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(digits).ok()?.parse();
        number.ok().filter(|_| is_number).map(Self::Sequence)
    }
}

/// The value of the member with this name, which is the first one, up to the end.
fn member<'a>(inside: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = inside.strip_prefix(name)?.trim_ascii_start();
    Some(rest.strip_prefix(b":")?.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MsgGetRequest, decode_strict};

    #[test]
    fn short_requests_are_read_as_if_they_were_decoded() {
        for (body, wanted) in [
            (r#"{"seq":1}"#, OneMessage::Sequence(1)),
            (
                "{ \"seq\" : 18446744073709551615 }\n",
                OneMessage::Sequence(u64::MAX),
            ),
            (r#"{"last_by_subj":"a.b"}"#, OneMessage::LastOf(b"a.b")),
            (
                r#" { "last_by_subj": "$KV.b.*" } "#,
                OneMessage::LastOf(b"$KV.b.*"),
            ),
        ] {
            assert_eq!(OneMessage::parse(body.as_bytes()), Some(wanted), "{body}");
            let decoded: MsgGetRequest = decode_strict(body.as_bytes()).expect("it is valid");
            let (seq, last_by_subj) = match wanted {
                OneMessage::Sequence(seq) => (seq, String::new()),
                OneMessage::LastOf(subject) => (0, String::from_utf8_lossy(subject).into_owned()),
            };
            let expected = MsgGetRequest {
                seq,
                last_by_subj,
                ..MsgGetRequest::default()
            };
            assert_eq!(decoded, expected, "{body}");
        }
    }

    #[test]
    fn everything_else_is_left_to_the_decoder() {
        for body in [
            "",
            "{}",
            "{",
            r#"{"seq":0}"#,
            r#"{"seq":01}"#,
            r#"{"seq":-1}"#,
            r#"{"seq":+1}"#,
            r#"{"seq":1.0}"#,
            r#"{"seq":18446744073709551616}"#,
            r#"{"seq":"1"}"#,
            r#"{"seq":1,"no_hdr":true}"#,
            r#"{"seq":1}}"#,
            r#"{"sequence":1}"#,
            r#"{"seq" 1}"#,
            r#"{"last_by_subj":""}"#,
            r#"{"last_by_subj":"a"#,
            r#"{"last_by_subj":"a","seq":1}"#,
            r#"{"last_by_subj":"a\u0062"}"#,
            r#"{"last_by_subj":"a b"}"#,
            "{\"last_by_subj\":\"\u{e9}\"}",
            r#"{"next_by_subj":"a"}"#,
        ] {
            assert_eq!(OneMessage::parse(body.as_bytes()), None, "{body}");
        }
    }
}
