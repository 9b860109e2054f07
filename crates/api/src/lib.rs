//! JetStream as it is on the wire: configurations, requests, answers, errors, and the subjects they travel on.
//!
//! Nothing here decides: whether a configuration makes sense is the business of the stream. Every type reads and
//! writes the JSON of nats-server 2.15.1, with the same keys in the same order.

#![forbid(unsafe_code)]

mod account;
mod ack;
mod advisory;
mod backup;
mod base64_bytes;
mod batch_flow;
mod consumer_config;
mod consumer_event;
mod consumer_info;
mod decode;
mod error_table;
mod errors;
mod level;
mod name;
mod nanos;
mod omit;
mod one_message;
mod pub_ack;
mod pull;
mod render;
mod requests;
mod response_type;
mod responses;
mod source;
mod stream_config;
mod stream_info;
mod subjects;
mod syntax;
mod value_reader;
mod wire_enum;

pub use account::{AccountInfo, AccountLimits, AccountTier, ApiStats};
pub use ack::{ACK_PREFIX, AckSubject, render_ack_subject};
pub use advisory::{
    API_AUDIT_SUBJECT, API_LIMIT_SUBJECT, Advice, AdvisedClient, AdvisoryFrame, ApiAudit,
    ApiLimitReached, BatchAbandoned, StreamActed, StreamAction, render_advisory,
};
pub use backup::{
    ArchivedConsumer, ArchivedConsumerState, ArchivedDelivery, ArchivedPosition, RestoreCompleted,
    RestoreCreated, RestoreRequest, RestoreResponse, SnapshotCompleted, SnapshotCreated,
    SnapshotRequest, SnapshotResponse,
};
pub use batch_flow::{BatchFlow, render_duplicate_batch_ack};
pub use consumer_config::{AckPolicy, ConsumerConfig, DeliverPolicy, PriorityPolicy, ReplayPolicy};
pub use consumer_event::{
    ConsumerAdvice, ConsumerEvent, EventDelivery, REMOVED_REASON, UnpinReason,
};
pub use consumer_info::{ConsumerInfo, PriorityGroupState, SequenceInfo};
pub use decode::{Request, decode_lenient, decode_strict, is_empty_request};
pub use error_table::ErrorCode;
pub use errors::ApiError;
pub use level::{
    API_LEVEL, LEVEL_KEY, NATS_VERSION, REQUIRED_LEVEL_HEADER, REQUIRED_LEVEL_KEY, VERSION_KEY,
    add_level_metadata, remove_level_metadata, serves_required_level, strip_level_metadata,
};
pub use name::{
    NAME_LEN_MAX, check_consumer_name, check_stream_name, is_valid_consumer_name,
    is_valid_stream_name,
};
pub use nanos::Nanos;
pub use one_message::OneMessage;
pub use pub_ack::{
    PubAck, PubAckLine, PubAcks, render_batch_ack, render_counter_ack, render_pub_ack,
    render_pub_ack_error,
};
pub use render::{render_error, render_message, render_response, to_json};
pub use requests::{
    ConsumerAction, ConsumerCreateRequest, ConsumerPauseRequest, ConsumerResetRequest,
    ConsumerUnpinRequest, MsgDeleteRequest, MsgGetRequest, PageRequest, PullRequest, PurgeRequest,
    StreamCreateRequest, StreamInfoRequest, StreamNamesRequest,
};
pub use response_type::ResponseType;
pub use responses::{
    ConsumerListResponse, ConsumerNamesResponse, ConsumerPauseResponse, ConsumerResetResponse,
    ConsumerUnpinResponse, LIST_PAGE_LIMIT, MsgGetResponse, NAMES_PAGE_LIMIT, Page, PurgeResponse,
    SUBJECTS_PAGE_LIMIT, StoredMessage, StreamCreateResponse, StreamInfoResponse,
    StreamListResponse, StreamNamesResponse, SuccessResponse,
};
pub use source::{ExternalStream, SourceConsumer, StreamSource, SubjectTransform};
pub use stream_config::{
    Compression, ConsumerLimits, Discard, PersistMode, Placement, Republish, Retention, Storage,
    StreamConfig,
};
pub use stream_info::{
    ClusterInfo, LostMessages, PeerInfo, StreamInfo, StreamSourceInfo, StreamState,
};
pub use subjects::{API_PREFIX, ApiCall, not_supported, parse_api_subject};
