//! A running server: composed here, decided elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;

use everjet_api::{API_LEVEL, NATS_VERSION};
use everjet_conn::ServerFacts;
use everjet_jetstream::{JetStream, JetStreamConfig, Level, OsDisk, Report, Seams};
use everjet_net::{ListenerConfig, NetConfig, Network, OpeningPlan};
use everjet_routing::{Account, Mappings};
use everjet_values::{Clock, Entropy};
use everjet_wire::ServerInfo;

use crate::builder::{JetStreamChoice, ServerBuilder};
use crate::connections::ConnectionLog;
use crate::seams::{OsClock, OsEntropy, server_id};
use crate::{Log, LogLevel, ServerError, VERSION};

/// The account of clients, until accounts are configurable.
const GLOBAL_ACCOUNT: &str = "$G";

/// A running server. Dropped, it stops as by [`Server::stop`].
pub struct Server {
    id: String,
    name: String,
    address: SocketAddr,
    network: Option<Network>,
    jetstream: Option<JetStream>,
    log: Arc<Log>,
    clock: Arc<dyn Clock>,
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
        say("Starting nats-server");
        say(&format!("  Version:  {NATS_VERSION} (Everjet {VERSION})"));
        say(&format!("  Name:     {name}"));
        say(&format!("  ID:       {id}"));
        // A server that is not part of a cluster.
        let mappings = Mappings::new(builder.mappings.clone(), None);
        let account = Account::with_mappings(GLOBAL_ACCOUNT, mappings);
        let listen = builder.address()?;
        let jetstream = match &builder.jetstream {
            Some(choice) => {
                let jetstream = start_jetstream(choice, &name, &account, &log, &clock, &entropy)?;
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
            host: builder.host.clone(),
            port: builder.port,
            headers: true,
            max_payload: builder.limits.payload_max,
            jetstream: jetstream.is_some(),
            api_lvl: API_LEVEL,
            ..ServerInfo::default()
        };
        let facts = ServerFacts {
            info,
            account: GLOBAL_ACCOUNT.to_owned(),
        };
        let net = NetConfig {
            listeners: vec![ListenerConfig {
                address: listen,
                plan: OpeningPlan::default(),
            }],
            reactors: builder.reactors,
            limits: builder.limits,
            facts,
            connections_max: builder.connections_max,
            pending_max: builder.pending_max,
            write_deadline: builder.write_deadline,
        };
        let events = Arc::new(ConnectionLog {
            log: Arc::clone(&log),
            clock: Arc::clone(&clock),
        });
        let network = match Network::start(net, account, Arc::clone(&clock), &*entropy, events) {
            Ok(network) => network,
            Err(cause) => {
                if let Some(jetstream) = jetstream {
                    jetstream.stop();
                }
                return Err(ServerError::Listen {
                    address: format!("{}:{}", builder.host, builder.port),
                    cause,
                });
            }
        };
        let address = network.local_addrs()[0];
        say(&format!(
            "Listening for client connections on {}:{}",
            builder.host,
            address.port()
        ));
        say("Server is ready");
        Ok(Self {
            id,
            name,
            address,
            network: Some(network),
            jetstream,
            log,
            clock,
        })
    }

    /// The address that clients connect to, with the real port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The URL that clients on this machine connect to.
    #[must_use]
    pub fn client_url(&self) -> String {
        let ip = self.address.ip();
        match (ip.is_unspecified(), ip.is_ipv6()) {
            (true, _) => format!("nats://127.0.0.1:{}", self.address.port()),
            (false, true) => format!("nats://[{ip}]:{}", self.address.port()),
            (false, false) => format!("nats://{ip}:{}", self.address.port()),
        }
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

    /// Stops: no new clients, JetStream durable and checkpointed, then the connections closed.
    pub fn stop(mut self) {
        self.shut_down();
    }

    /// Writes a line to the log.
    pub(crate) fn note(&self, level: LogLevel, text: &str) {
        self.log.line(self.clock.now(), level, text);
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

    fn shut_down(&mut self) {
        let Some(network) = self.network.take() else {
            return;
        };
        let say = |level, text: &str| self.log.line(self.clock.now(), level, text);
        say(LogLevel::Info, "Initiating Shutdown...");
        if let Err(error) = network.stop_accepting() {
            say(
                LogLevel::Warn,
                &format!("the listener closes late: {error}"),
            );
        }
        if let Some(jetstream) = self.jetstream.take() {
            jetstream.stop();
        }
        if let Err(error) = network.shutdown() {
            say(LogLevel::Error, &format!("a thread ended early: {error}"));
        }
        say(LogLevel::Info, "Server Exiting..");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut_down();
    }
}

fn start_jetstream(
    choice: &JetStreamChoice,
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
        limits: choice.limits,
        storage: choice.storage.clone(),
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
