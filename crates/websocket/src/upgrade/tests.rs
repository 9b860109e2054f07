use super::*;
use crate::origin::Origin;

/// A request as the standard has it, with changes: a header is replaced, or left out if it is `None`.
fn request(line: &str, changes: &[(&str, Option<&str>)]) -> String {
    let mut headers = vec![
        ("Host", "server.example"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    for (name, value) in changes {
        headers.retain(|(known, _)| known != name);
        headers.extend(value.map(|value| (*name, value)));
    }
    let mut text = format!("{line}\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text + "\r\n"
}

fn rules() -> UpgradeRules {
    UpgradeRules {
        compression: true,
        cookies: Cookies {
            user: Some("u".to_owned()),
            pass: Some("p".to_owned()),
            token: None,
        },
        headers: vec![("X-A".to_owned(), "b".to_owned())],
        ..UpgradeRules::default()
    }
}

/// Feeds the request in pieces of the size given; returns what came of it, the answer and what was left.
fn run(text: &str, rules: &UpgradeRules, size: usize) -> (Step, String, String) {
    let mut upgrade = Upgrade::default();
    let mut answer = Vec::new();
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let (mut piece, behind) = rest.split_at(rest.len().min(size));
        let step = upgrade.step(&mut piece, rules, &mut answer);
        if step != Step::Incomplete {
            let left = [piece, behind].concat();
            return (
                step,
                String::from_utf8(answer).unwrap(),
                String::from_utf8(left).unwrap(),
            );
        }
        assert!(piece.is_empty() && answer.is_empty());
        rest = behind;
    }
    (Step::Incomplete, String::new(), String::new())
}

fn accepted(changes: &[(&str, Option<&str>)]) -> Request {
    let text = request("GET / HTTP/1.1", changes);
    match run(&text, &rules(), 1000) {
        (Step::Accepted(request), ..) => request,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_refused(
    line: &str,
    changes: &[(&str, Option<&str>)],
    refusal: Refusal,
    status: &str,
    body: &str,
) {
    let (step, answer, _) = run(&request(line, changes), &rules(), 1000);
    assert_eq!(step, Step::Refused(refusal));
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
        "{head}"
    );
    assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())));
    assert!(head.contains("\r\nConnection: close\r\n"));
    assert_eq!(text, body);
}

#[test]
fn a_request_is_answered_whatever_its_pieces() {
    let text = request("GET / HTTP/1.1", &[]) + "frames";
    let expected = "HTTP/1.1 101 Switching Protocols\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
        X-A: b\r\n\r\n";
    for text in [text.clone(), text.replace("\r\n", "\n")] {
        for size in 1..=text.len() {
            let (step, answer, left) = run(&text, &rules(), size);
            assert!(matches!(step, Step::Accepted(_)), "{step:?}");
            assert_eq!((answer.as_str(), left.as_str()), (expected, "frames"));
        }
    }
}

#[test]
fn a_long_request_is_refused_at_its_bound() {
    let long = "a".repeat(REQUEST_MAX);
    let text = request("GET / HTTP/1.1", &[("X", Some(&long))]);
    for size in [1, 100, REQUEST_MAX, text.len()] {
        let (step, answer, _) = run(&text, &rules(), size);
        assert_eq!(step, Step::Refused(Refusal::TooLong), "pieces of {size}");
        assert!(answer.starts_with("HTTP/1.1 431 "));
    }
    let fits = "a".repeat(REQUEST_MAX - request("GET / HTTP/1.1", &[("X", Some(""))]).len());
    let text = request("GET / HTTP/1.1", &[("X", Some(&fits))]);
    assert_eq!(text.len(), REQUEST_MAX);
    assert!(matches!(run(&text, &rules(), 100).0, Step::Accepted(_)));
}

#[test]
fn requests_that_are_no_http_are_refused() {
    let get = "GET / HTTP/1.1";
    let bad = "400 Bad Request";
    check_refused("CONNECT {}", &[], Refusal::Malformed, bad, bad);
    check_refused(
        "GET / HTTP/2.0",
        &[],
        Refusal::Version,
        "505 HTTP Version Not Supported",
        "505 HTTP Version Not Supported: unsupported protocol version",
    );
    let missing = "400 Bad Request: missing required Host header";
    check_refused(get, &[("Host", None)], Refusal::NoHost, bad, missing);
    let malformed = "400 Bad Request: malformed Host header";
    check_refused(get, &[("Host", Some("a b"))], Refusal::Host, bad, malformed);
    let name = "400 Bad Request: invalid header name";
    check_refused(get, &[("a b", Some("c"))], Refusal::HeaderName, bad, name);
}

#[test]
fn requests_that_are_no_upgrade_are_refused() {
    let check = |changes: &[_], refusal| {
        let line = "GET / HTTP/1.1";
        check_refused(line, changes, refusal, "400 Bad Request", "Bad Request\n");
    };
    check(&[("Host", Some(""))], Refusal::EmptyHost);
    check(&[("Upgrade", None)], Refusal::Upgrade);
    check(&[("Upgrade", Some("websockets"))], Refusal::Upgrade);
    check(&[("Connection", None)], Refusal::Connection);
    check(&[("Connection", Some("keep-alive"))], Refusal::Connection);
    check(&[("Sec-WebSocket-Key", None)], Refusal::NoKey);
    check(&[("Sec-WebSocket-Key", Some("YWJj"))], Refusal::Key);
    check(&[("Sec-WebSocket-Key", Some("!"))], Refusal::Key);
    let version = "Sec-WebSocket-Version";
    check(&[(version, None)], Refusal::WebSocketVersion);
    check(&[(version, Some("8"))], Refusal::WebSocketVersion);
    check_refused(
        "POST / HTTP/1.1",
        &[],
        Refusal::Method,
        "405 Method Not Allowed",
        "Method Not Allowed\n",
    );
}

