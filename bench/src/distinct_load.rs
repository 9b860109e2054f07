//! A million distinct subjects: what remembers subjects gets no help.
//!
//! The subjects are `bench.A.B.C` with three numbers of two digits, published in an order that jumps through all of them.

use std::time::Duration;

use everjet_conformance::ServerProcess;

use crate::outcome::Outcome;
use crate::traffic::{Chunk, Plan, Receivers, Unit, chunk_messages, delivery_bytes, message};

/// Values of each of the three tokens.
const VALUES: usize = 100;
const SUBJECTS: usize = VALUES * VALUES * VALUES;
/// Coprime to [`SUBJECTS`], so that steps of this size reach every subject once.
const STRIDE: usize = 611_953;
/// Small, because the look-up is what counts.
const PAYLOAD: usize = 16;
/// Connections that share the wildcard subscriptions.
const SUBSCRIBERS: usize = 10;
/// Wildcard subscriptions in all.
const FILTERS: usize = 10_000;
/// All subscription ids have five digits, so that all deliveries are equally long.
const FIRST_SID: usize = 10_000;

/// One subscriber to everything. Counts messages.
pub(crate) fn to_everything(server: &ServerProcess, length: Duration) -> Outcome {
    let subscribers = vec![format!("SUB > {FIRST_SID}\r\n")];
    plan(subscribers, |_| 1).measure(server, length).into()
}

/// Ten thousand wildcard subscriptions on ten connections; each message matches four of them on average, three at least and
/// five at most. Counts messages.
pub(crate) fn to_wildcards(server: &ServerProcess, length: Duration) -> Outcome {
    let plan = plan(subscribers(), |subject| subject.matches());
    plan.measure(server, length).into()
}

/// The tokens behind `bench.`.
#[derive(Clone, Copy)]
struct Subject {
    a: usize,
    b: usize,
    c: usize,
}

impl Subject {
    /// The one published as number `index`.
    fn at(index: usize) -> Self {
        let number = index * STRIDE % SUBJECTS;
        Self {
            a: number / (VALUES * VALUES),
            b: number / VALUES % VALUES,
            c: number % VALUES,
        }
    }

    /// How many of [`filters`] match.
    fn matches(self) -> u64 {
        let Self { a, b, c } = self;
        3 + u64::from(has_pair_filter(a, b)) + u64::from(has_outer_filter(a, c))
    }
}

/// Whether there is a filter `bench.A.B.*`: 5,000 of the pairs have one.
fn has_pair_filter(a: usize, b: usize) -> bool {
    (a + b).is_multiple_of(2)
}

/// Whether there is a filter `bench.A.*.C`: 4,700 of the pairs have one.
fn has_outer_filter(a: usize, c: usize) -> bool {
    (a + c).is_multiple_of(2) && a < VALUES - 6
}

/// `bench.A.>`, `bench.*.B.*` and `bench.*.*.C` for every value, which match one in a hundred, and those with two tokens, which
/// match one in ten thousand.
fn filters() -> Vec<String> {
    let mut filters = Vec::with_capacity(FILTERS);
    for value in 0..VALUES {
        filters.push(format!("bench.{value:02}.>"));
        filters.push(format!("bench.*.{value:02}.*"));
        filters.push(format!("bench.*.*.{value:02}"));
    }
    for a in 0..VALUES {
        for other in 0..VALUES {
            if has_pair_filter(a, other) {
                filters.push(format!("bench.{a:02}.{other:02}.*"));
            }
            if has_outer_filter(a, other) {
                filters.push(format!("bench.{a:02}.*.{other:02}"));
            }
        }
    }
    filters
}

fn subscribers() -> Vec<String> {
    let mut subscribers = vec![String::new(); SUBSCRIBERS];
    for (index, filter) in filters().iter().enumerate() {
        let sid = FIRST_SID + index;
        subscribers[index % SUBSCRIBERS].push_str(&format!("SUB {filter} {sid}\r\n"));
    }
    subscribers
}

fn plan(subscribers: Vec<String>, deliveries: impl Fn(Subject) -> u64) -> Plan {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut full = 0;
    for index in 0..SUBJECTS {
        let subject = Subject::at(index);
        let Subject { a, b, c } = subject;
        let message = message(&format!("bench.{a:02}.{b:02}.{c:02}"), PAYLOAD);
        if index == full {
            let messages = chunk_messages(message.len());
            full += messages;
            chunks.push(Chunk {
                bytes: Vec::with_capacity(messages * message.len()),
                messages: 0,
                deliveries: 0,
            });
        }
        let chunk = chunks.last_mut().expect("the first index opens one");
        chunk.bytes.extend_from_slice(message.as_bytes());
        chunk.messages += 1;
        chunk.deliveries += deliveries(subject);
    }
    Plan {
        publishers: 1,
        subscribers,
        chunks,
        delivery_bytes: delivery_bytes("bench.00.00.00", &FIRST_SID.to_string(), PAYLOAD),
        receivers: Receivers::Shared,
        unit: Unit::Message,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_million_subjects_come_before_the_first_comes_again() {
        let number = |index| {
            let Subject { a, b, c } = Subject::at(index);
            (a * VALUES + b) * VALUES + c
        };
        let mut seen = vec![false; SUBJECTS];
        for index in 0..SUBJECTS {
            let number = number(index);
            assert!(!seen[number], "{index}");
            seen[number] = true;
        }
        assert_eq!(number(SUBJECTS), number(0));
    }

    #[test]
    fn the_filters_are_ten_thousand_different_ones() {
        let filters = filters();
        assert_eq!(filters.len(), FILTERS);
        assert_eq!(filters.iter().collect::<HashSet<_>>().len(), FILTERS);
    }

    #[test]
    fn matches_are_counted_as_the_filters_have_it() {
        let filters = filters();
        for index in (0..SUBJECTS).step_by(99_991) {
            let subject = Subject::at(index);
            let own = [subject.a, subject.b, subject.c].map(|value| format!("{value:02}"));
            let matching = filters.iter().filter(|filter| {
                let mut tokens = filter.split('.').skip(1).zip(&own);
                tokens.all(|(token, own)| token == ">" || token == "*" || token == own)
            });
            assert_eq!(matching.count() as u64, subject.matches());
        }
    }

    #[test]
    fn a_message_is_delivered_four_times_on_average() {
        let total: u64 = (0..SUBJECTS)
            .map(|index| Subject::at(index).matches())
            .sum();
        assert_eq!(total, 3_970_000);
    }

    #[test]
    fn subscription_ids_are_equally_long_and_unique() {
        let lines = subscribers().concat();
        let ids: HashSet<&str> = lines
            .lines()
            .map(|line| line.rsplit_once(' ').expect("a sid").1)
            .collect();
        assert_eq!(ids.len(), FILTERS);
        assert!(ids.iter().all(|id| id.len() == 5));
    }
}
