//! How a server is put together.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use everjet_config::TlsOptions;
use everjet_conn::{ClientLimits, Credentials};
use everjet_jetstream::{ScrubOptions, StorageOptions, SyncPolicy, UsageLimits};
use everjet_net::WriteTimeout;
use everjet_subject::SubjectMapping;
use everjet_values::Clock;
use everjet_wire::TraceOptions;

use crate::lame_duck::LameDuckTimes;
use crate::seams::OsClock;
use crate::websocket::WebSocketChoice;
use crate::{Log, LogLevel, Server, ServerError};

/// Time for authentication without TLS, and at least.
const AUTH_TIMEOUT: Duration = Duration::from_secs(2);

/// What remains for authentication when a handshake took as long as it may.
const AUTH_AFTER_TLS: Duration = Duration::from_secs(1);

/// JetStream as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct JetStreamChoice {
    pub(crate) store_dir: PathBuf,
    pub(crate) sync: SyncPolicy,
    pub(crate) strict: bool,
    pub(crate) domain: Option<String>,
    pub(crate) limits: UsageLimits,
    pub(crate) storage: StorageOptions,
    pub(crate) scrub: ScrubOptions,
}

/// Collects what a server shall be; [`ServerBuilder::start`] makes it so.
///
/// Without any call: all interfaces, port 4222, no JetStream, no log.
pub struct ServerBuilder {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether there is a listener at all.
    pub(crate) listens: bool,
    /// The host that clients are told, and the port unless it is the one that is listened on.
    pub(crate) advertise: Option<(String, Option<u16>)>,
    pub(crate) proxy_header: bool,
    /// Whether messages may have headers.
    pub(crate) headers: bool,
    pub(crate) name: Option<String>,
    pub(crate) limits: ClientLimits,
    /// `None` for no limit.
    pub(crate) connections_max: Option<usize>,
    pub(crate) pending_max: usize,
    pub(crate) write_deadline: Duration,
    pub(crate) write_timeout: WriteTimeout,
    pub(crate) lame_duck: LameDuckTimes,
    /// How the protocol is traced in the log; `None` when it is not.
    pub(crate) trace: Option<TraceOptions>,
    pub(crate) reactors: usize,
    pub(crate) mappings: Vec<SubjectMapping>,
    pub(crate) tls: Option<TlsOptions>,
    pub(crate) allow_non_tls: bool,
    pub(crate) websocket: Option<WebSocketChoice>,
    pub(crate) jetstream: Option<JetStreamChoice>,
    pub(crate) log: Arc<Log>,
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            host: "0.0.0.0".to_owned(),
            port: 4222,
            listens: true,
            advertise: None,
            proxy_header: false,
            headers: true,
            name: None,
            limits: ClientLimits::default(),
            connections_max: Some(65_536),
            pending_max: 64 << 20,
            write_deadline: Duration::from_secs(10),
            write_timeout: WriteTimeout::default(),
            lame_duck: LameDuckTimes::default(),
            trace: None,
            reactors: 0,
            mappings: Vec::new(),
            tls: None,
            allow_non_tls: false,
            websocket: None,
            jetstream: None,
            log: Arc::new(Log::silent()),
        }
    }
}

impl ServerBuilder {
    /// Where to listen: an address or a host name. Default `0.0.0.0`.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// The port for clients; 0 takes a free one, see [`Server::addr`]. Default 4222.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Listens nowhere: the server is reached with [`Server::connect_in_process`] only.
    #[must_use]
    pub fn without_listener(mut self) -> Self {
        self.listens = false;
        self
    }

    /// How long [`Server::lame_duck`] takes from the announcement to the last client, and to the first one. Defaults: 2 minutes and
    /// 10 s.
    #[must_use]
    pub fn lame_duck_times(mut self, duration: Duration, grace_period: Duration) -> Self {
        self.lame_duck = LameDuckTimes {
            duration,
            grace_period,
        };
        self
    }

