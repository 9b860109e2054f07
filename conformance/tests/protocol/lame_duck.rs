//! Lame duck mode: the server says good-bye (ADR-5).

use std::net::TcpStream;
use std::process::Command;

use everjet_conformance::{RawClient, ServerProcess, Signal, executable};

const TIMES: &str = "lame_duck_duration: \"30s\"\nlame_duck_grace_period: ";

fn start(grace_period: &str) -> ServerProcess {
    ServerProcess::start(&format!("{TIMES}\"{grace_period}\"\n"))
}

/// A client that has had its first PONG, and the INFO behind it.
fn connected(server: &ServerProcess, protocol: u32) -> RawClient {
    let mut client = server.connect();
    assert!(client.line().starts_with("INFO {"));
    let connect = format!("CONNECT {{\"verbose\":false,\"protocol\":{protocol}}}\r\nPING\r\n");
    client.send(connect.as_bytes());
    assert_eq!(client.line(), "PONG");
    if protocol > 0 {
        assert!(client.line().contains("\"connect_info\":true"));
    }
    client
}

#[test]
fn clients_are_told_and_then_disconnected_and_the_server_exits() {
    let mut server = start("100ms");
    let mut client = connected(&server, 1);
    let mut old = connected(&server, 0);
    server.signal(Signal::USR2);
    let info = client.line();
    assert!(
        info.starts_with("INFO {") && info.contains("\"ldm\":true"),
        "{info}"
    );
    assert!(!info.contains("connect_urls"), "{info}");
    client.expect_closed();
    // A client that does not take INFO at any time is only disconnected.
    old.expect_closed();
    assert!(server.wait().success());
    let log = server.log();
    for line in [
        "[INF] Trapped \"user defined signal 2\" signal",
        "[INF] Entering lame duck mode, stop accepting new clients",
        "[INF] Closing existing clients",
        "[INF] Initiating Shutdown...",
        "[INF] Server Exiting..",
    ] {
        assert!(log.contains(line), "{line}\n{log}");
    }
}

#[test]
fn within_the_grace_period_the_old_clients_are_served_and_new_ones_are_not() {
    let mut server = start("20s");
    let mut client = connected(&server, 1);
    server.signal(Signal::USR2);
    assert!(client.line().contains("\"ldm\":true"));
    assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
    client.send(b"SUB foo 1\r\nPUB foo 2\r\nhi\r\n");
    assert_eq!(client.message().text(), "hi");
    // Kubernetes sends SIGTERM right behind: it does not cut the good-bye short.
    server.signal(Signal::TERM);
    server.wait_for_log("Trapped \"terminated\" signal");
    client.expect_quiet();
    server.signal(Signal::INT);
    client.expect_closed();
    assert!(server.wait().success());
}

#[test]
fn a_running_server_is_told_with_its_own_executable() {
    let mut server = ServerProcess::start("pid_file: \"{dir}/server.pid\"\n");
    let pid_file = server.directory().join("server.pid");
    let told = Command::new(executable::server())
        .args(["--signal", &format!("ldm={}", pid_file.display())])
        .output()
        .expect("the executable starts");
    assert!(told.status.success(), "{told:?}");
    assert!(server.wait().success());
    assert!(server.log().contains("Entering lame duck mode"));
    let nobody = Command::new(executable::server())
        .args(["-sl", "term=4194305"])
        .output()
        .expect("the executable starts");
    assert_eq!(nobody.status.code(), Some(1));
    let text = String::from_utf8_lossy(&nobody.stderr).to_lowercase();
    assert!(
        text.starts_with("nats-server: \nsignal \"term\" 4194305: no such process"),
        "{text}"
    );
}

#[test]
fn a_lame_duck_without_clients_exits_at_once() {
    let mut server = start("20s");
    server.signal(Signal::USR2);
    assert!(server.wait().success());
    assert!(!server.log().contains("Closing existing clients"));
}
