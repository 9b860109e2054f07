//! Reads what nats-server 2.15.1 wrote (`fixtures/`), whole and with every kind of damage. The rule: never a wrong message, never
//! a missing one that nothing tells of, never a panic.

use std::collections::BTreeMap;

use everjet_api::AckPolicy;
use everjet_foreign::{
    AssetKey, Block, Checksum, ConsumerMeta, ForeignConsumerState, Index, IndexError,
    PendingDelivery, Plan, RecordKind, Scanned, StoreKey, StreamMeta, Survey, Verdict,
    block_context, consumer_context, unseal,
};

/// The files of a folder of fixtures.
struct Files {
    name: &'static str,
    stream: &'static str,
    files: BTreeMap<&'static str, &'static [u8]>,
}

macro_rules! files {
    ($folder:literal, $stream:literal, $($file:literal),+) => {
        Files {
            name: $folder,
            stream: $stream,
            files: BTreeMap::from([
                $(($file, include_bytes!(concat!("fixtures/", $folder, "/", $file)).as_slice()),)+
            ]),
        }
    };
}

fn plain() -> Files {
    files!(
        "plain",
        "ORDERS",
        "meta.inf",
        "meta.sum",
        "1.blk",
        "index.db",
        "consumer.meta.inf",
        "consumer.meta.sum",
        "consumer.o.dat"
    )
}

fn chacha() -> Files {
    files!(
        "chacha",
        "ORDERS",
        "meta.inf",
        "meta.sum",
        "meta.key",
        "1.blk",
        "1.key",
        "index.db",
        "consumer.meta.inf",
        "consumer.meta.sum",
        "consumer.meta.key",
        "consumer.o.dat"
    )
}

fn aes() -> Files {
    files!(
        "aes",
        "ORDERS",
        "meta.inf",
        "meta.sum",
        "meta.key",
        "1.blk",
        "1.key",
        "index.db",
        "consumer.meta.inf",
        "consumer.meta.sum",
        "consumer.meta.key",
        "consumer.o.dat"
    )
}

fn s2() -> Files {
    files!(
        "s2", "PACKED", "meta.inf", "meta.sum", "1.blk", "2.blk", "index.db"
    )
}

/// A message: subject, headers, payload.
type Message = (String, String, String);

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    messages: BTreeMap<u64, Message>,
    damage: usize,
    complete: bool,
}

impl Files {
    fn get(&self, file: &str) -> &'static [u8] {
        self.files[file]
    }

    fn key(&self, file: &str, context: &str) -> Option<AssetKey> {
        let sealed = self.files.get(file)?;
        let key = unseal(&[StoreKey::new(b"secret-key")], "$G", context, sealed);
        Some(key.expect("the key opens it"))
    }

    fn index(&self) -> Index {
        let key = self.key("meta.key", self.stream);
        Index::read(self.get("index.db"), self.stream, key.as_ref()).expect("sound")
    }

    /// Reads the blocks, one of them replaced.
    fn read(&self, mut plan: Plan, replaced: Option<(u32, &[u8])>) -> Read {
        // Without an index, tombstones are known only after a first reading.
        if !plan.is_indexed() {
            self.read_once(&mut plan, replaced);
        }
        self.read_once(&mut plan, replaced)
    }

    fn read_once(&self, plan: &mut Plan, replaced: Option<(u32, &[u8])>) -> Read {
        let mut read = Read::default();
        let mut survey = Survey::new(plan);
        for number in 1..=2 {
            let name = format!("{number}.blk");
            let Some(mut file) = self.files.get(name.as_str()).copied() else {
                continue;
            };
            if let Some((_, other)) = replaced.filter(|(which, _)| *which == number) {
                file = other;
            }
            let key = self.key(
                &format!("{number}.key"),
                &block_context(self.stream, number),
            );
            let Ok(block) = Block::open(file.to_vec(), self.stream, number, key.as_ref()) else {
                read.damage += 1;
                continue;
            };
            read.damage += block.chunk_damage().len();
            for scanned in block.records() {
                let Scanned::Record(record) = scanned else {
                    read.damage += 1;
                    continue;
                };
                match survey.record(plan, number, &record) {
                    Verdict::Live => {
                        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                        read.messages.insert(
                            record.sequence,
                            (
                                text(record.subject),
                                text(record.headers),
                                text(record.payload),
                            ),
                        );
                    }
                    Verdict::Nothing => {}
                    Verdict::WrongSubject => read.damage += 1,
                }
            }
        }
        read.complete = survey.is_complete(plan);
        read
    }
}

