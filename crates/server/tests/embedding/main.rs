//! The server as a library: started and stopped inside this process.

mod in_process;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use everjet_server::{HealthStatus, Server, ServerError, SubjectMapping, SyncPolicy, TlsOptions};

/// A bare client: what is sent and the lines that come back.
struct Client<Stream> {
    reader: BufReader<Stream>,
}

impl Client<TcpStream> {
    fn connect(server: &Server) -> Self {
        let socket = TcpStream::connect(server.addr()).expect("the server listens");
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a socket takes a timeout");
        Self::start(socket)
    }
}

impl<Stream: Read + Write> Client<Stream> {
    fn start(stream: Stream) -> Self {
        let mut client = Self {
            reader: BufReader::new(stream),
        };
        assert!(client.line().starts_with("INFO {"));
        client.send("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n");
        client
    }

    fn into_inner(self) -> Stream {
        self.reader.into_inner()
    }

    fn expect_end(&mut self) {
        let mut rest = Vec::new();
        let end = self.reader.read_to_end(&mut rest);
        assert_eq!((end.ok(), rest.len()), (Some(0), 0));
    }

    fn send(&mut self, text: &str) {
        self.reader
            .get_mut()
            .write_all(text.as_bytes())
            .expect("the server reads");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader
            .read_line(&mut line)
            .expect("the server answers in time");
        line.trim_end().to_owned()
    }

    /// Sends a request and returns the payload of its answer.
    fn request(&mut self, subject: &str, payload: &str) -> String {
        self.send(&format!(
            "SUB reply 9\r\nPUB {subject} reply {}\r\n{payload}\r\n",
            payload.len()
        ));
        let header = self.line();
        let length: usize = header
            .rsplit(' ')
            .next()
            .and_then(|length| length.parse().ok())
            .expect("an MSG line ends in its length");
        let mut body = vec![0; length + 2];
        self.reader
            .read_exact(&mut body)
            .expect("the payload follows");
        self.send("UNSUB 9\r\n");
        String::from_utf8_lossy(&body[..length]).into_owned()
    }
}

const ADD: &str = r#"{"name":"ORDERS","subjects":["order.*"]}"#;

