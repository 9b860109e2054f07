//! Bodies of API requests as values.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::value_reader::ValueReader;
use crate::{
    ApiError, ConsumerCreateRequest, ConsumerPauseRequest, ConsumerResetRequest,
    ConsumerUnpinRequest, ErrorCode, MsgDeleteRequest, MsgGetRequest, PageRequest, PullRequest,
    PurgeRequest, RestoreRequest, SnapshotRequest, StreamConfig, StreamCreateRequest,
    StreamInfoRequest, StreamNamesRequest, syntax,
};

/// A body of an API request.
pub trait Request: Sized + Default {
    /// Reads the request from parsed JSON; for [`decode_strict`] and [`decode_lenient`].
    #[doc(hidden)]
    fn from_value(value: Value, unknown: UnknownFields) -> Result<Self, String>;
}

/// What to do with a key that the request does not have.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownFields {
    /// Refuse the request.
    Refuse,
    /// Leave it out.
    Ignore,
}

/// Decodes the body of an API request. An empty body is the request with nothing set. Keys are found in any case and
/// `null` leaves a field as it is, as in nats-server.
///
/// # Errors
/// [`ErrorCode::InvalidJson`] with what is wrong, in the words of nats-server where it is a matter of syntax or of an
/// unknown field.
pub fn decode_strict<T: Request>(body: &[u8]) -> Result<T, ApiError> {
    decode(body, UnknownFields::Refuse)
}

/// Decodes the body of an API request and leaves unknown fields out.
///
/// # Errors
/// [`ErrorCode::InvalidJson`] with what is wrong.
pub fn decode_lenient<T: Request>(body: &[u8]) -> Result<T, ApiError> {
    decode(body, UnknownFields::Ignore)
}

/// Whether a body asks for nothing: it is empty or an object without members. Some requests allow nothing else
/// ([`ErrorCode::NotEmptyRequest`]).
#[must_use]
pub fn is_empty_request(body: &[u8]) -> bool {
    body.is_empty()
        || matches!(serde_json::from_slice(body), Ok(Value::Object(members)) if members.is_empty())
}

fn decode<T: Request>(body: &[u8], unknown: UnknownFields) -> Result<T, ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    decode_text(body, unknown).map_err(|text| ErrorCode::InvalidJson.because(text))
}

fn decode_text<T: Request>(body: &[u8], unknown: UnknownFields) -> Result<T, String> {
    match serde_json::from_slice(body) {
        Ok(Value::Null) => Ok(T::default()),
        Ok(value) => T::from_value(value, unknown),
        Err(error) => Err(syntax::find_mistake(body)
            .map_or_else(|| error.to_string(), |mistake| mistake.in_request())),
    }
}

fn read<T: DeserializeOwned>(value: Value, unknown: UnknownFields) -> Result<T, String> {
    T::deserialize(ValueReader::new(value, unknown)).map_err(|error| error.to_string())
}

macro_rules! requests {
    ($($name:ident),+ $(,)?) => {
        $(
            impl Request for $name {
                fn from_value(value: Value, unknown: UnknownFields) -> Result<Self, String> {
                    read(value, unknown)
                }
            }
        )+
    };
}

requests!(
    ConsumerCreateRequest,
    ConsumerPauseRequest,
    ConsumerResetRequest,
    ConsumerUnpinRequest,
    MsgDeleteRequest,
    MsgGetRequest,
    PageRequest,
    PullRequest,
    PurgeRequest,
    RestoreRequest,
    SnapshotRequest,
    StreamConfig,
    StreamInfoRequest,
    StreamNamesRequest,
);

impl Request for StreamCreateRequest {
    fn from_value(mut value: Value, unknown: UnknownFields) -> Result<Self, String> {
        // serde can not tell unknown fields of a flattened struct, so the one other key is taken out first.
        let key = value
            .as_object()
            .and_then(|fields| {
                fields
                    .keys()
                    .find(|key| key.eq_ignore_ascii_case("pedantic"))
            })
            .cloned();
        let pedantic = match (key, value.as_object_mut()) {
            (Some(key), Some(fields)) => fields.remove(&key),
            _ => None,
        };
        let pedantic = match pedantic {
            None | Some(Value::Null) => false,
            Some(pedantic) => read(pedantic, unknown)?,
        };
        Ok(Self {
            config: read(value, unknown)?,
            pedantic,
        })
    }
}

#[cfg(test)]
mod tests;
