//! What clients may send, what they may not, and that it does not matter how the bytes arrive.

use everjet_wire::{DecodeError, Decoded, Frame, Limits, Message, decode, put_message};

fn limits() -> Limits {
    Limits {
        headers: true,
        ..Limits::default()
    }
}

fn message<'a>(subject: &'a str, reply: &'a str, headers: &'a str, payload: &'a str) -> Frame<'a> {
    Frame::Publish(Message {
        subject: subject.as_bytes(),
        reply: reply.as_bytes(),
        headers: headers.as_bytes(),
        payload: payload.as_bytes(),
    })
}

fn subscribe<'a>(subject: &'a str, queue: &'a str, sid: &'a str) -> Frame<'a> {
    Frame::Subscribe {
        subject: subject.as_bytes(),
        queue: queue.as_bytes(),
        sid: sid.as_bytes(),
    }
}

fn unsubscribe(sid: &str, max: Option<u64>) -> Frame<'_> {
    Frame::Unsubscribe {
        sid: sid.as_bytes(),
        max,
    }
}

/// Decodes `input`, after which further bytes wait.
fn check(input: &str, frame: Frame<'_>) {
    let bytes = format!("{input}PUB next 0\r\n\r\n");
    let used = input.len();
    let expected = Ok(Decoded::Frame { frame, used });
    assert_eq!(decode(bytes.as_bytes(), &limits()), expected, "{input:?}");
}

fn check_error(input: &str, error: DecodeError) {
    assert_eq!(decode(input.as_bytes(), &limits()), Err(error), "{input:?}");
}

fn check_incomplete(input: &str, needed: usize) {
    let expected = Ok(Decoded::Incomplete { needed });
    assert_eq!(decode(input.as_bytes(), &limits()), expected, "{input:?}");
}

#[test]
fn publishes_are_read() {
    for (input, frame) in [
        ("PUB a.b 5\r\nhello\r\n", message("a.b", "", "", "hello")),
        ("PUB a 0\r\n\r\n", message("a", "", "", "")),
        ("PUB a r.1 2\r\nhi\r\n", message("a", "r.1", "", "hi")),
        ("pub a 1\r\nx\r\n", message("a", "", "", "x")),
        ("PuB a 1\nx\r\n", message("a", "", "", "x")),
        ("PUB\ta\t\tr\t 1 \t\r\nx\r\n", message("a", "r", "", "x")),
        ("PUB   a   1\r\nx\r\n", message("a", "", "", "x")),
        ("PUB a 000000001\r\nx\r\n", message("a", "", "", "x")),
        ("PUB a 4\r\n\r\n\r\n\r\n", message("a", "", "", "\r\n\r\n")),
        ("PUB a..b 1\r\nx\r\n", message("a..b", "", "", "x")),
        ("PUB * > 1\r\nx\r\n", message("*", ">", "", "x")),
        ("PUB 7 8 1\r\nx\r\n", message("7", "8", "", "x")),
        ("PUB a\0b\x0b 1\r\nx\r\n", message("a\0b\x0b", "", "", "x")),
        ("PUB a\rb 1\r\nx\r\n", message("a\rb", "", "", "x")),
    ] {
        check(input, frame);
    }
}

#[test]
fn publishes_with_headers_are_read() {
    let block = "NATS/1.0\r\n\r\n";
    for (input, frame) in [
        (
            format!("HPUB a 12 13\r\n{block}x\r\n"),
            message("a", "", block, "x"),
        ),
        (
            format!("HPUB a 12 12\r\n{block}\r\n"),
            message("a", "", block, ""),
        ),
        (
            format!("HPUB a r 12 14\r\n{block}xy\r\n"),
            message("a", "r", block, "xy"),
        ),
        (
            format!("hpub\ta  12\t12 \n{block}\r\n"),
            message("a", "", block, ""),
        ),
        ("HPUB a 0 1\r\nx\r\n".into(), message("a", "", "", "x")),
        ("HPUB a 0 0\r\n\r\n".into(), message("a", "", "", "")),
        ("HPUB a 2 3\r\nxyz\r\n".into(), message("a", "", "xy", "z")),
    ] {
        check(&input, frame);
    }
}

