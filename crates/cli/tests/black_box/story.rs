//! The ORDERS story, as a newcomer types it.

use crate::support::{Background, Server, run};

const ADD: &str = "stream add ORDERS --subjects order.* --storage file --replicas 1 --retention days=7 --max-age 7d --max-msg-size 1MB";
const WIDGET: &str = r#"{"id": "123", "item": "widget"}"#;
const GADGET: &str = r#"{"id": "456", "item": "gadget"}"#;

fn publish(server: &Server, body: &str) -> String {
    let outcome = run(server.nats(["pub", "order.new", body]), "");
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(outcome.stdout, "");
    outcome.stderr
}

#[test]
fn orders_are_stored_shown_and_followed() {
    let server = Server::start();
    let added = server.succeed(ADD);
    for text in [
        "Stream ORDERS was created",
        "Subjects: order.*",
        "Storage: File",
        "Retention: Limits",
        "Maximum Age: 7d0h0m0s",
        "Maximum Message Size: 1.0 MiB",
        "Messages: 0",
    ] {
        assert!(added.stdout.contains(text), "{text}: {}", added.stdout);
    }

    assert_eq!(publish(&server, WIDGET), "Stored in ORDERS, sequence 1\n");
    assert_eq!(publish(&server, GADGET), "Stored in ORDERS, sequence 2\n");

    let subscriber = Background::start(server.nats(["sub", "order.new"]));
    subscriber.wait_for("ORDERS holds 2 messages on order.new, shown first; --new shows only new");
    assert_eq!(publish(&server, "third"), "Stored in ORDERS, sequence 3\n");
    for (number, body) in [(1, WIDGET), (2, GADGET), (3, "third")] {
        let line = subscriber.line();
        assert!(
            line.starts_with(&format!(
                "[#{number}] Received JetStream message: stream: ORDERS seq: {number} / pending: "
            )),
            "{line}"
        );
        assert_eq!(subscriber.line(), body);
        assert_eq!(
            (subscriber.line(), subscriber.line()),
            (String::new(), String::new())
        );
    }
}

#[test]
fn adding_the_same_stream_again_succeeds_and_a_different_one_shows_the_difference() {
    let server = Server::start();
    server.succeed(ADD);
    let again = server.succeed(ADD);
    assert!(
        again
            .stdout
            .contains("ORDERS exists already with this configuration"),
        "{again:?}"
    );
    let different = server.run(
        &ADD.replace("days=7 --max-age 7d", "days=1")
            .replace("1MB", "2MB"),
    );
    assert_eq!(different.code, 1);
    assert_eq!(different.stdout, "");
    for text in [
        "nats: error: cannot create stream ORDERS",
        "(10058)",
        "\n  max_age: exists with 7d0h0m0s, asked for 1d0h0m0s",
        "\n  max_msg_size: exists with 1.0 MiB, asked for 2.0 MiB",
    ] {
        assert!(different.stderr.contains(text), "{text}: {different:?}");
    }
    assert_eq!(different.stderr.lines().count(), 3, "{different:?}");
}

#[test]
fn two_ages_that_contradict_each_other_are_named_and_nothing_is_created() {
    let server = Server::start();
    let line = ADD.replace("--max-age 7d", "--max-age 1d");
    server.fail(
        &line,
        "--retention days=7 keeps messages for 7d0h0m0s, but --max-age says 1d0h0m0s",
    );
    server.fail("stream info ORDERS", "(10059)");
}

#[test]
fn removing_the_stream_removes_it() {
    let server = Server::start();
    server.succeed(ADD);
    server.fail("stream rm ORDERS", "add -f or --force");
    server.succeed("stream info ORDERS");
    server.succeed("stream rm ORDERS -f");
    server.fail("stream info ORDERS", "stream not found (10059)");
}
