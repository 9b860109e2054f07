//! Reading the configuration again while the server runs: all of it or nothing.

use everjet_config::{HandshakeFirst, Options, SyncPolicy, TlsOptions, WriteTimeout};
use everjet_net::{Network, TlsContext, TlsSwitch};
use everjet_values::format_duration;

use crate::{Log, Server};

/// What a reload changes of a running server.
pub(crate) struct Parts<'a> {
    pub(crate) tls: &'a TlsSwitch,
    /// TLS of the port for WebSocket clients, if there is such a port.
    pub(crate) websocket_tls: Option<&'a TlsSwitch>,
    pub(crate) network: &'a Network,
    pub(crate) log: &'a Log,
}

/// Makes `server`, which runs with `old`, do what `new` says. Connections that are open stay.
///
/// Returns what was changed, worded as nats-server words it.
///
/// # Errors
/// What cannot be changed without a restart, or a file that cannot be used. Nothing was changed then.
pub(crate) fn reload(server: &Server, old: &Options, new: &Options) -> Result<Vec<String>, String> {
    if let Some(Fixed { field, old, new }) = first_fixed(old, new) {
        return Err(format!(
            "config reload not supported for {field}: old={old}, new={new}"
        ));
    }
    let context = new.tls.as_ref().map(TlsContext::load).transpose();
    let context = context.map_err(|error| error.to_string())?;
    let websocket_context = websocket_tls(new).map(TlsContext::load).transpose();
    let websocket_context = websocket_context.map_err(|error| error.to_string())?;
    let parts = server.parts();
    let mut changes = Vec::new();
    let logging = &new.logging;
    for (name, before, after) in [
        ("debug", old.logging.debug, logging.debug),
        ("logtime", old.logging.time, logging.time),
        ("logtime_utc", old.logging.utc, logging.utc),
    ] {
        if before != after {
            changes.push(format!("{name} = {after}"));
        }
    }
    if old.auth_timeout() != new.auth_timeout() {
        let seconds = new.auth_timeout().as_secs_f64();
        changes.push(format!("authorization timeout = {seconds}"));
    }
    let is_read_anew = context
        .as_ref()
        .is_some_and(|context| !parts.tls.is_same(context));
    changes.extend(tls_changes(
        old.tls.as_ref(),
        new.tls.as_ref(),
        is_read_anew,
    ));
    // It is on or off since the start: `first_fixed` keeps it so.
    let websocket_change = parts.websocket_tls.zip(websocket_context);
    let websocket_change = websocket_change.filter(|(switch, context)| {
        websocket_tls(old) != websocket_tls(new) || !switch.is_same(context)
    });
    if websocket_change.is_some() {
        changes.push("websocket tls = enabled".to_owned());
    }
    // From here on nothing can fail.
    if let Some((switch, context)) = websocket_change {
        switch.swap(Some(context));
    }
    parts.log.set(logging.time, logging.utc, logging.debug);
    parts.network.set_auth_timeout(new.auth_timeout());
    if is_read_anew || old.tls != new.tls {
        parts.tls.swap(context);
    }
    Ok(changes)
}

fn websocket_tls(options: &Options) -> Option<&TlsOptions> {
    options.websocket.as_ref()?.tls.as_ref()
}

/// What changes about TLS. `is_read_anew` if its files hold something else than before.
fn tls_changes(
    old: Option<&TlsOptions>,
    new: Option<&TlsOptions>,
    is_read_anew: bool,
) -> Vec<String> {
    let (old, new) = match (old, new) {
        (None, None) => return Vec::new(),
        (Some(_), None) => return vec!["tls = disabled".to_owned()],
        (None, Some(_)) => return vec!["tls = enabled".to_owned()],
        (Some(old), Some(new)) => (old, new),
    };
    let mut changes = Vec::new();
    if old.timeout != new.timeout {
        changes.push(format!("tls timeout = {}", new.timeout.as_secs_f64()));
    }
    // What has a line of its own does not count as a change of the rest.
    let rest = TlsOptions {
        timeout: new.timeout,
        handshake_first: new.handshake_first,
        ..old.clone()
    };
    if is_read_anew || rest != *new {
        changes.push("tls = enabled".to_owned());
    }
    if old.handshake_first != new.handshake_first {
        changes.push(match new.handshake_first {
            HandshakeFirst::Never => "Client TLS handshake first: false".to_owned(),
            HandshakeFirst::Always => "Client TLS handshake first: true".to_owned(),
            HandshakeFirst::Within(delay) => format!(
                "Client TLS handshake first fallback delay: {}",
                format_duration(delay)
            ),
        });
    }
    if old.pinned_certs != new.pinned_certs {
        changes.push(format!("{} pinned_certs", new.pinned_certs.len()));
    }
    changes
}

/// An option that only a restart changes.
#[derive(Debug, PartialEq, Eq)]
struct Fixed {
    /// Its name as nats-server publishes it.
    field: &'static str,
    old: String,
    new: String,
}

