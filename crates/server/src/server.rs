//! A running server: composed here, decided elsewhere.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use everjet_api::{API_LEVEL, NATS_VERSION};
use everjet_config::TlsOptions;
use everjet_conn::ServerFacts;
use everjet_jetstream::{
    Finding, Health, HealthStatus, JetStream, JetStreamConfig, Level, OsDisk, Report,
    ScrubProgress, Seams,
};
use everjet_net::{
    InProcessConnection, ListenerConfig, NetConfig, Network, OpeningPlan, Placement, TlsContext,
    TlsSwitch,
};
use everjet_routing::{Account, Mappings};
use everjet_values::{Clock, Entropy};
use everjet_wire::ServerInfo;
use parking_lot::{Condvar, Mutex};

use crate::builder::{JetStreamChoice, ServerBuilder, resolve};
use crate::connections::ConnectionLog;
use crate::domain;
use crate::lame_duck::{LameDuckTimes, Pace, Pacing};
use crate::reload::Parts;
use crate::seams::{OsClock, OsEntropy, server_id};
use crate::websocket::WebSocketPort;
use crate::{Log, LogLevel, ServerError, VERSION};

/// The account of clients, until accounts are configurable.
pub(crate) const GLOBAL_ACCOUNT: &str = "$G";

/// The address of a server that listens nowhere.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// How often a lame duck looks whether anybody is left.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// TLS on the port for clients.
struct ClientTls {
    switch: TlsSwitch,
    allow_non_tls: bool,
}

impl ClientTls {
    fn load(builder: &ServerBuilder) -> Result<Self, ServerError> {
        let context = builder.tls.as_ref().map(TlsContext::load).transpose();
        Ok(Self {
            switch: TlsSwitch::new(context.map_err(ServerError::Tls)?),
            allow_non_tls: builder.allow_non_tls,
        })
    }

    fn plan(&self, builder: &ServerBuilder) -> OpeningPlan {
        let options = builder.tls.as_ref();
        OpeningPlan {
            proxy_header: builder.proxy_header,
            tls: self.switch.clone(),
            allow_non_tls: self.allow_non_tls,
            handshake_rate_max: options.and_then(|options| options.connection_rate_limit),
            websocket: None,
        }
    }

    /// Whether clients must use TLS.
    fn is_required(&self) -> bool {
        self.switch.is_on() && !self.allow_non_tls
    }

    /// What the log says about it at the start.
    fn notes(&self) -> Vec<(LogLevel, &'static str)> {
        const INSISTS: &str =
            "Clients that are not using \"TLS Handshake First\" option will fail to connect";
        let mut notes = Vec::new();
        if self.switch.is_on() {
            let insists = self.switch.insists_on_handshake_first();
            notes.push(if self.allow_non_tls && !insists {
                (LogLevel::Info, "TLS available for client connections")
            } else {
                (LogLevel::Info, "TLS required for client connections")
            });
            if insists {
                notes.push((LogLevel::Warn, INSISTS));
            }
        }
        notes
    }
}

/// A running server. Dropped, it stops as by [`Server::stop`].
pub struct Server {
    id: String,
    name: String,
    address: SocketAddr,
    tls: ClientTls,
    websocket: Option<WebSocketPort>,
    network: Network,
    jetstream: Mutex<Option<JetStream>>,
    lame_duck: LameDuckTimes,
    phase: Mutex<Phase>,
    phase_changed: Condvar,
    log: Arc<Log>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// How far a server is in its life. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    LameDuck,
    Stopping,
    Stopped,
}

