//! Random and damaged input: nothing panics, and what is decoded makes sense.

use everjet_wire::{
    ConnectOptions, DecodeError, Decoded, Frame, Headers, Limits, ProxyHeader, TraceDirection,
    TraceOptions, decode, decode_plain_publish, decode_proxy_header, strip, trace,
};

/// A splitmix64 sequence: the same seed gives the same test.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % bound as u64).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        // Half of the bytes are those that mean something.
        const MEANINGFUL: &[u8] = b" \t\r\n019:.>*PUBHSNIGOCET+-KR'{}\"";
        match self.below(2) {
            0 => MEANINGFUL[self.below(MEANINGFUL.len())],
            _ => u8::try_from(self.below(256)).expect("below 256"),
        }
    }

    /// Legal text with a few bytes changed, taken out, put in, or cut off behind.
    fn mutated(&mut self, legal: &[u8]) -> Vec<u8> {
        let mut bytes = legal.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes[at] = self.byte(),
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                2 => bytes.truncate(at + 1),
                _ => bytes.insert(at, self.byte()),
            }
        }
        bytes
    }

    fn noise(&mut self) -> Vec<u8> {
        (0..self.below(64)).map(|_| self.byte()).collect()
    }
}

/// Legal up to its last line, which announces too much.
const SESSION: &[u8] = b"PUB a 5\r\nhello\r\nHPUB a b 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\nSUB a q 1\r\n\
    UNSUB 1 5\r\nPING\r\nPONG\r\nCONNECT {\"verbose\":false}\r\nINFO {}\r\n+OK\r\n-ERR 'x'\r\nPUB b 999999999\r\n";

/// Where each frame of the session starts.
fn frame_starts() -> Vec<usize> {
    let limits = Limits {
        headers: true,
        ..Limits::default()
    };
    let mut starts = vec![0];
    while let Ok(Decoded::Frame { used, .. }) =
        decode(&SESSION[starts[starts.len() - 1]..], &limits)
    {
        starts.push(starts[starts.len() - 1] + used);
    }
    starts
}

/// How often each outcome was seen, so that the test shows that it reaches them all.
#[derive(Default)]
struct Seen {
    frames: usize,
    incomplete: usize,
    errors: usize,
}

fn check(bytes: &[u8], limits: &Limits, seen: &mut Seen) {
    let mut rest = bytes;
    loop {
        match decode(rest, limits) {
            Ok(Decoded::Frame { frame, used }) => {
                assert!(0 < used && used <= rest.len(), "{rest:?}");
                check_prefix(rest, used, limits);
                check_parts(&frame, limits);
                check_plain(rest, &frame, used, limits);
                rest = &rest[used..];
                seen.frames += 1;
            }
            Ok(Decoded::Incomplete { needed }) => {
                assert_eq!(decode_plain_publish(rest, limits), None, "{rest:?}");
                assert!(needed == 0 || needed > rest.len(), "{rest:?}");
                seen.incomplete += 1;
                return;
            }
            Err(error) => {
                check_refusal(rest, error, limits);
                seen.errors += 1;
                return;
            }
        }
    }
}

/// A frame is not there before its last byte, and is then what it is.
fn check_prefix(rest: &[u8], used: usize, limits: &Limits) {
    let before = decode(&rest[..used - 1], limits);
    assert!(matches!(before, Ok(Decoded::Incomplete { .. })), "{rest:?}");
    assert_eq!(decode(&rest[..used], limits), decode(rest, limits));
}

/// The short way is taken for publishes only, and finds the same.
fn check_plain(rest: &[u8], frame: &Frame<'_>, used: usize, limits: &Limits) {
    if let Some(plain) = decode_plain_publish(rest, limits) {
        assert_eq!((*frame, used), (Frame::Publish(plain.message), plain.used));
        assert!(rest[..used].ends_with(plain.rest), "{rest:?}");
    }
}

/// What is refused stays refused, for the same reason, whatever follows.
fn check_refusal(rest: &[u8], error: DecodeError, limits: &Limits) {
    let longer = [rest, b"\r\nPING\r\n"].concat();
    assert_eq!(decode(&longer, limits), Err(error), "{rest:?}");
    assert_eq!(decode_plain_publish(rest, limits), None, "{rest:?}");
}

fn check_parts(frame: &Frame<'_>, limits: &Limits) {
    match frame {
        Frame::Publish(message) => {
            assert!(!message.subject.is_empty());
            assert!(message.headers.len() + message.payload.len() <= limits.payload_max);
            for part in [message.subject, message.reply] {
                assert!(!part.contains(&b' ') && !part.contains(&b'\n'));
            }
        }
        Frame::Subscribe {
            subject,
            queue,
            sid,
        } => {
            assert!(!subject.is_empty() && !sid.is_empty());
            for part in [subject, queue, sid] {
                assert!(!part.iter().any(|byte| b" \t\r\n".contains(byte)));
            }
        }
        Frame::Unsubscribe { sid, max } => {
            assert!(!sid.is_empty());
            assert_ne!(*max, Some(0));
        }
        Frame::Connect(json) => drop(ConnectOptions::parse(json)),
        Frame::Ping | Frame::Pong | Frame::Info(_) | Frame::Ok | Frame::Err(_) => {}
    }
}

