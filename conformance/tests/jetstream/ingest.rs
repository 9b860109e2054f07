//! Fast batches: a publisher that numbers its messages hears now and then how far they are stored.

use everjet_conformance::JetStream;
use serde_json::json;

use crate::{check_contains, check_error, start};

/// Publishes with a reply subject of a fast batch and returns what is answered before the answer to a request sent after it.
#[track_caller]
fn call(js: &mut JetStream, call: &str, headers: &[(&str, &str)]) -> Vec<String> {
    let reply = format!("_INBOX.js.{call}.$FI");
    js.publish_to("s.a", Some(&reply), headers, "x");
    let end = js.publish("s.a", &[("Nats-Expected-Stream", "another")], "");
    let mut answers = Vec::new();
    loop {
        let message = js.raw().message();
        if message.subject == end {
            return answers;
        }
        assert_eq!(message.subject, reply);
        answers.push(message.text());
    }
}

#[track_caller]
fn check_calls(js: &mut JetStream, calls: &[(&str, &[&str])]) {
    for (name, answers) in calls {
        assert_eq!(call(js, name, &[]), *answers, "{name}");
    }
}

#[track_caller]
fn check_refused(js: &mut JetStream, name: &str, err_code: u64, text: &str) {
    let answers = call(js, name, &[]);
    let answer = serde_json::from_str(answers.first().expect(name)).expect("JSON");
    check_error(&answer, 400, err_code, text);
}

fn start_with_ingest() -> (everjet_conformance::ServerProcess, JetStream) {
    let (server, mut js) = start();
    js.create_stream(
        "S",
        r#"{"name":"S","subjects":["s.>"],"allow_batched":true}"#,
    );
    (server, js)
}

#[test]
fn acknowledgements_come_as_often_as_the_publisher_asked() {
    let (_server, mut js) = start_with_ingest();
    let info = js.api("STREAM.INFO.S", "");
    check_contains(&info["config"], &json!({"allow_batched": true}));
    assert_eq!(info["config"]["metadata"]["_nats.req.level"], "4");
    check_calls(
        &mut js,
        &[
            ("a.2.fail.1.0", &[r#"{"type":"ack","seq":0,"msgs":2}"#]),
            ("a.2.fail.2.1", &[r#"{"type":"ack","seq":2,"msgs":2}"#]),
            ("a.2.fail.3.1", &[]),
            ("a.2.fail.3.4", &[r#"{"type":"ack","seq":2,"msgs":2}"#]),
            ("a.2.fail.4.1", &[r#"{"type":"ack","seq":4,"msgs":2}"#]),
            (
                "a.2.fail.5.3",
                &[r#"{"stream":"S","seq":4,"batch":"a","count":4}"#],
            ),
            (
                "b.10.fail.1.2",
                &[r#"{"stream":"S","seq":5,"batch":"b","count":1}"#],
            ),
            (
                "c.100000.fail.1.0",
                &[r#"{"type":"ack","seq":0,"msgs":500}"#],
            ),
            (
                "d.9.fail.1.0",
                &[
                    r#"{"type":"ack","seq":0,"msgs":1}"#,
                    r#"{"type":"ack","seq":1,"msgs":2}"#,
                ],
            ),
            (
                "d.9.fail.2.2",
                &[r#"{"stream":"S","seq":8,"batch":"d","count":2}"#],
            ),
        ],
    );
    check_contains(
        &js.api("STREAM.INFO.S", "")["state"],
        &json!({"messages": 8, "last_seq": 8}),
    );
}

#[test]
fn a_gap_ends_a_batch_or_is_told() {
    let (_server, mut js) = start_with_ingest();
    check_calls(
        &mut js,
        &[
            ("a.10.fail.1.0", &[r#"{"type":"ack","seq":0,"msgs":10}"#]),
            (
                "a.10.fail.3.1",
                &[
                    r#"{"type":"gap","last_seq":2,"seq":3}"#,
                    r#"{"stream":"S","seq":1,"batch":"a","count":1}"#,
                ],
            ),
            ("a.10.ok.1.0", &[r#"{"type":"ack","seq":0,"msgs":10}"#]),
            ("a.10.ok.3.1", &[r#"{"type":"gap","last_seq":2,"seq":3}"#]),
            (
                "a.10.ok.5.4",
                &[
                    r#"{"type":"gap","last_seq":4,"seq":6}"#,
                    r#"{"type":"ack","seq":0,"msgs":10}"#,
                ],
            ),
            (
                "a.10.ok.2.1",
                &[
                    r#"{"type":"gap","last_seq":6,"seq":2}"#,
                    r#"{"stream":"S","seq":3,"batch":"a","count":5}"#,
                ],
            ),
        ],
    );
}

#[test]
fn a_message_that_is_refused_ends_its_batch_unless_gaps_are_fine() {
    let (_server, mut js) = start_with_ingest();
    let wrong = [("Nats-Expected-Last-Sequence", "7")];
    check_calls(
        &mut js,
        &[("a.10.fail.1.0", &[r#"{"type":"ack","seq":0,"msgs":10}"#])],
    );
    let error = |seq: u64, last: u64| {
        format!(
            r#"{{"type":"err","seq":{seq},"error":{{"code":400,"err_code":10071,"description":"wrong last sequence: {last}"}}}}"#
        )
    };
    let end = r#"{"stream":"S","seq":1,"batch":"a","count":1}"#.to_owned();
    assert_eq!(call(&mut js, "a.10.fail.2.1", &wrong), [error(2, 1), end]);
    let ack = r#"{"type":"ack","seq":0,"msgs":10}"#.to_owned();
    assert_eq!(call(&mut js, "b.10.ok.1.0", &wrong), [ack, error(1, 1)]);
    check_calls(
        &mut js,
        &[(
            "b.10.ok.2.2",
            &[r#"{"stream":"S","seq":2,"batch":"b","count":2}"#],
        )],
    );
    let id = [("Nats-Msg-Id", "m")];
    call(&mut js, "c.10.fail.1.2", &id);
    assert_eq!(
        call(&mut js, "d.10.fail.1.2", &id),
        [r#"{"stream":"S","seq":3,"duplicate": true,"batch":"d","count":1}"#]
    );
}

#[test]
fn calls_that_mean_nothing_are_refused() {
    let (_server, mut js) = start_with_ingest();
    for name in [
        "a.10.fail.1.3",
        "a.10.fail.1.1",
        "a.10.fail.2.0",
        "a.10.fail.1.5",
        "a.10.x.1.0",
    ] {
        check_refused(&mut js, name, 10206, "batch publish pattern is invalid");
    }
    check_refused(&mut js, "a.10.fail.2.1", 10208, "batch publish ID unknown");
    check_refused(&mut js, "a.10.fail.1.4", 10208, "batch publish ID unknown");
    let long = format!("{}.10.fail.1.0", "a".repeat(65));
    check_refused(&mut js, &long, 10207, "batch publish ID is invalid");
    js.api("STREAM.UPDATE.S", r#"{"name":"S","subjects":["s.>"]}"#);
    check_refused(&mut js, "a.10.fail.1.0", 10205, "batch publish is disabled");
    let mirror = r#"{"name":"M","mirror":{"name":"S"},"allow_batched":true}"#;
    let answer = js.api("STREAM.CREATE.M", mirror);
    check_error(
        &answer,
        400,
        10209,
        "stream mirrors can not also use batch publishing",
    );
}
