//! Atomic batches: stored together or not at all.
//!
//! Where a batch stands in a transcript, `Nats-Batch-Id=a Nats-Batch-Sequence=1 Nats-Batch-Commit=1` are its headers.

use everjet_stream::{Inflight, Publish};
use everjet_values::Timestamp;
use everjet_wire::HeaderBuilder;

use crate::driver::Driver;
use crate::transcript::check;

/// Runs a transcript in which `@a.3` and `@a.3!` stand for the headers of message 3 of batch `a`, with `!` of the last one.
#[track_caller]
fn check_batches(transcript: &str) {
    let headers_of = |word: &str| -> Option<String> {
        let (id, number) = word.strip_prefix('@')?.split_once('.')?;
        let (number, commit) = match number.strip_suffix('!') {
            Some(number) => (number, ";Nats-Batch-Commit=1"),
            None => (number, ""),
        };
        Some(format!(
            "Nats-Batch-Id={id};Nats-Batch-Sequence={number}{commit}"
        ))
    };
    let mut written = String::new();
    for line in transcript.lines() {
        let is_publish = line.contains("> pub ") || line.contains("> put ");
        let mut joins = false;
        for word in line.split(' ') {
            let word = headers_of(word).unwrap_or_else(|| word.to_owned());
            let is_header = is_publish && word.contains('=');
            written.push(if is_header && joins { ';' } else { ' ' });
            joins = is_header;
            written.push_str(&word);
        }
        written.push('\n');
    }
    check(&written);
}

#[test]
fn nothing_is_stored_before_the_commit_and_everything_with_it() {
    check_batches(
        r#"
        > stream {"allow_atomic":true}
        > consumer {"durable_name":"c","ack_policy":"none"}
        consumer c from 1 with 0
        > pub s.a 1 @x.1
        answer to reply
        > pub s.b between
        stored 1
        > pub s.a 2 @x.2
        answer to reply
        > put s.c 3 @x.3
        > state
        messages 1 first 1 last 1 subjects {"s.b": 1} deleted []
        > pub s.d 4 @x.4!
        stored 5 batch x of 4
        > state
        messages 5 first 1 last 5 subjects {"s.a": 2, "s.b": 1, "s.c": 1, "s.d": 1} deleted []
        > info c
        delivered 0/0 floor 0/0 pending 0 redelivered 0 waiting 0 left 5
        > restart
        > checkpoint
        > pub s.a 5 @x.1
        answer to reply
        > pub s.a 6 @x.2 Nats-Batch-Commit=eob
        stored 6 batch x of 1
        > restart
        > state
        messages 6 first 1 last 6 subjects {"s.a": 3, "s.b": 1, "s.c": 1, "s.d": 1} deleted []
        "#,
    );
}

#[test]
fn what_is_staged_does_not_survive() {
    check_batches(
        r#"
        > stream {"allow_atomic":true}
        > pub s.a 1 @x.1
        answer to reply
        > restart
        > pub s.a 2 @x.2!
        refused 10176 atomic publish batch is incomplete
        > pub s.a 1 @x.1
        answer to reply
        > update {}
        updated
        > pub s.a 2 @x.2!
        refused 10174 atomic publish is disabled
        > update {"allow_atomic":true}
        updated
        > pub s.a 2 @x.2!
        refused 10176 atomic publish batch is incomplete
        "#,
    );
}

#[test]
fn a_batch_that_nothing_comes_for_is_given_up() {
    check_batches(
        r#"
        > stream {"allow_atomic":true}
        > pub s.a 1 @x.1
        answer to reply
        > wait 6s
        > pub s.a 1 @y.1
        answer to reply
        > pub s.a 2 @x.2
        answer to reply
        > wait 9s
        > pub s.a 3 @x.3
        answer to reply
        > wait 1s
        batch y abandoned: timeout
        > pub s.a 2 @y.2
        refused 10176 atomic publish batch is incomplete
        > pub s.a 4 @x.4!
        stored 4 batch x of 4
        "#,
    );
}

