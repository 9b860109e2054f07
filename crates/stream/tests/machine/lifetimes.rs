//! `Nats-TTL` and markers: messages that go by their own word, and what is left in their place.

use std::time::Duration;

use everjet_api::StreamConfig;
use everjet_store::{NewMessage, StoreOptions, StreamId, StreamStore};
use everjet_stream::{Output, Stream};
use everjet_values::{EntryIndex, StreamSequence, Timestamp};

use crate::transcript::check;

#[test]
fn a_message_goes_when_its_lifetime_is_over() {
    check(
        r#"
        > stream {"allow_msg_ttl":true}
        > pub s.a 1 Nats-TTL=5
        stored 1
        > pub s.b 2
        stored 2
        > pub s.c 3 Nats-TTL=2s
        stored 3
        > wait 2s
        > wait 100ms
        > state
        messages 2 first 1 last 3 subjects {"s.a": 1, "s.b": 1} deleted [3]
        > checkpoint
        > restart
        > pub s.d 4 Nats-TTL=1h
        stored 4
        > kill
        > wait 2890ms
        > state
        messages 3 first 1 last 4 subjects {"s.a": 1, "s.b": 1, "s.d": 1} deleted [3]
        > wait 30ms
        > state
        messages 2 first 2 last 4 subjects {"s.b": 1, "s.d": 1} deleted [3]
        > restart
        > wait 1h
        > state
        messages 1 first 2 last 4 subjects {"s.b": 1} deleted [3, 4]
        "#,
    );
}

#[test]
fn lifetimes_that_are_not_allowed_or_mean_nothing_are_refused() {
    check(
        r#"
        > pub s.a x Nats-TTL=5s
        refused 10166 per-message TTL is disabled
        > pub s.a x Nats-TTL=xx
        refused 10165 invalid per-message TTL
        > stream {"allow_msg_ttl":true}
        > pub s.a x Nats-TTL=0
        refused 10165 invalid per-message TTL
        > pub s.a x Nats-TTL=never
        stored 1
        > update {}
        error 10052 message TTL status can not be disabled
        "#,
    );
}

#[test]
fn messages_that_never_expire_outlive_the_age_of_the_stream() {
    check(
        r#"
        > stream {"allow_msg_ttl":true,"max_age":10000000000,"duplicate_window":1000000000}
        > put s.a 1 Nats-TTL=never
        > put s.b 2
        > put s.c 3 Nats-TTL=1h
        > put s.d 4 Nats-TTL=never
        > wait 5s
        > put s.e 5
        > wait 6s
        > state
        messages 3 first 1 last 5 subjects {"s.a": 1, "s.d": 1, "s.e": 1} deleted [2, 3]
        > checkpoint
        > restart
        > put s.f 6
        > wait 5s
        > state
        messages 3 first 1 last 6 subjects {"s.a": 1, "s.d": 1, "s.f": 1} deleted [2, 3, 5]
        > restart
        > wait 1m
        > state
        messages 2 first 1 last 6 subjects {"s.a": 1, "s.d": 1} deleted [2, 3, 5, 6]
        > purge {"filter":"s.a"}
        purged 1
        > put s.g 7
        > wait 11s
        > state
        messages 1 first 4 last 7 subjects {"s.d": 1} deleted [5, 6, 7]
        "#,
    );
}

#[test]
fn consumers_hear_of_what_expired() {
    check(
        r#"
        > stream {"allow_msg_ttl":true}
        > consumer {"durable_name":"c","ack_policy":"explicit","ack_wait":100000000000}
        consumer c from 1 with 0
        > put s.a 1 Nats-TTL=5
        > put s.b 2
        > put s.c 3 Nats-TTL=5
        > pull c {"batch":1}
        in <- s.a seq 1 try 1 delivery 1 left 2 "1" [Nats-TTL: 5]
        > wait 6s
        > info c
        delivered 1/1 floor 1/1 pending 0 redelivered 0 waiting 0 left 1
        > restart
        > info c
        delivered 1/1 floor 1/1 pending 0 redelivered 0 waiting 0 left 1
        "#,
    );
}

#[test]
fn the_last_message_of_a_subject_leaves_a_marker() {
    check(
        r#"
        > stream {"subject_delete_marker_ttl":60000000000,"max_age":10000000000,"duplicate_window":1000000000}
        > consumer {"durable_name":"c","ack_policy":"none"}
        consumer c from 1 with 0
        > put s.a 1
        > put s.a 2
        > put s.b 3
        > pull c {"batch":9,"no_wait":true}
        in <- s.a seq 1 try 1 delivery 1 left 2 "1"
        in <- s.a seq 2 try 1 delivery 2 left 1 "2"
        in <- s.b seq 3 try 1 delivery 3 left 0 "3"
        in <- 404 No Messages
        > checkpoint
        > wait 10020ms
        > state
        messages 2 first 4 last 5 subjects {"s.a": 1, "s.b": 1} deleted []
        > pull c {"batch":9,"no_wait":true}
        in <- s.a seq 4 try 1 delivery 4 left 1 "" [Nats-Marker-Reason: MaxAge; Nats-TTL: 1m0s; Nats-Rollup: sub]
        in <- s.b seq 5 try 1 delivery 5 left 0 "" [Nats-Marker-Reason: MaxAge; Nats-TTL: 1m0s; Nats-Rollup: sub]
        in <- 404 No Messages
        > restart
        # Markers leave no markers.
        > wait 1m5s
        > state
        messages 0 first 6 last 5 subjects {} deleted []
        > restart
        "#,
    );
}

