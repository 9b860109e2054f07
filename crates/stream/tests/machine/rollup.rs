//! `Nats-Rollup`: messages that take the place of those before them.

use crate::transcript::check;

#[test]
fn a_rollup_takes_the_place_of_its_subject_or_of_all() {
    check(
        r#"
        > stream {"allow_rollup_hdrs":true}
        > pub s.a 1
        stored 1
        > pub s.b 2
        stored 2
        > pub s.a 3
        stored 3
        > pub s.a 4 Nats-Rollup=sub
        stored 4
        > state
        messages 2 first 2 last 4 subjects {"s.a": 1, "s.b": 1} deleted [3]
        > checkpoint
        > pub s.c 5
        stored 5
        > pub s.b 6 Nats-Rollup=SUB
        stored 6
        > restart
        > state
        messages 3 first 4 last 6 subjects {"s.a": 1, "s.b": 1, "s.c": 1} deleted []
        > pub s.c 7 Nats-Rollup=all
        stored 7
        > state
        messages 1 first 7 last 7 subjects {"s.c": 1} deleted []
        > restart
        "#,
    );
}

#[test]
fn rollups_that_are_not_allowed_or_mean_nothing_are_refused() {
    check(
        r#"
        > pub s.a 1 Nats-Rollup=sub
        refused 10111 rollup not permitted
        > stream {"allow_rollup_hdrs":true}
        > pub s.a 1 Nats-Rollup=Subject
        refused 10111 rollup value invalid: "subject"
        > pub s.a 1
        stored 1
        > update {"deny_purge":true}
        updated
        > pub s.a 2 Nats-Rollup=all
        refused 10111 rollup not permitted
        > restart
        > state
        messages 1 first 1 last 1 subjects {"s.a": 1} deleted []
        "#,
    );
}

#[test]
fn consumers_hear_of_what_a_rollup_removed() {
    check(
        r#"
        > stream {"allow_rollup_hdrs":true}
        > consumer {"durable_name":"c","ack_policy":"explicit"}
        consumer c from 1 with 0
        > put s.a 1
        > put s.b 2
        > put s.a 3
        > pull c {"batch":2}
        in <- s.a seq 1 try 1 delivery 1 left 2 "1"
        in <- s.b seq 2 try 1 delivery 2 left 1 "2"
        > put s.a 4 Nats-Rollup=sub
        > info c
        delivered 2/2 floor 1/1 pending 1 redelivered 0 waiting 0 left 1
        > restart
        > pull c {"batch":1}
        in <- s.a seq 4 try 1 delivery 3 left 0 "4" [Nats-Rollup: sub]
        "#,
    );
}

#[test]
fn a_rollup_that_nobody_wants_removes_all_the_same() {
    check(
        r#"
        > stream {"allow_rollup_hdrs":true,"retention":"interest"}
        > consumer {"durable_name":"c","ack_policy":"explicit","filter_subject":"s.a"}
        consumer c from 1 with 0
        > put s.a 1
        > pub s.b 2 Nats-Rollup=sub
        stored 2
        > state
        messages 1 first 1 last 2 subjects {"s.a": 1} deleted [2]
        > pub s.b 3 Nats-Rollup=all
        stored 3
        > restart
        > state
        messages 0 first 4 last 3 subjects {} deleted []
        "#,
    );
}

#[test]
fn what_a_rollup_removes_makes_room_for_it() {
    check(
        r#"
        > stream {"allow_rollup_hdrs":true,"max_msgs":3}
        > put s.a 1
        > put s.b 2
        > put s.b 3
        > pub s.b 4 Nats-Rollup=sub
        stored 4
        > state
        messages 2 first 1 last 4 subjects {"s.a": 1, "s.b": 1} deleted [2, 3]
        > restart
        > pub s.c 5
        stored 5
        > pub s.d 6
        stored 6
        > state
        messages 3 first 4 last 6 subjects {"s.b": 1, "s.c": 1, "s.d": 1} deleted []
        "#,
    );
}
