//! Which parts of a consumer's configuration may change.

use everjet_api::{ApiError, ConsumerConfig, ErrorCode};

/// Refuses an update of what cannot change. Both configurations have their defaults filled in.
///
/// # Errors
/// [`ErrorCode::ConsumerCreate`] with the text of nats-server.
pub fn check_update(old: &ConsumerConfig, new: &ConsumerConfig) -> Result<(), ApiError> {
    let rules = [
        (
            old.deliver_policy != new.deliver_policy,
            "deliver policy can not be updated",
        ),
        (
            old.mem_storage != new.mem_storage,
            "storage type can not be updated",
        ),
        (
            old.opt_start_seq != new.opt_start_seq,
            "start sequence can not be updated",
        ),
        (
            old.opt_start_time != new.opt_start_time,
            "start time can not be updated",
        ),
        (
            old.ack_policy != new.ack_policy,
            "ack policy can not be updated",
        ),
        (
            old.replay_policy != new.replay_policy,
            "replay policy can not be updated",
        ),
        (
            old.idle_heartbeat != new.idle_heartbeat,
            "heart beats can not be updated",
        ),
        (
            old.flow_control != new.flow_control,
            "flow control can not be updated",
        ),
        (
            !old.is_push() && new.is_push(),
            "can not update pull consumer to push based",
        ),
        (
            old.is_push() && !new.is_push(),
            "can not update push consumer to pull based",
        ),
        (
            old.max_waiting != new.max_waiting,
            "max waiting can not be updated",
        ),
    ];
    match rules.into_iter().find(|(broken, _)| *broken) {
        Some((_, text)) => Err(ErrorCode::ConsumerCreate.because(text)),
        None => Ok(()),
    }
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
    fn identity_and_mode_can_not_change() {
        for (old, new, expected) in [
            (
                "{}",
                r#"{"description":"x","max_deliver":3,"ack_wait":5,"headers_only":true}"#,
                None,
            ),
            (
                "{}",
                r#"{"filter_subject":"a","max_ack_pending":4,"inactive_threshold":9}"#,
                None,
            ),
            (
                r#"{"deliver_subject":"a"}"#,
                r#"{"deliver_subject":"b"}"#,
                None,
            ),
            (
                "{}",
                r#"{"ack_policy":"all"}"#,
                Some("ack policy can not be updated"),
            ),
            (
                "{}",
                r#"{"deliver_policy":"new"}"#,
                Some("deliver policy can not be updated"),
            ),
            (
                "{}",
                r#"{"replay_policy":"original"}"#,
                Some("replay policy can not be updated"),
            ),
            (
                "{}",
                r#"{"max_waiting":3}"#,
                Some("max waiting can not be updated"),
            ),
            (
                "{}",
                r#"{"mem_storage":true}"#,
                Some("storage type can not be updated"),
            ),
            (
                r#"{"max_waiting":512}"#,
                r#"{"deliver_subject":"z"}"#,
                Some("can not update pull consumer to push based"),
            ),
            (
                r#"{"deliver_subject":"z"}"#,
                r#"{"max_waiting":512}"#,
                Some("can not update push consumer to pull based"),
            ),
            (
                r#"{"deliver_subject":"z"}"#,
                r#"{"deliver_subject":"z","idle_heartbeat":5}"#,
                Some("heart beats can not be updated"),
            ),
        ] {
            check(old, new, expected);
        }
    }
}
