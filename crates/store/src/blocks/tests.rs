//! Files in blocks against plain bytes: reads at any place, crashes, damage in every byte, and nothing in the open.

use everjet_values::{Entropy, SeededEntropy};

use super::header::{BLOCK_BYTES, HEADER_BYTES, pack};
use super::*;
use crate::StreamId;
use crate::disk::{read_exact_at, read_file};
use crate::seal::testing::sealed_disk;
use crate::sim_disk::SimDisk;

const PATH: &str = "/00000000000000000001.seg";
const MARKER: &[u8] = b"ORDERS.secret";

fn file(stream: u64, first: u64, revision: u32) -> FileKey {
    FileKey {
        stream: StreamId(stream),
        first,
        revision,
    }
}

fn place() -> Place {
    Place::segment(file(7, 1, 0))
}

/// What a file may be made of: compressed, sealed, or both.
#[derive(Clone, Copy, Debug)]
struct Form {
    compress: bool,
    sealed: bool,
}

const FORMS: [Form; 3] = [
    Form {
        compress: true,
        sealed: false,
    },
    Form {
        compress: false,
        sealed: true,
    },
    Form {
        compress: true,
        sealed: true,
    },
];

impl Form {
    /// The disk at one start of a server.
    fn disk(self, disk: &SimDisk, start: u64) -> Arc<dyn Disk> {
        if self.sealed {
            sealed_disk(disk, 1, start)
        } else {
            disk.shared()
        }
    }

    fn to_write(self, disk: &dyn Disk, offset: u64) -> Arc<dyn DiskFile> {
        open_to_write(disk, Path::new(PATH), place(), offset, self.compress).unwrap()
    }
}

fn below(dice: &SeededEntropy, bound: u64) -> usize {
    usize::try_from(dice.next_u64() % bound).unwrap()
}

/// Bytes that are partly compressible, and hold the marker.
fn bytes(dice: &SeededEntropy, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 64);
    while bytes.len() < length {
        match below(dice, 3) {
            0 => bytes.extend(MARKER),
            1 => bytes.extend(vec![b'x'; below(dice, 2000)]),
            _ => bytes.extend((0..below(dice, 1000)).map(|_| below(dice, 256) as u8)),
        }
    }
    bytes.truncate(length);
    bytes
}

fn all(disk: &dyn Disk) -> Vec<u8> {
    read_whole(disk, Path::new(PATH), place()).unwrap()
}

#[test]
fn any_part_of_what_was_written_in_any_parts_is_read() {
    for form in FORMS {
        for seed in 0..12 {
            let dice = SeededEntropy::new(seed);
            let sim = SimDisk::new();
            let mut expected = Vec::new();
            let mut reader = None;
            for start in 0..4 {
                let disk = form.disk(&sim, start);
                let mut file = form.to_write(&*disk, expected.len() as u64);
                for _ in 0..=below(&dice, 6) {
                    if below(&dice, 3) == 0 {
                        file = form.to_write(&*disk, expected.len() as u64);
                    }
                    let length = [10, 300, 3000, 70_000, 200_000][below(&dice, 5)];
                    let more = bytes(&dice, 1 + below(&dice, length));
                    file.write_all_at(&more, expected.len() as u64).unwrap();
                    expected.extend(more);
                    // One that was opened early sees what came later.
                    let early = reader
                        .get_or_insert_with(|| open(&*disk, Path::new(PATH), place()).unwrap().0);
                    let opened = open(&*disk, Path::new(PATH), place()).unwrap();
                    assert!(opened.1);
                    for file in [&*opened.0, &**early] {
                        let from = below(&dice, expected.len() as u64);
                        let to = from + below(&dice, (expected.len() - from) as u64 + 1);
                        let mut part = vec![1; to - from];
                        read_exact_at(file, &mut part, from as u64).unwrap();
                        assert!(part == expected[from..to], "{form:?} {seed}: {from}..{to}");
                        assert_eq!(file.len().unwrap(), expected.len() as u64);
                    }
                }
            }
            assert!(all(&*form.disk(&sim, 9)) == expected);
            let mut past = [0; 10];
            let file = open(&*form.disk(&sim, 9), Path::new(PATH), place())
                .unwrap()
                .0;
            let end = expected.len() as u64;
            assert_eq!(file.read_at(&mut past, end).unwrap(), 0);
            assert_eq!(file.read_at(&mut past, end - 4).unwrap(), 4);
            let raw = read_file(&sim, Path::new(PATH)).unwrap();
            let shows = raw.windows(MARKER.len()).any(|part| part == MARKER);
            assert!(!form.sealed || !shows, "{form:?} {seed}");
            assert!(!form.compress || raw.len() < expected.len());
        }
    }
}

#[test]
fn what_compression_does_not_make_shorter_stays_as_it_is() {
    let dice = SeededEntropy::new(1);
    let noise: Vec<u8> = (0..BLOCK_BYTES).map(|_| below(&dice, 256) as u8).collect();
    let mut out = Vec::new();
    pack(&mut out, &noise, 0, place(), true, None);
    assert_eq!(out.len(), HEADER_BYTES + noise.len() + 4);
    assert!(out[HEADER_BYTES..].starts_with(&noise));
}

