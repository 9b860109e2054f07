//! TLS of a listener: from files to what handshakes need, behind a pointer that a reload swaps.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use everjet_config::{HandshakeFirst, TlsOptions};
use rustls::ServerConfig;

mod certificates;
mod error;
mod files;
mod first_byte;
mod layer;
mod provider;
mod verifier;

pub(crate) use first_byte::FirstByte;
pub(crate) use layer::TlsLayer;

pub use error::TlsError;

use files::Files;

/// What handshakes of a listener need, read from its files. It does not change; a reload makes another one.
///
/// Sessions are resumed with tickets that hold their state, encrypted with keys that live as long as this: the server keeps nothing
/// for a session, and no ticket outlives a change of the certificates that it was issued under.
#[derive(Clone, Debug)]
pub struct TlsContext {
    /// SHA-256 of the bytes of all files.
    fingerprint: [u8; 32],
    /// For rustls.
    pub(crate) config: Arc<ServerConfig>,
    /// Whether clients must show a certificate.
    pub(crate) verify: bool,
    /// Time for the handshake.
    pub(crate) timeout: Duration,
    /// Who speaks first.
    pub(crate) handshake_first: HandshakeFirst,
}

impl TlsContext {
    /// Reads the files that `options` name.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it, or what is wrong with the options.
    pub fn load(options: &TlsOptions) -> Result<Self, TlsError> {
        let mut files = Files::default();
        let config = Arc::new(server_config(options, &mut files)?);
        Ok(Self {
            fingerprint: files.fingerprint(),
            config,
            verify: options.verify,
            timeout: options.timeout,
            handshake_first: options.handshake_first,
        })
    }
}

fn server_config(options: &TlsOptions, files: &mut Files) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(provider::provider(options));
    let unusable = |error: rustls::Error| TlsError::Options(error.to_string());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(provider::versions(options, &provider))
        .map_err(unusable)?;
    let verifier = verifier::of(options, &provider, files)?;
    let resolver = certificates::resolver(&options.certificates, &provider, files)?;
    let mut config = builder
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(resolver));
    // Our order begins with what costs the processor least, whatever the client would like best.
    config.ignore_client_order = true;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(unusable)?;
    // A client that comes back brings one ticket; a second one would only cost it memory.
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// The TLS of one listener as it is now; `None` while it has none. A copy is the same switch.
#[derive(Clone, Debug, Default)]
pub struct TlsSwitch(Arc<ArcSwapOption<TlsContext>>);

impl TlsSwitch {
    /// A switch that stands on `context`.
    #[must_use]
    pub fn new(context: Option<TlsContext>) -> Self {
        Self(Arc::new(ArcSwapOption::from(context.map(Arc::new))))
    }

    /// Lets handshakes from now on use `context`. Connections that are open stay as they are.
    pub fn swap(&self, context: Option<TlsContext>) {
        self.0.store(context.map(Arc::new));
    }

    /// Whether there is TLS.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load().is_some()
    }

    /// Whether the client must begin with the handshake.
    #[must_use]
    pub fn insists_on_handshake_first(&self) -> bool {
        let context = self.0.load();
        context
            .as_ref()
            .is_some_and(|context| context.handshake_first == HandshakeFirst::Always)
    }

    /// Whether `context` was read from the same bytes. Its options are not compared.
    #[must_use]
    pub fn is_same(&self, context: &TlsContext) -> bool {
        let now = self.0.load();
        now.as_ref()
            .is_some_and(|now| now.fingerprint == context.fingerprint)
    }

    /// What a handshake that begins now uses.
    pub(crate) fn context(&self) -> Option<Arc<TlsContext>> {
        self.0.load_full()
    }
}

#[cfg(test)]
mod tests;
