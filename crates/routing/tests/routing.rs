//! Turns, accounts and what connections get, with destinations that only write down what they are given.

mod mappings;
mod remembered;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use everjet_routing::{
    Account, ConnectionId, Destination, InterestWatcher, LocalReceiver, Message, MessageBatch,
    Origin, OutBatch, Sink, Subscription, Turn,
};
use parking_lot::Mutex;

struct Recorder {
    id: ConnectionId,
    headers: bool,
    closed: AtomicBool,
    deliveries: AtomicUsize,
    handed_over: AtomicUsize,
    woken: AtomicUsize,
    bytes: Mutex<Vec<u8>>,
}

impl Recorder {
    fn new(id: u64) -> Arc<Self> {
        Self::with_headers(id, true)
    }

    fn with_headers(id: u64, headers: bool) -> Arc<Self> {
        Arc::new(Self {
            id: ConnectionId(id),
            headers,
            closed: AtomicBool::new(false),
            deliveries: AtomicUsize::new(0),
            handed_over: AtomicUsize::new(0),
            woken: AtomicUsize::new(0),
            bytes: Mutex::default(),
        })
    }

    fn subscribe(
        self: &Arc<Self>,
        account: &Account,
        filter: &str,
        sid: &str,
    ) -> Arc<Subscription> {
        self.join(account, filter, None, sid)
    }

    fn join(
        self: &Arc<Self>,
        account: &Account,
        filter: &str,
        queue: Option<&str>,
        sid: &str,
    ) -> Arc<Subscription> {
        let sink = Sink::Connection(self.clone());
        let queue = queue.map(str::as_bytes);
        let subscription = Subscription::new(filter.as_bytes(), queue, sid.as_bytes(), sink);
        let subscription = Arc::new(subscription);
        account.subscribe(subscription.clone());
        subscription
    }

    /// What was delivered since the last call.
    fn taken(&self) -> String {
        let bytes = std::mem::take(&mut *self.bytes.lock());
        String::from_utf8(bytes).expect("the tests send text")
    }

    fn origin(&self) -> Origin {
        Origin {
            connection: Some(self.id),
            ..Origin::SERVER
        }
    }
}

impl Destination for Recorder {
    fn id(&self) -> ConnectionId {
        self.id
    }

    fn supports_headers(&self) -> bool {
        self.headers
    }

    fn deliver(&self, rendered: &mut OutBatch) {
        self.deliveries.fetch_add(1, Ordering::Relaxed);
        let mut bytes = self.bytes.lock();
        rendered
            .pieces()
            .for_each(|piece| bytes.extend_from_slice(piece.as_bytes()));
    }

    fn hand_over(&self, rendered: &mut OutBatch) {
        self.handed_over.fetch_add(1, Ordering::Relaxed);
        self.deliver(rendered);
    }