fn indexed(files: &Files) -> Plan {
    Plan::Indexed(Box::new(files.index()))
}

/// The messages that a folder holds, by `fixtures/README.md`.
fn expected(files: &Files) -> BTreeMap<u64, Message> {
    let message = |number: u64| match files.stream {
        "ORDERS" => {
            let headers = match number % 4 {
                0 => format!("NATS/1.0\r\nNats-Msg-Id: m{number}\r\n\r\n"),
                _ => String::new(),
            };
            (
                format!("orders.{}", number % 3),
                headers,
                format!("message {number}"),
            )
        }
        _ if number == 33 => ("packed.end".to_owned(), String::new(), "end".to_owned()),
        _ => {
            let payload = format!("{number:04}").repeat(250);
            (format!("packed.{}", number % 3), String::new(), payload)
        }
    };
    let sequences: Vec<u64> = match files.stream {
        "ORDERS" => [3, 4].into_iter().chain(7..=12).collect(),
        _ => (1..=33).collect(),
    };
    sequences
        .into_iter()
        .map(|number| (number, message(number)))
        .collect()
}

#[test]
fn messages_are_read_as_they_were_published() {
    for files in [plain(), chacha(), aes(), s2()] {
        for plan in [indexed(&files), Plan::rebuilt(None)] {
            let read = files.read(plan, None);
            assert_eq!(read.messages, expected(&files), "{}", files.name);
            assert_eq!((read.damage, read.complete), (0, true), "{}", files.name);
        }
    }
}

#[test]
fn the_index_says_what_the_stream_info_said() {
    for files in [plain(), chacha(), aes()] {
        let index = files.index();
        assert_eq!((index.messages, index.bytes), (8, 479));
        assert_eq!((index.first_sequence, index.last_sequence), (3, 12));
        let mut subjects = index.subjects.clone();
        subjects.sort();
        let subject = |name: &str, total: u64| (name.as_bytes().to_vec(), total);
        let totals = [("orders.0", 3), ("orders.1", 3), ("orders.2", 2)];
        assert_eq!(subjects, totals.map(|(name, total)| subject(name, total)));
        assert!(index.deleted.contains(5) && index.deleted.contains(6));
        assert_eq!(index.deleted.len(), 2);
        let key = files.key("1.key", &block_context("ORDERS", 1));
        let block = Block::open(files.get("1.blk").to_vec(), "ORDERS", 1, key.as_ref()).unwrap();
        assert_eq!(block.last_checksum(), Some(index.last_checksum));
    }
}

#[test]
fn definitions_and_states_of_consumers_are_read() {
    for files in [plain(), chacha(), aes()] {
        let key = files.key("meta.key", "ORDERS");
        let open = |bytes: &[u8], key: &Option<AssetKey>| match key {
            None => bytes.to_vec(),
            Some(key) => key.open(bytes).expect("its own key"),
        };
        let raw = files.get("meta.inf");
        assert!(Checksum::of_stream("ORDERS").matches_text(raw, files.get("meta.sum")));
        let stream = StreamMeta::read(&open(raw, &key)).unwrap();
        assert_eq!(stream.config.subjects, ["orders.>"]);
        let raw = files.get("consumer.meta.inf");
        let checksum = Checksum::of_consumer("ORDERS", "work");
        assert!(checksum.matches_text(raw, files.get("consumer.meta.sum")));
        let key = files.key("consumer.meta.key", &consumer_context("ORDERS", "work"));
        let consumer = ConsumerMeta::read(&open(raw, &key)).unwrap();
        assert_eq!(
            (consumer.name.as_str(), consumer.config.ack_policy),
            ("work", AckPolicy::Explicit)
        );
        let state = open(files.get("consumer.o.dat"), &key);
        let state = ForeignConsumerState::read(&state).unwrap();
        assert_eq!((state.ack_floor, state.delivered), ((1, 3), (7, 9)));
        let pending =
            |delivery: &PendingDelivery| (delivery.stream, delivery.consumer, delivery.count);
        let pending: Vec<_> = state.pending.iter().map(pending).collect();
        assert_eq!(pending, [(4, 2, 2), (8, 4, 2), (9, 5, 1)]);
    }
}

