//! All damage that a running server knows of: found by the start, by reads and by the scrub.

use std::sync::Arc;

use everjet_api::Advice;
use everjet_routing::Turn;
use parking_lot::Mutex;

use crate::advisories::Advisories;
use crate::finding::Finding;
use crate::report::{Level, Report};

/// Findings that are kept. More are logged and counted.
const KEPT_MAX: usize = 1024;
/// Findings that are logged one by one.
const LOGGED_MAX: u64 = 10_000;
/// Subject of the advisory, before the name of the stream.
const ADVISORY_SUBJECT: &str = "$JS.EVENT.ADVISORY.STREAM.DAMAGED.";

/// The list of known damage, and the one place that tells of it.
pub(crate) struct Findings {
    list: Mutex<List>,
    report: Arc<dyn Report>,
    advisories: Arc<Advisories>,
}

#[derive(Default)]
struct List {
    kept: Vec<Finding>,
    total: u64,
}

impl Advice for Finding {
    fn kind(&self) -> &'static str {
        "io.everjet.jetstream.advisory.v1.stream_damaged"
    }
}

impl Findings {
    pub(crate) fn new(report: Arc<dyn Report>, advisories: Arc<Advisories>) -> Self {
        Self {
            list: Mutex::default(),
            report,
            advisories,
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
    pub(crate) fn add(&self, finding: &Finding, turn: &mut Turn) {
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
        if !finding.stream.is_empty() {
            let subject = format!("{ADVISORY_SUBJECT}{}", finding.stream);
            self.advisories.tell(&subject, finding, turn);
        }
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
}
