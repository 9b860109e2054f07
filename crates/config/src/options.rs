//! All options together.

use std::time::Duration;

use everjet_subject::SubjectMapping;

use crate::authorization::AuthorizationOptions;
use crate::jetstream::{JetStreamBlock, JetStreamOptions};
use crate::mappings;
use crate::reader::Reader;
use crate::unsupported::{self, Block};
use crate::{
    ConfigError, ConfigErrors, Entry, FileOptions, LameDuckOptions, LimitOptions, ListenOptions,
    LoggingOptions, Sources, Table, TlsOptions, WebSocketOptions, parse,
};

/// Payloads above this deserve a warning.
const PAYLOAD_WARN: u32 = 8 << 20;

/// Time for authentication when neither `authorization` nor `tls` say otherwise.
const AUTH_TIMEOUT: Duration = Duration::from_secs(2);

/// What remains for authentication when a TLS handshake took as long as it may.
const AUTH_AFTER_TLS: Duration = Duration::from_secs(1);

/// Everything that can be configured. `Default` is a server without a configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Where clients connect to.
    pub listen: ListenOptions,
    /// Name of the server, without blanks. Default: its id.
    pub server_name: Option<String>,
    /// Limits of client connections.
    pub limits: LimitOptions,
    /// How the server says good-bye to its clients.
    pub lame_duck: LameDuckOptions,
    /// What is logged, and where.
    pub logging: LoggingOptions,
    /// Files that tell others about the process.
    pub files: FileOptions,
    /// Who may connect.
    pub authorization: AuthorizationOptions,
    /// Where messages of clients go instead of their subject, in the order in which they apply. Default nowhere.
    pub mappings: Vec<SubjectMapping>,
    /// TLS on the port for clients; `None` when it is off, which is the default.
    pub tls: Option<TlsOptions>,
    /// Whether clients may also do without TLS. Default no; without `tls` it changes nothing.
    pub allow_non_tls: bool,
    /// The port for WebSocket clients; `None` when there is none, which is the default.
    pub websocket: Option<WebSocketOptions>,
    /// JetStream; `None` when it is off, which is the default.
    pub jetstream: Option<JetStreamOptions>,
    /// Folder of the store when it is set while JetStream is off; `-js` turns it on.
    pub(crate) store_dir: Option<String>,
}

/// A configuration that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The options.
    pub options: Options,
    /// What should be written otherwise; to be logged.
    pub warnings: Vec<ConfigError>,
    /// Whether the file sets nothing at all. The server starts with it; a test of the file (`-t`) calls it a mistake.
    pub is_empty: bool,
}

/// Reads the configuration file `path`.
///
/// # Errors
/// Why the file can not be read or parsed, or everything that is wrong with its options. Run [`Options::validate`]
/// after the command line is worked in.
pub fn load(path: &str, sources: &mut dyn Sources) -> Result<Loaded, ConfigErrors> {
    let text = sources.read(path).map_err(ConfigError::anywhere)?;
    Options::from_table(&parse(&text, path, sources)?)
}

impl Options {
    /// Reads options out of a parsed configuration.
    ///
    /// # Errors
    /// Everything that is wrong with them: unknown keys, keys that are not supported, values that do not fit.
    pub fn from_table(table: &Table) -> Result<Loaded, ConfigErrors> {
        let mut options = Self::default();
        let mut jetstream = JetStreamBlock::default();
        let mut reader = Reader::default();
        for entry in table.entries() {
            options.take(entry, &mut jetstream, &mut reader);
        }
        if jetstream.is_enabled {
            options.jetstream = Some(jetstream.options);
        } else {
            options.store_dir = jetstream.options.store_dir;
        }
        if reader.errors.is_empty() {
            Ok(Loaded {
                options,
                warnings: reader.warnings,
                is_empty: table.is_empty(),
            })
        } else {
            Err(ConfigErrors(reader.errors))
        }
    }

