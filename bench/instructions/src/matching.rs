//! Who wants a subject. An operation is a subject.

use std::hint::black_box;

use everjet_routing::{Account, Origin, Turn};
use everjet_subject::FilterTree;

use crate::Case;
use crate::sink::{message, subscribe};

/// More than a thread remembers, so that no subject is remembered when it comes again.
const SUBJECTS: usize = 20_000;
/// Subjects in a round.
const ROUND: usize = 100;

pub(crate) const CASES: [Case; 3] = [
    // The same subject again: nobody wants it, so nothing but the look-up is counted.
    Case {
        name: "match-remembered",
        rounds: 400,
        operations: ROUND as u64,
        prepare: remembered,
    },
    // Distinct subjects in a tree with 10,000 wildcard filters, of which two match.
    Case {
        name: "match-tree-10k-wildcards",
        rounds: SUBJECTS as u64 / ROUND as u64,
        operations: ROUND as u64,
        prepare: wildcards,
    },
    // Distinct subjects to one subscriber of everything, staged and flushed: remembering is in vain.
    Case {
        name: "match-distinct-to-all",
        rounds: SUBJECTS as u64 / ROUND as u64,
        operations: ROUND as u64,
        prepare: distinct,
    },
];

fn remembered() -> Box<dyn FnMut()> {
    let account = Account::new("$G");
    subscribe(&account, 1, "other");
    let mut turn = Turn::new(1);
    Box::new(move || {
        for _ in 0..ROUND {
            let message = message(black_box("orders.eu.1234"), b"");
            black_box(turn.publish(&account, Origin::SERVER, &message));
        }
    })
}

/// `orders.A.B` in an order that jumps: A below 100, B below 200.
fn subjects() -> Vec<String> {
    let number = |index| index * 7_919 % SUBJECTS;
    let subject = |number| format!("orders.{:02}.{:03}", number / 200, number % 200);
    (0..SUBJECTS).map(|index| subject(number(index))).collect()
}

/// One round of the subjects after the other.
fn rounds() -> impl FnMut() -> Vec<usize> {
    let mut next = 0;
    move || {
        let round = (next..next + ROUND).map(|index| index % SUBJECTS);
        next = (next + ROUND) % SUBJECTS;
        round.collect()
    }
}

fn wildcards() -> Box<dyn FnMut()> {
    let mut tree = FilterTree::new();
    for index in 0..100 {
        tree.insert(format!("orders.{index:02}.*").as_bytes(), index);
    }
    for index in 100..10_000 {
        // 9,700 of them have a second token that no subject has, as most filters of others do.
        let filter = match index {
            ..300 => format!("*.*.{:03}", index - 100),
            _ => format!("orders.x{}.{index}.*", index % 100),
        };
        tree.insert(filter.as_bytes(), index);
    }
    let subjects = subjects();
    let mut rounds = rounds();
    Box::new(move || {
        for index in rounds() {
            let mut found = 0;
            tree.for_each_match(subjects[index].as_bytes(), |_| found += 1);
            assert_eq!(black_box(found), 2);
        }
    })
}

fn distinct() -> Box<dyn FnMut()> {
    let account = Account::new("$G");
    subscribe(&account, 1, ">");
    let subjects = subjects();
    let mut turn = Turn::new(1);
    let mut rounds = rounds();
    Box::new(move || {
        for index in rounds() {
            let message = message(&subjects[index], b"0123456789abcdef");
            assert_eq!(turn.publish(&account, Origin::SERVER, &message), 1);
        }
        turn.flush();
    })
}
