//! TLS on the port for clients.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use everjet_conformance::{
    Certificate, Pki, RawClient, ServerProcess, Signal, TlsClient, TlsVersion, executable,
};
use serde_json::Value;

/// A server with TLS, and what its clients need.
struct Secured {
    pki: Pki,
    server: ServerProcess,
    certificate: Certificate,
}

impl Secured {
    /// Starts it with these further lines in the block, and others around it.
    #[track_caller]
    fn start(block: &str, around: &str) -> Self {
        Self::start_with(Pki::default(), block, around)
    }

    #[track_caller]
    fn start_with(pki: Pki, block: &str, around: &str) -> Self {
        let certificate = pki.server("server");
        let config = config(&certificate, block, around);
        Self {
            server: ServerProcess::start(&config),
            pki,
            certificate,
        }
    }

    /// A client that waits for INFO, shakes hands and introduces itself.
    #[track_caller]
    fn ready(&self) -> RawClient {
        let (_, mut client) = self.info_first(&self.pki.trusting(TlsVersion::Both));
        client.introduce();
        client
    }

    /// A client that waits for INFO and shakes hands.
    #[track_caller]
    fn info_first(&self, tls: &TlsClient) -> (Value, RawClient) {
        let mut client = self.server.connect();
        let info = info(&client.line());
        (info, client.upgrade(tls).expect("a handshake"))
    }

    /// A client that shakes hands at once and reads INFO then.
    #[track_caller]
    fn handshake_first(&self) -> (Value, RawClient) {
        let tls = self.pki.trusting(TlsVersion::Both);
        let mut client = self.server.connect().upgrade(&tls).expect("a handshake");
        (info(&client.line()), client)
    }

    /// Whether a client gets through its handshake to a PONG.
    #[track_caller]
    fn lets_in(&self, tls: &TlsClient) -> bool {
        let mut client = self.server.connect();
        client.line();
        let Ok(mut client) = client.upgrade(tls) else {
            return false;
        };
        client
            .try_send(b"CONNECT {\"verbose\":false}\r\nPING\r\n")
            .is_ok()
            && client.try_line().is_ok_and(|line| line == "PONG")
    }
}

fn config(certificate: &Certificate, block: &str, around: &str) -> String {
    format!("{around}\ntls {{\n{}{block}\n}}\n", certificate.lines())
}

