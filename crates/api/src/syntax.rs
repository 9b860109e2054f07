//! What is wrong with a text that is not JSON, in the words of nats-server: clients show them to people and test
//! suites compare them.

/// The first mistake in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// The text ends too early.
    End,
    /// A character that can not stand where it does.
    Character {
        /// What is wrong, such as `invalid character 'x' looking for beginning of value`.
        text: String,
        /// Bytes up to and including the character.
        offset: usize,
    },
    /// Something follows the value.
    Trailing {
        /// The character that follows.
        text: String,
        /// Bytes up to and including it.
        offset: usize,
    },
}

impl Mistake {
    /// As an API request is refused.
    pub(crate) fn in_request(&self) -> String {
        match self {
            Self::End => "unexpected EOF".to_owned(),
            Self::Character { text, offset } => format!("{text} at offset {offset}"),
            Self::Trailing { text, offset } => {
                format!(
                    "invalid character {text} looking for beginning of value at offset {offset}"
                )
            }
        }
    }

    /// As a pull request is refused.
    pub(crate) fn in_pull(&self) -> String {
        match self {
            Self::End => "unexpected end of JSON input".to_owned(),
            Self::Character { text, .. } => text.clone(),
            Self::Trailing { text, .. } => {
                format!("invalid character {text} after top-level value")
            }
        }
    }
}

/// Finds the first mistake. `None` when the syntax is right; the text may still be refused for its depth or for
/// bytes that are not UTF-8.
pub(crate) fn find_mistake(text: &[u8]) -> Option<Mistake> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.value(0).and_then(|()| scanner.end()).err()
}

