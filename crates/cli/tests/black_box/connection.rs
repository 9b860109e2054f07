//! Connecting: errors, logins, contexts, servers without JetStream.

use crate::support::{Server, nats, run};

#[test]
fn a_server_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Port 1 needs privileges to listen on; nothing does.
    let mut command = nats(folder.path());
    command.args(["-s", "nats://user:secret@127.0.0.1:1", "pub", "a", "b"]);
    let outcome = run(command, "");
    assert_eq!(outcome.code, 1);
    assert!(
        outcome
            .stderr
            .starts_with("nats: error: cannot connect to nats://127.0.0.1:1: "),
        "{outcome:?}"
    );
    assert!(!outcome.stderr.contains("secret"), "{outcome:?}");
}

#[test]
fn mistakes_in_arguments_have_code_1_and_help_has_code_0() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (line, code) in [
        ("pub", 1),
        ("nonsense", 1),
        ("stream", 1),
        ("stream add X --subjects a --retention forever", 1),
        ("sub a --graph", 1),
        ("--help", 0),
        ("stream add --help", 0),
        ("--version", 0),
        ("help", 0),
    ] {
        let mut command = nats(folder.path());
        command.args(line.split(' '));
        let outcome = run(command, "");
        assert_eq!(outcome.code, code, "{line}: {outcome:?}");
        assert_eq!(outcome.stdout.is_empty(), code == 1, "{line}: {outcome:?}");
    }
    let bare = run(nats(folder.path()), "");
    assert_eq!(bare.code, 0);
    assert!(bare.stdout.contains("Usage: nats"), "{bare:?}");
}

#[test]
fn without_jetstream_publishing_and_subscribing_are_plain() {
    let server = Server::start_with(&[]);
    let published = server.succeed("pub order.new x");
    assert!(
        published.stderr.contains("no stream stores"),
        "{published:?}"
    );
    server.succeed("sub order.new --wait 100ms");
    server.fail("stream ls", "JetStream is not enabled");
    server.fail("pub order.new x -J", "no stream stores order.new");
    let account = server.succeed("account info").stdout;
    assert!(
        account.contains("not enabled for this account"),
        "{account}"
    );
    assert!(server.succeed("account info --json").json()["jetstream"].is_null());
    let rtt = server.succeed("rtt 2").stdout;
    assert!(rtt.contains("127.0.0.1:"), "{rtt}");
}

#[test]
fn logins_come_from_flags_urls_and_contexts() {
    let server = Server::start_with(&["--user", "alice", "--pass", "wonder"]);
    server.fail("pub a b", "authorization violation");
    server.fail(
        "pub a b --user bob --password x",
        "authorization violation for user \"bob\"",
    );
    server.succeed("pub a b --user alice --password wonder");
    let with_login = server.url().replace("nats://", "nats://alice:wonder@");
    server.succeed(&format!("-s {with_login} pub a b"));

    let saved = server.succeed("context add prod --user alice --password wonder --select --json");
    assert_eq!(saved.json()["password"], "*********");
    server.succeed("pub a b");
    server.fail("pub a b --no-context", "authorization violation");
    server.fail(
        "pub a b --context typo",
        "\"typo\" does not exist; known are prod",
    );
    // A mistyped name leaves the selection alone.
    server.succeed("pub a b");
    let names = server.succeed("ctx ls --names").stdout;
    assert_eq!(names, "prod\n");
    let listed = server.succeed("ctx ls --json").json();
    assert_eq!(listed[0]["selected"], true);
    let shown = server.succeed("ctx info").stdout;
    assert!(
        shown.contains("user: alice") && !shown.contains("wonder"),
        "{shown}"
    );
}

#[test]
fn a_token_is_a_login_too() {
    let server = Server::start_with(&["--auth", "s3cret"]);
    server.fail("pub a b --token wrong", "authorization violation");
    server.succeed("pub a b --token s3cret");
    server.succeed("pub a b --user s3cret");
}

#[test]
fn a_setting_that_is_not_built_is_refused() {
    let server = Server::start();
    let mut command = server.nats(["pub", "a", "b"]);
    command.env("NATS_CREDS", "/nowhere/user.creds");
    let outcome = run(command, "");
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("NATS_CREDS is set"), "{outcome:?}");
}
