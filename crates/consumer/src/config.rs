//! Configuration of a consumer: the defaults the server fills in, and the rules.
//!
//! Order and texts of the rules are those of nats-server 2.15.1.

use everjet_api::{
    AckPolicy, ApiError, ConsumerConfig, DeliverPolicy, ErrorCode, Nanos, PriorityPolicy,
    REQUIRED_LEVEL_KEY, Retention, StreamConfig, check_consumer_name, strip_level_metadata,
};
use everjet_subject::{has_wildcards, is_subset, is_valid_filter, is_valid_literal};
use everjet_values::format_duration;

use crate::consumer::SEQUENCE_MAX;
use crate::{priority, sampling};

const ACK_WAIT: Nanos = Nanos::from_secs(30);
const MAX_WAITING: i64 = 512;
const MAX_ACK_PENDING: i64 = 1000;
/// An ephemeral consumer nobody uses is removed after this.
const INACTIVE_THRESHOLD: Nanos = Nanos::from_secs(5);
/// A pinned client that is not heard of is let go after this.
const PRIORITY_TIMEOUT: Nanos = Nanos::from_secs(120);
const DESCRIPTION_MAX: usize = 4096;
const METADATA_MAX: usize = 128 << 10;
/// The heartbeat of consumers that acknowledge by flow control.
const FLOW_ACK_HEARTBEAT: Nanos = Nanos::from_secs(1);
const HEARTBEAT_MIN: Nanos = Nanos::from_millis(100);
const REQUEST_EXPIRES_MIN: Nanos = Nanos::from_millis(1);
const NOT_YET: &str = "is not supported by this version of Everjet yet";

/// What a configuration is held against.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerRules<'a> {
    /// The stream.
    pub stream: &'a StreamConfig,
    /// Refuse the request instead of changing a value in it.
    pub pedantic: bool,
}

/// Fills in the defaults and checks all rules that concern one consumer alone.
///
/// # Errors
/// The error of the first rule that is broken; [`ErrorCode::ConsumerCreate`] for what is not built yet.
pub fn normalise_config(
    mut config: ConsumerConfig,
    rules: &ConsumerRules<'_>,
) -> Result<ConsumerConfig, ApiError> {
    check_names(&mut config)?;
    if config.num_replicas > 1 {
        return Err(ErrorCode::StreamReplicasNotSupported.error());
    }
    if rules.pedantic {
        check_pedantic(&config, rules.stream)?;
    }
    fill_defaults(&mut config, rules.stream);
    if config.ack_policy == AckPolicy::FlowControl && !rules.pedantic {
        config.flow_control = true;
        config.idle_heartbeat = FLOW_ACK_HEARTBEAT;
    }
    check_replicas(&config, rules.stream)?;
    check_redelivery(&config)?;
    check_description(&config)?;
    if config.is_push() {
        check_push(&config, rules.stream)?;
    } else {
        check_pull(&config, rules.stream)?;
    }
    check_limits(&config, rules.stream)?;
    check_filters(&config)?;
    check_deliver_policy(&config)?;
    sampling::check(&config.sample_freq)?;
    if config.flow_control && config.idle_heartbeat.is_zero() {
        return Err(ErrorCode::ConsumerWithFlowControlNeedsHeartbeats.error());
    }
    check_metadata(&config)?;
    priority::check(&config)?;
    check_work_queue(&config, rules.stream)?;
    check_supported(&config)?;
    config.pause_until = config.pause_until.filter(|until| !until.is_unset());
    strip_level_metadata(&mut config.metadata);
    set_required_level(&mut config);
    Ok(config)
}

/// Notes in the metadata which level of the API has all that the configuration uses.
pub fn set_required_level(config: &mut ConsumerConfig) {
    let is_grouped = config.priority_policy != PriorityPolicy::None;
    let level = match config.ack_policy {
        AckPolicy::FlowControl => "4",
        _ if is_grouped || config.pause_until.is_some() => "1",
        _ => "0",
    };
    config
        .metadata
        .insert(REQUIRED_LEVEL_KEY.to_owned(), level.to_owned());
}

fn check_names(config: &mut ConsumerConfig) -> Result<(), ApiError> {
    if config.is_durable() {
        // The durable name wins, as in nats-server.
        config.name.clone_from(&config.durable_name);
    }
    if config.name.is_empty() {
        return Ok(());
    }
    check_consumer_name(&config.name)
}

