//! Purges in steps: what is seen between them, what they leave alone, what a restart in the middle makes of them.

use std::collections::BTreeSet;

use everjet_api::PurgeRequest;
use everjet_store::SubjectSet;
use everjet_stream::{Publish, PurgeProgress, PurgeWay, Reads, Stream};
use everjet_values::{Entropy, EntryIndex, SeededEntropy, StreamSequence, Timestamp};

use crate::driver::Driver;

const SUBJECTS: [&str; 5] = ["s.a.1", "s.a.2", "s.b.1", "s.b.2", "s.c"];
const FILTERS: [&str; 6] = ["", ">", "s.a.*", "s.*.1", "s.c", "s.none.*"];

fn now() -> Timestamp {
    Timestamp::from_nanos(1_000_000_000_000_000_000)
}

fn publish(driver: &mut Driver, subject: &str) {
    let publish = Publish {
        subject: subject.as_bytes(),
        reply: b"",
        headers: b"",
        payload: b"payload",
    };
    let Driver { stream, output, .. } = driver;
    stream.on_publish(now(), &publish, output);
    end_turn(driver);
}

fn end_turn(driver: &mut Driver) {
    let Driver { stream, output, .. } = driver;
    stream.on_durable(stream.store().last_sequence());
    stream.poll(now(), &mut |_| true, output, 100, Reads::Blocking);
    driver.commit();
    driver.output.clear();
}

fn messages(stream: &Stream) -> BTreeSet<u64> {
    let store = stream.store();
    (1..=store.last_sequence().0)
        .filter(|&at| store.contains(StreamSequence(at)))
        .collect()
}

/// Those of `messages` that a request leaves.
fn left(stream: &Stream, request: &PurgeRequest) -> BTreeSet<u64> {
    let store = stream.store();
    let filter = request.filter.as_bytes();
    let is_meant = |at: &u64| {
        let id = store.subject_id(StreamSequence(*at)).expect("it is there");
        filter.is_empty() || everjet_subject::matches(filter, store.subjects().name(id))
    };
    let all = messages(stream);
    let is_before = |at: &u64| request.seq == 0 || *at < request.seq;
    let mut going: Vec<u64> = all
        .iter()
        .copied()
        .filter(is_meant)
        .filter(is_before)
        .collect();
    let keep = usize::try_from(request.keep).expect("small");
    going.truncate(going.len().saturating_sub(keep));
    all.into_iter().filter(|at| !going.contains(at)).collect()
}

/// Begins a purge as a driver does it.
fn begin(driver: &mut Driver, request: &PurgeRequest, by_names: bool) {
    let Driver { stream, output, .. } = driver;
    let names = stream.store().subjects().names();
    let is_matching = by_names && !request.filter.is_empty();
    let found = is_matching.then(|| SubjectSet::among(&names, request.filter.as_bytes()));
    stream
        .begin_purge(now(), request, found, output)
        .expect("a legal purge");
    end_turn(driver);
}

fn go_on(driver: &mut Driver, budget: usize) -> PurgeProgress {
    let Driver { stream, output, .. } = driver;
    let progress = stream.continue_purge(now(), budget, output);
    end_turn(driver);
    progress
}

fn random_request(entropy: &SeededEntropy, last: u64) -> PurgeRequest {
    let pick = |choices: u64| entropy.next_u64() % choices;
    let filter = FILTERS[usize::try_from(pick(6)).expect("small")];
    let (seq, keep) = match pick(3) {
        0 => (0, 0),
        1 => (1 + pick(last), 0),
        _ => (0, 1 + pick(12)),
    };
    PurgeRequest {
        filter: filter.to_owned(),
        seq,
        keep,
    }
}

