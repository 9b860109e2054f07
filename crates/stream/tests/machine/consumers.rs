//! Creating, changing and losing consumers.

use crate::transcript::check;

#[test]
fn the_deliver_policy_says_where_to_start() {
    check(
        r#"
        > put s.a 1
        > put s.a 2
        > wait 1s
        > put s.b 3
        > put s.b 4
        > put s.c 5
        > consumer {"durable_name":"all"}
        consumer all from 1 with 5
        > consumer {"durable_name":"new","deliver_policy":"new"}
        consumer new from 6 with 0
        > consumer {"durable_name":"last","deliver_policy":"last","filter_subject":"s.a"}
        consumer last from 2 with 1
        > consumer {"durable_name":"each","deliver_policy":"last_per_subject","filter_subject":"s.>"}
        consumer each from 2 with 3
        > consumer {"durable_name":"seq","deliver_policy":"by_start_sequence","opt_start_seq":4}
        consumer seq from 4 with 2
        > consumer {"durable_name":"far","deliver_policy":"by_start_sequence","opt_start_seq":400}
        consumer far from 400 with 0
        > consumer {"durable_name":"time","deliver_policy":"by_start_time","opt_start_time":"2001-09-09T01:46:40.5Z"}
        consumer time from 3 with 3
        > pull new 1
        > pull far 1
        > put s.a 6
        in <- s.a seq 6 try 1 delivery 1 left 0 "6"
        > pull last 5
        in <- s.a seq 2 try 1 delivery 1 left 1 "2"
        in <- s.a seq 6 try 1 delivery 2 left 0 "6"
        > pull each 5
        in <- s.a seq 2 try 1 delivery 1 left 3 "2"
        in <- s.b seq 4 try 1 delivery 2 left 2 "4"
        in <- s.c seq 5 try 1 delivery 3 left 1 "5"
        in <- s.a seq 6 try 1 delivery 4 left 0 "6"
        > restart
        "#,
    );
}

#[test]
fn the_last_of_each_subject_reaches_zero_even_when_messages_go_meanwhile() {
    check(
        r#"
        > stream {"max_msgs_per_subject":1}
        > put s.a 1
        > put s.b 2
        > put s.c 3
        > consumer {"durable_name":"c","ack_policy":"explicit","deliver_policy":"last_per_subject","filter_subject":"s.>"}
        consumer c from 1 with 3
        > pull c 1
        in <- s.a seq 1 try 1 delivery 1 left 2 "1"
        > checkpoint
        > delete 3
        deleted
        > restart
        > pull c 5
        in <- s.b seq 2 try 1 delivery 2 left 0 "2"
        > put s.b 4
        in <- s.b seq 4 try 1 delivery 3 left 0 "4"
        "#,
    );
}

#[test]
fn asking_again_for_the_same_is_fine_and_for_another_depends() {
    check(
        r#"
        > consumer update {"durable_name":"c"}
        error 10149 consumer does not exist
        > consumer create {"durable_name":"c"}
        consumer c from 1 with 0
        > consumer create {"durable_name":"c"}
        consumer c from 1 with 0
        > consumer create {"durable_name":"c","description":"x"}
        error 10148 consumer already exists
        > consumer update {"durable_name":"c","description":"x"}
        consumer c from 1 with 0
        > consumer {"durable_name":"c","ack_policy":"all"}
        error 10012 ack policy can not be updated
        > put s.a 1
        > put s.b 2
        > consumer {"durable_name":"c","filter_subject":"s.b"}
        consumer c from 1 with 1
        > restart
        > pull c 2
        in <- s.b seq 2 try 1 delivery 1 left 0 "2"
        "#,
    );
}

#[test]
fn the_number_of_consumers_is_limited() {
    check(
        r#"
        > stream {"max_consumers":1,"consumer_limits":{"max_ack_pending":5}}
        > consumer {"durable_name":"a","ack_policy":"explicit","max_ack_pending":6}
        error 10121 consumer max ack pending exceeds system limit of 5
        > consumer {"durable_name":"a","ack_policy":"explicit"}
        consumer a from 1 with 0
        > consumer {"durable_name":"b"}
        error 10026 maximum consumers limit reached
        > update {"max_consumers":1,"consumer_limits":{"max_ack_pending":4}}
        error 10069 change to limits violates consumers: a
        "#,
    );
}

#[test]
fn a_consumer_nobody_uses_goes_when_it_is_told_to() {
    check(
        r#"
        > put s.a 1
        > consumer {"ack_policy":"explicit"}
        consumer free from 1 with 1
        > wait 4s
        > pull free
        in <- s.a seq 1 try 1 delivery 1 left 0 "1"
        > wait 4s
        > ack free 1
        > wait 4s
        > info free
        delivered 1/1 floor 1/1 pending 0 redelivered 0 waiting 0 left 0
        # A waiting request is use.
        > pull free {"expires":20000000000}
        > wait 19s
        > info free
        delivered 1/1 floor 1/1 pending 0 redelivered 0 waiting 1 left 0
        > wait 1m
        in <- 408 Request Timeout; Nats-Pending-Messages: 1; Nats-Pending-Bytes: 0
        > info free
        error 10014 consumer not found
        > consumer {"durable_name":"d"}
        consumer d from 1 with 1
        > wait 100h
        > restart
        > info d
        delivered 0/0 floor 0/0 pending 0 redelivered 0 waiting 0 left 1
        "#,
    );
}

#[test]
fn a_consumer_in_memory_is_gone_after_a_restart() {
    check(
        r#"
        > put s.a 1
        > consumer {"durable_name":"m","ack_policy":"explicit","mem_storage":true}
        consumer m from 1 with 1
        > consumer {"durable_name":"d","ack_policy":"explicit"}
        consumer d from 1 with 1
        > pull m
        in <- s.a seq 1 try 1 delivery 1 left 0 "1"
        > ack m 1
        > info m
        delivered 1/1 floor 1/1 pending 0 redelivered 0 waiting 0 left 0
        > pull d
        in <- s.a seq 1 try 1 delivery 1 left 0 "1"
        > restart
        > info m
        error 10014 consumer not found
        > info d
        delivered 1/1 floor 0/0 pending 1 redelivered 0 waiting 0 left 0
        "#,
    );
}

#[test]
fn a_stream_in_memory_works_without_journal() {
    check(
        r#"
        > stream {"storage":"memory"}
        > hold
        > consumer {"durable_name":"c","ack_policy":"explicit"}
        consumer c from 1 with 0
        > pull c 2
        > pub s.a 1
        stored 1
        in <- s.a seq 1 try 1 delivery 1 left 0 "1"
        > ack! c 1
        answer to acker
        "#,
    );
}

#[test]
fn a_name_can_be_used_again_and_old_records_do_not_reach_the_new_one() {
    check(
        r#"
        > put s.a 1
        > consumer {"durable_name":"c","ack_policy":"explicit"}
        consumer c from 1 with 1
        > pull c
        in <- s.a seq 1 try 1 delivery 1 left 0 "1"
        > checkpoint
        > drop c
        dropped
        > consumer {"durable_name":"c","ack_policy":"explicit"}
        consumer c from 1 with 1
        > restart
        > info c
        delivered 0/0 floor 0/0 pending 0 redelivered 0 waiting 0 left 1
        "#,
    );
}
