//! Clients that speak WebSocket: the upgrade, frames, compression, and how connections end.

use everjet_conformance::websocket::{Closed, Frame, WebSocketClient, frame, request};
use everjet_conformance::{RawClient, ServerProcess, Signal, executable};

const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";

/// A server with a port for WebSocket clients; `block` and `top` add to their parts of the configuration.
#[track_caller]
fn start(block: &str, top: &str) -> (ServerProcess, u16) {
    let server = ServerProcess::start(&format!(
        "websocket {{ host: 127.0.0.1, port: -1, no_tls: true\n{block} }}\n{top}\n"
    ));
    let port = server.websocket_port();
    (server, port)
}

#[test]
fn an_upgrade_is_answered_and_greeted() {
    let (_server, port) = start("headers { X-Proof: given }", "");
    let mut client = WebSocketClient::connect(port, &[]);
    for line in [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "X-Proof: given",
    ] {
        let response = &client.response;
        assert!(response.lines().any(|known| known == line), "{response}");
    }
    assert!(!client.response.contains("Extensions"));
    let info = client.line();
    let here = format!("\"host\":\"127.0.0.1\",\"port\":{port},");
    assert!(info.starts_with("INFO {") && info.contains(&here), "{info}");
    client.say("CONNECT {\"verbose\":true}\r\nPING\r\n");
    assert_eq!(
        (client.line(), client.line()),
        ("+OK".into(), "PONG".into())
    );
}

#[test]
fn what_is_no_upgrade_is_refused() {
    let (_server, port) = start("", "");
    let good = request(port, &[]);
    let check = |from: &str, to: &str, status: &str, body: &str| {
        assert!(good.contains(from), "{from}");
        let mut client = WebSocketClient::open(port, &good.replacen(from, to, 1));
        let head = &client.response;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{to}: {head}"
        );
        assert_eq!(client.body(), body, "{to}");
    };
    check("GET /", "POST /", "405 ", "Method Not Allowed\n");
    check("GET /", "get /", "405 ", "Method Not Allowed\n");
    check("GET / ", "GET /mqtt ", "404 ", "Not Found\n");
    check(
        "HTTP/1.1",
        "HTTP/2.0",
        "505 ",
        "505 HTTP Version Not Supported: unsupported protocol version",
    );
    let bad = |from: &str, to: &str| check(from, to, "400 ", "Bad Request\n");
    bad("Upgrade: websocket", "Upgrade: other");
    bad("Upgrade: websocket\r\n", "");
    bad("Connection: Upgrade", "Connection: close");
    bad("Connection: Upgrade\r\n", "");
    bad("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "");
    bad("dGhlIHNhbXBsZSBub25jZQ==", "YWJj");
    bad("dGhlIHNhbXBsZSBub25jZQ==", "!");
    bad("Version: 13", "Version: 8");
    bad("Sec-WebSocket-Version: 13\r\n", "");
    bad(&format!("Host: 127.0.0.1:{port}"), "Host: ");
    check(
        &format!("Host: 127.0.0.1:{port}\r\n"),
        "",
        "400 ",
        "400 Bad Request: missing required Host header",
    );
    check(
        "Host: ",
        "Host: a b",
        "400 ",
        "400 Bad Request: malformed Host header",
    );
    check("GET / HTTP/1.1", "CONNECT {}", "400 ", "400 Bad Request");
    check(
        "Upgrade: websocket",
        "Upgrade : websocket",
        "400 ",
        "400 Bad Request: invalid header name",
    );
    // And who does it right is let in.
    let _right = WebSocketClient::ready(port, &[]);
}

#[test]
fn headers_are_lists_and_ignore_case() {
    let (_server, port) = start("", "");
    let request = request(port, &[])
        .replace("Upgrade: websocket", "upgrade: foo, WebSocket")
        .replace("Connection: Upgrade", "CONNECTION: keep-alive, upgrade")
        .replace("GET / ", "GET /any/path?query=/mqtt ");
    let client = WebSocketClient::open(port, &request);
    assert!(client.response.starts_with("HTTP/1.1 101 "));
}

