//! SUB and UNSUB.

use crate::{check, check_with};

#[test]
fn a_connection_gets_one_copy_a_subscription() {
    check(
        r#"
        A> CONNECT {"verbose":false}
        A> SUB foo 1
        A> SUB foo 2
        A> PUB foo 2
        A> hi
        A< MSG foo …
        A< hi
        A< MSG foo …
        A< hi
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn ids_are_words_not_numbers() {
    check(
        r#"
        A> CONNECT {"verbose":false}
        A> SUB foo my-id_7
        A> PUB foo 2
        A> hi
        A< MSG foo my-id_7 2
        A< hi
        A> UNSUB my-id_7
        A> PUB foo 2
        A> hi
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn a_second_subscription_with_the_same_id_is_passed_over() {
    check(
        r"
        A> SUB foo 1
        A< +OK
        A> SUB bar 1
        A< +OK
        A> PUB bar 2
        A> hi
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
fn invalid_subjects_are_named_and_the_connection_stays() {
    for subject in ["foo..bar", ".foo", "foo.", "foo.>.bar"] {
        check(&format!(
            r#"
            A> CONNECT {{"verbose":false}}
            A> SUB {subject} 1
            A< -ERR 'Invalid Subject'
            A> PING
            A< PONG
            "#
        ));
    }
}

#[test]
fn unsub_ends_a_subscription_at_once_and_an_unknown_id_is_fine() {
    check(
        r"
        A> SUB foo 1
        A< +OK
        A> UNSUB 1
        A< +OK
        A> UNSUB 99
        A< +OK
        A> PUB foo 2
        A> hi
        A< +OK
        A> PING
        A< PONG
        ",
    );
}

#[test]
fn unsub_with_a_number_counts_deliveries_from_the_subscription_on() {
    check(
        r#"
        A> CONNECT {"verbose":false}
        A> SUB foo 1
        A> PUB foo 1
        A> 1
        A< MSG foo 1 1
        A< 1
        A> UNSUB 1 3
        A> PUB foo 1
        A> 2
        A> PUB foo 1
        A> 3
        A> PUB foo 1
        A> 4
        A< MSG foo 1 1
        A< 2
        A< MSG foo 1 1
        A< 3
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn unsub_with_a_number_already_reached_ends_at_once() {
    check(
        r#"
        A> CONNECT {"verbose":false}
        A> SUB foo 1
        A> PUB foo 1
        A> 1
        A> PUB foo 1
        A> 2
        A< MSG foo 1 1
        A< 1
        A< MSG foo 1 1
        A< 2
        A> UNSUB 1 2
        A> PUB foo 1
        A> 3
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn an_id_is_free_again_after_unsub() {
    check(
        r#"
        A> CONNECT {"verbose":false}
        A> SUB foo 1
        A> UNSUB 1
        A> SUB bar 1
        A> PUB bar 1
        A> x
        A< MSG bar 1 1
        A< x
        "#,
    );
}

#[test]
fn one_subscription_too_many_is_told_so_and_the_connection_stays() {
    check_with(
        "max_subscriptions: 2\n",
        r#"
        A> CONNECT {"verbose":false}
        A> SUB a 1
        A> SUB b 2
        A> SUB c 3
        A< -ERR 'maximum subscriptions exceeded'
        A> PUB c 0
        A>
        A> PUB b 0
        A>
        A< MSG b 2 0
        A<
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn subscriptions_may_be_limited_in_tokens() {
    check_with(
        "max_subscription_tokens: 3\n",
        r#"
        A> CONNECT {"verbose":false}
        A> SUB a.b.c 1
        A> SUB a.b.c.d 2
        A< -ERR 'Permissions Violation for Subscription to "a.b.c.d", too many tokens'
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn a_closed_connection_leaves_no_interest_behind() {
    check(
        r#"
        A> CONNECT {"verbose":false,"headers":true,"no_responders":true}
        A> SUB reply.> 1
        B> CONNECT {"verbose":false}
        B> SUB work 1
        B> PING
        B< PONG
        A> PUB work reply.1 0
        A>
        B< MSG work 1 reply.1 0
        B<
        B> BYE
        B< -ERR 'Unknown Protocol Operation'
        B closed
        A> PUB work reply.2 0
        A>
        A< HMSG reply.2 1 …
        A< NATS/1.0 503
        "#,
    );
}
