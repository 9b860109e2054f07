//! What the command line sets.

use crate::authorization::{credentials, secret_refusal};
use crate::flags::Flag;
use crate::listen::{port_of, port_refusal};
use crate::{Advertise, ConfigError, Credentials, JetStreamOptions, Options, TlsOptions};

/// What the command line sets. It wins over the configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The configuration file.
    pub config: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    server_name: Option<String>,
    pid_file: Option<String>,
    ports_file_dir: Option<String>,
    log_file: Option<String>,
    log_time: Option<bool>,
    log_time_utc: Option<bool>,
    debug: Option<bool>,
    trace: Option<bool>,
    traced_payload_max: Option<u32>,
    client_advertise: Option<Advertise>,
    jetstream: Option<bool>,
    store_dir: Option<String>,
    user: Option<String>,
    password: Option<Secret>,
    token: Option<Secret>,
    tls: TlsFlags,
}

/// What the command line says about TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TlsFlags {
    on: Option<bool>,
    cert_file: Option<String>,
    key_file: Option<String>,
    ca_file: Option<String>,
    verify: Option<bool>,
}

/// A text that logs do not show.
#[derive(Clone, PartialEq, Eq)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl Overrides {
    /// Works the command line into `options`.
    ///
    /// # Errors
    /// Credentials that exclude each other, or TLS without certificate or key.
    pub fn apply(&self, options: &mut Options) -> Result<(), ConfigError> {
        if let Some(host) = &self.host {
            options.listen.set_host(host);
        }
        set(&mut options.listen.port, self.port);
        set_text(&mut options.server_name, self.server_name.as_ref());
        set_text(&mut options.files.pid_file, self.pid_file.as_ref());
        set_text(
            &mut options.files.ports_file_dir,
            self.ports_file_dir.as_ref(),
        );
        set_text(&mut options.logging.file, self.log_file.as_ref());
        set(&mut options.logging.time, self.log_time);
        set(&mut options.logging.utc, self.log_time_utc);
        set(&mut options.logging.debug, self.debug);
        set(&mut options.logging.trace, self.trace);
        if let Some(max) = self.traced_payload_max {
            options.logging.traced_payload_max = (max > 0).then_some(max);
        }
        if let Some(advertise) = &self.client_advertise {
            options.listen.client_advertise = Some(advertise.clone());
        }
        self.apply_jetstream(options);
        self.tls.apply(options).map_err(ConfigError::anywhere)?;
        self.apply_credentials(options)
    }

    fn apply_jetstream(&self, options: &mut Options) {
        match self.jetstream {
            Some(true) if options.jetstream.is_none() => {
                options.jetstream = Some(JetStreamOptions {
                    store_dir: options.store_dir.take(),
                    ..JetStreamOptions::default()
                });
            }
            Some(false) => options.jetstream = None,
            _ => {}
        }
        if let Some(jetstream) = &mut options.jetstream {
            set_text(&mut jetstream.store_dir, self.store_dir.as_ref());
        }
    }

    fn apply_credentials(&self, options: &mut Options) -> Result<(), ConfigError> {
        let secret = |secret: &Option<Secret>| secret.as_ref().map(|Secret(text)| text.clone());
        let (mut user, mut password) = (self.user.clone(), secret(&self.password));
        let token = secret(&self.token);
        if user.is_none() && password.is_none() && token.is_none() {
            return Ok(());
        }
        for text in [&password, &token].into_iter().flatten() {
            if let Some(refusal) = secret_refusal(text) {
                return Err(ConfigError::anywhere(refusal));
            }
        }
        // One half of user and password may be in the file.
        if let Some(Credentials::User {
            name,
            password: of_file,
        }) = &options.authorization.credentials
            && token.is_none()
        {
            user = user.or_else(|| Some(name.clone()));
            password = password.or_else(|| Some(of_file.clone()));
        }
        options.authorization.credentials =
            credentials(user, password, token).map_err(ConfigError::anywhere)?;
        Ok(())
    }

    /// Takes a switch, or an option with its value.
    pub(crate) fn take(&mut self, flag: Flag, given: Given) -> Result<(), String> {
        match (flag, given) {
            (Flag::LogTime, Given::Switch(on)) => self.log_time = Some(on),
            (Flag::LogTimeUtc, Given::Switch(on)) => self.log_time_utc = Some(on),
            (Flag::Debug, Given::Switch(on)) => self.debug = Some(on),
            (Flag::Trace | Flag::TraceVerbose, Given::Switch(on)) => self.trace = Some(on),
            (Flag::DebugTrace | Flag::DebugTraceVerbose, Given::Switch(on)) => {
                self.debug = Some(on);
                self.trace = Some(on);
            }
            (Flag::TracedPayloadMax, Given::Number(number)) => {
                let max = u32::try_from(number.max(0));
                self.traced_payload_max =
                    Some(max.map_err(|_| format!("max_traced_msg_len {number} is too big"))?);
            }
            (Flag::ClientAdvertise, Given::Text(text)) if text.is_empty() => {}
            (Flag::ClientAdvertise, Given::Text(text)) => {
                self.client_advertise = Some(Advertise::parse(&text)?);
            }
            (Flag::Tls, Given::Switch(on)) => self.tls.on = Some(on),
            (Flag::TlsVerify, Given::Switch(on)) => self.tls.verify = Some(on),
            (Flag::TlsCert, Given::Text(text)) => self.tls.cert_file = not_empty(text),
            (Flag::TlsKey, Given::Text(text)) => self.tls.key_file = not_empty(text),
            (Flag::TlsCaCert, Given::Text(text)) => self.tls.ca_file = not_empty(text),
            (Flag::JetStream, Given::Switch(on)) => self.jetstream = Some(on),
            (Flag::Port, Given::Number(number)) => {
                self.port = Some(port_of(number).ok_or_else(|| port_refusal(number))?);
            }
            (Flag::Host, Given::Text(text)) => self.host = Some(text),
            (Flag::ServerName, Given::Text(text)) => self.server_name = Some(text),
            (Flag::PidFile, Given::Text(text)) => self.pid_file = Some(text),
            (Flag::Config, Given::Text(text)) => self.config = Some(text),
            (Flag::PortsFileDir, Given::Text(text)) => self.ports_file_dir = Some(text),
            (Flag::LogFile, Given::Text(text)) => self.log_file = Some(text),
            (Flag::StoreDir, Given::Text(text)) => self.store_dir = Some(text),
            (Flag::User, Given::Text(text)) => self.user = not_empty(text),
            (Flag::Password, Given::Text(text)) => self.password = not_empty(text).map(Secret),
            (Flag::Token, Given::Text(text)) => self.token = not_empty(text).map(Secret),
            (flag, given) => unreachable!("{flag:?} does not come with {given:?}"),
        }
        Ok(())
    }
}

