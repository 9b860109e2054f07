//! Queue groups: one member a message, chosen at random.

use everjet_conformance::{RawClient, ServerProcess};

use crate::check;

#[test]
fn one_member_of_each_group_and_every_plain_subscription_get_a_message() {
    check(
        r#"
        A> CONNECT {"verbose":false}
        A> SUB foo blue 1
        A> PING
        A< PONG
        B> CONNECT {"verbose":false}
        B> SUB foo 2
        B> PING
        B< PONG
        C> CONNECT {"verbose":false}
        C> SUB foo red 3
        C> PING
        C< PONG
        B> PUB foo 2
        B> hi
        A< MSG foo 1 2
        A< hi
        B< MSG foo 2 2
        B< hi
        C< MSG foo 3 2
        C< hi
        B> PING
        B< PONG
        "#,
    );
}

/// Publishes `count` messages and says how many each of the members got.
fn spread(count: usize, members: usize) -> Vec<usize> {
    let server = ServerProcess::start("");
    let mut subscribers: Vec<RawClient> = (0..members)
        .map(|_| {
            let mut client = RawClient::ready(server.port());
            client.send(b"SUB work workers 1\r\nSUB stop 2\r\n");
            client.expect_quiet();
            client
        })
        .collect();
    let mut publisher = RawClient::ready(server.port());
    publisher.send("PUB work 1\r\nx\r\n".repeat(count).as_bytes());
    publisher.send(b"PUB stop 0\r\n\r\n");
    let received = subscribers.iter_mut().map(|subscriber| {
        let mut received = 0;
        while subscriber.message().subject == "work" {
            received += 1;
        }
        received
    });
    received.collect()
}

#[test]
fn a_message_goes_to_exactly_one_member_and_all_get_their_share() {
    let received = spread(4_000, 4);
    assert_eq!(received.iter().sum::<usize>(), 4_000, "{received:?}");
    for share in &received {
        // One fourth is 1,000 with a deviation of 27: seven deviations do not happen by chance.
        assert!((800..=1_200).contains(share), "{received:?}");
    }
}

#[test]
fn a_single_member_gets_everything() {
    assert_eq!(spread(100, 1), [100]);
}

#[test]
fn members_of_one_connection_are_members_like_others() {
    let server = ServerProcess::start("");
    let mut client = RawClient::ready(server.port());
    client.send(b"SUB work workers 1\r\nSUB work workers 2\r\n");
    client.send("PUB work 1\r\nx\r\n".repeat(1_000).as_bytes());
    let first = (0..1_000).filter(|_| client.message().sid == "1").count();
    client.expect_quiet();
    assert!((380..=620).contains(&first), "{first}");
}

#[test]
fn members_that_come_first_get_no_more_than_the_last() {
    // Chi-square of 8 members: 7 degrees of freedom, above 40 once in a million runs.
    let received = spread(8_000, 8);
    let square = |share: &usize| i64::try_from(*share).expect("small").pow(2);
    let chi_square = received.iter().map(square).sum::<i64>() / 1_000 - 8_000;
    assert!(chi_square < 40, "{received:?}");
}

#[test]
fn when_a_member_takes_no_more_the_next_one_gets_the_message() {
    let server = ServerProcess::start("");
    let mut client = RawClient::ready(server.port());
    client.send(b"SUB work workers 1\r\nUNSUB 1 5\r\nSUB work workers 2\r\n");
    client.send("PUB work 0\r\n\r\n".repeat(200).as_bytes());
    let sids: Vec<String> = (0..200).map(|_| client.message().sid).collect();
    client.expect_quiet();
    assert_eq!(sids.iter().filter(|sid| *sid == "1").count(), 5);
}

#[test]
fn a_message_passes_over_members_of_a_publisher_without_echo() {
    check(
        r#"
        A> CONNECT {"verbose":false,"echo":false,"headers":true,"no_responders":true}
        A> SUB work workers 1
        A> SUB work workers 2
        A> SUB inbox 3
        B> CONNECT {"verbose":false}
        B> SUB work workers 4
        B> PING
        B< PONG
        A> PUB work 1
        A> a
        A> PUB work 1
        A> b
        A> PUB work 1
        A> c
        B< MSG work 4 1
        B< a
        B< MSG work 4 1
        B< b
        B< MSG work 4 1
        B< c
        B> UNSUB 4
        B> PING
        B< PONG
        # Nobody else is left, and its own members do not count as listeners.
        A> PUB work inbox 1
        A> d
        A< HMSG inbox 3 36 36
        A< NATS/1.0 503
        A< Nats-Subject: work
        A<
        A<
        "#,
    );
}

#[test]
fn the_members_of_a_connection_that_ended_are_gone() {
    let server = ServerProcess::start("");
    let mut publisher = RawClient::ready(server.port());
    publisher.send(b"SUB inbox 1\r\n");
    let mut stays = RawClient::ready(server.port());
    stays.send(b"SUB work workers 1\r\n");
    stays.expect_quiet();
    let mut goes = RawClient::ready(server.port());
    goes.send(b"SUB work workers 1\r\nSUB only workers 2\r\n");
    goes.expect_quiet();
    drop(goes);
    // The server has noticed when nobody is left on the subject that only that connection had.
    loop {
        publisher.send(b"PUB only inbox 0\r\n\r\nPING\r\n");
        let line = publisher.line();
        if line == "PONG" {
            continue;
        }
        assert!(line.starts_with("HMSG inbox 1 "), "{line}");
        while publisher.line() != "PONG" {}
        break;
    }
    publisher.send("PUB work 0\r\n\r\n".repeat(100).as_bytes());
    for _ in 0..100 {
        assert_eq!(stays.message().subject, "work");
    }
    stays.expect_quiet();
}

#[test]
fn a_group_is_named_together_with_its_subject() {
    check(
        r#"
        A> CONNECT {"verbose":false}
        A> SUB foo.a workers 1
        A> SUB foo.* workers 2
        A> PUB foo.a 0
        A>
        A< MSG foo.a …
        A<
        A> PUB foo.b 0
        A>
        A< MSG foo.b 2 0
        A<
        "#,
    );
}

#[test]
fn a_queue_named_sys_is_not_for_clients() {
    check(
        r#"
        A> CONNECT {"verbose":false}
        A> SUB foo _sys_ 1
        A< -ERR 'Permissions Violation for Subscription to "foo" using queue "_sys_"'
        A> PING
        A< PONG
        "#,
    );
}
