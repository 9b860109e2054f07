//! Why a server does not start.

use std::fmt;
use std::io;

/// Why a server does not start. Each says what to do.
#[derive(Debug)]
pub enum ServerError {
    /// The host and port cannot be listened on.
    Listen {
        /// What was asked for.
        address: String,
        /// What the operating system says.
        cause: io::Error,
    },
    /// The operating system gives no poller or thread.
    System(io::Error),
    /// An option cannot be used as it is.
    Option(String),
    /// TLS cannot be set up: a file, or what does not fit together.
    Tls(everjet_net::TlsError),
    /// JetStream cannot start; its store was not changed.
    JetStream(everjet_jetstream::StartError),
    /// A file of the server (log, pid, ports) cannot be written.
    File {
        /// Which.
        path: std::path::PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, cause } => {
                write!(
                    f,
                    "cannot listen for clients on {address}: {cause}; choose another host or port"
                )
            }
            Self::System(cause) => write!(f, "the network part does not start: {cause}"),
            Self::Option(text) => f.write_str(text),
            Self::Tls(error) => write!(f, "{error}"),
            Self::JetStream(error) => write!(f, "JetStream does not start: {error}"),
            Self::File { path, cause } => write!(f, "cannot write {}: {cause}", path.display()),
        }
    }
}

impl From<everjet_net::StartError> for ServerError {
    fn from(error: everjet_net::StartError) -> Self {
        match error {
            everjet_net::StartError::Listen { address, cause } => Self::Listen {
                address: address.to_string(),
                cause,
            },
            everjet_net::StartError::System(cause) => Self::System(cause),
        }
    }
}

impl std::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { cause, .. } | Self::System(cause) | Self::File { cause, .. } => {
                Some(cause)
            }
            Self::Tls(error) => Some(error),
            Self::JetStream(error) => Some(error),
            Self::Option(_) => None,
        }
    }
}