#[track_caller]
fn info(line: &str) -> Value {
    let json = line.strip_prefix("INFO ").expect("the greeting is INFO");
    serde_json::from_str(json).expect("the greeting is JSON")
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn info_comes_first_and_everything_else_through_tls() {
    let secured = Secured::start("", "");
    let (info, mut client) = secured.info_first(&secured.pki.trusting(TlsVersion::Both));
    assert_eq!(info["tls_required"], true);
    assert!(info.get("tls_verify").is_none() && info.get("tls_available").is_none());
    client.send(b"CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
    assert_eq!(client.line(), "PONG");
    let second = client.line();
    assert!(second.contains("\"connect_info\":true") && second.contains("\"tls_required\":true"));
    client.send(b"SUB a 1\r\nPUB a 5\r\nhello\r\n");
    assert_eq!(client.message().text(), "hello");
    client.send(b"NONSENSE\r\n");
    assert_eq!(client.line(), "-ERR 'Unknown Protocol Operation'");
    client.expect_closed();
}

#[test]
fn both_versions_are_spoken() {
    let secured = Secured::start("", "");
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        assert!(
            secured.lets_in(&secured.pki.trusting(version)),
            "{version:?}"
        );
    }
}

#[test]
fn an_old_version_is_refused_if_the_configuration_says_so() {
    let secured = Secured::start("min_version: \"1.3\"", "");
    assert!(!secured.lets_in(&secured.pki.trusting(TlsVersion::V1_2)));
    assert!(secured.lets_in(&secured.pki.trusting(TlsVersion::V1_3)));
}

#[test]
fn a_client_without_tls_is_refused() {
    let secured = Secured::start("", "");
    let mut client = secured.server.connect();
    client.line();
    client.send(b"CONNECT {}\r\nPING\r\n");
    // nats-server closes without a word.
    if !executable::is_reference() {
        assert_eq!(client.line(), "-ERR 'Secure Connection - TLS Required'");
    }
    client.expect_closed();
    secured.ready().expect_quiet();
}

#[test]
fn clients_without_tls_may_be_allowed() {
    let secured = Secured::start("", "allow_non_tls: true");
    let mut plain = secured.server.connect();
    let greeting = info(&plain.line());
    assert_eq!(greeting["tls_available"], true);
    assert!(greeting.get("tls_required").is_none());
    plain.introduce();
    plain.send(b"SUB a 1\r\n");
    plain.expect_quiet();
    let mut secret = secured.ready();
    secret.send(b"PUB a 2\r\nhi\r\n");
    assert_eq!(plain.message().text(), "hi");
}

#[test]
fn a_client_that_may_do_without_tls_may_take_its_time() {
    let secured = Secured::start("timeout: 0.1", "allow_non_tls: true");
    let mut client = secured.server.connect();
    client.line();
    client.set_patience(Duration::from_millis(300));
    let silence = client.try_line().expect_err("the server waits");
    assert!(matches!(
        silence.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));
    client.set_patience(Duration::from_secs(10));
    client.introduce();
}

#[test]
fn the_handshake_may_come_first() {
    let secured = Secured::start("handshake_first: true\ntimeout: 0.5", "");
    let (info, mut client) = secured.handshake_first();
    assert_eq!(info["tls_required"], true);
    client.introduce();
    // A client that waits for INFO waits in vain.
    let mut waiting = secured.server.connect();
    waiting.expect_closed();
}

#[test]
fn a_client_that_does_not_begin_is_greeted_in_time() {
    for (first, least) in [("auto", 50), ("\"300ms\"", 300)] {
        let secured = Secured::start(&format!("handshake_first: {first}"), "");
        secured.handshake_first().1.introduce();
        let begin = Instant::now();
        let (info, mut client) = secured.info_first(&secured.pki.trusting(TlsVersion::Both));
        assert!(begin.elapsed() >= Duration::from_millis(least), "{first}");
        assert_eq!(info["tls_required"], true);
        client.introduce();
    }
}

#[test]
fn clients_must_show_a_certificate_of_the_authority() {
    let pki = Pki::default();
    let block = format!("verify: true\nca_file: \"{}\"", pki.ca_file().display());
    let secured = Secured::start_with(pki, &block, "");
    let other = Pki::new("other");
    let known = secured.pki.client("known");
    let stranger = other.client("stranger");
    let (info, mut client) = secured.info_first(&secured.pki.showing(TlsVersion::Both, &known));
    assert_eq!(info["tls_verify"], true);
    client.introduce();
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        assert!(secured.lets_in(&secured.pki.showing(version, &known)));
        assert!(!secured.lets_in(&secured.pki.showing(version, &stranger)));
        assert!(!secured.lets_in(&secured.pki.trusting(version)));
    }
    client.expect_quiet();
}

#[test]
fn pinned_keys_are_the_only_ones() {
    let pki = Pki::default();
    let (known, other) = (pki.client("known"), pki.client("other"));
    let digest = hexadecimal(&sha256(&known.spki));
    let block = format!(
        "verify: true\nca_file: \"{}\"\npinned_certs: [\"{digest}\"]",
        pki.ca_file().display()
    );
    let secured = Secured::start_with(pki, &block, "");
    assert!(secured.lets_in(&secured.pki.showing(TlsVersion::Both, &known)));
    assert!(!secured.lets_in(&secured.pki.showing(TlsVersion::Both, &other)));
}

/// With the hash of a suite of TLS, so that the tests need no library for it.
fn sha256(bytes: &[u8]) -> Vec<u8> {
    use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256 as SUITE;
    let suite = SUITE.tls13().expect("it is one of TLS 1.3");
    suite.common.hash_provider.hash(bytes).as_ref().to_vec()
}

#[test]
fn a_handshake_has_its_time() {
    let secured = Secured::start("timeout: 0.5", "");
    // One says nothing, one begins and stops.
    let mut silent = secured.server.connect();
    silent.line();
    let mut stuck = secured.server.connect();
    stuck.line();
    let begin = Instant::now();
    stuck.send(&[0x16, 3, 1, 2, 0, 1]);
    silent.expect_closed();
    stuck.expect_closed();
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(400), "{took:?}");
    secured.ready().expect_quiet();
}

#[test]
fn authentication_has_a_second_more_than_the_handshake() {
    let secured = Secured::start("timeout: 0.5", "authorization { user: a, password: b }");
    let (_, mut client) = secured.info_first(&secured.pki.trusting(TlsVersion::Both));
    let begin = Instant::now();
    assert_eq!(client.line(), "-ERR 'Authentication Timeout'");
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(1_300), "{took:?}");
    client.expect_closed();
}

