//! The story itself, and both restarts.

use everjet_conformance::{JetStream, ServerProcess};

use crate::shell::{ADD, Running, fails, ok, start};

const FIRST: &str = r#"{"id": "123", "item": "widget"}"#;
const SECOND: &str = r#"{"id": "456", "item": "gadget"}"#;

/// Adds the stream and publishes both orders.
#[track_caller]
fn tell(server: &ServerProcess) {
    let added = ok(server, ADD);
    for word in ["ORDERS", "order.*", "Limits", "File"] {
        assert!(added.out.contains(word), "no {word:?} in {added:?}");
    }
    let first = ok(server, &format!("nats pub order.new '{FIRST}'"));
    assert!(
        first.all().contains("Stored in ORDERS, sequence 1"),
        "{first:?}"
    );
    let second = ok(server, &format!("nats pub order.new '{SECOND}'"));
    assert!(
        second.all().contains("Stored in ORDERS, sequence 2"),
        "{second:?}"
    );
}

#[test]
fn the_story_word_for_word() {
    let server = start();
    tell(&server);
    let sub = Running::start(&server, "nats sub order.new");
    let notice = sub.wait_for_error("--new").pop().expect("that line");
    assert!(
        notice.contains("ORDERS") && notice.contains('2'),
        "{notice}"
    );
    let shown = sub.wait_for(SECOND);
    assert!(shown.iter().any(|line| line.contains(FIRST)), "{shown:#?}");
    ok(&server, "nats pub order.new third");
    let later = sub.wait_for("third");
    assert!(
        !later
            .iter()
            .any(|line| line.contains("widget") || line.contains("gadget")),
        "{later:#?}"
    );
}

#[test]
fn the_same_stream_again_is_fine_and_another_shows_the_difference() {
    let server = start();
    ok(&server, ADD);
    ok(&server, ADD);
    let other = ADD.replace("--max-msg-size 1MB", "--max-msg-size 2MB");
    fails(&server, &other, &["ORDERS", "max_msg_size"]);
    fails(
        &server,
        &ADD.replace("--max-age 7d", "--max-age 8d"),
        &["days=7", "8d"],
    );
}

#[test]
fn a_subject_no_stream_stores_is_a_plain_publish() {
    let server = start();
    ok(&server, ADD);
    let said = ok(&server, "nats pub elsewhere hello");
    assert!(!said.all().contains("Stored in"), "{said:?}");
    assert!(said.all().contains("no stream"), "{said:?}");
}

#[test]
fn queue_and_new_leave_the_stored_messages_out() {
    let server = start();
    tell(&server);
    for line in [
        "nats sub order.new --queue workers",
        "nats sub order.new --new",
    ] {
        let sub = Running::start(&server, line);
        // The subscription has no sign of its own: publish until something arrives.
        JetStream::connect(&server).wait_until("the subscription is there", |js| {
            js.publish_to("order.new", None, &[], "fresh");
            let Some(line) = sub.try_line() else {
                return false;
            };
            assert!(
                !line.contains("widget") && !line.contains("gadget"),
                "{line}"
            );
            line.contains("fresh")
        });
    }
}

/// What must be the same before and after a restart.
#[track_caller]
fn state(server: &ServerProcess) -> [serde_json::Value; 2] {
    let mut js = JetStream::connect(server);
    let mut stream = js.api(
        "STREAM.INFO.ORDERS",
        r#"{"deleted_details":true,"subjects_filter":">"}"#,
    );
    let mut consumer = js.api("CONSUMER.INFO.ORDERS.billing", "");
    for answer in [&mut stream, &mut consumer] {
        let fields = answer.as_object_mut().expect("an object");
        fields.retain(|key, _| key != "ts" && key != "cluster");
    }
    for place in ["delivered", "ack_floor"] {
        if let Some(fields) = consumer[place].as_object_mut() {
            fields.remove("last_active");
        }
    }
    [stream, consumer]
}

#[track_caller]
fn check_restart(stop: impl FnOnce(&mut ServerProcess)) {
    let mut server = start();
    tell(&server);
    ok(
        &server,
        "nats consumer add ORDERS billing --pull --ack explicit",
    );
    let first = ok(&server, "nats consumer next ORDERS billing --ack");
    assert!(first.all().contains(FIRST), "{first:?}");
    JetStream::connect(&server).wait_until("the acknowledgement is in", |js| {
        js.api("CONSUMER.INFO.ORDERS.billing", "")["ack_floor"]["stream_seq"] == 1
    });
    // An acknowledgement that nobody waits for is durable at the latest with the next message that somebody waits for.
    ok(&server, "nats pub order.new third");
    let before = state(&server);

    stop(&mut server);
    server.start_again();

    assert_eq!(state(&server), before);
    let second = ok(&server, "nats consumer next ORDERS billing --ack");
    assert!(second.all().contains(SECOND), "{second:?}");
    let fourth = ok(&server, "nats pub order.new fourth");
    assert!(
        fourth.all().contains("Stored in ORDERS, sequence 4"),
        "{fourth:?}"
    );
    let sub = Running::start(&server, "nats sub order.new");
    let shown = sub.wait_for("fourth").join("\n");
    for text in [FIRST, SECOND, "third"] {
        assert!(shown.contains(text), "{shown}");
    }
}

#[test]
fn everything_is_as_it_was_after_sigterm() {
    check_restart(|server| {
        let status = server.terminate();
        assert!(status.success(), "{status}");
    });
}

#[test]
fn everything_is_as_it_was_after_kill_9() {
    check_restart(ServerProcess::kill);
}
