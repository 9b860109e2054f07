//! STREAM.SNAPSHOT and STREAM.RESTORE.

use everjet_conformance::{JetStream, RawClient, ServerProcess, back_up, executable, restore};
use serde_json::{Value, json};

use crate::{check_contains, check_error, start};

/// A stream with deleted messages in front, in between and at the end, headers, and a consumer with all kinds of deliveries.
fn start_with_everything() -> (ServerProcess, JetStream) {
    let (server, mut js) = start();
    js.create_stream(
        "S",
        r#"{"name":"S","subjects":["s.*"],"metadata":{"a":"b"}}"#,
    );
    for number in 1..=40 {
        let subject = format!("s.{}", number % 3);
        let body = format!("{number} {}", "x".repeat(200));
        js.request_with(&subject, &[("Number", &number.to_string())], &body);
    }
    js.store("s.plain", "");
    for sequence in [1, 2, 20, 41] {
        let body = format!(r#"{{"seq":{sequence}}}"#);
        assert_eq!(js.api("STREAM.MSG.DELETE.S", &body)["success"], true);
    }
    js.create_consumer("S", "c", r#""ack_policy":"explicit","description":"one""#);
    js.publish("$JS.API.CONSUMER.MSG.NEXT.S.c", &[], "4");
    let replies: Vec<_> = (0..4).map(|_| js.raw().message().reply).collect();
    for acknowledged in [0, 2] {
        let reply = replies[acknowledged].as_deref().expect("an ack reply");
        assert_eq!(js.request(reply, "+ACK").0.text(), "");
    }
    (server, js)
}

/// All that a stream and its consumer say, without the times of asking and creating.
fn everything(js: &mut JetStream) -> Value {
    let body = r#"{"deleted_details":true,"subjects_filter":">"}"#;
    let mut stream = js.api("STREAM.INFO.S", body);
    let mut consumer = js.api("CONSUMER.INFO.S.c", "");
    for answer in [&mut stream, &mut consumer] {
        let fields = answer.as_object_mut().expect("an object");
        fields.retain(|key, _| !["ts", "cluster", "created"].contains(&key.as_str()));
    }
    if executable::is_reference() {
        // It forgets when the last message came, if that is gone.
        stream["state"]["last_ts"] = Value::Null;
    }
    for place in ["delivered", "ack_floor"] {
        if let Some(fields) = consumer[place].as_object_mut() {
            fields.remove("last_active");
        }
    }
    let messages: Vec<Value> = (1..=42)
        .map(|sequence| js.api("STREAM.MSG.GET.S", &format!(r#"{{"seq":{sequence}}}"#)))
        .collect();
    json!([stream, consumer, messages])
}

/// Bytes that do not get shorter.
fn noise() -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[3]
    };
    (0..9_000).map(next).collect()
}

fn listen(server: &ServerProcess) -> RawClient {
    let mut client = RawClient::ready(server.port());
    client.send(b"SUB $JS.EVENT.ADVISORY.STREAM.> 1\r\n");
    client.expect_quiet();
    client
}

#[track_caller]
fn check_advisory(client: &mut RawClient, what: &str, kind: &str, expected: &Value) {
    let message = client.message();
    assert_eq!(
        message.subject,
        format!("$JS.EVENT.ADVISORY.STREAM.{what}.S")
    );
    let body: Value = serde_json::from_slice(&message.payload).expect("JSON");
    assert_eq!(
        body["type"],
        format!("io.nats.jetstream.advisory.v1.{kind}")
    );
    check_contains(&body, expected);
}

#[test]
fn what_was_backed_up_is_restored_as_it_was() {
    let (mut server, mut js) = start_with_everything();
    let before = everything(&mut js);
    let mut listener = listen(&server);
    let backup = back_up(&mut js, "S", &json!({}));
    check_contains(
        &backup.answer,
        &json!({
            "type": "io.nats.jetstream.api.v1.stream_snapshot_response",
            "config": {"name": "S", "metadata": {"a": "b", "_nats.req.level": "0"}},
            "state": {"messages": 37, "first_seq": 3, "last_seq": 41, "consumer_count": 1},
        }),
    );
    check_advisory(
        &mut listener,
        "SNAPSHOT_CREATE",
        "snapshot_create",
        &json!({"stream": "S", "state": {"messages": 37}, "client": {"acc": "$G"}}),
    );
    check_advisory(
        &mut listener,
        "SNAPSHOT_COMPLETE",
        "snapshot_complete",
        &json!({"stream": "S", "error": null, "client": {"acc": "$G"}}),
    );
    assert_eq!(js.api("STREAM.DELETE.S", "")["success"], true);
    check_advisory(&mut listener, "DELETED", "stream_action", &json!({}));

    let data = backup.data();
    let restored = restore(&mut js, &backup.answer["config"], &data, 1000);
    check_contains(
        &restored,
        &json!({
            "type": "io.nats.jetstream.api.v1.stream_create_response",
            "config": {"name": "S"},
            "state": {"messages": 37, "first_seq": 3, "last_seq": 41},
        }),
    );
    check_advisory(
        &mut listener,
        "RESTORE_CREATE",
        "restore_create",
        &json!({"stream": "S", "client": {"acc": "$G"}}),
    );
    check_advisory(
        &mut listener,
        "CREATED",
        "stream_action",
        &json!({"stream": "S", "action": "create"}),
    );
    check_advisory(
        &mut listener,
        "RESTORE_COMPLETE",
        "restore_complete",
        &json!({"stream": "S", "bytes": data.len(), "client": {"acc": "$G"}}),
    );
    assert_eq!(everything(&mut js), before);

    // It stays.
    assert!(server.terminate().success());
    server.start_again();
    let mut js = JetStream::connect(&server);
    assert_eq!(everything(&mut js), before);
    assert_eq!(js.store("s.1", "next"), 42);
    js.publish("$JS.API.CONSUMER.MSG.NEXT.S.c", &[], "1");
    assert!(js.raw().message().text().starts_with("7 "));
}

#[test]
fn a_backup_comes_in_chunks_that_are_acknowledged() {
    let (_server, mut js) = start_with_everything();
    js.request_bytes("s.noise", &noise());
    let backup = back_up(
        &mut js,
        "S",
        &json!({"chunk_size": 1024, "window_size": 1024}),
    );
    let (end, chunks) = backup.messages.split_last().expect("an end");
    assert_eq!(end.status().as_deref(), Some("204"));
    assert!(end.reply.is_none());
    let (rest, full) = chunks.split_last().expect("chunks");
    assert!(rest.reply.is_none() && rest.payload.len() < 1024);
    for (chunk, number) in full.iter().zip(1..) {
        assert_eq!(chunk.payload.len(), 1024);
        let reply = chunk.reply.as_deref().expect("a reply subject");
        let parts: Vec<&str> = reply.split('.').collect();
        assert_eq!(parts[..4], ["$JS", "SNAPSHOT", "ACK", "S"]);
        assert_eq!(parts[5..], ["1024".to_owned(), number.to_string()]);
    }
    assert!(full.len() >= 4, "{}", full.len());
    // In one piece nothing needs to be acknowledged.
    let backup = back_up(&mut js, "S", &json!({"no_consumers": true}));
    assert_eq!(backup.messages.len(), 2);
    assert_eq!(backup.messages[1].status(), None);
    assert!(backup.messages[0].reply.is_none());
    assert_eq!(js.api("STREAM.DELETE.S", "")["success"], true);
    let restored = restore(&mut js, &backup.answer["config"], &backup.data(), 1 << 20);
    assert_eq!(restored["state"]["consumer_count"], 0, "{restored}");
}

#[test]
fn nobody_who_listens_and_nobody_who_acknowledges_end_a_backup() {
    let (server, mut js) = start_with_everything();
    let mut listener = listen(&server);
    js.api("STREAM.SNAPSHOT.S", r#"{"deliver_subject":"nobody"}"#);
    check_advisory(
        &mut listener,
        "SNAPSHOT_CREATE",
        "snapshot_create",
        &json!({}),
    );
    check_advisory(
        &mut listener,
        "SNAPSHOT_COMPLETE",
        "snapshot_complete",
        &json!({}),
    );
    js.request_bytes("s.noise", &noise());
    js.api(
        "STREAM.SNAPSHOT.S",
        r#"{"deliver_subject":"_INBOX.js.backup","chunk_size":1024,"window_size":2048}"#,
    );
    for _ in 0..2 {
        assert!(js.raw().message().reply.is_some());
    }
    let end = js.raw().message();
    assert_eq!(end.status().as_deref(), Some("408 No Flow Response"));
    check_advisory(
        &mut listener,
        "SNAPSHOT_CREATE",
        "snapshot_create",
        &json!({}),
    );
    check_advisory(
        &mut listener,
        "SNAPSHOT_COMPLETE",
        "snapshot_complete",
        &json!({"error": "no flow response"}),
    );
}

#[test]
fn what_cannot_be_backed_up_or_restored_is_refused() {
    let (_server, mut js) = start_with_everything();
    let good = r#"{"deliver_subject":"x"}"#;
    for (call, body, code) in [
        ("STREAM.SNAPSHOT.NOPE", good, 10059),
        ("STREAM.SNAPSHOT.S", "", 10003),
        ("STREAM.SNAPSHOT.S", "{}", 10003),
        ("STREAM.SNAPSHOT.S", r#"{"deliver_subject":"a..b"}"#, 10015),
        ("STREAM.SNAPSHOT.S", r#"{"deliver_subject":"a.*"}"#, 10015),
        (
            "STREAM.SNAPSHOT.S",
            r#"{"deliver_subject":"x","y":1}"#,
            10025,
        ),
        ("STREAM.RESTORE.S", "", 10003),
        ("STREAM.RESTORE.S", "{}", 10003),
        (
            "STREAM.RESTORE.S",
            r#"{"config":{"name":"S"},"y":1}"#,
            10025,
        ),
        ("STREAM.RESTORE.S", r#"{"config":{"name":"S"}}"#, 10130),
        ("STREAM.RESTORE.S", r#"{"config":{"name":"T"}}"#, 10056),
        (
            "STREAM.RESTORE.T",
            r#"{"config":{"name":"T","subjects":["a..b"]}}"#,
            10052,
        ),
    ] {
        assert_eq!(js.api_error(call, body), code, "{call} {body}");
    }
    let refused = js.api("STREAM.RESTORE.S", r#"{"config":{"name":"S"}}"#);
    check_error(
        &refused,
        400,
        10130,
        "stream name already in use, cannot restore",
    );
    assert_eq!(refused["deliver_subject"], "");
}

#[test]
fn a_backup_that_is_cut_or_changed_restores_nothing() {
    let (_server, mut js) = start_with_everything();
    let backup = back_up(&mut js, "S", &json!({}));
    let data = backup.data();
    let mut config = backup.answer["config"].clone();
    config["name"] = "T".into();
    config["subjects"] = json!(["t"]);
    let mut changed = data.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    let cut = &data[..data.len() - 20];
    for broken in [&b""[..], b"no backup at all", cut, &changed] {
        let answer = restore(&mut js, &config, broken, 1 << 20);
        assert_eq!(answer["error"]["err_code"], 10062, "{answer}");
        assert_eq!(
            answer["type"],
            "io.nats.jetstream.api.v1.stream_create_response"
        );
        assert_eq!(js.api_error("STREAM.INFO.T", ""), 10059);
    }
    let restored = restore(&mut js, &config, &data, 1 << 20);
    assert_eq!(restored["state"]["messages"], 37, "{restored}");
    // Its subjects are those of the request, those of its messages are what they were.
    let message = js.api("STREAM.MSG.GET.T", r#"{"seq":3}"#);
    assert_eq!(message["message"]["subject"], "s.0");
}

#[test]
fn subjects_of_other_streams_are_not_taken_over() {
    let (_server, mut js) = start_with_everything();
    let backup = back_up(&mut js, "S", &json!({}));
    assert_eq!(js.api("STREAM.DELETE.S", "")["success"], true);
    js.create_stream("O", r#"{"name":"O","subjects":["s.1"]}"#);
    let answer = restore(&mut js, &backup.answer["config"], &backup.data(), 1 << 20);
    check_error(
        &answer,
        500,
        10062,
        "restore failed: error adding stream: subjects overlap with an existing stream (10065)",
    );
    assert_eq!(js.api_error("STREAM.INFO.S", ""), 10059);
}

#[test]
fn memory_and_file_streams_become_each_other() {
    let (_server, mut js) = start_with_everything();
    let before = everything(&mut js);
    let file = back_up(&mut js, "S", &json!({}));
    let mut config = file.answer["config"].clone();
    config["storage"] = "memory".into();
    assert_eq!(js.api("STREAM.DELETE.S", "")["success"], true);
    let restored = restore(&mut js, &config, &file.data(), 5000);
    assert_eq!(restored["config"]["storage"], "memory", "{restored}");
    let memory = back_up(&mut js, "S", &json!({}));
    assert_eq!(js.api("STREAM.DELETE.S", "")["success"], true);
    let restored = restore(&mut js, &file.answer["config"], &memory.data(), 5000);
    assert_eq!(restored["config"]["storage"], "file", "{restored}");
    assert_eq!(everything(&mut js), before);
}

#[test]
fn a_lifetime_that_ended_since_the_backup_ends_with_the_restore() {
    let (_server, mut js) = start();
    for (name, subjects) in [("S", "s.*"), ("T", "t.*")] {
        let body = format!(r#"{{"name":"{name}","subjects":["{subjects}"],"allow_msg_ttl":true}}"#);
        js.create_stream(name, &body);
    }
    js.request_with("s.short", &[("Nats-TTL", "2s")], "1");
    js.request_with("s.long", &[("Nats-TTL", "1h")], "2");
    js.store("s.plain", "3");
    let backup = back_up(&mut js, "S", &json!({}));
    assert_eq!(backup.answer["state"]["messages"], 3, "{}", backup.answer);
    js.api("STREAM.DELETE.S", "");
    // Whatever was stored before this one, for as long, is over with it.
    js.request_with("t.short", &[("Nats-TTL", "2s")], "1");
    js.wait_until("the end of a lifetime", |js| {
        js.api("STREAM.INFO.T", "")["state"]["messages"] == 0
    });
    let answer = restore(&mut js, &backup.answer["config"], &backup.data(), 4096);
    assert_eq!(answer["error"], Value::Null, "{answer}");
    js.wait_until("the restored stream to notice", |js| {
        js.api("STREAM.INFO.S", "")["state"]["messages"] == 2
    });
    let state = js.api("STREAM.INFO.S", "")["state"].take();
    check_contains(&state, &json!({"first_seq": 2, "last_seq": 3}));
}

#[test]
fn a_stream_of_which_nothing_is_left_keeps_its_sequences() {
    let (_server, mut js) = start();
    for (name, messages) in [("NEW", 0), ("USED", 5)] {
        let subject = name.to_lowercase();
        let config = format!(r#"{{"name":"{name}","subjects":["{subject}"]}}"#);
        js.create_stream(name, &config);
        for _ in 0..messages {
            js.store(&subject, "x");
        }
        js.api(&format!("STREAM.PURGE.{name}"), "");
        let before = js.api(&format!("STREAM.INFO.{name}"), "")["state"].clone();
        let backup = back_up(&mut js, name, &json!({}));
        js.api(&format!("STREAM.DELETE.{name}"), "");
        restore(&mut js, &backup.answer["config"], &backup.data(), 1000);
        let mut after = js.api(&format!("STREAM.INFO.{name}"), "")["state"].clone();
        if executable::is_reference() {
            // It forgets when the last message came.
            after["last_ts"] = before["last_ts"].clone();
        }
        assert_eq!(after, before, "{name}");
        assert_eq!(js.store(&subject, "x"), messages + 1);
    }
}

#[test]
fn a_restore_that_is_cut_off_leaves_nothing_and_its_name_is_taken_meanwhile() {
    if executable::is_reference() {
        // There the stream exists with what came.
        return;
    }
    let (mut server, mut js) = start_with_everything();
    for _ in 0..300 {
        js.request_bytes("s.noise", &noise());
    }
    let backup = back_up(&mut js, "S", &json!({}));
    let mut config = backup.answer["config"].clone();
    config["name"] = "T".into();
    config["subjects"] = json!(["t"]);
    let request = json!({"config": config}).to_string();
    let answer = js.api("STREAM.RESTORE.T", &request);
    let subject = answer["deliver_subject"].as_str().expect("a subject");
    let data = backup.data();
    for piece in data[..data.len() / 2].chunks(64 << 10) {
        assert_eq!(js.request_bytes(subject, piece).0.text(), "");
    }
    let folder = server.store().join("$G/streams/T");
    assert!(folder.is_dir(), "{}", folder.display());
    assert_eq!(js.api_error("STREAM.INFO.T", ""), 10059);
    assert_eq!(js.api_error("STREAM.CREATE.T", &config.to_string()), 10058);
    assert_eq!(js.api_error("STREAM.RESTORE.T", &request), 10130);
    server.kill();
    server.start_again();
    assert!(!folder.exists(), "{}", folder.display());
    let mut js = JetStream::connect(&server);
    assert_eq!(js.api_error("STREAM.INFO.T", ""), 10059);
    let restored = restore(&mut js, &config, &data, 1 << 18);
    assert_eq!(restored["state"]["messages"], 337, "{restored}");
}
