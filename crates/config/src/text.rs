//! Texts in quotes, blocks of lines, and escapes.

use crate::ConfigError;
use crate::cursor::Cursor;

/// A key in quotes; it has no escapes.
pub(crate) fn quoted_key(cursor: &mut Cursor<'_>, quote: char) -> Result<String, ConfigError> {
    let start = cursor.position();
    cursor.next();
    let key = cursor.take_while(|c| c != quote && c != '\n').to_owned();
    if cursor.accept(quote) {
        Ok(key)
    } else {
        Err(ConfigError::at(&start, "the quote is not closed"))
    }
}

/// `'as it is'`
pub(crate) fn raw(cursor: &mut Cursor<'_>) -> Result<String, ConfigError> {
    let start = cursor.position();
    cursor.next();
    let text = cursor.take_while(|c| c != '\'').to_owned();
    if cursor.accept('\'') {
        Ok(text)
    } else {
        Err(ConfigError::at(&start, "the quote is not closed"))
    }
}

/// `"with \t escapes"`
pub(crate) fn escaped(cursor: &mut Cursor<'_>) -> Result<String, ConfigError> {
    let start = cursor.position();
    cursor.next();
    let mut text = String::new();
    loop {
        match cursor.next() {
            None => return Err(ConfigError::at(&start, "the quote is not closed")),
            Some('"') => break,
            Some('\\') => {
                text.push('\\');
                text.extend(cursor.next());
            }
            Some(character) => text.push(character),
        }
    }
    unescape(&text).map_err(|text| ConfigError::at(&start, text))
}

/// A block of lines between `(` and a line with `)` alone.
pub(crate) fn block(cursor: &mut Cursor<'_>) -> Result<String, ConfigError> {
    let start = cursor.position();
    cursor.next();
    let mut text = String::new();
    loop {
        if cursor.line_ahead().trim() == ")" {
            cursor.skip_blanks();
            cursor.next();
            return Ok(text);
        }
        text.push_str(cursor.take_while(|c| c != '\n'));
        match cursor.next() {
            Some(line_end) => text.push(line_end),
            None => {
                return Err(ConfigError::at(
                    &start,
                    "the block is not closed; its ')' stands alone on a line",
                ));
            }
        }
    }
}

/// Replaces `\t`, `\n`, `\r`, `\"`, `\\` and `\xHH`.
pub(crate) fn unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let mut characters = after.chars();
        match characters.next() {
            Some('t') => bytes.push(b'\t'),
            Some('n') => bytes.push(b'\n'),
            Some('r') => bytes.push(b'\r'),
            Some('"') => bytes.push(b'"'),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits = after
                    .get(1..3)
                    .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                    .ok_or("expected two hexadecimal digits after '\\x'")?;
                bytes.push(digits);
                characters.nth(1);
            }
            Some(other) => {
                return Err(format!(
                    "invalid escape '\\{other}'; allowed are \\xHH, \\t, \\n, \\r, \\\" and \\\\"
                ));
            }
            None => return Err("a '\\' stands at the end".to_owned()),
        }
        rest = characters.as_str();
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| "the escapes do not make UTF-8 text".to_owned())
}