fn check_pedantic(config: &ConsumerConfig, stream: &StreamConfig) -> Result<(), ApiError> {
    let limits = &stream.consumer_limits;
    let first_backoff = config.backoff.first().copied();
    let rules = [
        (config.max_deliver < -1, "max_deliver must be set to -1"),
        (config.max_waiting < 0, "max_waiting must not be negative"),
        (
            config.max_ack_pending < -1,
            "max_ack_pending must be set to -1",
        ),
        (config.max_batch < 0, "max_batch must not be negative"),
        (config.max_bytes < 0, "max_bytes must not be negative"),
        (config.max_expires.0 < 0, "max_expires must not be negative"),
        (
            config.inactive_threshold.0 < 0,
            "inactive_threshold must not be negative",
        ),
        (
            config.idle_heartbeat.0 < 0,
            "idle_heartbeat must not be negative",
        ),
        (
            config.priority_timeout.0 < 0,
            "priority_timeout must not be negative",
        ),
        (
            first_backoff.is_some_and(|first| first != config.ack_wait),
            "first backoff value has to equal batch AckWait",
        ),
        (
            config.max_ack_pending == 0 && limits.max_ack_pending > 0,
            "max_ack_pending must be set if it's configured in stream limits",
        ),
        (
            config.inactive_threshold.is_zero() && limits.inactive_threshold > Nanos::ZERO,
            "inactive_threshold must be set if it's configured in stream limits",
        ),
    ];
    match rules.into_iter().find(|(broken, _)| *broken) {
        Some((_, text)) => Err(ErrorCode::Pedantic.because(text)),
        None => Ok(()),
    }
}

fn fill_defaults(config: &mut ConsumerConfig, stream: &StreamConfig) {
    let limits = &stream.consumer_limits;
    let acks = config.ack_policy != AckPolicy::None;
    for value in [
        &mut config.max_batch,
        &mut config.max_bytes,
        &mut config.max_waiting,
    ] {
        *value = (*value).max(0);
    }
    for value in [
        &mut config.max_expires,
        &mut config.inactive_threshold,
        &mut config.idle_heartbeat,
        &mut config.priority_timeout,
    ] {
        *value = (*value).max(Nanos::ZERO);
    }
    if !config.is_push() && config.max_waiting == 0 {
        config.max_waiting = MAX_WAITING;
    }
    if acks && config.ack_wait.is_zero() && config.ack_policy != AckPolicy::FlowControl {
        config.ack_wait = ACK_WAIT;
    }
    if config.max_deliver == 0 || config.max_deliver < -1 {
        config.max_deliver = -1;
    }
    if let Some(first) = config.backoff.first() {
        config.ack_wait = *first;
    }
    if acks && config.max_ack_pending == 0 {
        config.max_ack_pending = match limits.max_ack_pending {
            limit if limit > 0 => MAX_ACK_PENDING.min(limit),
            _ => MAX_ACK_PENDING,
        };
    }
    config.max_ack_pending = config.max_ack_pending.max(-1);
    if config.inactive_threshold.is_zero() {
        config.inactive_threshold = limits.inactive_threshold.max(Nanos::ZERO);
    }
    if config.inactive_threshold.is_zero() && !config.is_durable() {
        config.inactive_threshold = INACTIVE_THRESHOLD;
    }
    if config.priority_policy == PriorityPolicy::PinnedClient && config.priority_timeout.is_zero() {
        config.priority_timeout = PRIORITY_TIMEOUT;
    }
}

fn check_replicas(config: &ConsumerConfig, stream: &StreamConfig) -> Result<(), ApiError> {
    if config.num_replicas < 0 {
        return Err(ErrorCode::ReplicasCountCannotBeNegative.error());
    }
    if config.num_replicas > stream.num_replicas.max(1) {
        return Err(ErrorCode::ConsumerReplicasExceedsStream.error());
    }
    Ok(())
}

fn check_redelivery(config: &ConsumerConfig) -> Result<(), ApiError> {
    if config.backoff.iter().any(|wait| wait.0 < 0) {
        return Err(ErrorCode::ConsumerBackoffNegative.error());
    }
    if config.ack_wait.0 < 0 {
        return Err(ErrorCode::ConsumerAckWaitNegative.error());
    }
    if config.ack_policy == AckPolicy::FlowControl {
        check_flow_acks(config)?;
    }
    let deliver_max = usize::try_from(config.max_deliver).unwrap_or(usize::MAX);
    if config.backoff.len() > deliver_max {
        return Err(ErrorCode::ConsumerMaxDeliverBackoff.error());
    }
    Ok(())
}

