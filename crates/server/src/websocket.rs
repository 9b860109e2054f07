//! The port for WebSocket clients.

use std::net::SocketAddr;
use std::sync::Arc;

use everjet_config::TlsOptions;
use everjet_conn::{ClientLimits, Entrance};
use everjet_net::{ListenerConfig, OpeningPlan, TlsContext, TlsSwitch, WebSocketPlan};
use everjet_websocket::UpgradeRules;

use crate::builder::resolve;
use crate::{LogLevel, ServerError};

/// The port as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct WebSocketChoice {
    pub(crate) host: String,
    /// 0 for any free one.
    pub(crate) port: u16,
    /// `None` for plain `ws`.
    pub(crate) tls: Option<TlsOptions>,
    pub(crate) handshake_timeout: std::time::Duration,
    pub(crate) rules: UpgradeRules,
    pub(crate) limits: ClientLimits,
}

/// The port of a running server.
pub(crate) struct WebSocketPort {
    pub(crate) switch: TlsSwitch,
    host: String,
    /// Where it is, once it is listened on.
    pub(crate) address: Option<SocketAddr>,
}

impl WebSocketPort {
    /// Reads the files of TLS and prepares the listener.
    ///
    /// # Errors
    /// A file cannot be used, or the host is not known.
    pub(crate) fn prepare(choice: &WebSocketChoice) -> Result<(Self, ListenerConfig), ServerError> {
        let context = choice.tls.as_ref().map(TlsContext::load).transpose();
        let switch = TlsSwitch::new(context.map_err(ServerError::Tls)?);
        let mut rules = choice.rules.clone();
        rules.tls = switch.is_on();
        let websocket = WebSocketPlan {
            rules,
            limits: Arc::new(choice.limits.clone()),
            handshake_timeout: choice.handshake_timeout,
            entrance: Arc::new(Entrance {
                host: choice.host.clone(),
                port: choice.port,
            }),
        };
        let tls = choice.tls.as_ref();
        let listener = ListenerConfig {
            address: resolve(&choice.host, choice.port)?,
            plan: OpeningPlan {
                proxy_header: false,
                tls: switch.clone(),
                allow_non_tls: false,
                handshake_rate_max: tls.and_then(|tls| tls.connection_rate_limit),
                websocket: Some(Arc::new(websocket)),
            },
        };
        let port = Self {
            switch,
            host: choice.host.clone(),
            address: None,
        };
        Ok((port, listener))
    }

    /// What the log says when the port is listened on.
    pub(crate) fn notes(&self) -> Vec<(LogLevel, String)> {
        let (scheme, port) = (
            self.scheme(),
            self.address.map_or(0, |address| address.port()),
        );
        let host = &self.host;
        let listening = format!("Listening for websocket clients on {scheme}://{host}:{port}");
        let mut notes = vec![(LogLevel::Info, listening)];
        if !self.switch.is_on() {
            let warning = "Websocket not configured with TLS. DO NOT USE IN PRODUCTION!";
            notes.push((LogLevel::Warn, warning.to_owned()));
        }
        notes
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.switch.is_on() { "wss" } else { "ws" }
    }
}