#[test]
fn only_allowed_pages_connect() {
    #[track_caller]
    fn check(block: &str, cases: &[(&str, bool)]) {
        let (_server, port) = start(block, "");
        for (origin, allowed) in cases {
            let origin = origin.replace("{port}", &port.to_string());
            let header = format!("Origin: {origin}");
            let client = WebSocketClient::open(port, &request(port, &[&header]));
            let status = match allowed {
                true => "HTTP/1.1 101 ",
                false => "HTTP/1.1 403 ",
            };
            assert!(client.response.starts_with(status), "{block} {origin}");
        }
        let _no_browser = WebSocketClient::ready(port, &[]);
    }
    check("", &[("http://any.example", true)]);
    check(
        "same_origin: true",
        &[
            ("http://127.0.0.1:{port}", true),
            ("https://127.0.0.1:{port}", false),
            ("http://127.0.0.1", false),
            ("http://other.example:{port}", false),
            ("null", false),
        ],
    );
    check(
        "allowed_origins: [\"http://a.example\", \"https://b.example:8443\"]",
        &[
            ("http://A.example:80", true),
            ("https://b.example:8443", true),
            ("https://b.example", false),
            ("https://a.example", false),
            ("http://a.example.evil", false),
        ],
    );
}

#[test]
fn frames_of_all_kinds_carry_the_protocol() {
    let (_server, port) = start("", "");
    let mut client = WebSocketClient::connect(port, &[]);
    client.line();
    // Text or binary, in fragments with a ping between them, one byte at a time, and empty.
    client.send(0x81, b"CONNECT {\"verbose\":false}\r\nPI");
    client.send(0x02, b"NG\r");
    client.send(0x89, b"are you there");
    client.send(0x00, b"");
    client.send(0x80, b"\n");
    client.send(0x82, b"");
    for byte in frame(0x82, b"PING\r\n") {
        client.send_raw(&[byte]);
    }
    let pong = Frame {
        first: 0x8a,
        payload: b"are you there".to_vec(),
    };
    assert_eq!(client.frame(), Some(pong));
    assert_eq!(
        (client.line(), client.line()),
        ("PONG".into(), "PONG".into())
    );
}

#[test]
fn violations_end_the_connection() {
    let (_server, port) = start("", "");
    let check = |bytes: &[u8], text: &str| {
        let mut client = WebSocketClient::ready(port, &[]);
        client.send_raw(bytes);
        let closed = client.closed();
        // nats-server means to send the close frame, and mostly closes before it does.
        if !(executable::is_reference() && closed == Closed::Silently) {
            assert_eq!(closed, Closed::Frame(1002, text.to_owned()));
        }
    };
    check(b"\x82\x06PING\r\n", "mask bit missing");
    check(&frame(0xa2, b"a"), "RSV2 and RSV3 must be clear");
    let compressed = "compressed frame received without negotiated permessage-deflate";
    check(&frame(0xc2, b"a"), compressed);
    check(&frame(0x83, b"a"), "unknown opcode 3");
    check(&frame(0x8b, b"a"), "unknown opcode 11");
    let long = "control frame length bigger than maximum allowed of 125 bytes";
    check(&frame(0x89, &[b'a'; 126]), long);
    check(
        &frame(0x09, b"a"),
        "control frame does not have final bit set",
    );
    check(&frame(0x80, b"a"), "invalid continuation frame");
    let twice = [frame(0x02, b"PI"), frame(0x82, b"NG")].concat();
    check(
        &twice,
        "new message started before final frame for previous message was received",
    );
    check(
        &frame(0x88, b"\x03"),
        "close frame payload cannot be 1 byte",
    );
    check(&frame(0x88, b"\x03\xed"), "invalid close status code 1005");
    let _next = WebSocketClient::ready(port, &[]);
}

#[test]
fn a_close_is_answered_behind_what_came_before_it() {
    let (_server, port) = start("", "");
    let mut client = WebSocketClient::ready(port, &[]);
    client.send(0x88, b"\x03\xe8bye");
    assert_eq!(client.closed(), Closed::Frame(1000, "bye".into()));
    let mut client = WebSocketClient::ready(port, &[]);
    client.send(0x88, b"");
    assert_eq!(client.closed(), Closed::Frame(0, String::new()));
    let mut client = WebSocketClient::ready(port, &[]);
    let both = [frame(0x82, b"PING\r\n"), frame(0x88, b"\x03\xe9")].concat();
    client.send_raw(&both);
    assert_eq!(client.line(), "PONG");
    assert_eq!(client.closed(), Closed::Frame(1001, String::new()));
}