#[test]
fn other_operations_are_read() {
    for (input, frame) in [
        ("SUB a 1\r\n", subscribe("a", "", "1")),
        (
            "SUB a.* workers sid-7\r\n",
            subscribe("a.*", "workers", "sid-7"),
        ),
        ("sub\ta  1 \n", subscribe("a", "", "1")),
        ("SUB a..b 1\r\n", subscribe("a..b", "", "1")),
        ("SUB a\r1\r\n", subscribe("a", "", "1")),
        ("UNSUB 1\r\n", unsubscribe("1", None)),
        ("unsub 1 \n", unsubscribe("1", None)),
        ("UNSUB 1 5\r\n", unsubscribe("1", Some(5))),
        (
            "UNSUB 1 18446744073709551615\r\n",
            unsubscribe("1", Some(u64::MAX)),
        ),
        ("UNSUB 1 18446744073709551616\r\n", unsubscribe("1", None)),
        ("UNSUB 1 0\r\n", unsubscribe("1", None)),
        ("UNSUB 1 x\r\n", unsubscribe("1", None)),
        ("UNSUB 1 -1\r\n", unsubscribe("1", None)),
        ("PING\r\n", Frame::Ping),
        ("ping\n", Frame::Ping),
        ("PINGPONG and more\r\n", Frame::Ping),
        ("PONG\r\n", Frame::Pong),
        ("Pong \t\n", Frame::Pong),
        ("CONNECT {}\r\n", Frame::Connect(b"{}")),
        ("connect \t {\"a\": 1} \n", Frame::Connect(b"{\"a\": 1} ")),
        ("CONNECT{}\r\n", Frame::Connect(b"{}")),
        ("CONNECT\r\n", Frame::Connect(b"")),
        ("CONNECTX{}\r\n", Frame::Connect(b"X{}")),
        ("INFO {}\r\n", Frame::Info(b"{}")),
        ("INFO\n", Frame::Info(b"")),
        ("+OK\r\n", Frame::Ok),
        ("+ok whatever\r\n", Frame::Ok),
        ("-ERR 'text'\r\n", Frame::Err(b"'text'")),
        ("-err \r\n", Frame::Err(b"")),
    ] {
        check(input, frame);
    }
}

#[test]
fn unknown_operations_are_refused_at_their_first_wrong_byte() {
    for input in [
        "X",
        "\r",
        "\n",
        " ",
        "\0",
        "GET / HTTP/1.1\r\n",
        "PX",
        "PIX",
        "PUBX",
        "PUB\r",
        "PUB\n",
        "HPUB\r",
        "SUBX",
        "SUB\r",
        "UNSUB\n",
        "+X",
        "-X",
        "-ERR\r",
        "-ERRX",
        "CONNEXT",
        "M",
        "MSG a 1 0\r\n\r\n",
        "HM",
        "HMSG a 1 0 0\r\n\r\n",
        "R",
        "RS+ $G a\r\n",
        "RS- $G a\r\n",
        "RMSG $G a 0\r\n\r\n",
        "L",
        "LS+ a\r\n",
        "LS- a\r\n",
        "LMSG a 0\r\n\r\n",
        "A",
        "A+ a\r\n",
        "A- a\r\n",
    ] {
        check_error(input, DecodeError::UnknownOperation);
    }
}

#[test]
fn wrong_arguments_are_refused() {
    for input in [
        "PUB \r\n",
        "PUB a\r\n",
        "PUB 5\r\n",
        "PUB a x\r\n",
        "PUB a 1x\r\n",
        "PUB a x1\r\n",
        "PUB a -1\r\n",
        "PUB a +1\r\n",
        "PUB a 1 x\r\n",
        "PUB a r q 1\r\n",
        "PUB a 1\r\r\n",
        "PUB a\r1\r\n",
        "PUB a 0000000001\r\n",
        "PUB a 9999999999\r\n",
        "PUB a 99999999999999999999999999\r\n",
        "HPUB \r\n",
        "HPUB a\r\n",
        "HPUB a 12\r\n",
        "HPUB 12 12\r\n",
        "HPUB a x 12\r\n",
        "HPUB a 12 x\r\n",
        "HPUB a 13 12\r\n",
        "HPUB a r q 12 13\r\n",
        "HPUB a 12 9999999999\r\n",
        "HPUB a 9999999999 12\r\n",
        "SUB \r\n",
        "SUB a\r\n",
        "SUB a q 1 x\r\n",
        "SUB a b c d e\r\n",
        "UNSUB \r\n",
        "UNSUB  \t \n",
        "UNSUB 1 2 3\r\n",
    ] {
        check_error(input, DecodeError::Malformed);
    }
}

