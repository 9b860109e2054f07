//! Publishing stored messages again under other subjects (`republish`), for receivers that only want to hear of them.

use everjet_api::{ApiError, ErrorCode, Republish, StreamConfig};
use everjet_subject::{SubjectTransform, collides, is_valid_literal};
use everjet_values::{Entropy, SeededEntropy, StreamSequence, Timestamp};
use everjet_wire::HeaderBuilder;

/// What a stream publishes again, and where.
#[derive(Debug)]
pub(crate) struct Republisher {
    transform: SubjectTransform,
    headers_only: bool,
}

/// A message that was stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) stream: &'a str,
    pub(crate) subject: &'a [u8],
    pub(crate) headers: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) sequence: StreamSequence,
    pub(crate) time: Timestamp,
    /// The message of its subject before it; zero when there was none.
    pub(crate) before: StreamSequence,
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

    /// Where a message goes that was stored as `sequence`; `None` when it is not published again, or its new subject could not be.
    pub(crate) fn destination(
        &self,
        subject: &[u8],
        sequence: StreamSequence,
        now: Timestamp,
    ) -> Option<Vec<u8>> {
        let lots = SeededEntropy::new(now.as_nanos().unsigned_abs() ^ (sequence.0 << 32));
        let draw = || u32::try_from(lots.next_u64() >> 32).unwrap_or_default();
        let mut to = Vec::new();
        let applies = self.transform.apply(subject, draw, &mut to);
        (applies && is_valid_literal(&to)).then_some(to)
    }

    /// Headers and payload of what goes there: the stored headers, and where the message is.
    pub(crate) fn content<'a>(&self, stored: &Stored<'a>) -> (Vec<u8>, &'a [u8]) {
        let mut block = match stored.headers {
            [head @ .., b'\r', b'\n'] => HeaderBuilder::going_on(head.to_vec()),
            _ => HeaderBuilder::new(),
        };
        block.push("Nats-Stream", stored.stream);
        block.push("Nats-Subject", stored.subject);
        block.push("Nats-Sequence", stored.sequence.to_string());
        block.push("Nats-Time-Stamp", stored.time.text().as_str());
        block.push("Nats-Last-Sequence", stored.before.to_string());
        if !self.headers_only {
            return (block.finish(), stored.payload);
        }
        block.push("Nats-Msg-Size", stored.payload.len().to_string());
        (block.finish(), b"")
    }
}
