//! Publishing stored messages again under other subjects (`republish`), for receivers that only want to hear of them.

use everjet_api::{ApiError, ErrorCode, Republish, StreamConfig};
use everjet_subject::{SubjectTransform, collides, is_valid_literal};
use everjet_values::{Entropy, SeededEntropy, StreamSequence, Timestamp};
use everjet_wire::HeaderBuilder;

use crate::Publish;
use crate::output::Effects;
use crate::state::StreamState;

/// What a stream publishes again, and where.
#[derive(Debug)]
pub(crate) struct Republisher {
    transform: SubjectTransform,
    headers_only: bool,
}

/// A message that is published again once it is stored.
#[derive(Debug)]
pub(crate) struct Planned {
    to: Vec<u8>,
    headers_only: bool,
    /// The message of its subject before it; zero when there was none.
    before: StreamSequence,
}

/// The rules for a configuration, and what is filled in.
///
/// # Errors
/// The texts of nats-server.
pub(crate) fn normalise(config: &mut StreamConfig, pedantic: bool) -> Result<(), ApiError> {
    let implied = implied(config);
    let Some(republish) = &mut config.republish else {
        return Ok(());
    };
    if republish.source.is_empty() {
        if pedantic {
            return Err(ErrorCode::Pedantic.because("republish source can not be empty"));
        }
        republish.source = ">".to_owned();
    }
    let is_everything = republish.source == ">" && republish.destination == ">";
    if let Some(implied) = implied.filter(|_| is_everything) {
        if pedantic {
            return Err(
                ErrorCode::Pedantic.because("implicit republish based on subject transform")
            );
        }
        republish.source.clone_from(&implied);
        republish.destination = implied;
    }
    let invalid = |text: &str| Err(ErrorCode::StreamInvalidConfig.because(text));
    let destination = republish.destination.as_bytes();
    let collides = |subject: &String| collides(destination, subject.as_bytes());
    if config.subjects.iter().any(collides) {
        return invalid("stream configuration for republish destination forms a cycle");
    }
    if !republish.destination.is_empty() && transform(republish).is_none() {
        return invalid(&format!(
            "stream configuration for republish with transform from '{}' to '{}' not valid",
            republish.source, republish.destination
        ));
    }
    Ok(())
}

/// What messages are called when the stream has one subject, which a transform changes.
fn implied(config: &StreamConfig) -> Option<String> {
    let transform = config.subject_transform.as_ref()?;
    let is_whole = config.subjects == [transform.source.as_str()];
    is_whole.then(|| transform.destination.clone())
}

fn transform(republish: &Republish) -> Option<SubjectTransform> {
    let (source, destination) = (&republish.source, &republish.destination);
    SubjectTransform::new(source.as_bytes(), destination.as_bytes()).ok()
}

impl Republisher {
    /// What a configuration that was checked says; one without destination publishes nothing.
    pub(crate) fn of(config: &StreamConfig) -> Option<Self> {
        let republish = config.republish.as_ref()?;
        Some(Self {
            transform: transform(republish)?,
            headers_only: republish.headers_only,
        })
    }

    /// Where a message goes that will be stored as `sequence`; `None` when it is not published again, or its new subject could not
    /// be.
    pub(crate) fn plan(
        &self,
        state: &StreamState,
        subject: &[u8],
        sequence: StreamSequence,
        now: Timestamp,
    ) -> Option<Planned> {
        let lots = SeededEntropy::new(now.as_nanos().unsigned_abs() ^ (sequence.0 << 32));
        let draw = || u32::try_from(lots.next_u64() >> 32).unwrap_or_default();
        let mut to = Vec::new();
        if !self.transform.apply(subject, draw, &mut to) || !is_valid_literal(&to) {
            return None;
        }
        let id = state.store.subjects().lookup(subject);
        let before = id.and_then(|id| state.store.last_of(id));
        Some(Planned {
            to,
            headers_only: self.headers_only,
            before: before.unwrap_or_default(),
        })
    }
}

impl Planned {
    /// The same behind another message of its subject, if there is one that is stored before it.
    pub(crate) fn behind(self, before: Option<StreamSequence>) -> Self {
        Self {
            before: before.unwrap_or(self.before),
            ..self
        }
    }

    /// The message was stored, with these headers: it leaves with them, and with where it is.
    pub(crate) fn send(
        self,
        state: &StreamState,
        headers: &[u8],
        publish: &Publish<'_>,
        sequence: StreamSequence,
        effects: &mut Effects,
    ) {
        let mut block = match headers {
            [head @ .., b'\r', b'\n'] => HeaderBuilder::going_on(head.to_vec()),
            _ => HeaderBuilder::new(),
        };
        block.push("Nats-Stream", &state.config.name);
        block.push("Nats-Subject", publish.subject);
        block.push("Nats-Sequence", sequence.to_string());
        block.push("Nats-Time-Stamp", state.last_time.text().as_str());
        block.push("Nats-Last-Sequence", self.before.to_string());
        let mut payload = publish.payload;
        if self.headers_only {
            block.push("Nats-Msg-Size", payload.len().to_string());
            payload = b"";
        }
        effects.republish(self.to, block.finish(), payload);
    }
}