#[test]
fn a_server_in_this_process_keeps_its_messages_over_a_restart() {
    let store = tempfile::tempdir().expect("a temporary folder");
    for (sync, expected) in [
        (SyncPolicy::Always, r#"{"stream":"ORDERS","seq":1}"#),
        (
            SyncPolicy::Every(Duration::from_secs(60)),
            r#"{"stream":"ORDERS","seq":2}"#,
        ),
        (SyncPolicy::Always, r#"{"stream":"ORDERS","seq":3}"#),
    ] {
        let builder = Server::builder().host("127.0.0.1").port(0).name("embedded");
        let server = builder
            .jetstream(store.path())
            .sync(sync)
            .start()
            .expect("it starts");
        assert_eq!(server.name(), "embedded");
        let mut client = Client::connect(&server);
        let created = client.request("$JS.API.STREAM.CREATE.ORDERS", ADD);
        assert!(created.contains(r#""did_create":true"#), "{created}");
        assert_eq!(client.request("order.new", "{}"), expected);
        server.stop();
    }
}

#[test]
fn a_dropped_server_has_stopped() {
    let store = tempfile::tempdir().expect("a temporary folder");
    let start = || {
        Server::builder()
            .host("127.0.0.1")
            .port(0)
            .jetstream(store.path())
            .start()
    };
    let first = start().expect("it starts");
    let address = first.addr();
    drop(first);
    assert!(
        TcpStream::connect(address).is_err(),
        "nobody listens any more"
    );
    start().expect("the store is free again").stop();
}

#[test]
fn a_store_has_one_server() {
    let store = tempfile::tempdir().expect("a temporary folder");
    let start = || {
        Server::builder()
            .host("127.0.0.1")
            .port(0)
            .jetstream(store.path())
            .start()
    };
    let first = start().expect("it starts");
    let error = start().err().expect("the second one does not start");
    assert!(matches!(error, ServerError::JetStream(_)), "{error}");
    assert!(
        error.to_string().contains("in use by another server"),
        "{error}"
    );
    first.stop();
}

/// What INFO says about TLS to a new client.
fn greeting(server: &Server) -> String {
    let mut line = String::new();
    let socket = TcpStream::connect(server.addr()).expect("the server listens");
    let patience = Some(Duration::from_secs(20));
    socket.set_read_timeout(patience).expect("a timeout");
    let read = BufReader::new(socket).read_line(&mut line);
    read.expect("the server greets");
    line
}

#[test]
fn tls_is_turned_on_and_off_and_stays_when_a_file_is_bad() {
    const REQUIRED: &str = "\"tls_required\":true";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("the folder is writable");
        path.to_str().expect("text").to_owned()
    };
    let cert_file = write("cert.pem", &made.cert.pem());
    let tls = TlsOptions::new(
        &cert_file,
        &write("key.pem", &made.signing_key.serialize_pem()),
    );
    let bad = TlsOptions::new(&cert_file, &cert_file);
    let builder = || Server::builder().host("127.0.0.1").port(0);

    let refused = builder().tls(bad.clone()).start().err();
    assert!(matches!(refused, Some(ServerError::Tls(_))), "{refused:?}");

    let server = builder().tls(tls.clone()).start().expect("it starts");
    assert!(server.client_url().starts_with("tls://127.0.0.1:"));
    assert!(greeting(&server).contains(REQUIRED));
    let error = server.reload_tls(Some(&bad)).expect_err("no key");
    assert!(
        error.to_string().contains("there is no private key"),
        "{error}"
    );
    assert!(greeting(&server).contains(REQUIRED));
    server.reload_tls(None).expect("nothing to read");
    assert!(!greeting(&server).contains(REQUIRED));
    assert!(server.client_url().starts_with("nats://127.0.0.1:"));
    server.reload_tls(Some(&tls)).expect("the files are right");
    assert!(greeting(&server).contains(REQUIRED));
    server.stop();

    let server = builder()
        .tls(tls)
        .allow_non_tls()
        .start()
        .expect("it starts");
    assert!(server.client_url().starts_with("nats://127.0.0.1:"));
    let greeting = greeting(&server);
    assert!(greeting.contains("\"tls_available\":true") && !greeting.contains(REQUIRED));
}

#[test]
fn what_cannot_work_is_refused_with_a_reason() {
    let taken = Server::builder()
        .host("127.0.0.1")
        .port(0)
        .start()
        .expect("it starts");
    let same_port = Server::builder()
        .host("127.0.0.1")
        .port(taken.addr().port())
        .start();
    let error = same_port.err().expect("the port is taken").to_string();
    assert!(
        error.contains("cannot listen for clients on 127.0.0.1"),
        "{error}"
    );
    let error = Server::builder()
        .port(0)
        .name("two words")
        .start()
        .err()
        .expect("a name has no blanks");
    assert_eq!(error.to_string(), "server name cannot contain spaces");
    let large = Server::builder()
        .port(0)
        .max_payload(128 << 20)
        .start()
        .err()
        .expect("above max_pending");
    assert_eq!(
        large.to_string(),
        "max_payload (134217728) cannot be higher than max_pending (67108864)"
    );
    taken.stop();
}

#[test]
fn credentials_are_asked_for() {
    let server = Server::builder()
        .host("127.0.0.1")
        .port(0)
        .token("s3cret")
        .start()
        .expect("it starts");
    for (connect, expected) in [
        (
            "CONNECT {\"auth_token\":\"s3cret\",\"verbose\":false}\r\nPING\r\n",
            "PONG",
        ),
        (
            "CONNECT {\"auth_token\":\"wrong\",\"verbose\":false}\r\nPING\r\n",
            "-ERR 'Authorization Violation'",
        ),
    ] {
        let mut socket = TcpStream::connect(server.addr()).expect("the server listens");
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a socket takes a timeout");
        socket
            .write_all(connect.as_bytes())
            .expect("the server reads");
        let lines: Vec<_> = BufReader::new(&socket)
            .lines()
            .take(2)
            .map_while(Result::ok)
            .collect();
        assert!(lines[0].contains("\"auth_required\":true"), "{lines:?}");
        assert_eq!(lines[1], expected);
    }
    server.stop();
}

#[test]
fn messages_of_clients_are_mapped_as_the_builder_says() {
    let mapping = SubjectMapping::to("orders.*.*", "$2.orders.$1").expect("a valid mapping");
    let server = Server::builder()
        .host("127.0.0.1")
        .port(0)
        .mapping(mapping)
        .start()
        .expect("the server starts");
    let mut client = Client::connect(&server);
    client.send("SUB > 1\r\nPUB orders.new.eu 0\r\n\r\n");
    assert_eq!(client.line(), "MSG eu.orders.new 1 0");
    server.stop();
}

#[test]
fn health_is_ok_until_the_server_stops() {
    let store = tempfile::tempdir().expect("a temporary directory can be made");
    let server = Server::builder()
        .without_listener()
        .jetstream(store.path())
        .start()
        .expect("it starts");
    assert_eq!(server.health().status, HealthStatus::Ok);
    assert!(server.damage().is_empty());
    server.stop();
    let health = server.health();
    assert_eq!(health.status, HealthStatus::Down);
    assert_eq!(health.reasons, ["the server stops or has stopped"]);
}
