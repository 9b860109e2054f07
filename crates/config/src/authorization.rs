//! Who may connect.

use std::fmt;
use std::time::Duration;

use crate::reader::Reader;
use crate::unsupported::{self, Block};
use crate::{Entry, Kind};

/// What a client must show.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A name and a password.
    User {
        /// The name.
        name: String,
        /// The password, possibly empty.
        password: String,
    },
    /// A token.
    Token(String),
}

impl fmt::Debug for Credentials {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { name, .. } => write!(f, "User({name:?}, [REDACTED])"),
            Self::Token(_) => f.write_str("Token([REDACTED])"),
        }
    }
}

/// Who may connect, and how long they may take to say who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorizationOptions {
    /// What a client must show. Default nothing.
    pub credentials: Option<Credentials>,
    /// Time from the connection to a valid CONNECT. Default: see [`Options::auth_timeout`](crate::Options::auth_timeout).
    pub timeout: Option<Duration>,
}

impl AuthorizationOptions {
    /// Reads a block `authorization { … }`.
    pub(crate) fn take(&mut self, entry: &Entry, reader: &mut Reader) {
        let Kind::Table(table) = &entry.value.kind else {
            reader.mismatch(entry, "a block");
            return;
        };
        let (mut user, mut password, mut token) = (None, None, None);
        for inner in table.entries() {
            match inner.key.to_ascii_lowercase().as_str() {
                "user" | "username" => user = reader.optional_text(inner),
                "pass" | "password" => password = secret(inner, reader),
                "token" => token = secret(inner, reader),
                "timeout" => {
                    if let Some(timeout) = reader.seconds_or_duration(inner) {
                        self.timeout = (!timeout.is_zero()).then_some(timeout);
                    }
                }
                key => unsupported::refuse(Block::Authorization, key, inner, reader),
            }
        }
        match credentials(user, password, token) {
            Ok(credentials) => self.credentials = credentials,
            Err(text) => reader.refuse(entry, text),
        }
    }
}

/// What a client must show, out of the three options that say it.
pub(crate) fn credentials(
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
) -> Result<Option<Credentials>, &'static str> {
    match (user, password, token) {
        (None, None, None) => Ok(None),
        (None, None, Some(token)) => Ok(Some(Credentials::Token(token))),
        (Some(name), password, None) => Ok(Some(Credentials::User {
            name,
            password: password.unwrap_or_default(),
        })),
        (None, Some(_), None) => Err("a password needs a user"),
        (_, _, Some(_)) => Err("Cannot have a user/pass and token"),
    }
}

/// Why a password or token can not be used; `None` when it can.
pub(crate) fn secret_refusal(text: &str) -> Option<&'static str> {
    // Taken literally, the hash itself would open the door.
    ["$2a$", "$2b$", "$2x$", "$2y$"]
        .iter()
        .any(|prefix| text.starts_with(prefix))
        .then_some(
            "bcrypt hashes are not supported by this version of Everjet yet; write the plain text",
        )
}

fn secret(entry: &Entry, reader: &mut Reader) -> Option<String> {
    let text = reader.optional_text(entry)?;
    if let Some(refusal) = secret_refusal(&text) {
        reader.refuse(entry, refusal);
        return None;
    }
    Some(text)
}
