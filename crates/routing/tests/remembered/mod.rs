//! What a thread remembers of a subject must not show: not in the bytes, not in the counts, not after a change.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use everjet_routing::{Account, Message, Origin, Turn};
use everjet_wire::{Limits, decode_plain_publish};

use crate::{Recorder, message, publish};

/// One that is remembered from turn to turn, and one that is for a turn at most.
const SUBJECTS: [&str; 2] = ["a", "_INBOX.a"];

/// Publishes as often as it takes to be remembered, and forgets what was delivered.
fn warm_up(turn: &mut Turn, account: &Arc<Account>, subject: &str, recorders: &[&Arc<Recorder>]) {
    for _ in 0..3 {
        publish(turn, account, subject, "");
    }
    turn.flush();
    for recorder in recorders {
        recorder.taken();
    }
}

/// Publishes a frame as a client's connection does.
fn publish_frame(turn: &mut Turn, account: &Arc<Account>, origin: Origin, frame: &str) -> usize {
    let plain = decode_plain_publish(frame.as_bytes(), &Limits::default()).expect("a plain one");
    turn.publish_as_is(account, origin, &plain.message, plain.rest)
}

#[test]
fn a_forwarded_message_has_the_same_bytes_as_a_rendered_one() {
    let account = Account::new("A");
    let (one, two) = (Recorder::new(1), Recorder::with_headers(2, false));
    one.subscribe(&account, "orders.*", "1");
    two.subscribe(&account, "orders.new", "22");
    one.join(&account, "orders.>", Some("q"), "333");
    let large = "x".repeat(5000);
    for (reply, payload) in [
        ("", ""),
        ("", "hello"),
        ("_INBOX.a.b", "hello"),
        ("", &large),
    ] {
        let blank = if reply.is_empty() { "" } else { " " };
        let frame = format!(
            "PUB orders.new {reply}{blank}{}\r\n{payload}\r\n",
            payload.len()
        );
        let rendered = Message {
            reply: reply.as_bytes(),
            ..message("orders.new", payload)
        };
        let mut turn = Turn::new(0);
        assert_eq!(turn.publish(&account, Origin::SERVER, &rendered), 3);
        turn.flush();
        let expected = (one.taken(), two.taken());
        assert!(expected.0.contains("MSG orders.new 333 "));
        // Not remembered yet, being remembered, remembered, and staged for already.
        for round in 0..4 {
            let staged = publish_frame(&mut turn, &account, Origin::SERVER, &frame);
            assert_eq!(staged, 3);
            turn.flush();
            assert_eq!((one.taken(), two.taken()), expected, "round {round}");
        }
        for _ in 0..2 {
            publish_frame(&mut turn, &account, Origin::SERVER, &frame);
        }
        turn.flush();
        assert_eq!(two.taken(), expected.1.repeat(2));
        one.taken();
    }
}

#[test]
fn a_place_staged_to_before_is_not_mistaken_for_anothers() {
    let account = Account::new("A");
    let recorders: Vec<_> = (1..=3).map(Recorder::new).collect();
    for (index, recorder) in recorders.iter().enumerate() {
        recorder.subscribe(&account, &format!("s.{index}"), "1");
        recorder.subscribe(&account, "s.all", "2");
    }
    let mut turn = Turn::new(0);
    let all: Vec<_> = recorders.iter().collect();
    for index in 0..3 {
        warm_up(&mut turn, &account, &format!("s.{index}"), &all);
    }
    warm_up(&mut turn, &account, "s.all", &all);
    // The order in which connections come first in a turn decides where they are staged.
    for first in [2, 0, 1] {
        let frame = |subject: &str| format!("PUB s.{subject} 1\r\n{first}\r\n");
        publish_frame(
            &mut turn,
            &account,
            Origin::SERVER,
            &frame(&first.to_string()),
        );
        publish_frame(&mut turn, &account, Origin::SERVER, &frame("all"));
        turn.flush();
        for (index, recorder) in recorders.iter().enumerate() {
            let own = format!("MSG s.{first} 1 1\r\n{first}\r\n");
            let own = if index == first { own } else { String::new() };
            assert_eq!(
                recorder.taken(),
                format!("{own}MSG s.all 2 1\r\n{first}\r\n")
            );
        }
    }
}

#[test]
fn messages_are_counted_before_anybody_has_them() {
    for subject in SUBJECTS {
        let account = Account::new("A");
        let recorder = Recorder::new(1);
        let subscription = recorder.subscribe(&account, subject, "1");
        let mut turn = Turn::new(0);
        let payload = "x".repeat(1000);
        let mut published = 0;
        while recorder.deliveries.load(Ordering::Relaxed) == 0 {
            publish(&mut turn, &account, subject, &payload);
            published += 1;
        }
        assert!(published > 10, "written early, before the turn ended");
        assert_eq!(subscription.delivered(), published);
        publish(&mut turn, &account, subject, &payload);
        turn.settle();
        assert_eq!(subscription.delivered(), published + 1);
        turn.flush();
        assert_eq!(subscription.delivered(), published + 1);
    }
}

