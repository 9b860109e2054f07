//! Connecting: which settings are in force, and the connection itself.
//!
//! Each setting comes from the first of: flag, environment variable, context, default.

mod connection;
mod login;

pub(crate) use connection::Connection;
pub(crate) use login::without_secrets;

use std::path::PathBuf;
use std::time::Duration;

use async_nats::{ConnectErrorKind, ConnectOptions, ServerAddr};
use clap::Args;
use everjet_values::token;

use self::connection::{Violations, on_event};
use self::login::{Login, login_of};
use crate::api::Api;
use crate::context::{Context, Contexts};
use crate::failure::Failure;
use crate::template::entropy;

const DEFAULT_SERVER: &str = "nats://127.0.0.1:4222";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// The flags of the connection; they stand before or after the command.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionFlags {
    /// Servers, separated by commas: host, host:port, nats:// or tls:// URLs
    #[arg(
        short,
        long,
        env = "NATS_URL",
        global = true,
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) server: Option<String>,
    /// User name; without a password it is sent as a token
    #[arg(long, env = "NATS_USER", global = true, hide_env_values = true)]
    pub(crate) user: Option<String>,
    /// Password
    #[arg(long, env = "NATS_PASSWORD", global = true, hide_env_values = true)]
    pub(crate) password: Option<String>,
    /// Token
    #[arg(long, env = "NATS_TOKEN", global = true, hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// File with the client's TLS certificate
    #[arg(long, env = "NATS_CERT", global = true, value_name = "FILE")]
    pub(crate) tlscert: Option<String>,
    /// File with the key of the client's TLS certificate
    #[arg(long, env = "NATS_KEY", global = true, value_name = "FILE")]
    pub(crate) tlskey: Option<String>,
    /// File with the certificate authority that signed the server's certificate
    #[arg(long, env = "NATS_CA", global = true, value_name = "FILE")]
    pub(crate) tlsca: Option<String>,
    /// Do the TLS handshake before the server's greeting
    #[arg(long, alias = "tls-first", global = true)]
    pub(crate) tlsfirst: bool,
    /// How long to wait for answers [default: 5s]
    #[arg(long, env = "NATS_TIMEOUT", global = true, value_name = "DURATION")]
    timeout: Option<String>,
    /// Subject prefix of the JetStream API
    #[arg(long, global = true, value_name = "SUBJECT")]
    pub(crate) js_api_prefix: Option<String>,
    /// JetStream domain
    #[arg(
        long,
        alias = "domain",
        global = true,
        value_name = "DOMAIN",
        conflicts_with = "js_api_prefix"
    )]
    pub(crate) js_domain: Option<String>,
    /// Prefix of reply subjects
    #[arg(long, global = true, value_name = "SUBJECT")]
    pub(crate) inbox_prefix: Option<String>,
    /// Name of this connection, as the server shows it
    #[arg(long, global = true, value_name = "NAME")]
    connection_name: Option<String>,
    /// Use this context for one run
    #[arg(long, env = "NATS_CONTEXT", global = true, value_name = "NAME")]
    context: Option<String>,
    /// Ignore the selected context
    #[arg(long, global = true, conflicts_with = "context")]
    no_context: bool,
    /// Show every JetStream API request and answer on standard error
    #[arg(long, global = true)]
    trace: bool,
}

/// The settings in force.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    servers: Vec<String>,
    login: Login,
    certificate: Option<(PathBuf, PathBuf)>,
    authority: Option<PathBuf>,
    tls_first: bool,
    timeout: Duration,
    api_prefix: String,
    inbox_prefix: Option<String>,
    name: String,
    trace: bool,
}

impl Settings {
    /// Merges flags (which already hold the environment's values) with the context in force.
    ///
    /// # Errors
    /// [`Failure`] when the context cannot be read, a value is not valid, or a setting is not built.
    pub(crate) fn resolve(flags: &ConnectionFlags) -> Result<Self, Failure> {
        for (variable, what) in [
            ("NATS_CREDS", "credentials files"),
            ("NATS_NKEY", "nkeys"),
            ("NATS_JWT", "user JWTs"),
            ("NATS_SEED", "nkey seeds"),
            ("NATS_SOCKS_PROXY", "proxies"),
        ] {
            if std::env::var_os(variable).is_some_and(|value| !value.is_empty()) {
                return Err(Failure::usage(format!(
                    "{variable} is set, but {what} are not supported by this version; unset it"
                )));
            }
        }
        Self::merge(flags, &context_in_force(flags)?)
    }

