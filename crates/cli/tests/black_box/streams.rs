//! Managing streams, and JSON output.

use crate::support::Server;

fn with_three() -> Server {
    let server = Server::start();
    server.succeed("stream add ORDERS --subjects order.* --description text");
    for line in [
        "pub order.a one -H K:v",
        "pub order.b two",
        "pub order.a three",
    ] {
        server.succeed(line);
    }
    server
}

#[test]
fn streams_are_listed() {
    let server = with_three();
    server.succeed("stream add OTHER --subjects other --storage memory");
    let table = server.succeed("stream ls").stdout;
    assert!(table.starts_with('╭'), "{table}");
    assert!(
        table.contains("ORDERS") && table.contains("OTHER"),
        "{table}"
    );
    assert_eq!(server.succeed("s list -n").stdout, "ORDERS\nOTHER\n");
    let of_subject = server.succeed("stream ls --subject other --json").json();
    assert_eq!(of_subject, serde_json::json!(["OTHER"]));
}

#[test]
fn single_messages_are_shown() {
    let server = with_three();
    let first = server.succeed("stream get ORDERS 1").stdout;
    assert!(first.starts_with("Item: ORDERS#1 received "), "{first}");
    assert!(
        first.ends_with(" on Subject order.a\n\nHeaders:\n  K: v\n\none\n"),
        "{first}"
    );
    let last = server.succeed("stream get ORDERS -S order.a --json").json();
    assert_eq!(last["seq"], 3);
    server.fail("stream get ORDERS 9", "(10037)");
    server.fail("stream get ORDERS", "--last-for");
    server.fail("stream get NOPE 1", "(10059)");
}

#[test]
fn messages_are_viewed_in_parts() {
    let server = with_three();
    let part = server.succeed("stream view ORDERS 2 --raw");
    assert_eq!(part.stdout, "one\ntwo\n");
    assert_eq!(part.stderr, "1 more messages; go on with --id 3\n");
    let rest = server.succeed("stream view ORDERS --id 3 --raw");
    assert_eq!(
        (rest.stdout.as_str(), rest.stderr.as_str()),
        ("three\n", "")
    );
    let filtered = server.succeed("stream view ORDERS --subject order.b --json");
    assert_eq!(filtered.json()["data"], "two");
    server.fail("stream view NOPE", "(10059)");
    server.fail("stream view ORDERS --raw --json", "contradict");
}

#[test]
fn purging_deletes_what_it_is_told_to() {
    let server = with_three();
    server.fail("stream purge ORDERS", "add -f or --force");
    let by_subject = server.succeed("stream purge ORDERS --subject order.b -f");
    assert_eq!(by_subject.stderr, "Purged 1 messages from stream ORDERS\n");
    let kept = server
        .succeed("stream purge ORDERS --keep 1 -f --json")
        .json();
    assert_eq!(kept["purged"], 1);
    assert_eq!(
        server.succeed("stream view ORDERS 0 --raw").stdout,
        "three\n"
    );
}

#[test]
fn a_configuration_goes_through_a_file() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("stream.json");
    let path = path.display();
    server.succeed(&format!(
        "stream add FROM --subjects from --max-msgs 7 --output {path}"
    ));
    server.fail("stream info FROM", "(10059)");
    server.succeed(&format!("stream add --config {path}"));
    let info = server.succeed("stream info FROM --json").json();
    assert_eq!(info["config"]["max_msgs"], 7);
}

#[test]
fn json_is_a_document_and_nothing_else() {
    let server = with_three();
    let config = |line: &str| server.succeed(line).json()["config"]["name"].clone();
    assert_eq!(
        config("stream add ORDERS --subjects order.* --description text --json"),
        "ORDERS"
    );
    assert_eq!(config("stream info ORDERS --json"), "ORDERS");
    let state = server.succeed("stream info ORDERS --state --json").json();
    assert_eq!(state["messages"], 3);
    assert_eq!(
        server
            .succeed("stream view ORDERS --json")
            .json_lines()
            .len(),
        3
    );
    let published = server.succeed("pub order.a x --json").json();
    assert_eq!(published["stream"], "ORDERS");
    assert_eq!(published["sequence"], 4);
    assert_eq!(published["stored"], true);
    assert_eq!(server.succeed("pub other x --json").json()["stored"], false);
    assert_eq!(
        server
            .succeed("sub order.a --count 1 --json")
            .json_lines()
            .len(),
        1
    );
    let consumer = server.succeed("consumer add ORDERS c --json").json();
    assert_eq!(consumer["name"], "c");
    assert_eq!(
        server.succeed("consumer info ORDERS c --json").json()["name"],
        "c"
    );
    assert_eq!(server.succeed("consumer ls ORDERS --json").json()[0], "c");
    assert_eq!(
        server.succeed("consumer next ORDERS c --json").json()["sequence"],
        1
    );
    assert_eq!(
        server.succeed("consumer rm ORDERS c -f --json").json()["success"],
        true
    );
    assert_eq!(
        server.succeed("stream purge ORDERS -f --json").json()["success"],
        true
    );
    assert_eq!(
        server.succeed("stream rm ORDERS -f --json").json()["success"],
        true
    );
    assert_eq!(
        server.succeed("stream ls --json").json(),
        serde_json::json!([])
    );
    assert_eq!(server.succeed("rtt --json").json()[0]["iterations"], 5);
    let account = server.succeed("account info --json").json();
    assert_eq!(account["jetstream"]["streams"], 0);
}
