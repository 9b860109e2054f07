//! `subject_transform` and `republish`: other subjects than messages were published with.

use crate::transcript::check;

#[test]
fn messages_are_stored_under_what_the_transform_makes_of_their_subject() {
    check(
        r#"
        > stream {"subject_transform":{"src":"s.*","dest":"t.{{wildcard(1)}}.x"}}
        > pub s.a 1
        stored 1
        > pub s.a.b 2
        stored 2
        > pub s.a 3 Nats-Expected-Last-Subject-Sequence=1
        stored 3
        > pub t.a.x 4
        refused 10060 expected stream does not match
        > state
        messages 3 first 1 last 3 subjects {"s.a.b": 1, "t.a.x": 2} deleted []
        > checkpoint
        > put s.c 4
        > restart
        > put s.c 5
        > state
        messages 5 first 1 last 5 subjects {"s.a.b": 1, "t.a.x": 2, "t.c.x": 2} deleted []
        > update {}
        updated
        > put s.a 6
        > state
        messages 6 first 1 last 6 subjects {"s.a": 1, "s.a.b": 1, "t.a.x": 2, "t.c.x": 2} deleted []
        > restart
        > put s.a 7
        > restart
        > state
        messages 7 first 1 last 7 subjects {"s.a": 2, "s.a.b": 1, "t.a.x": 2, "t.c.x": 2} deleted []
        "#,
    );
}

#[test]
fn interest_and_limits_are_those_of_the_stored_subject() {
    check(
        r#"
        > stream {"subject_transform":{"src":"s.>","dest":"t.>"},"retention":"interest","max_msgs_per_subject":1}
        > consumer {"durable_name":"c","ack_policy":"explicit","filter_subject":"t.a"}
        consumer c from 1 with 0
        > put s.a 1
        > put s.b 2
        > put s.a 3
        > state
        messages 1 first 3 last 3 subjects {"t.a": 1} deleted []
        > pull c {"batch":1}
        in <- t.a seq 3 try 1 delivery 1 left 0 "3"
        "#,
    );
}

#[test]
fn stored_messages_are_published_again_before_they_are_acknowledged() {
    check(
        r#"
        > stream {"republish":{"src":"s.*","dest":"again.{{wildcard(1)}}"}}
        > pub s.a one
        again again.a "one" [Nats-Stream: S; Nats-Subject: s.a; Nats-Sequence: 1; Nats-Time-Stamp: 2001-09-09T01:46:40Z; Nats-Last-Sequence: 0]
        stored 1
        > put s.a two A=b
        again again.a "two" [A: b; Nats-Stream: S; Nats-Subject: s.a; Nats-Sequence: 2; Nats-Time-Stamp: 2001-09-09T01:46:40Z; Nats-Last-Sequence: 1]
        > pub s.a.b three
        stored 3
        > pub s.b x Nats-Expected-Last-Sequence=9
        refused 10071 wrong last sequence: 3
        > update {"republish":{"src":">","dest":"again.>","headers_only":true}}
        updated
        > put s.a.b four
        again again.s.a.b "" [Nats-Stream: S; Nats-Subject: s.a.b; Nats-Sequence: 4; Nats-Time-Stamp: 2001-09-09T01:46:40Z; Nats-Last-Sequence: 3; Nats-Msg-Size: 4]
        > restart
        > put s.c
        again again.s.c "" [Nats-Stream: S; Nats-Subject: s.c; Nats-Sequence: 5; Nats-Time-Stamp: 2001-09-09T01:46:40Z; Nats-Last-Sequence: 0; Nats-Msg-Size: 0]
        > update {}
        updated
        > put s.a six
        "#,
    );
}

#[test]
fn what_is_published_again_is_what_was_stored() {
    check(
        r#"
        > stream {"subjects":["s.>"],"subject_transform":{"src":"s.>","dest":"t.>"},"republish":{"src":">","dest":">"},"subject_delete_marker_ttl":60000000000}
        > put s.a 1 Nats-TTL=5
        again t.a "1" [Nats-TTL: 60; Nats-Stream: S; Nats-Subject: t.a; Nats-Sequence: 1; Nats-Time-Stamp: 2001-09-09T01:46:40Z; Nats-Last-Sequence: 0]
        > wait 1m1s
        again t.a "" [Nats-Marker-Reason: MaxAge; Nats-TTL: 1m0s; Nats-Rollup: sub; Nats-Stream: S; Nats-Subject: t.a; Nats-Sequence: 2; Nats-Time-Stamp: 2001-09-09T01:47:40.01Z; Nats-Last-Sequence: 1]
        "#,
    );
}
