//! The tree and the table against a list and `matches`, the set against a list and `collides`, with seeded random subjects and filters over few tokens.

mod transforms;

use everjet_subject::{
    FilterSet, FilterTree, SubjectHashes, SubjectId, SubjectNames, SubjectTable, collides,
    is_valid_filter, matches,
};

/// A splitmix64 sequence: the same seed gives the same test.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % bound as u64).expect("below a usize")
    }

    fn dotted(&mut self, alphabet: &[&str]) -> Vec<u8> {
        let tokens: Vec<&str> = (0..=self.below(4))
            .map(|_| alphabet[self.below(alphabet.len())])
            .collect();
        tokens.join(".").into_bytes()
    }
}

fn matched(tree: &FilterTree<u32>, subject: &[u8]) -> Vec<u32> {
    let mut found = Vec::new();
    tree.for_each_match(subject, |value| found.push(*value));
    found.sort_unstable();
    found
}

fn check_tree(seed: u64, filter_tokens: &[&str], subject_tokens: &[&str]) {
    let mut random = Random(seed);
    let mut tree = FilterTree::new();
    let mut list: Vec<(Vec<u8>, u32)> = Vec::new();
    for step in 0..20_000u32 {
        // Grows and shrinks in waves, down to empty.
        let growing = (step / 400) % 2 == 0;
        if list.is_empty() || random.below(10) < if growing { 8 } else { 1 } {
            let filter = random.dotted(filter_tokens);
            tree.insert(&filter, step);
            list.push((filter, step));
        } else {
            let (filter, value) = list.swap_remove(random.below(list.len()));
            assert_eq!(tree.remove(&filter, |_| false), None);
            assert_eq!(tree.remove(&filter, |held| *held == value), Some(value));
            assert_eq!(tree.remove(&filter, |held| *held == value), None);
        }
        assert_eq!(tree.len(), list.len());
        assert_eq!(tree.is_empty(), list.is_empty());

        let subject = random.dotted(subject_tokens);
        let mut expected: Vec<u32> = list
            .iter()
            .filter(|(filter, _)| matches(filter, &subject))
            .map(|(_, value)| *value)
            .collect();
        expected.sort_unstable();
        let shown = String::from_utf8_lossy(&subject);
        assert_eq!(tree.has_match(&subject), !expected.is_empty(), "{shown}");
        assert_eq!(matched(&tree, &subject), expected, "{shown}");
    }
}

#[test]
fn the_tree_finds_what_a_list_finds() {
    check_tree(1, &["a", "b", "*", ">"], &["a", "b", "c"]);
    check_tree(2, &["a", "bb", "c", "*", ">", "a*"], &["a", "bb", "a*"]);
}

#[test]
fn the_tree_treats_odd_filters_and_subjects_as_the_list_does() {
    check_tree(3, &["a", "", "*", ">"], &["a", "", "*", ">"]);
}

#[test]
fn a_clone_of_the_tree_is_a_snapshot() {
    let mut tree = FilterTree::new();
    tree.insert(b"a.*", 1);
    let snapshot = tree.clone();
    tree.insert(b"a.>", 2);
    tree.remove(b"a.*", |_| true);
    assert_eq!(matched(&snapshot, b"a.b"), [1]);
    assert_eq!(matched(&tree, b"a.b"), [2]);
}

#[test]
fn wide_nodes_and_deep_filters_are_fine() {
    let mut tree = FilterTree::new();
    let wide: Vec<Vec<u8>> = (0..100_000)
        .map(|client| format!("_INBOX.{client}.*").into_bytes())
        .collect();
    for (value, filter) in (0..).zip(&wide) {
        tree.insert(filter, value);
    }
    assert_eq!(matched(&tree, b"_INBOX.77777.x"), [77_777]);
    assert_eq!(matched(&tree, b"_INBOX.77777"), [0; 0]);

    let tokens = 100_000;
    for (value, token) in (0..).zip(["a", "*"]) {
        let mut filter = format!("{token}.").repeat(tokens).into_bytes();
        filter.push(b'>');
        tree.insert(&filter, value);
    }
    let subject = "a.".repeat(tokens) + "a";
    assert_eq!(matched(&tree, subject.as_bytes()), [0, 1]);
    drop(tree);
}

