//! What connections publish in an account with mappings.

use std::sync::Arc;

use everjet_routing::{Account, Mappings, Message, MessageBatch, Origin, Sink, Subscription, Turn};
use everjet_subject::{MapDestination, SubjectMapping};
use parking_lot::Mutex;

use super::{Recorder, message, publish};

fn account(mappings: &[SubjectMapping]) -> Arc<Account> {
    Account::with_mappings("A", Mappings::new(mappings.to_vec(), None))
}

fn renamed() -> Arc<Account> {
    account(&[
        SubjectMapping::to("old.*", "new.$1").expect("a valid mapping"),
        SubjectMapping::to("new.x", "newer").expect("a valid mapping"),
    ])
}

/// Drops everything.
fn lost() -> SubjectMapping {
    let nothing = MapDestination {
        subject: "lost".to_owned(),
        weight: 0,
        cluster: None,
    };
    SubjectMapping::weighted("lost", &[nothing]).expect("a valid mapping")
}

/// Publishes a request and answers it with a 503 when nobody takes it, as a connection's driver does.
fn request(turn: &mut Turn, account: &Arc<Account>, origin: Origin, subject: &str) -> usize {
    let request = Message {
        reply: b"reply",
        ..message(subject, "")
    };
    let staged = turn.publish(account, origin, &request);
    if staged == 0 {
        turn.answer_no_responders(account, origin, request.subject, request.reply);
    }
    staged
}

#[test]
fn what_a_connection_publishes_is_mapped_once() {
    let account = renamed();
    let client = Recorder::new(1);
    client.subscribe(&account, ">", "1");
    let mut turn = Turn::new(1);
    for subject in ["old.x", "new.x", "other"] {
        let staged = turn.publish(&account, client.origin(), &message(subject, "hi"));
        assert_eq!(staged, 1, "{subject}");
    }
    turn.flush();
    let expected = "MSG new.x 1 2\r\nhi\r\nMSG newer 1 2\r\nhi\r\nMSG other 1 2\r\nhi\r\n";
    assert_eq!(client.taken(), expected);
}

#[test]
fn what_the_server_publishes_is_not_mapped() {
    let account = renamed();
    let client = Recorder::new(1);
    client.subscribe(&account, ">", "1");
    let mut turn = Turn::new(1);
    publish(&mut turn, &account, "old.x", "");
    turn.publish_to(&account, Origin::SERVER, b"old.y", &message("new.x", ""));
    turn.flush();
    assert_eq!(client.taken(), "MSG old.x 1 0\r\n\r\nMSG new.x 1 0\r\n\r\n");
}

#[test]
fn an_account_without_mappings_leaves_subjects_alone() {
    let account = account(&[]);
    let client = Recorder::new(1);
    client.subscribe(&account, "old.*", "1");
    let mut turn = Turn::new(1);
    turn.publish(&account, client.origin(), &message("old.x", ""));
    turn.flush();
    assert_eq!(client.taken(), "MSG old.x 1 0\r\n\r\n");
}

struct Subjects(Mutex<Vec<String>>);

impl everjet_routing::LocalReceiver for Subjects {
    fn receive(&self, batch: &mut MessageBatch, _turn: &mut Turn) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let subjects = batch.iter().map(|(message, _)| text(message.subject));
        self.0.lock().extend(subjects);
    }
}

#[test]
fn parties_inside_the_server_get_the_mapped_subject() {
    let account = renamed();
    let receiver = Arc::new(Subjects(Mutex::default()));
    let sink = Sink::Local(receiver.clone());
    account.subscribe(Arc::new(Subscription::new(b"new.>", None, b"", sink)));
    let mut turn = Turn::new(1);
    let origin = Recorder::new(1).origin();
    turn.publish(&account, origin, &message("old.x", ""));
    turn.flush();
    assert_eq!(*receiver.0.lock(), ["new.x"]);
}

#[test]
fn a_request_that_nobody_takes_is_answered_with_its_mapped_subject() {
    let account = account(&[
        SubjectMapping::to("old.*", "new.$1").expect("a valid mapping"),
        lost(),
        SubjectMapping::to("swap", "lost").expect("a valid mapping"),
    ]);
    let client = Recorder::new(1);
    client.subscribe(&account, "reply", "1");
    let origin = Origin {
        wants_no_responders: true,
        ..client.origin()
    };
    let mut turn = Turn::new(1);
    for (subject, shown) in [
        ("old.x", "new.x"),
        ("lost", ""),
        ("swap", "lost"),
        ("other", "other"),
    ] {
        assert_eq!(request(&mut turn, &account, origin, subject), 0);
        // An answer that comes after the turn was flushed is for a message whose subject is final.
        turn.flush();
        let taken = client.taken();
        assert!(
            taken.contains(&format!("\r\nNats-Subject: {shown}\r\n")),
            "{subject}: {taken}"
        );
        turn.answer_no_responders(&account, origin, subject.as_bytes(), b"reply");
        turn.flush();
        let taken = client.taken();
        assert!(
            taken.contains(&format!("\r\nNats-Subject: {subject}\r\n")),
            "{subject}: {taken}"
        );
    }
}

#[test]
fn a_message_that_is_dropped_reaches_nobody() {
    let account = account(&[lost()]);
    let client = Recorder::new(1);
    client.subscribe(&account, ">", "1");
    let origin = Origin {
        wants_no_responders: true,
        ..client.origin()
    };
    let mut turn = Turn::new(1);
    assert_eq!(request(&mut turn, &account, origin, "lost"), 0);
    turn.flush();
    // Dropped: it has no subject any more.
    let answer = "NATS/1.0 503\r\nNats-Subject: \r\n\r\n";
    let expected = format!("HMSG reply 1 {0} {0}\r\n{answer}\r\n", answer.len());
    assert_eq!(client.taken(), expected);
    assert_eq!(turn.publish(&account, origin, &message("lost", "")), 0);
    turn.flush();
    assert_eq!(client.taken(), "");
}
