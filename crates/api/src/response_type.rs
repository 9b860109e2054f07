//! The `type` of an API answer.

const PAGE: &str = r#","total":0,"offset":0,"limit":0"#;

macro_rules! response_types {
    ( $( $(#[$doc:meta])* $name:ident = $word:literal, )+ ) => {
        /// The `type` of an API answer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ResponseType {
            $(
                #[doc = concat!("`io.nats.jetstream.api.v1.", $word, "_response`.")]
                $name,
            )+
        }

        impl ResponseType {
            /// All of them.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )+ ];

            /// The text on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$name => concat!("io.nats.jetstream.api.v1.", $word, "_response"), )+
                }
            }
        }
    };
}

response_types! {
    AccountInfo = "account_info",
    StreamCreate = "stream_create",
    StreamUpdate = "stream_update",
    StreamNames = "stream_names",
    StreamList = "stream_list",
    StreamInfo = "stream_info",
    StreamDelete = "stream_delete",
    StreamPurge = "stream_purge",
    StreamSnapshot = "stream_snapshot",
    StreamRestore = "stream_restore",
    StreamMsgGet = "stream_msg_get",
    StreamMsgDelete = "stream_msg_delete",
    StreamLeaderStepDown = "stream_leader_stepdown",
    StreamRemovePeer = "stream_remove_peer",
    StreamEvacuatePeer = "stream_evacuate_peer",
    StreamCancelMove = "stream_cancel_move",
    ConsumerCreate = "consumer_create",
    ConsumerNames = "consumer_names",
    ConsumerList = "consumer_list",
    ConsumerInfo = "consumer_info",
    ConsumerDelete = "consumer_delete",
    ConsumerPause = "consumer_pause",
    ConsumerUnpin = "consumer_unpin",
    ConsumerReset = "consumer_reset",
    ConsumerLeaderStepDown = "consumer_leader_stepdown",
    ConsumerRemovePeer = "consumer_remove_peer",
    ConsumerEvacuatePeer = "consumer_evacuate_peer",
}

impl ResponseType {
    /// What an error answer of this type carries after the error, comma first: clients decode these fields before
    /// they look at the error.
    #[must_use]
    pub(crate) fn error_fields(self) -> String {
        match self {
            Self::StreamInfo => PAGE.to_owned(),
            Self::StreamNames | Self::StreamList => format!(r#"{PAGE},"streams":[]"#),
            Self::ConsumerNames | Self::ConsumerList => format!(r#"{PAGE},"consumers":[]"#),
            Self::StreamPurge => r#","purged":0"#.to_owned(),
            Self::StreamRestore => r#","deliver_subject":"""#.to_owned(),
            Self::ConsumerPause => {
                r#","paused":false,"pause_until":"0001-01-01T00:00:00Z""#.to_owned()
            }
            Self::ConsumerReset => r#","reset_seq":0"#.to_owned(),
            _ => String::new(),
        }
    }
}
