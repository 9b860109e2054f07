//! The table of API subjects.

use crate::{ApiError, ErrorCode, ResponseType};

/// Prefix of every API subject.
pub const API_PREFIX: &str = "$JS.API.";

/// What an API subject asks for. Names are as the client wrote them: valid as subject tokens, nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are the tokens of the subject shown at each variant"
)]
pub enum ApiCall<'a> {
    /// `INFO`
    AccountInfo,
    /// `STREAM.CREATE.<stream>`
    StreamCreate { stream: &'a str },
    /// `STREAM.UPDATE.<stream>`
    StreamUpdate { stream: &'a str },
    /// `STREAM.NAMES`
    StreamNames,
    /// `STREAM.LIST`
    StreamList,
    /// `STREAM.INFO.<stream>`
    StreamInfo { stream: &'a str },
    /// `STREAM.DELETE.<stream>`
    StreamDelete { stream: &'a str },
    /// `STREAM.PURGE.<stream>`
    StreamPurge { stream: &'a str },
    /// `STREAM.SNAPSHOT.<stream>`; the backup follows as messages.
    StreamSnapshot { stream: &'a str },
    /// `STREAM.RESTORE.<stream>`
    StreamRestore { stream: &'a str },
    /// `STREAM.MSG.GET.<stream>`
    MsgGet { stream: &'a str },
    /// `STREAM.MSG.DELETE.<stream>`
    MsgDelete { stream: &'a str },
    /// `CONSUMER.CREATE.<stream>.<consumer>[.<filter>]`; the filter may have several tokens.
    ConsumerCreate {
        stream: &'a str,
        consumer: &'a str,
        filter: Option<&'a str>,
    },
    /// `CONSUMER.CREATE.<stream>`: the old form for consumers without a durable name.
    ConsumerCreateLegacyEphemeral { stream: &'a str },
    /// `CONSUMER.DURABLE.CREATE.<stream>.<consumer>`: the old form for durable consumers.
    ConsumerCreateDurable { stream: &'a str, consumer: &'a str },
    /// `CONSUMER.NAMES.<stream>`
    ConsumerNames { stream: &'a str },
    /// `CONSUMER.LIST.<stream>`
    ConsumerList { stream: &'a str },
    /// `CONSUMER.INFO.<stream>.<consumer>`
    ConsumerInfo { stream: &'a str, consumer: &'a str },
    /// `CONSUMER.DELETE.<stream>.<consumer>`
    ConsumerDelete { stream: &'a str, consumer: &'a str },
    /// `CONSUMER.PAUSE.<stream>.<consumer>`
    ConsumerPause { stream: &'a str, consumer: &'a str },
    /// `CONSUMER.RESET.<stream>.<consumer>`; a consumer that does not exist does not answer.
    ConsumerReset { stream: &'a str, consumer: &'a str },
    /// `CONSUMER.UNPIN.<stream>.<consumer>`
    ConsumerUnpin { stream: &'a str, consumer: &'a str },
    /// `CONSUMER.MSG.NEXT.<stream>.<consumer>`; answered with messages and status lines.
    ConsumerNext { stream: &'a str, consumer: &'a str },
    /// `DIRECT.GET.<stream>[.<subject>]`; answered with a message or a status line.
    DirectGet {
        stream: &'a str,
        subject: Option<&'a str>,
    },
    /// A request that nats-server knows and this server answers with [`not_supported`].
    NotSupported { response_type: ResponseType },
}

impl ApiCall<'_> {
    /// The type of the answer; `None` for calls that are not answered with JSON.
    #[must_use]
    pub const fn response_type(&self) -> Option<ResponseType> {
        Some(match self {
            Self::AccountInfo => ResponseType::AccountInfo,
            Self::StreamCreate { .. } => ResponseType::StreamCreate,
            Self::StreamUpdate { .. } => ResponseType::StreamUpdate,
            Self::StreamNames => ResponseType::StreamNames,
            Self::StreamList => ResponseType::StreamList,
            Self::StreamInfo { .. } => ResponseType::StreamInfo,
            Self::StreamDelete { .. } => ResponseType::StreamDelete,
            Self::StreamPurge { .. } => ResponseType::StreamPurge,
            Self::StreamSnapshot { .. } => ResponseType::StreamSnapshot,
            Self::StreamRestore { .. } => ResponseType::StreamRestore,
            Self::MsgGet { .. } => ResponseType::StreamMsgGet,
            Self::MsgDelete { .. } => ResponseType::StreamMsgDelete,
            Self::ConsumerCreate { .. }
            | Self::ConsumerCreateLegacyEphemeral { .. }
            | Self::ConsumerCreateDurable { .. } => ResponseType::ConsumerCreate,
            Self::ConsumerNames { .. } => ResponseType::ConsumerNames,
            Self::ConsumerList { .. } => ResponseType::ConsumerList,
            Self::ConsumerInfo { .. } => ResponseType::ConsumerInfo,
            Self::ConsumerDelete { .. } => ResponseType::ConsumerDelete,
            Self::ConsumerPause { .. } => ResponseType::ConsumerPause,
            Self::ConsumerReset { .. } => ResponseType::ConsumerReset,
            Self::ConsumerUnpin { .. } => ResponseType::ConsumerUnpin,
            Self::NotSupported { response_type } => *response_type,
            Self::ConsumerNext { .. } | Self::DirectGet { .. } => return None,
        })
    }
}

/// Reads an API subject. `None` when nats-server would not answer it either: unknown calls, wrong number of tokens,
/// and calls of the system account.
#[must_use]
pub fn parse_api_subject(subject: &[u8]) -> Option<ApiCall<'_>> {
    let call = subject.strip_prefix(API_PREFIX.as_bytes())?;
    let call = std::str::from_utf8(call).ok()?;
    if call.split('.').any(str::is_empty) {
        return None;
    }
    match call {
        "INFO" => return Some(ApiCall::AccountInfo),
        "STREAM.NAMES" => return Some(ApiCall::StreamNames),
        "STREAM.LIST" => return Some(ApiCall::StreamList),
        _ => {}
    }
    if let Some(rest) = call.strip_prefix("CONSUMER.CREATE.") {
        return Some(consumer_create(rest));
    }
    if let Some(rest) = call.strip_prefix("DIRECT.GET.") {
        let (stream, subject) = first_token(rest);
        return Some(ApiCall::DirectGet { stream, subject });
    }
    of_stream(call).or_else(|| of_consumer(call))
}

/// The error that answers [`ApiCall::NotSupported`]. Cluster operations get the answer of a nats-server that is not
/// in a cluster.
#[must_use]
pub fn not_supported(response_type: ResponseType) -> ApiError {
    use ResponseType as Type;
    let what = match response_type {
        Type::StreamLeaderStepDown
        | Type::StreamRemovePeer
        | Type::StreamEvacuatePeer
        | Type::StreamCancelMove
        | Type::ConsumerLeaderStepDown
        | Type::ConsumerRemovePeer
        | Type::ConsumerEvacuatePeer => return ErrorCode::ClusterRequired.error(),
        _ => "this request",
    };
    ErrorCode::StreamGeneral.because(format_args!(
        "{what} is not supported by this version of Everjet yet"
    ))
}

fn consumer_create(rest: &str) -> ApiCall<'_> {
    let (stream, rest) = first_token(rest);
    match rest.map(first_token) {
        None => ApiCall::ConsumerCreateLegacyEphemeral { stream },
        Some((consumer, filter)) => ApiCall::ConsumerCreate {
            stream,
            consumer,
            filter,
        },
    }
}

/// Calls that end in the name of a stream.
fn of_stream(call: &str) -> Option<ApiCall<'_>> {
    let (verb, stream) = call.rsplit_once('.')?;
    let not_supported = |response_type| ApiCall::NotSupported { response_type };
    Some(match verb {
        "STREAM.CREATE" => ApiCall::StreamCreate { stream },
        "STREAM.UPDATE" => ApiCall::StreamUpdate { stream },
        "STREAM.INFO" => ApiCall::StreamInfo { stream },
        "STREAM.DELETE" => ApiCall::StreamDelete { stream },
        "STREAM.PURGE" => ApiCall::StreamPurge { stream },
        "STREAM.MSG.GET" => ApiCall::MsgGet { stream },
        "STREAM.MSG.DELETE" => ApiCall::MsgDelete { stream },
        "CONSUMER.NAMES" => ApiCall::ConsumerNames { stream },
        "CONSUMER.LIST" => ApiCall::ConsumerList { stream },
        "STREAM.SNAPSHOT" => ApiCall::StreamSnapshot { stream },
        "STREAM.RESTORE" => ApiCall::StreamRestore { stream },
        "STREAM.LEADER.STEPDOWN" => not_supported(ResponseType::StreamLeaderStepDown),
        "STREAM.PEER.REMOVE" => not_supported(ResponseType::StreamRemovePeer),
        "STREAM.PEER.EVACUATE" => not_supported(ResponseType::StreamEvacuatePeer),
        "STREAM.CANCEL_MOVE" => not_supported(ResponseType::StreamCancelMove),
        _ => return None,
    })
}

/// Calls that end in the names of a stream and a consumer.
fn of_consumer(call: &str) -> Option<ApiCall<'_>> {
    let (rest, consumer) = call.rsplit_once('.')?;
    let (verb, stream) = rest.rsplit_once('.')?;
    let not_supported = |response_type| ApiCall::NotSupported { response_type };
    Some(match verb {
        "CONSUMER.DURABLE.CREATE" => ApiCall::ConsumerCreateDurable { stream, consumer },
        "CONSUMER.INFO" => ApiCall::ConsumerInfo { stream, consumer },
        "CONSUMER.DELETE" => ApiCall::ConsumerDelete { stream, consumer },
        "CONSUMER.MSG.NEXT" => ApiCall::ConsumerNext { stream, consumer },
        "CONSUMER.PAUSE" => ApiCall::ConsumerPause { stream, consumer },
        "CONSUMER.UNPIN" => ApiCall::ConsumerUnpin { stream, consumer },
        "CONSUMER.RESET" => ApiCall::ConsumerReset { stream, consumer },
        "CONSUMER.LEADER.STEPDOWN" => not_supported(ResponseType::ConsumerLeaderStepDown),
        "CONSUMER.PEER.REMOVE" => not_supported(ResponseType::ConsumerRemovePeer),
        "CONSUMER.PEER.EVACUATE" => not_supported(ResponseType::ConsumerEvacuatePeer),
        _ => return None,
    })
}

/// The first token, and what follows it.
fn first_token(tokens: &str) -> (&str, Option<&str>) {
    match tokens.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (tokens, None),
    }
}

#[cfg(test)]
mod tests;
