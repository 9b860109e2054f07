//! The block `tls { … }`: certificates, who must show one, and how the handshake goes.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::reader::Reader;
use crate::{Entry, Kind};

mod block;
mod names;

pub use names::{CipherSuite, Curve};

/// Time for the handshake when the block does not say.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);

/// TLS of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// Certificates of the server, never none; the client's SNI chooses, the first is for all others.
    pub certificates: Vec<CertificateFiles>,
    /// File with the certificates of those who sign certificates of clients. Default none.
    pub ca_file: Option<String>,
    /// Whether clients must show a certificate that `ca_file` signs. Default no.
    pub verify: bool,
    /// Time for the handshake. Default 2 s.
    pub timeout: Duration,
    /// Who begins. Default the server, with INFO.
    pub handshake_first: HandshakeFirst,
    /// Cipher suites that may be used, none for all that are built. Default all.
    pub cipher_suites: Vec<CipherSuite>,
    /// Key exchanges by preference. Default [`Curve::DEFAULT`].
    pub curve_preferences: Vec<Curve>,
    /// The oldest version that is spoken. Default 1.2.
    pub min_version: TlsVersion,
    /// Most handshakes a second. Default unlimited, written as 0.
    pub connection_rate_limit: Option<NonZeroU32>,
    /// SHA-256 of the public keys (`SubjectPublicKeyInfo`) that certificates of clients may have; empty for all.
    pub pinned_certs: BTreeSet<[u8; 32]>,
}

/// The files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM file with the certificate and those between it and a root.
    pub cert_file: String,
    /// PEM file with its private key.
    pub key_file: String,
}

/// Who speaks first on a port with TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandshakeFirst {
    /// The server, with INFO in plain text; then the handshake.
    #[default]
    Never,
    /// The client, with the handshake; INFO comes after it.
    Always,
    /// The client if it begins within this time, else the server.
    Within(Duration),
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2
    #[default]
    V1_2,
    /// TLS 1.3
    V1_3,
}

impl TlsOptions {
    /// TLS with one certificate, everything else by default.
    #[must_use]
    pub fn new(cert_file: &str, key_file: &str) -> Self {
        Self::with(vec![CertificateFiles {
            cert_file: cert_file.to_owned(),
            key_file: key_file.to_owned(),
        }])
    }

    fn with(certificates: Vec<CertificateFiles>) -> Self {
        Self {
            certificates,
            ca_file: None,
            verify: false,
            timeout: TIMEOUT_DEFAULT,
            handshake_first: HandshakeFirst::Never,
            cipher_suites: Vec::new(),
            curve_preferences: Curve::DEFAULT.to_vec(),
            min_version: TlsVersion::V1_2,
            connection_rate_limit: None,
            pinned_certs: BTreeSet::new(),
        }
    }

    /// Checks what depends on each other.
    pub(crate) fn validate(&self) -> Result<(), &'static str> {
        if self.verify && self.ca_file.is_none() {
            return Err(
                "'verify' needs 'ca_file': certificates of clients are not checked against those of the system",
            );
        }
        if !self.pinned_certs.is_empty() && !self.verify {
            return Err("'pinned_certs' needs 'verify': without it no client shows a certificate");
        }
        Ok(())
    }

    /// Reads the block of a listener. `None` when something is wrong with it, which `reader` then knows.
    pub(crate) fn read(entry: &Entry, reader: &mut Reader) -> Option<Self> {
        let Kind::Table(table) = &entry.value.kind else {
            reader.mismatch(entry, "a block");
            return None;
        };
        let errors = reader.errors.len();
        let mut block = block::TlsBlock::default();
        for inner in table.entries() {
            block.take(inner, reader);
        }
        if reader.errors.len() > errors {
            return None;
        }
        match block.finish() {
            Ok(options) => Some(options),
            Err(text) => {
                reader.refuse(entry, text);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
