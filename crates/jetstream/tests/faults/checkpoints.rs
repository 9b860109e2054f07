//! A checkpoint that met a full disk and is finished later.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::disk::Op;
use crate::rig::{Rig, name_of, wait_until};

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
