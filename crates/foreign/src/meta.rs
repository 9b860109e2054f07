//! `meta.inf`: the definition of a stream or a consumer.

use std::fmt;

use everjet_api::{ConsumerConfig, ConsumerCreateRequest, StreamConfig, decode_strict};
use everjet_values::Timestamp;
use serde_json::{Map, Value, json};

/// A stream's definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamMeta {
    /// When it was created.
    pub created: Timestamp,
    /// Its configuration as it was stored.
    pub config: StreamConfig,
}

/// A consumer's definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerMeta {
    /// When it was created.
    pub created: Timestamp,
    /// Its name.
    pub name: String,
    /// Its configuration as it was stored.
    pub config: ConsumerConfig,
}

/// Why a definition cannot be used: for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaError(pub String);

impl fmt::Display for MetaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MetaError {}

impl StreamMeta {
    /// Reads a `meta.inf`, decrypted.
    ///
    /// # Errors
    /// What is wrong, for example a field that is not known.
    pub fn read(content: &[u8]) -> Result<Self, MetaError> {
        let mut fields = object(content)?;
        let created = created(&mut fields)?;
        let text = Value::Object(fields).to_string();
        let config = decode_strict(text.as_bytes()).map_err(|error| wrong(error.description))?;
        Ok(Self { created, config })
    }
}

impl ConsumerMeta {
    /// Reads a `meta.inf`, decrypted.
    ///
    /// # Errors
    /// What is wrong, for example a field that is not known.
    pub fn read(content: &[u8]) -> Result<Self, MetaError> {
        let mut fields = object(content)?;
        let created = created(&mut fields)?;
        let Some(Value::String(name)) = fields.remove("Name") else {
            return Err(wrong("it has no name"));
        };
        let text = json!({ "stream_name": "", "config": fields }).to_string();
        let request: ConsumerCreateRequest =
            decode_strict(text.as_bytes()).map_err(|error| wrong(error.description))?;
        Ok(Self {
            created,
            name,
            config: request.config,
        })
    }
}

fn object(content: &[u8]) -> Result<Map<String, Value>, MetaError> {
    match serde_json::from_slice(content) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(wrong("it is not an object")),
        Err(error) => Err(wrong(error)),
    }
}

fn created(fields: &mut Map<String, Value>) -> Result<Timestamp, MetaError> {
    match fields
        .remove("Created")
        .or_else(|| fields.remove("created"))
    {
        Some(Value::String(text)) => Timestamp::parse(&text)
            .map_err(|error| wrong(format_args!("its time of creation is none: {error}"))),
        _ => Err(wrong("it has no time of creation")),
    }
}

fn wrong(what: impl fmt::Display) -> MetaError {
    MetaError(what.to_string())
}
