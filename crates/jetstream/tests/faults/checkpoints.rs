//! Checkpoints that meet a full disk or a slow one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use everjet_jetstream::SyncPolicy;

use crate::disk::Op;
use crate::rig::{Rig, name_of, stream_config, wait_until};
use crate::seams::{error_of, sequence_of};

#[test]
fn a_checkpoint_finished_later_leaves_the_journal_what_came_since() {
    let mut rig = Rig::with_stream();
    rig.faults.set(|op, path| {
        let is_segment = path.extension().is_some_and(|extension| extension == "seg");
        if op.needs_room() && is_segment {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    });
    rig.store("s.x", "captured");
    wait_until("a checkpoint without room", || {
        rig.log.contains("stream S stays in the journal")
    });
    let counts = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&counts);
    rig.faults.set(move |op, path| {
        if op == Op::Sync && name_of(path).starts_with("manifest.") {
            seen.store(true, Ordering::SeqCst);
        }
        Ok(())
    });
    // Busy all the time: nothing newer of the stream is taken while the old checkpoint is finished.
    let mut last = 1;
    wait_until("the checkpoint to count", || {
        last = rig.store("s.x", "busy");
        counts.load(Ordering::SeqCst)
    });
    for _ in 0..100 {
        last = rig.store("s.x", "busy");
    }
    let mut rig = rig.killed();
    let state = rig.state();
    assert_eq!(
        (&state["messages"], &state["last_seq"]),
        (&last.into(), &last.into())
    );
    assert_eq!(rig.store("s.x", "after"), last + 1);
}

#[test]
fn the_journal_waits_for_checkpoints_that_fall_behind() {
    for policy in [
        SyncPolicy::Always,
        SyncPolicy::Every(Duration::from_secs(60)),
    ] {
        let checkpoint_bytes = 64 << 10;
        let mut rig = Rig::with_checkpoints(policy, checkpoint_bytes);
        rig.create_stream();
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let held = Arc::clone(&gate);
        rig.faults.set(move |op, path| {
            let is_segment = path.extension().is_some_and(|extension| extension == "seg");
            if op == Op::Write && is_segment {
                let mut open = held.0.lock().unwrap();
                while !*open {
                    open = held.1.wait(open).unwrap();
                }
            }
            Ok(())
        });
        let payload = vec![b'x'; 5000];
        let is_acknowledged = |rig: &Rig, reply: &String| {
            let answer = rig.inbox.first(reply);
            answer.is_some_and(|answer| sequence_of(&answer).is_some())
        };
        // The last of these reaches the bound, the first of the next is above it.
        let within: Vec<_> = (0..26).map(|_| rig.send("s.x", &payload)).collect();
        wait_until("acknowledgements up to the bound", || {
            within.iter().all(|reply| is_acknowledged(&rig, reply))
        });
        let above: Vec<_> = (0..10).map(|_| rig.send("s.x", &payload)).collect();
        for _ in 0..200 {
            // Time for what must not happen.
            rig.stream_names();
        }
        let grows = above.iter().any(|reply| is_acknowledged(&rig, reply));
        assert!(!grows, "{policy:?}: memory grows without a bound");
        // A request that a checkpoint may wait for does not wait for the checkpoint: it would never end.
        let other = rig.send("$JS.API.STREAM.CREATE.T", stream_config("T", "t.>", "file"));
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        let answer = rig.answer(&other);
        assert_eq!(error_of(&answer), None, "{answer}");
        wait_until("all acknowledgements", || {
            above.iter().all(|reply| is_acknowledged(&rig, reply))
        });
    }
}
