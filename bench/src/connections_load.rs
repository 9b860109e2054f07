//! Ten thousand connections: what each costs when it is idle, and what it costs to make one.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use everjet_conformance::ServerProcess;

use crate::connection::{CONNECT, connect_from, open, round_trip, wait_for, wait_for_pong, write};
use crate::figure::Figure;
use crate::machine::{cpu_time, raise_open_files, settled_memory};
use crate::outcome::{Load, Outcome};

const CONNECTIONS: usize = 10_000;
/// Descriptors of the generator and of the server: the connections and what else is open.
const OPEN_FILES: u64 = CONNECTIONS as u64 + 200;
/// SUBs, and as many UNSUBs, of one more connection after the others are there. They leave garbage behind, so that a server with a
/// collector goes through it before it is measured; that takes minutes on an idle one.
const TURNS_BEFORE_MEASURING: u64 = 1_000_000;
const TURNS_IN_A_WRITE: u64 = 500;
/// A server that used no processor time for this long has nothing left to do.
const QUIET: Duration = Duration::from_millis(200);
const QUIET_WAIT_MAX: Duration = Duration::from_secs(10);

/// Connections with one subscription each that then do nothing. Yields the memory of one of them.
pub(crate) fn idle(server: &ServerProcess, _: Duration) -> Outcome {
    let allowed = raise_open_files();
    assert!(
        allowed >= OPEN_FILES,
        "{OPEN_FILES} open files are needed, {allowed} are allowed (ulimit -Hn)"
    );
    let pid = server.pid().expect("the server is running");
    make_garbage(server);
    let before = settled_memory(pid);
    let connections: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|number| {
            let mut stream = connect_from(server, number);
            wait_for(&mut stream, b"\r\n");
            write(&mut stream, CONNECT);
            wait_for_pong(&mut stream);
            let subscribe = format!("SUB bench.idle.{number} 1\r\n");
            write(&mut stream, subscribe.as_bytes());
            round_trip(&mut stream);
            stream
        })
        .collect();
    make_garbage(server);
    let after = settled_memory(pid);
    let each = (after as f64 - before as f64) / connections.len() as f64;
    Outcome::default().with(Figure::Resident, each / 1_024.0)
}

fn make_garbage(server: &ServerProcess) {
    let mut stream = open(server, "");
    let mut lines = String::new();
    for turn in 0..TURNS_BEFORE_MEASURING {
        lines.push_str(&format!(
            "SUB bench.garbage.{turn} {turn}\r\nUNSUB {turn}\r\n"
        ));
        if (turn + 1).is_multiple_of(TURNS_IN_A_WRITE) {
            write(&mut stream, lines.as_bytes());
            lines.clear();
        }
    }
    round_trip(&mut stream);
}

/// Connections that are made one after the other: INFO, CONNECT and PING, PONG, end. Counts them.
pub(crate) fn connects(server: &ServerProcess, _: Duration) -> Outcome {
    let pid = server.pid().expect("the server is running");
    let (start, cpu) = (Instant::now(), cpu_time(pid));
    for number in 0..CONNECTIONS {
        let mut stream = connect_from(server, number);
        wait_for(&mut stream, b"\r\n");
        write(&mut stream, CONNECT);
        wait_for_pong(&mut stream);
    }
    let elapsed = start.elapsed();
    wait_until_quiet(pid);
    let load = Load {
        messages: CONNECTIONS as u64,
        elapsed,
        cpu: cpu_time(pid).saturating_sub(cpu),
    };
    load.into()
}

/// The ends of the last connections are noticed after their clients are gone.
fn wait_until_quiet(pid: u32) {
    let start = Instant::now();
    let (mut cpu, mut since) = (cpu_time(pid), Instant::now());
    while since.elapsed() < QUIET && start.elapsed() < QUIET_WAIT_MAX {
        thread::sleep(Duration::from_millis(20));
        let now = cpu_time(pid);
        if now > cpu {
            (cpu, since) = (now, Instant::now());
        }
    }
}