#[test]
fn steps_remove_what_one_purge_removes_and_nothing_that_came_later() {
    for seed in 0..120 {
        let entropy = SeededEntropy::new(seed);
        let pick = |choices: u64| entropy.next_u64() % choices;
        let subject = || SUBJECTS[usize::try_from(pick(5)).expect("small")];
        let mut driver = Driver::new("{}", now());
        for _ in 0..60 {
            publish(&mut driver, subject());
        }
        for _ in 0..3 {
            let before = messages(&driver.stream).len();
            let last = driver.stream.store().last_sequence().0;
            let request = random_request(&entropy, last);
            let mut expected = left(&driver.stream, &request);
            let gone = (before - expected.len()) as u64;
            begin(&mut driver, &request, pick(2) == 0);
            let budget = 1 + usize::try_from(pick(4)).expect("small");
            let mut seen = messages(&driver.stream);
            loop {
                let progress = go_on(&mut driver, budget);
                let now_left = messages(&driver.stream);
                assert!(seen.len() - now_left.len() <= budget, "{request:?}");
                assert!(expected.is_subset(&now_left), "{request:?}");
                if let PurgeProgress::Over(purged) = progress {
                    assert_eq!(purged, gone, "{request:?}");
                    break;
                }
                publish(&mut driver, subject());
                expected.insert(driver.stream.store().last_sequence().0);
                seen = messages(&driver.stream);
            }
            assert_eq!(messages(&driver.stream), expected, "{seed} {request:?}");
            assert_eq!(go_on(&mut driver, 1), PurgeProgress::Over(gone));
        }
    }
}

#[test]
fn a_purge_that_was_begun_is_finished_by_a_restart_or_a_checkpoint() {
    for steps in 0..12 {
        for saved in [false, true] {
            let mut driver = Driver::new("{}", now());
            for at in 0..40 {
                publish(&mut driver, SUBJECTS[at % 5]);
            }
            let request = PurgeRequest {
                filter: "s.a.*".to_owned(),
                ..PurgeRequest::default()
            };
            let mut expected = left(&driver.stream, &request);
            begin(&mut driver, &request, false);
            for _ in 0..steps {
                go_on(&mut driver, 2);
                publish(&mut driver, "s.a.1");
                expected.insert(driver.stream.store().last_sequence().0);
            }
            if saved {
                driver.checkpoint();
                assert_eq!(messages(&driver.stream), expected, "{steps}");
            }
            driver.restart(now());
            assert_eq!(messages(&driver.stream), expected, "{steps}");
            // What finished it is in the journal, too.
            end_turn(&mut driver);
            publish(&mut driver, "s.a.2");
            let (before, after) = driver.restart(now());
            assert_eq!(before, after, "{steps}");
            driver.recover(EntryIndex(u64::MAX));
            assert_eq!(driver.stream.digest(), after);
        }
    }
}

#[test]
fn only_what_may_take_long_goes_in_steps() {
    let mut driver = Driver::new("{}", now());
    let way = |driver: &Driver, filter: &str, seq: u64, keep: u64| {
        let request = PurgeRequest {
            filter: filter.to_owned(),
            seq,
            keep,
        };
        match driver.stream.way_of_purge(&request) {
            PurgeWay::AtOnce => "at once",
            PurgeWay::InSteps => "in steps",
            PurgeWay::Matching(_) => "matching",
        }
    };
    for at in 0..1_000 {
        publish(&mut driver, &format!("s.{at}"));
    }
    assert_eq!(way(&driver, "s.*", 0, 0), "at once");
    for at in 0..1_100 {
        publish(&mut driver, &format!("s.{}", at / 1_050));
    }
    for (filter, seq, keep, expected) in [
        ("", 0, 0, "at once"),
        (">", 5_000, 0, "at once"),
        ("", 50, 0, "in steps"),
        ("", 0, 7, "in steps"),
        ("s.1", 0, 0, "at once"),
        ("s.0", 0, 0, "in steps"),
        ("s.none", 0, 0, "at once"),
        ("s.*", 0, 0, "matching"),
        ("s..*", 0, 0, "at once"),
        ("s.*", 5, 5, "at once"),
    ] {
        assert_eq!(
            way(&driver, filter, seq, keep),
            expected,
            "{filter} {seq} {keep}"
        );
    }
}