#[test]
fn large_messages_pass_both_ways() {
    let secured = Secured::start("", "");
    let (mut sender, mut receiver) = (secured.ready(), secured.ready());
    receiver.send(b"SUB big 1\r\n");
    receiver.expect_quiet();
    for size in [1, 16_383, 16_384, 16_385, 100_000, 1_048_576] {
        let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        sender.send(format!("PUB big {size}\r\n").as_bytes());
        sender.send(&body);
        sender.send(b"\r\n");
        assert!(receiver.message().payload == body, "{size}");
    }
}

#[test]
fn many_messages_keep_their_order() {
    const COUNT: usize = 20_000;
    let secured = Secured::start("", "");
    let (mut sender, mut receiver) = (secured.ready(), secured.ready());
    receiver.send(b"SUB n 1\r\n");
    receiver.expect_quiet();
    let writer = std::thread::spawn(move || {
        for chunk in 0..COUNT / 100 {
            let lines: String = (0..100)
                .map(|at| format!("PUB n 6\r\n{:06}\r\n", chunk * 100 + at))
                .collect();
            sender.send(lines.as_bytes());
        }
        sender.expect_quiet();
    });
    for number in 0..COUNT {
        assert_eq!(receiver.message().text(), format!("{number:06}"));
    }
    writer.join().expect("the writer ends well");
}

#[test]
fn what_was_sent_before_the_end_arrives() {
    const COUNT: usize = 5_000;
    let secured = Secured::start("", "");
    let mut receiver = secured.ready();
    receiver.send(b"SUB n 1\r\n");
    receiver.expect_quiet();
    let mut sender = secured.ready();
    sender.send("PUB n 1\r\nx\r\n".repeat(COUNT).as_bytes());
    sender.close();
    for _ in 0..COUNT {
        assert_eq!(receiver.message().text(), "x");
    }
}

#[test]
fn who_stops_reading_is_closed_as_a_slow_consumer() {
    let secured = Secured::start("", "max_pending: 1MB\nmax_payload: 1MB");
    let mut stalled = secured.ready();
    stalled.send(b"SUB flood 1\r\n");
    stalled.expect_quiet();
    let mut sender = secured.ready();
    let body = vec![b'x'; 100_000];
    let begin = Instant::now();
    while !secured.server.log().contains("Slow Consumer") {
        assert!(begin.elapsed() < Duration::from_secs(30), "nobody is slow");
        sender.send(b"PUB flood 100000\r\n");
        sender.send(&body);
        sender.send(b"\r\nPING\r\n");
        // The server may ask, too, whether anybody is there.
        while sender.line() == "PING" {
            sender.send(b"PONG\r\n");
        }
    }
}

