//! DIRECT.GET of many messages (ADR-31): batches, and the last messages of several subjects.

use everjet_conformance::{JetStream, ServerProcess, executable};

use crate::start;

/// Twelve messages on `d.a`, `d.b` and `d.c` in turn, of which the fourth is deleted; the fifth has headers. Also when the fifth
/// was stored.
fn start_with_turns(storage: &str) -> (ServerProcess, JetStream, String) {
    let (server, mut js) = start();
    let config =
        format!(r#"{{"name":"D","subjects":["d.>"],"allow_direct":true,"storage":"{storage}"}}"#);
    js.create_stream("D", &config);
    for number in 1..=12 {
        let subject = ["d.c", "d.a", "d.b"][number % 3];
        if number == 5 {
            js.request_with(subject, &[("X", "y")], "m5");
        } else {
            js.store(subject, &format!("m{number}"));
        }
    }
    let deleted = js.api("STREAM.MSG.DELETE.D", r#"{"seq":4}"#);
    assert_eq!(deleted["success"], true, "{deleted}");
    let fifth = js.api("STREAM.MSG.GET.D", r#"{"seq":5}"#);
    let time = fifth["message"]["time"].as_str().expect("it has a time");
    (server, js, time.to_owned())
}

/// What a request brings, a line each: the text of a message with what comes after it and what came before; the status of the end
/// with its numbers.
#[track_caller]
fn ask(js: &mut JetStream, body: &str) -> Vec<String> {
    js.publish("$JS.API.DIRECT.GET.D", &[], body);
    let mut lines = Vec::new();
    loop {
        let message = js.raw().message();
        let number = |name| message.header(name).unwrap_or_else(|| "-".to_owned());
        let (pending, last) = (number("Nats-Num-Pending"), number("Nats-Last-Sequence"));
        let Some(status) = message.status() else {
            lines.push(format!("{} {pending} {last}", message.text()));
            if pending == "-" && !body.contains("no_hdr") {
                return lines;
            }
            continue;
        };
        let up_to = number("Nats-UpTo-Sequence");
        lines.push(if status == "204 EOB" {
            format!("{status} {pending} {last} {up_to}")
        } else {
            status
        });
        return lines;
    }
}

#[track_caller]
fn check(js: &mut JetStream, body: &str, expected: &[&str]) {
    assert_eq!(ask(js, body), expected, "{body}");
}

fn batches(js: &mut JetStream, fifth: &str) {
    check(
        js,
        r#"{"seq":1,"batch":3}"#,
        &["m1 10 0", "m2 9 1", "m3 8 2", "204 EOB 8 3 -"],
    );
    // What is deleted is passed over.
    check(
        js,
        r#"{"seq":4,"batch":2}"#,
        &["m5 7 0", "m6 6 5", "204 EOB 6 6 -"],
    );
    check(
        js,
        r#"{"next_by_subj":"d.a","batch":10}"#,
        &["m1 2 0", "m7 1 1", "m10 0 7", "204 EOB 0 10 -"],
    );
    check(
        js,
        r#"{"seq":3,"next_by_subj":"d.*","batch":2}"#,
        &["m3 8 0", "m5 7 3", "204 EOB 7 5 -"],
    );
    check(
        js,
        &format!(r#"{{"start_time":"{fifth}","next_by_subj":"d.a","batch":1}}"#),
        &["m7 1 0", "204 EOB 1 7 -"],
    );
    check(
        js,
        &format!(r#"{{"start_time":"{fifth}","batch":1}}"#),
        &["m5 7 0", "204 EOB 7 5 -"],
    );
    // The message that exceeds it is the last one.
    check(
        js,
        r#"{"seq":1,"batch":9,"max_bytes":6}"#,
        &["m1 10 0", "m2 9 1", "204 EOB 9 2 -"],
    );
    check(
        js,
        r#"{"seq":5,"batch":9,"max_bytes":6}"#,
        &["m5 7 0", "204 EOB 7 5 -"],
    );
    check(js, r#"{"seq":99,"batch":3}"#, &["404 Message Not Found"]);
    check(
        js,
        r#"{"next_by_subj":"d.x","batch":3}"#,
        &["404 Message Not Found"],
    );
    check(
        js,
        r#"{"start_time":"2100-01-01T00:00:00Z","batch":3}"#,
        &["404 Message Not Found"],
    );
    check(js, r#"{"seq":1,"batch":-1}"#, &["204 EOB 11 0 -"]);
}

fn last_messages(js: &mut JetStream, fifth: &str) {
    check(
        js,
        r#"{"multi_last":["d.a","d.b"]}"#,
        &["m10 1 0", "m11 0 10", "204 EOB 0 11 12"],
    );
    check(
        js,
        r#"{"multi_last":["d.>","d.a"],"up_to_seq":5}"#,
        &["m1 2 0", "m3 1 1", "m5 0 3", "204 EOB 0 5 5"],
    );
    // Before that time.
    check(
        js,
        &format!(r#"{{"multi_last":["d.>"],"up_to_time":"{fifth}"}}"#),
        &["m1 2 0", "m2 1 1", "m3 0 2", "204 EOB 0 3 4"],
    );
    check(
        js,
        r#"{"multi_last":["d.c"],"up_to_time":"2100-01-01T00:00:00Z"}"#,
        &["m12 0 0", "204 EOB 0 12 12"],
    );
    check(
        js,
        r#"{"multi_last":["d.c"],"up_to_time":"2000-01-01T00:00:00Z"}"#,
        &["404 No Results"],
    );
    check(
        js,
        r#"{"multi_last":["d.>"],"seq":11,"batch":1}"#,
        &["m11 1 0", "204 EOB 1 11 12"],
    );
    check(
        js,
        r#"{"multi_last":["d.>"],"max_bytes":10}"#,
        &["m10 2 0", "m11 1 10", "204 EOB 1 11 12"],
    );
    check(
        js,
        r#"{"multi_last":["d.>"],"seq":50}"#,
        &["204 EOB 0 0 12"],
    );
    check(js, r#"{"multi_last":["d.x"]}"#, &["404 No Results"]);
    // nats-server finds nothing in a file stream.
    if !executable::is_reference() {
        check(
            js,
            r#"{"multi_last":["d.c"],"up_to_seq":99}"#,
            &["m12 0 0", "204 EOB 0 12 99"],
        );
    }
}

#[test]
fn a_batch_comes_in_order_and_ends_with_what_is_left() {
    for storage in ["file", "memory"] {
        let (_server, mut js, fifth) = start_with_turns(storage);
        batches(&mut js, &fifth);
    }
}

#[test]
fn the_last_messages_of_subjects_are_given_as_of_any_time() {
    for storage in ["file", "memory"] {
        let (_server, mut js, fifth) = start_with_turns(storage);
        last_messages(&mut js, &fifth);
    }
}

#[test]
fn what_is_only_on_disk_is_given_the_same() {
    let (mut server, _, fifth) = start_with_turns("file");
    assert!(server.terminate().success());
    server.start_again();
    let mut js = JetStream::connect(&server);
    batches(&mut js, &fifth);
    last_messages(&mut js, &fifth);
}

#[test]
fn messages_of_a_batch_say_where_they_come_from_unless_that_is_not_wanted() {
    let (_server, mut js, _) = start_with_turns("file");
    js.publish("$JS.API.DIRECT.GET.D", &[], r#"{"seq":5,"batch":1}"#);
    let message = js.raw().message();
    let headers = String::from_utf8_lossy(&message.headers).into_owned();
    let start = "NATS/1.0\r\nX: y\r\nNats-Stream: D\r\nNats-Subject: d.b\r\nNats-Sequence: 5\r\nNats-Time-Stamp: ";
    assert!(headers.starts_with(start), "{headers}");
    assert!(
        headers.ends_with("Z\r\nNats-Num-Pending: 7\r\nNats-Last-Sequence: 0\r\n\r\n"),
        "{headers}"
    );
    let end = js.raw().message();
    assert_eq!(
        String::from_utf8_lossy(&end.headers),
        "NATS/1.0 204 EOB\r\nNats-Num-Pending: 7\r\nNats-Last-Sequence: 5\r\n\r\n"
    );
    // nats-server forgets to count those.
    let pending = if executable::is_reference() { 11 } else { 9 };
    check(
        &mut js,
        r#"{"seq":1,"batch":2,"no_hdr":true}"#,
        &["m1 - -", "m2 - -", &format!("204 EOB {pending} 2 -")],
    );
    // Without headers nobody could tell whose last message it is.
    check(
        &mut js,
        r#"{"multi_last":["d.c"],"no_hdr":true}"#,
        &["m12 0 0", "204 EOB 0 12 12"],
    );
    let plain = js
        .request("$JS.API.DIRECT.GET.D", r#"{"seq":5,"no_hdr":true}"#)
        .0;
    assert_eq!((plain.headers.len(), plain.text().as_str()), (0, "m5"));
}

#[test]
fn what_contradicts_itself_is_told_so() {
    let (_server, mut js, fifth) = start_with_turns("memory");
    for (body, status) in [
        ("", "408 Empty Request"),
        ("{}", "408 Empty Request"),
        (r#"{"batch":3}"#, "408 Empty Request"),
        (r#"{"max_bytes":3}"#, "408 Empty Request"),
        (r#"{"up_to_seq":3}"#, "408 Empty Request"),
        (r#"{"multi_last":[]}"#, "408 Empty Request"),
        (" ", "408 Malformed Request"),
        ("{", "408 Malformed Request"),
        (r#"{"seq":"1"}"#, "408 Malformed Request"),
        (r#"{"last_by_subj":"d.a","batch":2}"#, "408 Bad Request"),
        (
            r#"{"last_by_subj":"d.a","next_by_subj":"d.a"}"#,
            "408 Bad Request",
        ),
        (
            r#"{"last_by_subj":"d.a","multi_last":["d.a"]}"#,
            "408 Bad Request",
        ),
        (
            r#"{"next_by_subj":"d.a","multi_last":["d.a"]}"#,
            "408 Bad Request",
        ),
        (r#"{"multi_last":["d..a"]}"#, "404 No Results"),
    ] {
        check(&mut js, body, &[status]);
    }
    for body in [
        format!(r#"{{"seq":1,"start_time":"{fifth}"}}"#),
        format!(r#"{{"last_by_subj":"d.a","start_time":"{fifth}"}}"#),
        format!(r#"{{"multi_last":["d.a"],"up_to_seq":3,"up_to_time":"{fifth}"}}"#),
    ] {
        check(&mut js, &body, &["408 Bad Request"]);
    }
    // What bounds a batch says nothing of one message.
    check(&mut js, r#"{"seq":2,"max_bytes":1}"#, &["m2 - -"]);
    check(&mut js, r#"{"seq":2,"up_to_seq":1}"#, &["m2 - -"]);
    check(
        &mut js,
        r#"{"last_by_subj":"d.a","max_bytes":1}"#,
        &["m10 - -"],
    );
    let both = js.request("$JS.API.DIRECT.GET.D.d.a", r#"{"seq":1}"#).0;
    assert_eq!(both.status().as_deref(), Some("408 Bad Request"));
    let level = [("Nats-Required-Api-Level", "99")];
    for (subject, body) in [("D", r#"{"seq":1}"#), ("D.d.a", "")] {
        let subject = format!("$JS.API.DIRECT.GET.{subject}");
        let refused = js.request_with(&subject, &level, body).0;
        assert_eq!(
            refused.status().as_deref(),
            Some("412 Required Api Level"),
            "{subject}"
        );
    }
}

#[test]
fn more_than_1024_subjects_are_too_many_and_a_batch_may_be_larger() {
    let (_server, mut js) = start();
    js.create_stream(
        "D",
        r#"{"name":"D","subjects":["d.>"],"allow_direct":true,"storage":"memory"}"#,
    );
    for number in 1..=1100 {
        js.publish_to(&format!("d.{number}"), None, &[], "x");
    }
    js.wait_until("all are stored", |js| {
        js.api("STREAM.INFO.D", "")["state"]["messages"] == 1100
    });
    check(
        &mut js,
        r#"{"multi_last":["d.*"],"batch":5}"#,
        &["413 Too Many Results"],
    );
    check(
        &mut js,
        r#"{"multi_last":["d.*"],"up_to_seq":1025}"#,
        &["413 Too Many Results"],
    );
    let lines = ask(&mut js, r#"{"multi_last":["d.*"],"up_to_seq":1024}"#);
    assert_eq!(lines.len(), 1025);
    assert_eq!(
        (lines[0].as_str(), lines[1024].as_str()),
        ("x 1023 0", "204 EOB 0 1024 1024")
    );
    let lines = ask(&mut js, r#"{"seq":1,"batch":2000}"#);
    assert_eq!(lines.len(), 1101);
    assert_eq!(lines[1100], "204 EOB 0 1100 -");
}
