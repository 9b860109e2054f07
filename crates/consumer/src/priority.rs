//! Priority groups: which of the waiting pull requests may take a message (ADR-42).

use everjet_api::{
    ApiError, ConsumerConfig, ConsumerEvent, ErrorCode, PriorityPolicy, PullRequest,
};
use everjet_values::{ConsumerSequence, Timestamp};

use crate::advisory::Advisories;
use crate::consumer::ConsumerId;
use crate::pin::Pin;
use crate::pull::Offer;
use crate::status;

/// Length of what a pinned client shows, as nats-server gives it.
const PIN_LEN: usize = 22;
/// Longest name of a group.
const GROUP_LEN_MAX: usize = 16;
/// The last priority.
const PRIORITY_MAX: i64 = 9;

/// Checks the groups of a configuration.
///
/// # Errors
/// Those of nats-server.
pub(crate) fn check(config: &ConsumerConfig) -> Result<(), ApiError> {
    let groups = &config.priority_groups;
    if config.priority_policy == PriorityPolicy::None {
        if !groups.is_empty() {
            return Err(ErrorCode::ConsumerPriorityGroupWithPolicyNone.error());
        }
        if !config.priority_timeout.is_zero() {
            return Err(ErrorCode::ConsumerPinnedTtlWithPolicyNone.error());
        }
        return Ok(());
    }
    if config.is_push() {
        return Err(ErrorCode::ConsumerPushWithPriorityGroup.error());
    }
    if groups.is_empty() {
        return Err(ErrorCode::ConsumerPriorityPolicyWithoutGroup.error());
    }
    for group in groups {
        if group.is_empty() {
            return Err(ErrorCode::ConsumerEmptyGroupName.error());
        }
        if !is_valid_group(group) {
            return Err(ErrorCode::ConsumerInvalidGroupName.error());
        }
    }
    Ok(())
}

/// Whether a group may have this name.
#[must_use]
pub fn is_valid_group(name: &str) -> bool {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"/_=-".contains(&byte);
    (1..=GROUP_LEN_MAX).contains(&name.len()) && name.bytes().all(is_valid)
}

/// Holds a request against the groups of the consumer; the error is the status to send. A client that shows that it is pinned has been
/// heard of.
pub(crate) fn admit(
    now: Timestamp,
    config: &ConsumerConfig,
    request: &PullRequest,
    body: &[u8],
    pin: Option<&mut Pin>,
) -> Result<(), Vec<u8>> {
    let bad = |text: &str| Err(status::plain(400, &format!("Bad Request - {text}")));
    let policy = config.priority_policy;
    let has_least = request.min_pending != 0 || request.min_ack_pending != 0;
    if has_least && policy != PriorityPolicy::Overflow {
        return bad("Not a Overflow Priority consumer");
    }
    if !request.id.is_empty() && policy != PriorityPolicy::PinnedClient {
        return bad("Not a Pinned Client Priority consumer");
    }
    if !(0..=PRIORITY_MAX).contains(&request.priority) {
        return bad("Priority must be between 0 and 9");
    }
    // A body that is no document, and asks for messages only, needs no group.
    if policy == PriorityPolicy::None || body.trim_ascii().first() != Some(&b'{') {
        return Ok(());
    }
    if request.group.is_empty() {
        return bad("Priority Group missing");
    }
    if !config.priority_groups.contains(&request.group) {
        return bad("Invalid Priority Group");
    }
    if let Some(pin) = pin {
        if request.id == pin.id() {
            pin.heard(now);
        } else if !request.id.is_empty() {
            return Err(status::plain(423, "Nats-Pin-Id mismatch"));
        }
    }
    Ok(())
}

/// Where a request stands in its group. A consumer without groups costs it nothing.
#[derive(Clone, Debug)]
pub(crate) struct Place(Option<Box<Standing>>);

#[derive(Clone, Debug)]
struct Standing {
    policy: PriorityPolicy,
    group: String,
    /// What the client has shown, or was given.
    id: String,
    pending_min: u64,
    ack_pending_min: u64,
    priority: i64,
}

/// What there is when a message is offered.
#[derive(Clone, Copy)]
pub(crate) struct Situation<'a> {
    pub(crate) consumer: ConsumerId,
    pub(crate) config: &'a ConsumerConfig,
    pub(crate) name: &'a str,
    /// Sequence of the delivery.
    pub(crate) delivery: ConsumerSequence,
    /// Messages that were not delivered yet, this one included.
    pub(crate) pending: u64,
    /// Deliveries that wait for their acknowledgement.
    pub(crate) ack_pending: u64,
}

