//! Subject mappings of the account: `mappings { … }`.

use std::collections::HashMap;
use std::process::Command;

use everjet_conformance::{JetStream, RawClient, ServerProcess, executable};

use crate::check_with;

#[test]
fn a_message_is_delivered_under_its_new_subject_only() {
    check_with(
        r#"mappings { "foo": "bar" }"#,
        r#"
        A> CONNECT {"verbose":false}
        A> SUB foo 1
        A> SUB bar 2
        A> PUB foo 2
        A> hi
        A< MSG bar 2 2
        A< hi
        A> PUB bar 2
        A> hi
        A< MSG bar 2 2
        A< hi
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn tokens_are_taken_over_in_any_order() {
    check_with(
        r#"mappings {
            orders.*.*: "$2.{{wildcard(1)}}.orders"
            "logs.>": "archive.>"
        }"#,
        r#"
        A> CONNECT {"verbose":false}
        A> SUB > 1
        A> PUB orders.new.eu 0
        A>
        A< MSG eu.new.orders 1 0
        A<
        A> PUB logs.a.b.c 0
        A>
        A< MSG archive.a.b.c 1 0
        A<
        A> PUB orders.new 0
        A>
        A< MSG orders.new 1 0
        A<
        "#,
    );
}

#[test]
fn what_was_mapped_is_not_mapped_again() {
    check_with(
        r#"mappings { a: b, b: a }"#,
        r#"
        A> CONNECT {"verbose":false}
        A> SUB * 1
        A> PUB a 0
        A>
        A< MSG b 1 0
        A<
        A> PUB b 0
        A>
        A< MSG a 1 0
        A<
        "#,
    );
}

#[test]
fn a_request_and_its_answer_go_through_mappings() {
    check_with(
        r#"mappings { "help": "help.v2", "_INBOX.old.*": "_INBOX.new.$1" }"#,
        r#"
        A> CONNECT {"verbose":false}
        A> SUB help.v2 1
        A> PING
        A< PONG
        B> CONNECT {"verbose":false}
        B> SUB _INBOX.new.* 2
        B> PUB help _INBOX.old.1 2
        B> hi
        A< MSG help.v2 1 _INBOX.old.1 2
        A< hi
        A> PUB _INBOX.old.1 2
        A> ok
        B< MSG _INBOX.new.1 2 2
        B< ok
        "#,
    );
}

#[test]
fn a_request_that_nobody_takes_is_answered_with_the_new_subject() {
    check_with(
        r#"mappings { "help": "help.v2" }"#,
        r#"
        A> CONNECT {"verbose":false,"headers":true,"no_responders":true}
        A> SUB inbox 1
        A> SUB help 2
        A> PUB help inbox 2
        A> hi
        A< HMSG inbox 1 39 39
        A< NATS/1.0 503
        A< Nats-Subject: help.v2
        A<
        A<
        "#,
    );
}

#[test]
fn one_member_of_a_queue_group_gets_a_mapped_message() {
    let server = ServerProcess::start(r#"mappings { "jobs.*": "work.{{partition(1,1)}}" }"#);
    let mut client = RawClient::ready(server.port());
    client.send(b"SUB work.0 workers 1\r\nSUB work.* workers 2\r\nSUB jobs.* workers 3\r\n");
    client.send("PUB jobs.x 0\r\n\r\n".repeat(1_000).as_bytes());
    let sids: Vec<String> = (0..1_000).map(|_| client.message().sid).collect();
    client.expect_quiet();
    let first = sids.iter().filter(|sid| *sid == "1").count();
    assert!(sids.iter().all(|sid| sid != "3"));
    // 500 with a deviation of 16.
    assert!((380..=620).contains(&first), "{first}");
}

/// Undoes `\xHH`.
fn bytes(field: &str) -> Vec<u8> {
    let mut parts = field.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, text) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

#[test]
fn every_function_makes_of_a_subject_what_it_should() {
    // What the unit tests of transforms hold to be true, shown by the server: the header of the 503 names the new subject.
    let table = include_str!("../../../crates/subject/tests/transforms/values.txt");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|row| !row.starts_with('#'))
        .map(|row| row.split('\t').collect())
        .collect();
    let mut config = String::from("mappings {\n");
    let mut last = "";
    for row in &rows {
        if row[0] != last {
            config.push_str(&format!("  \"{}\": \"{}\"\n", row[0], row[1]));
            last = row[0];
        }
    }
    config.push_str("}\n");
    let server = ServerProcess::start(&config);
    let mut client = RawClient::ready(server.port());
    client.send(b"SUB inbox 1\r\n");
    for row in &rows {
        let request = [b"PUB ", &bytes(row[2])[..], b" inbox 0\r\n\r\n"].concat();
        client.send(&request);
        let answer = client.message();
        let expected = String::from_utf8_lossy(&bytes(row[3])).into_owned();
        assert_eq!(answer.header("Nats-Subject"), Some(expected), "{row:?}");
    }
    assert!(rows.len() > 300, "{}", rows.len());
}

/// Publishes requests to `subject` and counts under which subjects they come back; those that nobody takes count as `503`.
fn count(config: &str, subject: &str, messages: usize) -> HashMap<String, usize> {
    let server = ServerProcess::start(config);
    let mut client = RawClient::ready(server.port());
    client.send(b"SUB > 1\r\n");
    let request = format!("PUB {subject} _R 0\r\n\r\n");
    client.send(request.repeat(messages).as_bytes());
    let mut counts = HashMap::new();
    for _ in 0..messages {
        let message = client.message();
        let name = match message.status() {
            Some(status) => {
                // A message that is dropped has no subject any more.
                assert_eq!(message.header("Nats-Subject").as_deref(), Some(""));
                status
            }
            None => message.subject,
        };
        *counts.entry(name).or_default() += 1;
    }
    client.expect_quiet();
    counts
}

/// Checks shares in percent over 2,000 messages. One percent is 20 messages; the deviation is at most 22.4, and six of them do
/// not happen by chance.
#[track_caller]
fn check_shares(config: &str, subject: &str, shares: &[(&str, usize)]) {
    let counts = count(config, subject, 2_000);
    assert_eq!(counts.len(), shares.len(), "{config}: {counts:?}");
    for (name, percent) in shares {
        let count = counts.get(*name).copied().unwrap_or_default();
        let off = count.abs_diff(percent * 20);
        let allowed = if *percent == 100 { 0 } else { 135 };
        assert!(off <= allowed, "{config}: {counts:?}");
    }
}

#[test]
fn destinations_get_their_share_and_the_rest_keeps_its_subject() {
    check_shares(
        r#"mappings { foo: [ { destination: v1, weight: "20%" }, { dest: v2, weight: 50 } ] }"#,
        "foo",
        &[("v1", 20), ("v2", 50), ("foo", 30)],
    );
    check_shares(
        r#"mappings { "foo.*": { destination: "bar.$1", weight: 40% } }"#,
        "foo.x",
        &[("bar.x", 40), ("foo.x", 60)],
    );
    check_shares(
        r#"mappings { foo: [ { destination: bar, weight: 0 } ] }"#,
        "foo",
        &[("foo", 100)],
    );
}

#[test]
fn the_rest_is_lost_when_the_source_is_a_destination() {
    check_shares(
        r#"mappings { foo: [ { destination: foo, weight: 30% }, { destination: bar, weight: 20% } ] }"#,
        "foo",
        &[("foo", 30), ("bar", 20), ("503", 50)],
    );
    check_shares(
        r#"mappings { "foo.>": [ { destination: "foo.>", weight: 60% } ] }"#,
        "foo.x",
        &[("foo.x", 60), ("503", 40)],
    );
    // A source with `*` can not be written as a destination.
    check_shares(
        r#"mappings { "foo.*": [ { destination: "foo.$1", weight: 60% } ] }"#,
        "foo.x",
        &[("foo.x", 100)],
    );
}

#[test]
fn destinations_of_other_clusters_are_not_used() {
    check_shares(
        r#"mappings { foo: [ { destination: bar, weight: 100%, cluster: elsewhere }, { destination: baz, weight: 100% } ] }"#,
        "foo",
        &[("baz", 100)],
    );
    check_shares(
        r#"mappings { foo: [ { destination: bar, weight: 100%, cluster: elsewhere } ] }"#,
        "foo",
        &[("foo", 100)],
    );
    check_shares(
        r#"mappings { foo: [ { destination: foo, weight: 50%, cluster: elsewhere } ] }"#,
        "foo",
        &[("503", 100)],
    );
}

#[test]
fn random_numbers_are_below_their_bound() {
    check_shares(
        r#"mappings { foo: "bar.{{random(4)}}" }"#,
        "foo",
        &[("bar.0", 25), ("bar.1", 25), ("bar.2", 25), ("bar.3", 25)],
    );
}

#[test]
fn the_first_mapping_in_the_file_counts() {
    if executable::is_reference() {
        // There the order is drawn at each start: see docs/differences.md.
        return;
    }
    let config = r#"mappings { "a.*": "first.$1", "a.b": "second", ">": "third.>" }"#;
    for (subject, expected) in [("a.b", "first.b"), ("b.a", "third.b.a")] {
        let counts = count(config, subject, 1);
        assert_eq!(counts, HashMap::from([(expected.to_owned(), 1)]));
    }
}

#[test]
fn a_stream_stores_under_the_new_subject() {
    let server = ServerProcess::start(
        r#"
        jetstream: { enabled: true, store_dir: "{dir}/store" }
        mappings { "in.*": "stored.$1", "status": "$JS.API.STREAM.INFO.S" }
        "#,
    );
    let mut js = JetStream::connect(&server);
    js.create_stream("S", r#"{"name":"S","subjects":["stored.*"]}"#);
    assert_eq!(js.store("in.x", "hi"), 1);
    let stored = js.api("STREAM.MSG.GET.S", r#"{"seq":1}"#);
    assert_eq!(stored["message"]["subject"], "stored.x");
    assert_eq!(stored["message"]["data"], "aGk=");
    // Requests of the API are messages like others.
    let info = js.request("status", "");
    assert_eq!(info.json()["state"]["messages"], 1);
}

#[test]
fn what_the_server_sends_is_not_mapped() {
    let server = ServerProcess::start(
        r#"
        jetstream: { enabled: true, store_dir: "{dir}/store" }
        mappings { "to.*": "elsewhere.$1" }
        "#,
    );
    let mut js = JetStream::connect(&server);
    js.create_stream("S", r#"{"name":"S","subjects":["s"]}"#);
    let mut client = RawClient::ready(server.port());
    client.send(b"SUB to.me 1\r\nSUB elsewhere.* 2\r\n");
    client.expect_quiet();
    let mut received = || {
        let message = client.message();
        (message.sid.clone(), message.text())
    };
    // The acknowledgement of a publish, and the delivery of a consumer.
    js.publish_to("s", Some("to.me"), &[], "hi");
    assert_eq!(
        received(),
        ("1".to_owned(), r#"{"stream":"S","seq":1}"#.to_owned())
    );
    js.api(
        "CONSUMER.CREATE.S.C",
        r#"{"stream_name":"S","config":{"name":"C","deliver_subject":"to.me","ack_policy":"none"}}"#,
    );
    assert_eq!(received(), ("1".to_owned(), "hi".to_owned()));
    // The same subject from a client.
    js.publish_to("to.me", None, &[], "mapped");
    assert_eq!(received(), ("2".to_owned(), "mapped".to_owned()));
}

#[test]
fn answers_of_the_api_go_where_the_request_said() {
    let server = ServerProcess::start(
        r#"
        jetstream: { enabled: true, store_dir: "{dir}/store" }
        mappings { "to.me": "elsewhere" }
        "#,
    );
    let mut client = RawClient::ready(server.port());
    client.send(b"SUB to.me 1\r\nSUB elsewhere 2\r\nPUB $JS.API.INFO to.me 0\r\n\r\n");
    // There answers are mapped if they come from a service: see docs/differences.md.
    let expected = if executable::is_reference() { "2" } else { "1" };
    assert_eq!(client.message().sid, expected);
}

/// Runs the test of a configuration file (`-t`) and expects that it fails with this text.
#[track_caller]
fn refused(config: &str, expected: &str) {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let file = folder.path().join("bad.conf");
    std::fs::write(&file, config).expect("writable");
    let output = Command::new(executable::server())
        .arg("-t")
        .arg("-c")
        .arg(&file)
        .output()
        .expect("the executable runs");
    assert_eq!(output.status.code(), Some(1), "{config}");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains(expected), "{config}: {text}");
    assert!(text.contains("bad.conf:1:"), "{config}: {text}");
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (mappings, expected) in [
        (r#""a..b": c"#, r#"Subject "a..b" is not a valid subject"#),
        (
            r#""a.*": "{{nothing(1)}}""#,
            r#"Error adding mapping for "a.*" to "{{nothing(1)}}" : invalid mapping destination: unknown function in {{nothing(1)}}"#,
        ),
        (
            r#""a.*": "b.$2""#,
            r#"Error adding mapping for "a.*" to "b.$2" : invalid mapping destination: wildcard index out of range in $2: [2]"#,
        ),
        (
            r#"a: "$1""#,
            r#"invalid mapping destination: wildcard index out of range in $1"#,
        ),
        (
            r#""a.*": "{{wildcard()}}""#,
            "invalid mapping destination: not enough arguments passed to the function in {{wildcard()}}",
        ),
        (
            r#""a.*": "{{wildcard(1,2)}}""#,
            "invalid mapping destination: too many arguments passed to the function in {{wildcard(1,2)}}",
        ),
        (
            r#""a.*": "{{partition(x)}}""#,
            "invalid mapping destination: function argument is invalid or in the wrong format in {{partition(x)}}",
        ),
        (
            r#"a: "b c""#,
            r#"Error adding mapping for "a" to "b c" : invalid mapping destination: invalid transform"#,
        ),
        (
            r#"a: "b.*""#,
            r#"Error adding mapping for "a" to "b.*" : invalid subject"#,
        ),
        (
            r#"a: "b.>""#,
            r#"Error adding mapping for "a" to "b.>" : invalid subject"#,
        ),
        (
            r#"a: [ { dest: b, weight: 60% }, { dest: c, weight: 60% } ]"#,
            r#"Error adding mapping for "a" : total weight needs to be <= 100"#,
        ),
        (
            r#"a: [ { dest: b, weight: 60% }, { dest: b, weight: 10% } ]"#,
            r#"Error adding mapping for "a" : duplicate entry for "b""#,
        ),
        (
            r#"a: [ { dest: b, weight: 101 } ]"#,
            "Invalid weight 101 for mapping destination",
        ),
        (
            r#"a: [ { dest: b, weight: x% } ]"#,
            r#"Invalid weight "x" for mapping destination"#,
        ),
        (
            r#"a: { dest: b }"#,
            r#"Missing weight for mapping destination "b""#,
        ),
        (
            r#"a: { dest: b, share: 1 }"#,
            r#"Unknown field "share" for mapping destination"#,
        ),
        ("a: 5", "Expected an entry for the mapping destination"),
        ("a: [ b ]", "Expected an entry for the mapping destination"),
    ] {
        refused(&format!("mappings {{ {mappings} }}"), expected);
    }
}
