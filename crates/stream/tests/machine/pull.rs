//! Pull consumers: requests, statuses, acknowledgements, redelivery.

use crate::transcript::check;

#[test]
fn a_request_is_served_and_the_last_number_counts_what_is_left() {
    check(
        r#"
        > put s.a 1
        > put s.b 2
        > put s.a 3
        > consumer {"durable_name":"c","ack_policy":"explicit","filter_subject":"s.a"}
        consumer c from 1 with 2
        > pull c 10
        in <- s.a seq 1 try 1 delivery 1 left 1 "1"
        in <- s.a seq 3 try 1 delivery 2 left 0 "3"
        > info c
        delivered 2/3 floor 0/0 pending 2 redelivered 0 waiting 1 left 0
        > put s.b 4
        > put s.a 5
        in <- s.a seq 5 try 1 delivery 3 left 0 "5"
        > pull none
        no such consumer
        "#,
    );
}

#[test]
fn who_does_not_wait_hears_at_once() {
    check(
        r#"
        > consumer {"durable_name":"c","ack_policy":"explicit","ack_wait":3600000000000}
        consumer c from 1 with 0
        > pull c {"batch":2,"no_wait":true}
        in <- 404 No Messages
        > put s.a 1
        > pull c {"batch":2,"no_wait":true}
        in <- s.a seq 1 try 1 delivery 1 left 0 "1"
        in <- 404 No Messages
        # With a time it waits for the first message only.
        > pull c {"batch":2,"no_wait":true,"expires":1000000000}
        > put s.a 2
        in <- s.a seq 2 try 1 delivery 2 left 0 "2"
        in <- 404 No Messages
        > pull c {"batch":3,"no_wait":true,"expires":1000000000}
        > wait 2s
        in <- 408 Request Timeout; Nats-Pending-Messages: 3; Nats-Pending-Bytes: 0
        > pull c {"batch":1,"expires":-5}
        in <- 408 Request Timeout; Nats-Pending-Messages: 1; Nats-Pending-Bytes: 0
        "#,
    );
}

#[test]
fn what_others_will_take_is_not_there() {
    check(
        r#"
        > consumer {"durable_name":"c","ack_policy":"explicit"}
        consumer c from 1 with 0
        > pull c@one {"batch":5}
        > hold
        > put s.a 1
        > pull c@two {"no_wait":true}
        two <- 408 Requests Pending
        > durable
        one <- s.a seq 1 try 1 delivery 1 left 0 "1"
        "#,
    );
}

#[test]
fn requests_expire_and_keep_their_clients_awake() {
    check(
        r#"
        > consumer {"durable_name":"c","ack_policy":"explicit"}
        consumer c from 1 with 0
        > pull c {"batch":3,"expires":1000000000,"idle_heartbeat":400000000}
        > wait 500ms
        in <- 100 Idle Heartbeat; Nats-Last-Consumer: 0; Nats-Last-Stream: 0
        > put s.a 1
        in <- s.a seq 1 try 1 delivery 1 left 0 "1"
        > wait 450ms
        in <- 100 Idle Heartbeat; Nats-Last-Consumer: 1; Nats-Last-Stream: 1
        > wait 50ms
        in <- 408 Request Timeout; Nats-Pending-Messages: 2; Nats-Pending-Bytes: 0
        > info c
        delivered 1/1 floor 0/0 pending 1 redelivered 0 waiting 0 left 0
        "#,
    );
}

#[test]
fn bytes_are_limited_too() {
    // The size of a delivery: subject, acknowledgement subject, headers, payload.
    check(
        r#"
        > put s.a 1
        > put s.a 2
        > put s.a 3
        > consumer {"durable_name":"c","ack_policy":"explicit"}
        consumer c from 1 with 3
        > pull c {"batch":2,"max_bytes":10}
        in <- 409 Message Size Exceeds MaxBytes; Nats-Pending-Messages: 2; Nats-Pending-Bytes: 10
        > pull c {"batch":1,"max_bytes":1000}
        in <- s.a seq 1 try 1 delivery 1 left 2 "1"
        in <- 409 Batch Completed; Nats-Pending-Messages: 0; Nats-Pending-Bytes: 957
        > pull c {"batch":3,"max_bytes":60}
        in <- s.a seq 2 try 1 delivery 2 left 1 "2"
        in <- 409 Message Size Exceeds MaxBytes; Nats-Pending-Messages: 2; Nats-Pending-Bytes: 17
        > pull c {"batch":5,"max_bytes":43}
        in <- s.a seq 3 try 1 delivery 3 left 0 "3"
        > info c
        delivered 3/3 floor 0/0 pending 3 redelivered 0 waiting 0 left 0
        "#,
    );
}

