//! What a publishing thread is not kept with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everjet_jetstream::SyncPolicy;
use everjet_routing::{ConnectionId, Destination, OutBatch, Sink, Subscription, Turn};

use crate::disk::{Op, is_journal};
use crate::rig::{JOURNAL_FILE_BYTES, Rig, consumer_config, publish, stream_config, wait_until};
use crate::seams::error_of;

/// Publishes fire and forget, and looks who makes journal files.
fn check_journal_files(policy: SyncPolicy) {
    let mut rig = Rig::with_policy(policy);
    rig.create_stream();
    let publisher = std::thread::current().id();
    let on_publisher = Arc::new(Mutex::new(Vec::new()));
    let elsewhere = Arc::new(AtomicU64::new(0));
    let (seen, begun) = (Arc::clone(&on_publisher), Arc::clone(&elsewhere));
    rig.faults.set(move |op, path| {
        if is_journal(path) && matches!(op, Op::Create | Op::Rename | Op::Sync | Op::SyncDir) {
            if std::thread::current().id() == publisher {
                seen.lock().unwrap().push((op, path.to_owned()));
            } else if op == Op::Rename {
                begun.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok(())
    });
    let payload = [7; 1000];
    let files = 20;
    for _ in 0..files * JOURNAL_FILE_BYTES / payload.len() as u64 {
        rig.publish("s.x", &payload);
    }
    rig.store("s.x", "last");
    let seen = on_publisher.lock().unwrap();
    assert!(seen.is_empty(), "{policy:?}, on the publisher: {seen:?}");
    // There was something to see: files were begun, by others.
    assert!(elsewhere.load(Ordering::SeqCst) > files, "{policy:?}");
}

#[test]
fn a_publisher_makes_no_journal_file() {
    check_journal_files(SyncPolicy::Always);
}

#[test]
fn a_publisher_makes_no_journal_file_with_a_lazy_policy_either() {
    check_journal_files(SyncPolicy::Every(Duration::from_millis(20)));
}

/// A connection that reads everything and says nothing.
struct Listener;

impl Destination for Listener {
    fn id(&self) -> ConnectionId {
        ConnectionId(1)
    }

    fn supports_headers(&self) -> bool {
        true
    }

    fn deliver(&self, _rendered: &mut OutBatch) {}
}

#[test]
fn messages_that_cause_each_other_do_not_keep_the_publisher() {
    let mut rig = Rig::new();
    let stream =
        stream_config("S", "s.>", "memory").replace(r#""max_msgs":-1"#, r#""max_msgs":100"#);
    let created = rig.ask("$JS.API.STREAM.CREATE.S", stream);
    assert_eq!(created["config"]["max_msgs"], 100, "{created}");
    let created = rig.ask("$JS.API.CONSUMER.CREATE.S.c", consumer_config("c", "none"));
    assert_eq!(error_of(&created), None, "{created}");
    let sink = Sink::Connection(Arc::new(Listener));
    rig.account
        .subscribe(Arc::new(Subscription::new(b"s.loop", None, b"1", sink)));
    let account = Arc::clone(&rig.account);
    let publisher = std::thread::spawn(move || {
        let mut turn = Turn::new(1);
        let pull = "$JS.API.CONSUMER.MSG.NEXT.S.c";
        // Every delivery goes into the stream itself.
        publish(
            &mut turn,
            &account,
            pull,
            "s.loop",
            br#"{"batch":1000000000}"#,
        );
        publish(&mut turn, &account, "s.x", "", b"go");
        turn.flush();
    });
    wait_until("the end of the flush", || publisher.is_finished());
    publisher.join().unwrap();
    // The loop goes on elsewhere, and others still get their turn.
    let before = rig.state()["last_seq"].as_u64();
    wait_until("more of the loop", || {
        rig.state()["last_seq"].as_u64() > before
    });
    rig.stop();
}