    fn take(&mut self, entry: &Entry, jetstream: &mut JetStreamBlock, reader: &mut Reader) {
        let key = entry.key.to_ascii_lowercase();
        if self.listen.take(&key, entry, reader)
            || self.limits.take(&key, entry, reader)
            || self.lame_duck.take(&key, entry, reader)
            || self.logging.take(&key, entry, reader)
            || self.files.take(&key, entry, reader)
        {
            return;
        }
        match key.as_str() {
            "server_name" => self.server_name = server_name(entry, reader),
            "authorization" => self.authorization.take(entry, reader),
            "tls" => self.tls = TlsOptions::read(entry, reader),
            "allow_non_tls" => {
                if let Some(allowed) = reader.boolean(entry) {
                    self.allow_non_tls = allowed;
                }
            }
            "jetstream" => jetstream.take(entry, reader),
            "mappings" | "maps" => self.take_mappings(entry, reader),
            "websocket" | "ws" => self.websocket = WebSocketOptions::read(entry, reader),
            "store_dir" | "storedir" => jetstream.take_store_dir(entry, reader),
            key => unsupported::refuse(Block::Top, key, entry, reader),
        }
    }

    /// Reads the block, which has two names: written twice, it is not said which mappings come first.
    fn take_mappings(&mut self, entry: &Entry, reader: &mut Reader) {
        if self.mappings.is_empty() {
            self.mappings = mappings::read(entry, reader);
        } else {
            reader.refuse(entry, "mappings and maps are one block: write it once");
        }
    }

    /// Checks what can only be seen when file and command line are put together.
    ///
    /// # Errors
    /// What does not fit together.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let LimitOptions {
            max_payload,
            max_pending,
            ..
        } = self.limits;
        if max_payload > max_pending {
            return Err(ConfigError::anywhere(format!(
                "max_payload ({max_payload}) cannot be higher than max_pending ({max_pending})"
            )));
        }
        if !self.lame_duck.is_valid() {
            return Err(ConfigError::anywhere(format!(
                "lame duck grace period ({:?}) should be strictly lower than lame duck duration ({:?})",
                self.lame_duck.grace_period, self.lame_duck.duration
            )));
        }
        if self.server_name.as_deref().is_some_and(has_blanks) {
            return Err(ConfigError::anywhere(NAME_WITH_BLANKS));
        }
        Ok(())
    }

    /// Time from the connection to a valid CONNECT.
    #[must_use]
    pub fn auth_timeout(&self) -> Duration {
        self.authorization.timeout.unwrap_or_else(|| {
            let tls = self.tls.as_ref();
            tls.map_or(AUTH_TIMEOUT, |tls| tls.timeout + AUTH_AFTER_TLS)
        })
    }

    /// What is allowed and yet not wise; to be logged at the start.
    #[must_use]
    pub fn advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        if self.limits.max_payload > PAYLOAD_WARN {
            advice.push(format!(
                "max_payload ({}) is above 8 MiB: such messages hold up everything else on their connection",
                self.limits.max_payload
            ));
        }
        if let Some(tls) = &self.tls {
            if self
                .authorization
                .timeout
                .is_some_and(|timeout| timeout <= tls.timeout)
            {
                advice.push(
                    "the timeout of authorization is not longer than that of tls: slow handshakes end as Authentication Timeout"
                        .to_owned(),
                );
            }
            if tls.ca_file.is_some() && !tls.verify {
                advice.push(
                    "tls has a ca_file and not \"verify: true\": clients need no certificate"
                        .to_owned(),
                );
            }
        }
        advice
    }
}

const NAME_WITH_BLANKS: &str = "server name cannot contain spaces";

fn has_blanks(name: &str) -> bool {
    name.contains(char::is_whitespace)
}

fn server_name(entry: &Entry, reader: &mut Reader) -> Option<String> {
    let name = reader.optional_text(entry)?;
    if has_blanks(&name) {
        reader.refuse(entry, NAME_WITH_BLANKS);
        return None;
    }
    Some(name)
}

#[cfg(test)]
mod tests;
