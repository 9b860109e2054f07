//! Clock, log and inbox of a rig.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use everjet_jetstream::{Level, Report};
use everjet_routing::{LocalReceiver, MessageBatch, Turn};
use everjet_values::{Clock, Timestamp};
use serde_json::{Value, json};

/// Time that never goes back, and can be set forward. What of it is back is for the server's own clock.
#[derive(Default)]
pub(crate) struct Wall {
    last: AtomicI64,
    ahead: AtomicI64,
}

impl Wall {
    /// A clock that is so many seconds ahead of this machine's, or behind.
    pub(crate) fn ahead(seconds: i64) -> Self {
        let wall = Self::default();
        wall.step(seconds);
        wall
    }

    /// Sets the clock forward.
    pub(crate) fn step(&self, seconds: i64) {
        self.ahead
            .fetch_add(seconds * 1_000_000_000, Ordering::Relaxed);
    }
}

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = i64::try_from(since.as_nanos()).unwrap() + self.ahead.load(Ordering::Relaxed);
        Timestamp::from_nanos(self.last.fetch_max(now, Ordering::Relaxed).max(now))
    }
}

/// The lines of the log.
#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<String>>);

impl Log {
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn contains(&self, text: &str) -> bool {
        self.0
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains(text))
    }

    /// What an operator must act on.
    pub(crate) fn errors(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines
            .iter()
            .filter(|line| line.starts_with("Error:"))
            .cloned()
            .collect()
    }

    pub(crate) fn since(&self, line: usize) -> Vec<String> {
        self.0.lock().unwrap()[line..].to_vec()
    }
}

impl Report for Log {
    fn report(&self, level: Level, text: &str) {
        self.0.lock().unwrap().push(format!("{level:?}: {text}"));
    }
}

/// What came to `_INBOX.>`, by subject.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<HashMap<String, Vec<Value>>>);

impl Inbox {
    /// Everything that came to `reply`; what is not JSON as its bytes.
    pub(crate) fn all(&self, reply: &str) -> Vec<Value> {
        self.0
            .lock()
            .unwrap()
            .get(reply)
            .cloned()
            .unwrap_or_default()
    }

    pub(crate) fn first(&self, reply: &str) -> Option<Value> {
        self.all(reply).into_iter().next()
    }

    /// The reply subjects that got an acknowledgement, and the sequence it tells.
    pub(crate) fn acknowledged(&self) -> Vec<(String, u64)> {
        let inbox = self.0.lock().unwrap();
        inbox
            .iter()
            .filter_map(|(reply, answers)| Some((reply.clone(), sequence_of(answers.first()?)?)))
            .collect()
    }
}

impl LocalReceiver for Inbox {
    fn receive(&self, batch: &mut MessageBatch, _turn: &mut Turn) {
        let mut inbox = self.0.lock().unwrap();
        for (message, _) in batch.iter() {
            let reply = String::from_utf8_lossy(message.subject).into_owned();
            let answer =
                serde_json::from_slice(message.payload).unwrap_or_else(|_| json!(message.payload));
            inbox.entry(reply).or_default().push(answer);
        }
    }
}

/// The sequence that a PubAck tells; `None` for a refusal.
pub(crate) fn sequence_of(answer: &Value) -> Option<u64> {
    answer["seq"]
        .as_u64()
        .filter(|_| answer["error"].is_null() && !answer["stream"].is_null())
}

/// The code of the error, when it is one.
pub(crate) fn error_of(answer: &Value) -> Option<u64> {
    answer["error"]["err_code"].as_u64()
}
