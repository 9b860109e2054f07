//! Header blocks of messages.
//!
//! ```text
//! NATS/1.0[ code[ description]]\r\n
//! Key: value\r\n      any number of lines; keys may repeat and are case-sensitive
//! \r\n
//! ```
//! Servers pass blocks on byte for byte and do not check their syntax, so readers make sense of what they can and skip
//! the rest.

use memchr::memchr_iter;

/// A view of a header block, well-formed or not. Everything is found in one pass over the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a>(pub &'a [u8]);

impl<'a> Headers<'a> {
    /// The status on the first line: its code, and its description or the empty text. None when there is no status or
    /// it is not a number of up to three digits with an UTF-8 description.
    #[must_use]
    pub fn status(&self) -> Option<(u16, &'a str)> {
        let line = lines(self.0).next()?.text.strip_prefix(VERSION)?;
        let line = std::str::from_utf8(line).ok()?;
        let (code, description) = match line.strip_prefix(' ')?.trim().split_once(' ') {
            Some((code, description)) => (code, description.trim_start()),
            None => (line.trim(), ""),
        };
        let is_code = (1..=3).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit());
        let code = code.parse().ok().filter(|_| is_code)?;
        Some((code, description))
    }

    /// The value of the first header with exactly this name (case counts), without leading blanks.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter()
            .find_map(|(key, value)| (key == name.as_bytes()).then_some(value))
    }

    /// Names and values in the order of the block; values without leading blanks. Lines without a name are skipped.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        lines(self.0).skip(1).filter_map(|line| line.header())
    }
}

/// Writes a header block.
#[derive(Clone, Debug)]
pub struct HeaderBuilder {
    /// The block without its empty line.
    block: Vec<u8>,
}

impl HeaderBuilder {
    /// A block without status.
    #[must_use]
    pub fn new() -> Self {
        let mut block = Vec::with_capacity(128);
        block.extend_from_slice(VERSION);
        block.extend_from_slice(CRLF);
        Self { block }
    }

    /// Goes on with a block that is there, up to its empty line.
    #[must_use]
    pub fn going_on(block: Vec<u8>) -> Self {
        Self { block }
    }

    /// A block with a status, as in `NATS/1.0 404 No Messages`; an empty description is left out, as in `NATS/1.0 503`.
    #[must_use]
    pub fn with_status(code: u16, description: &str) -> Self {
        let mut block = Vec::with_capacity(128);
        block.extend_from_slice(VERSION);
        block.push(b' ');
        block.extend_from_slice(itoa::Buffer::new().format(code).as_bytes());
        if !description.is_empty() {
            block.push(b' ');
            put_text(&mut block, description.as_bytes());
        }
        block.extend_from_slice(CRLF);
        Self { block }
    }

    /// The block with one more header; see [`Self::push`].
    #[must_use]
    pub fn add(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.push(name, value);
        self
    }

    /// Appends `name: value`. A CR or LF in either becomes a blank: a value cannot add headers of its own.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.block.reserve(name.len() + value.len() + 6);
        put_text(&mut self.block, name.as_bytes());
        self.block.extend_from_slice(b": ");
        put_text(&mut self.block, value);
        self.block.extend_from_slice(CRLF);
    }

    /// The whole block with its empty line.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.block.extend_from_slice(CRLF);
        self.block
    }
}

impl Default for HeaderBuilder {
    fn default() -> Self {
        Self::new()
    }
}

/// The block without all headers of the given names (case counts); everything else stays byte for byte. Empty when
/// neither a header nor a status is left, so that the message has no headers at all.
#[must_use]
pub fn strip(block: &[u8], names: &[&str]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(block.len());
    for (position, line) in lines(block).enumerate() {
        let stripped = position > 0
            && line
                .header()
                .is_some_and(|(key, _)| names.iter().any(|name| name.as_bytes() == key));
        if !stripped {
            kept.extend_from_slice(line.whole);
        }
    }
    if let b"NATS/1.0\r\n\r\n" | b"NATS/1.0\r\n" = kept.as_slice() {
        kept.clear();
    }
    kept
}

const VERSION: &[u8] = b"NATS/1.0";
const CRLF: &[u8] = b"\r\n";

/// A line of a block, the first one included.
struct Line<'a> {
    /// Without its CRLF.
    text: &'a [u8],
    /// With its CRLF, which the last line of a broken block may lack.
    whole: &'a [u8],
}

impl<'a> Line<'a> {
    /// Name and value, if the line has a name.
    fn header(&self) -> Option<(&'a [u8], &'a [u8])> {
        let text = self.text;
        let colon = memchr::memchr(b':', text).filter(|colon| *colon > 0)?;
        let (key, mut value) = (text.get(..colon)?, text.get(colon + 1..)?);
        while let [b' ', rest @ ..] = value {
            value = rest;
        }
        Some((key, value))
    }
}

/// The lines of a block. Only CRLF ends a line: a bare LF belongs to its line.
fn lines(block: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let ends = memchr_iter(b'\n', block)
        .filter(|feed| feed.checked_sub(1).and_then(|before| block.get(before)) == Some(&b'\r'))
        .map(|feed| feed + 1);
    let mut start = 0;
    ends.chain(std::iter::once(block.len()))
        .filter_map(move |end| {
            let whole = block.get(start..end)?;
            start = end;
            let text = whole.strip_suffix(CRLF).unwrap_or(whole);
            (!whole.is_empty()).then_some(Line { text, whole })
        })
}

