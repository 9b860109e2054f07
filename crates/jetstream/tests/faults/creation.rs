//! A stream whose creation failed does not exist, then or later.

use std::io;

use crate::disk::{Faults, Op, is_journal};
use crate::rig::{Rig, stream_config, wait_until};
use crate::seams::{error_of, sequence_of};

/// Creates `S` while `faults` are there, then again without them, and looks at what is served after a kill.
fn check(no_room: impl Fn(&Faults)) {
    let mut rig = Rig::new();
    no_room(&rig.faults);
    let create = stream_config("S", "s.>", "file");
    let refused = rig.ask("$JS.API.STREAM.CREATE.S", &create);
    assert_eq!(error_of(&refused), Some(10_077), "{refused}");
    let missing = rig.ask("$JS.API.STREAM.INFO.S", "");
    assert_eq!(error_of(&missing), Some(10_059), "{missing}");
    rig.faults.clear();
    wait_until("a creation", || {
        error_of(&rig.ask("$JS.API.STREAM.CREATE.S", &create)).is_none()
    });
    rig.store_eventually("s.x");
    let before = rig.state()["messages"].as_u64().unwrap();

    let mut rig = rig.killed();
    assert_eq!(rig.stream_names(), serde_json::json!(["S"]));
    assert_eq!(rig.stream_count(), 1);
    assert_eq!(rig.state()["messages"], before);
    let reply = rig.send("s.x", "after");
    // Acknowledgements leave in the order of the records: with the next one, all of the first are there.
    assert_eq!(rig.store("s.x", "later"), before + 2);
    let answers = rig.inbox.all(&reply);
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(sequence_of(&answers[0]), Some(before + 1));
}

#[test]
fn a_stream_without_room_for_its_folder_does_not_come_back() {
    check(|faults| {
        faults.set(|op, path| match op {
            Op::CreateDir if path.ends_with("S") => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        });
    });
}

#[test]
fn a_stream_without_room_for_its_record_does_not_come_back() {
    check(|faults| {
        faults.set(|op, path| {
            if op.needs_room() && is_journal(path) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(())
        });
    });
}
