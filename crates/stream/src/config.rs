//! Configuration of a stream: the defaults the server fills in, and the rules.
//!
//! Texts of the rules are those of nats-server 2.15.1.

use std::time::Duration;

use everjet_api::{
    ApiError, Discard, ErrorCode, Nanos, PersistMode, Placement, REQUIRED_LEVEL_KEY, StreamConfig,
    check_stream_name, strip_level_metadata,
};
use everjet_consumer::SEQUENCE_MAX;
use everjet_subject::{FilterSet, collides, is_subset, is_valid_filter};
use everjet_values::format_duration;

use crate::{batch, counter, ingest, marker, persist, republish, rollup, transform};

const DUPLICATE_WINDOW: Nanos = Nanos::from_secs(120);
const SHORTEST: Nanos = Nanos::from_millis(100);
const DESCRIPTION_MAX: usize = 4096;
const METADATA_MAX: usize = 128 << 10;
const REPLICAS_MAX: i64 = 5;
const NOT_YET: &str = "is not supported by this version of Everjet yet";

/// What the server allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerLimits {
    /// Longest duplicate window; also its default when that is longer.
    pub duplicate_window: Option<Duration>,
}

/// Fills in the defaults of a new stream and checks all rules that concern one stream alone. Whether its subjects
/// belong to another stream is for others to say.
///
/// # Errors
/// The error of the first rule that is broken. What is not built yet is [`ErrorCode::StreamInvalidConfig`] with a text
/// that names the field.
pub fn normalise_config(
    config: StreamConfig,
    pedantic: bool,
    limits: &ServerLimits,
) -> Result<StreamConfig, ApiError> {
    if config.sealed {
        return invalid("stream configuration for create can not be sealed");
    }
    normalise_update(config, pedantic, limits)
}

/// As [`normalise_config`], for the new configuration of an existing stream: it may be sealed.
///
/// # Errors
/// As [`normalise_config`].
pub fn normalise_update(
    mut config: StreamConfig,
    pedantic: bool,
    limits: &ServerLimits,
) -> Result<StreamConfig, ApiError> {
    check_stream_name(&config.name)?;
    check_texts(&config)?;
    check_replicas(&config)?;
    if pedantic {
        check_pedantic(&config, limits)?;
    }
    fill_defaults(&mut config, limits);
    check_ages(&config, limits)?;
    rollup::check_config(&config)?;
    batch::check_config(&config)?;
    ingest::check_config(&config)?;
    counter::check_config(&config)?;
    check_discard(&config)?;
    marker::normalise(&mut config, pedantic)?;
    persist::check_config(&config)?;
    check_supported(&config)?;
    check_subjects(&config)?;
    transform::check_config(&config)?;
    republish::normalise(&mut config, pedantic)?;
    if config.sealed {
        seal(&mut config);
    }
    strip_level_metadata(&mut config.metadata);
    let level = required_level(&config);
    config
        .metadata
        .insert(REQUIRED_LEVEL_KEY.to_owned(), level.to_string());
    Ok(config)
}

/// The lowest API level that has all that a configuration asks for.
fn required_level(config: &StreamConfig) -> u32 {
    let features = [
        (config.allow_msg_ttl, 1),
        (config.allow_msg_counter, 2),
        (config.persist_mode == PersistMode::Async, 2),
        (config.allow_atomic, 2),
        (config.allow_batched, 4),
    ];
    let used = features.into_iter().filter(|(used, _)| *used);
    used.map(|(_, level)| level).max().unwrap_or(0)
}

fn check_texts(config: &StreamConfig) -> Result<(), ApiError> {
    if config.description.len() > DESCRIPTION_MAX {
        return invalid(&format!(
            "stream description is too long, maximum allowed is {DESCRIPTION_MAX}"
        ));
    }
    let metadata: usize = config
        .metadata
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if metadata > METADATA_MAX {
        return invalid(&format!(
            "stream metadata exceeds maximum size of {METADATA_MAX} bytes"
        ));
    }
    Ok(())
}

