//! A connection that was made, and what the server says on it beside messages.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Client, Event, ServerError};
use futures_util::StreamExt;
use tokio::sync::Notify;

use crate::api::Api;
use crate::failure::Failure;

/// A connection to a server.
pub(crate) struct Connection {
    /// The client.
    pub(crate) client: Client,
    /// JetStream requests over it.
    pub(crate) api: Api,
    /// How long to wait for an answer.
    pub(crate) timeout: Duration,
    /// The servers it may be connected to, without secrets.
    pub(crate) servers: String,
    /// What the reply subjects of this connection, and of no other, begin with.
    pub(super) inbox_root: String,
    pub(super) violations: Violations,
}

impl Connection {
    /// Waits until the server has processed everything sent so far, and says how long that took.
    ///
    /// # Errors
    /// [`Failure::Connect`] when the server does not answer, [`Failure::Other`] with the server's words when it refused
    /// to publish or subscribe one of `subjects`.
    pub(crate) async fn round_trip(&self, subjects: &[&str]) -> Result<Duration, Failure> {
        let start = std::time::Instant::now();
        // A message to ourselves comes back after the server has seen everything that was sent before it. So does the
        // refusal of it, when this user may not have inboxes.
        let inbox = self.client.new_inbox();
        let answer = tokio::select! {
            answer = self.probe(inbox.clone()) => answer,
            () = self.violations.refused(&inbox) => Ok(()),
        };
        let took = start.elapsed();
        // The library hands events to a task of its own; let it run before looking.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        if let Some(text) = self.violations.about(subjects) {
            return Err(Failure::other(text));
        }
        answer.map(|()| took).map_err(|reason| Failure::Connect {
            servers: self.servers.clone(),
            reason,
        })
    }

    /// Waits until the server has refused to publish or subscribe `subject`, for ever if it does not.
    pub(crate) async fn refused(&self, subject: &str) {
        self.violations.refused(&format!("\"{subject}\"")).await;
    }

    /// Whether a message has to do with this connection's own requests.
    pub(crate) fn is_own_traffic(&self, message: &async_nats::Message) -> bool {
        let is_own = |subject: &str| subject.starts_with(&self.inbox_root);
        is_own(&message.subject) || message.reply.as_deref().is_some_and(is_own)
    }

    async fn probe(&self, inbox: String) -> Result<(), String> {
        let mut back = self
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| error.to_string())?;
        self.client
            .publish(inbox, "".into())
            .await
            .map_err(|error| error.to_string())?;
        match tokio::time::timeout(self.timeout, back.next()).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("the connection is closed".to_owned()),
            Err(_) => Err(format!(
                "the server does not answer within {}",
                everjet_values::format_duration(self.timeout)
            )),
        }
    }
}

/// What the server refused since the connection was made.
#[derive(Clone, Debug, Default)]
pub(super) struct Violations(Arc<Refusals>);

#[derive(Debug, Default)]
struct Refusals {
    seen: Mutex<Seen>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    /// The server's words, the first [`TEXTS_MAX`] of them.
    texts: Vec<String>,
    /// Whether the connection is lost at the moment.
    away: bool,
}

/// How many refusals are remembered: what decides a command's outcome comes early.
const TEXTS_MAX: usize = 100;

impl Violations {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, text: &str, inbox_root: &str) {
        // That replies cannot be received is said by what waits for them in vain.
        if !text.contains(inbox_root) {
            eprintln!("nats: warning: server error: {text}");
        }
        let mut seen = self.seen();
        if seen.texts.len() < TEXTS_MAX {
            seen.texts.push(text.to_owned());
        }
        drop(seen);
        self.0.news.notify_waiters();
    }

    /// Waits until the server has refused `subject`.
    async fn refused(&self, subject: &str) {
        loop {
            // Created before the look, so that nothing is missed in between.
            let news = self.0.news.notified();
            if self.seen().texts.iter().any(|text| text.contains(subject)) {
                return;
            }
            news.await;
        }
    }

    /// The first refusal that has to do with one of `subjects`, or with no subject at all.
    fn about(&self, subjects: &[&str]) -> Option<String> {
        let is_about = |text: &&String| {
            !text
                .to_ascii_lowercase()
                .starts_with("permissions violation")
                || subjects
                    .iter()
                    .any(|subject| text.contains(&format!("\"{subject}\"")))
        };
        self.seen().texts.iter().find(is_about).cloned()
    }
}

/// Notes what happens to the connection, and tells the user what matters.
pub(super) fn on_event(event: &Event, violations: &Violations, inbox_root: &str) {
    match event {
        Event::ServerError(ServerError::Other(text)) => {
            violations.push(text, inbox_root);
        }
        Event::Disconnected => {
            violations.seen().away = true;
            eprintln!("nats: warning: {event}");
        }
        Event::Connected => {
            if std::mem::take(&mut violations.seen().away) {
                eprintln!("nats: warning: connected again");
            }
        }
        Event::LameDuckMode
        | Event::SlowConsumer(_)
        | Event::ServerError(_)
        | Event::ClientError(_) => eprintln!("nats: warning: {event}"),
        Event::Draining | Event::Closed => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refusals_of_what_was_asked_for_count() {
        let violations = Violations::default();
        violations.push("Permissions Violation for Publish to \"a.b\"", "_INBOX.x");
        assert_eq!(violations.about(&["a", "b"]), None);
        assert!(violations.about(&["a.b"]).is_some());
        violations.push("maximum subscriptions exceeded", "_INBOX.x");
        assert!(
            violations
                .about(&[])
                .is_some_and(|text| text.starts_with("maximum"))
        );
    }
}