#[test]
fn bad_requests_hear_what_is_wrong() {
    check(
        r#"
        > put s.a 1
        > consumer {"durable_name":"c","ack_policy":"explicit","max_batch":5,"max_bytes":100,"max_expires":60000000000}
        consumer c from 1 with 1
        > pull c {bad
        in <- 400 Bad Request - invalid character 'b' looking for beginning of object key string
        > pull c {"batch":1,"expires":1000,"idle_heartbeat":600}
        in <- 400 Bad Request - heartbeat value too large
        > pull c {"batch":6}
        in <- 409 Exceeded MaxRequestBatch of 5
        > pull c {"batch":1,"max_bytes":101}
        in <- 409 Exceeded MaxRequestMaxBytes of 100
        > pull c {"batch":1,"expires":61000000000}
        in <- 409 Exceeded MaxRequestExpires of 1m0s
        > pull c {"min_pending":3}
        in <- 400 Bad Request - Not a Overflow Priority consumer
        > pull c {"id":"x"}
        in <- 400 Bad Request - Not a Pinned Client Priority consumer
        > pull c {"priority":13}
        in <- 400 Bad Request - Priority must be between 0 and 9
        > consumer {"durable_name":"p","deliver_subject":"to"}
        consumer p from 1 with 1
        to <- s.a seq 1 try 1 delivery 1 left 0 "1"
        > pull p
        in <- 409 Consumer is push based
        "#,
    );
}

#[test]
fn waiting_requests_are_limited_and_served_in_turns() {
    check(
        r#"
        > consumer {"durable_name":"c","ack_policy":"explicit","max_waiting":2}
        consumer c from 1 with 0
        > pull c@one 2
        > pull c@two 2
        > pull c@three 2
        three <- 409 Exceeded MaxWaiting
        > pull c@four {"batch":1,"expires":2000000000,"idle_heartbeat":1000000000}
        > info c
        delivered 0/0 floor 0/0 pending 0 redelivered 0 waiting 2 left 0
        > put s.a 1
        one <- s.a seq 1 try 1 delivery 1 left 0 "1"
        > put s.a 2
        two <- s.a seq 2 try 1 delivery 2 left 0 "2"
        > put s.a 3
        one <- s.a seq 3 try 1 delivery 3 left 0 "3"
        > info c
        delivered 3/3 floor 0/0 pending 3 redelivered 0 waiting 1 left 0
        "#,
    );
}

#[test]
fn requests_nobody_waits_for_are_dropped() {
    check(
        r#"
        > consumer {"durable_name":"c","ack_policy":"explicit"}
        consumer c from 1 with 0
        > pull c@one 2
        > pull c@two 2
        > leave one
        > put s.a 1
        two <- s.a seq 1 try 1 delivery 1 left 0 "1"
        > info c
        delivered 1/1 floor 0/0 pending 1 redelivered 0 waiting 1 left 0
        "#,
    );
}

#[test]
fn forgotten_requests_make_room_for_the_next_but_one() {
    check(
        r#"
        > consumer {"durable_name":"c","ack_policy":"explicit","max_waiting":1}
        consumer c from 1 with 0
        > pull c@one
        > leave one
        > pull c@two
        two <- 409 Exceeded MaxWaiting
        > pull c@two
        > put s.a 1
        two <- s.a seq 1 try 1 delivery 1 left 0 "1"
        "#,
    );
}

#[test]
fn only_durable_messages_are_delivered() {
    check(
        r#"
        > consumer {"durable_name":"c","ack_policy":"explicit"}
        consumer c from 1 with 0
        > pull c 5
        > hold
        > pub s.a 1
        stored 1
        > info c
        delivered 0/0 floor 0/0 pending 0 redelivered 0 waiting 1 left 1
        > durable
        in <- s.a seq 1 try 1 delivery 1 left 0 "1"
        "#,
    );
}

#[test]
fn what_is_not_acknowledged_comes_again_first() {
    check(
        r#"
        > put s.a 1
        > put s.a 2
        > put s.a 3
        > consumer {"durable_name":"c","ack_policy":"explicit","ack_wait":1000000000}
        consumer c from 1 with 3
        > pull c 2
        in <- s.a seq 1 try 1 delivery 1 left 2 "1"
        in <- s.a seq 2 try 1 delivery 2 left 1 "2"
        > ack c 1
        > info c
        delivered 2/2 floor 1/1 pending 1 redelivered 0 waiting 0 left 1
        > wait 1s
        > pull c 2
        in <- s.a seq 2 try 2 delivery 3 left 1 "2"
        in <- s.a seq 3 try 1 delivery 4 left 0 "3"
        > info c
        delivered 4/3 floor 1/1 pending 2 redelivered 1 waiting 0 left 0
        > restart
        > ack c 2
        > ack c 3
        > info c
        delivered 4/3 floor 4/3 pending 0 redelivered 0 waiting 0 left 0
        > restart
        "#,
    );
}

#[test]
fn naks_delays_progress_and_term() {
    check(
        r#"
        > put s.a 1
        > put s.a 2
        > consumer {"durable_name":"c","ack_policy":"explicit","ack_wait":1000000000}
        consumer c from 1 with 2
        > pull c 9
        in <- s.a seq 1 try 1 delivery 1 left 1 "1"
        in <- s.a seq 2 try 1 delivery 2 left 0 "2"
        > ack c 1 -NAK
        in <- s.a seq 1 try 2 delivery 3 left 0 "1"
        > ack c 1 -NAK {"delay":300000000}
        > wait 200ms
        > wait 200ms
        in <- s.a seq 1 try 3 delivery 4 left 0 "1"
        > ack c 1 +TERM
        > ack c 2 +WPI
        > wait 900ms
        > wait 200ms
        in <- s.a seq 2 try 2 delivery 5 left 0 "2"
        > ack c 2 nonsense
        > info c
        delivered 5/2 floor 1/1 pending 1 redelivered 1 waiting 1 left 0
        > restart
        > ack c 2 +OK
        > ack c 2 -NAK
        > info c
        delivered 5/2 floor 5/2 pending 0 redelivered 0 waiting 0 left 0
        "#,
    );
}

#[test]
fn an_acknowledgement_with_reply_is_answered() {
    check(
        r#"
        > put s.a 1
        > consumer {"durable_name":"c","ack_policy":"explicit"}
        consumer c from 1 with 1
        > pull c
        in <- s.a seq 1 try 1 delivery 1 left 0 "1"
        > ack! c 1
        answer to acker
        > ack! c 1
        answer to acker
        > ack! c 77
        > restart
        > info c
        delivered 1/1 floor 1/1 pending 0 redelivered 0 waiting 0 left 0
        "#,
    );
}

#[test]
fn ack_and_next_is_an_acknowledgement_and_a_request() {
    check(
        r#"
        > put s.a 1
        > put s.a 2
        > put s.a 3
        > consumer {"durable_name":"c","ack_policy":"explicit"}
        consumer c from 1 with 3
        > pull c
        in <- s.a seq 1 try 1 delivery 1 left 2 "1"
        > ack! c 1 +NXT
        acker <- s.a seq 2 try 1 delivery 2 left 1 "2"
        > ack! c 2 +NXT {"batch":2,"no_wait":true}
        acker <- s.a seq 3 try 1 delivery 3 left 0 "3"
        acker <- 404 No Messages
        > info c
        delivered 3/3 floor 2/2 pending 1 redelivered 0 waiting 0 left 0
        "#,
    );
}

#[test]
fn backoff_sets_the_pauses_and_max_deliver_the_end() {
    check(
        r#"
        > put s.a 1
        > put s.a 2
        > consumer {"durable_name":"c","ack_policy":"explicit","backoff":[1000000000,3000000000],"max_deliver":3}
        consumer c from 1 with 2
        > pull c 9
        in <- s.a seq 1 try 1 delivery 1 left 1 "1"
        in <- s.a seq 2 try 1 delivery 2 left 0 "2"
        > ack c 2
        > wait 1s
        in <- s.a seq 1 try 2 delivery 3 left 0 "1"
        > wait 2900ms
        > wait 100ms
        in <- s.a seq 1 try 3 delivery 4 left 0 "1"
        > info c
        delivered 4/2 floor 0/0 pending 1 redelivered 1 waiting 1 left 0
        > wait 1h
        > info c
        delivered 4/2 floor 4/2 pending 0 redelivered 0 waiting 1 left 0
        > state
        messages 2 first 1 last 2 subjects {"s.a": 2} deleted []
        > restart
        "#,
    );
}

#[test]
fn max_ack_pending_holds_new_messages_back_and_not_redeliveries() {
    check(
        r#"
        > put s.a 1
        > put s.a 2
        > put s.a 3
        > consumer {"durable_name":"c","ack_policy":"explicit","max_ack_pending":2,"ack_wait":1000000000}
        consumer c from 1 with 3
        > pull c 9
        in <- s.a seq 1 try 1 delivery 1 left 2 "1"
        in <- s.a seq 2 try 1 delivery 2 left 1 "2"
        > wait 1s
        in <- s.a seq 1 try 2 delivery 3 left 1 "1"
        in <- s.a seq 2 try 2 delivery 4 left 1 "2"
        > ack c 2
        in <- s.a seq 3 try 1 delivery 5 left 0 "3"
        "#,
    );
}

#[test]
fn ack_all_takes_all_before_and_nothing_that_was_not_delivered() {
    check(
        r#"
        > put s.a 1
        > put s.a 2
        > put s.a 3
        > consumer {"durable_name":"c","ack_policy":"all"}
        consumer c from 1 with 3
        > pull c 2
        in <- s.a seq 1 try 1 delivery 1 left 2 "1"
        in <- s.a seq 2 try 1 delivery 2 left 1 "2"
        > ack c 3
        > info c
        delivered 2/2 floor 0/0 pending 2 redelivered 0 waiting 0 left 1
        > ack c 2
        > info c
        delivered 2/2 floor 2/2 pending 0 redelivered 0 waiting 0 left 1
        > restart
        "#,
    );
}

#[test]
fn without_acks_a_delivered_message_is_done() {
    check(
        r#"
        > put s.a 1
        > put s.a 2
        > consumer {"durable_name":"c"}
        consumer c from 1 with 2
        > pull c
        in <- s.a seq 1 try 1 delivery 1 left 1 "1"
        > ack c 1 -NAK
        > restart
        > info c
        delivered 1/1 floor 1/1 pending 0 redelivered 0 waiting 0 left 1
        > pull c
        in <- s.a seq 2 try 1 delivery 2 left 0 "2"
        "#,
    );
}

#[test]
fn headers_only_tells_the_size() {
    check(
        r#"
        > put s.a hello A=b
        > consumer {"durable_name":"c","headers_only":true}
        consumer c from 1 with 1
        > pull c
        in <- s.a seq 1 try 1 delivery 1 left 0 "" [A: b; Nats-Msg-Size: 5]
        "#,
    );
}

#[test]
fn whoever_waits_hears_when_consumer_or_server_go() {
    check(
        r#"
        > consumer {"durable_name":"c","ack_policy":"explicit"}
        consumer c from 1 with 0
        > consumer {"durable_name":"d","ack_policy":"explicit"}
        consumer d from 1 with 0
        > pull c 3
        > pull d {"batch":4,"max_bytes":99}
        > drop c
        dropped
        in <- 409 Consumer Deleted
        > drop c
        error 10014 consumer not found
        > shutdown
        in <- 409 Server Shutdown; Nats-Pending-Messages: 4; Nats-Pending-Bytes: 99
        > restart
        > info c
        error 10014 consumer not found
        "#,
    );
}