#[test]
fn a_batch_with_a_mistake_is_over() {
    check_batches(
        r#"
        > stream {"allow_atomic":true,"max_msg_size":200}
        > pub s.a 1 @x.2
        refused 10176 atomic publish batch is incomplete
        > pub s.a 1 @x.1001
        refused 10199 atomic publish batch is too large: 1000
        > pub s.a 1 Nats-Batch-Id=x
        refused 10175 atomic publish sequence is missing
        > pub s.a 1 @x.y
        refused 10175 atomic publish sequence is missing
        > pub s.a 1 @x123456789x123456789x123456789x123456789x123456789x123456789x1234.1
        refused 10179 atomic publish batch ID is invalid
        > pub s.a 1 @x.1
        answer to reply
        > pub s.a 3 @x.3
        refused 10176 atomic publish batch is incomplete
        batch x abandoned: incomplete
        > pub s.a 1 @x.1 Nats-Batch-Commit=eob
        refused 10176 atomic publish batch is incomplete
        batch x abandoned: incomplete
        > pub s.a 1 @x.1
        answer to reply
        > pub s.a 2 @x.2 Nats-Batch-Commit=2
        refused 10200 atomic publish batch commit is invalid
        > pub s.a 2 @x.2!
        refused 10176 atomic publish batch is incomplete
        > pub s.a 1 @x.1 Nats-Required-Api-Level=99
        refused 10185 JetStream minimum api level required
        batch x abandoned: unsupported
        > pub s.a 1 @x.1 Nats-Required-Api-Level=0
        answer to reply
        > state
        messages 0 first 0 last 0 subjects {} deleted []
        "#,
    );
}

#[test]
fn messages_are_checked_against_the_stream_and_each_other() {
    check_batches(
        r#"
        > stream {"allow_atomic":true}
        > pub s.z 1 Nats-Msg-Id=old
        stored 1
        > put s.a 1 @x.1 Nats-Msg-Id=new
        > pub s.a 2 @x.2! Nats-Msg-Id=new
        refused 10201 atomic publish batch contains duplicate message id
        > pub s.a 1 @x.1! Nats-Msg-Id=old
        refused 10201 atomic publish batch contains duplicate message id
        > put s.a 1 @x.1
        > pub s.a 2 @x.2! Nats-Expected-Last-Msg-Id=old
        refused 10177 atomic publish unsupported header used: Nats-Expected-Last-Msg-Id
        > put s.a 1 @x.1
        > pub s.a 2 @x.2! Nats-Expected-Last-Sequence=2
        refused 10164 wrong last sequence
        > put s.a 1 @x.1
        > pub s.a 2 @x.2! Nats-Expected-Last-Sequence=1
        refused 10071 wrong last sequence: 2
        > put s.a 1 @x.1
        > pub s.a 2 @x.2! Nats-Expected-Last-Subject-Sequence=0
        refused 10164 wrong last sequence
        > put s.a 1 @x.1 Nats-Expected-Last-Sequence=1
        > put s.b 2 @x.2 Nats-Expected-Last-Subject-Sequence=0
        > pub s.c 3 @x.3! Nats-Expected-Stream=T
        refused 10060 expected stream does not match
        > put s.a 1 @x.1 Nats-Rollup=sub
        > pub s.b 2 @x.2!
        refused 10111 rollup not permitted
        > put s.a 1 @x.1 Nats-Expected-Last-Sequence=1
        > pub s.b 2 @x.2! Nats-Expected-Last-Subject-Sequence=0
        stored 3 batch x of 2
        > restart
        > state
        messages 3 first 1 last 3 subjects {"s.a": 1, "s.b": 1, "s.z": 1} deleted []
        "#,
    );
}

#[test]
fn rollups_of_a_batch_come_before_its_other_messages() {
    check_batches(
        r#"
        > stream {"allow_atomic":true,"allow_rollup_hdrs":true}
        > pub s.a 1
        stored 1
        > put s.a 2 @x.1
        > pub s.a 3 @x.2! Nats-Rollup=sub
        refused 10111 batch rollup sub invalid
        > put s.a 2 @x.1
        > pub s.b 3 @x.2! Nats-Rollup=all
        refused 10111 batch rollup all invalid
        > put s.a 2 @x.1 Nats-Rollup=all
        > pub s.b 3 @x.2! Nats-Rollup=sub
        stored 3 batch x of 2
        > restart
        > state
        messages 2 first 2 last 3 subjects {"s.a": 1, "s.b": 1} deleted []
        "#,
    );
}

#[test]
fn counters_of_a_batch_add_up() {
    check_batches(
        r#"
        > stream {"allow_atomic":true,"allow_msg_counter":true,"subjects":["s.*"],"republish":{"src":"s.a","dest":"t.a","headers_only":true}}
        > put s.a  Nats-Incr=5
        again t.a "" [Nats-Incr: 5; Nats-Stream: S; Nats-Subject: s.a; Nats-Sequence: 1; Nats-Time-Stamp: 2001-09-09T01:46:40Z; Nats-Last-Sequence: 0; Nats-Msg-Size: 11]
        > put s.b  @x.1 Nats-Incr=1
        > put s.b  @x.2 Nats-Incr=2
        > pub s.c  @x.3! Nats-Incr=3
        stored 4 batch x of 3
        > restart
        > pub s.b  Nats-Incr=10
        stored 5 val 13
        "#,
    );
}