impl TlsFlags {
    /// Flags replace what the block of the file says about the same thing; a certificate comes with its key.
    fn apply(&self, options: &mut Options) -> Result<(), &'static str> {
        if *self == Self::default() {
            return Ok(());
        }
        if self.on == Some(false) {
            options.tls = None;
            return Ok(());
        }
        let tls = match (&self.cert_file, &self.key_file, &mut options.tls) {
            (None, None, Some(tls)) => tls,
            (None, _, _) => return Err("TLS Server certificate must be present and valid"),
            (Some(_), None, _) => return Err("TLS Server private key must be present and valid"),
            (Some(cert_file), Some(key_file), tls) => {
                let given = TlsOptions::new(cert_file, key_file);
                let tls = tls.get_or_insert_with(|| given.clone());
                tls.certificates = given.certificates;
                tls
            }
        };
        set_text(&mut tls.ca_file, self.ca_file.as_ref());
        set(&mut tls.verify, self.verify);
        tls.validate()
    }
}

fn set<T: Copy>(option: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *option = value;
    }
}

/// An empty text leaves the option as it is, as in nats-server.
fn set_text(option: &mut Option<String>, value: Option<&String>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        *option = Some(value.clone());
    }
}

fn not_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// What stood on the command line with a flag.
#[derive(Debug)]
pub(crate) enum Given {
    Switch(bool),
    Number(i64),
    Text(String),
}