/// Answers to flow control acknowledge, so there is flow control, and nothing is delivered again.
fn check_flow_acks(config: &ConsumerConfig) -> Result<(), ApiError> {
    if !config.is_push() {
        return Err(ErrorCode::ConsumerAckFlowControlRequiresPush.error());
    }
    if !config.flow_control {
        return Err(ErrorCode::ConsumerAckFlowControlRequiresFlowControl.error());
    }
    if config.idle_heartbeat != FLOW_ACK_HEARTBEAT {
        let text = "flow control ack policy heartbeat needs to be 1s";
        return Err(ErrorCode::StreamInvalidConfig.because(text));
    }
    if config.max_ack_pending <= 0 {
        return Err(ErrorCode::ConsumerAckFlowControlRequiresMaxAckPending.error());
    }
    if !config.ack_wait.is_zero() || !config.backoff.is_empty() {
        return Err(ErrorCode::ConsumerAckFlowControlRequiresNoAckWait.error());
    }
    if config.max_deliver > 0 {
        return Err(ErrorCode::ConsumerAckFlowControlRequiresNoMaxDeliver.error());
    }
    Ok(())
}

fn check_description(config: &ConsumerConfig) -> Result<(), ApiError> {
    if config.description.len() > DESCRIPTION_MAX {
        return Err(ErrorCode::ConsumerDescriptionTooLong
            .error()
            .with("max", DESCRIPTION_MAX));
    }
    Ok(())
}

fn check_metadata(config: &ConsumerConfig) -> Result<(), ApiError> {
    let metadata: usize = config
        .metadata
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if metadata > METADATA_MAX {
        return Err(ErrorCode::ConsumerMetadataLength
            .error()
            .with("limit", "128KB"));
    }
    Ok(())
}

fn check_push(config: &ConsumerConfig, stream: &StreamConfig) -> Result<(), ApiError> {
    let subject = config.deliver_subject.as_bytes();
    if has_wildcards(subject) && is_valid_filter(subject) {
        return Err(ErrorCode::ConsumerDeliverToWildcards.error());
    }
    if !is_valid_literal(subject) {
        return Err(ErrorCode::ConsumerInvalidDeliverSubject.error());
    }
    let in_stream = |filter: &String| is_subset(subject, filter.as_bytes());
    if stream.subjects.iter().any(in_stream) {
        return Err(ErrorCode::ConsumerDeliverCycle.error());
    }
    if config.max_waiting != 0 {
        return Err(ErrorCode::ConsumerPushMaxWaiting.error());
    }
    if config.max_ack_pending > 0 && config.ack_policy == AckPolicy::None {
        return Err(ErrorCode::ConsumerMaxPendingAckPolicyRequired.error());
    }
    if !config.idle_heartbeat.is_zero() && config.idle_heartbeat < HEARTBEAT_MIN {
        return Err(ErrorCode::ConsumerSmallHeartbeat.error());
    }
    Ok(())
}

fn check_pull(config: &ConsumerConfig, stream: &StreamConfig) -> Result<(), ApiError> {
    if config.ack_policy == AckPolicy::None && stream.retention == Retention::WorkQueue {
        return Err(ErrorCode::ConsumerPullRequiresAck.error());
    }
    if config.rate_limit_bps > 0 {
        return Err(ErrorCode::ConsumerPullWithRateLimit.error());
    }
    if !config.idle_heartbeat.is_zero() {
        return Err(ErrorCode::ConsumerHeartbeatRequiresPush.error());
    }
    if config.flow_control {
        return Err(ErrorCode::ConsumerFlowControlRequiresPush.error());
    }
    if !config.max_expires.is_zero() && config.max_expires < REQUEST_EXPIRES_MIN {
        return Err(ErrorCode::ConsumerMaxRequestExpiresTooSmall.error());
    }
    Ok(())
}

/// The limits that the stream sets for its consumers.
pub(crate) fn check_limits(config: &ConsumerConfig, stream: &StreamConfig) -> Result<(), ApiError> {
    let limits = &stream.consumer_limits;
    if limits.max_ack_pending > 0 && config.max_ack_pending > limits.max_ack_pending {
        return Err(ErrorCode::ConsumerMaxPendingAckExcess
            .error()
            .with("limit", limits.max_ack_pending));
    }
    if limits.inactive_threshold > Nanos::ZERO
        && config.inactive_threshold > limits.inactive_threshold
    {
        let limit = limits.inactive_threshold.as_duration().unwrap_or_default();
        return Err(ErrorCode::ConsumerInactiveThresholdExcess
            .error()
            .with("limit", format_duration(limit)));
    }
    Ok(())
}

