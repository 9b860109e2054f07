//! Acknowledgements and flow control on their way to the streams.

use std::sync::Arc;

use everjet_api::AckSubject;
use everjet_routing::{LocalReceiver, MessageBatch, Turn};

use crate::actor::StreamActor;
use crate::registry::Registry;

/// Sorts the messages of a batch by stream and hands each stream its share, in order.
fn share_out(
    registry: &Registry,
    batch: &MessageBatch,
    stream_of: fn(&[u8]) -> Option<&str>,
    mut post: impl FnMut(&Arc<StreamActor>, MessageBatch),
) {
    let mut shares: Vec<(Arc<StreamActor>, MessageBatch)> = Vec::new();
    for (message, origin) in batch.iter() {
        let Some(name) = stream_of(message.subject) else {
            continue;
        };
        let share = match shares
            .iter_mut()
            .rev()
            .find(|(actor, _)| *actor.name == *name)
        {
            Some((_, share)) => share,
            None => {
                let Some(actor) = registry.find(name) else {
                    continue;
                };
                shares.push((actor, MessageBatch::new()));
                &mut shares.last_mut().expect("just pushed").1
            }
        };
        share.push(&message, origin);
    }
    for (actor, share) in shares {
        post(&actor, share);
    }
}

/// Takes `$JS.ACK.>`.
pub(crate) struct AckInlet(Arc<Registry>);

impl AckInlet {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self(registry)
    }
}

impl LocalReceiver for AckInlet {
    fn receive(&self, batch: &mut MessageBatch, turn: &mut Turn) {
        share_out(&self.0, batch, acknowledged_stream, |actor, share| {
            actor.post_acks(share, turn)
        });
    }
}

/// Takes `$JS.FC.>`: answers of clients that flow control asked whether they keep up.
pub(crate) struct FlowControlInlet(Arc<Registry>);

impl FlowControlInlet {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self(registry)
    }
}

impl LocalReceiver for FlowControlInlet {
    fn receive(&self, batch: &mut MessageBatch, turn: &mut Turn) {
        share_out(&self.0, batch, flow_controlled_stream, |actor, share| {
            actor.post_flow_control(share, turn)
        });
    }
}

fn acknowledged_stream(subject: &[u8]) -> Option<&str> {
    AckSubject::stream_of(subject)
}

fn flow_controlled_stream(subject: &[u8]) -> Option<&str> {
    flow_control_target(subject).map(|(stream, _)| stream)
}

/// Stream and consumer of `$JS.FC.<stream>.<consumer>.<token>` or `$JS.FC.<domain>.<hash>.<stream>.<consumer>.<token>`.
pub(crate) fn flow_control_target(subject: &[u8]) -> Option<(&str, &str)> {
    let tail = std::str::from_utf8(subject.strip_prefix(b"$JS.FC.")?).ok()?;
    let tokens: Vec<&str> = tail.split('.').collect();
    match tokens[..] {
        [stream, consumer, _] | [_, _, stream, consumer, _] => Some((stream, consumer)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flow_control_subjects_name_stream_and_consumer() {
        for (subject, target) in [
            ("$JS.FC.ORDERS.c1.abcd", Some(("ORDERS", "c1"))),
            ("$JS.FC._.hash.ORDERS.c1.abcd", Some(("ORDERS", "c1"))),
            ("$JS.FC.ORDERS.c1", None),
            ("$JS.FC.a.b.c.d", None),
            ("$JS.ACK.ORDERS.c1.x", None),
        ] {
            assert_eq!(flow_control_target(subject.as_bytes()), target, "{subject}");
        }
    }
}