#[test]
fn messages_of_a_batch_are_renamed_and_published_again_as_others() {
    check_batches(
        r#"
        > stream {"allow_atomic":true,"subjects":["s.*"],"subject_transform":{"src":"s.*","dest":"r.{{wildcard(1)}}"},"republish":{"src":"r.a","dest":"t.a","headers_only":true}}
        > put s.b 1 @x.1
        > put s.a 22 @x.2
        > pub s.a 333 @x.3!
        again t.a "" [Nats-Batch-Id: x; Nats-Batch-Sequence: 2; Nats-Stream: S; Nats-Subject: r.a; Nats-Sequence: 2; Nats-Time-Stamp: 2001-09-09T01:46:40Z; Nats-Last-Sequence: 0; Nats-Msg-Size: 2]
        again t.a "" [Nats-Batch-Id: x; Nats-Batch-Sequence: 3; Nats-Batch-Commit: 1; Nats-Stream: S; Nats-Subject: r.a; Nats-Sequence: 3; Nats-Time-Stamp: 2001-09-09T01:46:40Z; Nats-Last-Sequence: 2; Nats-Msg-Size: 3]
        stored 3 batch x of 3
        > state
        messages 3 first 1 last 3 subjects {"r.a": 2, "r.b": 1} deleted []
        "#,
    );
}

#[test]
fn a_batch_needs_room_for_all_of_it() {
    check_batches(
        r#"
        > stream {"allow_atomic":true,"discard":"new","max_msgs":3,"max_msgs_per_subject":1,"discard_new_per_subject":true}
        > pub s.a 1
        stored 1
        > put s.b 2 @x.1
        > put s.c 3 @x.2
        > pub s.d 4 @x.3!
        refused 10077 maximum messages exceeded
        > put s.b 2 @x.1
        > pub s.b 3 @x.2!
        refused 10077 maximum messages per subject exceeded
        > put s.b 2 @x.1
        > pub s.c 3 @x.2!
        stored 3 batch x of 2
        > stream {"allow_atomic":true,"discard":"new","max_bytes":250}
        > put s.b 2 @x.1
        > pub s.b 3 @x.2!
        stored 2 batch x of 2
        > pub s.b 3 @x.1!
        refused 10077 maximum bytes exceeded
        "#,
    );
}

#[test]
fn what_no_consumer_wants_takes_a_sequence_only() {
    check_batches(
        r#"
        > stream {"allow_atomic":true,"retention":"interest"}
        > consumer {"durable_name":"c","ack_policy":"explicit","filter_subject":"s.a"}
        consumer c from 1 with 0
        > put s.b 1 @x.1
        > put s.a 2 @x.2
        > pub s.b 3 @x.3! Nats-Msg-Id=id
        stored 3 batch x of 3
        > state
        messages 1 first 2 last 3 subjects {"s.a": 1} deleted [3]
        > restart
        > pub s.b 4 Nats-Msg-Id=id
        stored 3 duplicate
        "#,
    );
}

#[test]
fn a_stream_and_a_server_have_so_many_batches_at_once() {
    let now = Timestamp::from_nanos(1);
    let shared = std::sync::Arc::new(Inflight::default());
    let mut drivers: Vec<Driver> = (0..21)
        .map(|_| Driver::new(r#"{"allow_atomic":true}"#, now))
        .collect();
    let mut refused = 0;
    for driver in &mut drivers {
        driver.stream.share_inflight(&shared);
        for number in 0..51 {
            let headers = HeaderBuilder::new()
                .add("Nats-Batch-Id", format!("b{number}"))
                .add("Nats-Batch-Sequence", "1")
                .finish();
            let publish = Publish {
                subject: b"s.a",
                reply: b"reply",
                headers: &headers,
                payload: b"",
            };
            driver.stream.on_publish(now, &publish, &mut driver.output);
            let answers = driver.output.effects.iter();
            refused += answers
                .filter(|effect| matches!(effect, everjet_stream::Effect::Refused { error, .. } if error.err_code == 10210))
                .count();
            driver.output.clear();
        }
    }
    assert_eq!(refused, 20 + 51);
    drivers.truncate(20);
}