fn check_deliver_policy(config: &ConsumerConfig) -> Result<(), ApiError> {
    let name = match config.deliver_policy {
        DeliverPolicy::All => "deliver all",
        DeliverPolicy::Last => "deliver last",
        DeliverPolicy::New => "deliver new",
        DeliverPolicy::ByStartSequence => "deliver by start sequence",
        DeliverPolicy::ByStartTime => "deliver by start time",
        DeliverPolicy::LastPerSubject => "deliver last per subject",
    };
    let refuse = |text: &str| {
        Err(ErrorCode::ConsumerInvalidPolicy.because(format_args!(
            "consumer delivery policy is {name}, but optional {text}"
        )))
    };
    let by_sequence = config.deliver_policy == DeliverPolicy::ByStartSequence;
    let by_time = config.deliver_policy == DeliverPolicy::ByStartTime;
    if by_sequence && config.opt_start_seq == 0 {
        return refuse("start sequence is not set");
    }
    if by_time && config.opt_start_time.is_none() {
        return refuse("start time is not set");
    }
    if config.deliver_policy == DeliverPolicy::LastPerSubject && config.filters().is_empty() {
        return refuse("filter subject is not set");
    }
    if !by_sequence && config.opt_start_seq > 0 {
        return refuse(if by_time {
            "start start sequence is also set"
        } else {
            "start sequence is also set"
        });
    }
    if !by_time && config.opt_start_time.is_some() {
        return refuse("start time is also set");
    }
    if config.opt_start_seq > SEQUENCE_MAX.0 {
        return Err(ErrorCode::ConsumerInvalidPolicy.because(format_args!(
            "consumer start sequence can not be larger than {SEQUENCE_MAX}"
        )));
    }
    Ok(())
}

fn check_filters(config: &ConsumerConfig) -> Result<(), ApiError> {
    if !config.filter_subject.is_empty() && !config.filter_subjects.is_empty() {
        return Err(ErrorCode::ConsumerDuplicateFilterSubjects.error());
    }
    let bad = || ErrorCode::StreamInvalidConfig.because("invalid subject");
    let filters = config.filters();
    let one = config.filter_subject.as_bytes();
    if !one.is_empty() && !is_valid_filter(one) {
        return Err(bad());
    }
    if config.filter_subjects.iter().any(String::is_empty) {
        return Err(ErrorCode::ConsumerEmptyFilter.error());
    }
    for (at, one) in filters.iter().enumerate() {
        if !is_valid_filter(one.as_bytes()) {
            return Err(bad());
        }
        let within = |other: &&str| is_subset(one.as_bytes(), other.as_bytes());
        let mut others = filters.iter().enumerate();
        if others.any(|(place, other)| place != at && within(other)) {
            return Err(ErrorCode::ConsumerOverlappingSubjectFilters.error());
        }
    }
    Ok(())
}

/// Each message of a work queue is for one consumer, which has to say when it is done. That filters are disjoint is for whoever
/// knows the other consumers to check.
fn check_work_queue(config: &ConsumerConfig, stream: &StreamConfig) -> Result<(), ApiError> {
    if stream.retention != Retention::WorkQueue {
        return Ok(());
    }
    // Flow control acknowledges, too.
    if !matches!(
        config.ack_policy,
        AckPolicy::Explicit | AckPolicy::FlowControl
    ) {
        return Err(ErrorCode::ConsumerWorkQueueRequiresExplicitAck.error());
    }
    if config.deliver_policy != DeliverPolicy::All {
        return Err(ErrorCode::ConsumerWorkQueueNotDeliverAll.error());
    }
    Ok(())
}