#[test]
fn altered_records_end_only_their_connection() {
    let secured = Secured::start("", "");
    let mut other = secured.ready();
    let mut hostile = secured.server.connect();
    hostile.line();
    // A handshake whose message is longer than any may be.
    let mut hello = vec![0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    hello.resize(5 + 0x4000, 0);
    hostile.send(&hello);
    loop {
        // An alert may come before the end.
        match hostile.try_bytes(1) {
            Ok(_) => {}
            Err(error) => {
                let ended = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
                assert!(ended.contains(&error.kind()), "{error}");
                break;
            }
        }
    }
    other.expect_quiet();
}

#[test]
fn handshakes_above_the_rate_are_refused() {
    let secured = Secured::start("connection_rate_limit: 2", "");
    let mut refused = 0;
    for _ in 0..6 {
        let mut client = secured.server.connect();
        client.line();
        client.set_patience(Duration::from_millis(100));
        if let Ok(line) = client.try_line() {
            assert_eq!(
                line,
                "-ERR 'Connection throttling is active. Please try again later.'"
            );
            client.expect_closed();
            refused += 1;
        }
    }
    assert!(refused >= 2, "{refused}");
    secured
        .server
        .wait_for_log("connections due to TLS rate limiting");
}

#[test]
fn one_client_too_many_is_told_so_where_it_can_read_it() {
    const REFUSAL: &str = "-ERR 'maximum connections exceeded'";
    let secured = Secured::start("", "max_connections: 1");
    let mut first = secured.ready();
    let mut second = secured.server.connect();
    info(&second.line());
    assert_eq!(second.line(), REFUSAL);
    second.expect_closed();
    first.expect_quiet();

    if executable::is_reference() {
        // It speaks in plain text to a client that expects a handshake.
        return;
    }
    let secured = Secured::start("handshake_first: true", "max_connections: 1");
    let (_, mut first) = secured.handshake_first();
    first.introduce();
    let (_, mut second) = secured.handshake_first();
    assert_eq!(second.line(), REFUSAL);
    second.expect_closed();
    first.expect_quiet();
}

#[test]
fn a_reload_reads_certificates_again_and_leaves_sessions_alone() {
    let mut secured = Secured::start("", "");
    let tls = secured.pki.trusting(TlsVersion::Both);
    let mut old = secured.ready();
    assert_eq!(old.server_certificate(), secured.certificate.der);

    // The same file with other bytes.
    let renewed = secured.pki.server("server");
    assert_ne!(renewed.der, secured.certificate.der);
    let text = config(&renewed, "", "");
    secured.server.reload(&text);
    secured.server.wait_for_log("Reloaded server configuration");
    assert!(secured.server.log().contains("Reloaded: tls = enabled"));
    let (_, new) = secured.info_first(&tls);
    assert_eq!(new.server_certificate(), renewed.der);
    old.expect_quiet();

    // What cannot be used changes nothing.
    std::fs::write(&renewed.key_file, "nothing").expect("the folder is writable");
    secured.server.reload(&text);
    let failed = "Failed to reload server configuration: ";
    secured.server.wait_for_log(failed);
    secured
        .server
        .reload(&format!("max_pending: 2000000\n{text}"));
    secured.server.wait_for_log_times(failed, 2);
    let (_, new) = secured.info_first(&tls);
    assert_eq!(new.server_certificate(), renewed.der);

    // Other options of the block.
    let third = secured.pki.server("third");
    secured
        .server
        .reload(&config(&third, "handshake_first: true\ntimeout: 3", ""));
    secured
        .server
        .wait_for_log_times("Reloaded server configuration", 2);
    let log = secured.server.log();
    assert!(
        log.contains("Reloaded: Client TLS handshake first: true"),
        "{log}"
    );
    assert!(log.contains("Reloaded: tls timeout = 3"), "{log}");
    let (_, new) = secured.handshake_first();
    assert_eq!(new.server_certificate(), third.der);
    old.expect_quiet();
    assert!(secured.server.terminate().success());
}

#[test]
fn a_reload_names_what_only_a_restart_changes() {
    let server = ServerProcess::start("max_pending: 2MB\nmax_payload: 1MB\n");
    server.reload("max_pending: 3MB\nmax_payload: 1MB\n");
    server.wait_for_log(
        "Failed to reload server configuration: config reload not supported for MaxPending: old=2097152, new=3145728");
    server.reload("max_pending: 2MB\nmax_payload: 1MB\ndebug: true\n");
    server.wait_for_log("Reloaded: debug = true");
    server.wait_for_log("Reloaded server configuration");
    server.reload("nonsense: 1\n");
    server.wait_for_log_times("Failed to reload server configuration: ", 2);
    drop(server.connect().line());
}

#[test]
fn without_a_file_there_is_nothing_to_reload() {
    let server = ServerProcess::start("");
    server.signal(Signal::HUP);
    server.wait_for_log(
        "Failed to reload server configuration: can only reload config when a file is provided using -c or --config",
    );
    drop(server.connect().line());
}

#[test]
fn flags_of_the_command_line_turn_tls_on() {
    let pki = Pki::default();
    let certificate = pki.server("server");
    let text = |path: &std::path::Path| path.display().to_string();
    let (cert, key) = (text(&certificate.cert_file), text(&certificate.key_file));
    let ca = text(&pki.ca_file());
    let server = ServerProcess::start_with(
        &executable::server(),
        "",
        &[
            "--tlsverify",
            "--tlscacert",
            &ca,
            "--tlscert",
            &cert,
            "--tlskey",
            &key,
        ],
    );
    let mut client = server.connect();
    let greeting = info(&client.line());
    assert_eq!(greeting["tls_required"], true);
    assert_eq!(greeting["tls_verify"], true);
    let tls = pki.showing(TlsVersion::Both, &pki.client("client"));
    client.upgrade(&tls).expect("a handshake").introduce();
}
