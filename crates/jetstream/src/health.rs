//! How JetStream is, in three words and with the reasons.

use everjet_routing::Turn;

use crate::commit::Admission;
use crate::finding::{Finding, Severity};
use crate::host::{Host, JetStream};

/// Losses that are named one by one.
const REASONS_MAX: usize = 100;

/// One word for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HealthStatus {
    /// Everything that was acknowledged can be read, and messages are taken.
    Ok,
    /// Something is lost or refused; the rest is served.
    Degraded,
    /// No message can be stored.
    Down,
}

impl HealthStatus {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// How a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// In one word.
    pub status: HealthStatus,
    /// Why it is not [`HealthStatus::Ok`]: a line each, the worst first.
    pub reasons: Vec<String>,
}

impl Health {
    /// Nothing is wrong.
    #[must_use]
    pub fn ok() -> Self {
        Self {
            status: HealthStatus::Ok,
            reasons: Vec::new(),
        }
    }

    /// Adds a reason; the word is the worst of all.
    pub fn add(&mut self, status: HealthStatus, reason: impl Into<String>) {
        self.status = self.status.max(status);
        self.reasons.push(reason.into());
    }
}

impl JetStream {
    /// How JetStream is. Asks streams that have lost something; may wait for them.
    #[must_use]
    pub fn health(&self) -> Health {
        self.host().health()
    }

    /// All damage that is known: found by the start, by reads and by the scrub.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.host().findings.all()
    }
}

impl Host {
    fn health(&self) -> Health {
        let mut health = Health::ok();
        if let Some(why) = self.commit.failure() {
            health.add(
                HealthStatus::Down,
                format!("the journal failed, nothing is acknowledged until a restart: {why}"),
            );
        }
        if self.commit.is_stuck() || self.commit.admission() == Admission::Full {
            health.add(
                HealthStatus::Degraded,
                "the disk is full, publishes are refused until there is room",
            );
        }
        self.forget_what_is_over();
        let losses: Vec<Finding> = self
            .findings
            .all()
            .into_iter()
            .filter(|finding| finding.severity == Severity::Loss)
            .collect();
        for finding in losses.iter().take(REASONS_MAX) {
            health.add(HealthStatus::Degraded, finding.to_string());
        }
        if let Some(more) = losses
            .len()
            .checked_sub(REASONS_MAX)
            .filter(|more| *more > 0)
        {
            health.add(HealthStatus::Degraded, format!("{more} more losses"));
        }
        health
    }

    /// Damage to messages that were removed since, or to streams that are gone, is nobody's loss.
    fn forget_what_is_over(&self) {
        let mut streams: Vec<_> = self
            .findings
            .all()
            .into_iter()
            .filter(|finding| finding.sequences.is_some())
            .map(|finding| (finding.account, finding.stream))
            .collect();
        streams.sort_unstable();
        streams.dedup();
        let mut turn = Turn::new(0);
        for (account, stream) in streams {
            let actor = self.registry.find(&stream);
            let lost = actor.and_then(|actor| {
                actor.with(&mut turn, |stream, _, _| {
                    !stream.store().lost(1).sequences.is_empty()
                })
            });
            if !lost.unwrap_or(false) && self.registry.offline(&stream).is_none() {
                self.findings.forget_messages_of(&account, &stream);
            }
        }
        turn.flush();
    }
}
