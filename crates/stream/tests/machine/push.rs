//! Push consumers: interest, heartbeats, flow control.

use crate::transcript::check;

#[test]
fn messages_are_pushed_while_somebody_subscribes() {
    check(
        r#"
        > put s.a 1
        > leave to
        > consumer {"durable_name":"c","ack_policy":"explicit","deliver_subject":"to"}
        consumer c from 1 with 1
        > put s.a 2
        > join to
        to <- s.a seq 1 try 1 delivery 1 left 1 "1"
        to <- s.a seq 2 try 1 delivery 2 left 0 "2"
        > put s.a 3
        to <- s.a seq 3 try 1 delivery 3 left 0 "3"
        > leave to
        > put s.a 4
        > info c
        delivered 3/3 floor 0/0 pending 3 redelivered 0 waiting 0 left 1
        > restart
        > join to
        to <- s.a seq 4 try 1 delivery 4 left 0 "4"
        "#,
    );
}

#[test]
fn an_idle_subscriber_gets_heartbeats() {
    check(
        r#"
        > consumer {"durable_name":"c","deliver_subject":"to","idle_heartbeat":1000000000}
        consumer c from 1 with 0
        > wait 1s
        to <- 100 Idle Heartbeat; Nats-Last-Consumer: 0; Nats-Last-Stream: 0
        > wait 600ms
        > put s.a 1
        to <- s.a seq 1 try 1 delivery 1 left 0 "1"
        > wait 900ms
        > wait 100ms
        to <- 100 Idle Heartbeat; Nats-Last-Consumer: 1; Nats-Last-Stream: 1
        > leave to
        > wait 5s
        "#,
    );
}

#[test]
fn flow_control_stops_at_the_window_and_an_answer_opens_it() {
    // The window begins at 2 MiB; half of it asks for an answer, all of it stops.
    let large = "x".repeat(600_000);
    let put = format!("> put s.a {large}\n");
    let message = |seq: u64| format!("to <- s.a seq {seq} try 1 delivery {seq} left 0 {large:?}\n");
    let mut transcript = String::from(
        r#"> consumer {"durable_name":"c","deliver_subject":"to","idle_heartbeat":1000000000,"flow_control":true}
        consumer c from 1 with 0
        "#,
    );
    for seq in 1..=4 {
        transcript.push_str(&put);
        transcript.push_str(&message(seq));
        if seq == 2 {
            transcript.push_str("to <- 100 FlowControl Request reply $JS.FC.S.c.90kd\n");
        }
    }
    transcript.push_str(&put);
    transcript.push_str(
        "> wait 1s\nto <- 100 Idle Heartbeat; Nats-Last-Consumer: 4; Nats-Last-Stream: 4; Nats-Consumer-Stalled: $JS.FC.S.c.90kd\n",
    );
    transcript.push_str("> fc $JS.FC.S.c.zzzz\n> fc $JS.FC.S.c.90kd\n");
    transcript.push_str(&message(5));
    check(&transcript);
}

#[test]
fn an_ephemeral_consumer_lives_as_long_as_its_subscriber() {
    check(
        r#"
        > consumer {"name":"e","deliver_subject":"to"}
        consumer e from 1 with 0
        > wait 1m
        > info e
        delivered 0/0 floor 0/0 pending 0 redelivered 0 waiting 0 left 0
        > leave to
        > wait 4s
        > info e
        delivered 0/0 floor 0/0 pending 0 redelivered 0 waiting 0 left 0
        > wait 3s
        > info e
        error 10014 consumer not found
        > restart
        "#,
    );
}

#[test]
fn a_subject_with_subscribers_is_not_taken_away() {
    check(
        r#"
        > consumer {"durable_name":"c","deliver_subject":"to"}
        consumer c from 1 with 0
        > consumer {"durable_name":"c","deliver_subject":"there"}
        error 10013 consumer name already in use
        > leave to
        > consumer {"durable_name":"c","deliver_subject":"there"}
        consumer c from 1 with 0
        > put s.a 1
        there <- s.a seq 1 try 1 delivery 1 left 0 "1"
        > restart
        "#,
    );
}

#[test]
fn nobody_hears_heartbeats_when_the_server_did_not_hear_of_the_leaving() {
    check(
        r#"
        > consumer {"durable_name":"c","deliver_subject":"to","idle_heartbeat":1000000000}
        consumer c from 1 with 0
        > leave to
        > wait 1h
        > join to
        > wait 1s
        to <- 100 Idle Heartbeat; Nats-Last-Consumer: 0; Nats-Last-Stream: 0
        "#,
    );
}