#[test]
fn damaged_sessions_and_noise_do_no_harm() {
    let mut random = Random(1);
    let mut seen = Seen::default();
    let starts = frame_starts();
    assert_eq!(starts.len(), 11);
    for round in 0..300_000 {
        let limits = Limits {
            control_line_max: if round % 3 == 0 { 16 } else { 4096 },
            payload_max: if round % 5 == 0 { 8 } else { 1 << 20 },
            headers: round % 7 != 0,
        };
        let bytes = match round % 4 {
            0 => random.noise(),
            1 => {
                let start = random.below(SESSION.len());
                random.mutated(&SESSION[start..])
            }
            _ => {
                let start = starts[random.below(starts.len())];
                random.mutated(&SESSION[start..])
            }
        };
        check(&bytes, &limits, &mut seen);
    }
    assert!(seen.frames > 100_000, "{} frames", seen.frames);
    assert!(seen.incomplete > 10_000, "{} incomplete", seen.incomplete);
    assert!(seen.errors > 100_000, "{} errors", seen.errors);
}

#[test]
fn damaged_header_blocks_do_no_harm() {
    let block = b"NATS/1.0 503 No Responders\r\nA: b\r\nNats-Msg-Id:x\r\nA: c\r\n\r\n";
    let mut random = Random(2);
    let mut stripped = 0;
    for round in 0..200_000 {
        let bytes = match round % 4 {
            0 => random.noise(),
            _ => random.mutated(block),
        };
        let headers = Headers(&bytes);
        let _ = headers.status();
        for (name, value) in headers.iter() {
            assert!(!name.is_empty() && !name.contains(&b':'));
            assert_ne!(value.first(), Some(&b' '));
        }
        let first = headers.iter().find(|(name, _)| *name == b"A");
        assert_eq!(headers.get("A"), first.map(|(_, value)| value));
        let kept = strip(&bytes, &["A"]);
        assert_eq!(Headers(&kept).get("A"), None);
        stripped += usize::from(kept.len() < bytes.len());
    }
    assert!(stripped > 50_000, "{stripped} stripped");
}

#[test]
fn damaged_connect_options_do_no_harm() {
    let json = br#"{"verbose":false,"pass":"a\u00e9\n","protocol":1,"import":{"allow":["a"]},"x":[[1e9,null]]}"#;
    let mut random = Random(3);
    let mut accepted = 0;
    for _ in 0..50_000 {
        accepted += usize::from(ConnectOptions::parse(&random.mutated(json)).is_ok());
    }
    assert!((1..50_000).contains(&accepted), "{accepted} accepted");
    assert!(ConnectOptions::parse("[".repeat(100_000).as_bytes()).is_err());
    let nested = format!("{{\"x\":{}", "[".repeat(100_000));
    assert!(ConnectOptions::parse(nested.as_bytes()).is_err());
}

#[test]
fn whatever_is_traced_no_secret_shows() {
    const CONNECT: &[u8] = b"CONNECT {\"verbose\":false,\"user\":\"u\",\"pass\":\"SECRET\",\"auth_token\":\"SECRET\"}\r\n";
    let mut random = Random(11);
    let options = TraceOptions {
        payload_max: Some(7),
        headers_only: false,
    };
    for round in 0..20_000 {
        let bytes = match round % 3 {
            0 => random.mutated(SESSION),
            1 => random.noise(),
            _ => {
                // Only the names of the secrets and the verb must be whole for the values to be known as secrets.
                let cut = 1 + random.below(CONNECT.len() - 1);
                [&CONNECT[..cut], b"\r\n"].concat()
            }
        };
        for direction in [TraceDirection::In, TraceDirection::Out] {
            trace(&bytes, direction, &options, |line| {
                assert!(!line.contains('\n') && !line.contains("SECRET"), "{line}");
            });
        }
    }
}

#[test]
fn damaged_headers_of_a_proxy_do_no_harm() {
    let mut random = Random(12);
    let legal: [&[u8]; 2] = [
        b"PROXY TCP4 10.1.2.3 10.0.0.1 5555 4222\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x0a\x01\x02\x03\x0a\x00\x00\x01\x15\xb3\x10\x7e",
    ];
    for round in 0..50_000 {
        let bytes = random.mutated(legal[round % 2]);
        if let Ok(ProxyHeader::Present { size, .. }) = decode_proxy_header(&bytes) {
            assert!((15..=16 + 65_535).contains(&size), "{size}");
        }
    }
}
