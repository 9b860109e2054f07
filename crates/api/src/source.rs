//! Where a stream takes messages from: mirrors and sources.

use everjet_values::Timestamp;
use serde::{Deserialize, Serialize};

use crate::omit::is_default;

/// A mapping of subjects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubjectTransform {
    /// Filter of the subjects to map.
    #[serde(rename = "src")]
    pub source: String,
    /// What they become, with mapping tokens.
    #[serde(rename = "dest")]
    pub destination: String,
}

/// How to reach a stream in another account or domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExternalStream {
    /// Prefix of the API subjects there.
    #[serde(rename = "api")]
    pub api_prefix: String,
    /// Prefix of the delivery subjects here.
    #[serde(rename = "deliver")]
    pub deliver_prefix: String,
}

/// A consumer made beforehand that feeds a mirror or source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceConsumer {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where it delivers to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deliver_subject: String,
}

/// A stream that is mirrored or taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamSource {
    /// Its name.
    pub name: String,
    /// First sequence to take; zero means from the beginning.
    #[serde(skip_serializing_if = "is_default")]
    pub opt_start_seq: u64,
    /// First time to take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_start_time: Option<Timestamp>,
    /// Filter of the subjects to take; empty means all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    /// Filters with mappings; excludes `filter_subject`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_transforms: Vec<SubjectTransform>,
    /// How to reach it when it is elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalStream>,
    /// The consumer to use instead of one made for the purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<SourceConsumer>,
}
