//! Work queues and interest: which messages leave a stream because consumers are done with them.

use everjet_conformance::{JetStream, Message, ServerProcess, executable};
use serde_json::{Value, json};

use crate::{check_contains, check_error, start};

/// A fresh server with the stream S on `s.>`; `config` is JSON of fields that follow.
#[track_caller]
fn start_with(config: &str) -> (ServerProcess, JetStream) {
    let (server, mut js) = start();
    create(&mut js, "S", "s.>", config);
    (server, js)
}

#[track_caller]
fn create(js: &mut JetStream, name: &str, subject: &str, config: &str) -> Value {
    let body = format!(r#"{{"name":"{name}","subjects":["{subject}"],{config}}}"#);
    js.create_stream(name, &body)
}

/// Makes a consumer of S, whatever comes of it.
fn try_consumer(js: &mut JetStream, name: &str, config: &str) -> Value {
    let body = format!(r#"{{"stream_name":"S","config":{{"durable_name":"{name}",{config}}}}}"#);
    js.api(&format!("CONSUMER.CREATE.S.{name}"), &body)
}

#[track_caller]
fn publish(js: &mut JetStream, subjects: &[&str]) {
    for subject in subjects {
        js.store(&format!("s.{subject}"), "x");
    }
}

#[track_caller]
fn take(js: &mut JetStream, consumer: &str, count: usize) -> Vec<Message> {
    js.publish(
        &format!("$JS.API.CONSUMER.MSG.NEXT.S.{consumer}"),
        &[],
        &format!(r#"{{"batch":{count},"expires":20000000000}}"#),
    );
    (0..count).map(|_| js.raw().message()).collect()
}

/// Acknowledges and waits for the server's confirmation.
#[track_caller]
fn ack(js: &mut JetStream, message: &Message, body: &str) {
    let reply = message.reply.as_deref().expect("an ack reply");
    js.request(reply, body);
}

#[track_caller]
fn take_and_ack(js: &mut JetStream, consumer: &str, count: usize) {
    for message in take(js, consumer, count) {
        ack(js, &message, "");
    }
}

/// The stream comes to hold exactly these sequences; nats-server removes some of them a moment later.
#[track_caller]
fn check_holds(js: &mut JetStream, held: &[u64], last: u64) {
    let mut seen = (Vec::new(), 0);
    let expected = (held.to_vec(), last);
    js.wait_until(&format!("the stream holds {held:?}"), |js| {
        let info = js.api("STREAM.INFO.S", r#"{"deleted_details":true}"#);
        let state = &info["state"];
        let number = |value: &Value| value.as_u64().expect("a number");
        let last = number(&state["last_seq"]);
        let deleted: Vec<u64> = state["deleted"]
            .as_array()
            .map(|list| list.iter().map(number).collect())
            .unwrap_or_default();
        let all = number(&state["first_seq"])..=last;
        let held: Vec<u64> = all.filter(|sequence| !deleted.contains(sequence)).collect();
        assert_eq!(number(&state["messages"]), held.len() as u64);
        seen = (held, last);
        seen == expected
    });
}

#[test]
fn a_work_queue_forgets_what_was_acknowledged() {
    let (_server, mut js) = start_with(r#""retention":"workqueue""#);
    check_contains(
        &js.api("STREAM.INFO.S", ""),
        &json!({"config": {"retention": "workqueue"}}),
    );
    js.create_consumer("S", "w", r#""ack_policy":"explicit""#);
    publish(&mut js, &["a", "a", "a", "a", "a"]);
    let messages = take(&mut js, "w", 5);
    ack(&mut js, &messages[1], "");
    ack(&mut js, &messages[2], "+TERM");
    ack(&mut js, &messages[3], "-NAK {\"delay\":60000000000}");
    ack(&mut js, &messages[4], "+WPI");
    check_holds(&mut js, &[1, 4, 5], 5);
    check_contains(
        &js.api("CONSUMER.INFO.S.w", ""),
        &json!({"num_ack_pending": 3, "num_pending": 0, "ack_floor": {"stream_seq": 0}}),
    );
    ack(&mut js, &messages[0], "+ACK");
    check_holds(&mut js, &[4, 5], 5);
    check_contains(
        &js.api("CONSUMER.INFO.S.w", ""),
        &json!({"num_ack_pending": 2, "ack_floor": {"stream_seq": 3}}),
    );
    // What nobody acknowledged stays without its consumer, and the next one gets it.
    assert_eq!(js.api("CONSUMER.DELETE.S.w", "")["success"], true);
    check_holds(&mut js, &[4, 5], 5);
    js.create_consumer("S", "v", r#""ack_policy":"explicit""#);
    take_and_ack(&mut js, "v", 2);
    check_holds(&mut js, &[], 5);
    assert_eq!(js.store("s.a", "x"), 6);
}

#[test]
fn consumers_of_a_work_queue_share_nothing() {
    let (_server, mut js) = start_with(r#""retention":"workqueue""#);
    let mut refuse = |name: &str, config: &str, code: u64, text: &str| {
        check_error(&try_consumer(&mut js, name, config), 400, code, text);
    };
    let explicit = "workqueue stream requires explicit ack";
    refuse(
        "x",
        r#""ack_policy":"none""#,
        10084,
        "consumer in pull mode requires explicit ack policy on workqueue stream",
    );
    refuse("x", r#""ack_policy":"all""#, 10098, explicit);
    refuse(
        "x",
        r#""ack_policy":"none","deliver_subject":"d""#,
        10098,
        explicit,
    );
    for policy in [
        r#""new""#,
        r#""last""#,
        r#""by_start_sequence","opt_start_seq":1"#,
        r#""last_per_subject","filter_subject":"s.>""#,
    ] {
        refuse(
            "x",
            &format!(r#""ack_policy":"explicit","deliver_policy":{policy}"#),
            10101,
            "consumer must be deliver all on workqueue stream",
        );
    }
    refuse(
        "x",
        r#""ack_policy":"all","deliver_policy":"by_start_sequence""#,
        10094,
        "consumer delivery policy is deliver by start sequence, but optional start sequence is not set",
    );

    let unfiltered = "multiple non-filtered consumers not allowed on workqueue stream";
    let not_unique = "filtered consumer not unique on workqueue stream";
    js.create_consumer(
        "S",
        "a",
        r#""ack_policy":"explicit","filter_subject":"s.a""#,
    );
    let mut refuse = |name: &str, filters: &str, code: u64, text: &str| {
        let config = format!(r#""ack_policy":"explicit"{filters}"#);
        check_error(&try_consumer(&mut js, name, &config), 400, code, text);
    };
    refuse("x", "", 10099, unfiltered);
    refuse("x", r#","filter_subject":"s.a""#, 10100, not_unique);
    refuse("x", r#","filter_subject":"s.*""#, 10100, not_unique);
    refuse(
        "x",
        r#","filter_subjects":["s.b","s.a"]"#,
        10100,
        not_unique,
    );
    refuse(
        "x",
        r#","filter_subject":"s.a","deliver_policy":"new""#,
        10101,
        "consumer must be deliver all on workqueue stream",
    );
    js.create_consumer(
        "S",
        "b",
        r#""ack_policy":"explicit","filter_subjects":["s.b","s.c"]"#,
    );
    let config = r#""ack_policy":"explicit","filter_subjects":["s.b","s.a"]"#;
    check_error(&try_consumer(&mut js, "b", config), 400, 10100, not_unique);
    if !executable::is_reference() {
        let config = r#""ack_policy":"explicit""#;
        check_error(&try_consumer(&mut js, "b", config), 400, 10099, unfiltered);
    }
    js.create_consumer(
        "S",
        "b",
        r#""ack_policy":"explicit","filter_subject":"s.c""#,
    );
}

#[test]
fn the_most_consumers_come_before_the_rules_of_the_queue() {
    let (_server, mut js) = start_with(r#""retention":"workqueue","max_consumers":1"#);
    js.create_consumer(
        "S",
        "a",
        r#""ack_policy":"explicit","filter_subject":"s.a""#,
    );
    check_error(
        &try_consumer(&mut js, "b", r#""ack_policy":"explicit""#),
        400,
        10026,
        "maximum consumers limit reached",
    );
}

#[test]
fn retention_changes_only_between_limits_and_interest() {
    let (_server, mut js) = start_with(r#""retention":"workqueue""#);
    let update = |js: &mut JetStream, name: &str, retention: &str| {
        let subject = name.to_lowercase();
        let body =
            format!(r#"{{"name":"{name}","subjects":["{subject}.>"],"retention":"{retention}"}}"#);
        js.api(&format!("STREAM.UPDATE.{name}"), &body)
    };
    let text = "stream configuration update can not change retention policy to/from workqueue";
    for retention in ["limits", "interest"] {
        check_error(&update(&mut js, "S", retention), 500, 10052, text);
    }
    create(&mut js, "T", "t.>", r#""retention":"limits""#);
    js.store("t.a", "x");
    check_error(&update(&mut js, "T", "workqueue"), 500, 10052, text);
    // Without consumers nobody wants what is there.
    let changed = update(&mut js, "T", "interest");
    check_contains(&changed, &json!({"config": {"retention": "interest"}}));
    js.wait_until("the message is gone", |js| {
        js.api("STREAM.INFO.T", "")["state"]["messages"] == 0
    });
    check_error(&update(&mut js, "T", "workqueue"), 500, 10052, text);
    let changed = update(&mut js, "T", "limits");
    check_contains(&changed, &json!({"config": {"retention": "limits"}}));
    assert_eq!(js.store("t.a", "x"), 2);
    check_contains(
        &js.api("STREAM.INFO.T", ""),
        &json!({"state": {"messages": 1, "first_seq": 2}}),
    );
}

#[test]
fn acknowledging_makes_room_in_a_full_queue() {
    let (_server, mut js) = start_with(r#""retention":"workqueue","max_msgs":2,"discard":"new""#);
    js.create_consumer("S", "w", r#""ack_policy":"explicit""#);
    publish(&mut js, &["a", "a"]);
    let refused = js.request("s.a", "x").json();
    check_contains(
        &refused,
        &json!({"error": {"err_code": 10077, "description": "maximum messages exceeded"}}),
    );
    take_and_ack(&mut js, "w", 1);
    check_holds(&mut js, &[2], 2);
    assert_eq!(js.store("s.a", "x"), 3);

    create(
        &mut js,
        "T",
        "t.>",
        r#""retention":"workqueue","discard":"new","max_msgs_per_subject":1,"discard_new_per_subject":true"#,
    );
    js.store("t.a", "x");
    let refused = js.request("t.a", "x").json();
    check_contains(
        &refused,
        &json!({"error": {"err_code": 10077, "description": "maximum messages per subject exceeded"}}),
    );
    assert_eq!(js.store("t.b", "x"), 2);
}

#[test]
fn without_interest_a_message_is_acknowledged_and_not_stored() {
    let (_server, mut js) = start_with(r#""retention":"interest""#);
    let id = [("Nats-Msg-Id", "one")];
    let first = js.request_with("s.a", &id, "x").json();
    assert_eq!(first, json!({"stream": "S", "seq": 1}));
    let again = js.request_with("s.a", &id, "x").json();
    check_contains(&again, &json!({"seq": 1, "duplicate": true}));
    let other = [("Nats-Expected-Last-Msg-Id", "two")];
    check_contains(
        &js.request_with("s.a", &other, "x").json(),
        &json!({"error": {"err_code": 10070, "description": "wrong last msg ID: one"}}),
    );
    let last = [("Nats-Expected-Last-Sequence", "1")];
    assert_eq!(js.request_with("s.a", &last, "x").json()["seq"], 2);
    check_holds(&mut js, &[], 2);
    let info = js.api("STREAM.INFO.S", "");
    check_contains(
        &info,
        &json!({"state": {"first_seq": 3, "bytes": 0, "first_ts": "0001-01-01T00:00:00Z"}}),
    );
    assert_ne!(info["state"]["last_ts"], "0001-01-01T00:00:00Z");
    assert_eq!(js.api_error("STREAM.MSG.GET.S", r#"{"seq":1}"#), 10037);
    assert_eq!(js.api_error("STREAM.MSG.DELETE.S", r#"{"seq":1}"#), 10057);

    // A consumer of something else is no interest.
    js.create_consumer(
        "S",
        "b",
        r#""ack_policy":"explicit","filter_subject":"s.b""#,
    );
    publish(&mut js, &["a", "b", "a"]);
    check_holds(&mut js, &[4], 5);
    check_contains(&js.api("CONSUMER.INFO.S.b", ""), &json!({"num_pending": 1}));
}

#[test]
fn what_nobody_wants_needs_no_room() {
    let (_server, mut js) = start_with(r#""retention":"interest","max_msgs":1,"discard":"new""#);
    js.create_consumer(
        "S",
        "a",
        r#""ack_policy":"explicit","filter_subject":"s.a""#,
    );
    publish(&mut js, &["a", "b"]);
    let refused = js.request("s.a", "x").json();
    check_contains(
        &refused,
        &json!({"error": {"err_code": 10077, "description": "maximum messages exceeded"}}),
    );
    check_holds(&mut js, &[1], 2);
}

#[test]
fn a_message_stays_until_all_who_want_it_are_done() {
    let (_server, mut js) = start_with(r#""retention":"interest""#);
    js.create_consumer("S", "all", r#""ack_policy":"all""#);
    js.create_consumer(
        "S",
        "b",
        r#""ack_policy":"explicit","filter_subject":"s.b""#,
    );
    js.create_consumer("S", "n", r#""ack_policy":"none","filter_subject":"s.n""#);
    publish(&mut js, &["a", "b", "n", "b", "a"]);
    let messages = take(&mut js, "all", 5);
    ack(&mut js, &messages[3], "");
    check_holds(&mut js, &[2, 3, 4, 5], 5);
    take(&mut js, "n", 1);
    check_holds(&mut js, &[2, 4, 5], 5);
    let messages = take(&mut js, "b", 2);
    ack(&mut js, &messages[1], "");
    check_holds(&mut js, &[2, 5], 5);
    ack(&mut js, &messages[0], "+TERM");
    check_holds(&mut js, &[5], 5);
    check_contains(
        &js.api("CONSUMER.INFO.S.b", ""),
        &json!({"num_ack_pending": 0, "num_pending": 0, "ack_floor": {"consumer_seq": 2, "stream_seq": 4}}),
    );
}

#[test]
fn what_only_a_deleted_consumer_wanted_goes_with_it() {
    let (_server, mut js) = start_with(r#""retention":"interest""#);
    js.create_consumer("S", "a", r#""ack_policy":"explicit""#);
    js.create_consumer("S", "b", r#""ack_policy":"explicit""#);
    publish(&mut js, &["a", "a", "a", "a"]);
    let messages = take(&mut js, "a", 3);
    ack(&mut js, &messages[0], "");
    ack(&mut js, &messages[2], "");
    check_holds(&mut js, &[1, 2, 3, 4], 4);
    assert_eq!(js.api("CONSUMER.DELETE.S.b", "")["success"], true);
    check_holds(&mut js, &[2, 4], 4);
    assert_eq!(js.api("CONSUMER.DELETE.S.a", "")["success"], true);
    check_holds(&mut js, &[], 4);
}

#[test]
fn interest_follows_the_filter_of_a_consumer() {
    let (_server, mut js) = start_with(r#""retention":"interest""#);
    js.create_consumer("S", "a", r#""ack_policy":"explicit""#);
    publish(&mut js, &["a", "b", "a", "b"]);
    js.create_consumer(
        "S",
        "a",
        r#""ack_policy":"explicit","filter_subject":"s.b""#,
    );
    check_holds(&mut js, &[2, 4], 4);
    publish(&mut js, &["a", "b"]);
    check_holds(&mut js, &[2, 4, 6], 6);
    check_contains(&js.api("CONSUMER.INFO.S.a", ""), &json!({"num_pending": 3}));
    take_and_ack(&mut js, "a", 3);
    check_holds(&mut js, &[], 6);
}

#[test]
fn a_later_consumer_holds_what_it_has_still_to_be_given() {
    let (_server, mut js) = start_with(r#""retention":"interest""#);
    js.create_consumer("S", "a", r#""ack_policy":"explicit""#);
    publish(&mut js, &["a", "a", "a", "a"]);
    for (name, policy) in [
        ("from3", r#""by_start_sequence","opt_start_seq":3"#),
        ("last", r#""last""#),
        ("new", r#""new""#),
    ] {
        let config = format!(r#""ack_policy":"explicit","deliver_policy":{policy}"#);
        js.create_consumer("S", name, &config);
    }
    take_and_ack(&mut js, "a", 4);
    check_holds(&mut js, &[3, 4], 4);
    take_and_ack(&mut js, "from3", 2);
    check_holds(&mut js, &[4], 4);
    take_and_ack(&mut js, "last", 1);
    check_holds(&mut js, &[], 4);
}

#[test]
fn a_message_delivered_often_enough_stays_and_may_be_acknowledged_late() {
    for retention in ["workqueue", "interest"] {
        let (_server, mut js) = start_with(&format!(r#""retention":"{retention}""#));
        js.create_consumer(
            "S",
            "a",
            r#""ack_policy":"explicit","max_deliver":1,"ack_wait":50000000"#,
        );
        publish(&mut js, &["a", "a"]);
        let messages = take(&mut js, "a", 2);
        js.wait_until("both are given up", |js| {
            js.publish(
                "$JS.API.CONSUMER.MSG.NEXT.S.a",
                &[],
                r#"{"batch":1,"no_wait":true}"#,
            );
            let answer = js.raw().message();
            assert_eq!(answer.reply, None, "delivered too often: {answer:?}");
            js.api("CONSUMER.INFO.S.a", "")["num_ack_pending"] == 0
        });
        check_holds(&mut js, &[1, 2], 2);
        let reply = messages[0].reply.as_deref().expect("an ack reply");
        js.publish_to(reply, None, &[], "");
        check_holds(&mut js, &[2], 2);
        // The work queue keeps it for whoever comes, interest ends with the consumer.
        assert_eq!(js.api("CONSUMER.DELETE.S.a", "")["success"], true);
        let left: &[u64] = if retention == "workqueue" { &[2] } else { &[] };
        check_holds(&mut js, left, 2);
    }
}

#[test]
fn a_sealed_queue_can_still_be_drained() {
    let (_server, mut js) = start_with(r#""retention":"workqueue""#);
    js.create_consumer("S", "w", r#""ack_policy":"explicit""#);
    publish(&mut js, &["a", "a"]);
    let body = r#"{"name":"S","subjects":["s.>"],"retention":"workqueue","sealed":true}"#;
    check_contains(
        &js.api("STREAM.UPDATE.S", body),
        &json!({"config": {"sealed": true}}),
    );
    take_and_ack(&mut js, "w", 2);
    check_holds(&mut js, &[], 2);
}

#[test]
fn retention_is_the_same_after_a_restart() {
    let (mut server, mut js) = start_with(r#""retention":"interest""#);
    js.create_consumer("S", "a", r#""ack_policy":"explicit""#);
    js.create_consumer(
        "S",
        "b",
        r#""ack_policy":"explicit","filter_subject":"s.b""#,
    );
    publish(&mut js, &["a", "b", "a", "b"]);
    let messages = take(&mut js, "a", 4);
    ack(&mut js, &messages[0], "");
    ack(&mut js, &messages[3], "");
    check_holds(&mut js, &[2, 3, 4], 4);
    assert!(server.terminate().success());
    server.start_again();
    let mut js = JetStream::connect(&server);
    check_holds(&mut js, &[2, 3, 4], 4);
    take_and_ack(&mut js, "b", 2);
    check_holds(&mut js, &[2, 3], 4);
    assert_eq!(js.store("s.c", "x"), 5);
    check_holds(&mut js, &[2, 3, 5], 5);
}

/// nats-server writes acknowledgements some time later, see docs/differences.md.
#[test]
fn what_was_confirmed_before_a_kill_does_not_come_back() {
    if executable::is_reference() {
        return;
    }
    let (mut server, mut js) = start_with(r#""retention":"workqueue""#);
    js.create_consumer("S", "w", r#""ack_policy":"explicit","ack_wait":100000000"#);
    publish(&mut js, &["a", "a", "a", "a"]);
    let messages = take(&mut js, "w", 3);
    ack(&mut js, &messages[0], "");
    ack(&mut js, &messages[2], "+TERM");
    server.kill();
    server.start_again();
    let mut js = JetStream::connect(&server);
    check_holds(&mut js, &[2, 4], 4);
    let mut texts: Vec<String> = take(&mut js, "w", 2)
        .iter()
        .map(|message| message.reply.clone().expect("an ack reply"))
        .map(|reply| reply.split('.').nth(5).expect("a sequence").to_owned())
        .collect();
    texts.sort();
    assert_eq!(texts, ["2", "4"]);
}
