//! Logins, and how they stand in the URLs of servers.

use crate::failure::Failure;

/// Who connects: a user with a password, a token, or nobody in particular.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) token: Option<String>,
}

/// Shows a server address without the user and password it may contain.
pub(crate) fn without_secrets(server: &str) -> String {
    let (scheme, rest) = match server.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => ("nats", server),
    };
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{host}")
}

/// The login in the servers' URLs, `user:password@` or `token@`; the client library takes one for all servers.
pub(super) fn login_of(servers: &[String]) -> Result<Option<Login>, Failure> {
    let mut found: Option<Login> = None;
    for server in servers {
        let rest = server
            .split_once("://")
            .map_or(server.as_str(), |(_, rest)| rest);
        let Some((login, _)) = rest.rsplit_once('@') else {
            continue;
        };
        let login = match login.split_once(':') {
            Some((user, password)) => Login {
                user: Some(unescape(user)),
                password: Some(unescape(password)),
                token: None,
            },
            None => Login {
                token: Some(unescape(login)),
                ..Login::default()
            },
        };
        if found.as_ref().is_some_and(|found| *found != login) {
            return Err(Failure::usage(
                "the servers' URLs have different logins; all servers must take the same one",
            ));
        }
        found = Some(login);
    }
    Ok(found)
}

/// Replaces the `%xx` of a URL; what is no such escape stays as it is.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => char::from(*high)
                .to_digit(16)
                .zip(char::from(*low).to_digit(16))
                .and_then(|(high, low)| u8::try_from(high * 16 + low).ok()),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = match escaped {
            Some(_) => tail.get(2..).unwrap_or_default(),
            None => tail,
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for (server, shown) in [
            ("localhost", "nats://localhost"),
            ("nats://u:p@h:4222", "nats://h:4222"),
            ("token@h", "nats://h"),
            ("tls://h", "tls://h"),
        ] {
            assert_eq!(without_secrets(server), shown);
        }
    }

    #[test]
    fn logins_are_read_from_urls() {
        let login = |servers: &[&str]| {
            login_of(&servers.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let user = Login {
            user: Some("u".to_owned()),
            password: Some("p@%".to_owned()),
            token: None,
        };
        let token = Login {
            token: Some("t".to_owned()),
            ..Login::default()
        };
        assert_eq!(login(&["h:4222"]).expect("valid"), None);
        assert_eq!(login(&["nats://u:p%40%25@h"]).expect("valid"), Some(user));
        assert_eq!(login(&["t@h", "nats://h2"]).expect("valid"), Some(token));
        assert!(login(&["a@h", "b@h"]).is_err());
    }
}