#[test]
fn a_limit_counts_what_this_thread_staged_before() {
    for subject in SUBJECTS {
        let account = Account::new("A");
        let recorder = Recorder::new(1);
        let subscription = recorder.subscribe(&account, subject, "1");
        let mut turn = Turn::new(0);
        warm_up(&mut turn, &account, subject, &[&recorder]);
        assert_eq!(publish(&mut turn, &account, subject, "4"), 1);
        turn.settle();
        assert!(!account.limit_deliveries(&subscription, 6));
        let taken: Vec<_> = (5..9)
            .map(|number: u8| publish(&mut turn, &account, subject, &number.to_string()))
            .collect();
        assert_eq!(taken, [1, 1, 0, 0]);
        assert!(subscription.is_removed());
        turn.flush();
        assert_eq!(
            recorder
                .taken()
                .matches(&format!("MSG {subject} 1 1"))
                .count(),
            3
        );
    }
}

#[test]
fn a_limit_that_another_threads_messages_passed_ends_the_subscription() {
    for subject in SUBJECTS {
        let account = Account::new("A");
        let recorder = Recorder::new(1);
        let subscription = recorder.subscribe(&account, subject, "1");
        let mut other = Turn::new(0);
        warm_up(&mut other, &account, subject, &[&recorder]);
        for _ in 0..4 {
            publish(&mut other, &account, subject, "");
        }
        // Three have been delivered, four are on their way: the limit is reached when they are counted.
        assert!(!account.limit_deliveries(&subscription, 5));
        assert!(!subscription.is_removed());
        other.flush();
        assert!(subscription.is_removed());
        assert_eq!(account.subscription_count(), 0);
        assert_eq!(publish(&mut other, &account, subject, ""), 0);
    }
}

#[test]
fn a_change_shows_in_the_next_message() {
    for (subject, wildcard) in [("a.b", "*.b"), ("_INBOX.b", "_INBOX.*")] {
        let account = Account::new("A");
        let (one, two) = (Recorder::new(1), Recorder::new(2));
        let first = one.subscribe(&account, subject, "1");
        let mut turn = Turn::new(0);
        warm_up(&mut turn, &account, subject, &[&one]);
        let frame = format!("PUB {subject} 8\r\n12345678\r\n");
        let mut publish = || {
            let staged =
                [(); 3].map(|()| publish_frame(&mut turn, &account, Origin::SERVER, &frame));
            assert!(staged.iter().all(|count| *count == staged[0]), "{staged:?}");
            staged[0]
        };
        assert_eq!(publish(), 1);
        let second = two.subscribe(&account, wildcard, "2");
        assert_eq!(publish(), 2);
        account.unsubscribe(&first);
        assert_eq!(publish(), 1);
        account.unsubscribe(&second);
        assert_eq!(publish(), 0);
        turn.flush();
        assert_eq!(
            one.taken(),
            format!("MSG {subject} 1 8\r\n12345678\r\n").repeat(6)
        );
        assert_eq!(
            two.taken(),
            format!("MSG {subject} 2 8\r\n12345678\r\n").repeat(6)
        );
    }
}

#[test]
fn subscriptions_to_an_inbox_are_held_for_a_turn_only() {
    let account = Account::new("A");
    let recorder = Recorder::new(1);
    let subscription = recorder.subscribe(&account, "_INBOX.a", "1");
    let held = Arc::strong_count(&subscription);
    let mut turn = Turn::new(0);
    for messages in 1..=4 {
        for _ in 0..messages {
            publish(&mut turn, &account, "_INBOX.a", "");
        }
        turn.flush();
        assert_eq!(
            Arc::strong_count(&subscription),
            held,
            "{messages} messages"
        );
    }
}

#[test]
fn more_subjects_than_are_remembered_all_arrive_and_all_count() {
    let account = Account::new("A");
    let recorder = Recorder::new(1);
    let subscription = recorder.subscribe(&account, ">", "1");
    let mut turn = Turn::new(0);
    for round in 0..3 {
        for number in 0..10_000 {
            let frame = format!("PUB s.{number} 1\r\n{round}\r\n");
            publish_frame(&mut turn, &account, Origin::SERVER, &frame);
        }
    }
    turn.flush();
    assert_eq!(subscription.delivered(), 30_000);
    let text = recorder.taken();
    for number in [0, 1, 8191, 8192, 9999] {
        let lines: Vec<_> = (0..3)
            .map(|round| text.find(&format!("MSG s.{number} 1 1\r\n{round}\r\n")))
            .collect();
        assert!(lines.iter().all(Option::is_some) && lines.is_sorted());
    }
}
