//! What is done to consumers: resets, pauses, and whose turn it is in a priority group.

use crate::transcript::check;

#[test]
fn a_reset_forgets_what_was_delivered_and_survives_a_restart() {
    check(
        r#"
        > put s.a 1
        > put s.a 2
        > put s.a 3
        > put s.a 4
        > consumer {"durable_name":"c","ack_policy":"explicit"}
        consumer c from 1 with 4
        > pull c 3
        in <- s.a seq 1 try 1 delivery 1 left 3 "1"
        in <- s.a seq 2 try 1 delivery 2 left 2 "2"
        in <- s.a seq 3 try 1 delivery 3 left 1 "3"
        > ack c 1
        > ack c 3
        > reset c
        at 2 with 3
        > info c
        delivered 0/1 floor 0/1 pending 0 redelivered 0 waiting 0 left 3
        > pull c 1
        in <- s.a seq 2 try 1 delivery 1 left 2 "2"
        > restart
        > reset c 4
        at 4 with 1
        > restart
        > checkpoint
        > pull c 1
        in <- s.a seq 4 try 1 delivery 1 left 0 "4"
        > wait 29s
        > reset c 1
        at 1 with 4
        > wait 5s
        > info c
        delivered 0/0 floor 0/0 pending 0 redelivered 0 waiting 0 left 4
        "#,
    );
}

#[test]
fn the_last_of_each_subject_are_delivered_again_after_a_reset() {
    check(
        r#"
        > put s.a 1
        > put s.b 2
        > put s.a 3
        > put s.c 4
        > consumer {"durable_name":"c","ack_policy":"explicit","deliver_policy":"last_per_subject","filter_subject":"s.>"}
        consumer c from 2 with 3
        > put s.a 5
        > pull c 2
        in <- s.b seq 2 try 1 delivery 1 left 3 "2"
        in <- s.a seq 3 try 1 delivery 2 left 2 "3"
        > reset c 1
        error 10204 invalid reset: not allowed
        > ack c 2
        > reset c
        at 3 with 3
        > restart
        > pull c 5
        in <- s.a seq 3 try 1 delivery 1 left 2 "3"
        in <- s.c seq 4 try 1 delivery 2 left 1 "4"
        in <- s.a seq 5 try 1 delivery 3 left 0 "5"
        "#,
    );
}

#[test]
fn a_consumer_in_memory_is_reset_as_well() {
    check(
        r#"
        > put s.a 1
        > consumer {"name":"c","mem_storage":true,"inactive_threshold":60000000000}
        consumer c from 1 with 1
        > pull c 1
        in <- s.a seq 1 try 1 delivery 1 left 0 "1"
        > reset c 1
        at 1 with 1
        > pull c 1
        in <- s.a seq 1 try 1 delivery 1 left 0 "1"
        > reset c 99999999999999999
        error 10204 invalid reset: beyond the last possible sequence
        "#,
    );
}

#[test]
fn a_pause_ends_by_itself_and_survives_a_restart() {
    check(
        r#"
        > put s.a 1
        > consumer {"durable_name":"c"}
        consumer c from 1 with 1
        > pause c 10s
        paused true
        > pull c {"batch":1,"expires":60000000000,"idle_heartbeat":4000000000}
        > wait 4s
        in <- 100 Idle Heartbeat; Nats-Last-Consumer: 0; Nats-Last-Stream: 0
        > restart
        > pull c {"batch":1,"expires":60000000000}
        > wait 5s
        > wait 1s
        in <- s.a seq 1 try 1 delivery 1 left 0 "1"
        > pause c
        paused false
        > put s.a 2
        > pull c {"no_wait":true}
        in <- s.a seq 2 try 1 delivery 2 left 0 "2"
        "#,
    );
}

#[test]
fn a_group_serves_the_lowest_priority_first() {
    check(
        r#"
        > consumer {"durable_name":"c","priority_policy":"prioritized","priority_groups":["g"]}
        consumer c from 1 with 0
        > pull c@low {"batch":2,"group":"g","priority":5}
        > pull c@first {"batch":2,"group":"g","priority":1}
        > pull c@second {"batch":2,"group":"g","priority":1}
        > put s.a 1
        first <- s.a seq 1 try 1 delivery 1 left 0 "1"
        > put s.a 2
        second <- s.a seq 2 try 1 delivery 2 left 0 "2"
        > put s.a 3
        first <- s.a seq 3 try 1 delivery 3 left 0 "3"
        > put s.a 4
        second <- s.a seq 4 try 1 delivery 4 left 0 "4"
        > put s.a 5
        low <- s.a seq 5 try 1 delivery 5 left 0 "5"
        > pull c@late {"group":"g","priority":0}
        > put s.a 6
        late <- s.a seq 6 try 1 delivery 6 left 0 "6"
        "#,
    );
}

#[test]
fn overflow_waits_for_enough_in_the_stream_or_in_the_hands_of_others() {
    check(
        r#"
        > consumer {"durable_name":"c","ack_policy":"explicit","priority_policy":"overflow","priority_groups":["g"]}
        consumer c from 1 with 0
        > pull c@much {"group":"g","min_pending":2}
        > pull c@busy {"group":"g","min_ack_pending":1}
        > put s.a 1
        > put s.a 2
        much <- s.a seq 1 try 1 delivery 1 left 1 "1"
        busy <- s.a seq 2 try 1 delivery 2 left 0 "2"
        > pull c@idle {"group":"g","min_pending":2,"no_wait":true}
        idle <- 404 No Messages
        "#,
    );
}