impl Server {
    /// Begins to put a server together.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    pub(crate) fn start(builder: ServerBuilder) -> Result<Self, ServerError> {
        let clock: Arc<dyn Clock> = Arc::new(OsClock::default());
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        let log = Arc::clone(&builder.log);
        let say = |text: &str| log.line(clock.now(), LogLevel::Info, text);
        let id = server_id(&*entropy);
        let name = builder.name.clone().unwrap_or_else(|| id.clone());
        if name.contains(char::is_whitespace) {
            return Err(ServerError::Option(
                "server name cannot contain spaces".to_owned(),
            ));
        }
        if builder.limits.payload_max > builder.pending_max {
            return Err(ServerError::Option(format!(
                "max_payload ({}) cannot be higher than max_pending ({})",
                builder.limits.payload_max, builder.pending_max
            )));
        }
        let tls = ClientTls::load(&builder)?;
        say("Starting nats-server");
        say(&format!("  Version:  {NATS_VERSION} (Everjet {VERSION})"));
        say(&format!("  Name:     {name}"));
        say(&format!("  ID:       {id}"));
        // A server that is not part of a cluster.
        let domain = builder
            .jetstream
            .as_ref()
            .and_then(|jetstream| jetstream.domain.clone());
        let mut mappings = builder.mappings.clone();
        if let Some(domain) = &domain {
            domain::add_mappings(domain, &mut mappings)?;
        }
        let mappings = Mappings::new(mappings, None);
        let account = Account::with_mappings(GLOBAL_ACCOUNT, mappings);
        let mut listeners = Vec::new();
        if builder.listens {
            listeners.push(ListenerConfig {
                address: resolve(&builder.host, builder.port)?,
                plan: tls.plan(&builder),
            });
        }
        let mut websocket = None;
        if let Some(choice) = &builder.websocket {
            let (port, listener) = WebSocketPort::prepare(choice)?;
            listeners.push(listener);
            websocket = Some(port);
        }
        let jetstream = match &builder.jetstream {
            Some(choice) => {
                let jetstream = start_jetstream(
                    (choice, builder.pending_max),
                    &name,
                    &account,
                    &log,
                    &clock,
                    &entropy,
                )?;
                say(&format!(
                    "JetStream: {} streams, store directory \"{}\"",
                    jetstream.stream_count(),
                    choice.store_dir.display()
                ));
                Some(jetstream)
            }
            None => None,
        };
        let info = ServerInfo {
            server_id: id.clone(),
            server_name: name.clone(),
            version: NATS_VERSION.to_owned(),
            proto: 1,
            host: match &builder.advertise {
                Some((host, _)) => host.clone(),
                None => builder.host.clone(),
            },
            // Without a port of its own, the one that is listened on.
            port: builder
                .advertise
                .as_ref()
                .and_then(|(_, port)| *port)
                .unwrap_or(0),
            headers: builder.headers,
            max_payload: builder.limits.payload_max,
            jetstream: jetstream.is_some(),
            api_lvl: API_LEVEL,
            domain: domain.unwrap_or_default(),
            ..ServerInfo::default()
        };
        let facts = ServerFacts {
            info,
            account: GLOBAL_ACCOUNT.to_owned(),
        };
        let net = NetConfig {
            listeners,
            reactors: builder.reactors,
            placement: Placement::Gather,
            limits: builder.limits,
            facts,
            connections_max: builder.connections_max,
            pending_max: builder.pending_max,
            write_deadline: builder.write_deadline,
            write_timeout: builder.write_timeout,
            trace: builder.trace,
        };
        let events = Arc::new(ConnectionLog {
            log: Arc::clone(&log),
            clock: Arc::clone(&clock),
        });
        let network = match Network::start(net, account, Arc::clone(&clock), &*entropy, events) {
            Ok(network) => network,
            Err(error) => {
                if let Some(jetstream) = jetstream {
                    jetstream.stop();
                }
                return Err(error.into());
            }
        };
        let address = network.local_addrs().first().copied();
        let address = address.filter(|_| builder.listens);
        if let Some(port) = &mut websocket {
            // Behind that for plain clients, if there is one.
            port.address = network.local_addrs().last().copied();
            for (level, text) in port.notes() {
                log.line(clock.now(), level, &text);
            }
        }
        if let Some(address) = address {
            say(&format!(
                "Listening for client connections on {}:{}",
                builder.host,
                address.port()
            ));
            if builder.proxy_header {
                say("PROXY protocol enabled for client connections");
            }
            for (level, text) in tls.notes() {
                log.line(clock.now(), level, text);
            }
        }
        say("Server is ready");
        Ok(Self {
            id,
            name,
            address: address.unwrap_or(NOWHERE),
            tls,
            websocket,
            network,
            jetstream: Mutex::new(jetstream),
            lame_duck: builder.lame_duck,
            phase: Mutex::new(Phase::Serving),
            phase_changed: Condvar::new(),
            log,
            clock,
            entropy,
        })
    }

    /// The address that clients connect to, with the real port; port 0 when the server listens nowhere.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The URL that clients on this machine connect to.
    #[must_use]
    pub fn client_url(&self) -> String {
        let scheme = if self.tls.is_required() {
            "tls"
        } else {
            "nats"
        };
        url(scheme, self.address)
    }

    /// The URL that WebSocket clients on this machine connect to, if there is a port for them.
    #[must_use]
    pub fn websocket_url(&self) -> Option<String> {
        let port = self.websocket.as_ref()?;
        Some(url(port.scheme(), port.address?))
    }

    /// Reads certificates again, or other ones, or turns TLS for clients on or off. Connections that are open stay as they are;
    /// sessions of before are not resumed. `connection_rate_limit` stays as it was at the start, and so does the time for
    /// authentication.
    ///
    /// # Errors
    /// [`ServerError::Tls`]: a file cannot be used; everything stays as it was.
    pub fn reload_tls(&self, tls: Option<&TlsOptions>) -> Result<(), ServerError> {
        let context = tls.map(TlsContext::load).transpose();
        self.tls.switch.swap(context.map_err(ServerError::Tls)?);
        Ok(())
    }

    /// The server's id: 56 characters that start with `N`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The server's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A connection that never touches a socket, for clients in this process. It is a client like others: the same rules, limits and
    /// counts apply, and the server speaks first.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionRefused`]: the server stops, or is a lame duck.
    pub fn connect_in_process(&self) -> io::Result<InProcessConnection> {
        self.network.connect_in_process()
    }

    /// How the server is, in a word and with the reasons. May wait for streams that have lost messages.
    ///
    /// A server without JetStream is well as long as it takes connections; what is damaged in a store makes it
    /// [`HealthStatus::Degraded`], until the messages concerned are removed or the stream is deleted.
    #[must_use]
    pub fn health(&self) -> Health {
        let mut health = Health::ok();
        match *self.phase.lock() {
            Phase::Serving => {}
            Phase::LameDuck => health.add(HealthStatus::Down, "the server is a lame duck"),
            Phase::Stopping | Phase::Stopped => {
                health.add(HealthStatus::Down, "the server stops or has stopped");
            }
        }
        // Whoever holds it for long is stopping JetStream.
        let jetstream = self.jetstream.try_lock();
        if let Some(jetstream) = jetstream.as_ref().and_then(|held| held.as_ref()) {
            let Health { status, reasons } = jetstream.health();
            for reason in reasons {
                health.add(status, reason);
            }
        }
        health
    }

    /// All damage to the store that is known: found by the start, by reads and by the scrub, as far as it was not removed since.
    #[must_use]
    pub fn damage(&self) -> Vec<Finding> {
        let jetstream = self.jetstream.try_lock();
        let jetstream = jetstream.as_ref().and_then(|held| held.as_ref());
        jetstream.map_or_else(Vec::new, JetStream::findings)
    }

    /// How far the verification of stored messages is; `None` without JetStream.
    #[must_use]
    pub fn scrub(&self) -> Option<ScrubProgress> {
        let jetstream = self.jetstream.try_lock();
        let jetstream = jetstream.as_ref().and_then(|held| held.as_ref());
        jetstream.map(JetStream::scrub)
    }

    /// Says good-bye: accepts nobody any more, stops JetStream, tells the clients (`ldm` of INFO), gives them time to go elsewhere, and
    /// disconnects those that stay, one after the other. Then stops as by [`Server::stop`]. Returns when that is done, or at once and
    /// with `false` when another thread has begun with it or with stopping.
    pub fn lame_duck(&self) -> bool {
        if !self.advance(Phase::Serving, Phase::LameDuck) {
            return false;
        }
        self.note(
            LogLevel::Info,
            "Entering lame duck mode, stop accepting new clients",
        );
        self.stop_accepting();
        self.stop_jetstream();
        self.network.announce(|info| {
            info.ldm = true;
            // Whoever reconnects shall not come back to this server.
            info.connect_urls.clear();
            info.ws_connect_urls.clear();
        });
        self.disconnect_slowly();
        self.stop();
        true
    }

    /// Whether [`Server::lame_duck`] was called.
    pub(crate) fn is_lame_duck(&self) -> bool {
        *self.phase.lock() != Phase::Serving
    }

    /// Stops: no new clients, JetStream durable and checkpointed, then the connections closed. Ends [`Server::lame_duck`] early. Returns
    /// when it is done, also when another thread does it.
    pub fn stop(&self) {
        let mut phase = self.phase.lock();
        if matches!(*phase, Phase::Stopping | Phase::Stopped) {
            while *phase != Phase::Stopped {
                self.phase_changed.wait(&mut phase);
            }
            return;
        }
        *phase = Phase::Stopping;
        drop(phase);
        self.phase_changed.notify_all();
        self.note(LogLevel::Info, "Initiating Shutdown...");
        self.stop_accepting();
        self.stop_jetstream();
        if let Err(error) = self.network.shutdown() {
            self.note(LogLevel::Error, &format!("a thread ended early: {error}"));
        }
        self.note(LogLevel::Info, "Server Exiting..");
        self.advance(Phase::Stopping, Phase::Stopped);
    }

    /// Writes a line to the log.
    pub(crate) fn note(&self, level: LogLevel, text: &str) {
        self.log.line(self.clock.now(), level, text);
    }

    /// What a reload changes.
    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts {
            tls: &self.tls.switch,
            websocket_tls: self.websocket.as_ref().map(|port| &port.switch),
            network: &self.network,
            log: &self.log,
        }
    }

    /// Opens the log file again under its name.
    pub(crate) fn reopen_log(&self) {
        match self.log.reopen() {
            Ok(()) => self.note(LogLevel::Info, "File log re-opened"),
            Err(error) => self.note(
                LogLevel::Error,
                &format!("the log file stays the old one: {error}"),
            ),
        }
    }

    /// Closes what is left of the clients, spread over the time there is; returns early when the server is stopped.
    fn disconnect_slowly(&self) {
        let mut pacing = Pacing::new(self.clock.now(), self.lame_duck);
        let mut begun = false;
        loop {
            let now = self.clock.now();
            let open = self.network.connection_count();
            match pacing.step(now, open, self.entropy.next_u64()) {
                Pace::Done => return,
                Pace::Close(count) => {
                    if !std::mem::replace(&mut begun, true) {
                        self.note(LogLevel::Info, "Closing existing clients");
                    }
                    self.network.disconnect(count);
                }
                Pace::Wait(until) => {
                    let mut phase = self.phase.lock();
                    if *phase != Phase::LameDuck {
                        return;
                    }
                    let pause = until.since(now).min(LOOK_EVERY);
                    self.phase_changed.wait_for(&mut phase, pause);
                }
            }
        }
    }

    /// Goes on to another phase, unless the server is not in the one expected.
    fn advance(&self, from: Phase, to: Phase) -> bool {
        let mut phase = self.phase.lock();
        if *phase != from {
            return false;
        }
        *phase = to;
        drop(phase);
        self.phase_changed.notify_all();
        true
    }

    fn stop_accepting(&self) {
        if let Err(error) = self.network.stop_accepting() {
            self.note(
                LogLevel::Warn,
                &format!("the listener closes late: {error}"),
            );
        }
    }

    fn stop_jetstream(&self) {
        // Held to the end: a second caller, too, may go on only then.
        let mut jetstream = self.jetstream.lock();
        if let Some(jetstream) = jetstream.take() {
            jetstream.stop();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The URL of a listening address for who is on this machine.
fn url(scheme: &str, address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    match (ip.is_unspecified(), ip.is_ipv6()) {
        (true, _) => format!("{scheme}://127.0.0.1:{port}"),
        (false, true) => format!("{scheme}://[{ip}]:{port}"),
        (false, false) => format!("{scheme}://{ip}:{port}"),
    }
}

fn start_jetstream(
    (choice, pending_max): (&JetStreamChoice, usize),
    server_name: &str,
    account: &Arc<Account>,
    log: &Arc<Log>,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> Result<JetStream, ServerError> {
    let config = JetStreamConfig {
        store_dir: choice.store_dir.clone(),
        sync: choice.sync,
        server_name: server_name.to_owned(),
        strict: choice.strict,
        domain: choice.domain.clone(),
        limits: choice.limits,
        storage: choice.storage.clone(),
        scrub: choice.scrub,
        answer_bytes_max: pending_max as u64,
    };
    let seams = Seams {
        clock: Arc::clone(clock),
        entropy: Arc::clone(entropy),
        disk: Arc::new(OsDisk),
        report: Arc::new(LogReport {
            log: Arc::clone(log),
            clock: Arc::clone(clock),
        }),
    };
    JetStream::start(config, seams, account).map_err(ServerError::JetStream)
}

/// The log as JetStream writes it.
struct LogReport {
    log: Arc<Log>,
    clock: Arc<dyn Clock>,
}

impl Report for LogReport {
    fn report(&self, level: Level, text: &str) {
        let level = match level {
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        self.log.line(self.clock.now(), level, text);
    }
}
