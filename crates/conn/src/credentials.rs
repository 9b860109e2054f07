//! What a client must show to get in.

use std::fmt;

use everjet_wire::ConnectOptions;

/// The credentials of a server with one user or one token.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user's name and password, both in plain text.
    User {
        /// The name.
        name: String,
        /// The password.
        password: String,
    },
    /// A token.
    Token(String),
}

impl Credentials {
    /// Whether a CONNECT shows these credentials. Takes the same time wherever they differ.
    #[must_use]
    pub fn accept(&self, options: &ConnectOptions) -> bool {
        match self {
            Self::User { name, password } => {
                // Both are compared always: the time must not tell whether the name was right.
                let name = is_same(name, &options.user);
                let password = is_same(password, options.pass.expose());
                name & password
            }
            Self::Token(token) => is_same(token, options.auth_token.expose()),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { name, .. } => write!(f, "User({name:?}, [redacted])"),
            Self::Token(_) => f.write_str("Token([redacted])"),
        }
    }
}

/// Compares in a time that depends on the length of `given` only.
fn is_same(secret: &str, given: &str) -> bool {
    let (secret, given) = (secret.as_bytes(), given.as_bytes());
    let mut differing = u8::from(secret.len() != given.len());
    for (position, byte) in given.iter().enumerate() {
        // A wrapped index keeps the number of steps independent of the secret's length.
        let expected = secret.get(position % secret.len().max(1)).unwrap_or(&0);
        differing |= byte ^ expected;
    }
    std::hint::black_box(differing) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(secret: &str, given: &str, same: bool) {
        assert_eq!(is_same(secret, given), same, "{secret:?} {given:?}");
    }

    #[test]
    fn secrets_are_the_same_only_byte_for_byte() {
        check("s3cret", "s3cret", true);
        check("s3cret", "s3creT", false);
        check("s3cret", "S3cret", false);
        check("s3cret", "s3cre", false);
        check("s3cret", "", false);
        check("ab", "abab", false);
        check("", "x", false);
        check("", "", true);
    }

    #[test]
    fn secrets_are_not_printed() {
        let user = Credentials::User {
            name: "ann".to_owned(),
            password: "s3cret".to_owned(),
        };
        let shown = format!("{user:?} {:?}", Credentials::Token("s3cret".to_owned()));
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