#[test]
fn a_write_voids_what_a_crash_has_left_behind_its_place() {
    for form in FORMS {
        for seed in 0..60 {
            let dice = SeededEntropy::new(seed);
            let mut sim = SimDisk::new();
            let mut kept = Vec::new();
            for start in 0..6 {
                let disk = form.disk(&sim, start);
                let file = form.to_write(&*disk, kept.len() as u64);
                let mut written = kept.clone();
                for _ in 0..=below(&dice, 3) {
                    let more = bytes(&dice, 1 + below(&dice, 150_000));
                    file.write_all_at(&more, written.len() as u64).unwrap();
                    written.extend(more);
                }
                if below(&dice, 2) == 0 {
                    file.sync().unwrap();
                    disk.sync_dir(Path::new("/")).unwrap();
                    kept = written;
                }
                sim = sim.crash(dice.next_u64());
                if kept.is_empty() {
                    continue;
                }
                let disk = form.disk(&sim, 100 + start);
                let mut found = vec![0; kept.len()];
                let file = open(&*disk, Path::new(PATH), place()).unwrap().0;
                read_exact_at(&*file, &mut found, 0).unwrap();
                assert!(found == kept, "{form:?} seed {seed} start {start}");
            }
        }
    }
}

#[test]
fn a_damaged_byte_costs_its_block_and_no_other() {
    for form in FORMS {
        let dice = SeededEntropy::new(3);
        let sim = SimDisk::new();
        let disk = form.disk(&sim, 1);
        let file = form.to_write(&*disk, 0);
        let mut expected = Vec::new();
        // Where blocks begin: above, and in the file.
        let mut borders = vec![(0, 0)];
        for length in [100, 400, 50, 700] {
            let more = bytes(&dice, length);
            file.write_all_at(&more, expected.len() as u64).unwrap();
            expected.extend(more);
            borders.push((
                expected.len(),
                read_file(&sim, Path::new(PATH)).unwrap().len(),
            ));
        }
        let physical = borders.last().unwrap().1;
        for byte in 0..physical {
            sim.flip_bit(Path::new(PATH), byte as u64 * 8 + byte as u64 % 8);
            let hit = borders.windows(2).find(|pair| byte < pair[1].1).unwrap();
            let (from, to) = (hit[0].0, hit[1].0);
            let file = open(&*form.disk(&sim, 2), Path::new(PATH), place())
                .unwrap()
                .0;
            let mut found = vec![7; expected.len()];
            let count = file.read_at(&mut found, 0).unwrap();
            let context = format!("{form:?} byte {byte}");
            assert!(
                count == expected.len() || (count == from && to == expected.len()),
                "{context}"
            );
            assert!(found[..from] == expected[..from], "{context}");
            if count > to {
                assert!(found[to..] == expected[to..], "{context}");
            }
            let is_trailer = byte + 4 >= hit[1].1;
            if is_trailer {
                assert!(
                    found == expected,
                    "a trailer is a help and no more, {context}"
                );
            } else if count > from {
                assert!(found[from..to].iter().all(|byte| *byte == 0), "{context}");
            }
            sim.flip_bit(Path::new(PATH), byte as u64 * 8 + byte as u64 % 8);
        }
    }
}

/// Where a header is damaged the next block is searched for. One that the disk cannot read at that moment is not damaged for it.
#[test]
fn what_cannot_be_read_while_a_block_is_searched_is_not_taken_for_damaged() {
    for form in FORMS {
        let sim = SimDisk::new();
        let disk = form.disk(&sim, 1);
        let mut at = 0;
        for number in 0..4 {
            form.to_write(&*disk, at)
                .write_all_at(&[b'0' + number; 40], at)
                .unwrap();
            at += 40;
        }
        let first = read_file(&sim, Path::new(PATH)).unwrap();
        let second = memchr::memmem::find_iter(&first, header::MAGIC).nth(1);
        sim.flip_bit(Path::new(PATH), second.unwrap() as u64 * 8);
        let mut failed = 0;
        for number in 1..20 {
            let file = open(&*disk, Path::new(PATH), place()).unwrap().0;
            sim.fail_read(number);
            let mut third = [0; 40];
            let read = read_exact_at(&*file, &mut third, 80);
            failed += u32::from(read.is_err());
            sim.heal_reads();
            assert!(read.is_err() || third == [b'2'; 40], "{form:?} {number}");
        }
        assert!(failed > 0, "{form:?}");
    }
}