#[test]
fn the_close_frame_says_why() {
    let (_server, port) = start("", "max_control_line: 1024");
    let check = |text: &str, error: &str, status, reason: &str| {
        let mut client = WebSocketClient::connect(port, &[]);
        client.line();
        client.say(text);
        assert_eq!(client.line(), format!("-ERR '{error}'"), "{text}");
        assert_eq!(client.closed(), Closed::Frame(status, reason.into()));
    };
    check(
        "CONNECT {\"verbose\":false}\r\nPUB a 2000000\r\n",
        "Maximum Payload Violation",
        1009,
        "Maximum Message Payload Exceeded",
    );
    check(
        &format!("PUB {}", "a".repeat(2000)),
        "maximum control line exceeded",
        1008,
        "Maximum Control Line Exceeded",
    );
    check(
        "CONNECT {\"protocol\":5}\r\n",
        "invalid client protocol",
        1002,
        "Bad Client Protocol Version",
    );
    check(
        "CONNECT {\"no_responders\":true}\r\n",
        "no responders requires headers support",
        1011,
        "No Responders Requires Headers",
    );
}

#[test]
fn a_shutdown_says_goodbye() {
    let (mut server, port) = start("", "");
    let mut client = WebSocketClient::ready(port, &[]);
    server.terminate();
    assert_eq!(
        client.closed(),
        Closed::Frame(1001, "Server Shutdown".into())
    );
}

#[test]
fn who_is_one_too_many_is_told_so() {
    let (server, port) = start("", "max_connections: 1");
    let _first = server.ready();
    let mut second = WebSocketClient::connect(port, &[]);
    second.line();
    assert_eq!(second.line(), "-ERR 'maximum connections exceeded'");
    let text = "Maximum Connections Exceeded".to_owned();
    assert_eq!(second.closed(), Closed::Frame(1008, text));
}

#[test]
fn a_peer_without_a_request_is_closed() {
    let (_server, port) = start("handshake_timeout: \"100ms\"", "");
    let mut silent = WebSocketClient::silent(port);
    assert_eq!(silent.closed(), Closed::Silently);
    let mut slow = WebSocketClient::silent(port);
    slow.send_raw(b"GET / HTTP/1.1\r\nHost: a");
    assert_eq!(slow.closed(), Closed::Silently);
}

#[test]
fn messages_pass_between_both_kinds_of_clients() {
    let (server, port) = start("compression: true", "");
    let mut plain = server.ready();
    let mut web = WebSocketClient::ready(port, &[]);
    let mut compressed = WebSocketClient::ready(port, &[DEFLATE]);
    plain.send(b"SUB news 1\r\nPING\r\n");
    assert_eq!(plain.line(), "PONG");
    for client in [&mut web, &mut compressed] {
        client.say("SUB news 1\r\nPING\r\n");
        assert_eq!(client.line(), "PONG");
    }
    // A large message in many frames, and small ones around it.
    let body = "abcdefghij".repeat(30_000);
    plain.send(format!("PUB news 1\r\n1\r\nPUB news {0}\r\n{body}\r\n", body.len()).as_bytes());
    let last = "PUB news 1\r\n3\r\n";
    for client in [&mut web, &mut compressed] {
        assert_eq!(
            (client.line(), client.line()),
            ("MSG news 1 1".into(), "1".into())
        );
        assert_eq!(client.line(), format!("MSG news 1 {}", body.len()));
        assert!(client.line() == body);
    }
    web.say(last);
    compressed.send_compressed(last.as_bytes());
    for client in [&mut web, &mut compressed] {
        for _ in 0..2 {
            assert_eq!(
                (client.line(), client.line()),
                ("MSG news 1 1".into(), "3".into())
            );
        }
    }
    for _ in 0..4 {
        assert!(plain.message().subject == "news");
    }
}

