//! All damage that a running server knows of: found by the start, by reads and by the scrub.

use std::sync::Arc;

use everjet_routing::{Account, Message, Origin, Turn};
use everjet_values::{Clock, Entropy};
use parking_lot::Mutex;
use serde::Serialize;

use crate::finding::Finding;
use crate::report::{Level, Report};

/// Findings that are kept. More are logged and counted.
const KEPT_MAX: usize = 1024;
/// Findings that are logged one by one.
const LOGGED_MAX: u64 = 10_000;
/// Subject of the advisory, before the name of the stream.
const ADVISORY_SUBJECT: &str = "$JS.EVENT.ADVISORY.STREAM.DAMAGED.";
/// Its type.
const ADVISORY_TYPE: &str = "io.everjet.jetstream.advisory.v1.stream_damaged";

/// The list of known damage, and the one place that tells of it.
pub(crate) struct Findings {
    list: Mutex<List>,
    report: Arc<dyn Report>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

#[derive(Default)]
struct List {
    kept: Vec<Finding>,
    total: u64,
}

/// What subscribers to the advisory get.
#[derive(Serialize)]
struct Advisory<'a> {
    r#type: &'static str,
    id: String,
    timestamp: String,
    #[serde(flatten)]
    finding: &'a Finding,
}

impl Findings {
    pub(crate) fn new(
        report: Arc<dyn Report>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            list: Mutex::default(),
            report,
            clock,
            entropy,
        }
    }

    /// Takes over what the start has found, and logged.
    pub(crate) fn know(&self, findings: Vec<Finding>) {
        let mut list = self.list.lock();
        list.total += findings.len() as u64;
        list.kept.extend(findings);
        list.kept.truncate(KEPT_MAX);
    }

    /// Notes a finding, says it in the log and to subscribers of the advisory. What is known already is said once only.
    pub(crate) fn add(&self, finding: &Finding, account: &Arc<Account>, turn: &mut Turn) {
        let mut list = self.list.lock();
        if list.kept.contains(finding) {
            return;
        }
        list.total += 1;
        let total = list.total;
        if list.kept.len() < KEPT_MAX {
            list.kept.push(finding.clone());
        }
        drop(list);
        if total <= LOGGED_MAX {
            self.report.report(finding.level(), &finding.to_string());
        } else if total == LOGGED_MAX + 1 {
            let text =
                "there is more damage than is logged; stop the server and run `nats-server check`";
            self.report.report(Level::Error, text);
        }
        self.advise(finding, account, turn);
    }

    /// Forgets everything about a stream that is gone.
    pub(crate) fn forget_stream(&self, account: &str, stream: &str) {
        let is_other = |finding: &Finding| finding.account != account || finding.stream != stream;
        self.list.lock().kept.retain(is_other);
    }

    /// Forgets damage to messages of a stream: none of them is lost any more.
    pub(crate) fn forget_messages_of(&self, account: &str, stream: &str) {
        self.list.lock().kept.retain(|finding| {
            finding.account != account || finding.stream != stream || finding.sequences.is_none()
        });
    }

    /// Everything that is known and kept.
    pub(crate) fn all(&self) -> Vec<Finding> {
        self.list.lock().kept.clone()
    }

    fn advise(&self, finding: &Finding, account: &Arc<Account>, turn: &mut Turn) {
        if finding.stream.is_empty() {
            return;
        }
        let subject = format!("{ADVISORY_SUBJECT}{}", finding.stream);
        let advisory = Advisory {
            r#type: ADVISORY_TYPE,
            id: format!(
                "{:016x}{:016x}",
                self.entropy.next_u64(),
                self.entropy.next_u64()
            ),
            timestamp: self.clock.now().to_string(),
            finding,
        };
        let payload = serde_json::to_vec(&advisory).expect("strings and numbers always serialise");
        let message = Message {
            subject: subject.as_bytes(),
            reply: b"",
            headers: b"",
            payload: &payload,
        };
        turn.publish(account, Origin::SERVER, &message);
    }
}
