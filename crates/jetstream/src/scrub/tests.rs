//! The scrub by a clock that the test turns.

use std::cell::RefCell;
use std::path::Path;

use everjet_store::{Disk, NewMessage, SavedSegments, SimDisk, StoreOptions, StreamStore};
use everjet_values::Timestamp;

use super::*;

const DIR: &str = "/s";
const HOUR: Duration = Duration::from_secs(3600);

struct TestGround {
    disk: SimDisk,
    saved: SavedSegments,
    failing: bool,
    gone: bool,
    found: Vec<Damage>,
    told: Vec<(ScrubProgress, bool)>,
    /// A bit that is wrong until nobody may write any more.
    overwritten: RefCell<Option<(PathBuf, u64)>>,
}

impl TestGround {
    /// 300 messages in segments of 4 KiB.
    fn new() -> Self {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new(DIR)).unwrap();
        let options = StoreOptions {
            segment_bytes_max: 4096,
            ..StoreOptions::default()
        };
        let mut store = StreamStore::on_disk(disk.shared(), DIR.into(), StreamId(1), "S", options);
        for number in 1..=300 {
            let message = NewMessage {
                time: Timestamp::from_nanos(number),
                subject: b"s",
                headers: b"",
                payload: b"payload",
            };
            store.append(EntryIndex(number.unsigned_abs()), &message);
        }
        let writes = store.take_writes().unwrap();
        writes.write(&disk).unwrap().sync(&disk).unwrap();
        Self {
            disk,
            saved: writes.saved().clone(),
            failing: false,
            gone: false,
            found: Vec::new(),
            told: Vec::new(),
            overwritten: RefCell::default(),
        }
    }

    fn damage(&self, segment: usize) {
        let first = self.saved.segments[segment].first_sequence.0;
        let path = Path::new(DIR).join(format!("{first:020}.seg"));
        self.disk.flip_bit(&path, 8 * 100);
    }

    fn sealed(&self) -> u64 {
        self.tasks().len() as u64
    }
}

impl Ground for TestGround {
    fn disk(&self) -> &dyn Disk {
        &self.disk
    }

    fn is_failing(&self) -> bool {
        self.failing
    }

    fn tasks(&self) -> Vec<Task> {
        let segments = self.saved.segments.iter().filter(|segment| segment.sealed);
        segments
            .map(|segment| Task {
                stream: StreamId(1),
                name: "S".to_owned(),
                dir: DIR.into(),
                segment: *segment,
                entry: self.saved.entry,
                last: self.saved.last_sequence,
            })
            .collect()
    }

    fn is_current(&self, _task: &Task) -> bool {
        !self.gone
    }

    fn undisturbed(&self, task: &Task, verify: &mut dyn FnMut(&dyn Disk)) {
        if let Some((path, bit)) = self.overwritten.take() {
            // The write that the first reading met is through.
            self.disk.flip_bit(&path, bit);
        }
        if self.is_current(task) {
            verify(&self.disk);
        }
    }

    fn found(&mut self, _task: &Task, damage: Vec<Damage>) -> u64 {
        let count = damage.len() as u64;
        self.found.extend(damage);
        count
    }

    fn tell(&mut self, progress: &ScrubProgress, fault: Option<&Fault>) {
        self.told.push((*progress, fault.is_some()));
    }
}

/// One cycle an hour at this rate.
fn scrub(bytes_per_second: u64) -> Scrub {
    Scrub::new(ScrubOptions {
        bytes_per_second,
        period: HOUR,
    })
}

/// Goes on from `now` until the running cycle, or the next one, has ended; returns when that was.
fn finish_cycle(scrub: &mut Scrub, mut now: Duration, ground: &mut TestGround) -> Duration {
    let cycles = scrub.progress().cycles;
    for _ in 0..10_000 {
        let next = scrub.step(now, ground).expect("it is on");
        if scrub.progress().cycles > cycles {
            return now;
        }
        now = next;
    }
    panic!("the cycle does not end");
}

