//! Settings of a stream that can be left out on request, because they say nothing about the messages that are there.

use everjet_api::{Compression, PersistMode, StreamConfig};

/// Whether a setting can be left out.
///
/// # Errors
/// Why not, for a person.
pub(crate) fn check(name: &str) -> Result<(), String> {
    let mut nowhere = StreamConfig::default();
    match leave_out(&mut nowhere, name) {
        Some(_) => Ok(()),
        None => Err(format!(
            "--without {name}: not a setting that can be left out; those are {}",
            NAMES.join(", ")
        )),
    }
}

/// All of them.
pub(crate) const NAMES: [&str; 15] = [
    "allow_atomic",
    "allow_batched",
    "allow_msg_counter",
    "allow_msg_schedules",
    "allow_msg_ttl",
    "allow_rollup_hdrs",
    "compression",
    "mirror",
    "num_replicas",
    "persist_mode",
    "placement",
    "republish",
    "sources",
    "subject_delete_marker_ttl",
    "subject_transform",
];

/// Takes a setting out of a configuration. Returns whether it was set; `None` for one that cannot be left out.
pub(crate) fn leave_out(config: &mut StreamConfig, name: &str) -> Option<bool> {
    Some(match name {
        "allow_atomic" => std::mem::take(&mut config.allow_atomic),
        "allow_batched" => std::mem::take(&mut config.allow_batched),
        "allow_msg_counter" => std::mem::take(&mut config.allow_msg_counter),
        "allow_msg_schedules" => std::mem::take(&mut config.allow_msg_schedules),
        "allow_msg_ttl" => std::mem::take(&mut config.allow_msg_ttl),
        "allow_rollup_hdrs" => std::mem::take(&mut config.allow_rollup_hdrs),
        "compression" => {
            std::mem::replace(&mut config.compression, Compression::None) != Compression::None
        }
        "mirror" => {
            config.mirror_direct = false;
            config.mirror.take().is_some()
        }
        "num_replicas" => std::mem::replace(&mut config.num_replicas, 1) > 1,
        "persist_mode" => {
            let default = PersistMode::default();
            std::mem::replace(&mut config.persist_mode, default) != default
        }
        "placement" => config.placement.take().is_some(),
        "republish" => config.republish.take().is_some(),
        "sources" => !std::mem::take(&mut config.sources).is_empty(),
        "subject_delete_marker_ttl" => {
            !std::mem::take(&mut config.subject_delete_marker_ttl).is_zero()
        }
        "subject_transform" => config.subject_transform.take().is_some(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_that_say_nothing_about_the_messages_can_be_left_out() {
        for name in NAMES {
            assert_eq!(check(name), Ok(()), "{name}");
            assert_eq!(
                leave_out(&mut StreamConfig::default(), name),
                Some(false),
                "{name}"
            );
        }
        for name in ["retention", "subjects", "max_msgs", "storage", "nonsense"] {
            assert!(
                check(name).is_err_and(|text| text.contains("allow_atomic, ")),
                "{name}"
            );
        }
        let mut config = StreamConfig {
            compression: Compression::S2,
            num_replicas: 3,
            ..StreamConfig::default()
        };
        assert_eq!(leave_out(&mut config, "compression"), Some(true));
        assert_eq!(leave_out(&mut config, "num_replicas"), Some(true));
        assert_eq!(
            (config.compression, config.num_replicas),
            (Compression::None, 1)
        );
    }
}