/// Every message read is one that was published; a missing one is told of.
#[track_caller]
fn check_harm(read: &Read, expected: &BTreeMap<u64, Message>, what: &str) {
    for (sequence, message) in &read.messages {
        assert_eq!(
            expected.get(sequence),
            Some(message),
            "{what}: message {sequence}"
        );
    }
    let is_whole = read.messages.len() == expected.len();
    assert!(
        is_whole || read.damage > 0 || !read.complete,
        "{what}: silently lost"
    );
}

#[test]
fn no_flipped_bit_of_a_block_gives_a_wrong_message() {
    for files in [plain(), chacha(), aes(), s2()] {
        let expected = expected(&files);
        for (number, name) in [(1, "1.blk"), (2, "2.blk")] {
            let Some(sound) = files.files.get(name) else {
                continue;
            };
            // Every bit of the plain block; one bit, another for every byte, of those that take longer.
            let step = if files.name == "plain" { 1 } else { 9 };
            for bit in (0..sound.len() * 8).step_by(step) {
                let mut bytes = sound.to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let read = files.read(indexed(&files), Some((number, &bytes)));
                let what = format!("{} {name} byte {} bit {}", files.name, bit / 8, bit % 8);
                check_harm(&read, &expected, &what);
            }
        }
    }
}

/// Where the subject length of every record of `plain` lies: no checksum covers it, and only the index tells that it is wrong.
fn is_subject_length(offset: usize) -> bool {
    let files = plain();
    let block = Block::open(files.get("1.blk").to_vec(), "ORDERS", 1, None).unwrap();
    block.records().any(|scanned| match scanned {
        Scanned::Record(record) => (record.offset + 20..record.offset + 22).contains(&offset),
        Scanned::Damage { .. } => false,
    })
}

#[test]
fn without_an_index_only_a_wrong_subject_length_can_go_unseen() {
    let files = plain();
    let (sound, expected) = (files.get("1.blk"), expected(&files));
    for byte in (0..sound.len()).filter(|byte| !is_subject_length(*byte)) {
        for bit in 0..8 {
            let mut bytes = sound.to_vec();
            bytes[byte] ^= 1 << bit;
            let mut read = files.read(Plan::rebuilt(None), Some((1, &bytes)));
            // A damaged tombstone gives a removed message back, and is told of.
            if read.damage > 0 {
                read.messages
                    .retain(|sequence, _| expected.contains_key(sequence));
            }
            check_harm(&read, &expected, &format!("byte {byte} bit {bit}"));
        }
    }
}

#[test]
fn what_an_older_index_knows_to_be_removed_does_not_come_back() {
    let files = plain();
    let block = Block::open(files.get("1.blk").to_vec(), "ORDERS", 1, None).unwrap();
    let tombstones = block.records().find_map(|scanned| match scanned {
        Scanned::Record(record) if record.kind == RecordKind::Tombstone => Some(record.offset),
        _ => None,
    });
    let cut = &files.get("1.blk")[..tombstones.expect("there are some")];
    let read = files.read(Plan::rebuilt(Some(&files.index())), Some((1, cut)));
    assert_eq!(read.messages, expected(&files));
    let read = files.read(Plan::rebuilt(None), Some((1, cut)));
    let sequences: Vec<u64> = read.messages.into_keys().collect();
    // 6 was erased, which the record itself says.
    assert_eq!(sequences, [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]);
}

