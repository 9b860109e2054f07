//! The corpus that fuzzing left, as it is and with small seeded changes, on any toolchain.

use std::fs;
use std::path::{Path, PathBuf};

use everjet_fuzz_checks::TARGETS;
use everjet_values::{Entropy, SeededEntropy};

/// Changes of each file. Fuzzing makes millions; these find what a change of the code breaks at once.
const CHANGES: u64 = 20;
const FILES_MAX: usize = 64;
const BYTES_MAX: usize = 100 * 1024;

macro_rules! replay {
    ($($target:ident),+ $(,)?) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )+

        #[test]
        fn every_target_is_replayed() {
            let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, [$(stringify!($target)),+]);
        }
    };
}

replay!(
    decode,
    headers,
    connect,
    proxy,
    trace,
    websocket,
    upgrade,
    client,
    subjects,
    transform,
    values,
    config,
    api,
    api_subjects,
    stream,
    replay_records,
    consumer,
    journal_record,
    segment_record,
    segment_header,
    index,
    checkpoint,
    manifest,
    keyring,
    journal_file,
    segment_file,
    block,
);

#[test]
fn every_target_has_a_binary() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("fuzz has a manifest");
    for (name, _) in TARGETS {
        let source = fs::read_to_string(fuzz().join(format!("targets/{name}.rs")));
        let source = source.unwrap_or_else(|error| panic!("targets/{name}.rs: {error}"));
        assert!(source.contains(&format!("check_{name}(")), "{source}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}

/// Panics with the bytes that failed.
fn replay(target: &str) {
    let (_, check) = TARGETS
        .iter()
        .find(|(name, _)| *name == target)
        .expect("a target of that name");
    let files = corpus(target);
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(!files.is_empty() && files.len() <= FILES_MAX, "{target}");
    assert!(bytes <= BYTES_MAX, "{target} keeps {bytes} bytes");
    for (path, bytes) in &files {
        let guard = Shown(path, bytes);
        check(bytes);
        drop(guard);
        let random = SeededEntropy::new(bytes.len() as u64);
        let other = &files[below(&random, files.len())].1;
        for _ in 0..CHANGES {
            let changed = changed(&random, bytes, other);
            let guard = Shown(path, &changed);
            check(&changed);
            drop(guard);
        }
    }
}

/// Says which input it was when a check panics.
struct Shown<'a>(&'a Path, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: \"{}\"", self.0.display(), self.1.escape_ascii());
        }
    }
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fuzz().join("corpus").join(target);
    let entries = fs::read_dir(&folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<(PathBuf, Vec<u8>)> = entries
        .map(|entry| entry.expect("the corpus is readable").path())
        .map(|path| {
            let bytes = fs::read(&path).expect("the corpus is readable");
            (path, bytes)
        })
        .collect();
    files.sort();
    files
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A few bytes changed, taken out, put in or doubled, or another input behind the beginning of this one.
fn changed(random: &SeededEntropy, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for _ in 0..=below(random, 3) {
        let at = below(random, changed.len() + 1);
        let noise = random.next_u64().to_le_bytes();
        match below(random, 6) {
            0 if at < changed.len() => changed[at] = noise[0],
            1 if at < changed.len() => changed[at] ^= 1 << (noise[0] % 8),
            2 if at < changed.len() => drop(changed.remove(at)),
            3 => changed.insert(at, noise[0]),
            4 => {
                let piece = changed[at..].iter().take(8).copied().collect::<Vec<u8>>();
                changed.splice(at..at, piece);
            }
            _ => {
                changed.truncate(at);
                changed.extend_from_slice(&other[below(random, other.len() + 1)..]);
            }
        }
    }
    changed
}

fn below(random: &SeededEntropy, bound: usize) -> usize {
    usize::try_from(random.next_u64() % bound as u64).expect("below a usize")
}
