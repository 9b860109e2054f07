//! From the options of the configuration to a server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use everjet_config::{
    Credentials as ConfiguredCredentials, EncryptionOptions, JetStreamOptions, Options, Secret,
    StoreCipher, SyncPolicy as ConfiguredSync, WebSocketOptions, WriteTimeout as ConfiguredTimeout,
};
use everjet_conn::{ClientLimits, Credentials};
use everjet_jetstream::{StorageOptions, SyncPolicy, UsageLimits};
use everjet_net::WriteTimeout;
use everjet_store::{Cipher, Encryption, StoreKey};
use everjet_websocket::UpgradeRules;
use everjet_wire::TraceOptions;

use crate::builder::{JetStreamChoice, ServerBuilder};
use crate::lame_duck::LameDuckTimes;
use crate::seams::OsEntropy;
use crate::websocket::WebSocketChoice;
use crate::{Log, ServerError};

/// The largest default for `max_file_store`, as nats-server has it.
const FILE_STORE_MAX: u64 = 1 << 40;

/// A server as `options` want it.
///
/// # Errors
/// An option that cannot be used on this machine.
pub(crate) fn builder_of(options: &Options, log: Log) -> Result<ServerBuilder, ServerError> {
    let limits = &options.limits;
    let mut builder = ServerBuilder {
        host: options.listen.host.clone(),
        port: options.listen.port,
        advertise: options
            .listen
            .client_advertise
            .as_ref()
            .map(|advertise| (advertise.host.clone(), advertise.port)),
        proxy_header: options.listen.proxy_protocol,
        headers: limits.headers,
        name: options.server_name.clone(),
        limits: ClientLimits {
            control_line_max: size(limits.max_control_line),
            payload_max: size(limits.max_payload),
            subscriptions_max: limits.max_subscriptions.map_or(0, size),
            subscription_tokens_max: limits.max_subscription_tokens.map_or(0, usize::from),
            ping_interval: limits.ping_interval,
            ping_max: limits.ping_max,
            credentials: options.authorization.credentials.as_ref().map(credentials),
            auth_timeout: options.auth_timeout(),
        },
        connections_max: Some(size(limits.max_connections)),
        pending_max: size(limits.max_pending),
        write_deadline: limits.write_deadline,
        mappings: options.mappings.clone(),
        write_timeout: match limits.write_timeout {
            ConfiguredTimeout::Retry => WriteTimeout::Retry,
            ConfiguredTimeout::Close => WriteTimeout::Close,
        },
        lame_duck: LameDuckTimes {
            duration: options.lame_duck.duration,
            grace_period: options.lame_duck.grace_period,
        },
        trace: options.logging.trace.then(|| TraceOptions {
            payload_max: options.logging.traced_payload_max.map(size),
            headers_only: options.logging.trace_headers,
        }),
        tls: options.tls.clone(),
        allow_non_tls: options.allow_non_tls,
        log: Arc::new(log),
        ..ServerBuilder::default()
    };
    if let Some(websocket) = &options.websocket {
        builder.websocket = Some(websocket_choice(websocket, &builder.limits));
    }
    if let Some(jetstream) = &options.jetstream {
        builder.jetstream = Some(jetstream_choice(jetstream)?);
    }
    Ok(builder)
}

fn size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn credentials(configured: &ConfiguredCredentials) -> Credentials {
    match configured {
        ConfiguredCredentials::User { name, password } => Credentials::User {
            name: name.clone(),
            password: password.clone(),
        },
        ConfiguredCredentials::Token(token) => Credentials::Token(token.clone()),
    }
}

/// What the block leaves open is as for all clients.
fn websocket_choice(options: &WebSocketOptions, limits: &ClientLimits) -> WebSocketChoice {
    let own = options.authorization.credentials.as_ref().map(credentials);
    WebSocketChoice {
        host: options.listen.host.clone(),
        port: options.listen.port,
        tls: options.tls.clone(),
        handshake_timeout: options.handshake_timeout,
        rules: UpgradeRules {
            origins: options.origins.clone(),
            tls: false,
            compression: options.compression,
            cookies: options.cookies.clone(),
            headers: options.headers.clone(),
        },
        limits: ClientLimits {
            credentials: own.or_else(|| limits.credentials.clone()),
            auth_timeout: options.authorization.timeout.unwrap_or(limits.auth_timeout),
            ping_interval: options.ping_interval.unwrap_or(limits.ping_interval),
            ..limits.clone()
        },
    }
}

fn jetstream_choice(options: &JetStreamOptions) -> Result<JetStreamChoice, ServerError> {
    let store_dir = match &options.store_dir {
        Some(path) => PathBuf::from(path),
        None => std::env::temp_dir().join("nats"),
    };
    let limits = UsageLimits {
        file_bytes_max: match options.max_file_store {
            Some(bytes) => bytes,
            None => file_store_max(&store_dir)?,
        },
        memory_bytes_max: options.max_memory_store.unwrap_or_else(memory_store_max),
    };
    Ok(JetStreamChoice {
        store_dir,
        sync: match options.sync {
            ConfiguredSync::Always => SyncPolicy::Always,
            ConfiguredSync::Every(interval) => SyncPolicy::Every(interval),
        },
        strict: !options.is_lenient,
        domain: options.domain.clone(),
        limits,
        storage: StorageOptions {
            encryption: options.encryption.as_ref().map(encryption),
            ..StorageOptions::default()
        },
        scrub: everjet_jetstream::ScrubOptions::default(),
    })
}

fn encryption(options: &EncryptionOptions) -> Encryption {
    let key = |secret: &Secret| StoreKey::new(secret.reveal().as_bytes());
    Encryption {
        key: key(&options.key),
        previous: options.previous.as_ref().map(key),
        cipher: match options.cipher {
            StoreCipher::ChaCha => Cipher::ChaCha20Poly1305,
            StoreCipher::Aes => Cipher::Aes256Gcm,
        },
        entropy: Arc::new(OsEntropy),
    }
}

/// Three quarters of the memory.
fn memory_store_max() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| {
        rest.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<u64>()
            .ok()
    });
    kib.map_or(u64::MAX, |kib| kib.saturating_mul(1024) / 4 * 3)
}

/// Three quarters of the disk's size, up to a limit. Not of what is free just now, as nats-server has it: a start on a full disk
/// would keep the limit low after there is room again. A full disk is noticed when it is full.
fn file_store_max(store_dir: &Path) -> Result<u64, ServerError> {
    let existing = store_dir
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("."));
    let existing = if existing.as_os_str().is_empty() {
        Path::new(".")
    } else {
        existing
    };
    let stat = rustix::fs::statvfs(existing).map_err(|error| {
        ServerError::Option(format!(
            "the disk of store_dir {} cannot be looked at: {error}",
            store_dir.display()
        ))
    })?;
    Ok((stat.f_blocks.saturating_mul(stat.f_frsize) / 4 * 3).min(FILE_STORE_MAX))
}
