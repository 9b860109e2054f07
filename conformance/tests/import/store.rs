//! A store of many kinds: what streams and consumers can have behind them when they are moved.

use everjet_conformance::JetStream;

/// Makes all streams and consumers.
pub(crate) fn fill(js: &mut JetStream) {
    deleted_and_purged(js);
    history(js);
    big(js);
    packed(js);
    gaps(js);
    empty(js);
    limited(js);
    not_yet(js);
    consumers(js);
}

/// Stores many messages without waiting for each.
fn store_all(js: &mut JetStream, messages: impl IntoIterator<Item = (String, String)>) {
    let mut waiting = 0;
    for (subject, body) in messages {
        js.publish(&subject, &[], &body);
        waiting += 1;
        if waiting == 100 {
            settle(js, std::mem::take(&mut waiting));
        }
    }
    settle(js, waiting);
}

fn settle(js: &mut JetStream, count: usize) {
    for _ in 0..count {
        let ack = js.raw().message();
        assert!(!ack.text().contains("error"), "{}", ack.text());
    }
}

fn call(js: &mut JetStream, call: &str, body: &str) {
    let answer = js.api(call, body);
    assert!(answer["error"].is_null(), "{call} {body}: {answer}");
}

/// Headers, deletions with and without erasing, purges by subject, by sequence and with what is kept; the last message is gone.
fn deleted_and_purged(js: &mut JetStream) {
    js.create_stream(
        "FILE",
        r#"{"name":"FILE","subjects":["file.>"],"description":"many kinds","metadata":{"team":"a"},"duplicate_window":1000000000}"#,
    );
    for number in 0..201 {
        let id = format!("id-{number}");
        let headers = [("Nats-Msg-Id", id.as_str()), ("Colour", "blue")];
        let headers = if number % 3 == 0 { &headers[..] } else { &[] };
        let body = if number % 50 == 0 {
            String::new()
        } else {
            format!("body {number}")
        };
        let ack = js
            .request_with(&format!("file.{}", number % 7), headers, &body)
            .json();
        assert_eq!(ack["seq"], number + 1);
    }
    call(js, "STREAM.PURGE.FILE", r#"{"seq":11}"#);
    call(js, "STREAM.PURGE.FILE", r#"{"filter":"file.3"}"#);
    call(js, "STREAM.PURGE.FILE", r#"{"filter":"file.4","keep":2}"#);
    // Everything of 3 and, but for the last two, of 4 is gone: these are others.
    for (number, no_erase) in [
        (20, true),
        (22, false),
        (23, true),
        (100, false),
        (201, true),
    ] {
        let body = format!("{{\"seq\":{number},\"no_erase\":{no_erase}}}");
        call(js, "STREAM.MSG.DELETE.FILE", &body);
    }
}

/// As a bucket with a history of 3: nothing in the files says which messages the limit removed.
fn history(js: &mut JetStream) {
    js.create_stream(
        "HISTORY",
        r#"{"name":"HISTORY","subjects":["$KV.history.>"],"max_msgs_per_subject":3,"discard":"new","allow_direct":true,"deny_delete":true,"max_msg_size":4096}"#,
    );
    store_all(
        js,
        (0..900).map(|number| {
            (
                format!("$KV.history.{}", number * number % 41),
                format!("{number}"),
            )
        }),
    );
}

/// Several blocks, with deletions in the first of them.
fn big(js: &mut JetStream) {
    js.create_stream("BIG", r#"{"name":"BIG","subjects":["big"]}"#);
    store_all(
        js,
        (0..22).map(|number| ("big".to_owned(), format!("{number:04}").repeat(100_000))),
    );
    for number in [2, 3, 16, 17, 18] {
        let body = format!("{{\"seq\":{number},\"no_erase\":true}}");
        call(js, "STREAM.MSG.DELETE.BIG", &body);
    }
}

/// Compressed blocks, small ones.
fn packed(js: &mut JetStream) {
    js.create_stream(
        "PACKED",
        r#"{"name":"PACKED","subjects":["packed.>"],"compression":"s2","max_bytes":16000000}"#,
    );
    store_all(
        js,
        (0..170).map(|number| {
            (
                format!("packed.{}", number % 5),
                format!("{number} of many ").repeat(2_000),
            )
        }),
    );
    call(js, "STREAM.MSG.DELETE.PACKED", r#"{"seq":7}"#);
}

/// A first sequence, long runs without messages, the last messages gone.
fn gaps(js: &mut JetStream) {
    js.create_stream(
        "GAPS",
        r#"{"name":"GAPS","subjects":["gaps.*"],"first_seq":5000}"#,
    );
    let run = |subject: &'static str, count| {
        (0..count).map(move |_| (format!("gaps.{subject}"), "x".to_owned()))
    };
    store_all(js, run("kept", 3));
    store_all(js, run("gone", 1_500));
    store_all(js, run("kept", 2));
    store_all(js, run("gone", 30));
    store_all(js, run("kept", 1));
    store_all(js, run("gone", 5));
    call(js, "STREAM.PURGE.GAPS", r#"{"filter":"gaps.gone"}"#);
}

/// Nothing left of what was there.
fn empty(js: &mut JetStream) {
    js.create_stream("EMPTY", r#"{"name":"EMPTY","subjects":["empty"]}"#);
    store_all(js, (0..10).map(|_| ("empty".to_owned(), "x".to_owned())));
    call(js, "STREAM.PURGE.EMPTY", "");
    js.create_stream("NEW", r#"{"name":"NEW","subjects":["new"]}"#);
}

/// Limits that removed the oldest messages.
fn limited(js: &mut JetStream) {
    js.create_stream(
        "LIMITED",
        r#"{"name":"LIMITED","subjects":["limited.>"],"max_msgs":100,"max_age":3600000000000}"#,
    );
    store_all(
        js,
        (0..350).map(|number| (format!("limited.{}", number % 9), format!("{number}"))),
    );
}

/// What Everjet may not have yet: then it is refused by name.
fn not_yet(js: &mut JetStream) {
    js.create_stream(
        "QUEUE",
        r#"{"name":"QUEUE","subjects":["queue.>"],"retention":"workqueue"}"#,
    );
    store_all(
        js,
        (0..20).map(|number| (format!("queue.{number}"), format!("job {number}"))),
    );
    js.create_consumer("QUEUE", "worker", r#""ack_policy":"explicit""#);
    fetch(js, "QUEUE", "worker", 6, &[1, 2, 4]);
    js.create_stream(
        "KV_bucket",
        r#"{"name":"KV_bucket","subjects":["$KV.bucket.>"],"max_msgs_per_subject":1,"discard":"new","allow_rollup_hdrs":true,"deny_delete":true,"allow_direct":true}"#,
    );
    store_all(
        js,
        (0..50).map(|number| (format!("$KV.bucket.{}", number % 8), format!("{number}"))),
    );
    js.create_stream("MIRROR", r#"{"name":"MIRROR","mirror":{"name":"HISTORY"}}"#);
}

fn consumers(js: &mut JetStream) {
    js.create_consumer("FILE", "untouched", r#""ack_policy":"explicit""#);
    js.create_consumer(
        "FILE",
        "done",
        r#""ack_policy":"explicit","filter_subject":"file.5""#,
    );
    fetch(js, "FILE", "done", 10, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    // Delivered again at once, so that nothing moves while everything is read.
    js.create_consumer(
        "FILE",
        "holes",
        r#""ack_policy":"explicit","ack_wait":3600000000000,"description":"with gaps","max_deliver":5"#,
    );
    fetch(js, "FILE", "holes", 12, &[1, 2, 4, 7]);
    nak_and_fetch(js, "FILE", "holes", 3);
    js.create_consumer(
        "FILE",
        "all",
        r#""ack_policy":"all","ack_wait":3600000000000"#,
    );
    fetch(js, "FILE", "all", 9, &[4]);
    js.create_consumer("FILE", "none", r#""ack_policy":"none""#);
    fetch(js, "FILE", "none", 5, &[]);
    js.create_consumer(
        "FILE",
        "from",
        r#""ack_policy":"explicit","deliver_policy":"by_start_sequence","opt_start_seq":50,"filter_subjects":["file.1","file.2"]"#,
    );
    fetch(js, "FILE", "from", 2, &[1]);
    js.create_consumer(
        "HISTORY",
        "new",
        r#""ack_policy":"explicit","deliver_policy":"new""#,
    );
    js.create_consumer(
        "BIG",
        "push",
        r#""ack_policy":"explicit","deliver_subject":"nobody.listens","ack_wait":3600000000000"#,
    );
}

/// Fetches `count` messages and acknowledges those at the given places, counted from one; waits for the acknowledgements.
fn fetch(js: &mut JetStream, stream: &str, consumer: &str, count: usize, acked: &[usize]) {
    let replies = pull(js, stream, consumer, count);
    for place in acked {
        let answer = js.request(&replies[place - 1], "+ACK");
        assert!(answer.0.payload.is_empty());
    }
}

/// Gives `count` messages back, and fetches them again.
fn nak_and_fetch(js: &mut JetStream, stream: &str, consumer: &str, count: usize) {
    let replies = pull(js, stream, consumer, count);
    for reply in &replies {
        js.publish_to(reply, None, &[], "-NAK");
    }
    assert_eq!(pull(js, stream, consumer, count).len(), count);
}

/// Reply subjects of the next messages.
fn pull(js: &mut JetStream, stream: &str, consumer: &str, count: usize) -> Vec<String> {
    let body = format!("{{\"batch\":{count},\"expires\":5000000000}}");
    js.publish(
        &format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
        &[],
        &body,
    );
    (0..count)
        .map(|_| {
            let message = js.raw().message();
            assert_eq!(message.status(), None, "{message:?}");
            message.reply.expect("deliveries have a reply subject")
        })
        .collect()
}
