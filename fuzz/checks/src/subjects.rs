//! Subjects, filters, and the structures of many of them.

use everjet_subject::{
    FilterSet, FilterTree, SubjectTable, collides, is_subset, is_valid_filter, is_valid_literal,
    matches,
};

/// Validity, matching, subset and collision agree with their definitions token by token, and the tree, the table and the
/// set with lists of what they hold.
///
/// Each line is a filter or subject; one that begins with `!` takes a filter out of the tree again, and one that begins
/// with `?` only asks.
pub fn check_subjects(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').take(64).collect();
    for line in &lines {
        check_validity(line);
    }
    for pair in lines.windows(2) {
        check_pair(pair[0], pair[1]);
    }
    check_tree(&lines);
    check_table(&lines);
    check_set(&lines);
}

type Tokens<'a> = Vec<&'a [u8]>;

fn tokens(subject: &[u8]) -> Tokens<'_> {
    subject.split(|byte| *byte == b'.').collect()
}

fn check_validity(subject: &[u8]) {
    let parts = tokens(subject);
    let is_blank = |byte: &u8| b" \t\r\n\x0c".contains(byte);
    let well_formed = parts.iter().all(|token| !token.is_empty()) && !subject.iter().any(is_blank);
    let (_, before) = parts.split_last().expect("one token at least");
    let valid = well_formed && before.iter().all(|token| *token != b">");
    let literal = well_formed && parts.iter().all(|token| *token != b"*" && *token != b">");
    assert_eq!(is_valid_filter(subject), valid);
    assert_eq!(is_valid_literal(subject), literal);
}

/// The definition of matching.
fn fits(filter: &[&[u8]], subject: &[&[u8]]) -> bool {
    if subject.iter().any(|token| token.is_empty()) {
        return false;
    }
    match (filter, subject) {
        ([], []) => true,
        ([b">"], [_, ..]) => true,
        ([wanted, filter @ ..], [token, subject @ ..]) => {
            (wanted == token || *wanted == b"*") && fits(filter, subject)
        }
        _ => false,
    }
}

fn check_pair(a: &[u8], b: &[u8]) {
    assert_eq!(matches(a, b), fits(&tokens(a), &tokens(b)));
    if !is_valid_filter(a) || !is_valid_filter(b) {
        return;
    }
    assert_eq!(collides(a, b), collides(b, a));
    assert!(is_subset(a, a) && collides(a, a));
    if is_subset(a, b) {
        assert!(collides(a, b));
    }
    // What a filter stands for, with tokens that neither has.
    for (one, other) in [(a, b), (b, a)] {
        for example in examples(one) {
            assert!(matches(one, &example));
            if matches(other, &example) {
                assert!(collides(a, b));
            } else {
                assert!(!is_subset(one, other));
            }
        }
    }
    if is_valid_literal(a) {
        assert_eq!(collides(a, b), matches(b, a));
        assert_eq!(is_subset(a, b), matches(b, a));
    }
}

/// Subjects that a valid filter matches.
fn examples(filter: &[u8]) -> [Vec<u8>; 2] {
    [&b"\x01"[..], b"\x01.\x01"].map(|tail| {
        let filled: Vec<&[u8]> = tokens(filter)
            .into_iter()
            .map(|token| match token {
                b"*" => b"\x01",
                b">" => tail,
                token => token,
            })
            .collect();
        filled.join(&b'.')
    })
}

fn check_tree(lines: &[&[u8]]) {
    let mut tree = FilterTree::new();
    let mut list: Vec<(&[u8], usize)> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        match line {
            [b'!', filter @ ..] => {
                let held = list.iter().position(|(other, _)| *other == filter);
                let taken = held.map(|at| list.remove(at).1);
                let found = tree.remove(filter, |value| taken.is_none_or(|one| one == *value));
                assert_eq!(found, taken);
            }
            [b'?', ..] => {}
            filter => {
                tree.insert(filter, number);
                list.push((filter, number));
            }
        }
        assert_eq!(tree.len(), list.len());
        let subject = line.strip_prefix(b"?").unwrap_or(line);
        let mut found = Vec::new();
        tree.for_each_match(subject, |value| found.push(*value));
        found.sort_unstable();
        let expected: Vec<usize> = list
            .iter()
            .filter(|(filter, _)| matches(filter, subject))
            .map(|(_, value)| *value)
            .collect();
        assert_eq!(found, expected);
        assert_eq!(tree.has_match(subject), !expected.is_empty());
    }
}

fn check_table(lines: &[&[u8]]) {
    let mut table = SubjectTable::new();
    let mut list: Vec<&[u8]> = Vec::new();
    for line in lines {
        if is_valid_literal(line) {
            let known = list.iter().position(|held| held == line);
            let id = table.intern(line).0 as usize;
            assert_eq!(id, known.unwrap_or(list.len()));
            if known.is_none() {
                list.push(line);
            }
        }
        let asked = line.strip_prefix(b"?").unwrap_or(line);
        if is_valid_filter(asked) {
            let mut found = Vec::new();
            table.for_each_match(asked, |id| found.push(id.0 as usize));
            let expected: Vec<usize> = (0..list.len())
                .filter(|at| matches(asked, list[*at]))
                .collect();
            assert_eq!(found, expected);
        }
    }
}

fn check_set(lines: &[&[u8]]) {
    let mut set = FilterSet::new();
    let mut list: Vec<&[u8]> = Vec::new();
    for line in lines.iter().filter(|line| is_valid_filter(line)) {
        let expected = list.iter().any(|held| collides(held, line));
        let found = set.insert(line).err();
        assert_eq!(found.is_some(), expected);
        if let Some(found) = found {
            assert!(list.contains(&&found[..]) && collides(&found, line));
        }
        list.push(line);
    }
}