#[test]
fn no_truncated_block_gives_a_wrong_message() {
    for files in [plain(), chacha(), aes(), s2()] {
        let (sound, expected) = (files.get("1.blk"), expected(&files));
        for length in 0..sound.len() {
            let read = files.read(indexed(&files), Some((1, &sound[..length])));
            check_harm(&read, &expected, &format!("{} cut to {length}", files.name));
        }
    }
}

#[test]
fn a_write_that_was_cut_short_is_told_from_damage() {
    let files = plain();
    let sound = files.get("1.blk");
    // Whether the last thing in a block is damage, and looks torn.
    let ends_torn = |bytes: &[u8]| {
        let block = Block::open(bytes.to_vec(), "ORDERS", 1, None).unwrap();
        match block.records().last() {
            Some(Scanned::Damage { torn, .. }) => Some(torn),
            _ => None,
        }
    };
    // The last record is a tombstone of 30 bytes.
    for cut in 1..30 {
        let torn = ends_torn(&sound[..sound.len() - cut]);
        assert_eq!(torn, Some(true), "{cut} bytes are missing");
    }
    let zeros: Vec<u8> = sound.iter().copied().chain([0; 4096]).collect();
    assert_eq!(ends_torn(&zeros), Some(true));
    let mut flipped = sound.to_vec();
    let middle = flipped.len() - 15;
    flipped[middle] ^= 1;
    assert_eq!(ends_torn(&flipped), Some(false));
}

#[test]
fn records_inside_a_payload_are_not_taken_for_records() {
    let checksum = Checksum::of_block("S", 1);
    let record = |sequence: u64, payload: &[u8]| {
        let mut bytes = u32::try_from(22 + 1 + payload.len() + 8)
            .unwrap()
            .to_le_bytes()
            .to_vec();
        bytes.extend_from_slice(&sequence.to_le_bytes());
        bytes.extend_from_slice(&7_i64.to_le_bytes());
        bytes.extend_from_slice(&1_u16.to_le_bytes());
        bytes.extend_from_slice(b"s");
        bytes.extend_from_slice(payload);
        let sum = checksum.of(&[&bytes[4..20], &bytes[22..]]);
        bytes.extend_from_slice(&sum);
        bytes
    };
    let forged = record(2, b"forged");
    let mut bytes = record(1, &forged);
    bytes.extend(record(3, b"real"));
    for byte in 0..30 {
        let mut damaged = bytes.clone();
        damaged[byte] ^= 0x41;
        let block = Block::open(damaged, "S", 1, None).unwrap();
        let found: Vec<_> = block
            .records()
            .filter_map(|scanned| match scanned {
                Scanned::Record(record) => Some((record.sequence, record.payload.to_vec())),
                Scanned::Damage { .. } => None,
            })
            .collect();
        assert!(
            found.iter().all(|(sequence, _)| *sequence != 2),
            "byte {byte}"
        );
        assert_eq!(found.last(), Some(&(3, b"real".to_vec())), "byte {byte}");
    }
}

#[test]
fn a_damaged_index_is_not_used() {
    for files in [plain(), chacha(), aes()] {
        let key = files.key("meta.key", "ORDERS");
        let sound = files.get("index.db");
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let read = Index::read(&bytes, "ORDERS", key.as_ref());
            assert_eq!(read, Err(IndexError::Checksum), "{} bit {bit}", files.name);
        }
        for length in 0..sound.len() {
            assert!(Index::read(&sound[..length], "ORDERS", key.as_ref()).is_err());
        }
    }
}

