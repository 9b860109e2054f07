//! Texts of clients in error lines and logs, quoted as nats-server quotes them.

/// Writes `text` in double quotes. Quotes, backslashes, control characters and what is not UTF-8 are escaped the way Go
/// does it (`\"`, `\n`, `\x7f`, `\u0085`), so that a subject cannot break the line it is shown in.
pub fn put_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            put_character(out, character);
        }
        for byte in chunk.invalid() {
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
    }
    out.push(b'"');
}

fn put_character(out: &mut Vec<u8>, character: char) {
    let short = match character {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\x07' => "\\a",
        '\x08' => "\\b",
        '\x0b' => "\\v",
        '\x0c' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        _ => "",
    };
    let code = u32::from(character);
    if !short.is_empty() {
        out.extend_from_slice(short.as_bytes());
    } else if code < 0x20 || code == 0x7f {
        out.extend_from_slice(format!("\\x{code:02x}").as_bytes());
    } else if character != ' ' && (character.is_control() || character.is_whitespace()) {
        out.extend_from_slice(format!("\\u{code:04x}").as_bytes());
    } else {
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], expected: &str) {
        let mut out = Vec::new();
        put_quoted(&mut out, text);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn what_could_break_the_line_is_escaped() {
        check(b"orders.new", r#""orders.new""#);
        check(b"a\"b\\c", r#""a\"b\\c""#);
        check(b"a\x00\x07\x7f\x0b\n", r#""a\x00\a\x7f\v\n""#);
        check(b"\xff\xc3", r#""\xff\xc3""#);
        check("ö.\u{a0}\u{85}".as_bytes(), r#""ö.\u00a0\u0085""#);
    }
}
