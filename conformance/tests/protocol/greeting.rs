//! INFO: the greeting, and the second one after the first PING.

use everjet_conformance::ServerProcess;
use serde_json::Value;

use crate::{check, check_with};

fn info(line: &str) -> Value {
    let json = line.strip_prefix("INFO ").expect("the greeting is INFO");
    let json = json
        .strip_suffix(' ')
        .expect("a blank stands before the line end");
    serde_json::from_str(json).expect("the greeting is JSON")
}

fn greeting(config: &str) -> (ServerProcess, Value) {
    let server = ServerProcess::start(config);
    let line = server.connect().line();
    (server, info(&line))
}

#[test]
fn the_first_info_has_what_clients_need_before_they_connect() {
    let (server, info) = greeting("server_name: lighthouse\n");
    let id = info["server_id"].as_str().expect("server_id is a text");
    assert_eq!(id.len(), 56, "{id}");
    assert!(id.starts_with('N'), "{id}");
    assert_eq!(info["server_name"], "lighthouse");
    assert_eq!(info["proto"], 1);
    assert_eq!(info["headers"], true);
    assert_eq!(info["max_payload"], 1_048_576);
    assert_eq!(info["port"], server.port());
    assert_eq!(info["host"], "127.0.0.1");
    assert_eq!(info["client_ip"], "127.0.0.1");
    assert!(info["client_id"].as_u64().is_some_and(|id| id > 0));
    assert!(info["go"].is_string());
}

#[test]
fn the_version_is_one_that_clients_gate_their_features_on() {
    let (_server, info) = greeting("");
    let version = info["version"].as_str().expect("version is a text");
    let numbers: Vec<u32> = version
        .split('.')
        .map(|n| n.parse().expect("a number"))
        .collect();
    assert!(numbers >= vec![2, 15, 0], "{version}");
}

#[test]
fn the_server_name_defaults_to_the_id() {
    let (_server, info) = greeting("");
    assert_eq!(info["server_name"], info["server_id"]);
}

#[test]
fn keys_that_do_not_apply_are_absent() {
    let (_server, info) = greeting("");
    for key in [
        "auth_required",
        "tls_required",
        "nonce",
        "ldm",
        "connect_urls",
        "connect_info",
        "jetstream",
    ] {
        assert!(
            info.get(key).is_none_or(|value| value == false),
            "{key}: {info}"
        );
    }
}

#[test]
fn jetstream_and_authorization_show_in_the_greeting() {
    let (_server, with_jetstream) = greeting("jetstream: { store_dir: \"{dir}/store\" }\n");
    assert_eq!(with_jetstream["jetstream"], true);
    let (_server, with_token) = greeting("authorization: { token: secret }\n");
    assert_eq!(with_token["auth_required"], true);
    let (_server, with_limit) = greeting("max_payload: 1000\n");
    assert_eq!(with_limit["max_payload"], 1000);
}

#[test]
fn an_address_for_clients_stands_in_place_of_the_real_one() {
    let (_server, info) = greeting("client_advertise: \"nats.example.com:7777\"\n");
    assert_eq!(info["host"], "nats.example.com");
    assert_eq!(info["port"], 7777);
    let (server, info) = greeting("client_advertise: \"nats.example.com\"\n");
    assert_eq!(info["host"], "nats.example.com");
    assert_eq!(info["port"], server.port());
}

#[test]
fn client_ids_differ() {
    let server = ServerProcess::start("");
    let mut first = server.connect();
    let mut second = server.connect();
    assert_ne!(
        info(&first.line())["client_id"],
        info(&second.line())["client_id"]
    );
}

#[test]
fn the_pong_comes_before_the_second_info() {
    check(
        r#"
        A> CONNECT {"verbose":false,"protocol":1}
        A> PING
        A< PONG
        A< INFO {…"connect_info":true…"remote_account":"$G"…} 
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn a_client_of_protocol_0_gets_one_info_only() {
    check(
        r#"
        A> CONNECT {"verbose":false,"protocol":0}
        A> PING
        A< PONG
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn one_connection_too_many_is_told_so() {
    check_with(
        "max_connections: 1\n",
        r"
        A> PING
        A< PONG
        B< INFO {…} 
        B< -ERR 'maximum connections exceeded'
        B closed
        A> PING
        A< PONG
        ",
    );
}