/// Refuses what is not built yet: accepting it and doing something else would be worse.
fn check_supported(config: &ConsumerConfig) -> Result<(), ApiError> {
    let missing = [(config.direct, "direct"), (config.sourcing, "sourcing")];
    match missing.into_iter().find(|(used, _)| *used) {
        Some((_, field)) => {
            Err(ErrorCode::ConsumerCreate.because(format_args!("{field} {NOT_YET}")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalise(json: &str, pedantic: bool) -> Result<ConsumerConfig, ApiError> {
        let stream = StreamConfig {
            name: "T".to_owned(),
            subjects: vec!["t.>".to_owned()],
            num_replicas: 1,
            ..StreamConfig::default()
        };
        let config = serde_json::from_str(json).expect(json);
        let rules = ConsumerRules {
            stream: &stream,
            pedantic,
        };
        normalise_config(config, &rules)
    }

    fn check_refused(json: &str, err_code: u16, text: &str) {
        let error = normalise(json, false).expect_err(json);
        assert_eq!(
            (error.err_code, error.description.as_str()),
            (err_code, text),
            "{json}"
        );
    }

    fn check_filled(json: &str, expected: &str) {
        let mut config = normalise(json, false).expect(json);
        config.metadata.clear();
        let filled = serde_json::to_string(&config).expect("serialises");
        assert_eq!(filled, expected, "{json}");
    }

    #[test]
    fn defaults_are_those_of_nats_server() {
        check_filled(
            r#"{"ack_policy":"explicit"}"#,
            r#"{"deliver_policy":"all","ack_policy":"explicit","ack_wait":30000000000,"max_deliver":-1,"replay_policy":"instant","max_waiting":512,"max_ack_pending":1000,"inactive_threshold":5000000000,"num_replicas":0}"#,
        );
        check_filled(
            r#"{"durable_name":"d","max_waiting":-1,"max_batch":-1,"max_bytes":-5,"inactive_threshold":-1}"#,
            r#"{"durable_name":"d","name":"d","deliver_policy":"all","ack_policy":"none","max_deliver":-1,"replay_policy":"instant","max_waiting":512,"num_replicas":0}"#,
        );
        check_filled(
            r#"{"durable_name":"d","ack_policy":"explicit","backoff":[1000,2000],"max_ack_pending":-5,"deliver_subject":"x"}"#,
            r#"{"durable_name":"d","name":"d","deliver_policy":"all","ack_policy":"explicit","ack_wait":1000,"max_deliver":-1,"backoff":[1000,2000],"replay_policy":"instant","max_ack_pending":-1,"deliver_subject":"x","num_replicas":0}"#,
        );
    }

    #[test]
    fn each_rule_has_its_error() {
        for (json, code, text) in [
            (
                r#"{"name":"a.b"}"#,
                10052,
                "consumer name can not contain '.', '*', '>', '\\', '/'",
            ),
            (
                r#"{"name":"a/b"}"#,
                10127,
                "Consumer name can not contain path separators",
            ),
            (
                r#"{"num_replicas":3}"#,
                10074,
                "replicas > 1 not supported in non-clustered mode",
            ),
            (
                r#"{"num_replicas":-1}"#,
                10133,
                "replicas count cannot be negative",
            ),
            (
                r#"{"ack_policy":"explicit","ack_wait":-5}"#,
                10183,
                "consumer ack wait needs to be positive",
            ),
            (
                r#"{"backoff":[1,-1]}"#,
                10184,
                "consumer backoff needs to be positive",
            ),
            (
                r#"{"backoff":[1,2],"max_deliver":1}"#,
                10116,
                "max deliver is required to be > length of backoff values",
            ),
            (
                r#"{"deliver_subject":"d","max_waiting":5}"#,
                10080,
                "consumer in push mode can not set max waiting",
            ),
            (
                r#"{"deliver_subject":"t.x"}"#,
                10081,
                "consumer deliver subject forms a cycle",
            ),
            (
                r#"{"deliver_subject":"x.*"}"#,
                10079,
                "consumer deliver subject has wildcards",
            ),
            (
                r#"{"deliver_subject":"x..y"}"#,
                10112,
                "invalid push consumer deliver subject",
            ),
            (
                r#"{"deliver_subject":"x y"}"#,
                10112,
                "invalid push consumer deliver subject",
            ),
            (
                r#"{"deliver_subject":"d","max_ack_pending":5}"#,
                10082,
                "consumer requires ack policy for max ack pending",
            ),
            (
                r#"{"deliver_subject":"d","flow_control":true}"#,
                10108,
                "consumer with flow control also needs heartbeats",
            ),
            (
                r#"{"deliver_subject":"d","idle_heartbeat":1000000}"#,
                10083,
                "consumer idle heartbeat needs to be >= 100ms",
            ),
            (
                r#"{"idle_heartbeat":1000000000}"#,
                10088,
                "consumer idle heartbeat requires a push based consumer",
            ),
            (
                r#"{"flow_control":true}"#,
                10089,
                "consumer flow control requires a push based consumer",
            ),
            (
                r#"{"rate_limit_bps":100}"#,
                10086,
                "consumer in pull mode can not have rate limit set",
            ),
            (
                r#"{"max_expires":100}"#,
                10115,
                "consumer max request expires needs to be >= 1ms",
            ),
            (
                r#"{"deliver_policy":"by_start_sequence"}"#,
                10094,
                "consumer delivery policy is deliver by start sequence, but optional start sequence is not set",
            ),
            (
                r#"{"opt_start_seq":4}"#,
                10094,
                "consumer delivery policy is deliver all, but optional start sequence is also set",
            ),
            (
                r#"{"deliver_policy":"new","opt_start_time":"2020-01-01T00:00:00Z"}"#,
                10094,
                "consumer delivery policy is deliver new, but optional start time is also set",
            ),
            (
                r#"{"deliver_policy":"by_start_time","opt_start_seq":3,"opt_start_time":"2020-01-01T00:00:00Z"}"#,
                10094,
                "consumer delivery policy is deliver by start time, but optional start start sequence is also set",
            ),
            (
                r#"{"deliver_policy":"last_per_subject"}"#,
                10094,
                "consumer delivery policy is deliver last per subject, but optional filter subject is not set",
            ),
            (
                r#"{"filter_subject":"a","filter_subjects":["b"]}"#,
                10136,
                "consumer cannot have both FilterSubject and FilterSubjects specified",
            ),
            (
                r#"{"filter_subjects":["b",""]}"#,
                10139,
                "consumer filter in FilterSubjects cannot be empty",
            ),
            (
                r#"{"filter_subjects":["t.>","t.a"]}"#,
                10138,
                "consumer subject filters cannot overlap",
            ),
            (r#"{"filter_subject":"a..b"}"#, 10052, "invalid subject"),
            (
                r#"{"ack_policy":"flow_control"}"#,
                10218,
                "flow control ack policy requires a push based consumer",
            ),
            (
                r#"{"priority_groups":["a"]}"#,
                10196,
                "consumer can not have priority groups when policy is none",
            ),
            (
                r#"{"priority_timeout":5}"#,
                10197,
                "PinnedTTL cannot be set when PriorityPolicy is none",
            ),
            (
                r#"{"direct":true}"#,
                10012,
                "direct is not supported by this version of Everjet yet",
            ),
            (
                r#"{"ack_policy":"flow_control","deliver_subject":"d","max_ack_pending":-1}"#,
                10220,
                "flow control ack policy requires max ack pending",
            ),
            (
                r#"{"ack_policy":"flow_control","deliver_subject":"d","ack_wait":1}"#,
                10221,
                "flow control ack policy requires unset ack wait",
            ),
            (
                r#"{"ack_policy":"flow_control","deliver_subject":"d","backoff":[1]}"#,
                10221,
                "flow control ack policy requires unset ack wait",
            ),
            (
                r#"{"ack_policy":"flow_control","deliver_subject":"d","max_deliver":1}"#,
                10222,
                "flow control ack policy requires unset max deliver",
            ),
            (
                r#"{"sample_freq":"x%"}"#,
                10095,
                "failed to parse consumer sampling configuration: strconv.Atoi: parsing \"x\": invalid syntax",
            ),
            (
                r#"{"sample_freq":"-5"}"#,
                10095,
                "failed to parse consumer sampling configuration: <nil>",
            ),
        ] {
            check_refused(json, code, text);
        }
    }

    #[test]
    fn long_texts_are_refused() {
        let long = format!(r#"{{"description":"{}"}}"#, "x".repeat(4097));
        check_refused(
            &long,
            10107,
            "consumer description is too long, maximum allowed is 4096",
        );
        let long = format!(r#"{{"metadata":{{"a":"{}"}}}}"#, "x".repeat(140_000));
        check_refused(
            &long,
            10135,
            "consumer metadata exceeds maximum size of 128KB",
        );
    }

    #[test]
    fn pedantic_requests_are_not_corrected() {
        for (json, text) in [
            (
                r#"{"max_deliver":-5}"#,
                "pedantic mode: max_deliver must be set to -1",
            ),
            (
                r#"{"max_waiting":-1}"#,
                "pedantic mode: max_waiting must not be negative",
            ),
            (
                r#"{"backoff":[1]}"#,
                "pedantic mode: first backoff value has to equal batch AckWait",
            ),
        ] {
            let error = normalise(json, true).expect_err(json);
            assert_eq!((error.err_code, error.description.as_str()), (10157, text));
        }
        assert!(normalise(r#"{"ack_policy":"explicit"}"#, true).is_ok());
    }
}
