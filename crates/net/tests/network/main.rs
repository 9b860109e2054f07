//! The network part with real sockets on the loopback interface. Every wait is a read with a timeout or a notice from
//! the server; nothing sleeps.

mod lifecycle;
mod moving;

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use everjet_conn::{CloseReason, ServerFacts};
use everjet_net::{ConnectionFacts, Events, NetConfig, Network, Placement};
use everjet_routing::{Account, LocalReceiver, MessageBatch, Origin, Sink, Subscription, Turn};
use everjet_values::{Clock, SeededEntropy, Timestamp};
use everjet_wire::{Message, ServerInfo};
use parking_lot::Mutex;

/// Longer than anything here takes; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

const CONNECT: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = since.expect("after 1970").as_nanos();
        Timestamp::from_nanos(i64::try_from(nanos).expect("before 2262"))
    }
}

struct Closings(Mutex<Sender<CloseReason>>);

impl Events for Closings {
    fn opened(&self, _: ConnectionFacts<'_>) {}

    fn closed(&self, _: ConnectionFacts<'_>, reason: CloseReason) {
        // The test may have ended already.
        let _ = self.0.lock().send(reason);
    }

    fn complained(&self, _: ConnectionFacts<'_>, _: &dyn Display) {}

    fn traced(&self, _: ConnectionFacts<'_>, _: &str) {}

    fn accept_failed(&self, error: &io::Error) {
        panic!("accept failed: {error}");
    }
}

struct Server {
    network: Network,
    account: Arc<Account>,
    closings: Receiver<CloseReason>,
}

impl Server {
    fn start(change: impl FnOnce(&mut NetConfig)) -> Self {
        let info = ServerInfo {
            server_id: "TEST".to_owned(),
            headers: true,
            ..ServerInfo::default()
        };
        let account = "$G".to_owned();
        let listen: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let mut config = NetConfig::new(listen, ServerFacts { info, account });
        config.reactors = 2;
        // Most tests want their clients on both.
        config.placement = Placement::Spread;
        change(&mut config);
        let account = Account::new("$G");
        let (sender, closings) = channel();
        let network = Network::start(
            config,
            account.clone(),
            Arc::new(SystemClock),
            &SeededEntropy::new(1),
            Arc::new(Closings(Mutex::new(sender))),
        )
        .expect("the loopback interface has free ports");
        Self {
            network,
            account,
            closings,
        }
    }

    fn client(&self) -> Client {
        let socket = TcpStream::connect(self.network.local_addrs()[0]).expect("the server listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        socket.set_write_timeout(Some(PATIENCE)).expect("a socket");
        socket.set_nodelay(true).expect("a socket");
        let mut client = Client(socket);
        let info = client.line();
        assert!(
            info.starts_with("INFO {") && info.ends_with("} \r\n"),
            "{info}"
        );
        client
    }

    /// A client that has sent CONNECT and had its PONG.
    fn connected(&self) -> Client {
        let mut client = self.client();
        client.send(CONNECT);
        client.round_trip();
        client
    }

    fn next_closing(&self) -> CloseReason {
        self.closings.recv_timeout(PATIENCE).expect("a closing")
    }
}

struct Client(TcpStream);

impl Client {
    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).expect("the server reads");
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("a line");
            line.push(byte[0]);
        }
        String::from_utf8(line).expect("text")
    }

    /// Reads exactly `text`. A PING of the server, which comes after two seconds on a busy machine, is passed over.
    fn expect(&mut self, text: &str) {
        let ping = b"PING\r\n";
        let mut bytes = Vec::new();
        while bytes.len() < text.len() {
            let start = bytes.len();
            bytes.resize(text.len(), 0);
            self.0.read_exact(&mut bytes[start..]).expect(text);
            let found = bytes.windows(ping.len()).position(|window| window == ping);
            if let Some(at) = found.filter(|_| !text.contains("PING\r\n")) {
                bytes.drain(at..at + ping.len());
            }
        }
        assert!(
            bytes == text.as_bytes(),
            "{} instead of {text}",
            String::from_utf8_lossy(&bytes)
        );
    }

    fn round_trip(&mut self) {
        self.send("PING\r\n");
        self.expect("PONG\r\n");
    }

    fn expect_end(&mut self) {
        let mut rest = Vec::new();
        let end = self.0.read_to_end(&mut rest);
        assert_eq!(
            (end.ok(), rest.len()),
            (Some(0), 0),
            "{}",
            String::from_utf8_lossy(&rest)
        );
    }
}

#[test]
fn two_clients_exchange_messages() {
    let server = Server::start(|_| {});
    let (mut subscriber, mut publisher) = (server.connected(), server.connected());
    subscriber.send("SUB orders.* 7\r\n");
    subscriber.round_trip();
    publisher
        .send("PUB orders.new 5\r\nhello\r\nPUB other 1\r\nx\r\nPUB orders.old reply 2\r\nhi\r\n");
    subscriber.expect("MSG orders.new 7 5\r\nhello\r\nMSG orders.old 7 reply 2\r\nhi\r\n");
    publisher.send("HPUB orders.h 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n");
    subscriber.expect("HMSG orders.h 7 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n");
    assert_eq!(server.network.connection_count(), 2);
}

#[test]
fn answers_and_own_messages_keep_their_order() {
    let server = Server::start(|_| {});
    let mut client = server.client();
    client.send("SUB a 1\r\nPUB a 1\r\nx\r\nPING\r\nPUB a 1\r\ny\r\n");
    client.expect("+OK\r\n+OK\r\nMSG a 1 1\r\nx\r\nPONG\r\n+OK\r\nMSG a 1 1\r\ny\r\n");
}

#[test]
fn a_client_without_headers_gets_the_payload_alone() {
    let server = Server::start(|_| {});
    let (mut plain, mut publisher) = (server.client(), server.connected());
    plain.send("CONNECT {\"verbose\":false}\r\nSUB > 1\r\n");
    plain.round_trip();
    publisher.send("HPUB h r 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n");
    plain.expect("MSG h 1 r 2\r\nhi\r\n");
}

#[test]
fn a_request_that_nobody_takes_is_answered_503() {
    let server = Server::start(|_| {});
    let mut client = server.connected();
    client.send("SUB inbox.* 9\r\nPUB req inbox.1 0\r\n\r\n");
    client.expect("HMSG inbox.1 9 35 35\r\nNATS/1.0 503\r\nNats-Subject: req\r\n\r\n\r\n");
}

#[test]
fn one_member_of_a_queue_group_gets_each_message() {
    let server = Server::start(|_| {});
    let mut members = [server.connected(), server.connected(), server.connected()];
    let mut publisher = server.connected();
    for member in &mut members {
        member.send("SUB work group 1\r\n");
        member.round_trip();
    }
    let count = 300;
    publisher.send(&"PUB work 1\r\nx\r\n".repeat(count));
    publisher.round_trip();
    let mut shares = Vec::new();
    for member in &mut members {
        member.send("PING\r\n");
        let mut share = 0;
        loop {
            match member.line().as_str() {
                "PONG\r\n" => break,
                "PING\r\n" => continue,
                "MSG work 1 1\r\n" => member.expect("x\r\n"),
                other => panic!("{other}"),
            }
            share += 1;
        }
        shares.push(share);
    }
    assert_eq!(shares.iter().sum::<usize>(), count, "{shares:?}");
    assert!(
        shares.iter().all(|&share| share > 50),
        "uniform choice: {shares:?}"
    );
}

#[test]
fn a_message_of_the_largest_size_arrives_whole_to_all() {
    let server = Server::start(|_| {});
    let (mut one, mut other) = (server.connected(), server.connected());
    let mut publisher = server.connected();
    for subscriber in [&mut one, &mut other] {
        subscriber.send("SUB big 1\r\n");
        subscriber.round_trip();
    }
    let payload: String = ('a'..='z').cycle().take(1024 * 1024).collect();
    let message = format!(
        "PUB big {}\r\n{payload}\r\nPUB big 1\r\nx\r\n",
        payload.len()
    );
    // In pieces, so that the frame comes in many reads.
    for piece in message.as_bytes().chunks(70_001) {
        publisher.0.write_all(piece).expect("the server reads");
    }
    for subscriber in [&mut one, &mut other] {
        subscriber.expect(&format!("MSG big 1 {}\r\n", payload.len()));
        subscriber.expect(&payload);
        subscriber.expect("\r\nMSG big 1 1\r\nx\r\n");
    }
}

#[test]
fn a_message_above_the_largest_size_closes_its_connection_only() {
    let server = Server::start(|config| config.limits.payload_max = 1000);
    let (mut greedy, mut other) = (server.connected(), server.connected());
    greedy.send("PUB a 1001\r\n");
    greedy.expect("-ERR 'Maximum Payload Violation'\r\n");
    // A client does not look up while it sends: the rest is read away, so that no reset overtakes the reason.
    for _ in 0..100 {
        greedy.send(&"x".repeat(10_000));
    }
    greedy.expect_end();
    assert_eq!(server.next_closing(), CloseReason::MaximumPayloadExceeded);
    other.round_trip();
}

#[test]
fn a_reader_that_does_not_read_is_closed_and_the_others_go_on() {
    let server = Server::start(|config| config.pending_max = 1024 * 1024);
    let (mut slow, mut fast) = (server.connected(), server.connected());
    let mut publisher = server.connected();
    for subscriber in [&mut slow, &mut fast] {
        subscriber.send("SUB data 1\r\n");
        subscriber.round_trip();
    }
    // More than the bound and what the operating system buffers for a connection.
    let payload = "x".repeat(64 * 1024);
    let message = format!("PUB data {}\r\n{payload}\r\n", payload.len());
    let delivered = format!("MSG data 1 {}\r\n{payload}\r\n", payload.len());
    for _ in 0..400 {
        publisher.send(&message);
        fast.expect(&delivered);
    }
    assert_eq!(server.next_closing(), CloseReason::SlowConsumerPendingBytes);
    publisher.send(&message);
    fast.expect(&delivered);
    assert_eq!(server.account.subscription_count(), 1);
}

#[test]
fn a_reader_without_progress_is_closed_at_the_write_deadline() {
    let server = Server::start(|config| config.write_deadline = Duration::from_millis(50));
    let (mut slow, mut publisher) = (server.connected(), server.connected());
    slow.send("SUB data 1\r\n");
    slow.round_trip();
    let message = format!("PUB data {}\r\n{}\r\n", 500_000, "x".repeat(500_000));
    for _ in 0..40 {
        publisher.send(&message);
    }
    assert_eq!(
        server.next_closing(),
        CloseReason::SlowConsumerWriteDeadline
    );
    publisher.round_trip();
}

#[test]
fn a_slow_reader_below_the_bound_gets_everything_in_order() {
    let server = Server::start(|_| {});
    let (mut slow, mut publisher) = (server.connected(), server.connected());
    slow.send("SUB data 1\r\n");
    slow.round_trip();
    let payload = "x".repeat(5000);
    let count = 4000;
    for number in 0..count {
        publisher.send(&format!(
            "PUB data.{number} 0\r\n\r\nPUB data 5008\r\n{number:08}{payload}\r\n"
        ));
    }
    publisher.round_trip();
    for number in 0..count {
        slow.expect(&format!("MSG data 1 5008\r\n{number:08}{payload}\r\n"));
    }
}

#[test]
fn closing_one_side_frees_the_subscriptions() {
    let server = Server::start(|_| {});
    let mut client = server.connected();
    client.send("SUB a 1\r\nSUB b q 2\r\n");
    client.round_trip();
    assert_eq!(server.account.subscription_count(), 2);
    client.0.shutdown(Shutdown::Write).expect("an open socket");
    assert_eq!(server.next_closing(), CloseReason::ClientClosed);
    assert_eq!(server.account.subscription_count(), 0);
    assert_eq!(server.network.connection_count(), 0);
    client.expect_end();
}

#[test]
fn unsubscribing_counts_deliveries_from_the_start() {
    let server = Server::start(|_| {});
    let mut client = server.connected();
    client.send(
        "SUB a 1\r\nPUB a 1\r\n1\r\nUNSUB 1 3\r\nPUB a 1\r\n2\r\nPUB a 1\r\n3\r\nPUB a 1\r\n4\r\n",
    );
    client.expect("MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nMSG a 1 1\r\n3\r\n");
    client.round_trip();
    assert_eq!(server.account.subscription_count(), 0);
    client.send("SUB a 1\r\nPUB a 1\r\n5\r\nUNSUB 1 1\r\nPUB a 1\r\n6\r\n");
    client.expect("MSG a 1 1\r\n5\r\n");
    client.round_trip();
}

#[test]
fn a_connection_above_the_maximum_is_told_so() {
    let server = Server::start(|config| config.connections_max = Some(1));
    let mut first = server.connected();
    let mut second = server.client();
    second.expect("-ERR 'maximum connections exceeded'\r\n");
    second.expect_end();
    assert_eq!(
        server.next_closing(),
        CloseReason::MaximumConnectionsExceeded
    );
    first.round_trip();
}

#[test]
fn a_silent_client_is_pinged_and_then_closed() {
    let server = Server::start(|config| {
        config.limits.ping_interval = Duration::from_millis(20);
        config.limits.ping_max = 1;
    });
    let mut client = server.client();
    client.expect("PING\r\n-ERR 'Stale Connection'\r\n");
    client.expect_end();
    assert_eq!(server.next_closing(), CloseReason::StaleConnection);
}

/// Answers every message with its payload twice, as a party inside the server does.
struct Doubler(Arc<Account>);

impl LocalReceiver for Doubler {
    fn receive(&self, batch: &mut MessageBatch, turn: &mut Turn) {
        for (message, _) in batch.iter() {
            let payload = message.payload.repeat(2);
            let answer = Message {
                subject: message.reply,
                payload: &payload,
                ..Message::default()
            };
            turn.publish(&self.0, Origin::SERVER, &answer);
        }
    }
}

#[test]
fn a_party_inside_the_server_answers_in_the_same_turn() {
    let server = Server::start(|_| {});
    let doubler = Arc::new(Doubler(server.account.clone()));
    let subscription = Subscription::new(b"double", None, b"", Sink::Local(doubler));
    server.account.subscribe(Arc::new(subscription));
    let mut client = server.connected();
    client.send("SUB inbox 1\r\nPUB double inbox 2\r\nab\r\n");
    client.expect("MSG inbox 1 4\r\nabab\r\n");
}

#[test]
fn shutdown_sends_what_is_pending_and_closes_everything() {
    let server = Server::start(|_| {});
    let (mut subscriber, mut publisher) = (server.connected(), server.connected());
    subscriber.send("SUB data 1\r\n");
    subscriber.round_trip();
    let payload = "x".repeat(100_000);
    publisher.send(&format!("PUB data 100000\r\n{payload}\r\n").repeat(50));
    publisher.round_trip();
    let expected = format!("MSG data 1 100000\r\n{payload}\r\n");
    let reader = std::thread::spawn(move || {
        for _ in 0..50 {
            subscriber.expect(&expected);
        }
        subscriber.expect_end();
    });
    server.network.shutdown().expect("the reactors are well");
    reader.join().expect("everything pending arrived");
    publisher.expect_end();
    assert_eq!(server.next_closing(), CloseReason::ServerShutdown);
    assert_eq!(server.network.connection_count(), 0);
    assert_eq!(server.account.subscription_count(), 0);
    assert!(TcpStream::connect(server.network.local_addrs()[0]).is_err());
}

#[test]
fn clients_that_come_and_go_leave_nothing_behind() {
    const CLIENTS: usize = 200;
    let server = Server::start(|_| {});
    let mut publisher = server.connected();
    for number in 0..CLIENTS {
        let mut client = server.connected();
        client.send(&format!(
            "SUB news 1\r\nSUB _INBOX.{number}.* 2\r\nSUB news q 3\r\n"
        ));
        client.round_trip();
        publisher.send("PUB news 2\r\nhi\r\n");
        // It must not reach the next client.
        publisher.round_trip();
        // Some go with unread messages, some after reading.
        if number % 2 == 0 {
            client.expect("MSG news ");
        }
    }
    for _ in 0..CLIENTS {
        // Whoever notices first: the read that ends, or the write of another thread that fails.
        let reason = server.next_closing();
        let gone = [CloseReason::ClientClosed, CloseReason::WriteError];
        assert!(gone.contains(&reason), "{reason}");
    }
    publisher.round_trip();
    assert_eq!(server.network.connection_count(), 1);
    assert_eq!(server.account.subscription_count(), 0);
}
