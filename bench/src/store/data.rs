//! What the prepared stores hold.
//!
//! All payloads have [`PAYLOAD`] bytes. Subjects have fixed lengths, and come in an order that jumps through all of them.

use std::time::Duration;

use everjet_conformance::{JetStream, ServerProcess};

use super::pipe::Pipe;
use crate::rows::PAYLOAD;

/// A prepared store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Data {
    /// 10 M messages on one subject.
    Plain,
    /// 10 M messages on 1 M subjects `distinct.GGGGGG.K`, ten of each; `distinct.GGGGGG.*` takes one in 100 k of them.
    Distinct,
    /// A bucket of 1 M keys with one value each. Key and prefix have 29 bytes, `$KV.bench.gD.N`; `gD` takes a tenth of them.
    Bucket,
    /// 1,000 streams with 1,000 messages each.
    Streams,
}

/// Subjects below a filter of [`Data::Distinct`], and prefixes of the keys of [`Data::Bucket`].
pub(crate) const TENTHS: u64 = 10;
/// A prime, so that steps of this size reach every subject once.
const STRIDE: u64 = 611_953;
/// Unacknowledged messages while loading.
const WINDOW: usize = 2_048;

/// A prepared store at the scale of this comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set {
    data: Data,
    /// Different subjects of messages.
    pub(crate) subjects: u64,
    /// Messages that are published to fill it.
    pub(crate) messages: u64,
}

impl Set {
    pub(crate) fn new(data: Data, scale: f64) -> Self {
        let (subjects, each) = match data {
            Data::Plain => (1.0, 1e7 * scale),
            Data::Distinct => (1e6 * scale, 10.0),
            Data::Bucket => (1e6 * scale, 1.0),
            Data::Streams => (1e3 * scale, 1e3),
        };
        let subjects = match data {
            Data::Plain => 1,
            // Groups are full.
            _ => ((subjects / TENTHS as f64).round() as u64).max(1) * TENTHS,
        };
        Self {
            data,
            subjects,
            messages: subjects * each.max(1.0) as u64,
        }
    }

    /// Appends the subject with that number.
    pub(crate) fn push_subject(&self, out: &mut Vec<u8>, number: u64) {
        match self.data {
            Data::Plain => out.extend_from_slice(b"plain"),
            Data::Distinct => {
                out.extend_from_slice(b"distinct.");
                push_digits(out, number / TENTHS, 6);
                out.push(b'.');
                push_digits(out, number % TENTHS, 1);
            }
            Data::Bucket => {
                out.extend_from_slice(b"$KV.bench.g");
                push_digits(out, number % TENTHS, 1);
                out.push(b'.');
                push_digits(out, number, 16);
            }
            Data::Streams => {
                out.extend_from_slice(b"many.");
                push_digits(out, number, 6);
            }
        }
    }

    /// [`Self::push_subject`] as text.
    pub(crate) fn subject(&self, number: u64) -> String {
        let mut subject = Vec::new();
        self.push_subject(&mut subject, number);
        String::from_utf8(subject).expect("subjects are ASCII")
    }

    /// The number of the subject that message number `index` goes to.
    pub(crate) fn order(&self, index: u64) -> u64 {
        index * STRIDE % self.subjects
    }

    /// Appends a message to the subject with that number.
    pub(crate) fn push_message(&self, out: &mut Vec<u8>, number: u64) {
        out.extend_from_slice(b"PUB ");
        self.push_subject(out, number);
        out.extend_from_slice(PUBLISHED.as_bytes());
    }

    /// The name of the only or last stream.
    pub(crate) fn last_stream(&self) -> String {
        match self.data {
            Data::Plain => "PLAIN".to_owned(),
            Data::Distinct => "DISTINCT".to_owned(),
            Data::Bucket => "KV_bench".to_owned(),
            Data::Streams => many_name(self.subjects - 1),
        }
    }

    /// Creates the streams and fills them.
    pub(crate) fn load(&self, server: &ServerProcess) {
        self.create_streams(server);
        let mut pipe = Pipe::open(server, WINDOW, |out, index| {
            self.push_message(out, self.order(index));
        });
        pipe.publish(self.messages);
    }

