//! Starts on a disk that refuses: nothing is lost for it, and a start without the fault serves everything.

use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::{Faults, Op};
use crate::rig::{Rig, consumer_config, stream_config};
use crate::seams::error_of;

/// The codes of an input/output error and of a stream that is offline.
const EIO: i32 = 5;
const OFFLINE: u64 = 10_194;

/// What a start comes to.
enum Expected {
    /// It serves everything.
    Served,
    /// It serves everything but the stream `S`; requests for that are told why, in these words.
    Offline(&'static str),
    /// There is none, for this reason.
    Refused(&'static str),
}

/// A stopped rig with a message in `S` and one in `T`, and a consumer of `S`.
pub(crate) fn stopped() -> Rig {
    let mut rig = Rig::with_stream();
    let created = rig.ask("$JS.API.STREAM.CREATE.T", stream_config("T", "t.>", "file"));
    assert_eq!(error_of(&created), None, "{created}");
    let created = rig.ask(
        "$JS.API.CONSUMER.CREATE.S.c",
        consumer_config("c", "explicit"),
    );
    assert_eq!(error_of(&created), None, "{created}");
    rig.store("s.x", "m");
    rig.store("t.x", "m");
    rig.stop();
    rig
}

/// Asserts that `S`, its consumer and `T` are served, and that `S` takes messages.
#[track_caller]
pub(crate) fn expect_served(rig: &mut Rig) {
    let first = rig.ask("$JS.API.STREAM.MSG.GET.S", r#"{"seq":1}"#);
    assert_eq!(
        first["message"]["seq"],
        1,
        "{first} {:#?}",
        rig.log.since(0)
    );
    let consumer = rig.ask("$JS.API.CONSUMER.INFO.S.c", "");
    assert_eq!(error_of(&consumer), None, "{consumer}");
    expect_other_served(rig);
    rig.store("s.x", "m");
}

/// Asserts that `T` is served.
#[track_caller]
pub(crate) fn expect_other_served(rig: &mut Rig) {
    let other = rig.ask("$JS.API.STREAM.MSG.GET.T", r#"{"seq":1}"#);
    assert_eq!(other["message"]["seq"], 1, "{other}");
}

/// Starts with faults, and again without.
#[track_caller]
fn check(prepare: impl FnOnce(&Faults), expected: &Expected) {
    let rig = stopped();
    let faults = Faults::none();
    prepare(&faults);
    match (rig.started_with(faults), expected) {
        (Ok(mut rig), Expected::Served) => {
            expect_served(&mut rig);
            rig.stop();
        }
        (Ok(mut rig), Expected::Offline(words)) => {
            let info = rig.ask("$JS.API.STREAM.INFO.S", "");
            let why = info["error"]["description"].as_str().unwrap_or_default();
            assert!(
                error_of(&info) == Some(OFFLINE) && why.contains(words),
                "{info}"
            );
            assert!(rig.log.contains(words), "the log does not say {words:?}");
            expect_other_served(&mut rig);
            rig.stop();
        }
        (Err(why), Expected::Refused(words)) => assert!(why.contains(words), "{why}"),
        (Ok(_), Expected::Refused(words)) => panic!("it starts, without {words:?}"),
        (Err(why), _) => panic!("it does not start: {why}"),
    }
    expect_served(&mut rig.started_again());
}

/// A path whose name, or that of a folder above, holds `part`.
fn is_at(path: &Path, part: &str) -> bool {
    path.to_string_lossy().contains(part)
}

/// Whoever opens or lists `part` may not.
fn denied(part: &'static str) -> impl FnOnce(&Faults) {
    move |faults| {
        faults.set(move |op, path| match op {
            Op::Open | Op::List if is_at(path, part) => Err(ErrorKind::PermissionDenied.into()),
            _ => Ok(()),
        });
    }
}

/// Whoever reads `part` gets an input/output error.
fn unreadable(part: &'static str) -> impl FnOnce(&Faults) {
    move |faults| {
        faults.set_reads(move |path| match is_at(path, part) {
            true => Err(Error::from_raw_os_error(EIO)),
            false => Ok(()),
        });
    }
}

#[test]
fn without_permission_for_a_file_its_stream_is_offline() {
    let expected = Expected::Offline("give the server's user read and write access");
    for part in ["streams/S/0", ".state"] {
        check(denied(part), &expected);
    }
}

#[test]
fn without_permission_for_a_folder_its_stream_is_offline() {
    // The folder itself is opened only to be synced.
    check(
        |faults| {
            faults.set(|op, path| match op {
                _ if op == Op::SyncDir => Ok(()),
                _ if is_at(path, "streams/S") => Err(ErrorKind::PermissionDenied.into()),
                _ => Ok(()),
            });
        },
        &Expected::Offline("give the server's user read and write access"),
    );
}

#[test]
fn without_permission_for_derived_files_everything_is_served() {
    for part in [".idx", "meta.json"] {
        check(denied(part), &Expected::Served);
    }
}

#[test]
fn without_permission_for_what_all_streams_need_there_is_no_start() {
    let expected = Expected::Refused("give the server's user read and write access");
    for part in ["manifest.", "/journal", ".wal"] {
        check(denied(part), &expected);
    }
}

#[test]
fn unreadable_derived_files_cost_nothing() {
    for part in [".idx", "meta.json"] {
        check(unreadable(part), &Expected::Served);
    }
}

#[test]
fn without_a_readable_manifest_or_journal_there_is_no_start() {
    for part in ["manifest.", ".wal"] {
        check(unreadable(part), &Expected::Refused("check the disk"));
    }
}

#[test]
fn on_a_read_only_file_system_there_is_no_start() {
    check(
        |faults| {
            faults.set(|op, _| match op {
                Op::Open | Op::List | Op::Sync | Op::SyncDir => Ok(()),
                _ => Err(ErrorKind::ReadOnlyFilesystem.into()),
            });
        },
        &Expected::Refused("mount the file system writable, then restart the server"),
    );
}

#[test]
fn a_consumer_whose_state_cannot_be_read_is_offline_until_it_can() {
    let rig = stopped();
    let faults = Faults::none();
    unreadable(".state")(&faults);
    let mut rig = rig.started_with(faults).unwrap();
    assert!(
        rig.log.contains("consumer c of stream S is offline"),
        "{:#?}",
        rig.log.since(0)
    );
    let consumer = rig.ask("$JS.API.CONSUMER.INFO.S.c", "");
    assert_eq!(error_of(&consumer), Some(10_014), "{consumer}");
    assert_eq!(rig.subject_of(1).as_deref(), Ok("s.x"));
    expect_other_served(&mut rig);
    // Checkpoints without it do not give it up.
    rig.store("s.x", "m");
    rig.faults.clear();
    rig.stop();
    let mut rig = rig.started_again();
    let consumer = rig.ask("$JS.API.CONSUMER.INFO.S.c", "");
    assert_eq!(error_of(&consumer), None, "{consumer}");
    assert_eq!(consumer["num_pending"], 2, "{consumer}");
}

#[test]
fn an_error_that_passes_while_a_consumers_state_is_read_costs_nothing() {
    let rig = stopped();
    let faults = Faults::none();
    let hits = AtomicU64::new(0);
    faults.set_reads(move |path| {
        let is_state = path.extension().is_some_and(|kind| kind == "state");
        if is_state && hits.fetch_add(1, Ordering::SeqCst) < 2 {
            return Err(Error::from_raw_os_error(EIO));
        }
        Ok(())
    });
    expect_served(&mut rig.started_with(faults).unwrap());
}

#[test]
fn an_unreadable_segment_costs_its_messages_until_it_can_be_read() {
    let rig = stopped();
    let faults = Faults::none();
    unreadable("streams/S/00000000000000000001.seg")(&faults);
    let mut rig = rig.started_with(faults).unwrap();
    assert_eq!(rig.subject_of(1), Err(10_051));
    assert!(
        rig.log.contains("00000000000000000001.seg"),
        "{:#?}",
        rig.log.since(0)
    );
    expect_other_served(&mut rig);
    assert_eq!(rig.store("s.x", "m"), 2);
    rig.faults.clear();
    rig.stop();
    expect_served(&mut rig.started_again());
}

#[test]
fn after_a_crash_streams_whose_records_lie_among_each_other_have_each_theirs_in_order() {
    const STREAMS: [&str; 4] = ["s0", "s1", "s2", "s3"];
    const EACH: usize = 400;
    let mut rig = Rig::new();
    let create = |rig: &mut Rig, name: &str| {
        let config = stream_config(name, &format!("{name}.>"), "file");
        let created = rig.ask(&format!("$JS.API.STREAM.CREATE.{name}"), config);
        assert_eq!(error_of(&created), None, "{created}");
    };
    STREAMS.iter().for_each(|name| create(&mut rig, name));
    for number in 1..EACH {
        for name in STREAMS {
            let payload = vec![b'x'; number % 90];
            rig.publish(&format!("{name}.{number}"), &payload);
        }
        if number == EACH / 2 {
            // What the records before say is of another stream.
            let deleted = rig.ask("$JS.API.STREAM.DELETE.s1", "");
            assert_eq!(error_of(&deleted), None, "{deleted}");
            create(&mut rig, "s1");
        }
    }
    let counts = STREAMS.map(|name| rig.store(&format!("{name}.x"), "the last one"));
    let before = EACH as u64;
    assert_eq!(counts, [before, before - (EACH / 2) as u64, before, before]);
    let mut again = rig.killed();
    for (name, count) in STREAMS.iter().zip(counts) {
        let skipped = before - count;
        for sequence in 1..count {
            let request = format!(r#"{{"seq":{sequence}}}"#);
            let got = again.ask(&format!("$JS.API.STREAM.MSG.GET.{name}"), request);
            let expected = format!("{name}.{}", sequence + skipped);
            assert_eq!(got["message"]["subject"], expected, "{got}");
        }
        assert_eq!(again.store(&format!("{name}.x"), "m"), count + 1);
    }
}