/// The first option that differs and cannot be changed. nats-server can change more of them.
fn first_fixed(old: &Options, new: &Options) -> Option<Fixed> {
    let named = fields(old)
        .into_iter()
        .zip(fields(new))
        .find(|((_, old), (_, new))| old != new)
        .map(|((field, old), (_, new))| Fixed { field, old, new });
    named.or_else(|| {
        if old.mappings != new.mappings {
            return Some(Fixed {
                field: "Mappings",
                old: format!("{} subjects", old.mappings.len()),
                new: format!("{} subjects", new.mappings.len()),
            });
        }
        let encryption = |options: &Options| options.jetstream.as_ref()?.encryption.clone();
        if encryption(old) != encryption(new) {
            return Some(Fixed {
                field: "JetStreamKey",
                old: "[REDACTED]".to_owned(),
                new: "[REDACTED]".to_owned(),
            });
        }
        if old.authorization.credentials != new.authorization.credentials {
            return Some(Fixed {
                field: "Authorization",
                old: "[REDACTED]".to_owned(),
                new: "[REDACTED]".to_owned(),
            });
        }
        // An option that has no row below must not pass for one that was applied.
        let mut comparable = old.clone();
        comparable.tls.clone_from(&new.tls);
        if let (Some(old), Some(new)) = (&mut comparable.websocket, &new.websocket)
            && old.tls.is_some() == new.tls.is_some()
        {
            old.tls.clone_from(&new.tls);
        }
        comparable.logging.debug = new.logging.debug;
        comparable.logging.time = new.logging.time;
        comparable.logging.utc = new.logging.utc;
        comparable.authorization.timeout = new.authorization.timeout;
        (comparable != *new).then(|| Fixed {
            field: "Options",
            old: "those of the start".to_owned(),
            new: "others".to_owned(),
        })
    })
}

/// What cannot be changed, by the names of nats-server. Secrets are not among them.
fn fields(options: &Options) -> Vec<(&'static str, String)> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let limits = &options.limits;
    let tls = options.tls.as_ref();
    let jetstream = options.jetstream.as_ref();
    let size =
        |value: Option<u64>| value.map_or_else(|| "default".to_owned(), |value| value.to_string());
    vec![
        ("Host", options.listen.host.clone()),
        ("Port", options.listen.port.to_string()),
        ("ServerName", text(&options.server_name)),
        ("MaxConn", limits.max_connections.to_string()),
        (
            "MaxSubs",
            limits.max_subscriptions.unwrap_or_default().to_string(),
        ),
        (
            "MaxSubTokens",
            limits
                .max_subscription_tokens
                .unwrap_or_default()
                .to_string(),
        ),
        ("MaxControlLine", limits.max_control_line.to_string()),
        ("MaxPayload", limits.max_payload.to_string()),
        ("MaxPending", limits.max_pending.to_string()),
        ("PingInterval", format_duration(limits.ping_interval)),
        ("MaxPingsOut", limits.ping_max.to_string()),
        ("WriteDeadline", format_duration(limits.write_deadline)),
        (
            "WriteTimeout",
            match limits.write_timeout {
                WriteTimeout::Close => "close",
                WriteTimeout::Retry => "retry",
            }
            .to_owned(),
        ),
        ("NoHeaderSupport", (!limits.headers).to_string()),
        (
            "LameDuckDuration",
            format_duration(options.lame_duck.duration),
        ),
        (
            "LameDuckGracePeriod",
            format_duration(options.lame_duck.grace_period),
        ),
        ("ProxyProtocol", options.listen.proxy_protocol.to_string()),
        ("Trace", options.logging.trace.to_string()),
        ("TraceHeaders", options.logging.trace_headers.to_string()),
        (
            "MaxTracedMsgLen",
            options
                .logging
                .traced_payload_max
                .unwrap_or_default()
                .to_string(),
        ),
        ("LogFile", text(&options.logging.file)),
        ("PidFile", text(&options.files.pid_file)),
        ("PortsFileDir", text(&options.files.ports_file_dir)),
        ("AllowNonTLS", options.allow_non_tls.to_string()),
        (
            "TLSRateLimit",
            tls.and_then(|tls| tls.connection_rate_limit)
                .map_or(0, std::num::NonZeroU32::get)
                .to_string(),
        ),
        ("JetStream", options.jetstream.is_some().to_string()),
        (
            "StoreDir",
            jetstream.map_or_else(String::new, |jetstream| text(&jetstream.store_dir)),
        ),
        (
            "JetStreamMaxMemory",
            size(jetstream.and_then(|jetstream| jetstream.max_memory_store)),
        ),
        (
            "JetStreamMaxStore",
            size(jetstream.and_then(|jetstream| jetstream.max_file_store)),
        ),
        (
            "JetStreamDomain",
            text(&jetstream.and_then(|jetstream| jetstream.domain.clone())),
        ),
        (
            "JetStreamStrict",
            jetstream
                .is_none_or(|jetstream| !jetstream.is_lenient)
                .to_string(),
        ),
        (
            "SyncInterval",
            match jetstream.map(|jetstream| jetstream.sync) {
                Some(SyncPolicy::Every(interval)) => format_duration(interval),
                Some(SyncPolicy::Always) => "always".to_owned(),
                None => String::new(),
            },
        ),
    ]
}

#[cfg(test)]
mod tests;
