//! What a stream says about itself.

use std::collections::BTreeMap;

use everjet_values::{StreamSequence, Timestamp};
use serde::{Deserialize, Serialize};

use crate::omit::{is_default, is_false};
use crate::source::{ExternalStream, SubjectTransform};
use crate::{Nanos, StreamConfig};

/// Counters of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamState {
    /// Messages held.
    pub messages: u64,
    /// Bytes held, record overhead included.
    pub bytes: u64,
    /// Sequence of the oldest message; of an empty stream the sequence after the last.
    pub first_seq: StreamSequence,
    /// Time of the oldest message; unset for an empty stream.
    pub first_ts: Timestamp,
    /// Sequence of the newest message ever stored.
    pub last_seq: StreamSequence,
    /// Time of the newest message.
    pub last_ts: Timestamp,
    /// Different subjects held.
    #[serde(skip_serializing_if = "is_default")]
    pub num_subjects: u64,
    /// Messages per subject, when asked for and there are any.
    #[serde(skip_serializing_if = "is_none_or_empty")]
    pub subjects: Option<BTreeMap<String, u64>>,
    /// Sequences between first and last that are gone.
    #[serde(skip_serializing_if = "is_default")]
    pub num_deleted: u64,
    /// Those sequences, when asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<StreamSequence>,
    /// Messages lost to damage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostMessages>,
    /// Consumers of the stream.
    pub consumer_count: u64,
}

fn is_none_or_empty(subjects: &Option<BTreeMap<String, u64>>) -> bool {
    subjects.as_ref().is_none_or(BTreeMap::is_empty)
}

/// Messages that were stored and can not be read any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LostMessages {
    /// Their sequences.
    pub msgs: Vec<StreamSequence>,
    /// Their size.
    pub bytes: u64,
}

/// Who holds a stream or consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterInfo {
    /// Name of the cluster; empty on a single server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Name of the consensus group; empty on a single server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub raft_group: String,
    /// Name of the server that leads.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub leader: String,
    /// Since when it leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader_since: Option<Timestamp>,
    /// The others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<PeerInfo>,
}

impl ClusterInfo {
    /// What a single server says: itself.
    #[must_use]
    pub fn single(server_name: &str) -> Self {
        Self {
            leader: server_name.to_owned(),
            ..Self::default()
        }
    }
}

/// A server that follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerInfo {
    /// Name of the server.
    pub name: String,
    /// Whether it has everything.
    pub current: bool,
    /// Whether it can not be reached.
    #[serde(skip_serializing_if = "is_false")]
    pub offline: bool,
    /// Time since it was heard of.
    pub active: Nanos,
    /// Entries it is behind.
    #[serde(skip_serializing_if = "is_default")]
    pub lag: u64,
    /// Id of the server in the group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub peer: String,
}

/// State of a mirror or source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamSourceInfo {
    /// Name of the stream messages come from.
    pub name: String,
    /// How it is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalStream>,
    /// Messages behind.
    pub lag: u64,
    /// Time since something came; -1 when nothing ever did.
    pub active: Nanos,
    /// Why nothing comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<crate::ApiError>,
    /// Filter of the subjects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    /// Filters with mappings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_transforms: Vec<SubjectTransform>,
}

/// What a stream says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamInfo {
    /// Its configuration, defaults filled in.
    pub config: StreamConfig,
    /// When it was created.
    pub created: Timestamp,
    /// Its counters.
    pub state: StreamState,
    /// The domain of the server; empty when it has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Who holds it; `STREAM.INFO` always says, the other answers only in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterInfo>,
    /// State of the mirror.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<StreamSourceInfo>,
    /// States of the sources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<StreamSourceInfo>,
    /// When this was said.
    pub ts: Timestamp,
}
