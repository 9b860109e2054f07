//! Compares what a restarted server serves with what clients were told.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::consume::{CONSUMER, sequence_of};
use super::ledger::{Facts, Keeps, Ledger, Presence, Stored};
use super::{Findings, payload};
use crate::{JetStream, ServerProcess};

/// Messages of one pull of the check.
const BATCH: u64 = 500;

/// How much of streams that only grow is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What came since the last check.
    New,
    /// Everything.
    Whole,
}

type Found = BTreeMap<u64, Stored>;

/// Compares every stream and consumer with the ledger, and settles what the ledger left open: what is served now has to stay.
///
/// The clients of the load must be gone.
///
/// # Panics
/// When the server does not answer, or answers what no server may.
#[must_use]
pub fn check(server: &ServerProcess, ledger: &Ledger, depth: Depth) -> Findings {
    let mut js = JetStream::connect(server);
    let mut findings = ledger.take_seen();
    let present = names(&mut js);
    let mut streams = ledger.streams();
    for (name, facts) in streams.iter_mut() {
        let before = findings.clone();
        match (facts.presence, present.contains(name)) {
            (Presence::Sure, false) => {
                findings.streams_missing += 1;
                findings.lost += facts.stored.len() as u64;
                findings.reused += facts.highest;
                findings.example(format!("{name} is missing"));
            }
            (Presence::Gone, true) => {
                findings.returned += 1;
                findings.example(format!("{name} is back after its deletion was confirmed"));
            }
            (Presence::Open, false) => facts.presence = Presence::Gone,
            (Presence::Gone, false) => {}
            (Presence::Sure | Presence::Open, true) => {
                facts.presence = Presence::Sure;
                Comparison {
                    js: &mut js,
                    name,
                    facts,
                    findings: &mut findings,
                }
                .run(depth);
            }
        }
        if findings != before {
            facts.verified = 0;
        }
    }
    findings
}

fn names(js: &mut JetStream) -> HashSet<String> {
    let answer = js.api("STREAM.NAMES", "");
    let names = answer["streams"].as_array().cloned().unwrap_or_default();
    let names = names.iter().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

/// The comparison of one stream.
struct Comparison<'a> {
    js: &'a mut JetStream,
    name: &'a str,
    facts: &'a mut Facts,
    findings: &'a mut Findings,
}