/// Deeper texts are not looked at: the parser refuses them for their depth.
const DEPTH_MAX: usize = 128;

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn value(&mut self, depth: usize) -> Result<(), Mistake> {
        if depth > DEPTH_MAX {
            self.at = self.text.len();
            return Ok(());
        }
        self.blanks();
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(self.wrong("looking for beginning of value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Mistake> {
        self.at += 1;
        self.blanks();
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blanks();
            if self.peek()? != b'"' {
                return Err(self.wrong("looking for beginning of object key string"));
            }
            self.string()?;
            self.blanks();
            if self.peek()? != b':' {
                return Err(self.wrong("after object key"));
            }
            self.at += 1;
            self.value(depth + 1)?;
            if !self.another(b'}', "after object key:value pair")? {
                return Ok(());
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), Mistake> {
        self.at += 1;
        self.blanks();
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            if !self.another(b']', "after array element")? {
                return Ok(());
            }
        }
    }

    /// Whether a comma says that another member follows.
    fn another(&mut self, close: u8, context: &str) -> Result<bool, Mistake> {
        self.blanks();
        let byte = self.peek()?;
        if byte != b',' && byte != close {
            return Err(self.wrong(context));
        }
        self.at += 1;
        Ok(byte == b',')
    }

    fn string(&mut self) -> Result<(), Mistake> {
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.escape()?,
                0..0x20 => return Err(self.wrong("in string")),
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), Mistake> {
        let start = self.at;
        self.at += 1;
        let digits = match self.peek()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 0,
            b'u' => 4,
            _ => return Err(self.wrong_escape(start)),
        };
        self.at += 1;
        for _ in 0..digits {
            if !self.peek()?.is_ascii_hexdigit() {
                return Err(self.wrong_escape(start));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Mistake> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.next_is(b".") {
            self.at += 1;
            self.digits()?;
        }
        if self.next_is(b"eE") {
            self.at += 1;
            if self.next_is(b"+-") {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), Mistake> {
        if !self.peek()?.is_ascii_digit() {
            return Err(self.wrong("in numeric literal"));
        }
        while self.next_is(b"0123456789") {
            self.at += 1;
        }
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<(), Mistake> {
        for expected in word.bytes() {
            if self.peek()? != expected {
                let expected = char::from(expected);
                return Err(self.wrong(&format!("in literal {word} (expecting '{expected}')")));
            }
            self.at += 1;
        }
        Ok(())
    }

    /// Nothing may follow.
    fn end(&mut self) -> Result<(), Mistake> {
        self.blanks();
        match self.text.get(self.at) {
            None => Ok(()),
            Some(byte) => Err(Mistake::Trailing {
                text: quoted(*byte),
                offset: self.at + 1,
            }),
        }
    }

    fn blanks(&mut self) {
        while self.next_is(b" \t\r\n") {
            self.at += 1;
        }
    }

    fn next_is(&self, any_of: &[u8]) -> bool {
        self.text
            .get(self.at)
            .is_some_and(|byte| any_of.contains(byte))
    }

    fn peek(&self) -> Result<u8, Mistake> {
        self.text.get(self.at).copied().ok_or(Mistake::End)
    }

    fn wrong(&self, context: &str) -> Mistake {
        let byte = self.text.get(self.at).copied().unwrap_or_default();
        Mistake::Character {
            text: format!("invalid character {} {context}", quoted(byte)),
            offset: self.at + 1,
        }
    }

    fn wrong_escape(&self, start: usize) -> Mistake {
        let sequence = self.text.get(start..=self.at).unwrap_or_default();
        Mistake::Character {
            text: format!(
                "invalid escape sequence `{}` in string",
                String::from_utf8_lossy(sequence)
            ),
            offset: self.at + 1,
        }
    }
}

/// A byte as a Go character literal.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        0x20..0x7f => format!("'{}'", char::from(byte)),
        0..0x80 => format!(r"'\x{byte:02x}'"),
        // Go takes the byte for a character of Latin-1.
        _ => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, in_request: &str) {
        let mistake = find_mistake(text.as_bytes()).expect(text);
        assert_eq!(mistake.in_request(), in_request, "{text}");
        assert!(
            serde_json::from_str::<serde_json::Value>(text).is_err(),
            "{text}"
        );
    }

    /// The texts are those of nats-server 2.15.1.
    #[test]
    fn mistakes_are_told_as_nats_server_does() {
        check(
            "hello",
            "invalid character 'h' looking for beginning of value at offset 1",
        );
        check(
            r#"{"name":}"#,
            "invalid character '}' looking for beginning of value at offset 9",
        );
        check(
            "{b}",
            "invalid character 'b' looking for beginning of object key string at offset 2",
        );
        check(
            r#"{"a" 1}"#,
            "invalid character '1' after object key at offset 6",
        );
        check(
            r#"{"name":"Z" "x"}"#,
            "invalid character '\"' after object key:value pair at offset 13",
        );
        check(
            r#"{"name":"Z",}"#,
            "invalid character '}' looking for beginning of object key string at offset 13",
        );
        check(
            "{\"name\":\"Z\u{1}\"}",
            r"invalid character '\x01' in string at offset 11",
        );
        check(
            r#"{"name":"\q"}"#,
            r"invalid escape sequence `\q` in string at offset 11",
        );
        check(
            r#"{"name":tru}"#,
            "invalid character '}' in literal true (expecting 'e') at offset 12",
        );
        check(
            r#"{"name":01}"#,
            "invalid character '1' after object key:value pair at offset 10",
        );
        check(
            r#"{"name":-}"#,
            "invalid character '}' in numeric literal at offset 10",
        );
        check(
            r#"{"name":1.}"#,
            "invalid character '}' in numeric literal at offset 11",
        );
        check(
            "[1 2]",
            "invalid character '2' after array element at offset 4",
        );
        check(
            r#"{"name":"X"}}"#,
            "invalid character '}' looking for beginning of value at offset 13",
        );
        for text in ["[", "\"", "{", r#"{"name":"X""#, "-", "tr", r#""\u00"#] {
            check(text, "unexpected EOF");
        }
    }

    #[test]
    fn right_syntax_has_no_mistake() {
        for text in [
            "{}",
            " [ ] ",
            r#"{"a":[1,-2.5e+3,0,true,false,null,"x\n\u00e9"],"b":{}}"#,
            "\"caf\u{e9}\"",
        ] {
            assert_eq!(find_mistake(text.as_bytes()), None, "{text}");
        }
        let deep = "[".repeat(10_000);
        assert_eq!(find_mistake(deep.as_bytes()), Some(Mistake::End));
    }
}