fn check_replicas(config: &StreamConfig) -> Result<(), ApiError> {
    match config.num_replicas {
        ..0 => Err(ErrorCode::ReplicasCountCannotBeNegative.error()),
        0..=1 => Ok(()),
        2..=REPLICAS_MAX => Err(ErrorCode::StreamReplicasNotSupported.error()),
        _ => invalid("maximum replicas is 5"),
    }
}

fn check_pedantic(config: &StreamConfig, limits: &ServerLimits) -> Result<(), ApiError> {
    let window = default_window(config, limits);
    let rules = [
        (config.max_msgs < -1, "max_msgs must be set to -1"),
        (config.max_bytes < -1, "max_bytes must be set to -1"),
        (config.max_msg_size < -1, "max_msg_size must be set to -1"),
        (
            config.max_msgs_per_subject < -1,
            "max_msgs_per_subject must be set to -1",
        ),
        (config.max_consumers < -1, "max_consumers must be set to -1"),
        (
            config.duplicate_window.is_zero() && window < DUPLICATE_WINDOW,
            "duplicate window cannot be bigger than max age",
        ),
    ];
    match rules.into_iter().find(|(broken, _)| *broken) {
        Some((_, text)) => Err(ErrorCode::Pedantic.because(text)),
        None => Ok(()),
    }
}

fn fill_defaults(config: &mut StreamConfig, limits: &ServerLimits) {
    if config.subjects.is_empty() && config.mirror.is_none() && config.sources.is_empty() {
        config.subjects.push(config.name.clone());
    }
    for value in [
        &mut config.max_msgs,
        &mut config.max_bytes,
        &mut config.max_msgs_per_subject,
        &mut config.max_consumers,
    ] {
        if *value < 1 {
            *value = -1;
        }
    }
    if config.max_msg_size < 1 {
        config.max_msg_size = -1;
    }
    config.num_replicas = config.num_replicas.max(1);
    if config.duplicate_window.is_zero() {
        config.duplicate_window = default_window(config, limits);
    }
    if config.placement == Some(Placement::default()) {
        config.placement = None;
    }
}

fn default_window(config: &StreamConfig, limits: &ServerLimits) -> Nanos {
    let mut window = DUPLICATE_WINDOW;
    if config.max_age > Nanos::ZERO {
        window = window.min(config.max_age);
    }
    match limits.duplicate_window {
        Some(limit) => window.min(Nanos::from_duration(limit)),
        None => window,
    }
}

fn check_ages(config: &StreamConfig, limits: &ServerLimits) -> Result<(), ApiError> {
    let (age, window) = (config.max_age, config.duplicate_window);
    if age < Nanos::ZERO {
        return invalid("max age can not be negative");
    }
    if !age.is_zero() && age < SHORTEST {
        return invalid("max age needs to be >= 100ms");
    }
    if window < Nanos::ZERO {
        return invalid("duplicates window can not be negative");
    }
    if !age.is_zero() && window > age {
        return invalid("duplicates window can not be larger then max age");
    }
    if window < SHORTEST {
        return invalid("duplicates window needs to be >= 100ms");
    }
    match limits.duplicate_window {
        Some(limit) if window > Nanos::from_duration(limit) => invalid(&format!(
            "duplicates window can not be larger then server limit of {}",
            format_duration(limit)
        )),
        _ => Ok(()),
    }
}

fn check_discard(config: &StreamConfig) -> Result<(), ApiError> {
    if config.discard_new_per_subject {
        if config.discard != Discard::New {
            return invalid("discard new per subject requires discard new policy to be set");
        }
        if config.max_msgs_per_subject <= 0 {
            return invalid("discard new per subject requires max msgs per subject > 0");
        }
    }
    if config.first_seq > SEQUENCE_MAX.0 {
        return invalid(&format!(
            "first sequence can not be larger than {SEQUENCE_MAX}"
        ));
    }
    Ok(())
}