impl Comparison<'_> {
    fn run(&mut self, depth: Depth) {
        let name = self.name;
        let info = self.js.api(&format!("STREAM.INFO.{name}"), "");
        if !info["error"].is_null() {
            self.findings.streams_missing += 1;
            self.findings.lost += self.facts.stored.len() as u64;
            self.findings.reused += self.facts.highest;
            let error = &info["error"];
            self.findings.example(format!("{name}: {error}"));
            return;
        }
        let state = info["state"].clone();
        let last = state["last_seq"].as_u64().unwrap_or(0);
        if last < self.facts.highest {
            self.findings.reused += self.facts.highest - last;
            let highest = self.facts.highest;
            self.findings.example(format!(
                "{name} ends at {last}, {highest} was acknowledged: the sequences between are given again"
            ));
        }
        // Only a stream that loses nothing can be read in parts.
        let parts = depth == Depth::New && self.facts.keeps == Keeps::All;
        // What may have been removed since has to be looked at again, or it would be settled unseen.
        let open = self.facts.open.iter().min().map(|first| first - 1);
        let verified = self.facts.verified;
        let after = if parts {
            open.unwrap_or(verified).min(verified)
        } else {
            0
        };
        let found = match self.facts.keeps {
            Keeps::Unconsumed => self.read_by_get(),
            _ => self.read_by_pull(after),
        };
        self.payloads(&found);
        self.acknowledged(&found, after, last);
        self.removed(&found);
        self.counts(&found, after, &state);
        if matches!(name, "LOG" | "JOBS") {
            self.consumer(&found, after);
        }
        self.settle(found, after, last);
    }

    fn expect_counted(&mut self, is_right: bool, text: impl FnOnce() -> String) {
        if !is_right {
            self.findings.miscounted += 1;
            let name = self.name;
            self.findings.example(format!("{name}: {}", text()));
        }
    }

    /// Whether every payload is the one acknowledged.
    fn payloads(&mut self, found: &Found) {
        let name = self.name;
        let mut seen = HashSet::new();
        for (sequence, stored) in found {
            let known = self.facts.stored.get(sequence);
            if stored.hash == 0 || known.is_some_and(|known| known.hash != stored.hash) {
                self.findings.wrong += 1;
                let text = format!("{name}: {sequence} has a payload of something else");
                self.findings.example(text);
            } else if !seen.insert(stored.hash) {
                self.findings.returned += 1;
                self.findings
                    .example(format!("{name}: the payload of {sequence} is stored twice"));
            }
        }
    }

    /// Whether everything acknowledged is there, as far as the stream keeps it.
    fn acknowledged(&mut self, found: &Found, after: u64, last: u64) {
        let mut latest = BTreeMap::<u16, u64>::new();
        if self.facts.keeps == Keeps::Latest {
            for (sequence, stored) in found {
                if latest.insert(stored.key, *sequence).is_some() {
                    self.findings.miscounted += 1;
                    let name = self.name;
                    let text = format!("{name}: two messages for one key, the later is {sequence}");
                    self.findings.example(text);
                }
            }
        }
        let facts = &*self.facts;
        let behind = facts.stored.range(after + 1..);
        let missing = behind.filter(|(sequence, stored)| {
            let may_be_gone = facts.open.contains(sequence)
                || match facts.keeps {
                    Keeps::All => false,
                    Keeps::Latest => latest.get(&stored.key).is_some_and(|at| at > *sequence),
                    Keeps::Newest(count) => **sequence + count <= last,
                    Keeps::Unconsumed => {
                        facts.asked.contains(sequence) || facts.is_consumed(**sequence)
                    }
                };
            !may_be_gone && !found.contains_key(sequence)
        });
        let missing: Vec<u64> = missing.map(|(sequence, _)| *sequence).collect();
        if let (Some(first), Some(final_one)) = (missing.first(), missing.last()) {
            self.findings.lost += missing.len() as u64;
            self.findings.example(format!(
                "{}: {} acknowledged messages from {first} to {final_one} are not there",
                self.name,
                missing.len()
            ));
        }
    }

    /// Whether nothing is back.
    fn removed(&mut self, found: &Found) {
        let facts = &*self.facts;
        let back = found.keys().filter(|sequence| {
            **sequence < facts.removed_below
                || facts.removed.contains(sequence)
                || (facts.keeps == Keeps::Unconsumed && facts.is_consumed(**sequence))
        });
        let back: Vec<u64> = back.copied().collect();
        if let Some(first) = back.first() {
            self.findings.returned += back.len() as u64;
            self.findings.example(format!(
                "{}: {} messages from {first} on are back after their removal was confirmed",
                self.name,
                back.len()
            ));
        }
    }

    fn counts(&mut self, found: &Found, after: u64, state: &Value) {
        if after > 0 {
            return;
        }
        let count = found.len() as u64;
        self.expect_counted(state["messages"] == count, || {
            format!("{count} messages can be read, it says {state}")
        });
        let first = found.keys().next().copied();
        self.expect_counted(
            first.is_none_or(|first| state["first_seq"] == first),
            || format!("the first message is {first:?}, it says {state}"),
        );
        if let Keeps::Newest(limit) = self.facts.keeps {
            self.expect_counted(count <= limit, || {
                format!("{count} messages above the limit")
            });
        }
    }

    fn consumer(&mut self, found: &Found, after: u64) {
        let name = self.name;
        let info = self.js.api(&format!("CONSUMER.INFO.{name}.{CONSUMER}"), "");
        if !info["error"].is_null() {
            self.findings.lost += 1;
            let text = format!("{name}: the consumer: {}", info["error"]);
            self.findings.example(text);
            return;
        }
        let delivered = info["delivered"]["stream_seq"].as_u64().unwrap_or(0);
        let floor = info["ack_floor"]["stream_seq"].as_u64().unwrap_or(0);
        if delivered >= after {
            let pending = found.range(delivered + 1..).count() as u64;
            self.expect_counted(info["num_pending"] == pending, || {
                format!("{pending} messages behind {delivered}, the consumer says {info}")
            });
        }
        let before = self.facts.floor;
        let is_ahead = floor >= before;
        self.expect_counted(is_ahead, || {
            format!("the consumer's floor went from {before} back to {floor}")
        });
        // What nobody acknowledged is above the floor.
        let facts = &*self.facts;
        let skipped = facts.stored.range(before + 1..).find(|(sequence, _)| {
            **sequence <= floor
                && !facts.asked.contains(sequence)
                && !facts.consumed.contains(sequence)
        });
        let skipped = skipped.map(|(sequence, _)| *sequence);
        self.expect_counted(skipped.is_none(), || {
            format!("{skipped:?} was not acknowledged, and the floor is {floor}")
        });
        if is_ahead {
            self.facts.floor = floor;
        }
    }

    /// What is there now has to stay, what is not there is gone.
    fn settle(&mut self, found: Found, after: u64, last: u64) {
        let facts = &mut *self.facts;
        facts.highest = facts.highest.max(last);
        facts.verified = last;
        if facts.keeps == Keeps::Unconsumed {
            let asked = std::mem::take(&mut facts.asked);
            let gone = asked
                .into_iter()
                .filter(|sequence| !found.contains_key(sequence));
            facts.consumed.extend(gone);
        }
        let floor = facts.floor;
        facts.asked.retain(|sequence| *sequence > floor);
        facts.consumed.retain(|sequence| *sequence > floor);
        let open = std::mem::take(&mut facts.open);
        let gone = open
            .into_iter()
            .filter(|sequence| !found.contains_key(sequence));
        facts.removed.extend(gone);
        match facts.keeps {
            // Read in parts: what was read before is known.
            Keeps::All => drop(facts.stored.split_off(&(after + 1))),
            Keeps::Latest | Keeps::Newest(_) | Keeps::Unconsumed => facts.stored.clear(),
        }
        facts.stored.extend(found);
    }

    /// All messages behind `after`, through a consumer.
    fn read_by_pull(&mut self, after: u64) -> Found {
        let name = self.name;
        let reader = format!("reader{after}");
        let from = after + 1;
        let config = format!(
            r#""ack_policy":"none","mem_storage":true,"deliver_policy":"by_start_sequence","opt_start_seq":{from}"#
        );
        let info = self.js.create_consumer(name, &reader, &config);
        let pending = info["num_pending"].as_u64().expect("a number");
        let mut found = Found::new();
        let mut read = 0;
        while read < pending {
            let batch = (pending - read).min(BATCH);
            let pull = format!("$JS.API.CONSUMER.MSG.NEXT.{name}.{reader}");
            self.js.publish(
                &pull,
                &[],
                &format!("{{\"batch\":{batch},\"expires\":5000000000}}"),
            );
            for _ in 0..batch {
                let message = self.js.raw().message();
                read += 1;
                if let Some(status) = message.status() {
                    self.expect_counted(false, || {
                        format!("{read} of {pending} messages pending were read: {status}")
                    });
                    read = pending;
                    break;
                }
                let reply = message.reply.as_deref().unwrap_or_default();
                let sequence = sequence_of(reply).expect("a delivery names its sequence");
                let key = key_of(&message.subject);
                self.insert(&mut found, sequence, key, &message.payload);
            }
        }
        let answer = self.js.api(&format!("CONSUMER.DELETE.{name}.{reader}"), "");
        assert_eq!(answer["success"], true, "{answer}");
        found
    }

    /// All messages of a work queue, which takes no second consumer.
    fn read_by_get(&mut self) -> Found {
        let call = format!("STREAM.MSG.GET.{}", self.name);
        let mut found = Found::new();
        let mut from = 1;
        loop {
            let body = format!("{{\"seq\":{from},\"next_by_subj\":\">\"}}");
            let answer = self.js.api(&call, &body);
            let message = &answer["message"];
            let Some(sequence) = message["seq"].as_u64() else {
                assert_eq!(answer["error"]["err_code"], 10_037, "{answer}");
                return found;
            };
            let data = message["data"].as_str().unwrap_or_default();
            let bytes = base64(data).unwrap_or_default();
            let key = key_of(message["subject"].as_str().unwrap_or_default());
            self.insert(&mut found, sequence, key, &bytes);
            from = sequence + 1;
        }
    }

    /// Notes a message; a payload that is none of this stream has the hash 0.
    fn insert(&mut self, found: &mut Found, sequence: u64, key: u16, bytes: &[u8]) {
        let prefix = format!("{}/{}/", self.name, self.facts.incarnation);
        let is_ours = payload::label(bytes).is_some_and(|label| label.starts_with(&prefix));
        let hash = if is_ours { payload::hash(bytes) } else { 0 };
        let again = found.insert(sequence, Stored { hash, key }).is_some();
        self.expect_counted(!again, || format!("{sequence} was read twice"));
    }
}

fn key_of(subject: &str) -> u16 {
    let token = subject.rsplit('.').next().unwrap_or_default();
    token.parse().unwrap_or(u16::MAX)
}

/// Standard base64 with padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.bytes().filter(|&letter| letter != b'=') {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded() {
        fn check(text: &str, expected: Option<&[u8]>) {
            assert_eq!(base64(text).as_deref(), expected, "{text}");
        }
        check("", Some(b""));
        check("Zg==", Some(b"f"));
        check("Zm9vYmE=", Some(b"fooba"));
        check("+/+/", Some(&[0xfb, 0xff, 0xbf]));
        check("Z-==", None);
    }
}