#[test]
fn a_cycle_verifies_everything_at_the_rate_and_the_next_one_waits_for_the_period() {
    let mut ground = TestGround::new();
    let mut scrub = scrub(100_000);
    assert_eq!(scrub.step(Duration::ZERO, &mut ground), Some(FIRST_AFTER));
    assert_eq!(ground.told, Vec::new(), "nothing before it is due");
    let ended = finish_cycle(&mut scrub, FIRST_AFTER, &mut ground);
    let progress = scrub.progress();
    assert_eq!((progress.cycles, progress.is_running), (1, false));
    assert_eq!(progress.segments, ground.sealed());
    assert_eq!(
        (progress.segments_total, progress.damaged),
        (ground.sealed(), 0)
    );
    let bytes: u64 = ground.tasks().iter().map(|task| task.segment.length).sum();
    assert_eq!(progress.bytes, bytes);
    let took = (ended - FIRST_AFTER).as_secs_f64();
    assert!(
        took >= bytes as f64 / 100_000.0,
        "{bytes} bytes in {took} s"
    );
    assert_eq!(scrub.step(ended, &mut ground), Some(FIRST_AFTER + HOUR));
    finish_cycle(&mut scrub, FIRST_AFTER + HOUR, &mut ground);
    assert_eq!(scrub.progress().cycles, 2);
}

#[test]
fn damage_is_reported_once_a_cycle_and_the_rest_is_verified() {
    let mut ground = TestGround::new();
    ground.damage(1);
    let mut scrub = scrub(1 << 20);
    finish_cycle(&mut scrub, HOUR, &mut ground);
    assert_eq!(ground.found.len(), 1);
    assert!(ground.found[0].sequences.is_some());
    assert_eq!(scrub.progress().damaged, 1);
    assert_eq!(scrub.progress().segments, ground.sealed());
}

#[test]
fn what_is_being_overwritten_is_no_damage() {
    let mut ground = TestGround::new();
    ground.damage(0);
    let first = ground.saved.segments[0].first_sequence.0;
    let path = Path::new(DIR).join(format!("{first:020}.seg"));
    ground.overwritten = RefCell::new(Some((path, 8 * 100)));
    let mut scrub = scrub(1 << 20);
    finish_cycle(&mut scrub, HOUR, &mut ground);
    assert_eq!(ground.found, Vec::new());
    assert!(
        ground.overwritten.borrow().is_none(),
        "it was looked at twice"
    );
    assert_eq!(scrub.progress().segments, ground.sealed());
}

#[test]
fn segments_that_went_away_are_nobodys_loss() {
    let mut ground = TestGround::new();
    ground.damage(0);
    let mut scrub = scrub(1 << 20);
    let now = scrub.step(HOUR, &mut ground).expect("it is on");
    ground.gone = true;
    for file in ground.disk.list_files() {
        ground.disk.remove_file(&file).unwrap();
    }
    finish_cycle(&mut scrub, now, &mut ground);
    assert_eq!(ground.found, Vec::new());
}

#[test]
fn it_waits_while_the_disk_fails() {
    let mut ground = TestGround::new();
    ground.failing = true;
    let mut scrub = scrub(1 << 20);
    assert_eq!(scrub.step(HOUR, &mut ground), Some(HOUR + FAILING_PAUSE));
    assert!(ground.told.is_empty());
    ground.failing = false;
    finish_cycle(&mut scrub, HOUR + FAILING_PAUSE, &mut ground);
}

#[test]
fn a_disk_that_reads_nothing_ends_the_cycle() {
    let mut ground = TestGround::new();
    for file in ground.disk.list_files() {
        ground.disk.fail_reads(&file);
    }
    let mut scrub = scrub(1 << 20);
    let mut now = HOUR;
    while ground.told.len() < 2 {
        now = scrub.step(now, &mut ground).expect("it is on");
    }
    assert!(ground.told[1].1, "with a fault");
    assert_eq!(ground.found, Vec::new());
    assert_eq!(scrub.progress().cycles, 0);
    assert!(scrub.step(now, &mut ground) >= Some(now));
}

#[test]
fn a_rate_of_zero_turns_it_off() {
    let mut ground = TestGround::new();
    assert_eq!(scrub(0).step(HOUR, &mut ground), None);
}
