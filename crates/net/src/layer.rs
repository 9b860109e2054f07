//! What stands between the socket and the text protocol: TLS, WebSocket, or one over the other.

use std::net::IpAddr;

use everjet_conn::{CloseReason, Introduction};

use crate::events::Handshake;

/// Bytes that a lower layer hands to the one above it at a time.
const BETWEEN_MAX: usize = 16 * 1024;

/// A transformation of the bytes of one connection in both directions, without I/O.
///
/// It lives in the connection's [`Outbound`](crate::outbound::Outbound) under its lock: the owner decodes what it read, and whoever
/// flushes a turn encodes.
pub(crate) trait Layer: Send {
    /// Takes bytes from the wire and appends plain bytes to `plain` until that holds `plain_max` or more (by at most one unit of the
    /// layer more). Returns with `wire` empty unless `plain` is full; call again, even with an empty `wire`, while it comes back
    /// full. What the layer itself has to answer is appended to `answer`, which goes to the wire as it is.
    ///
    /// # Errors
    /// The connection ends for this reason; `answer` and the plain bytes before the violation count.
    fn decode(
        &mut self,
        wire: &mut &[u8],
        plain: &mut Vec<u8>,
        plain_max: usize,
        answer: &mut Vec<u8>,
    ) -> Result<(), CloseReason>;

    /// Appends to `wire` what stands for `plain` on the wire.
    fn encode(&mut self, plain: &[u8], wire: &mut Vec<u8>);

    /// Appends the layer's last words: the connection ends for `reason`.
    fn finish(&mut self, reason: CloseReason, wire: &mut Vec<u8>);

    /// Whether the handshake is done. Plain bytes may be written only then.
    fn is_ready(&self) -> bool;

    /// Whether bytes pass as they are from now on, so that the layer can be left out.
    fn is_transparent(&self) -> bool {
        false
    }

    /// What became of a TLS handshake; once.
    fn take_handshake(&mut self) -> Option<Handshake> {
        None
    }

    /// What the layer found out about the client; asked once, when all layers are ready.
    fn take_findings(&mut self) -> Findings {
        Findings::default()
    }

    /// Why the layer let nobody in, for the log; asked when the connection ends before its layers were ready.
    fn refusal(&self) -> Option<String> {
        None
    }
}

/// What layers found out about a client.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// For the machine of the connection.
    pub(crate) introduction: Option<Introduction>,
    /// Where a proxy says that the client is.
    pub(crate) forwarded_for: Option<IpAddr>,
}

/// One layer over another, such as WebSocket over TLS.
pub(crate) struct Over {
    lower: Box<dyn Layer>,
    upper: Box<dyn Layer>,
    /// What the lower layer brought and the upper one has not taken yet; without memory when there is nothing.
    between: Vec<u8>,
}

impl Over {
    pub(crate) fn new(lower: Box<dyn Layer>, upper: Box<dyn Layer>) -> Self {
        Self {
            lower,
            upper,
            between: Vec::new(),
        }
    }

    /// Lets the upper layer take what is between.
    fn decode_upper(
        &mut self,
        plain: &mut Vec<u8>,
        plain_max: usize,
        answer: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        let mut rest = &self.between[..];
        let mut own = Vec::new();
        let result = self.upper.decode(&mut rest, plain, plain_max, &mut own);
        let used = self.between.len() - rest.len();
        self.between.drain(..used);
        if !own.is_empty() {
            self.lower.encode(&own, answer);
        }
        result
    }
}

impl Layer for Over {
    fn decode(
        &mut self,
        wire: &mut &[u8],
        plain: &mut Vec<u8>,
        plain_max: usize,
        answer: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        loop {
            self.decode_upper(plain, plain_max, answer)?;
            if plain.len() >= plain_max {
                return Ok(());
            }
            let ended = self
                .lower
                .decode(wire, &mut self.between, BETWEEN_MAX, answer)
                .err();
            if let Some(reason) = ended {
                // What came before the end still counts.
                self.decode_upper(plain, plain_max, answer)?;
                return Err(reason);
            }
            if self.between.is_empty() {
                self.between = Vec::new();
                return Ok(());
            }
        }
    }

    fn encode(&mut self, plain: &[u8], wire: &mut Vec<u8>) {
        let mut between = Vec::with_capacity(plain.len() + 64);
        self.upper.encode(plain, &mut between);
        self.lower.encode(&between, wire);
    }