#[test]
fn a_payload_ends_in_crlf_where_its_size_says() {
    for input in [
        "PUB a 1\r\nxy",
        "PUB a 1\r\nxy\r\n",
        "PUB a 1\r\nx\n",
        "PUB a 1\r\nx\ry",
        "PUB a 0\r\nx",
        "PUB a 0\n\n",
        "HPUB a 12 13\r\nNATS/1.0\r\n\r\nxx\r\n",
    ] {
        check_error(input, DecodeError::PayloadNotTerminated);
    }
}

#[test]
fn a_payload_is_refused_by_its_announced_size() {
    check_incomplete("PUB a 1048576\r\n", 15 + 1_048_576 + 2);
    check_incomplete("HPUB a 12 1048576\r\n", 19 + 1_048_576 + 2);
    for input in [
        "PUB a 1048577\r\n",
        "PUB a 999999999\r\n",
        "HPUB a 12 1048577\r\n",
        "HPUB a 1048577 1048577\r\n",
    ] {
        check_error(input, DecodeError::PayloadTooLarge);
    }
}

#[test]
fn headers_need_an_agreement() {
    let without = Limits::default();
    for input in ["HPUB a 12 12\r\n", "HPUB \r\n"] {
        let found = decode(input.as_bytes(), &without);
        assert_eq!(found, Err(DecodeError::HeaderViolation), "{input:?}");
    }
}

#[test]
fn incomplete_frames_say_what_they_need_once_they_know() {
    for (input, needed) in [
        ("", 0),
        ("P", 0),
        ("pU", 0),
        ("PUB", 0),
        ("PUB a 5", 0),
        ("PUB a 5\r", 0),
        ("PUB a 5\r\n", 16),
        ("PUB a 5\r\nhello", 16),
        ("PUB a 5\r\nhello\r", 16),
        ("PUB a 5\nhell", 15),
        ("HPUB", 0),
        ("HPUB a 12 13\r\nNATS", 29),
        ("PING", 0),
        ("PING\r", 0),
        ("CONNECT {", 0),
        ("-ERR", 0),
        ("+", 0),
    ] {
        check_incomplete(input, needed);
    }
}

#[test]
fn a_control_line_has_a_maximum_with_or_without_its_end() {
    for operation in [
        "PUB ", "HPUB ", "SUB ", "UNSUB ", "CONNECT ", "INFO ", "-ERR ", "PING ", "+OK ",
    ] {
        let longest = format!("{operation}{}", "a".repeat(4096));
        check_incomplete(&longest, 0);
        check_incomplete(&format!("{longest}\r"), 0);
        check_error(&format!("{longest}a"), DecodeError::ControlLineTooLong);
        check_error(&format!("{longest}\r\r"), DecodeError::ControlLineTooLong);
        check_error(&format!("{longest}a\r\n"), DecodeError::ControlLineTooLong);
        check_error(&format!("{longest}a\n"), DecodeError::ControlLineTooLong);
        check_error(&longest.repeat(20), DecodeError::ControlLineTooLong);
    }
    let subject = "a".repeat(4094);
    for end in ["\r\n", "\n"] {
        check(
            &format!("SUB {subject} 1{end}"),
            subscribe(&subject, "", "1"),
        );
        check(
            &format!("PUB {subject} 0{end}\r\n"),
            message(&subject, "", "", ""),
        );
    }
}

