//! Errors that pass, while a journal file is made.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::{Op, is_journal};
use crate::rig::{Rig, name_of, wait_until};

/// Too many open files.
const EMFILE: i32 = 24;
const TIMES: u64 = 3;

/// Publishes until making a file that `is_hit` selects has failed [`TIMES`] times and then no more.
fn check(is_hit: fn(&Path) -> bool, fails_on: fn(&Path) -> bool) {
    let mut rig = Rig::with_stream();
    let acknowledged = rig.store("s.x", "before");
    let hits = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&hits);
    rig.faults.set(move |op, path| {
        if op != Op::Create || !is_journal(path) {
            return Ok(());
        }
        let is_over = is_hit(path) && counted.fetch_add(1, Ordering::SeqCst) >= TIMES;
        if fails_on(path) || (is_hit(path) && !is_over) {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        Ok(())
    });
    let payload = vec![b'x'; 4000];
    wait_until("the errors", || {
        rig.publish("s.x", &payload);
        hits.load(Ordering::SeqCst) >= TIMES
    });
    let last = rig.store_eventually("s.x");
    assert!(last > acknowledged);
    rig.faults.clear();
    let last = rig.store_eventually("s.x");
    assert_eq!(rig.killed().state()["last_seq"], last);
}

fn is_spare(path: &Path) -> bool {
    name_of(path) == "spare.new"
}

fn is_hurried(path: &Path) -> bool {
    !is_spare(path)
}

#[test]
fn a_spare_journal_file_that_could_not_be_made_stops_nothing() {
    check(is_spare, |_| false);
}

#[test]
fn a_hurried_journal_file_that_could_not_be_made_stops_nothing() {
    check(is_hurried, is_spare);
}
