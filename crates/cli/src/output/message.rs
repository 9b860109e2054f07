//! Messages on standard output.

use std::io::{self, Write};

use async_nats::{HeaderMap, Message};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::reader::Received;

/// What of a message is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A line that says what it is, its headers and its body.
    Full,
    /// Its body and a line end, nothing else.
    Raw,
    /// The line and the headers.
    HeadersOnly,
    /// Its subject.
    SubjectOnly,
    /// One JSON object on one line.
    Json,
    /// One JSON object and a zero byte, as `--dump -` separates them.
    Dump,
}

/// A message as a JSON object. The body is text when it is UTF-8, else base64 under another key.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer_sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    headers: Vec<(&'a str, Vec<&'a str>)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

impl<'a> Document<'a> {
    /// The document of a message.
    pub(crate) fn new(received: &'a Received) -> Self {
        let message = &received.message;
        let stored = received.stored.as_ref();
        let text = std::str::from_utf8(&message.payload).ok();
        Self {
            subject: &message.subject,
            // A delivery's reply subject is where acknowledgements go, not what the publisher asked for.
            reply: message.reply.as_deref().filter(|_| stored.is_none()),
            stream: stored.map(|stored| stored.stream.as_str()),
            sequence: stored.map(|stored| stored.sequence),
            consumer: stored.map(|stored| stored.consumer.as_str()),
            consumer_sequence: stored.map(|stored| stored.consumer_sequence),
            delivered: stored.map(|stored| stored.delivered),
            pending: stored.map(|stored| stored.pending),
            time: stored.map(|stored| stored.time.to_string()),
            headers: sorted_headers(message.headers.as_ref()),
            data: text,
            data_base64: text.is_none().then(|| STANDARD.encode(&message.payload)),
        }
    }
}

fn as_map<S: serde::Serializer>(
    headers: &[(&str, Vec<&str>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|(key, values)| (key, values)))
}

/// Headers by name: the client library does not keep their order, so that one is chosen which does not vary.
fn sorted_headers(headers: Option<&HeaderMap>) -> Vec<(&str, Vec<&str>)> {
    let mut sorted: Vec<(&str, Vec<&str>)> = headers
        .into_iter()
        .flat_map(|headers| headers.iter())
        .map(|(name, values)| {
            let values = values.iter().map(|value| value.as_str()).collect();
            (AsRef::<str>::as_ref(name), values)
        })
        .collect();
    sorted.sort();
    sorted
}

/// Prints message number `number` (from 1) in a shape.
///
/// # Errors
/// When standard output is gone.
pub(crate) fn print(received: &Received, number: u64, shape: Shape) -> io::Result<()> {
    // Gathered first: standard output would write each line by itself.
    let mut text = Vec::with_capacity(received.message.payload.len() + 256);
    write(&mut text, received, number, shape)?;
    let mut out = io::stdout().lock();
    out.write_all(&text)?;
    out.flush()
}

fn write(out: &mut impl Write, received: &Received, number: u64, shape: Shape) -> io::Result<()> {
    let message = &received.message;
    match shape {
        Shape::Full => {
            write_line(out, received, number)?;
            write_content(out, message)?;
            out.write_all(b"\n\n")?;
        }
        Shape::Raw => {
            out.write_all(&message.payload)?;
            out.write_all(b"\n")?;
        }
        Shape::HeadersOnly => {
            write_line(out, received, number)?;
            write_headers(out, message)?;
            out.write_all(b"\n")?;
        }
        Shape::SubjectOnly => writeln!(out, "{}", message.subject)?,
        Shape::Json => {
            serde_json::to_writer(&mut *out, &Document::new(received))?;
            out.write_all(b"\n")?;
        }
        Shape::Dump => {
            serde_json::to_writer(&mut *out, &Document::new(received))?;
            out.write_all(b"\0")?;
        }
    }
    Ok(())
}

/// Writes the headers, an empty line when there are any, and the body with a line end.
///
/// # Errors
/// When `out` is gone.
pub(crate) fn write_content(out: &mut impl Write, message: &Message) -> io::Result<()> {
    if write_headers(out, message)? {
        out.write_all(b"\n")?;
    }
    out.write_all(&message.payload)?;
    out.write_all(b"\n")
}

fn write_headers(out: &mut impl Write, message: &Message) -> io::Result<bool> {
    let headers = sorted_headers(message.headers.as_ref());
    for (name, values) in &headers {
        for value in values {
            writeln!(out, "{name}: {value}")?;
        }
    }
    Ok(!headers.is_empty())
}

fn write_line(out: &mut impl Write, received: &Received, number: u64) -> io::Result<()> {
    let message = &received.message;
    match (&received.stored, &message.reply) {
        (Some(stored), _) => writeln!(
            out,
            "[#{number}] Received JetStream message: stream: {} seq: {} / pending: {} / subject: {} / time: {}",
            stored.stream, stored.sequence, stored.pending, message.subject, stored.time
        ),
        (None, Some(reply)) => writeln!(
            out,
            "[#{number}] Received on \"{}\" with reply \"{reply}\"",
            message.subject
        ),
        (None, None) => writeln!(out, "[#{number}] Received on \"{}\"", message.subject),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Stored;

    fn received(payload: &'static [u8], ack: Option<&str>) -> Received {
        let mut headers = HeaderMap::new();
        headers.insert("B", "2");
        headers.insert("A", "1");
        Received {
            message: Message {
                subject: "order.new".into(),
                reply: ack.map(Into::into),
                payload: payload.into(),
                headers: Some(headers),
                status: None,
                description: None,
                length: 0,
            },
            stored: ack.and_then(Stored::parse),
        }
    }

    fn check(received: &Received, shape: Shape, expected: &str) {
        let mut out = Vec::new();
        write(&mut out, received, 3, shape).expect("memory");
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn a_published_message_shows_subject_headers_and_body() {
        let message = received(b"hi", None);
        check(
            &message,
            Shape::Full,
            "[#3] Received on \"order.new\"\nA: 1\nB: 2\n\nhi\n\n\n",
        );
        check(&message, Shape::Raw, "hi\n");
        check(&message, Shape::SubjectOnly, "order.new\n");
        check(
            &message,
            Shape::HeadersOnly,
            "[#3] Received on \"order.new\"\nA: 1\nB: 2\n\n",
        );
        check(
            &message,
            Shape::Json,
            "{\"subject\":\"order.new\",\"headers\":{\"A\":[\"1\"],\"B\":[\"2\"]},\"data\":\"hi\"}\n",
        );
    }

    #[test]
    fn a_stored_message_says_where_it_is_stored() {
        let message = received(
            b"\xff",
            Some("$JS.ACK.ORDERS.c.1.22.3.1795195616000000000.5"),
        );
        let mut out = Vec::new();
        write(&mut out, &message, 1, Shape::Full).expect("memory");
        assert!(
            out.starts_with(
                b"[#1] Received JetStream message: stream: ORDERS seq: 22 / pending: 5 / subject: order.new / time: 2026-11-20T17:26:56Z\n"
            ),
            "{}",
            String::from_utf8_lossy(&out)
        );
        check(
            &message,
            Shape::Json,
            "{\"subject\":\"order.new\",\"stream\":\"ORDERS\",\"sequence\":22,\"consumer\":\"c\",\"consumer_sequence\":3,\"delivered\":1,\"pending\":5,\"time\":\"2026-11-20T17:26:56Z\",\"headers\":{\"A\":[\"1\"],\"B\":[\"2\"]},\"data_base64\":\"/w==\"}\n",
        );
    }
}
