//! CONNECT: defaults, verbose, echo, authorization.

use crate::{check, check_with};

#[test]
fn absent_keys_mean_verbose_and_pedantic() {
    // The PUB travels in one piece: nats-server complains twice when its payload comes later.
    check(
        r"
        A> CONNECT {}
        A< +OK
        A> PING
        A< PONG
        A> SUB foo 1
        A< +OK
        A>| PUB foo.* 0\r\n\r\n
        A< -ERR 'Invalid Publish Subject'
        A< +OK
        A> UNSUB 1
        A< +OK
        ",
    );
}

#[test]
fn a_client_may_work_before_connect_and_is_verbose_then() {
    check(
        r"
        A> SUB foo 1
        A< +OK
        A> PUB foo 2
        A> hi
        A< +OK
        A< MSG foo 1 2
        A< hi
        ",
    );
}

#[test]
fn without_verbose_nothing_is_acknowledged() {
    check(
        r#"
        A> CONNECT {"verbose":false}
        A> SUB foo 1
        A> PUB bar 0
        A>
        A> UNSUB 1
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn unknown_keys_are_ignored() {
    check(
        r#"
        A> CONNECT {"verbose":false,"lang":"test","version":"1","name":"n","something_new":{"a":[1]}}
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn echo_false_keeps_own_messages_away() {
    check(
        r#"
        A> CONNECT {"verbose":false,"echo":false,"protocol":1}
        A> SUB foo 1
        A> PING
        A< PONG
        A< INFO {…} 
        B> CONNECT {"verbose":false}
        B> SUB foo 7
        B> PING
        B< PONG
        A> PUB foo 2
        A> me
        A> PING
        A< PONG
        B< MSG foo 7 2
        B< me
        B> PUB foo 3
        B> you
        B< MSG foo 7 3
        B< you
        A< MSG foo 1 3
        A< you
        "#,
    );
}

#[test]
fn a_second_connect_drops_the_subscriptions() {
    check(
        r#"
        A> CONNECT {"verbose":false}
        A> SUB foo 1
        A> PUB foo 1
        A> x
        A< MSG foo 1 1
        A< x
        A> CONNECT {"verbose":false}
        A> PUB foo 1
        A> y
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn a_second_connect_may_change_verbose() {
    check(
        r#"
        A> CONNECT {"verbose":false}
        A> CONNECT {"verbose":true}
        A< +OK
        A> SUB foo 1
        A< +OK
        "#,
    );
}

#[test]
fn a_second_connect_leaves_what_it_does_not_name() {
    check(
        r#"
        A> CONNECT {"verbose":false,"headers":true,"no_responders":true}
        A> CONNECT {}
        A> SUB inbox 1
        A> PUB nobody inbox 0
        A>
        A< HMSG inbox 1 38 38
        A< NATS/1.0 503
        A< Nats-Subject: nobody
        A<
        A<
        A> PING
        A< PONG
        "#,
    );
    check_with(
        "authorization: { token: sesame }\n",
        r#"
        A> CONNECT {"verbose":false,"auth_token":"sesame"}
        A> CONNECT {"verbose":true}
        A< +OK
        A> CONNECT {"auth_token":"wrong"}
        A< -ERR 'Authorization Violation'
        A closed
        "#,
    );
}

#[test]
fn accounts_of_old_clients_are_refused() {
    for connect in [r#"{"account":"x"}"#, r#"{"new_account":true}"#] {
        check(&format!(
            "A> CONNECT {connect}\nA< -ERR 'Authorization Violation'\nA closed\n"
        ));
    }
}

#[test]
fn without_header_support_headers_are_refused() {
    check_with(
        "no_header_support: true\n",
        r#"
        A< INFO {…"headers":false…} 
        A> CONNECT {"verbose":false,"headers":true}
        A> PING
        A< PONG
        A> HPUB foo 12 12
        A closed
        B> CONNECT {"verbose":false,"headers":true,"no_responders":true}
        B< -ERR 'no responders requires headers support'
        B closed
        "#,
    );
}

#[test]
fn a_protocol_above_1_is_refused() {
    check(
        r#"
        A> CONNECT {"protocol":2}
        A< -ERR 'invalid client protocol'
        A closed
        "#,
    );
}

#[test]
fn no_responders_needs_headers() {
    check(
        r#"
        A> CONNECT {"verbose":false,"no_responders":true,"headers":false}
        A< -ERR 'no responders requires headers support'
        A closed
        "#,
    );
}

#[test]
fn broken_json_ends_the_connection() {
    check(
        r"
        A> CONNECT {nonsense
        A closed
        ",
    );
}

#[test]
fn a_token_opens_the_door() {
    check_with(
        "authorization: { token: sesame }\n",
        r#"
        A> CONNECT {"verbose":false,"auth_token":"sesame"}
        A> PING
        A< PONG
        B> CONNECT {"verbose":false,"auth_token":"wrong"}
        B< -ERR 'Authorization Violation'
        B closed
        C> CONNECT {"verbose":false}
        C< -ERR 'Authorization Violation'
        C closed
        "#,
    );
}

#[test]
fn a_user_needs_name_and_password() {
    check_with(
        "authorization: { user: ada, password: lovelace }\n",
        r#"
        A> CONNECT {"verbose":false,"user":"ada","pass":"lovelace"}
        A> PING
        A< PONG
        B> CONNECT {"verbose":false,"user":"ada","pass":"byron"}
        B< -ERR 'Authorization Violation'
        B closed
        "#,
    );
}

#[test]
fn when_credentials_are_needed_connect_must_be_the_first_verb() {
    check_with(
        "authorization: { token: sesame }\n",
        r"
        A> SUB foo 1
        A< -ERR 'Authorization Violation'
        A closed
        ",
    );
}

#[test]
fn who_does_not_connect_in_time_is_closed() {
    check_with(
        "authorization: { token: sesame, timeout: 0.2 }\n",
        r"
        A< INFO {…} 
        A< -ERR 'Authentication Timeout'
        A closed
        ",
    );
}
