//! The keys that nats-server knows and this version does not have. They are refused by name, so that nobody believes
//! in an option that does nothing.

use crate::Entry;
use crate::reader::Reader;

/// The block a key stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// None: the top of the file.
    Top,
    /// `authorization { … }`
    Authorization,
    /// `jetstream { … }`
    JetStream,
    /// `tls { … }`
    Tls,
    /// `websocket { … }`
    WebSocket,
}

impl Block {
    /// Keys of nats-server in this block that this version does not have, in lower case.
    pub(crate) const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Top => TOP,
            Self::Authorization => AUTHORIZATION,
            Self::JetStream => JETSTREAM,
            Self::Tls => TLS,
            Self::WebSocket => WEBSOCKET,
        }
    }
}

const TOP: &[&str] = &[
    "account_resolver",
    "accounts",
    "accounts_resolver",
    "cluster",
    "connect_error_reports",
    "default_js_domain",
    "default_sentinel",
    "disable_sublist_cache",
    "feature_flags",
    "gateway",
    "http",
    "http_base_path",
    "http_port",
    "https",
    "https_port",
    "leaf",
    "leafnodes",
    "log_max_num",
    "log_size_limit",
    "logfile_max_num",
    "logfile_size_limit",
    "max_closed_clients",
    "monitor_port",
    "mqtt",
    "no_auth_user",
    "no_sublist_cache",
    "no_sys_acc",
    "no_system",
    "no_system_account",
    "ocsp",
    "ocsp_cache",
    "operator",
    "operators",
    "prof_block_rate",
    "prof_port",
    "proxies",
    "reconnect_error_reports",
    "remote_syslog",
    "resolver",
    "resolver_pinned_accounts",
    "resolver_preload",
    "resolver_tls",
    "root",
    "root_operator",
    "root_operators",
    "roots",
    "server_metadata",
    "server_tags",
    "syslog",
    "system",
    "system_account",
    "trusted",
    "trusted_keys",
];

const AUTHORIZATION: &[&str] = &[
    "auth_callout",
    "auth_hook",
    "default_permission",
    "default_permissions",
    "permissions",
    "proxy_required",
    "users",
];

const JETSTREAM: &[&str] = &[
    "compress_ok",
    "extension_hint",
    "info_queue_limit",
    "limits",
    "max_buffered_msgs",
    "max_buffered_size",
    "max_concurrent_io",
    "max_outstanding_catchup",
    "meta_compact",
    "meta_compact_size",
    "meta_compact_sync",
    "request_queue_limit",
    "tpm",
    "unique_tag",
];

const TLS: &[&str] = &[
    "ca_certs_match",
    "cert_match",
    "cert_match_by",
    "cert_match_skip_invalid",
    "cert_store",
    "ocsp_peer",
];

const WEBSOCKET: &[&str] = &["advertise", "jwt_cookie", "no_auth_user"];

/// Refuses a key that is not an option of this version. Keys that served as variables are in order.
pub(crate) fn refuse(block: Block, key: &str, entry: &Entry, reader: &mut Reader) {
    if entry.is_variable {
        return;
    }
    if block.keys().contains(&key) {
        refuse_option(entry, reader);
    } else {
        reader.refuse(entry, format!("unknown field {:?}", entry.key));
    }
}

/// Refuses an option that nats-server has and this version does not, or not with this value.
pub(crate) fn refuse_option(entry: &Entry, reader: &mut Reader) {
    reader.refuse(
        entry,
        format!(
            "option {:?} is not supported by this version of Everjet yet (known to nats-server); remove it to start",
            entry.key
        ),
    );
}