    fn merge(flags: &ConnectionFlags, context: &Context) -> Result<Self, Failure> {
        if let [first, ..] = context.not_built().as_slice() {
            return Err(Failure::usage(format!(
                "context {:?} uses {first}, which is not supported by this version; --no-context leaves the context out",
                context.name
            )));
        }
        let either = |flag: &Option<String>, key: &str| {
            let flag = flag.clone().filter(|text| !text.is_empty());
            flag.or_else(|| context.text(key))
        };
        let server = either(&flags.server, "url").unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        let certificate = match (either(&flags.tlscert, "cert"), either(&flags.tlskey, "key")) {
            (Some(certificate), Some(key)) => Some((existing(&certificate)?, existing(&key)?)),
            (None, None) => None,
            _ => {
                return Err(Failure::usage(
                    "--tlscert and --tlskey belong together; one is missing",
                ));
            }
        };
        let authority = either(&flags.tlsca, "ca")
            .map(|path| existing(&path))
            .transpose()?;
        let timeout = match flags.timeout.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => {
                let timeout = crate::forms::duration(text)
                    .map_err(|error| Failure::usage(format!("--timeout: {error}")))?;
                if timeout.is_zero() {
                    return Err(Failure::usage("--timeout must be longer than 0"));
                }
                timeout
            }
            None => DEFAULT_TIMEOUT,
        };
        let servers = crate::forms::list(&[server]);
        let login = match login_of(&servers)? {
            Some(login) => login,
            None => {
                warn_of_borrowed_secrets(flags, context);
                Login {
                    user: either(&flags.user, "user"),
                    password: either(&flags.password, "password"),
                    token: either(&flags.token, "token"),
                }
            }
        };
        Ok(Self {
            servers,
            login,
            certificate,
            authority,
            tls_first: flags.tlsfirst || context.is_on("tls_first"),
            timeout,
            api_prefix: api_prefix(flags, context),
            inbox_prefix: either(&flags.inbox_prefix, "inbox_prefix"),
            name: flags
                .connection_name
                .clone()
                .unwrap_or_else(|| format!("NATS CLI Version {}", env!("CARGO_PKG_VERSION"))),
            trace: flags.trace,
        })
    }

    /// The servers that will be tried, as given.
    pub(crate) fn servers(&self) -> &[String] {
        &self.servers
    }

    /// How long to wait for an answer.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Connects to the first of the servers that answers.
    ///
    /// # Errors
    /// [`Failure::Connect`] names the servers and the reason.
    pub(crate) async fn connect(&self) -> Result<Connection, Failure> {
        self.connect_to(&self.servers).await
    }

    /// Connects to the first of `servers` that answers, with these settings otherwise.
    ///
    /// # Errors
    /// [`Failure::Connect`] names the servers and the reason.
    pub(crate) async fn connect_to(&self, servers: &[String]) -> Result<Connection, Failure> {
        let shown = servers
            .iter()
            .map(|server| without_secrets(server))
            .collect::<Vec<_>>()
            .join(", ");
        let failed = |reason: String| Failure::Connect {
            servers: shown.clone(),
            reason,
        };
        let addresses = servers
            .iter()
            .map(|server| parse_server(server))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        let violations = Violations::default();
        let inbox_root = format!(
            "{}.{}",
            self.inbox_prefix.as_deref().unwrap_or("_INBOX"),
            token(&entropy(), 22)
        );
        let client = self
            .options(violations.clone(), inbox_root.clone())
            .connect(addresses)
            .await
            .map_err(|error| failed(self.reason(&error)))?;
        Ok(Connection {
            api: Api::new(
                client.clone(),
                self.api_prefix.clone(),
                self.timeout,
                self.trace,
            ),
            client,
            timeout: self.timeout,
            servers: shown,
            inbox_root,
            violations,
        })
    }

    fn options(&self, violations: Violations, inbox_root: String) -> ConnectOptions {
        let mut options = ConnectOptions::new()
            .name(&self.name)
            .connection_timeout(self.timeout)
            .request_timeout(Some(self.timeout))
            .retain_servers_order()
            .custom_inbox_prefix(&inbox_root)
            .event_callback(move |event| {
                let (violations, inbox_root) = (violations.clone(), inbox_root.clone());
                async move { on_event(&event, &violations, &inbox_root) }
            });
        let login = &self.login;
        options = match (&login.user, &login.password, &login.token) {
            (Some(user), Some(password), _) => {
                options.user_and_password(user.clone(), password.clone())
            }
            (_, _, Some(token)) | (Some(token), None, None) => options.token(token.clone()),
            _ => options,
        };
        if let Some((certificate, key)) = &self.certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        if let Some(authority) = &self.authority {
            options = options
                .add_root_certificates(authority.clone())
                .require_tls(true);
        }
        if self.tls_first {
            options = options.tls_first();
        }
        options
    }

    fn reason(&self, error: &async_nats::ConnectError) -> String {
        use std::error::Error;
        let mut cause: Option<&(dyn Error + 'static)> = error.source();
        while let Some(deeper) = cause.and_then(Error::source) {
            cause = Some(deeper);
        }
        let cause = cause.map(ToString::to_string);
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation => match (&self.login.user, &self.login.token)
            {
                (Some(user), _) => format!("authorization violation for user {user:?}"),
                (None, Some(_)) => "authorization violation; the token is not accepted".to_owned(),
                (None, None) => {
                    "authorization violation; the server wants --user and --password or --token"
                        .to_owned()
                }
            },
            ConnectErrorKind::TimedOut => format!(
                "no answer within {}",
                everjet_values::format_duration(self.timeout)
            ),
            ConnectErrorKind::Io => cause.unwrap_or_else(|| error.to_string()),
            kind => match cause {
                Some(cause) => format!("{kind}: {cause}"),
                None => kind.to_string(),
            },
        }
    }
}