#[test]
fn larger_messages_are_compressed() {
    let (_server, port) = start("compression: true", "");
    let mut client = WebSocketClient::connect(port, &[DEFLATE]);
    let agreed = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";
    assert!(client.response.contains(agreed), "{}", client.response);
    let info = client.frame().expect("INFO");
    assert_eq!(info.first, 0xc2);
    client.say("CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPING\r\n");
    assert_eq!(client.frame().expect("PONG").first, 0x82);
    for (size, first) in [(10, 0x82), (300, 0xc2)] {
        let body = "a".repeat(size);
        client.say(&format!("PUB a {size}\r\n{body}\r\n"));
        let frame = client.frame().expect("the message");
        assert_eq!(frame.first, first, "{size}");
        assert!(first == 0x82 || frame.payload.len() < 100);
    }
    // A ping goes between the fragments of a compressed message.
    let payload = everjet_conformance::websocket::deflate(b"PUB a 2\r\nhi\r\n");
    client.send(0x42, &payload[..5]);
    client.send(0x89, b"");
    client.send(0x80, &payload[5..]);
    assert_eq!(client.frame().expect("a pong").first, 0x8a);
    assert_eq!(
        (client.line(), client.line()),
        ("MSG a 1 2".into(), "hi".into())
    );
    let off = WebSocketClient::connect(start("", "").1, &[DEFLATE]);
    assert!(!off.response.contains("Extensions"));
}

#[test]
fn browsers_get_small_frames() {
    let (_server, port) = start("compression: true", "");
    let agent = "User-Agent: Mozilla/5.0 (X11) Chrome/1.0 Safari/537.36";
    let mut state = 1_u64;
    let digits: String = (0..40_000)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'0' + state.to_be_bytes()[0] % 10)
        })
        .collect();
    let text = format!("MSG a 1 {}\r\n{digits}\r\n", digits.len());
    for headers in [&[agent][..], &[agent, DEFLATE]] {
        let mut client = WebSocketClient::ready(port, headers);
        client.say(&format!(
            "SUB a 1\r\nPUB a {}\r\n{digits}\r\n",
            digits.len()
        ));
        let mut frames = Vec::new();
        let compressed = headers.len() > 1;
        // Uncompressed, each frame is a message of its own.
        while match compressed {
            true => frames
                .last()
                .is_none_or(|frame: &Frame| frame.first & 0x80 == 0),
            false => {
                frames
                    .iter()
                    .map(|frame| frame.payload.len())
                    .sum::<usize>()
                    < text.len()
            }
        } {
            frames.push(client.frame().expect("a frame"));
        }
        assert!(frames.len() > 3, "{}", frames.len());
        assert!(frames.iter().all(|frame| frame.payload.len() <= 4096));
        let first = if compressed { 0x42 } else { 0x82 };
        assert_eq!(frames[0].first, first);
    }
}

#[test]
fn a_bomb_ends_its_connection_only() {
    let (_server, port) = start("compression: true", "");
    let mut neighbour = WebSocketClient::ready(port, &[]);
    let mut client = WebSocketClient::ready(port, &[DEFLATE]);
    // A subscription to nothing, over and over, and more of it than any message may stand for.
    client.send_compressed(&b"PING\r\n".repeat(2_000_000));
    let closed = client.closed();
    if !executable::is_reference() {
        let text = "Maximum Message Payload Exceeded".to_owned();
        assert_eq!(closed, Closed::Frame(1009, text));
    }
    neighbour.say("PING\r\n");
    // The server has asked the same by now if that took long.
    let answer = std::iter::repeat_with(|| neighbour.line()).find(|line| line != "PING");
    assert_eq!(answer.as_deref(), Some("PONG"));
}

#[test]
fn a_compressed_message_may_hold_many_operations() {
    let (_server, port) = start("compression: true", "");
    let mut client = WebSocketClient::ready(port, &[DEFLATE]);
    client.send_compressed(&b"PING\r\n".repeat(100_000));
    for _ in 0..100_000 {
        assert_eq!(client.line(), "PONG");
    }
}

#[test]
fn corrupt_compression_ends_the_connection() {
    let (_server, port) = start("compression: true", "");
    let mut client = WebSocketClient::ready(port, &[DEFLATE]);
    client.send(0xc2, &[0xff; 4]);
    let closed = client.closed();
    if !executable::is_reference() {
        let text = "corrupt compressed message".to_owned();
        assert_eq!(closed, Closed::Frame(1007, text));
    }
}