    /// Creates the streams, which are empty then.
    pub(crate) fn create_streams(&self, server: &ServerProcess) {
        let mut js = JetStream::connect(server);
        let mut create = |name: &str, subjects: &str, more: &str| {
            js.create_stream(name, &config(name, subjects, DUPLICATE_WINDOW, more));
        };
        match self.data {
            Data::Plain => create("PLAIN", "plain", ""),
            Data::Distinct => create("DISTINCT", "distinct.>", ""),
            Data::Bucket => create("KV_bench", "$KV.bench.>", BUCKET),
            Data::Streams => {
                for number in 0..self.subjects {
                    create(&many_name(number), &self.subject(number), "");
                }
            }
        }
    }
}

/// The configuration of a stream of messages that are found again by their id for `window`.
fn config(name: &str, subjects: &str, window: Duration, more: &str) -> String {
    let window = window.as_nanos();
    format!(
        r#"{{"name":"{name}","subjects":["{subjects}"],"storage":"file","duplicate_window":{window}{more}}}"#
    )
}

/// Gives the stream of [`Data::Plain`] another duplicate window.
pub(crate) fn set_duplicate_window(server: &ServerProcess, window: Duration) {
    let config = config("PLAIN", "plain", window, "");
    let answer = JetStream::connect(server).api("STREAM.UPDATE.PLAIN", &config);
    assert!(answer["error"].is_null(), "{answer}");
}

/// How long ids of messages are remembered: a start reads the messages of that time. Millions were stored moments before, where
/// else it would be days; so it is short, unless that is what is measured.
pub(crate) const DUPLICATE_WINDOW: Duration = Duration::from_millis(200);

/// What makes a stream a bucket with one value a key.
const BUCKET: &str =
    r#","max_msgs_per_subject":1,"discard":"new","allow_direct":true,"deny_delete":true"#;

/// The reply subject of everything that is published in numbers, and the payload.
const PUBLISHED: &str = {
    assert!(PAYLOAD == 128);
    concat!(
        " _INBOX.ack 128\r\n",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "\r\n",
    )
};

fn many_name(number: u64) -> String {
    format!("MANY{number:06}")
}

/// Appends a number with leading zeros: `write!` would cost as much as the server.
fn push_digits(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let start = out.len();
    out.resize(start + width, b'0');
    for digit in out[start..].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn full_sizes_are_those_of_the_rows() {
        fn check(data: Data, scale: f64, subjects: u64, messages: u64) {
            let set = Set::new(data, scale);
            assert_eq!(
                (set.subjects, set.messages),
                (subjects, messages),
                "{data:?}"
            );
        }
        check(Data::Plain, 1.0, 1, 10_000_000);
        check(Data::Distinct, 1.0, 1_000_000, 10_000_000);
        check(Data::Bucket, 1.0, 1_000_000, 1_000_000);
        check(Data::Streams, 1.0, 1_000, 1_000_000);
        check(Data::Plain, 0.001, 1, 10_000);
        check(Data::Distinct, 0.001, 1_000, 10_000);
        check(Data::Streams, 0.001, 10, 10_000);
    }

    #[test]
    fn subjects_have_their_form() {
        let subject = |data, number| Set::new(data, 1.0).subject(number);
        assert_eq!(subject(Data::Plain, 0), "plain");
        assert_eq!(subject(Data::Distinct, 123_456), "distinct.012345.6");
        let key = subject(Data::Bucket, 123_456);
        assert_eq!(
            (key.as_str(), key.len()),
            ("$KV.bench.g6.0000000000123456", 29)
        );
        assert_eq!(subject(Data::Streams, 7), "many.000007");
    }

    #[test]
    fn every_subject_comes_before_the_first_comes_again() {
        let set = Set::new(Data::Bucket, 0.01);
        let seen: HashSet<u64> = (0..set.subjects).map(|index| set.order(index)).collect();
        assert_eq!(seen.len() as u64, set.subjects);
        assert_eq!(set.order(set.subjects), set.order(0));
    }

    #[test]
    fn a_message_is_as_long_as_it_says() {
        let mut message = Vec::new();
        Set::new(Data::Plain, 1.0).push_message(&mut message, 0);
        let text = String::from_utf8(message).expect("ASCII");
        let (line, rest) = text.split_once("\r\n").expect("a line");
        assert_eq!(line, "PUB plain _INBOX.ack 128");
        assert_eq!(rest.len(), PAYLOAD + 2);
    }
}
