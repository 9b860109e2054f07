//! Limits, purges and deletes: what leaves a stream, and what consumers make of it.

use crate::transcript::check;

#[test]
fn discard_old_keeps_the_newest() {
    check(
        r#"
        > stream {"max_msgs":2}
        > put s.a 1
        > put s.b 2
        > put s.a 3
        > state
        messages 2 first 2 last 3 subjects {"s.a": 1, "s.b": 1} deleted []
        > checkpoint
        > put s.a 4
        > restart
        > state
        messages 2 first 3 last 4 subjects {"s.a": 2} deleted []
        "#,
    );
}

#[test]
fn a_subject_has_its_own_limit() {
    check(
        r#"
        > stream {"max_msgs_per_subject":1}
        > put s.a 1
        > put s.b 2
        > put s.a 3
        > put s.b 4
        > put s.c 5
        > put s.b 6
        > state
        messages 3 first 3 last 6 subjects {"s.a": 1, "s.b": 1, "s.c": 1} deleted [4]
        > restart
        "#,
    );
}

#[test]
fn discard_new_refuses_what_does_not_fit() {
    check(
        r#"
        > stream {"max_msgs":2,"discard":"new"}
        > pub s.a 1 Nats-Msg-Id=one
        stored 1
        > pub s.a 2
        stored 2
        > pub s.a 3
        refused 10077 maximum messages exceeded
        > pub s.a 1 Nats-Msg-Id=one
        stored 1 duplicate
        > stream {"max_bytes":100,"discard":"new"}
        > pub s.a 123456789012345678901234567890
        stored 1
        > pub s.a 123456789012345678901234567890
        refused 10077 maximum bytes exceeded
        > pub s.a
        stored 2
        # A message that replaces another one of its subject needs no room.
        > stream {"max_msgs":2,"max_msgs_per_subject":1,"discard":"new"}
        > pub s.a 1
        stored 1
        > pub s.b 2
        stored 2
        > pub s.a 3
        stored 3
        > pub s.c 3
        refused 10077 maximum messages exceeded
        > stream {"max_msgs":2,"max_msgs_per_subject":1,"discard":"new","discard_new_per_subject":true}
        > pub s.a 1
        stored 1
        > pub s.a 2
        refused 10077 maximum messages per subject exceeded
        > pub s.b 2
        stored 2
        > pub s.c 3
        refused 10077 maximum messages exceeded
        "#,
    );
}

#[test]
fn old_messages_go_by_age() {
    check(
        r#"
        > stream {"max_age":10000000000}
        > put s.a 1
        > wait 4s
        > put s.a 2
        > wait 5900ms
        > state
        messages 2 first 1 last 2 subjects {"s.a": 2} deleted []
        > wait 200ms
        > state
        messages 1 first 2 last 2 subjects {"s.a": 1} deleted []
        > wait 1h
        > state
        messages 0 first 3 last 2 subjects {} deleted []
        > restart
        > pub s.a 3
        stored 3
        "#,
    );
}

#[test]
fn purges_take_what_was_asked_for() {
    check(
        r#"
        > put s.a 1
        > put s.a 2
        > put s.b 3
        > put s.a 4
        > put s.b 5
        > purge {"seq":3,"keep":1}
        error 10003 bad request
        > purge {"filter":"s.a","keep":1}
        purged 2
        > state
        messages 3 first 3 last 5 subjects {"s.a": 1, "s.b": 2} deleted []
        > purge {"filter":"s.b","seq":5}
        purged 1
        > purge {"filter":"a..b"}
        purged 0
        > purge {"keep":5}
        purged 0
        > purge {"keep":1}
        purged 1
        > restart
        > state
        messages 1 first 5 last 5 subjects {"s.b": 1} deleted []
        > purge {}
        purged 1
        > state
        messages 0 first 6 last 5 subjects {} deleted []
        # Beyond the end it moves the end.
        > purge {"seq":100}
        purged 0
        > restart
        > pub s.a 6
        stored 100
        "#,
    );
}

#[test]
fn a_first_sequence_can_be_chosen() {
    check(
        r#"
        > stream {"first_seq":50}
        > state
        messages 0 first 50 last 49 subjects {} deleted []
        > pub s.a 1
        stored 50
        > restart
        > checkpoint
        > restart
        "#,
    );
}

#[test]
fn single_messages_are_deleted_once() {
    check(
        r#"
        > put s.a 1
        > put s.a 2
        > put s.a 3
        > delete 2
        deleted
        > delete 2
        error 10043 sequence 2 not found
        > delete 9
        error 10057 stream store EOF
        > delete 1
        deleted
        > delete 2
        error 10057 no message found
        > delete 0
        error 10057 no message found
        > state
        messages 1 first 3 last 3 subjects {"s.a": 1} deleted []
        > restart
        > get {"seq":2}
        error 10037 no message found
        "#,
    );
}

#[test]
fn protected_and_sealed_streams_say_no() {
    check(
        r#"
        > stream {"deny_delete":true,"deny_purge":true}
        > pub s.a 1
        stored 1
        > delete 1
        error 10057 message delete not permitted
        > purge {}
        error 10110 stream purge not permitted
        > update {"deny_purge":true}
        error 10052 stream configuration update can not cancel deny message deletes
        > update {"sealed":true}
        updated
        > pub s.a 2
        refused 10109 invalid operation on sealed stream
        > delete 1
        error 10109 invalid operation on sealed stream
        > purge {}
        error 10109 invalid operation on sealed stream
        > update {"deny_purge":true,"deny_delete":true}
        error 10052 stream configuration update can not unseal a sealed stream
        > restart
        > pub s.a 2
        refused 10109 invalid operation on sealed stream
        "#,
    );
}

#[test]
fn smaller_limits_prune_at_once() {
    check(
        r#"
        > put s.a 1
        > put s.a 2
        > put s.b 3
        > put s.b 4
        > put s.b 5
        > update {"max_msgs_per_subject":2}
        updated
        > state
        messages 4 first 1 last 5 subjects {"s.a": 2, "s.b": 2} deleted [3]
        > update {"max_msgs":2}
        updated
        > state
        messages 2 first 4 last 5 subjects {"s.b": 2} deleted []
        > restart
        > update {"storage":"memory"}
        error 10052 stream configuration update can not change storage type
        "#,
    );
}

#[test]
fn removed_messages_stop_counting_for_consumers() {
    check(
        r#"
        > stream {"max_msgs":4}
        > put s.a 1
        > put s.a 2
        > put s.a 3
        > put s.a 4
        > consumer {"durable_name":"c","ack_policy":"explicit"}
        consumer c from 1 with 4
        > pull c {"batch":3}
        in <- s.a seq 1 try 1 delivery 1 left 3 "1"
        in <- s.a seq 2 try 1 delivery 2 left 2 "2"
        in <- s.a seq 3 try 1 delivery 3 left 1 "3"
        > put s.a 5
        > info c
        delivered 3/3 floor 1/1 pending 2 redelivered 0 waiting 0 left 2
        > delete 3
        deleted
        > info c
        delivered 3/3 floor 1/1 pending 1 redelivered 0 waiting 0 left 2
        > delete 4
        deleted
        > info c
        delivered 3/3 floor 1/1 pending 1 redelivered 0 waiting 0 left 1
        > purge {}
        purged 2
        > info c
        delivered 3/3 floor 3/3 pending 0 redelivered 0 waiting 0 left 0
        > put s.a 6
        > pull c
        in <- s.a seq 6 try 1 delivery 4 left 0 "6"
        > restart
        "#,
    );
}