    fn wake_owner(&self) {
        self.woken.fetch_add(1, Ordering::Relaxed);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

fn message<'a>(subject: &'a str, payload: &'a str) -> Message<'a> {
    Message {
        subject: subject.as_bytes(),
        payload: payload.as_bytes(),
        ..Message::default()
    }
}

fn publish(turn: &mut Turn, account: &Arc<Account>, subject: &str, payload: &str) -> usize {
    turn.publish(account, Origin::SERVER, &message(subject, payload))
}

#[test]
fn only_who_hands_over_leaves_many_connections_to_their_owners() {
    for (hands_over, connections, expected) in [(true, 8, 1), (true, 7, 0), (false, 8, 0)] {
        let account = Account::new("A");
        let recorders: Vec<_> = (0..connections).map(Recorder::new).collect();
        for recorder in &recorders {
            recorder.subscribe(&account, "answers", "1");
        }
        let mut turn = match hands_over {
            true => Turn::handing_over(0),
            false => Turn::new(0),
        };
        publish(&mut turn, &account, "answers", "a");
        publish(&mut turn, &account, "answers", "b");
        turn.flush();
        for recorder in recorders {
            assert_eq!(recorder.handed_over.load(Ordering::Relaxed), expected);
            assert_eq!(recorder.woken.load(Ordering::Relaxed), expected);
            assert_eq!(recorder.deliveries.load(Ordering::Relaxed), 1);
            let text = "MSG answers 1 1\r\na\r\nMSG answers 1 1\r\nb\r\n";
            assert_eq!(recorder.taken(), text);
        }
    }
}

#[test]
fn every_matching_subscription_gets_its_copy_once_per_turn() {
    let account = Account::new("A");
    let (one, two) = (Recorder::new(1), Recorder::new(2));
    one.subscribe(&account, "orders.*", "1");
    one.subscribe(&account, ">", "2");
    two.subscribe(&account, "orders.new", "9");
    let mut turn = Turn::new(0);
    assert_eq!(publish(&mut turn, &account, "orders.new", "a"), 3);
    assert_eq!(publish(&mut turn, &account, "orders.old", "b"), 2);
    assert_eq!(publish(&mut turn, &account, "other", "c"), 1);
    assert!(!turn.is_empty());
    assert_eq!((one.taken(), two.taken()), (String::new(), String::new()));
    turn.flush();
    assert!(turn.is_empty());
    assert_eq!(two.taken(), "MSG orders.new 9 1\r\na\r\n");
    let text = one.taken();
    let lines = text.matches("MSG ").count();
    assert_eq!(lines, 5, "{text}");
    assert!(text.ends_with("MSG other 2 1\r\nc\r\n"), "{text}");
    assert_eq!(one.deliveries.load(Ordering::Relaxed), 1);
}

#[test]
fn accounts_are_apart() {
    let (here, there) = (Account::new("A"), Account::new("A"));
    let recorder = Recorder::new(1);
    recorder.subscribe(&here, "a", "1");
    let mut turn = Turn::new(0);
    assert_eq!(publish(&mut turn, &here, "a", "x"), 1);
    assert_eq!(publish(&mut turn, &there, "a", "y"), 0);
    turn.flush();
    assert_eq!(recorder.taken(), "MSG a 1 1\r\nx\r\n");
}

#[test]
fn changes_of_interest_show_at_once_on_every_thread() {
    for (filter, subject) in [
        ("orders.new", "orders.new"),
        ("orders.>", "orders.new"),
        ("*.new", "orders.new"),
        (">", "orders.new"),
        ("_INBOX.1", "_INBOX.1"),
    ] {
        let account = Account::new("A");
        let recorder = Recorder::new(1);
        let mut turns = [Turn::new(1), Turn::new(2)];
        for turn in &mut turns {
            assert_eq!(publish(turn, &account, subject, ""), 0, "{filter}");
        }
        let subscription = recorder.subscribe(&account, filter, "1");
        for turn in &mut turns {
            assert_eq!(publish(turn, &account, subject, ""), 1, "{filter}");
        }
        account.unsubscribe(&subscription);
        for turn in &mut turns {
            assert_eq!(publish(turn, &account, subject, ""), 0, "{filter}");
        }
        assert_eq!(account.subscription_count(), 0);
    }
}

#[test]
fn more_subjects_than_are_remembered_still_match() {
    let account = Account::new("A");
    let recorder = Recorder::new(1);
    recorder.subscribe(&account, "k.*", "1");
    let mut turn = Turn::new(0);
    for round in 0..2 {
        for number in 0..20_000 {
            let subject = format!("k.{number}");
            assert_eq!(publish(&mut turn, &account, &subject, ""), 1, "{round}");
        }
    }
}

#[test]
fn no_echo_passes_over_the_publishers_own_subscriptions() {
    let account = Account::new("A");
    let (own, other) = (Recorder::new(1), Recorder::new(2));
    own.subscribe(&account, "a", "1");
    own.join(&account, "a", Some("q"), "2");
    other.subscribe(&account, "a", "3");
    let mut turn = Turn::new(0);
    let quiet = Origin {
        no_echo: true,
        ..own.origin()
    };
    assert_eq!(turn.publish(&account, quiet, &message("a", "x")), 1);
    assert_eq!(turn.publish(&account, own.origin(), &message("a", "y")), 3);
    turn.flush();
    assert_eq!(other.taken(), "MSG a 3 1\r\nx\r\nMSG a 3 1\r\ny\r\n");
    assert_eq!(own.taken(), "MSG a 1 1\r\ny\r\nMSG a 2 1\r\ny\r\n");
}

#[test]
fn one_member_of_each_queue_group_gets_a_message_uniformly() {
    let account = Account::new("A");
    let members: Vec<_> = (0..4).map(Recorder::new).collect();
    for (index, member) in members.iter().enumerate() {
        // Different filters, one name: one group.
        let filter = if index % 2 == 0 { "work" } else { "*" };
        member.join(&account, filter, Some("q"), "1");
    }
    let other = Recorder::new(9);
    other.join(&account, "work", Some("p"), "1");
    let mut turn = Turn::new(7);
    for _ in 0..4000 {
        assert_eq!(publish(&mut turn, &account, "work", ""), 2);
    }
    turn.flush();
    let count = |recorder: &Recorder| recorder.taken().matches("MSG").count();
    assert_eq!(count(&other), 4000);
    let shares: Vec<usize> = members.iter().map(|member| count(member)).collect();
    assert_eq!(shares.iter().sum::<usize>(), 4000);
    assert!(
        shares.iter().all(|share| (880..1120).contains(share)),
        "{shares:?}"
    );
}

#[test]
fn a_closed_member_is_passed_over() {
    let account = Account::new("A");
    let (gone, alive) = (Recorder::new(1), Recorder::new(2));
    gone.join(&account, "work", Some("q"), "1");
    alive.join(&account, "work", Some("q"), "1");
    gone.closed.store(true, Ordering::Relaxed);
    let mut turn = Turn::new(7);
    for _ in 0..100 {
        assert_eq!(publish(&mut turn, &account, "work", ""), 1);
    }
    turn.flush();
    assert_eq!(alive.taken().matches("MSG").count(), 100);
    assert_eq!(gone.taken(), "");
}

#[test]
fn a_limited_subscription_gets_exactly_its_number_whoever_publishes() {
    for limit in [1, 10, 1000] {
        let account = Account::new("A");
        let recorder = Recorder::new(1);
        let subscription = recorder.subscribe(&account, "a", "1");
        assert!(!account.limit_deliveries(&subscription, limit));
        let matched: usize = std::thread::scope(|scope| {
            let publishers: Vec<_> = (0..4)
                .map(|seed| {
                    let account = &account;
                    scope.spawn(move || {
                        let mut turn = Turn::new(seed);
                        let matched = (0..400).map(|_| publish(&mut turn, account, "a", "")).sum();
                        turn.flush();
                        matched
                    })
                })
                .collect();
            let joined = publishers.into_iter().map(|one| one.join());
            joined
                .map(|matched: Result<usize, _>| matched.expect("no panic"))
                .sum()
        });
        let expected = usize::try_from(limit).expect("small");
        assert_eq!(matched, expected);
        assert_eq!(recorder.taken().matches("MSG").count(), expected);
        assert_eq!(
            (subscription.delivered(), subscription.is_removed()),
            (limit, true)
        );
        assert_eq!(account.subscription_count(), 0);
    }
}

#[test]
fn a_limit_already_reached_is_reported() {
    let account = Account::new("A");
    let recorder = Recorder::new(1);
    let subscription = recorder.subscribe(&account, "a", "1");
    let mut turn = Turn::new(0);
    for _ in 0..3 {
        publish(&mut turn, &account, "a", "");
    }
    turn.settle();
    assert!(!account.limit_deliveries(&subscription, 4));
    assert!(!account.limit_deliveries(&subscription, 0));
    assert!(account.limit_deliveries(&subscription, 3));
}

#[test]
fn large_payloads_reach_all_receivers_unchanged() {
    let account = Account::new("A");
    let (new, old, third) = (
        Recorder::new(1),
        Recorder::with_headers(2, false),
        Recorder::new(3),
    );
    for recorder in [&new, &old, &third] {
        recorder.subscribe(&account, "big", "5");
    }
    let mut turn = Turn::new(0);
    for size in [2047, 2048, 100_000] {
        let payload = "p".repeat(size);
        let headers = "NATS/1.0\r\nA: b\r\n\r\n";
        let message = Message {
            reply: b"r",
            headers: headers.as_bytes(),
            ..message("big", &payload)
        };
        assert_eq!(turn.publish(&account, Origin::SERVER, &message), 3);
        turn.flush();
        let total = size + headers.len();
        let whole = format!("HMSG big 5 r 18 {total}\r\n{headers}{payload}\r\n");
        let bare = format!("MSG big 5 r {size}\r\n{payload}\r\n");
        assert!(new.taken() == whole && third.taken() == whole, "{size}");
        assert!(old.taken() == bare, "{size}");
    }
}

/// Notes what it gets and publishes it again under `next`.
struct Relay {
    account: Arc<Account>,
    next: &'static str,
    calls: Mutex<Vec<Vec<String>>>,
}

impl LocalReceiver for Relay {
    fn receive(&self, batch: &mut MessageBatch, turn: &mut Turn) {
        let taken = std::mem::take(batch);
        let mut subjects = Vec::new();
        for (message, origin) in taken.iter() {
            let subject = String::from_utf8_lossy(message.subject);
            let connection = origin.connection.map(|id| id.0);
            subjects.push(format!("{subject} {connection:?}"));
            let again = Message {
                subject: self.next.as_bytes(),
                ..message
            };
            turn.publish(&self.account, Origin::SERVER, &again);
        }
        self.calls.lock().push(subjects);
    }
}

#[test]
fn parties_inside_the_server_are_called_once_and_their_messages_leave_in_the_same_flush() {
    let account = Account::new("A");
    let relay = |filter: &str, next| {
        let relay = Arc::new(Relay {
            account: account.clone(),
            next,
            calls: Mutex::default(),
        });
        let sink = Sink::Local(relay.clone());
        account.subscribe(Arc::new(Subscription::new(
            filter.as_bytes(),
            None,
            b"",
            sink,
        )));
        relay
    };
    let (first, second) = (relay("a.*", "b"), relay("b", "c"));
    let recorder = Recorder::new(1);
    recorder.subscribe(&account, "c", "1");
    let mut turn = Turn::new(0);
    for subject in ["a.1", "a.2"] {
        assert_eq!(
            turn.publish(&account, recorder.origin(), &message(subject, "x")),
            1
        );
    }
    turn.flush();
    assert_eq!(*first.calls.lock(), [["a.1 Some(1)", "a.2 Some(1)"]]);
    assert_eq!(*second.calls.lock(), [["b None", "b None"]]);
    assert_eq!(recorder.taken(), "MSG c 1 1\r\nx\r\n".repeat(2));
    assert!(turn.is_empty());
}

#[derive(Default)]
struct Noted(Mutex<Vec<String>>);

impl InterestWatcher for Noted {
    fn interest_changed(&self, subject: &[u8]) {
        let subject = String::from_utf8_lossy(subject).into_owned();
        self.0.lock().push(subject);
    }
}

#[test]
fn watchers_hear_of_connections_that_match_their_subject() {
    let account = Account::new("A");
    let noted = Arc::new(Noted::default());
    let watch = account.watch(b"deliver.here", noted.clone());
    let recorder = Recorder::new(1);
    let steps: [(&str, usize); 5] = [
        ("deliver.here", 1),
        ("deliver.*", 1),
        (">", 1),
        ("deliver.there", 0),
        ("deliver.*.x", 0),
    ];
    for (filter, calls) in steps {
        let before = noted.0.lock().len();
        let subscription = recorder.subscribe(&account, filter, "1");
        assert_eq!(
            account.has_interest(b"deliver.here"),
            calls == 1,
            "{filter}"
        );
        account.unsubscribe(&subscription);
        account.unsubscribe(&subscription);
        assert!(!account.has_interest(b"deliver.here"));
        assert_eq!(noted.0.lock().len() - before, 2 * calls, "{filter}");
    }
    assert!(
        noted
            .0
            .lock()
            .iter()
            .all(|subject| subject == "deliver.here")
    );
    account.unwatch(watch);
    let heard = noted.0.lock().len();
    recorder.subscribe(&account, "deliver.here", "1");
    assert_eq!(noted.0.lock().len(), heard);
}

#[test]
fn only_connections_count_as_interest() {
    let account = Account::new("A");
    let noted = Arc::new(Noted::default());
    account.watch(b"s", noted.clone());
    let relay = Relay {
        account: account.clone(),
        next: "t",
        calls: Mutex::default(),
    };
    let sink = Sink::Local(Arc::new(relay));
    account.subscribe(Arc::new(Subscription::new(b"s", None, b"", sink)));
    assert!(!account.has_interest(b"s"));
    assert!(account.is_heard(b"s"));
    assert!(!account.is_heard(b"u"));
    assert!(noted.0.lock().is_empty());
    let member = Recorder::new(1);
    member.join(&account, "*", Some("q"), "1");
    assert!(account.has_interest(b"s"));
    assert!(account.has_queue_interest(b"s", b"q"));
    assert!(!account.has_queue_interest(b"s", b"p"));
}

#[test]
fn the_503_answer_goes_to_a_plain_subscription_of_the_requester_only() {
    let account = Account::new("A");
    let (requester, other) = (Recorder::new(1), Recorder::new(2));
    other.subscribe(&account, "inbox.1", "8");
    requester.join(&account, "inbox.1", Some("q"), "7");
    let mut turn = Turn::new(0);
    let asking = Origin {
        wants_no_responders: true,
        ..requester.origin()
    };
    turn.answer_no_responders(&account, asking, b"req", b"inbox.1");
    turn.flush();
    assert_eq!(
        (requester.taken(), other.taken()),
        (String::new(), String::new())
    );
    requester.subscribe(&account, "inbox.*", "9");
    turn.answer_no_responders(&account, requester.origin(), b"req", b"inbox.1");
    turn.answer_no_responders(&account, asking, b"req", b"inbox.1");
    turn.flush();
    let answer = "HMSG inbox.1 9 35 35\r\nNATS/1.0 503\r\nNats-Subject: req\r\n\r\n\r\n";
    assert_eq!(
        (requester.taken(), other.taken()),
        (answer.to_owned(), String::new())
    );
}

#[test]
fn raw_bytes_keep_their_place_among_messages() {
    let account = Account::new("A");
    let recorder = Recorder::new(1);
    recorder.subscribe(&account, "a", "1");
    let mut turn = Turn::new(0);
    let destination: Arc<dyn Destination> = recorder.clone();
    turn.send_raw(&destination, b"+OK\r\n");
    publish(&mut turn, &account, "a", "x");
    turn.send_raw(&destination, b"PONG\r\n");
    turn.send(&destination, b"7", &message("direct", "y"));
    turn.flush();
    assert_eq!(
        recorder.taken(),
        "+OK\r\nMSG a 1 1\r\nx\r\nPONG\r\nMSG direct 7 1\r\ny\r\n"
    );
}
