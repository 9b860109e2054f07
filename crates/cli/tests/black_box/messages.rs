//! Publishing, subscribing, requests and replies.

use crate::support::{Background, Server, run};

fn with_orders() -> Server {
    let server = Server::start();
    server.succeed("stream add ORDERS --subjects order.*");
    server
}

#[test]
fn a_subject_without_a_stream_is_published_plainly() {
    let server = with_orders();
    let published = server.succeed("pub news.today hello");
    assert_eq!(
        published.stderr,
        "Published 5 bytes to \"news.today\"; no stream stores this subject\n"
    );
    server.fail("pub news.today hello -J", "no stream stores news.today");
    let many = server.succeed("pub news.today hello --count 30");
    assert_eq!(
        many.stderr,
        "Published 30 messages to \"news.today\"; no stream stores this subject\n"
    );
    let quiet = server.succeed("pub news.today hello -q");
    assert_eq!((quiet.stdout, quiet.stderr), (String::new(), String::new()));
}

#[test]
fn a_message_that_the_stream_refuses_is_an_error_with_its_reason() {
    let server = Server::start();
    server.succeed("stream add SMALL --subjects small --max-msg-size 10");
    server.fail(
        "pub small 12345678901",
        "stream SMALL did not store the message: ",
    );
    server.fail("pub small 12345678901", "(10054)");
    server.fail("pub small 12345678901 --count 300", "(10054)");
    server.succeed("pub small 1234567890");
    let big = "x".repeat(2 << 20);
    let outcome = run(server.nats(["pub", "small"]), &big);
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("ayload"), "{}", outcome.stderr);
}

#[test]
fn bodies_come_from_arguments_input_and_templates() {
    let server = with_orders();
    server.succeed("pub order.t {{Count}}-{{Random(3,3)}} --count 3");
    server.succeed("pub order.t {{Count}} --no-templates");
    let whole = run(server.nats(["pub", "order.t"]), "one\ntwo");
    assert_eq!(whole.code, 0, "{whole:?}");
    let lines = run(
        server.nats(["pub", "order.t", "--send-on", "newline"]),
        "l1\nl2\n",
    );
    assert_eq!(lines.stderr.lines().count(), 2, "{lines:?}");
    let many = server.succeed("pub order.t many --count 100");
    assert_eq!(
        many.stderr,
        "Stored 100 messages in ORDERS, the last with sequence 107\n"
    );

    let shown = server.succeed("sub order.t -T --json").json_lines();
    let bodies: Vec<&str> = shown.iter().filter_map(|m| m["data"].as_str()).collect();
    assert_eq!(bodies.len(), 107);
    assert_eq!(bodies[0].len(), 5);
    assert!(
        bodies[0].starts_with("1-") && bodies[2].starts_with("3-"),
        "{bodies:?}"
    );
    assert_eq!(bodies[3..8], ["{{Count}}", "one\ntwo", "l1", "l2", "many"]);
}

