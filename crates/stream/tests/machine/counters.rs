//! `Nats-Incr`: messages that add to a number.

use crate::transcript::check;

#[test]
fn each_subject_counts_and_the_payload_is_the_sum() {
    check(
        r#"
        > stream {"allow_msg_counter":true}
        > pub s.a  Nats-Incr=+0012
        stored 1 val 12
        > pub s.b  Nats-Incr=1
        stored 2 val 1
        > pub s.a  Nats-Incr=-99999999999999999999999999999999
        stored 3 val -99999999999999999999999999999987
        > get {"seq":3}
        message 3 s.a "{\"val\":\"-99999999999999999999999999999987\"}"
        > checkpoint
        > restart
        > pub s.b  Nats-Incr=-1
        stored 4 val 0
        > restart
        > put s.b  Nats-Incr=8
        > pub s.b  Nats-Incr=0
        stored 6 val 8
        > purge {"filter":"s.b"}
        purged 4
        > pub s.b  Nats-Incr=3
        stored 7 val 3
        > restart
        "#,
    );
}

#[test]
fn what_is_no_increment_is_refused() {
    check(
        r#"
        > pub s.a x Nats-Incr=1
        refused 10168 message counters is disabled
        > pub s.a x Nats-Incr=one
        refused 10171 message counter increment is invalid
        > stream {"allow_msg_counter":true,"max_msg_size":40}
        > pub s.a
        refused 10169 message counter increment is missing
        > pub s.a x
        refused 10169 message counter increment is missing
        > pub s.a x Nats-Incr=1
        refused 10170 message counter has payload
        > pub s.a  Nats-Incr=1_0
        refused 10171 message counter increment is invalid
        > pub s.a  Nats-Incr=123
        refused 10054 message size exceeds maximum allowed
        > pub s.a  Nats-Incr=1
        stored 1 val 1
        > update {}
        error 10052 stream configuration update can not change message counter setting
        "#,
    );
}

#[test]
fn what_sources_have_counted_is_passed_on() {
    check(
        r#"
        > stream {"allow_msg_counter":true}
        > consumer {"durable_name":"c","ack_policy":"none"}
        consumer c from 1 with 0
        > put s.a  Nats-Incr=1;Nats-Counter-Sources={"O":{"s.a":"4"}}
        > put s.a  Nats-Incr=2
        > pull c {"batch":2}
        in <- s.a seq 1 try 1 delivery 1 left 1 "{\"val\":\"1\"}" [Nats-Incr: 1; Nats-Counter-Sources: {"O":{"s.a":"4"}}]
        in <- s.a seq 2 try 1 delivery 2 left 0 "{\"val\":\"3\"}" [Nats-Incr: 2; Nats-Counter-Sources: {"O":{"s.a":"4"}}]
        > put s.b  Nats-Incr=2;Nats-Counter-Sources=broken
        > pub s.b  Nats-Incr=2
        refused 10172 message counter is broken
        "#,
    );
}