    /// The server's name, without blanks. Default: its id.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Enables JetStream with its store under `store_dir`. Acknowledged messages are on stable storage unless
    /// [`ServerBuilder::sync`] says otherwise.
    #[must_use]
    pub fn jetstream(mut self, store_dir: impl AsRef<Path>) -> Self {
        self.jetstream = Some(JetStreamChoice {
            store_dir: store_dir.as_ref().to_owned(),
            sync: SyncPolicy::Always,
            strict: true,
            domain: None,
            limits: UsageLimits::default(),
            storage: StorageOptions::default(),
            scrub: ScrubOptions::default(),
        });
        self
    }

    /// The JetStream domain: its API is also there under `$JS.<domain>.API.`. One token of a subject. Default none. Without JetStream
    /// it changes nothing.
    #[must_use]
    pub fn domain(mut self, domain: &str) -> Self {
        if let Some(jetstream) = &mut self.jetstream {
            jetstream.domain = Some(domain.to_owned());
        }
        self
    }

    /// When JetStream syncs. Without JetStream it changes nothing.
    #[must_use]
    pub fn sync(mut self, sync: SyncPolicy) -> Self {
        if let Some(jetstream) = &mut self.jetstream {
            jetstream.sync = sync;
        }
        self
    }

    /// How stored messages are verified in the background. Without JetStream it changes nothing.
    #[must_use]
    pub fn scrub(mut self, scrub: ScrubOptions) -> Self {
        if let Some(jetstream) = &mut self.jetstream {
            jetstream.scrub = scrub;
        }
        self
    }

    /// Lets only clients in that show this token.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.limits.credentials = Some(Credentials::Token(token.to_owned()));
        self
    }

    /// Lets only clients in that show this user and password.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.limits.credentials = Some(Credentials::User {
            name: name.to_owned(),
            password: password.to_owned(),
        });
        self
    }

    /// Lets clients in over TLS only. Its files are read when the server starts.
    ///
    /// Clients have [`TlsOptions::timeout`] for the handshake, and the time for authentication besides.
    #[must_use]
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.limits.auth_timeout = AUTH_TIMEOUT.max(tls.timeout + AUTH_AFTER_TLS);
        self.tls = Some(tls);
        self
    }

    /// Lets clients in without TLS too. Without [`ServerBuilder::tls`] it changes nothing.
    #[must_use]
    pub fn allow_non_tls(mut self) -> Self {
        self.allow_non_tls = true;
        self
    }

    /// Largest message in bytes, headers included. Default 1 MiB.
    #[must_use]
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.limits.payload_max = bytes;
        self
    }

    /// Lets messages that clients publish go to another subject. Of several mappings the first that matches a message counts,
    /// as with the block `mappings` of the configuration.
    #[must_use]
    pub fn mapping(mut self, mapping: SubjectMapping) -> Self {
        self.mappings.push(mapping);
        self
    }

    /// Number of threads that serve connections. Default 0: one per core.
    #[must_use]
    pub fn reactors(mut self, count: usize) -> Self {
        self.reactors = count;
        self
    }

    /// Where the server says what happens. Default: nowhere.
    #[must_use]
    pub fn log(mut self, log: Log) -> Self {
        self.log = Arc::new(log);
        self
    }

    /// Starts the server: it accepts clients when this returns.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn start(self) -> Result<Server, ServerError> {
        Server::start(self)
    }

    /// Writes a line to the server's log before it starts.
    pub(crate) fn note(&self, level: LogLevel, text: &str) {
        self.log.line(OsClock::default().now(), level, text);
    }
}

/// The address of a host, by name or address, and a port.
pub(crate) fn resolve(host: &str, port: u16) -> Result<SocketAddr, ServerError> {
    let failed = |cause| ServerError::Listen {
        address: format!("{host}:{port}"),
        cause,
    };
    (host, port)
        .to_socket_addrs()
        .map_err(failed)?
        .next()
        .ok_or_else(|| failed(std::io::ErrorKind::AddrNotAvailable.into()))
}
