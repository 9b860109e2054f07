//! Which parts of a stream's configuration may change.

use everjet_api::{ApiError, ErrorCode, Retention, StreamConfig};
use everjet_consumer::Consumer;

/// Refuses an update of what cannot change. Both configurations have their defaults filled in.
///
/// # Errors
/// [`ErrorCode::StreamInvalidConfig`] with the text of nats-server.
pub(crate) fn check_update(old: &StreamConfig, new: &StreamConfig) -> Result<(), ApiError> {
    let rules = [
        (
            old.name != new.name,
            "stream configuration name must match original",
        ),
        (
            old.storage != new.storage,
            "stream configuration update can not change storage type",
        ),
        (
            old.retention != new.retention
                && [old.retention, new.retention].contains(&Retention::WorkQueue),
            "stream configuration update can not change retention policy to/from workqueue",
        ),
        (
            old.sealed && !new.sealed,
            "stream configuration update can not unseal a sealed stream",
        ),
        (
            old.deny_delete && !new.deny_delete,
            "stream configuration update can not cancel deny message deletes",
        ),
        (
            old.deny_purge && !new.deny_purge,
            "stream configuration update can not cancel deny purge",
        ),
        (
            old.allow_msg_ttl && !new.allow_msg_ttl,
            "message TTL status can not be disabled",
        ),
        (
            old.allow_msg_counter != new.allow_msg_counter,
            "stream configuration update can not change message counter setting",
        ),
        (
            old.persist_mode != new.persist_mode,
            "stream configuration update can not change persist mode",
        ),
    ];
    match rules.into_iter().find(|(broken, _)| *broken) {
        Some((_, text)) => Err(ErrorCode::StreamInvalidConfig.because(text)),
        None => Ok(()),
    }
}

/// Refuses limits for consumers that existing ones break.
///
/// # Errors
/// [`ErrorCode::StreamUpdate`] that names them.
pub(crate) fn check_consumer_limits<'a>(
    new: &StreamConfig,
    consumers: impl Iterator<Item = &'a Consumer>,
) -> Result<(), ApiError> {
    let limits = &new.consumer_limits;
    let mut broken: Vec<&str> = consumers
        .filter(|consumer| {
            let config = &consumer.config;
            (limits.max_ack_pending > 0 && config.max_ack_pending > limits.max_ack_pending)
                || (!limits.inactive_threshold.is_zero()
                    && config.inactive_threshold > limits.inactive_threshold)
        })
        .map(|consumer| consumer.name.as_str())
        .collect();
    if broken.is_empty() {
        return Ok(());
    }
    broken.sort_unstable();
    Err(ErrorCode::StreamUpdate.because(format_args!(
        "change to limits violates consumers: {}",
        broken.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: &str, new: &str, expected: Option<&str>) {
        let read = |json: &str| serde_json::from_str(json).expect("a configuration");
        let text = check_update(&read(old), &read(new)).err();
        let text = text.map(|error| error.description);
        assert_eq!(text.as_deref(), expected, "{old} {new}");
    }

    #[test]
    fn some_things_can_not_be_taken_back() {
        for (old, new, expected) in [
            (
                "{}",
                r#"{"max_msgs":5,"subjects":["q"],"first_seq":5,"deny_delete":true}"#,
                None,
            ),
            (
                "{}",
                r#"{"storage":"memory"}"#,
                Some("stream configuration update can not change storage type"),
            ),
            (
                r#"{"deny_delete":true}"#,
                "{}",
                Some("stream configuration update can not cancel deny message deletes"),
            ),
            (
                r#"{"deny_purge":true}"#,
                "{}",
                Some("stream configuration update can not cancel deny purge"),
            ),
            (
                r#"{"sealed":true,"deny_delete":true}"#,
                "{}",
                Some("stream configuration update can not unseal a sealed stream"),
            ),
        ] {
            check(old, new, expected);
        }
    }
}