#[test]
fn many_messages_are_stored_in_their_order() {
    let server = with_orders();
    let lines = server
        .succeed("pub order.n {{Count}} --count 1000 --json")
        .json_lines();
    let sequences: Vec<u64> = lines
        .iter()
        .filter_map(|l| l["sequence"].as_u64())
        .collect();
    assert_eq!(sequences, (1..=1000).collect::<Vec<u64>>());
    let stored = server.succeed("sub order.n -T --raw").stdout;
    let expected: Vec<String> = (1..=1000).map(|n: u32| n.to_string()).collect();
    assert_eq!(stored.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_duplicate_by_message_id_is_called_one() {
    let server = with_orders();
    server.succeed("pub order.d a -H Nats-Msg-Id:1");
    let again = server.succeed("pub order.d a -H Nats-Msg-Id:1");
    assert!(again.stderr.contains("sequence 1 (duplicate)"), "{again:?}");
    let json = server
        .succeed("pub order.d a -H Nats-Msg-Id:1 --json")
        .json();
    assert_eq!(json["duplicate"], true);
}

#[test]
fn stored_and_plain_messages_come_once_each_and_in_order() {
    let server = with_orders();
    server.succeed("pub order.new stored-1");
    let subscriber = Background::start(server.nats(["sub", "order.>", "--raw", "--count", "5"]));
    subscriber.wait_for("ORDERS holds 1 message on order.>");
    assert_eq!(subscriber.line(), "stored-1");
    for line in [
        "pub order.new stored-2",
        "pub order.plain.deep plain-1",
        "pub order.new stored-3",
        "pub order.plain.deep plain-2",
    ] {
        server.succeed(line);
        let body = line.rsplit(' ').next().expect("a body");
        assert_eq!(subscriber.line(), body);
    }
    let (code, rest) = subscriber.finish();
    assert_eq!((code, rest), (0, Vec::new()));
}

#[test]
fn a_plain_subscription_shows_only_new_messages() {
    let server = with_orders();
    server.succeed("pub order.new old");
    for arguments in [
        vec!["sub", "order.new", "--new", "--count", "1"],
        vec!["sub", "order.new", "--queue", "q", "--count", "1"],
        vec![
            "sub",
            "order.new",
            "--new",
            "--stream",
            "ORDERS",
            "--count",
            "1",
            "--raw",
        ],
    ] {
        let subscriber = Background::start(server.nats(&arguments));
        subscriber.wait_for(if arguments.contains(&"--stream") {
            "Reading stream ORDERS on order.new: 0 messages"
        } else {
            "Subscribing on order.new"
        });
        server.succeed("pub order.new new");
        let (code, lines) = subscriber.finish();
        assert_eq!(code, 0);
        assert!(
            lines.contains(&"new".to_owned()),
            "{arguments:?}: {lines:?}"
        );
        assert!(
            !lines.contains(&"old".to_owned()),
            "{arguments:?}: {lines:?}"
        );
    }
}

#[test]
fn reading_begins_where_it_is_told_to() {
    let server = with_orders();
    for line in [
        "pub order.a 1",
        "pub order.b 2",
        "pub order.a 3",
        "pub order.c 4",
    ] {
        server.succeed(line);
    }
    for (flags, expected) in [
        ("order.* --all", vec!["1", "2", "3", "4"]),
        ("order.a", vec!["1", "3"]),
        ("order.a order.c", vec!["1", "3", "4"]),
        ("order.* --last", vec!["4"]),
        ("order.* --last-per-subject", vec!["2", "3", "4"]),
        ("order.* --start-sequence 3", vec!["3", "4"]),
        ("order.* --since 1h", vec!["1", "2", "3", "4"]),
        ("--stream ORDERS", vec!["1", "2", "3", "4"]),
        ("> --stream ORDERS", vec!["1", "2", "3", "4"]),
        ("order.* -I order.a", vec!["2", "4"]),
        ("order.none", vec![]),
    ] {
        let shown = server.succeed(&format!("sub {flags} --raw --terminate-at-end"));
        let mut lines: Vec<&str> = shown.stdout.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, expected, "{flags}");
    }
    let subjects = server.succeed("sub order.a -T --subjects-only");
    assert_eq!(subjects.stdout, "order.a\norder.a\n");
    server.fail("sub nothing -T", "no stream stores nothing");
    server.fail("sub order.a --stream NOPE", "stream not found (10059)");
    let idle = server.succeed("sub nothing --wait 200ms");
    assert_eq!(idle.stdout, "");
    let left = server.succeed("consumer ls ORDERS --json").json();
    assert_eq!(
        left,
        serde_json::json!([]),
        "readers clean up after themselves"
    );
}

#[test]
fn a_follower_goes_on_after_the_server_was_killed_and_started_again() {
    let mut server = with_orders();
    server.succeed("pub order.new 1");
    server.succeed("pub order.new 2");
    let subscriber = Background::start(server.nats(["sub", "order.new", "--raw"]));
    assert_eq!(
        (subscriber.line(), subscriber.line()),
        ("1".to_owned(), "2".to_owned())
    );
    server.restart();
    server.succeed("pub order.new 3");
    assert_eq!(subscriber.line(), "3");
    server.succeed("pub order.new 4");
    assert_eq!(subscriber.line(), "4");
}

#[test]
fn dumped_messages_are_json_files() {
    let server = with_orders();
    server.succeed("pub order.a text -H K:v");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("dump");
    server.succeed(&format!("sub order.a -T --dump {}", path.display()));
    let text = std::fs::read_to_string(path.join("1.json")).expect("written");
    let message: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(message["data"], "text");
    assert_eq!(message["headers"]["K"][0], "v");
    let stream = server.succeed("sub order.a -T --dump -");
    assert_eq!(stream.stdout.matches('\0').count(), 1);
}

#[test]
fn requests_are_answered_or_fail() {
    let server = Server::start();
    server.fail("req nobody hi", "no responders");
    let responder = Background::start(server.nats([
        "reply",
        "svc.*",
        "got {{Request}} as {{Count}}",
        "-H",
        "X:y",
    ]));
    responder.wait_for("Listening on \"svc.*\" in group \"NATS-RPLY-22\"");
    let reply = server.succeed("req svc.a hi");
    assert_eq!(reply.stdout, "X: y\n\ngot hi as 1\n");
    let raw = server.succeed("req svc.a hi --raw");
    assert_eq!(raw.stdout, "got hi as 2\n");
    let json = server.succeed("req svc.a hi --json").json();
    assert_eq!(json["data"], "got hi as 3");
    server.fail_after_output("req svc.a hi --replies 2 --raw", "1 of 2 replies came");
    let all = server.succeed("req svc.a hi --replies 0 --timeout 300ms --raw");
    assert_eq!(all.stdout, "got hi as 5\n");
}

#[test]
fn a_request_that_nobody_answers_in_time_fails() {
    let server = Server::start();
    let listener = Background::start(server.nats(["sub", "silent"]));
    listener.wait_for("Subscribing on silent");
    server.fail("req silent hi --timeout 200ms", "no reply within 200ms");
}

#[test]
fn replies_echo_or_run_a_command() {
    let server = Server::start();
    let echo = Background::start(server.nats(["reply", "e", "--echo", "--count", "1"]));
    echo.wait_for("Listening");
    assert_eq!(server.succeed("req e same --raw").stdout, "same\n");
    assert_eq!(echo.finish().0, 0);
    let command = "printf '%s/%s' \"$NATS_REQUEST_SUBJECT\" \"$NATS_REQUEST_BODY\"";
    let shell = Background::start(server.nats(["reply", "c", "--command", command]));
    shell.wait_for("Listening");
    assert_eq!(server.succeed("req c body --raw").stdout, "c/body\n");
}
