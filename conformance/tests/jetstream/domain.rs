//! `jetstream { domain }`: the API under a name of its own. And `strict: false`.

use everjet_conformance::{JetStream, RawClient, ServerProcess};
use serde_json::{Value, json};

use crate::check_contains;

fn start() -> (ServerProcess, JetStream) {
    let config = "jetstream: { store_dir: \"{dir}/store\", domain: hub }\n";
    let server = ServerProcess::start(config);
    let js = JetStream::connect(&server);
    (server, js)
}

#[test]
fn the_api_is_there_under_the_domain_too() {
    let (_server, mut js) = start();
    let config = r#"{"name":"S","subjects":["s.*"],"allow_direct":true}"#;
    let created = js.request("$JS.hub.API.STREAM.CREATE.S", config).json();
    check_contains(&created, &json!({"did_create": true}));
    assert_eq!(js.store("s.a", "one"), 1);
    let direct = js.request("$JS.hub.API.DIRECT.GET.S.s.a", "").0;
    assert_eq!(direct.text(), "one");
    let info = js.request("$JS.hub.API.INFO", "").json();
    check_contains(&info, &json!({"domain": "hub", "streams": 1}));
    let consumer = r#"{"stream_name":"S","config":{"durable_name":"c","ack_policy":"explicit"}}"#;
    js.request("$JS.hub.API.CONSUMER.DURABLE.CREATE.S.c", consumer);
    js.publish("$JS.hub.API.CONSUMER.MSG.NEXT.S.c", &[], "1");
    assert_eq!(js.raw().message().text(), "one");
    // What is no call of the API, and other domains, nobody listens to.
    for subject in ["$JS.hub.API.FOO", "$JS.other.API.INFO"] {
        let answer = js.request(subject, "").0;
        assert_eq!(answer.status().as_deref(), Some("503"), "{subject}");
    }
    // The API is where it always is, too.
    check_contains(
        &js.api("STREAM.INFO.S", ""),
        &json!({"state": {"messages": 1}}),
    );
}

#[test]
fn keys_of_buckets_can_be_written_under_the_domain() {
    let (_server, mut js) = start();
    js.create_stream("KV_b", r#"{"name":"KV_b","subjects":["$KV.b.>"]}"#);
    let ack = js.request("$JS.hub.API.$KV.b.key", "value").json();
    assert_eq!(ack, json!({"stream": "KV_b", "domain": "hub", "seq": 1}));
    let message = js.api("STREAM.MSG.GET.KV_b", r#"{"seq":1}"#);
    assert_eq!(message["message"]["subject"], "$KV.b.key");
}

#[test]
fn the_domain_is_told() {
    let (server, mut js) = start();
    let mut listener = RawClient::connect(server.port());
    let info = listener.line();
    let info: Value = serde_json::from_str(info.trim_start_matches("INFO ")).expect("JSON");
    assert_eq!(info["domain"], "hub");
    let mut listener = RawClient::ready(server.port());
    listener.send(b"SUB $JS.EVENT.ADVISORY.> 1\r\n");
    listener.expect_quiet();
    js.create_stream("S", r#"{"name":"S","subjects":["s"]}"#);
    for _ in 0..2 {
        let advisory = Value::from(listener.message().text());
        let text = advisory.as_str().expect("text");
        assert!(text.ends_with(r#","domain":"hub"}"#), "{text}");
    }
    js.create_consumer("S", "c", r#""ack_policy":"explicit""#);
    let mut subjects: Vec<String> = Vec::new();
    for _ in 0..2 {
        let message = listener.message();
        let text = message.text();
        assert!(text.ends_with(r#","domain":"hub"}"#), "{text}");
        subjects.push(message.subject);
    }
    assert!(
        subjects.contains(&"$JS.EVENT.ADVISORY.CONSUMER.CREATED.S.c".to_owned()),
        "{subjects:?}"
    );
    for duplicate in [false, true] {
        let ack = js.request_with("s", &[("Nats-Msg-Id", "a")], "x").0.text();
        let end = if duplicate {
            ",\"duplicate\": true"
        } else {
            ""
        };
        assert_eq!(
            ack,
            format!(r#"{{"stream":"S","domain":"hub","seq":1{end}}}"#)
        );
    }
}

#[test]
fn a_lenient_server_passes_unknown_fields_over() {
    let config = "jetstream: { store_dir: \"{dir}/store\", strict: false }\n";
    let server = ServerProcess::start(config);
    let mut js = JetStream::connect(&server);
    let created = js.create_stream("S", r#"{"name":"S","subjects":["s"],"colour":"red"}"#);
    check_contains(&created, &json!({"did_create": true}));
    check_contains(&js.api("STREAM.NAMES", r#"{"x":1}"#), &json!({"total": 1}));
}