/// Refuses what is not built yet: accepting it and doing something else would be worse.
fn check_supported(config: &StreamConfig) -> Result<(), ApiError> {
    let preferred = config
        .placement
        .as_ref()
        .is_some_and(|placement| !placement.preferred.is_empty());
    if preferred {
        return invalid("preferred server not permitted in placement");
    }
    if config.mirror_direct && config.mirror.is_none() {
        return invalid("stream has no mirror but does have mirror direct");
    }
    let missing = [
        (config.mirror.is_some(), "mirror"),
        (!config.sources.is_empty(), "sources"),
        (config.placement.is_some(), "placement"),
        (config.allow_msg_schedules, "allow_msg_schedules"),
    ];
    match missing.into_iter().find(|(used, _)| *used) {
        Some((_, field)) => invalid(&format!("{field} {NOT_YET}")),
        None => Ok(()),
    }
}

fn check_subjects(config: &StreamConfig) -> Result<(), ApiError> {
    let overlap = first_overlap(&config.subjects);
    for (position, subject) in config.subjects.iter().enumerate() {
        check_filter(config, subject)?;
        if let Some((_, other)) = overlap.filter(|(first, _)| *first == position) {
            return invalid(&format!("subject {subject:?} overlaps with {other:?}"));
        }
    }
    Ok(())
}

/// Where the first subject stands that overlaps with a later one, and the first such later one: the pair that the error
/// names. Goes backwards, so that the set holds the later ones.
fn first_overlap(subjects: &[String]) -> Option<(usize, &str)> {
    let mut later = FilterSet::new();
    let mut first = None;
    for (position, subject) in subjects.iter().enumerate().rev() {
        if later.insert(subject.as_bytes()).is_err() {
            first = Some(position);
        }
    }
    let position = first?;
    let (subject, others) = subjects.get(position..)?.split_first()?;
    let overlaps = |other: &&String| collides(subject.as_bytes(), other.as_bytes());
    let other = others.iter().find(overlaps)?;
    Some((position, other))
}

fn check_filter(config: &StreamConfig, subject: &str) -> Result<(), ApiError> {
    let bytes = subject.as_bytes();
    if !is_valid_filter(bytes) {
        return invalid("invalid subject");
    }
    if config.no_ack {
        return Ok(());
    }
    if bytes == b">" {
        return invalid("capturing all subjects requires no-ack to be true");
    }
    // Acknowledging what arrives there would answer the server's own traffic.
    let overlaps = |filters: &[&[u8]]| filters.iter().any(|filter| collides(bytes, filter));
    if overlaps(&[b"$JS.>", b"$JSC.>", b"$NRG.>"]) && !is_subset(bytes, b"$JS.EVENT.>") {
        return invalid("subjects that overlap with jetstream api require no-ack to be true");
    }
    if overlaps(&[b"$SYS.>"]) && !is_subset(bytes, b"$SYS.ACCOUNT.>") {
        return invalid("subjects that overlap with system api require no-ack to be true");
    }
    Ok(())
}

/// What sealing means for the rest of a configuration.
fn seal(config: &mut StreamConfig) {
    config.max_age = Nanos::ZERO;
    config.discard = Discard::New;
    config.deny_delete = true;
    config.deny_purge = true;
    config.allow_rollup_hdrs = false;
}

