//! Managing consumers and taking messages from them.

use crate::support::{Background, Server};

fn with_orders() -> Server {
    let server = Server::start();
    server.succeed("stream add ORDERS --subjects order.*");
    for line in ["pub order.a one", "pub order.b two", "pub order.a three"] {
        server.succeed(line);
    }
    server
}

#[test]
fn a_consumer_goes_on_where_it_left_off_even_after_a_restart() {
    let mut server = with_orders();
    let added = server
        .succeed("consumer add ORDERS work --filter order.a")
        .stdout;
    for text in [
        "Information for Consumer ORDERS > work",
        "Pull Mode: true",
        "Filter Subject: order.a",
        "Ack Policy: explicit",
        "Unprocessed Messages: 2",
    ] {
        assert!(added.contains(text), "{text}: {added}");
    }
    let first = server.succeed("consumer next ORDERS work");
    assert!(
        first.stdout.contains(
            "] subj: order.a / tries: 1 / cons seq: 1 / str seq: 1 / pending: 1\n\none\n"
        ),
        "{first:?}"
    );
    assert_eq!(first.stderr, "Acknowledged message\n");
    server.restart();
    assert_eq!(server.succeed("c next ORDERS work --raw").stdout, "three\n");
    server.fail("c next ORDERS work --wait 100ms", "no message within 100ms");
}

#[test]
fn messages_given_back_come_again_and_terminated_ones_do_not() {
    let server = with_orders();
    server.succeed("consumer add ORDERS work --filter order.a --wait 30s");
    assert_eq!(
        server.succeed("c next ORDERS work --raw --nak").stdout,
        "one\n"
    );
    let again = server.succeed("c next ORDERS work --json --term").json();
    assert_eq!(
        (again["data"].as_str(), again["delivered"].as_u64()),
        (Some("one"), Some(2))
    );
    assert_eq!(
        server.succeed("c next ORDERS work --raw --no-ack").stdout,
        "three\n"
    );
    let info = server.succeed("c info ORDERS work --json").json();
    assert_eq!(info["num_ack_pending"], 1);
    assert_eq!(info["ack_floor"]["stream_seq"], 1);
}

#[test]
fn fewer_messages_than_asked_for_are_an_error_after_those_that_came() {
    let server = with_orders();
    server.succeed("consumer add ORDERS work");
    server.fail_after_output(
        "consumer next ORDERS work --count 5 --raw --wait 200ms",
        "3 of 5 came",
    );
}

#[test]
fn an_existing_consumer_is_not_changed_silently() {
    let server = with_orders();
    server.succeed("consumer add ORDERS work");
    server.succeed("consumer add ORDERS work");
    let line = "consumer add ORDERS work --wait 10s --description other";
    server.fail(line, "consumer already exists (10148)");
    server.fail(line, "\n  ack_wait: exists with 30s, asked for 10s");
    server.fail(
        line,
        "\n  description: exists with nothing, asked for other",
    );
}

#[test]
fn missing_things_are_named() {
    let server = with_orders();
    server.fail("consumer add ORDERS", "name of the consumer is missing");
    server.fail("consumer add NOPE c", "stream not found (10059)");
    server.fail("consumer info ORDERS nope", "consumer not found (10014)");
    server.fail("consumer next ORDERS nope", "consumer not found (10014)");
    server.fail("consumer rm ORDERS nope -f", "consumer not found (10014)");
    server.fail("consumer rm ORDERS nope", "add -f or --force");
    server.fail("consumer ls NOPE", "stream not found (10059)");
}

#[test]
fn push_consumers_deliver_to_their_subject() {
    let server = with_orders();
    let listener = Background::start(server.nats(["sub", "pushed", "--raw", "--count", "3"]));
    listener.wait_for("Subscribing on pushed");
    server.succeed("consumer add ORDERS p --target pushed --ack none");
    let (code, lines) = listener.finish();
    assert_eq!(code, 0);
    assert_eq!(lines, ["one", "two", "three"]);
    server.fail("consumer next ORDERS p", "it pushes its messages");
    let info = server.succeed("consumer info ORDERS p").stdout;
    assert!(info.contains("Delivery Subject: pushed"), "{info}");
}

#[test]
fn a_subscription_through_a_durable_acknowledges_and_goes_on() {
    let server = with_orders();
    let first = server.succeed("sub order.* --durable d --ack --count 2 --raw");
    assert_eq!(first.stdout, "one\ntwo\n");
    server.fail("sub order.* --durable d", "add --ack");
    server.fail(
        "sub order.* --durable d --ack --all",
        "goes on where it left off",
    );
    server.fail(
        "sub order.a --durable d --ack",
        "does not deliver just order.a",
    );
    let rest = server.succeed("sub --stream ORDERS --durable d --ack --raw -T");
    assert_eq!(rest.stdout, "three\n");
    let info = server.succeed("consumer info ORDERS d --json").json();
    assert_eq!(info["ack_floor"]["stream_seq"], 3);
}

#[test]
fn ephemeral_consumers_get_a_name_from_the_server() {
    let server = with_orders();
    let added = server
        .succeed("consumer add ORDERS --ephemeral --json")
        .json();
    let name = added["name"].as_str().expect("a name");
    let names = server.succeed("consumer ls ORDERS -n").stdout;
    assert_eq!(names.trim_end(), name);
}
