//! Why TLS cannot be set up.

use std::fmt;
use std::io;

/// Why TLS cannot be set up as the configuration wants it. Texts begin as those of nats-server.
#[derive(Debug)]
pub enum TlsError {
    /// A certificate or its key cannot be used.
    Certificate {
        /// The file.
        path: String,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// The file of those who sign certificates of clients cannot be used.
    Authorities {
        /// The file.
        path: String,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// The options exclude each other.
    Options(String),
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum Flaw {
    /// It cannot be read.
    Unreadable(io::Error),
    /// There is no certificate in it.
    NoCertificate,
    /// There is no private key in it.
    NoKey,
    /// It is not PEM, or what it holds is not what it says.
    Invalid(String),
    /// The key is not that of the certificate in this file.
    OtherKey {
        /// The file with the certificate.
        cert_file: String,
    },
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { path, flaw } => {
                f.write_str("error parsing X509 certificate/key pair: ")?;
                flaw.show(path, f)
            }
            Self::Authorities { path, flaw } => match flaw {
                Flaw::Unreadable(_) => flaw.show(path, f),
                _ => {
                    f.write_str("failed to parse root ca certificate: ")?;
                    flaw.show(path, f)
                }
            },
            Self::Options(text) => write!(f, "tls: {text}"),
        }
    }
}

impl Flaw {
    fn show(&self, path: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => match error.kind() {
                io::ErrorKind::NotFound => write!(f, "open {path}: no such file or directory"),
                io::ErrorKind::PermissionDenied => write!(f, "open {path}: permission denied"),
                _ => write!(f, "open {path}: {error}"),
            },
            Self::NoCertificate => write!(f, "{path}: there is no certificate in PEM form in it"),
            Self::NoKey => write!(
                f,
                "{path}: there is no private key in PEM form in it (PKCS #8, PKCS #1 or SEC1, not encrypted)"
            ),
            Self::Invalid(why) => write!(f, "{path}: {why}"),
            Self::OtherKey { cert_file } => write!(
                f,
                "{path}: private key does not match public key of {cert_file}"
            ),
        }
    }
}

impl std::error::Error for TlsError {}