#[test]
fn a_lifetime_leaves_a_marker_and_is_never_shorter_than_that_of_one() {
    check(
        r#"
        > stream {"subject_delete_marker_ttl":60000000000,"allow_msg_ttl":true}
        > put s.a 1 Nats-TTL=1s
        > put s.b 2 KV-Operation=PURGE
        > consumer {"durable_name":"c","ack_policy":"none"}
        consumer c from 1 with 2
        > pull c {"batch":9,"no_wait":true}
        in <- s.a seq 1 try 1 delivery 1 left 1 "1" [Nats-TTL: 60]
        in <- s.b seq 2 try 1 delivery 2 left 0 "2" [KV-Operation: PURGE]
        in <- 404 No Messages
        > wait 61s
        > pull c {"batch":9,"no_wait":true}
        in <- s.a seq 3 try 1 delivery 3 left 0 "" [Nats-Marker-Reason: MaxAge; Nats-TTL: 1m0s; Nats-Rollup: sub]
        in <- 404 No Messages
        > restart
        # One message a subject: it may go at once.
        > stream {"subject_delete_marker_ttl":60000000000,"max_msgs_per_subject":1}
        > put s.a 1 Nats-TTL=1s
        > wait 2s
        > state
        messages 1 first 2 last 2 subjects {"s.a": 1} deleted []
        "#,
    );
}

#[test]
fn what_is_not_the_only_one_of_its_subject_leaves_none_and_neither_does_a_purged_key() {
    check(
        r#"
        > stream {"subject_delete_marker_ttl":1000000000,"max_age":100000000000}
        > put s.a 1
        > put s.a 2 Nats-TTL=5s
        > put s.b 3 KV-Operation=PURGE
        > wait 6s
        > state
        messages 2 first 1 last 3 subjects {"s.a": 1, "s.b": 1} deleted [2]
        > checkpoint
        > restart
        > wait 95s
        > state
        messages 1 first 4 last 4 subjects {"s.a": 1} deleted []
        "#,
    );
}

#[test]
fn markers_in_a_stream_with_interest_are_for_those_who_want_them() {
    check(
        r#"
        > stream {"subject_delete_marker_ttl":60000000000,"retention":"interest"}
        > consumer {"durable_name":"c","ack_policy":"explicit"}
        consumer c from 1 with 0
        > put s.a 1 Nats-TTL=60
        > wait 61s
        > pull c {"batch":9,"no_wait":true}
        in <- s.a seq 2 try 1 delivery 1 left 0 "" [Nats-Marker-Reason: MaxAge; Nats-TTL: 1m0s; Nats-Rollup: sub]
        in <- 404 No Messages
        > ack c 2 +ACK
        > state
        messages 0 first 3 last 2 subjects {} deleted []
        > restart
        "#,
    );
}

#[test]
fn lifetimes_of_messages_from_elsewhere_go_on_from_when_they_were_stored() {
    let stored_at = Timestamp::from_nanos(1_000_000_000_000_000_000);
    let after = |seconds| stored_at.plus(Duration::from_secs(seconds));
    let imported = |allow_msg_ttl| {
        let mut store = StreamStore::in_memory(StoreOptions::default());
        for (number, ttl) in ["", "60", "never", "1h", "2m"].into_iter().enumerate() {
            let headers = match ttl {
                "" => String::new(),
                ttl => format!("NATS/1.0\r\nNats-TTL: {ttl}\r\n\r\n"),
            };
            let message = NewMessage {
                time: stored_at,
                subject: b"s.a",
                headers: headers.as_bytes(),
                payload: b"x",
            };
            store.append(EntryIndex(number as u64 + 1), &message);
        }
        let config = StreamConfig {
            name: "S".to_owned(),
            subjects: vec!["s.>".to_owned()],
            allow_msg_ttl,
            ..StreamConfig::default()
        };
        let entry = EntryIndex(5);
        let mut stream = Stream::imported(StreamId(1), config, stored_at, store, vec![], entry);
        stream.lead(after(90));
        stream
    };
    let left = |stream: &Stream| -> Vec<u64> {
        let is_there = |number: &u64| stream.store().contains(StreamSequence(*number));
        (1..=5).filter(is_there).collect()
    };

    let mut stream = imported(true);
    // What is over already is due at once.
    assert!(stream.next_timer().is_some_and(|at| at <= after(90)));
    let mut out = Output::default();
    stream.on_timer(after(90), &mut |_| false, &mut out);
    assert_eq!(left(&stream), [1, 3, 4, 5]);
    let next = stream.next_timer().expect("more has a lifetime");
    assert!(next > after(90) && next <= after(121), "{next}");
    stream.on_timer(next, &mut |_| false, &mut out);
    assert_eq!(left(&stream), [1, 3, 4]);

    let mut stream = imported(false);
    stream.on_timer(after(7200), &mut |_| false, &mut out);
    assert_eq!(left(&stream), [1, 2, 3, 4, 5]);
}