#[test]
fn errors_have_the_published_texts_and_reasons() {
    for (error, text, reason) in [
        (
            DecodeError::UnknownOperation,
            Some("Unknown Protocol Operation"),
            "Protocol Violation",
        ),
        (
            DecodeError::PayloadNotTerminated,
            Some("Unknown Protocol Operation"),
            "Protocol Violation",
        ),
        (DecodeError::Malformed, None, "Protocol Violation"),
        (DecodeError::HeaderViolation, None, "Protocol Violation"),
        (
            DecodeError::ControlLineTooLong,
            Some("maximum control line exceeded"),
            "Maximum Control Line Exceeded",
        ),
        (
            DecodeError::PayloadTooLarge,
            Some("Maximum Payload Violation"),
            "Maximum Message Payload Exceeded",
        ),
    ] {
        assert_eq!(error.error_text(), text);
        assert_eq!(error.close_reason(), reason);
    }
}

/// A session with every operation, in all its spellings.
const SESSION: &str = "CONNECT {\"verbose\":false,\"headers\":true}\r\nPING\r\nsub orders.> 1\r\n\
    SUB\torders.*  workers\t2\nPUB orders.new 5\r\nhello\r\nPUB orders.new _INBOX.1 12\r\nPING\r\nPONG\r\n\r\n\
    hpub orders.new 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\nHPUB a b 12 12\r\nNATS/1.0\r\n\r\n\r\nUNSUB 1 5\r\n\
    unsub 2\nPONG x\r\n+OK\r\nINFO {}\r\nPUB a 0\n\r\n-ERR 'bye'\r\n";

/// Decodes `bytes` one frame after the other; the frames, and how many bytes they took.
fn decode_all(bytes: &[u8]) -> (Vec<Frame<'_>>, usize) {
    let mut frames = Vec::new();
    let mut start = 0;
    while let Decoded::Frame { frame, used } = decode(&bytes[start..], &limits()).expect("legal") {
        frames.push(frame);
        start += used;
    }
    (frames, start)
}

#[test]
fn a_session_may_be_split_at_every_byte() {
    let session = SESSION.as_bytes();
    let (whole, used) = decode_all(session);
    assert_eq!(used, session.len());
    assert_eq!(whole.len(), 15);

    for split in 0..=session.len() {
        let (mut frames, used) = decode_all(&session[..split]);
        assert!(used <= split);
        let (rest, _) = decode_all(&session[used..]);
        frames.extend(rest);
        assert_eq!(frames, whole, "split at {split}");
    }
}

#[test]
fn a_session_may_arrive_byte_by_byte() {
    let session = SESSION.as_bytes();
    let (whole, _) = decode_all(session);
    let mut frames = Vec::new();
    let mut start = 0;
    let mut promised = 0;
    for end in 1..=session.len() {
        let bytes = &session[start..end];
        match decode(bytes, &limits()).expect("legal") {
            Decoded::Frame { frame, used } => {
                assert_eq!(used, bytes.len(), "no frame is longer than it needs to be");
                assert!(promised == 0 || promised == used);
                frames.push(frame);
                (start, promised) = (end, 0);
            }
            Decoded::Incomplete { needed } => {
                assert!(promised == 0 || promised == needed);
                assert!(needed == 0 || needed > bytes.len());
                promised = needed;
            }
        }
    }
    assert_eq!(start, session.len());
    assert_eq!(frames, whole);
}

#[test]
fn what_is_encoded_for_a_receiver_reads_back_as_a_publish() {
    for payload in 0..300usize {
        for headers in ["", "NATS/1.0\r\n\r\n", "NATS/1.0\r\nA: b\r\n\r\n"] {
            for reply in ["", "_INBOX.abc.1"] {
                let payload = "x\r\n".repeat(payload);
                let sent = Message {
                    subject: b"orders.new",
                    reply: reply.as_bytes(),
                    headers: headers.as_bytes(),
                    payload: payload.as_bytes(),
                };
                let mut line = Vec::new();
                put_message(&mut line, &sent, b"17", true);
                // What a receiver gets differs from what a publisher sends in the name and the subscription.
                let line = String::from_utf8(line).expect("a text");
                let line =
                    line.replacen("MSG ", "PUB ", 1)
                        .replacen("orders.new 17 ", "orders.new ", 1);
                let used = line.len();
                let expected = Ok(Decoded::Frame {
                    frame: Frame::Publish(sent),
                    used,
                });
                assert_eq!(decode(line.as_bytes(), &limits()), expected);
            }
        }
    }
}
