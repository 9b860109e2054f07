//! Connections that never touch a socket.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::time::Duration;

use everjet_server::{InProcessConnection, Server};

use crate::{ADD, Client};

fn inside(server: &Server) -> Client<InProcessConnection> {
    let mut connection = server.connect_in_process().expect("it serves");
    connection.set_read_timeout(Some(Duration::from_secs(20)));
    Client::start(connection)
}

#[test]
fn a_server_without_listener_serves_its_own_process() {
    let store = tempfile::tempdir().expect("a temporary folder");
    let builder = Server::builder().without_listener();
    let server = builder.jetstream(store.path()).start().expect("it starts");
    assert_eq!(server.addr().port(), 0);
    let mut client = inside(&server);
    let created = client.request("$JS.API.STREAM.CREATE.ORDERS", ADD);
    assert!(created.contains(r#""did_create":true"#), "{created}");
    let stored = client.request("order.new", "{}");
    assert_eq!(stored, r#"{"stream":"ORDERS","seq":1}"#);
    let got = client.request("$JS.API.STREAM.MSG.GET.ORDERS", r#"{"seq":1}"#);
    assert!(got.contains(r#""subject":"order.new""#), "{got}");
    server.stop();
}

#[test]
fn messages_pass_between_inside_and_outside_in_their_order() {
    const MESSAGES: usize = 100_000;
    let server = Server::builder().host("127.0.0.1").port(0);
    let server = server.start().expect("it starts");
    let mut subscriber = inside(&server);
    subscriber.send("SUB from.* 1\r\nPING\r\n");
    assert_eq!(subscriber.line(), "PONG");
    std::thread::scope(|scope| {
        let publish = |name: &'static str, mut write: Box<dyn Write + Send>| {
            scope.spawn(move || {
                let mut text = String::new();
                for number in 0..MESSAGES / 2 {
                    text.push_str(&format!("PUB from.{name} 8\r\n{number:08}\r\n"));
                    if text.len() > 30_000 {
                        write.write_all(text.as_bytes()).expect("the server reads");
                        text.clear();
                    }
                }
                write.write_all(text.as_bytes()).expect("the server reads");
                write
            })
        };
        let socket = Client::connect(&server).into_inner();
        let writers = [
            publish("inside", Box::new(inside(&server).into_inner())),
            publish("outside", Box::new(socket)),
        ];
        let mut next = [0, 0];
        for _ in 0..MESSAGES {
            let line = subscriber.line();
            let from = usize::from(line == "MSG from.outside 1 8");
            assert!(from == 1 || line == "MSG from.inside 1 8", "{line}");
            assert_eq!(subscriber.line(), format!("{:08}", next[from]));
            next[from] += 1;
        }
        assert_eq!(next, [MESSAGES / 2, MESSAGES / 2]);
        for writer in writers {
            drop(writer.join().expect("all was written"));
        }
    });
    server.stop();
}

#[test]
fn a_dropped_connection_is_seen_by_the_server() {
    let server = Server::builder().without_listener();
    let server = server.start().expect("it starts");
    let mut responder = inside(&server);
    responder.send("SUB service 1\r\nPING\r\n");
    assert_eq!(responder.line(), "PONG");
    let mut requestor = inside(&server);
    requestor.send("SUB inbox 1\r\n");
    drop(responder);
    // Requests are lost as long as the server has not noticed; then it says that nobody is there.
    loop {
        requestor.send("PUB service inbox 0\r\n\r\nPING\r\n");
        let line = requestor.line();
        if line != "PONG" {
            assert!(line.starts_with("HMSG inbox 1 "), "{line}");
            assert_eq!(requestor.line(), "NATS/1.0 503");
            break;
        }
    }
    server.stop();
}

#[test]
fn a_stopped_server_ends_its_connections_and_takes_no_more() {
    let server = Server::builder().without_listener();
    let server = server.start().expect("it starts");
    let mut client = inside(&server);
    client.send("PING\r\n");
    assert_eq!(client.line(), "PONG");
    server.stop();
    let mut rest = Vec::new();
    let ended = client.into_inner().read_to_end(&mut rest);
    assert_eq!((ended.ok(), rest.len()), (Some(0), 0));
    let refused = server.connect_in_process().expect_err("it has stopped");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_lame_duck_tells_its_clients_before_it_disconnects_them() {
    let server = Server::builder().host("127.0.0.1").port(0);
    let server = server
        .lame_duck_times(Duration::from_millis(20), Duration::from_millis(10))
        .start()
        .expect("it starts");
    let mut connection = server.connect_in_process().expect("it serves");
    let connect = b"CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n";
    connection.write_all(connect).expect("the server reads");
    let mut lines = BufReader::new(connection).lines();
    let mut next = || lines.next().and_then(Result::ok);
    for start in ["INFO {", "PONG", "INFO {"] {
        assert!(next().is_some_and(|line| line.starts_with(start)));
    }
    let mut outside = Client::connect(&server);
    assert!(server.lame_duck());
    let told = next().expect("it is told");
    assert!(told.contains("\"ldm\":true"), "{told}");
    assert_eq!(next(), None);
    outside.expect_end();
    assert!(!server.lame_duck(), "it has stopped");
    assert!(server.connect_in_process().is_err());
}

#[test]
fn stopping_ends_a_lame_duck_early() {
    let server = Server::builder().without_listener();
    let server = server
        .lame_duck_times(Duration::from_secs(3600), Duration::from_secs(1800))
        .start()
        .expect("it starts");
    let mut connection = server.connect_in_process().expect("it serves");
    let connect = b"CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n";
    connection.write_all(connect).expect("the server reads");
    std::thread::scope(|scope| {
        let lame_duck = scope.spawn(|| server.lame_duck());
        let mut lines = BufReader::new(connection).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("\"ldm\":true")));
        server.stop();
        assert!(lame_duck.join().expect("no panic"));
        assert_eq!(lines.next(), None);
    });
}
