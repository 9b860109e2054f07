//! `proxy_protocol`: a load balancer in front says where clients connect from.

use everjet_conformance::{Pki, RawClient, ServerProcess, TlsVersion};

const CONNECT: &[u8] = b"CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n";

/// The fixed part and the addresses of version 2: 10.1.2.3:5555 to 10.0.0.1:4222.
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x0a\x01\x02\x03\x0a\x00\x00\x01\x15\xb3\x10\x7e";

fn start() -> ServerProcess {
    ServerProcess::start("proxy_protocol: true\n")
}

/// A connection after its greeting, which does not give the address of the proxy away.
fn greeted(server: &ServerProcess) -> RawClient {
    let mut client = server.connect();
    let info = client.line();
    assert!(
        info.starts_with("INFO {") && !info.contains("client_ip"),
        "{info}"
    );
    client
}

#[track_caller]
fn check(server: &ServerProcess, header: &[u8], ip: &str) {
    let mut client = greeted(server);
    client.send(&[header, CONNECT].concat());
    expect(&mut client, ip);
}

#[track_caller]
fn expect(client: &mut RawClient, ip: &str) {
    assert_eq!(client.line(), "PONG");
    let info = client.line();
    assert!(info.contains(&format!("\"client_ip\":\"{ip}\"")), "{info}");
}

#[test]
fn the_address_in_the_header_counts() {
    let server = start();
    check(
        &server,
        b"PROXY TCP4 10.1.2.3 10.0.0.1 5555 4222\r\n",
        "10.1.2.3",
    );
    check(
        &server,
        b"PROXY TCP6 2001:db8::1 ::1 5555 4222\r\n",
        "2001:db8::1",
    );
    check(&server, BINARY, "10.1.2.3");
    let mut extended = BINARY.to_vec();
    extended[15] += 7;
    extended.extend(b"\x01\x00\x04abcd");
    check(&server, &extended, "10.1.2.3");
}

#[test]
fn without_an_address_that_of_the_socket_counts() {
    let server = start();
    check(&server, b"PROXY UNKNOWN\r\n", "127.0.0.1");
    let mut local = BINARY.to_vec();
    local[12] = 0x20;
    check(&server, &local, "127.0.0.1");
    check(&server, b"", "127.0.0.1");
}

#[test]
fn a_header_may_come_in_pieces() {
    let server = start();
    for header in [&b"PROXY TCP4 10.1.2.3 10.0.0.1 5555 4222\r\n"[..], BINARY] {
        for at in 1..header.len() {
            let mut client = greeted(&server);
            let (first, second) = header.split_at(at);
            client.send(first);
            // Another connection's round trip lets the server read the first part alone in nearly every round.
            drop(greeted(&server));
            client.send(second);
            client.send(CONNECT);
            expect(&mut client, "10.1.2.3");
        }
    }
}

#[test]
fn a_wrong_header_closes_the_connection() {
    let server = start();
    let wrong: [&[u8]; 6] = [
        b"PROXY TCP4 nobody 10.0.0.1 5555 4222\r\n",
        b"PROXY TCP4 ::1 ::1 5555 4222\r\n",
        b"PROXY TCP4 10.1.2.3 10.0.0.1 5555\r\n",
        b"PROXY TCP5 10.1.2.3 10.0.0.1 5555 4222\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x11\x11\x00\x00",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x31\x00\x00",
    ];
    for header in wrong {
        let mut client = greeted(&server);
        client.send(header);
        client.expect_closed();
    }
    let mut endless = greeted(&server);
    endless.send(&[&b"PROXY TCP4 "[..], &[b'1'; 96]].concat());
    endless.expect_closed();
    server.wait_for_log("PROXY protocol header: v1 line too long");
}

#[test]
fn a_header_comes_before_the_handshake() {
    for (block, around, greets_first) in [
        ("", "", true),
        ("handshake_first: true", "", false),
        ("", "allow_non_tls: true", true),
    ] {
        let pki = Pki::default();
        let certificate = pki.server("server");
        let server = ServerProcess::start(&format!(
            "proxy_protocol: true\n{around}\ntls {{\n{}\n{block}\n}}\n",
            certificate.lines()
        ));
        let mut client = server.connect();
        if greets_first {
            assert!(client.line().starts_with("INFO {"));
        }
        client.send(BINARY);
        let tls = pki.trusting(TlsVersion::Both);
        let mut client = client.upgrade(&tls).expect("a handshake");
        if !greets_first {
            assert!(client.line().starts_with("INFO {"));
        }
        client.send(CONNECT);
        expect(&mut client, "10.1.2.3");
    }
}

#[test]
fn behind_a_header_a_client_may_do_without_tls_where_that_is_allowed() {
    let pki = Pki::default();
    let certificate = pki.server("server");
    let server = ServerProcess::start(&format!(
        "proxy_protocol: true\nallow_non_tls: true\ntls {{\n{}\n}}\n",
        certificate.lines()
    ));
    check(&server, BINARY, "10.1.2.3");
    check(
        &server,
        b"PROXY TCP4 10.1.2.3 10.0.0.1 5555 4222\r\n",
        "10.1.2.3",
    );
    check(&server, b"", "127.0.0.1");
}