#[test]
fn cookies_stand_for_what_connect_leaves_out() {
    let block = "user_cookie: u, pass_cookie: p";
    let (_server, port) = start(block, "authorization { user: ann, password: secret }");
    let check = |cookie: &str, connect: &str, granted: bool| {
        let header = format!("Cookie: {cookie}");
        let mut client = WebSocketClient::connect(port, &[&header]);
        client.line();
        client.say(&format!("CONNECT {connect}\r\nPING\r\n"));
        if granted {
            assert_eq!(
                (client.line(), client.line()),
                ("+OK".into(), "PONG".into())
            );
        } else {
            assert_eq!(client.line(), "-ERR 'Authorization Violation'");
            let text = "Authentication Failure".to_owned();
            assert_eq!(client.closed(), Closed::Frame(1008, text));
        }
    };
    check("a=b; u=ann; p=secret", "{}", true);
    check("u=ann; p=\"secret\"", "{}", true);
    check("u=ann", "{\"pass\":\"secret\"}", true);
    check("u=bob; p=secret", "{\"user\":\"ann\"}", true);
    check("u=ann; p=secret", "{\"pass\":\"wrong\"}", false);
    check("u=ann; p=wrong", "{}", false);
    check("a=b", "{}", false);
}

#[test]
fn the_block_may_have_an_authorization_of_its_own() {
    let block = "token_cookie: t, authorization { token: web, timeout: \"300ms\" }";
    let (server, port) = start(block, "");
    // Plain clients are not asked.
    let _plain: RawClient = server.ready();
    let mut client = WebSocketClient::connect(port, &["Cookie: t=web"]);
    assert!(client.line().contains("\"auth_required\":true"));
    client.say("CONNECT {\"verbose\":false}\r\nPING\r\n");
    assert_eq!(client.line(), "PONG");
    let mut late = WebSocketClient::connect(port, &[]);
    late.line();
    assert_eq!(late.line(), "-ERR 'Authentication Timeout'");
    let text = "Authentication Timeout".to_owned();
    assert_eq!(late.closed(), Closed::Frame(1008, text));
}

#[test]
fn masking_is_not_negotiable() {
    let (_server, port) = start("", "");
    let client = WebSocketClient::connect(port, &["Nats-No-Masking: true"]);
    let granted = client.response.contains("Nats-No-Masking");
    assert_eq!(granted, executable::is_reference());
}

#[test]
fn a_slow_reader_is_closed_and_others_go_on() {
    let (server, port) = start("", "max_pending: 1MB, max_payload: 512KB");
    let mut slow = WebSocketClient::ready(port, &[]);
    slow.say("SUB a 1\r\nPING\r\n");
    assert_eq!(slow.line(), "PONG");
    let mut publisher = server.ready();
    let message = format!("PUB a 500000\r\n{}\r\n", "a".repeat(500_000));
    for _ in 0..60 {
        publisher.send(message.as_bytes());
    }
    publisher.send(b"PING\r\n");
    assert_eq!(publisher.line(), "PONG");
    let mut received = 0;
    // What was written before the cut may end inside a frame.
    while slow.read_away() > 0 {
        received += 1;
    }
    assert!(received > 0);
    let mut other = WebSocketClient::ready(port, &[]);
    other.say("PING\r\n");
    assert_eq!(other.line(), "PONG");
}

#[test]
fn the_log_names_websocket_clients() {
    let (server, port) = start("", "debug: true");
    let client = WebSocketClient::ready(port, &["X-Forwarded-For: 10.1.2.3"]);
    drop(client);
    let _refused = WebSocketClient::open(port, "GET /mqtt HTTP/1.1\r\nHost: a\r\n\r\n");
    server.wait_for_log("Client connection closed: Client Closed");
    server.wait_for_log("websocket handshake error: mqtt websocket endpoint not enabled");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("connection created"));
    let line = line.expect("the client is named");
    assert!(line.contains("[DBG] 10.1.2.3/127.0.0.1:"), "{line}");
    assert!(line.contains(" - wid:"), "{line}");
}

#[test]
fn a_lame_duck_says_so() {
    let (server, port) = start("", "");
    let mut client = WebSocketClient::connect(port, &[]);
    client.line();
    client.say("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
    assert_eq!(client.line(), "PONG");
    assert!(client.line().contains("\"connect_info\":true"));
    server.signal(Signal::USR2);
    let info = client.line();
    assert!(info.contains("\"ldm\":true"), "{info}");
    let here = format!("\"host\":\"127.0.0.1\",\"port\":{port},");
    assert!(info.contains(&here), "{info}");
}