#[test]
fn every_level_may_branch() {
    // All 2^12 filters of twelve tokens `a` or `*`: more open branches than the walk keeps in place.
    let mut tree = FilterTree::new();
    for bits in 0..1u32 << 12 {
        let tokens: Vec<&str> = (0..12)
            .map(|level| if bits >> level & 1 == 0 { "a" } else { "*" })
            .collect();
        tree.insert(tokens.join(".").as_bytes(), bits);
    }
    let all: Vec<u32> = (0..1 << 12).collect();
    assert_eq!(matched(&tree, b"a.a.a.a.a.a.a.a.a.a.a.a"), all);
    assert_eq!(matched(&tree, b"b.b.b.b.b.b.b.b.b.b.b.b"), [(1 << 12) - 1]);
}

#[test]
fn the_table_finds_what_a_list_finds() {
    let mut random = Random(4);
    let mut table = SubjectTable::new();
    let mut list: Vec<Vec<u8>> = Vec::new();
    let tokens = ["a", "b", "aa", "ab", "$KV"];
    let filter_tokens = ["a", "b", "aa", "ab", "$KV", "*", ">"];
    for _ in 0..3_000 {
        let subject = random.dotted(&tokens);
        let known = list.iter().position(|held| *held == subject);
        assert_eq!(table.lookup(&subject).map(|id| id.0 as usize), known);
        let id = table.intern(&subject);
        if known.is_none() {
            list.push(subject.clone());
        }
        assert_eq!(id.0 as usize, known.unwrap_or(list.len() - 1));
        assert_eq!(table.len(), list.len());
        assert_eq!(table.name(id), subject);

        let filter = random.dotted(&filter_tokens);
        if !is_valid_filter(&filter) {
            continue;
        }
        let mut found = Vec::new();
        table.for_each_match(&filter, |id| found.push(id));
        let expected: Vec<SubjectId> = (0..)
            .zip(&list)
            .filter(|(_, subject)| matches(&filter, subject))
            .map(|(id, _)| SubjectId(id))
            .collect();
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(&filter));
    }
}

#[test]
fn a_table_of_many_subjects_keeps_them_apart() {
    let mut table = SubjectTable::new();
    assert!(table.is_empty());
    for key in 0..200_000u32 {
        assert_eq!(table.intern(format!("$KV.bucket.{key}").as_bytes()).0, key);
    }
    for key in (0..200_000u32).step_by(97) {
        let subject = format!("$KV.bucket.{key}").into_bytes();
        assert_eq!(table.lookup(&subject), Some(SubjectId(key)));
        assert_eq!(table.name(SubjectId(key)), subject);
    }
    assert_eq!(table.lookup(b"$KV.bucket.200000"), None);
    let mut found = 0;
    table.for_each_match(b"$KV.*.>", |_| found += 1);
    assert_eq!(found, 200_000);
}

#[test]
fn subjects_added_in_blocks_are_those_added_one_by_one() {
    let names: Vec<String> = (0..3 * SubjectNames::TOGETHER + 100)
        .map(|key| format!("block.{key}"))
        .collect();
    // Whole blocks, what is left of one, and blocks that begin in the middle of one.
    for step in [SubjectNames::TOGETHER, 1000, SubjectNames::TOGETHER + 1] {
        let mut read = SubjectNames::default();
        for some in names.chunks(step) {
            let bytes = some.concat();
            let lengths: Vec<u16> = some.iter().map(|name| name.len() as u16).collect();
            assert!(!read.push_all(bytes.as_bytes(), &lengths[1..]));
            assert!(read.push_all(bytes.as_bytes(), &lengths));
        }
        assert!(read.push_all(b"", &[]));
        let mut table = SubjectTable::from_names(read);
        assert_eq!(table.len(), names.len());
        assert_eq!(table.names().len(), names.len());
        for (id, name) in (0..).zip(&names) {
            assert_eq!(table.lookup(name.as_bytes()), Some(SubjectId(id)));
            assert_eq!(table.name(SubjectId(id)), name.as_bytes());
        }
        assert_eq!(table.intern(b"one more").0 as usize, names.len());
        assert_eq!(table.lookup(b"another"), None);
    }
}

