//! Publishing: what is stored, what is refused, what is a duplicate.

use crate::transcript::check;

#[test]
fn messages_get_sequences_and_pubacks() {
    check(
        r#"
        > pub s.a one
        stored 1
        > put s.b two
        > pub s.a three
        stored 3
        > state
        messages 3 first 1 last 3 subjects {"s.a": 2, "s.b": 1} deleted []
        > restart
        > get {"seq":2}
        message 2 s.b "two"
        "#,
    );
}

#[test]
fn a_stream_without_acks_answers_nobody() {
    check(
        r#"
        > stream {"no_ack":true,"max_msg_size":3}
        > pub s.a one
        > pub s.a four
        > state
        messages 1 first 1 last 1 subjects {"s.a": 1} deleted []
        "#,
    );
}

#[test]
fn expectations_are_checked() {
    check(
        r#"
        > pub s.a 1 Nats-Expected-Last-Sequence=0
        stored 1
        > pub s.a 2 Nats-Expected-Last-Sequence=9
        refused 10071 wrong last sequence: 1
        > pub s.a 2 Nats-Expected-Last-Sequence=x
        refused 10071 wrong last sequence: 1
        > pub s.a 2 Nats-Expected-Last-Sequence=1
        stored 2
        > pub s.b 3 Nats-Expected-Last-Subject-Sequence=0
        stored 3
        > pub s.a 4 Nats-Expected-Last-Subject-Sequence=1
        refused 10071 wrong last sequence: 2
        > pub s.a 4 Nats-Expected-Last-Subject-Sequence=2
        stored 4
        > pub s.a 5 Nats-Expected-Last-Subject-Sequence-Subject=s.b
        refused 10193 missing sequence for expected last sequence per subject
        > pub s.a 5 Nats-Expected-Stream=Q
        refused 10060 expected stream does not match
        > pub s.a 5 Nats-Expected-Stream=S
        stored 5
        > pub s.a 6 Nats-Expected-Last-Msg-Id=m
        refused 10070 wrong last msg ID: 
        > pub s.a 6 Nats-Msg-Id=m
        stored 6
        > pub s.a 7 Nats-Expected-Last-Msg-Id=q
        refused 10070 wrong last msg ID: m
        > restart
        > pub s.a 7 Nats-Expected-Last-Msg-Id=m
        stored 7
        > pub t.a 8
        refused 10060 expected stream does not match
        "#,
    );
}

#[test]
fn a_message_id_counts_for_the_window_and_survives_restarts() {
    check(
        r#"
        > stream {"duplicate_window":10000000000}
        > pub s.a 1 Nats-Msg-Id=a
        stored 1
        > checkpoint
        > wait 3s
        > pub s.a 2 Nats-Msg-Id=b
        stored 2
        > pub s.a 2 Nats-Msg-Id=b
        stored 2 duplicate
        > restart
        > pub s.a 1 Nats-Msg-Id=a
        stored 1 duplicate
        > pub s.a 2 Nats-Msg-Id=b
        stored 2 duplicate
        > checkpoint
        > restart
        > pub s.a 1 Nats-Msg-Id=a
        stored 1 duplicate
        > wait 7s
        > pub s.a 1 Nats-Msg-Id=a
        stored 3
        > pub s.a 2 Nats-Msg-Id=b
        stored 2 duplicate
        "#,
    );
}

#[test]
fn headers_of_what_is_not_enabled_are_refused() {
    check(
        r#"
        > pub s.a x Nats-Rollup=sub
        refused 10111 rollup not permitted
        > pub s.a x Nats-TTL=5s
        refused 10166 per-message TTL is disabled
        > pub s.a x Nats-TTL=0
        refused 10165 invalid per-message TTL
        > pub s.a x Nats-TTL=xx
        refused 10165 invalid per-message TTL
        > pub s.a x Nats-Incr=1
        refused 10168 message counters is disabled
        > pub s.a x Nats-Batch-Id=b
        refused 10174 atomic publish is disabled
        > pub s.a x Nats-Schedule=@at
        refused 10188 message schedules is disabled
        > pub s.a x Nats-Stream-Source=q
        refused 10227 message stream source header is not allowed
        > pub s.a x Nats-TTL=
        stored 1
        "#,
    );
}

#[test]
fn the_size_comes_before_everything_else() {
    check(
        r#"
        > stream {"max_msg_size":3}
        > pub s.a 123
        stored 1
        > pub s.a 1234
        refused 10054 message size exceeds maximum allowed
        > pub s.a 1 Nats-Expected-Stream=Q
        refused 10054 message size exceeds maximum allowed
        "#,
    );
}

#[test]
fn header_blocks_end_at_64_kib() {
    let header = "h".repeat(65_536);
    check(&format!(
        "> pub s.a x A={header}\nrefused 10097 header size exceeds maximum allowed of 64k\n> pub s.a x\nstored 1"
    ));
}

#[test]
fn messages_are_read_by_sequence_subject_and_time() {
    check(
        r#"
        > pub s.a 1
        stored 1
        > wait 1s
        > pub s.b 2
        stored 2
        > pub s.a 3
        stored 3
        > get {"seq":2}
        message 2 s.b "2"
        > get {"last_by_subj":"s.a"}
        message 3 s.a "3"
        > get {"last_by_subj":"s.*"}
        message 3 s.a "3"
        > get {"next_by_subj":"s.a","seq":2}
        message 3 s.a "3"
        > get {"next_by_subj":"s.>"}
        message 1 s.a "1"
        > get {"start_time":"2001-09-09T01:46:40.5Z"}
        message 2 s.b "2"
        > get {"seq":9}
        error 10037 no message found
        > get {"last_by_subj":"a..b"}
        error 10037 no message found
        > get {}
        error 10003 bad request
        > get {"seq":1,"last_by_subj":"s.a"}
        error 10003 bad request
        > get {"seq":1,"batch":1}
        error 10003 bad request
        "#,
    );
}