impl Situation<'_> {
    /// Whether who takes a message is pinned.
    pub(crate) fn pins(&self) -> bool {
        self.config.priority_policy == PriorityPolicy::PinnedClient
    }
}

impl Place {
    /// The place of a request that was admitted.
    pub(crate) fn of(config: &ConsumerConfig, request: PullRequest) -> Self {
        let policy = config.priority_policy;
        let least = |number: i64| u64::try_from(number).unwrap_or(0);
        Self((policy != PriorityPolicy::None).then(|| {
            Box::new(Standing {
                policy,
                pending_min: least(request.min_pending),
                ack_pending_min: least(request.min_ack_pending),
                priority: request.priority,
                group: request.group,
                id: request.id,
            })
        }))
    }

    /// The lowest is served first, equal ones in turn.
    pub(crate) fn rank(&self) -> i64 {
        match &self.0 {
            Some(standing) if standing.policy == PriorityPolicy::Prioritized => standing.priority,
            _ => 0,
        }
    }

    /// Whether the client shows a pin that is not the one there is.
    pub(crate) fn is_of_another_pin(&self, pin: Option<&Pin>) -> bool {
        let shown = self.0.as_ref().map_or("", |standing| &standing.id);
        !shown.is_empty() && pin.is_none_or(|pin| pin.id() != shown)
    }

    /// Whether it may take a message now. It is not of another pin.
    pub(crate) fn may_take(&self, situation: &Situation<'_>, pin: Option<&Pin>) -> bool {
        let Some(standing) = &self.0 else {
            return true;
        };
        match situation.config.priority_policy {
            PriorityPolicy::PinnedClient => pin.is_none() || !standing.id.is_empty(),
            PriorityPolicy::Overflow => {
                let is_enough = |least: u64, number: u64| least > 0 && least <= number;
                (standing.pending_min == 0 && standing.ack_pending_min == 0)
                    || is_enough(standing.pending_min, situation.pending)
                    || is_enough(standing.ack_pending_min, situation.ack_pending)
            }
            PriorityPolicy::Prioritized | PriorityPolicy::None => true,
        }
    }

    /// Pins the client of this request, to which a message goes. `None` when it named no group.
    pub(crate) fn pin(
        &mut self,
        offer: &Offer<'_, '_>,
        advisories: &mut Advisories,
    ) -> Option<Pin> {
        let Situation {
            config,
            consumer,
            delivery,
            name,
            ..
        } = offer.situation;
        let standing = self.0.as_mut().filter(|one| !one.group.is_empty())?;
        let id = pin_id(offer.now, consumer, delivery);
        standing.id.clone_from(&id);
        let event = ConsumerEvent::Pinned {
            group: standing.group.clone(),
            id: id.clone(),
        };
        advisories.push(name, event);
        let patience = config.priority_timeout.as_duration().unwrap_or_default();
        Some(Pin::new(offer.now, standing.group.clone(), id, patience))
    }
}

/// What a pinned client shows: another one for every time, consumer and delivery. It keeps clients apart and protects nothing.
fn pin_id(now: Timestamp, consumer: ConsumerId, delivery: ConsumerSequence) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mixed = consumer.0.rotate_left(32) ^ delivery.0;
    let mut rest = u128::from(now.as_nanos().cast_unsigned()) << 64
        | u128::from(mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut id = String::with_capacity(PIN_LEN);
    for _ in 0..PIN_LEN {
        let digit = usize::try_from(rest % 62).unwrap_or(0);
        id.push(char::from(DIGITS.get(digit).copied().unwrap_or(b'0')));
        rest /= 62;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_short_names_of_plain_characters() {
        for name in ["a", "A-b_c/d=9", "0123456789abcdef"] {
            assert!(is_valid_group(name), "{name}");
        }
        for name in ["", "0123456789abcdefg", "a b", "a.b", "ä", "a+b", "a*"] {
            assert!(!is_valid_group(name), "{name}");
        }
    }

    #[test]
    fn pins_differ() {
        let pin = |now, consumer, delivery| {
            pin_id(
                Timestamp::from_nanos(now),
                ConsumerId(consumer),
                ConsumerSequence(delivery),
            )
        };
        let one = pin(1_700_000_000_000_000_000, 5, 7);
        assert_eq!(one.len(), PIN_LEN);
        for other in [
            pin(1_700_000_000_000_000_001, 5, 7),
            pin(1_700_000_000_000_000_000, 6, 7),
            pin(1_700_000_000_000_000_000, 5, 8),
        ] {
            assert_ne!(one, other);
        }
    }
}