#[test]
fn a_block_is_valid_in_its_place_only() {
    for form in FORMS {
        let sim = SimDisk::new();
        let disk = form.disk(&sim, 1);
        form.to_write(&*disk, 0)
            .write_all_at(b"hello hello hello hello", 0)
            .unwrap();
        let path = Path::new(PATH);
        let others = [
            Place::segment(file(8, 1, 0)),
            Place::segment(file(7, 2, 0)),
            Place::segment(file(7, 1, 1)),
            Place::index(file(7, 1, 0)),
        ];
        for other in others {
            assert!(!open(&*disk, path, other).unwrap().1, "{form:?} {other:?}");
        }
        assert!(open(&*disk, path, place()).unwrap().1);
    }
}

#[test]
fn without_the_keys_nothing_of_a_sealed_file_is_read() {
    let sim = SimDisk::new();
    let form = FORMS[2];
    form.to_write(&*form.disk(&sim, 1), 0)
        .write_all_at(&[MARKER; 9].concat(), 0)
        .unwrap();
    for disk in [sim.shared(), sealed_disk(&sim, 2, 1)] {
        assert_eq!(all(&*disk), [0; 9 * MARKER.len()]);
    }
}

#[test]
fn files_without_blocks_stay_as_they_are() {
    let sim = SimDisk::new();
    let plain = Form {
        compress: false,
        sealed: false,
    };
    let file = plain.to_write(&sim, 0);
    file.write_all_at(b"EVJSEG\r\nand so on", 0).unwrap();
    assert_eq!(
        read_file(&sim, Path::new(PATH)).unwrap(),
        b"EVJSEG\r\nand so on"
    );
    assert!(!open(&sim, Path::new(PATH), place()).unwrap().1);
    let more = open_to_write(&sim, Path::new(PATH), place(), 17, true).unwrap();
    more.write_all_at(b"!", 17).unwrap();
    assert_eq!(all(&sim), b"EVJSEG\r\nand so on!");
    // What begins anew is made of what is wanted then.
    for form in FORMS {
        let disk = form.disk(&sim, 1);
        form.to_write(&*disk, 0).write_all_at(b"anew", 0).unwrap();
        assert!(open(&*disk, Path::new(PATH), place()).unwrap().1);
        assert_eq!(all(&*disk), b"anew");
    }
    plain
        .to_write(&sim, 0)
        .write_all_at(b"EVJSEG\r\n", 0)
        .unwrap();
    assert!(!open(&sim, Path::new(PATH), place()).unwrap().1);
}

#[test]
fn a_store_with_keys_never_goes_on_in_the_open() {
    let sim = SimDisk::new();
    let disk = sealed_disk(&sim, 1, 1);
    let form = FORMS[1];
    // The file was lost while the server ran.
    form.to_write(&*disk, 100)
        .write_all_at(MARKER, 100)
        .unwrap();
    let raw = read_file(&sim, Path::new(PATH)).unwrap();
    assert!(!raw.windows(MARKER.len()).any(|part| part == MARKER));
    let found = all(&*disk);
    assert_eq!(found[..100], [0; 100]);
    assert_eq!(&found[100..], MARKER);
}

#[test]
fn a_file_is_cut_between_blocks_only() {
    for form in FORMS {
        let sim = SimDisk::new();
        let disk = form.disk(&sim, 1);
        let file = form.to_write(&*disk, 0);
        file.write_all_at(&[1; 100], 0).unwrap();
        file.write_all_at(&[2; 100], 100).unwrap();
        assert_eq!(
            file.set_len(150).unwrap_err().kind(),
            io::ErrorKind::Unsupported
        );
        file.set_len(100).unwrap();
        assert_eq!(all(&*disk), [1; 100]);
    }
}

#[test]
fn what_looks_like_a_block_in_a_payload_is_not_taken_for_one_of_a_sealed_file() {
    // A file that says it is not sealed at all can be made by whoever can write the disk; a publisher cannot get there.
    let sim = SimDisk::new();
    let disk = sealed_disk(&sim, 1, 1);
    let form = FORMS[1];
    let file = form.to_write(&*disk, 0);
    file.write_all_at(&[0xFF; 100], 0).unwrap();
    let first = read_file(&sim, Path::new(PATH)).unwrap().len();
    let mut forged = Vec::new();
    pack(&mut forged, &[b'!'; 50], 150, place(), false, None);
    let payload = [forged.clone(), vec![0xFF; 100]].concat();
    file.write_all_at(&payload, 100).unwrap();
    let end = 100 + payload.len();
    file.write_all_at(b"true", end as u64).unwrap();
    sim.flip_bit(Path::new(PATH), (first as u64 + 20) * 8);
    let found = all(&*disk);
    assert_eq!(found[..100], [0xFF; 100]);
    assert!(found[100..end].iter().all(|byte| *byte == 0));
    assert_eq!(&found[end..], b"true");
}

#[test]
fn a_file_that_cannot_be_read_is_not_taken_for_anything() {
    let sim = SimDisk::new();
    let disk = sealed_disk(&sim, 1, 1);
    let form = FORMS[1];
    form.to_write(&*disk, 0).write_all_at(b"text", 0).unwrap();
    sim.fail_reads(Path::new(PATH));
    assert!(open(&*disk, Path::new(PATH), place()).is_err());
}
