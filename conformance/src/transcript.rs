//! Transcripts: the dialogue of a protocol test as text.
//!
//! ```text
//! # A comment.
//! A> SUB greet.* 1              connection A sends the line, ended by \r\n
//! A>| PI                        sends without a line end; \r \n \t \0 \\ are escapes
//! B> PUB greet.you 5
//! B> hello
//! A< MSG greet.you 1 5          the next line that A receives, exactly; … stands for any text
//! A< hello
//! A closed                      the server has ended the connection, and nothing came before
//! ```
//!
//! A connection is opened by its first line; its greeting is read and not shown, unless that first line is `A< INFO …`.

use std::collections::HashMap;

use crate::{RawClient, ServerProcess};

/// Runs a transcript against a server.
///
/// # Panics
/// At the first line that does not come out as written, naming it.
#[track_caller]
pub fn check(server: &ServerProcess, transcript: &str) {
    let mut connections: HashMap<&str, RawClient> = HashMap::new();
    for (index, line) in transcript.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("line {}: {line}", index + 1);
        let Some((name, step)) = parse(line) else {
            panic!("{place}: not a transcript line");
        };
        let client = connections.entry(name).or_insert_with(|| {
            let mut client = server.connect();
            if !matches!(step, Step::Expect(text) if text.starts_with("INFO")) {
                let greeting = client.line();
                assert!(
                    greeting.starts_with("INFO {"),
                    "{place}: greeted with {greeting:?}"
                );
            }
            client
        });
        run(client, &step, &place);
    }
}

enum Step<'a> {
    Send(&'a str),
    SendPart(&'a str),
    Expect(&'a str),
    Closed,
}

fn parse(line: &str) -> Option<(&str, Step<'_>)> {
    let at = line.find(|letter: char| !letter.is_ascii_alphanumeric())?;
    let (name, rest) = line.split_at(at);
    let step = if rest == " closed" {
        Step::Closed
    } else if let Some(text) = rest.strip_prefix(">|") {
        Step::SendPart(after_blank(text))
    } else if let Some(text) = rest.strip_prefix('>') {
        Step::Send(after_blank(text))
    } else {
        Step::Expect(after_blank(rest.strip_prefix('<')?))
    };
    Some((name, step))
}

fn after_blank(text: &str) -> &str {
    text.strip_prefix(' ').unwrap_or(text)
}

#[track_caller]
fn run(client: &mut RawClient, step: &Step<'_>, place: &str) {
    match step {
        Step::Send(text) => {
            let mut bytes = unescape(text);
            bytes.extend_from_slice(b"\r\n");
            send(client, &bytes, place);
        }
        Step::SendPart(text) => send(client, &unescape(text), place),
        Step::Expect(pattern) => match client.try_line() {
            Ok(line) => assert!(matches(pattern, &line), "{place}\n    got {line:?}"),
            Err(error) => panic!("{place}\n    got {error}"),
        },
        Step::Closed => client.expect_closed(),
    }
}

#[track_caller]
fn send(client: &mut RawClient, bytes: &[u8], place: &str) {
    if let Err(error) = client.try_send(bytes) {
        panic!("{place}: {error}");
    }
}

/// Whether `line` is `pattern`, where `…` in the pattern stands for any text.
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'r') => bytes.push(b'\r'),
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'0') => bytes.push(0),
            Some(other) => bytes.push(other),
            None => bytes.push(b'\\'),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ellipsis_stands_for_any_text() {
        fn check(pattern: &str, line: &str, expected: bool) {
            assert_eq!(matches(pattern, line), expected, "{pattern} / {line}");
        }
        check("PONG", "PONG", true);
        check("PONG", "PONG ", false);
        check("INFO {…} ", "INFO {\"a\":1} ", true);
        check("INFO {…} ", "INFO {\"a\":1}", false);
        check("MSG …ACK.S.C.1.… 5", "MSG _INBOX $JS.ACK.S.C.1.2.3 5", true);
        check("a…b…c", "axbxc", true);
        check("a…b…c", "axc", false);
    }

    #[test]
    fn lines_name_connection_and_step() {
        assert!(matches!(parse("A> PING"), Some(("A", Step::Send("PING")))));
        assert!(matches!(
            parse("B2>| PI"),
            Some(("B2", Step::SendPart("PI")))
        ));
        assert!(matches!(parse("A<"), Some(("A", Step::Expect("")))));
        assert!(matches!(parse("A closed"), Some(("A", Step::Closed))));
        assert!(parse("PING").is_none());
        assert_eq!(unescape("a\\r\\n\\0\\\\"), b"a\r\n\0\\");
    }
}