#[test]
fn hashes_that_were_written_make_the_same_table() {
    let mut names = SubjectNames::default();
    let mut texts = Vec::new();
    for key in 0..5_000 {
        let name = format!("hashed.{key}");
        assert!(names.push_all(name.as_bytes(), &[name.len() as u16]));
        texts.push(name);
    }
    let of =
        |texts: &[String]| SubjectHashes::of(texts.len(), texts.iter().map(|text| text.as_bytes()));
    let read_back = |written: &SubjectHashes, entries: &[u64]| {
        let mut hashes = SubjectHashes::with_seed(written.seed(), entries.len());
        for some in entries.chunks(1000) {
            let bytes: Vec<[u8; 8]> = some.iter().map(|entry| entry.to_le_bytes()).collect();
            hashes.push_entries(&bytes);
        }
        SubjectTable::from_parts(names.clone(), hashes)
    };
    let written = of(&texts);
    let mut table = read_back(&written, written.entries()).expect("as it was written");
    for (id, text) in (0..).zip(&texts) {
        assert_eq!(table.lookup(text.as_bytes()), Some(SubjectId(id)));
    }
    assert_eq!(table.lookup(b"hashed.5000"), None);
    for key in 5_000..20_000 {
        let id = table.intern(format!("hashed.{key}").as_bytes());
        assert_eq!(id, SubjectId(key));
    }
    // Of other subjects, too full, with an id that nobody has.
    let fewer = of(&texts[1..]);
    assert!(read_back(&fewer, fewer.entries()).is_none());
    let full: Vec<u64> = (1..=5_000).collect();
    assert!(read_back(&written, &full).is_none());
    let mut strange = written.entries().to_vec();
    let place = strange.iter_mut().find(|entry| **entry != 0);
    *place.expect("not all are free") |= 0xFFFF_FFFF;
    assert!(read_back(&written, &strange).is_none());
    assert_eq!(SubjectHashes::check(5), SubjectHashes::check(5));
    assert_ne!(SubjectHashes::check(5), SubjectHashes::check(6));
    assert_ne!(written.seed(), fewer.seed());
}

fn check_set(seed: u64, alphabet: &[&str]) {
    let mut random = Random(seed);
    for _ in 0..1_000 {
        let mut set = FilterSet::new();
        let mut list: Vec<Vec<u8>> = Vec::new();
        for _ in 0..=random.below(30) {
            let filter = random.dotted(alphabet);
            let shown = String::from_utf8_lossy(&filter);
            let expected = list.iter().any(|held| collides(held, &filter));
            let found = set.collides(&filter);
            assert_eq!(found.is_some(), expected, "{shown} with {list:?}");
            if let Some(found) = &found {
                assert!(list.contains(found) && collides(found, &filter), "{shown}");
            }
            assert_eq!(set.insert(&filter).err(), found, "{shown}");
            list.push(filter);
        }
    }
}

#[test]
fn the_set_agrees_with_collides() {
    check_set(1, &["a", "b", "c", "d", "e", "f", "*"]);
    check_set(2, &["a", "b", "c", "*", ">"]);
    // Empty tokens, and wildcards inside longer tokens.
    check_set(3, &["", "a", "*", ">", "a*", ">a"]);
}
