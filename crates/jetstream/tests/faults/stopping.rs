//! `stop()` while others go on publishing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use everjet_routing::Turn;

use crate::disk::{Op, is_journal};
use crate::rig::{Rig, publish, wait_until};

/// A sync takes this long, so that a commit thread always finds more to do.
const SYNC_TAKES: Duration = Duration::from_millis(3);
/// Each publisher pauses for this long, so that the load is steady and stays below all bounds.
const PAUSE: Duration = Duration::from_millis(1);
const PUBLISHERS: u64 = 2;
const ACKNOWLEDGED_BEFORE: usize = 200;

#[test]
fn stop_ends_under_load_and_keeps_what_was_acknowledged() {
    let mut rig = Rig::with_stream();
    rig.faults.set(|op, path| {
        if op == Op::Sync && is_journal(path) {
            std::thread::sleep(SYNC_TAKES);
        }
        Ok(())
    });
    let ends = Arc::new(AtomicBool::new(false));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|number| {
            let (account, ends) = (Arc::clone(&rig.account), Arc::clone(&ends));
            std::thread::spawn(move || {
                let mut turn = Turn::new(number);
                let mut count = 0;
                while !ends.load(Ordering::Relaxed) {
                    for _ in 0..5 {
                        count += 1;
                        let subject = format!("s.{number}.{count}");
                        publish(
                            &mut turn,
                            &account,
                            &subject,
                            &format!("_INBOX.{subject}"),
                            b"m",
                        );
                    }
                    turn.flush();
                    std::thread::sleep(PAUSE);
                }
            })
        })
        .collect();
    let inbox = Arc::clone(&rig.inbox);
    let acknowledged = || {
        let mut all = inbox.acknowledged();
        all.retain(|(reply, _)| reply.starts_with("_INBOX.s."));
        all
    };
    wait_until("a load", || acknowledged().len() >= ACKNOWLEDGED_BEFORE);
    rig.stop();
    ends.store(true, Ordering::Relaxed);
    for publisher in publishers {
        publisher.join().unwrap();
    }
    let acknowledged = acknowledged();
    let mut rig = rig.started_again();
    let state = rig.state();
    assert_eq!(state["messages"], state["last_seq"], "no gaps: {state}");
    for (reply, sequence) in acknowledged {
        let subject = reply.strip_prefix("_INBOX.").unwrap();
        assert_eq!(rig.subject_of(sequence).as_deref(), Ok(subject));
    }
}