#[test]
fn lists_of_values_are_understood() {
    accepted(&[
        ("Upgrade", Some("foo, WebSocket")),
        ("Connection", Some("keep-alive, upgrade")),
        ("Sec-WebSocket-Version", Some("8, 13")),
    ]);
}

#[test]
fn paths_other_than_those_of_mqtt_and_leaf_nodes_are_for_clients() {
    let not_found = |line, refusal| {
        check_refused(line, &[], refusal, "404 Not Found", "Not Found\n");
    };
    not_found("GET /mqtt HTTP/1.1", Refusal::Mqtt);
    not_found("GET /a/mqtt?b HTTP/1.1", Refusal::Mqtt);
    not_found("POST /mqtt HTTP/1.1", Refusal::Mqtt);
    not_found("GET /leafnode HTTP/1.1", Refusal::LeafNode);
    for line in [
        "GET /a HTTP/1.1",
        "GET /mqttx HTTP/1.1",
        "GET /?/mqtt HTTP/1.1",
    ] {
        let (step, ..) = run(&request(line, &[]), &rules(), 1000);
        assert!(matches!(step, Step::Accepted(_)), "{line}");
    }
}

#[test]
fn pages_of_other_origins_are_refused() {
    let rules = UpgradeRules {
        origins: OriginRules {
            same_origin: false,
            allowed: vec![Origin::parse("http://good.example").unwrap()],
        },
        ..UpgradeRules::default()
    };
    let step = |header, origin| {
        let text = request("GET / HTTP/1.1", &[(header, Some(origin))]);
        run(&text, &rules, 1000).0
    };
    let refused = Step::Refused(Refusal::Origin("not in the allowed list"));
    assert_eq!(step("Origin", "http://evil.example"), refused);
    assert_eq!(step("Sec-WebSocket-Origin", "http://evil.example"), refused);
    let allowed = step("Origin", "http://good.example:80");
    assert!(matches!(allowed, Step::Accepted(_)));
}

#[test]
fn compression_is_agreed_to_when_offered() {
    let agreed = |offer| {
        let header = ("Sec-WebSocket-Extensions", Some(offer));
        let compression = accepted(&[header]).compression;
        let text = request("GET / HTTP/1.1", &[header]);
        let (_, answer, _) = run(&text, &rules(), 1000);
        let said = answer.contains(
            "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n",
        );
        assert_eq!(said, compression, "{answer}");
        compression
    };
    assert!(agreed("permessage-deflate; client_max_window_bits"));
    assert!(agreed("foo, Permessage-Deflate"));
    assert!(agreed(
        "permessage-deflate; server_max_window_bits=10, permessage-deflate"
    ));
    assert!(!agreed("permessage-deflatex"));
    assert!(!agreed("foo; permessage-deflate"));
    assert!(!agreed("permessage-deflate; server_max_window_bits=10"));
    let text = request(
        "GET / HTTP/1.1",
        &[("Sec-WebSocket-Extensions", Some("permessage-deflate"))],
    );
    let off = UpgradeRules::default();
    let (step, answer, _) = run(&text, &off, 1000);
    assert!(matches!(step, Step::Accepted(request) if !request.compression));
    assert!(!answer.contains("Extensions"));
}

#[test]
fn configured_cookies_are_credentials() {
    let cookies = accepted(&[("Cookie", Some("x=1; u=ann; p=\"s3cret\"; t=no; u=bob"))]).cookies;
    assert_eq!(cookies.user.as_deref(), Some("bob"));
    assert_eq!(cookies.pass.as_deref(), Some("s3cret"));
    assert_eq!(cookies.token, None);
    let shown = format!("{cookies:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_proxy_may_tell_the_address_of_the_client() {
    let told = |value| accepted(&[("X-Forwarded-For", Some(value))]).forwarded_for;
    assert_eq!(told("10.1.2.3"), Some("10.1.2.3".parse().unwrap()));
    assert_eq!(told("::1"), Some("::1".parse().unwrap()));
    assert_eq!(told("10.1.2.3, 10.1.2.4"), None);
    assert_eq!(told("host"), None);
    assert_eq!(accepted(&[]).forwarded_for, None);
}

#[test]
fn browsers_are_known_by_their_agent() {
    let encoder = |agent| accepted(&[("User-Agent", Some(agent))]).encoder;
    let chrome = encoder("Mozilla/5.0 (X11) AppleWebKit/537.36 Chrome/1.0 Safari/537.36");
    assert!(chrome.browser && !chrome.safari);
    let safari = encoder("Mozilla/5.0 (Macintosh) Version/17.0 Safari/605.1.15");
    assert!(safari.browser && safari.safari);
    assert!(!encoder("Node.js").browser);
}