fn invalid<T>(text: &str) -> Result<T, ApiError> {
    Err(ErrorCode::StreamInvalidConfig.because(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> StreamConfig {
        let mut config: StreamConfig = serde_json::from_str(json).expect(json);
        config.name = "Z".to_owned();
        config
    }

    fn check_refused(json: &str, err_code: u16, text: &str) {
        let error = normalise_config(read(json), false, &ServerLimits::default());
        let error = error.expect_err(json);
        assert_eq!(
            (error.err_code, error.description.as_str()),
            (err_code, text),
            "{json}"
        );
    }

    fn check_filled(json: &str, limits: &ServerLimits, filled: impl Fn(&StreamConfig) -> bool) {
        let config = normalise_config(read(json), false, limits).expect(json);
        assert!(filled(&config), "{json}: {config:?}");
    }

    #[test]
    fn defaults_are_those_of_nats_server() {
        let limits = ServerLimits::default();
        check_filled("{}", &limits, |config| {
            config.subjects == ["Z"]
                && config.num_replicas == 1
                && (config.max_msgs, config.max_bytes) == (-1, -1)
                && (config.max_msgs_per_subject, config.max_consumers) == (-1, -1)
                && config.max_msg_size == -1
                && config.duplicate_window == Nanos::from_secs(120)
        });
        check_filled(
            r#"{"max_msgs":-5,"max_bytes":0,"max_msg_size":-3,"max_consumers":-9}"#,
            &limits,
            |config| {
                (config.max_msgs, config.max_bytes, config.max_consumers) == (-1, -1, -1)
                    && config.max_msg_size == -1
            },
        );
        check_filled(r#"{"max_age":1000000000}"#, &limits, |config| {
            config.duplicate_window == Nanos::from_secs(1)
        });
        check_filled(r#"{"placement":{"cluster":""}}"#, &limits, |config| {
            config.placement.is_none()
        });
        let short = ServerLimits {
            duplicate_window: Some(Duration::from_secs(3)),
        };
        check_filled("{}", &short, |config| {
            config.duplicate_window == Nanos::from_secs(3)
        });
    }

    #[test]
    fn each_rule_has_its_error() {
        for (json, text) in [
            (r#"{"max_age":5}"#, "max age needs to be >= 100ms"),
            (r#"{"max_age":-5}"#, "max age can not be negative"),
            (
                r#"{"max_age":1000000000,"duplicate_window":2000000000}"#,
                "duplicates window can not be larger then max age",
            ),
            (
                r#"{"duplicate_window":5}"#,
                "duplicates window needs to be >= 100ms",
            ),
            (
                r#"{"duplicate_window":-5}"#,
                "duplicates window can not be negative",
            ),
            (
                r#"{"discard":"new","discard_new_per_subject":true}"#,
                "discard new per subject requires max msgs per subject > 0",
            ),
            (
                r#"{"discard_new_per_subject":true,"max_msgs_per_subject":1}"#,
                "discard new per subject requires discard new policy to be set",
            ),
            (r#"{"num_replicas":7}"#, "maximum replicas is 5"),
            (
                r#"{"sealed":true}"#,
                "stream configuration for create can not be sealed",
            ),
            (r#"{"subjects":["a b"]}"#, "invalid subject"),
            (r#"{"subjects":["a..b"]}"#, "invalid subject"),
            (
                r#"{"subjects":["a","a"]}"#,
                r#"subject "a" overlaps with "a""#,
            ),
            (
                r#"{"subjects":["a.*","a.b"]}"#,
                r#"subject "a.*" overlaps with "a.b""#,
            ),
            (
                r#"{"subjects":[">"]}"#,
                "capturing all subjects requires no-ack to be true",
            ),
            (
                r#"{"subjects":["$JS.API.x"]}"#,
                "subjects that overlap with jetstream api require no-ack to be true",
            ),
            (
                r#"{"subjects":["*.API.>"]}"#,
                "subjects that overlap with jetstream api require no-ack to be true",
            ),
            (
                r#"{"subjects":["$SYS.x"]}"#,
                "subjects that overlap with system api require no-ack to be true",
            ),
            (
                r#"{"mirror_direct":true}"#,
                "stream has no mirror but does have mirror direct",
            ),
            (
                r#"{"allow_rollup_hdrs":true,"deny_purge":true}"#,
                "roll-ups require the purge permission",
            ),
            (
                r#"{"placement":{"preferred":"x"}}"#,
                "preferred server not permitted in placement",
            ),
            (
                r#"{"subject_delete_marker_ttl":999999999}"#,
                "subject delete marker TTL must be at least 1 second",
            ),
            (
                r#"{"subject_delete_marker_ttl":-1}"#,
                "subject delete marker TTL must not be negative",
            ),
            (
                r#"{"deny_purge":true,"allow_rollup_hdrs":true}"#,
                "roll-ups require the purge permission",
            ),
            (
                r#"{"mirror":{"name":"o"}}"#,
                "mirror is not supported by this version of Everjet yet",
            ),
            (
                r#"{"first_seq":18446744073709551615}"#,
                "first sequence can not be larger than 72057594037927936",
            ),
        ] {
            check_refused(json, 10052, text);
        }
        check_refused(
            r#"{"num_replicas":3}"#,
            10074,
            "replicas > 1 not supported in non-clustered mode",
        );
        check_refused(
            r#"{"num_replicas":-1}"#,
            10133,
            "replicas count cannot be negative",
        );
    }

    /// Compared pair by pair, these took half a minute.
    #[test]
    fn very_many_subjects_are_checked_at_once() {
        let mut config = read("{}");
        config.subjects = (0..20_000)
            .map(|n| match n % 4 {
                0 => format!("orders.{n}"),
                1 => format!("orders.*.{n}"),
                2 => format!("{n}.>"),
                _ => format!("{n}.*"),
            })
            .collect();
        assert!(normalise_config(config.clone(), false, &ServerLimits::default()).is_ok());
        for (added, text) in [
            ("8.9.10", None),
            (
                "orders.4",
                Some(r#"subject "orders.4" overlaps with "orders.4""#),
            ),
            (
                "orders.*",
                Some(r#"subject "orders.0" overlaps with "orders.*""#),
            ),
            ("*.x", Some(r#"subject "2.>" overlaps with "*.x""#)),
            (">.x", Some("invalid subject")),
        ] {
            let mut config = config.clone();
            config.subjects.push(added.to_owned());
            let checked = normalise_config(config, false, &ServerLimits::default());
            let found = checked.err().map(|error| error.description);
            assert_eq!(found.as_deref(), text, "{added}");
        }
    }

    #[test]
    fn the_first_pair_that_overlaps_is_named() {
        for (json, text) in [
            (
                r#"{"subjects":["x","a.b","y","a.c","a.*","y"]}"#,
                r#"subject "a.b" overlaps with "a.*""#,
            ),
            (
                r#"{"subjects":["a.*","b","b","a.2","a.1"]}"#,
                r#"subject "a.*" overlaps with "a.2""#,
            ),
            (r#"{"subjects":["a b","c","c"]}"#, "invalid subject"),
            (
                r#"{"subjects":["c","c","a b"]}"#,
                r#"subject "c" overlaps with "c""#,
            ),
            (
                r#"{"subjects":["a.>","a..b"]}"#,
                r#"subject "a.>" overlaps with "a..b""#,
            ),
        ] {
            check_refused(json, 10052, text);
        }
    }

    #[test]
    fn subjects_of_the_server_are_open_to_streams_that_do_not_answer() {
        let limits = ServerLimits::default();
        for json in [
            r#"{"subjects":["$JS.EVENT.x"]}"#,
            r#"{"subjects":["$SYS.ACCOUNT.x"]}"#,
            r#"{"subjects":[">"],"no_ack":true}"#,
            r#"{"subjects":["$JS.API.x"],"no_ack":true}"#,
        ] {
            check_filled(json, &limits, |_| true);
        }
    }

    #[test]
    fn pedantic_requests_are_not_corrected() {
        for (json, text) in [
            (
                r#"{"max_msgs":-5}"#,
                "pedantic mode: max_msgs must be set to -1",
            ),
            (
                r#"{"max_age":1000000000}"#,
                "pedantic mode: duplicate window cannot be bigger than max age",
            ),
        ] {
            let error = normalise_config(read(json), true, &ServerLimits::default());
            let error = error.expect_err(json);
            assert_eq!((error.err_code, error.description.as_str()), (10157, text));
        }
        for json in ["{}", r#"{"max_bytes":0}"#, r#"{"discard":"new"}"#] {
            assert!(normalise_config(read(json), true, &ServerLimits::default()).is_ok());
        }
    }

    #[test]
    fn sealing_an_existing_stream_closes_every_way_to_change_it() {
        let config = read(r#"{"sealed":true,"max_age":1000000000}"#);
        let sealed = normalise_update(config, false, &ServerLimits::default()).expect("legal");
        assert!(sealed.deny_delete && sealed.deny_purge);
        assert_eq!(
            (sealed.discard, sealed.max_age),
            (Discard::New, Nanos::ZERO)
        );
    }
}
