//! Which subscription matches which subject.

use everjet_conformance::{RawClient, ServerProcess};

fn check(filter: &str, subject: &str, expected: bool) {
    thread_local! {
        static SERVER: ServerProcess = ServerProcess::start("");
    }
    SERVER.with(|server| {
        let mut client = RawClient::ready(server.port());
        client.send(format!("SUB {filter} f\r\nSUB always a\r\n").as_bytes());
        client.send(format!("PUB {subject} 0\r\n\r\nPUB always 0\r\n\r\n").as_bytes());
        let first = client.message();
        assert_eq!(first.sid == "f", expected, "{filter} and {subject}");
    });
}

#[test]
fn matching_is_token_by_token() {
    check("foo", "foo", true);
    check("foo", "fo", false);
    check("foo", "fooo", false);
    check("foo", "foo.bar", false);
    check("foo.bar", "foo.bar", true);
    check("foo.bar", "foo", false);
    check("foo", "FOO", false);
}

#[test]
fn a_star_stands_for_one_token() {
    check("*", "foo", true);
    check("*", "foo.bar", false);
    check("foo.*", "foo.bar", true);
    check("foo.*", "foo", false);
    check("foo.*", "foo.bar.baz", false);
    check("*.bar", "foo.bar", true);
    check("foo.*.baz", "foo.x.baz", true);
    check("foo.*.baz", "foo.x.y", false);
    check("*.*", "a.b", true);
}

#[test]
fn a_greater_sign_stands_for_one_or_more_tokens() {
    check(">", "foo", true);
    check(">", "foo.bar.baz", true);
    check("foo.>", "foo", false);
    check("foo.>", "foo.bar", true);
    check("foo.>", "foo.bar.baz", true);
    check("*.>", "foo.bar", true);
    check("*.>", "foo", false);
}

#[test]
fn wildcards_inside_a_token_are_letters() {
    check("foo*", "foo*", true);
    check("foo*", "foobar", false);
    check("foo.b*", "foo.bar", false);
    check("foo.>x", "foo.>x", true);
    check("foo.>x", "foo.yx", false);
}

#[test]
fn subjects_are_bytes() {
    check("größe.*", "größe.ß", true);
    check("$SPECIAL.-_/@", "$SPECIAL.-_/@", true);
}
