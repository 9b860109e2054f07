//! What the log says about connections: tools and people look for these lines.

use everjet_conformance::{ServerProcess, executable};

fn start(config: &str, flag: &str) -> ServerProcess {
    ServerProcess::start_with(&executable::server(), config, &[flag])
}

/// A whole session of one client, from greeting to end.
fn session(server: &ServerProcess, bytes: &[u8]) {
    let mut client = server.connect();
    assert!(client.line().starts_with("INFO {"));
    client.send(bytes);
    client.send(b"PING\r\n");
    while client.line() != "PONG" {}
}

#[test]
fn a_trace_shows_every_frame_and_no_secret() {
    let server = start("authorization: { user: ada, password: s3cret }\n", "-V");
    session(
        &server,
        b"CONNECT {\"user\":\"ada\",\"pass\":\"s3cret\",\"name\":\"n\",\"lang\":\"l\",\"version\":\"1.2\"}\r\n\
          SUB foo 7\r\nPUB foo 2\r\nhi\r\nUNSUB 7\r\nPUB $NRG.x 0\r\n\r\n",
    );
    let client = " - \"v1.2:l:n\" - \"$G/user:ada\" - ";
    for text in [
        "<<- [CONNECT {\"user\":\"ada\",\"pass\":\"[REDACTED]\",\"name\":\"n\",\"lang\":\"l\",\"version\":\"1.2\"}]",
        &format!("{client}->> [OK]"),
        &format!("{client}<<- [SUB foo 7]"),
        &format!("{client}<<- [PUB foo 2]"),
        &format!("{client}<<- MSG_PAYLOAD: [\"hi\"]"),
        &format!("{client}->> [MSG foo 7 2]"),
        &format!("{client}->> MSG_PAYLOAD: [\"hi\"]"),
        &format!("{client}<<- [UNSUB 7]"),
        &format!("{client}->> [-ERR Permissions Violation for Publish to \"$NRG.x\"]"),
        &format!("{client}<<- [PING]"),
        &format!("{client}->> [PONG]"),
    ] {
        server.wait_for_log(text);
    }
    let log = server.log();
    assert!(log.contains("[TRC] 127.0.0.1:"), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
}

#[test]
fn a_trace_shows_payloads_as_far_as_asked() {
    let server = start("max_traced_msg_len: 4\ntrace: true\n", "-T=false");
    session(&server, b"CONNECT {}\r\nPUB foo 6\r\nsesame\r\n");
    server.wait_for_log("<<- MSG_PAYLOAD: [\"sesa...\"]");
    let server = start("trace_headers: true\n", "-T=false");
    session(
        &server,
        b"CONNECT {\"headers\":true}\r\nHPUB foo 18 24\r\nNATS/1.0\r\nA: b\r\n\r\nsesame\r\nPUB foo 6\r\nsesame\r\n",
    );
    server.wait_for_log("<<- MSG_PAYLOAD: [\"NATS/1.0\\r\\nA: b\"]");
    server.wait_for_log("<<- [PING]");
    assert!(!server.log().contains("sesame"), "{}", server.log());
}

#[test]
fn without_a_flag_the_log_is_silent_about_what_clients_send() {
    let server = ServerProcess::start("");
    session(&server, b"CONNECT {}\r\nPUB foo 6\r\nsesame\r\n");
    let log = server.log();
    assert!(!log.contains("sesame") && !log.contains("cid:"), "{log}");
}

#[test]
fn what_clients_may_not_do_is_named() {
    let server = start("", "-D");
    session(
        &server,
        b"CONNECT {}\r\nPUB $NRG.x 0\r\n\r\nSUB x _sys_ 3\r\n",
    );
    server.wait_for_log("[ERR] 127.0.0.1:");
    server.wait_for_log(" - Publish Violation - Subject \"$NRG.x\"");
    server.wait_for_log(" - Subscription Violation - Subject \"x\", Queue: \"_sys_\", SID 3");
    server.wait_for_log(" - Client connection closed: Client Closed");
    let mut client = server.connect();
    assert!(client.line().starts_with("INFO {"));
    client.send(b"YELLO you there, this is a long line that is not shown whole\r\n");
    client.line();
    client.expect_closed();
    server.wait_for_log("Client parser ERROR");
    server.wait_for_log("proto='\"YELLO you there, this is a long \"...'");
    server.wait_for_log(" - Client connection closed: Protocol Violation");
}

#[test]
fn who_is_not_let_in_is_named_without_the_password() {
    let server = start("authorization: { user: ada, password: s3cret }\n", "-D");
    let mut client = server.connect();
    assert!(client.line().starts_with("INFO {"));
    client.send(b"CONNECT {\"user\":\"eve\",\"pass\":\"gu3ss\"}\r\n");
    assert_eq!(client.line(), "-ERR 'Authorization Violation'");
    server.wait_for_log("authentication error - User \"eve\"");
    server.wait_for_log(" - Client connection closed: Authentication Failure");
    assert!(!server.log().contains("gu3ss"), "{}", server.log());
}