fn parse_server(server: &str) -> Result<ServerAddr, String> {
    if let Some((scheme @ ("ws" | "wss"), _)) = server.split_once("://") {
        return Err(format!(
            "{scheme}:// is not supported by this version; use nats:// or tls://"
        ));
    }
    server
        .parse()
        .map_err(|error: std::io::Error| error.to_string())
}

fn context_in_force(flags: &ConnectionFlags) -> Result<Context, Failure> {
    if flags.no_context {
        return Ok(Context::default());
    }
    let asked = flags.context.clone().filter(|name| !name.is_empty());
    let Some(contexts) = Contexts::of_user() else {
        return match asked {
            Some(name) => Err(Failure::usage(format!(
                "context {name:?} cannot be found: neither XDG_CONFIG_HOME nor HOME is set"
            ))),
            None => Ok(Context::default()),
        };
    };
    match asked.map_or_else(|| contexts.selected(), |name| Ok(Some(name)))? {
        Some(name) => contexts.load(&name),
        None => Ok(Context::default()),
    }
}

fn api_prefix(flags: &ConnectionFlags, context: &Context) -> String {
    let of_domain = |domain: String| format!("$JS.{domain}.API");
    let from_flags = flags
        .js_api_prefix
        .clone()
        .or_else(|| flags.js_domain.clone().map(of_domain));
    from_flags
        .or_else(|| context.text("jetstream_api_prefix"))
        .or_else(|| context.text("jetstream_domain").map(of_domain))
        .unwrap_or_else(|| "$JS.API".to_owned())
}

/// A context's secrets go along when another server is named, as in the official tool; say so.
fn warn_of_borrowed_secrets(flags: &ConnectionFlags, context: &Context) {
    let Some(server) = flags.server.as_ref().filter(|server| !server.is_empty()) else {
        return;
    };
    let elsewhere = context.text("url").is_none_or(|url| &url != server);
    let own = [&flags.user, &flags.password, &flags.token];
    let borrowed = ["user", "password", "token"]
        .iter()
        .zip(own)
        .any(|(key, own)| own.is_none() && context.text(key).is_some());
    if elsewhere && borrowed {
        eprintln!(
            "nats: warning: {} gets the credentials of context {:?}; --no-context stops that",
            without_secrets(server),
            context.name
        );
    }
}

fn existing(path: &str) -> Result<PathBuf, Failure> {
    let path = PathBuf::from(path.strip_prefix("file://").unwrap_or(path));
    match std::fs::metadata(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(Failure::file(
            format!("cannot read {}", path.display()),
            error,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(server: Option<&str>) -> ConnectionFlags {
        ConnectionFlags {
            server: server.map(str::to_owned),
            ..ConnectionFlags::default()
        }
    }

    #[test]
    fn flags_win_over_the_context_field_by_field() {
        let mut context = Context::new("prod");
        context.set("url", "nats://a:4222");
        context.set("user", "u");
        context.set("jetstream_domain", "hub");

        let settings = Settings::merge(&flags(None), &context).expect("valid");
        assert_eq!(settings.servers, ["nats://a:4222"]);
        assert_eq!(settings.login.user.as_deref(), Some("u"));
        assert_eq!(settings.api_prefix, "$JS.hub.API");

        let settings = Settings::merge(&flags(Some("b:1,c:2")), &context).expect("valid");
        assert_eq!(settings.servers, ["b:1", "c:2"]);
        assert_eq!(settings.login.user.as_deref(), Some("u"));
    }

    #[test]
    fn defaults_hold_without_flags_and_context() {
        let settings = Settings::merge(&flags(Some("")), &Context::default()).expect("valid");
        assert_eq!(settings.servers, [DEFAULT_SERVER]);
        assert_eq!(settings.timeout, DEFAULT_TIMEOUT);
        assert_eq!(settings.api_prefix, "$JS.API");
    }

    #[test]
    fn a_context_with_settings_that_are_not_built_is_refused() {
        let mut context = Context::new("cloud");
        context.set("creds", "user.creds");
        let error = Settings::merge(&flags(None), &context).expect_err("refused");
        assert!(
            error.to_string().contains("\"cloud\" uses creds"),
            "{error}"
        );
    }

    #[test]
    fn websocket_addresses_are_refused() {
        assert!(parse_server("ws://h:80").is_err());
        assert!(parse_server("wss://h").is_err());
        assert!(parse_server("http://h").is_err());
        assert!(parse_server("h:4222").is_ok());
    }
}