    fn finish(&mut self, reason: CloseReason, wire: &mut Vec<u8>) {
        let mut between = Vec::new();
        self.upper.finish(reason, &mut between);
        if !between.is_empty() {
            self.lower.encode(&between, wire);
        }
        self.lower.finish(reason, wire);
    }

    fn is_ready(&self) -> bool {
        self.lower.is_ready() && self.upper.is_ready()
    }

    fn take_handshake(&mut self) -> Option<Handshake> {
        self.lower
            .take_handshake()
            .or_else(|| self.upper.take_handshake())
    }

    fn take_findings(&mut self) -> Findings {
        let (lower, upper) = (self.lower.take_findings(), self.upper.take_findings());
        Findings {
            introduction: upper.introduction.or(lower.introduction),
            forwarded_for: upper.forwarded_for.or(lower.forwarded_for),
        }
    }

    fn refusal(&self) -> Option<String> {
        self.lower.refusal().or_else(|| self.upper.refusal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Doubles each byte on the wire. A zero ends the connection, a `?` is answered with `!`, and `#` must come first.
    struct Doubled {
        ready: bool,
    }

    impl Layer for Doubled {
        fn decode(
            &mut self,
            wire: &mut &[u8],
            plain: &mut Vec<u8>,
            plain_max: usize,
            answer: &mut Vec<u8>,
        ) -> Result<(), CloseReason> {
            while plain.len() < plain_max {
                let Some((&byte, rest)) = wire.split_first() else {
                    return Ok(());
                };
                *wire = rest;
                match byte {
                    0 => return Err(CloseReason::ProtocolViolation),
                    b'#' => self.ready = true,
                    b'?' => answer.push(b'!'),
                    _ => plain.extend_from_slice(&[byte, byte]),
                }
            }
            Ok(())
        }

        fn encode(&mut self, plain: &[u8], wire: &mut Vec<u8>) {
            assert!(self.ready);
            wire.extend(plain.iter().flat_map(|&byte| [byte, byte]));
        }

        fn finish(&mut self, _: CloseReason, wire: &mut Vec<u8>) {
            wire.push(b'.');
        }

        fn is_ready(&self) -> bool {
            self.ready
        }
    }

    fn stack() -> Over {
        let layer = |ready| Box::new(Doubled { ready });
        Over::new(layer(false), layer(true))
    }

    /// Decodes all of `wire` with calls that want `plain_max` bytes each.
    fn decode(stack: &mut Over, mut wire: &[u8], plain_max: usize) -> (String, String, bool) {
        let (mut all, mut answer) = (Vec::new(), Vec::new());
        loop {
            let mut plain = Vec::new();
            let result = stack.decode(&mut wire, &mut plain, plain_max, &mut answer);
            all.extend_from_slice(&plain);
            if result.is_err() || plain.len() < plain_max {
                assert!(result.is_err() || wire.is_empty());
                let text = |bytes| String::from_utf8(bytes).expect("text");
                return (text(all), text(answer), result.is_err());
            }
        }
    }

    #[test]
    fn bytes_pass_both_layers_whatever_the_bound() {
        for plain_max in [1, 2, 3, 5, 8, 100] {
            let mut stack = stack();
            assert!(!stack.is_ready());
            let (plain, answer, ended) = decode(&mut stack, b"#ab", plain_max);
            assert!(stack.is_ready());
            assert_eq!((plain.as_str(), answer.as_str()), ("aaaabbbb", ""));
            assert!(!ended && stack.between.capacity() == 0);
        }
    }

    #[test]
    fn what_came_before_a_violation_counts() {
        let (plain, answer, ended) = decode(&mut stack(), b"#a?\0b", 100);
        assert_eq!(
            (plain.as_str(), answer.as_str(), ended),
            ("aaaa", "!", true)
        );
    }

    #[test]
    fn written_bytes_and_last_words_pass_both_layers() {
        let mut stack = stack();
        decode(&mut stack, b"#", 1);
        let mut wire = Vec::new();
        stack.encode(b"x", &mut wire);
        stack.finish(CloseReason::ServerShutdown, &mut wire);
        assert_eq!(wire, b"xxxx...");
    }
}
