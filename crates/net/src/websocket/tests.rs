use super::*;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn layer() -> WebSocket {
    WebSocket::new(Arc::new(WebSocketPlan {
        rules: UpgradeRules {
            cookies: Cookies {
                token: Some("t".to_owned()),
                ..Cookies::default()
            },
            ..UpgradeRules::default()
        },
        limits: Arc::new(ClientLimits::default()),
        handshake_timeout: Duration::from_secs(2),
        entrance: Arc::default(),
    }))
}

/// The outcome of bytes from the wire, what they carry and what they are answered.
fn decode(layer: &mut WebSocket, bytes: &[u8]) -> (Result<(), CloseReason>, String, Vec<u8>) {
    let (mut plain, mut answer) = (Vec::new(), Vec::new());
    let result = layer.decode(&mut &bytes[..], &mut plain, 1000, &mut answer);
    (result, String::from_utf8(plain).unwrap(), answer)
}

fn open() -> WebSocket {
    let mut layer = layer();
    assert!(!layer.is_ready());
    let (result, plain, answer) = decode(&mut layer, REQUEST.as_bytes());
    assert!(result.is_ok() && plain.is_empty() && layer.is_ready());
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    layer
}

/// A frame masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

fn last_words(layer: &mut WebSocket, reason: CloseReason) -> Vec<u8> {
    let mut wire = Vec::new();
    layer.finish(reason, &mut wire);
    wire
}

#[test]
fn frames_carry_the_protocol_both_ways() {
    let mut layer = open();
    let bytes = [
        frame(0x81, b"PI"),
        frame(0x89, b"x"),
        frame(0x82, b"NG\r\n"),
    ]
    .concat();
    let expected = (Ok(()), "PING\r\n".to_owned(), b"\x8a\x01x".to_vec());
    assert_eq!(decode(&mut layer, &bytes), expected);
    let mut wire = Vec::new();
    layer.encode(b"PONG\r\n", &mut wire);
    assert_eq!(wire, b"\x82\x06PONG\r\n");
}

#[test]
fn every_reason_has_a_status() {
    use CloseReason as Reason;
    for (reason, code) in [
        (Reason::ClientClosed, 1000_u16),
        (Reason::AuthenticationTimeout, 1008),
        (Reason::AuthenticationFailure, 1008),
        (Reason::SlowConsumerPendingBytes, 1008),
        (Reason::MaximumConnectionsExceeded, 1008),
        (Reason::MaximumControlLineExceeded, 1008),
        (Reason::ProtocolViolation, 1002),
        (Reason::ParseError, 1002),
        (Reason::BadClientProtocolVersion, 1002),
        (Reason::MaximumPayloadExceeded, 1009),
        (Reason::StaleConnection, 1001),
        (Reason::ServerShutdown, 1001),
        (Reason::NoRespondersRequiresHeaders, 1011),
    ] {
        let words = last_words(&mut open(), reason);
        assert_eq!(words[0], 0x88);
        assert_eq!(words[2..4], code.to_be_bytes());
        assert_eq!(&words[4..], reason.text().as_bytes());
    }
}

#[test]
fn a_close_is_answered_behind_everything_else() {
    let mut layer = open();
    let bytes = [frame(0x82, b"PING\r\n"), frame(0x88, b"\x03\xe8bye")].concat();
    let expected = (
        Err(CloseReason::ClientClosed),
        "PING\r\n".to_owned(),
        Vec::new(),
    );
    assert_eq!(decode(&mut layer, &bytes), expected);
    let mut wire = Vec::new();
    layer.encode(b"PONG\r\n", &mut wire);
    layer.finish(CloseReason::ClientClosed, &mut wire);
    assert_eq!(wire, b"\x82\x06PONG\r\n\x88\x05\x03\xe8bye");
}

#[test]
fn a_violation_is_named_in_the_close_frame() {
    let mut layer = open();
    let (result, ..) = decode(&mut layer, b"\x82\x06PING\r\n");
    assert_eq!(result, Err(CloseReason::ProtocolViolation));
    let words = last_words(&mut layer, CloseReason::ProtocolViolation);
    assert_eq!(words, b"\x88\x12\x03\xeamask bit missing");
}

#[test]
fn nothing_is_said_to_who_is_not_let_in() {
    let mut fresh = layer();
    assert_eq!(last_words(&mut fresh, CloseReason::ReadError), b"");
    let mut layer = layer();
    let (result, _, answer) = decode(&mut layer, b"GET /mqtt HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(result, Err(CloseReason::ProtocolViolation));
    assert!(answer.starts_with(b"HTTP/1.1 404 ") && !layer.is_ready());
    assert_eq!(last_words(&mut layer, CloseReason::ProtocolViolation), b"");
    let text = "websocket handshake error: mqtt websocket endpoint not enabled";
    assert_eq!(layer.refusal().as_deref(), Some(text));
}

#[test]
fn the_request_tells_about_the_client() {
    let mut layer = layer();
    let request = REQUEST.replace(
        "Host: a\r\n",
        "Host: a\r\nCookie: t=s3cret\r\nX-Forwarded-For: 10.1.2.3\r\n",
    );
    decode(&mut layer, request.as_bytes()).0.unwrap();
    let findings = layer.take_findings();
    assert_eq!(findings.forwarded_for, Some("10.1.2.3".parse().unwrap()));
    let preset = findings.introduction.unwrap().preset;
    assert_eq!(preset.token.expose(), "s3cret");
    assert!(layer.take_findings().introduction.is_none());
}