fn put_text(block: &mut Vec<u8>, text: &[u8]) {
    let start = block.len();
    block.extend_from_slice(text);
    if memchr::memchr2(b'\r', b'\n', text).is_some() {
        for byte in block.iter_mut().skip(start) {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_on_the_first_line() {
        for (block, expected) in [
            ("NATS/1.0\r\n\r\n", None),
            ("NATS/1.0 503\r\n\r\n", Some((503, ""))),
            ("NATS/1.0 503 \r\n\r\n", Some((503, ""))),
            (
                "NATS/1.0   404  No Messages\r\n\r\n",
                Some((404, "No Messages")),
            ),
            (
                "NATS/1.0 100 Idle Heartbeat\r\nA: b\r\n\r\n",
                Some((100, "Idle Heartbeat")),
            ),
            ("NATS/1.0 503", Some((503, ""))),
            ("NATS/1.0503\r\n\r\n", None),
            ("NATS/1.0 5x3\r\n\r\n", None),
            ("NATS/1.0 +53\r\n\r\n", None),
            ("NATS/1.0 65536\r\n\r\n", None),
            ("NATS/1.0\r\n503\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\n\r\n", None),
            ("", None),
        ] {
            assert_eq!(Headers(block.as_bytes()).status(), expected, "{block:?}");
        }
    }

    #[test]
    fn the_first_exact_name_is_found() {
        let block =
            b"NATS/1.0\r\nA: 1\r\na:2\r\nA: 3\r\nEmpty:\r\nBlanks:   x y \r\nT:\tz\r\nB:c:d\r\n\
                      bare\r\n: no name\r\nLone: a\nLf: b\r\n\r\n";
        let headers = Headers(block);
        for (name, expected) in [
            ("A", Some("1")),
            ("a", Some("2")),
            ("Empty", Some("")),
            ("Blanks", Some("x y ")),
            ("T", Some("\tz")),
            ("B", Some("c:d")),
            ("Lone", Some("a\nLf: b")),
            ("Lf", None),
            ("bare", None),
            ("", None),
            ("NATS/1.0", None),
            ("Blank", None),
            ("lanks", None),
        ] {
            assert_eq!(headers.get(name), expected.map(str::as_bytes), "{name}");
        }
        let names: Vec<&[u8]> = headers.iter().map(|(name, _)| name).collect();
        let expected: [&[u8]; 8] = [b"A", b"a", b"A", b"Empty", b"Blanks", b"T", b"B", b"Lone"];
        assert_eq!(names, expected);
    }

    #[test]
    fn broken_blocks_give_what_they_have() {
        for (block, name, expected) in [
            ("NATS/1.0\r\nA: b", "A", Some("b")),
            ("NATS/1.0\r\nA:", "A", Some("")),
            ("NATS/1.0\r\nA", "A", None),
            ("NATS/1.0 A: b", "A", None),
            ("A: b\r\n", "A", None),
            ("\r\nA: b\r\n", "A", Some("b")),
            ("\n", "A", None),
            ("NATS/1.0\r\n\r\nA: b\r\n", "A", Some("b")),
        ] {
            let found = Headers(block.as_bytes()).get(name);
            assert_eq!(found, expected.map(str::as_bytes), "{block:?}");
        }
    }

    #[test]
    fn a_block_is_built_line_by_line() {
        let plain = HeaderBuilder::new()
            .add("A", "b")
            .add("C", b"\xff")
            .finish();
        assert_eq!(plain, b"NATS/1.0\r\nA: b\r\nC: \xff\r\n\r\n");
        assert_eq!(HeaderBuilder::default().finish(), b"NATS/1.0\r\n\r\n");

        let no_responders = HeaderBuilder::with_status(503, "").add("Nats-Subject", "foo");
        assert_eq!(
            no_responders.finish(),
            b"NATS/1.0 503\r\nNats-Subject: foo\r\n\r\n"
        );

        let status = HeaderBuilder::with_status(404, "No Messages").finish();
        assert_eq!(status, b"NATS/1.0 404 No Messages\r\n\r\n");
        assert_eq!(Headers(&status).status(), Some((404, "No Messages")));
    }

    #[test]
    fn a_value_cannot_add_headers() {
        let block = HeaderBuilder::with_status(400, "a\r\nX: 1")
            .add("A\r\nY", "b\r\nZ: 1\n")
            .finish();
        let names: Vec<&[u8]> = Headers(&block).iter().map(|(name, _)| name).collect();
        assert_eq!(names, [b"A  Y"]);
        assert_eq!(Headers(&block).get("A  Y"), Some(&b"b  Z: 1 "[..]));
    }

    #[test]
    fn stripping_leaves_the_rest_byte_for_byte() {
        for (block, names, expected) in [
            (
                "NATS/1.0\r\nA: 1\r\nB:2\r\n\r\n",
                &["A"][..],
                "NATS/1.0\r\nB:2\r\n\r\n",
            ),
            (
                "NATS/1.0\r\nA: 1\r\nB:2\r\n\r\n",
                &["a", "C"],
                "NATS/1.0\r\nA: 1\r\nB:2\r\n\r\n",
            ),
            (
                "NATS/1.0\r\nA: 1\r\nB: 2\r\nA:3\r\n\r\n",
                &["A"],
                "NATS/1.0\r\nB: 2\r\n\r\n",
            ),
            ("NATS/1.0\r\nA: 1\r\nB: 2\r\n\r\n", &["A", "B"], ""),
            (
                "NATS/1.0 503\r\nA: 1\r\n\r\n",
                &["A"],
                "NATS/1.0 503\r\n\r\n",
            ),
            ("NATS/1.0\r\nA: 1", &["A"], ""),
            ("", &["A"], ""),
        ] {
            let kept = strip(block.as_bytes(), names);
            assert_eq!(String::from_utf8_lossy(&kept), expected, "{block:?}");
        }
    }
}
