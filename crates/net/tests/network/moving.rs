//! Connections that move from one reactor to the other while they are in use.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use everjet_conn::CloseReason;
use everjet_net::Placement;

use crate::Server;

fn start() -> Server {
    Server::start(|config| config.placement = Placement::Gather)
}

#[test]
fn messages_keep_their_order_while_everybody_moves() {
    const PUBLISHERS: usize = 4;
    const MESSAGES: usize = 20_000;
    let server = start();
    let mut subscriber = server.connected();
    subscriber.send("SUB from.* 1\r\n");
    subscriber.round_trip();
    let over = AtomicBool::new(false);
    let (over, network) = (&over, &server.network);
    std::thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let mut client = server.connected();
            scope.spawn(move || {
                for burst in 0..MESSAGES / 100 {
                    let messages = (0..100).map(|index| {
                        format!("PUB from.{publisher} 6\r\n{:06}\r\n", burst * 100 + index)
                    });
                    client.send(&messages.collect::<String>());
                }
                client.round_trip();
            });
        }
        let mut other = server.connected();
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                network.rotate();
                // At the pace of the reactors: the answer comes after the move has begun.
                other.round_trip();
            }
        });
        let mut next = [0; PUBLISHERS];
        for _ in 0..PUBLISHERS * MESSAGES {
            let line = subscriber.line();
            let publisher: usize = line[9..10].parse().expect("a digit");
            assert_eq!(line, format!("MSG from.{publisher} 1 6\r\n"));
            let expected = format!("{:06}\r\n", next[publisher]);
            assert_eq!(subscriber.line(), expected, "of {publisher}");
            next[publisher] += 1;
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_moved_client_is_still_the_same() {
    let server = start();
    let (mut one, mut other) = (server.connected(), server.connected());
    one.send("SUB a 1\r\nSUB b 2\r\nUNSUB 2 3\r\nPUB b 1\r\nx\r\n");
    one.expect("MSG b 2 1\r\nx\r\n");
    for _ in 0..3 {
        server.network.rotate();
        one.send("PI");
        other.send("PUB a 1\r\ny\r\n");
        one.expect("MSG a 1 1\r\ny\r\n");
        server.network.rotate();
        one.send("NG\r\n");
        one.expect("PONG\r\n");
    }
    other.send("PUB b 1\r\n1\r\nPUB b 1\r\n2\r\nPUB b 1\r\n3\r\nPUB a 0\r\n\r\n");
    one.expect("MSG b 2 1\r\n1\r\nMSG b 2 1\r\n2\r\nMSG a 1 0\r\n\r\n");
    drop(one);
    assert_eq!(server.next_closing(), CloseReason::ClientClosed);
    server.network.announce(|info| info.ldm = true);
    server.network.rotate();
    other.round_trip();
    assert_eq!(server.network.connection_count(), 1);
    assert_eq!(server.account.subscription_count(), 0);
}

#[test]
fn a_moved_reader_without_progress_is_closed_at_the_write_deadline() {
    let server = Server::start(|config| {
        config.placement = Placement::Gather;
        config.write_deadline = Duration::from_millis(200);
    });
    let (mut slow, mut publisher) = (server.connected(), server.connected());
    slow.send("SUB data 1\r\n");
    slow.round_trip();
    let message = format!("PUB data {}\r\n{}\r\n", 500_000, "x".repeat(500_000));
    for _ in 0..40 {
        publisher.send(&message);
        server.network.rotate();
    }
    assert_eq!(
        server.next_closing(),
        CloseReason::SlowConsumerWriteDeadline
    );
    publisher.round_trip();
}

#[test]
fn a_slow_reader_gets_everything_in_order_while_it_moves() {
    let server = start();
    let (mut slow, mut publisher) = (server.connected(), server.connected());
    slow.send("SUB data 1\r\n");
    slow.round_trip();
    let payload = "x".repeat(5000);
    let count = 2000;
    for number in 0..count {
        publisher.send(&format!("PUB data 5008\r\n{number:08}{payload}\r\n"));
    }
    for number in 0..count {
        if number % 10 == 0 {
            server.network.rotate();
        }
        slow.expect(&format!("MSG data 1 5008\r\n{number:08}{payload}\r\n"));
    }
}

#[test]
fn shutting_down_on_the_move_closes_everybody() {
    for _ in 0..20 {
        let server = start();
        let mut clients: Vec<_> = (0..8).map(|_| server.connected()).collect();
        server.network.rotate();
        server.network.shutdown().expect("the reactors end");
        for client in &mut clients {
            client.expect_end();
        }
    }
}