#[test]
fn an_index_that_lies_under_a_sound_checksum_does_no_harm() {
    let files = plain();
    let (content, _) = files.get("index.db").split_last_chunk::<8>().unwrap();
    let expected = expected(&files);
    for byte in 0..content.len() {
        for value in [0, 1, 0x7F, 0x80, 0xFF] {
            let mut lie = content.to_vec();
            lie[byte] = value;
            let sum = Checksum::of_stream("ORDERS").of(&[&lie]);
            lie.extend_from_slice(&sum);
            if let Ok(index) = Index::read(&lie, "ORDERS", None) {
                let plan = Plan::Indexed(Box::new(index));
                let read = files.read(plan, None);
                assert!(read.messages.keys().all(|sequence| *sequence <= 12));
                let unharmed = |(sequence, message)| {
                    expected
                        .get(sequence)
                        .is_none_or(|expected| expected == message)
                };
                assert!(read.messages.iter().all(unharmed), "byte {byte}");
            }
        }
    }
}

#[test]
fn damaged_definitions_fail_their_checksum_or_their_seal() {
    for files in [plain(), chacha(), aes()] {
        let key = files.key("meta.key", "ORDERS");
        let (sound, sum) = (files.get("meta.inf"), files.get("meta.sum"));
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!Checksum::of_stream("ORDERS").matches_text(&bytes, sum));
            match &key {
                Some(key) => assert_eq!(key.open(&bytes), None),
                None => drop(StreamMeta::read(&bytes)),
            }
        }
        assert!(!Checksum::of_stream("ORDERS").matches_text(sound, b"0123456789abcdef"));
    }
}

#[test]
fn damaged_keys_open_nothing() {
    let keys = [StoreKey::new(b"another"), StoreKey::new(b"secret-key")];
    for files in [chacha(), aes()] {
        let sound = files.get("1.key");
        let context = block_context("ORDERS", 1);
        assert!(unseal(&keys, "$G", &context, sound).is_some());
        assert!(unseal(&keys[..1], "$G", &context, sound).is_none());
        assert!(unseal(&keys, "A", &context, sound).is_none());
        assert!(unseal(&keys, "$G", &block_context("ORDERS", 2), sound).is_none());
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(&keys, "$G", &context, &bytes).is_none(), "bit {bit}");
        }
        for length in 0..sound.len() {
            assert!(unseal(&keys, "$G", &context, &sound[..length]).is_none());
        }
    }
}

#[test]
fn damaged_states_of_consumers_stay_inside_what_a_consumer_can_have_done() {
    let files = plain();
    let sound = files.get("consumer.o.dat");
    for length in 0..sound.len() {
        assert_eq!(
            ForeignConsumerState::read(&sound[..length]),
            None,
            "{length}"
        );
    }
    for bit in 0..sound.len() * 8 {
        let mut bytes = sound.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Some(state) = ForeignConsumerState::read(&bytes) {
            assert!(
                state.ack_floor.0 <= state.delivered.0 && state.ack_floor.1 <= state.delivered.1
            );
            let inside = |delivery: &PendingDelivery| {
                delivery.stream <= state.delivered.1 && delivery.consumer <= state.delivered.0
            };
            assert!(state.pending.iter().all(inside), "bit {bit}");
        }
    }
}

#[test]
fn the_first_version_of_a_consumers_state_is_read_too() {
    // Floor 2/3; delivered one ahead and relative to it; pending 4 and 6, the base their earliest second.
    let bytes = [22, 1, 2, 3, 3, 4, 2, 0xC8, 1, 1, 0, 3, 2, 1, 1, 2];
    let state = ForeignConsumerState::read(&bytes).expect("sound");
    assert_eq!((state.ack_floor, state.delivered), ((2, 3), (4, 6)));
    let pending = |stream, count, delivered_at| PendingDelivery {
        stream,
        consumer: 0,
        count,
        delivered_at,
    };
    assert_eq!(state.pending, [pending(4, 3, 100), pending(6, 1, 101)]);
}

#[test]
fn unknown_fields_and_algorithms_are_named() {
    let text = br#"{"Created":"2026-01-01T00:00:00Z","name":"S","warp_speed":9}"#;
    let error = StreamMeta::read(text).unwrap_err();
    assert!(error.to_string().contains("warp_speed"), "{error}");
    let error = Block::open(b"cmp\x07\x20...............".to_vec(), "S", 1, None).unwrap_err();
    assert!(error.to_string().contains('7'), "{error}");
}
