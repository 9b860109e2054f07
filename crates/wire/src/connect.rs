//! The `CONNECT` line of a client.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// What a client asks for and who it says it is. A text that was not sent is empty.
///
/// Read as nats-server reads it: keys in any case, unknown keys and `null` ignored, the last of repeated keys counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Whether its own messages come back to its own subscriptions; true when absent.
    pub echo: bool,
    /// Whether each operation is answered with `+OK`; true when absent.
    pub verbose: bool,
    /// Whether subjects of messages are checked; true when absent.
    pub pedantic: bool,
    /// Whether the client insists on TLS; for information.
    pub tls_required: bool,
    /// Public nkey of the user.
    pub nkey: String,
    /// JWT of the user.
    pub jwt: Secret,
    /// Signature of the nonce, base64.
    pub sig: Secret,
    /// Token.
    pub auth_token: Secret,
    /// User name.
    pub user: String,
    /// Password.
    pub pass: Secret,
    /// Name of the client, for people.
    pub name: String,
    /// Language of the client library.
    pub lang: String,
    /// Version of the client library.
    pub version: String,
    /// Protocol the client speaks: 0, or 1 when it understands `INFO` at any time. Not checked.
    pub protocol: i64,
    /// Account to register in; of old servers.
    pub account: String,
    /// Whether that account is to be new; of old servers.
    pub new_account: bool,
    /// Whether the client reads and writes headers.
    pub headers: bool,
    /// Whether a request that nobody can answer is to be answered with status 503; needs headers.
    pub no_responders: bool,
    /// What a leaf node wants to receive.
    pub import: Option<SubjectPermission>,
    /// What a leaf node wants to send.
    pub export: Option<SubjectPermission>,
    /// The account of a leaf node at its own side.
    pub remote_account: String,
    /// Signature of the nonce by a trusted proxy, base64.
    pub proxy_sig: Secret,
}

impl ConnectOptions {
    /// Reads the JSON of a `CONNECT` line. Bytes that are not UTF-8 are replaced, as nats-server does.
    ///
    /// # Errors
    /// A [`ConnectError`], which never holds what the client sent; nats-server closes without a word.
    pub fn parse(json: &[u8]) -> Result<Self, ConnectError> {
        Self::default().with(json)
    }

    /// Reads the JSON of a repeated `CONNECT` line: what it leaves out stays as it is here.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn with(self, json: &[u8]) -> Result<Self, ConnectError> {
        let json = String::from_utf8_lossy(json);
        let mut deserializer = serde_json::Deserializer::from_str(&json);
        let options = deserializer.deserialize_option(OptionsVisitor(self));
        options
            .and_then(|options| deserializer.end().map(|()| options))
            .map_err(|error| {
                let column = error.column();
                match error.classify() {
                    serde_json::error::Category::Data => ConnectError::Value { column },
                    _ => ConnectError::Syntax { column },
                }
            })
    }
}

impl Default for ConnectOptions {
    /// What holds for `CONNECT {}` and before any `CONNECT`: verbose, pedantic and echo.
    fn default() -> Self {
        Self {
            echo: true,
            verbose: true,
            pedantic: true,
            tls_required: false,
            nkey: String::new(),
            jwt: Secret::default(),
            sig: Secret::default(),
            auth_token: Secret::default(),
            user: String::new(),
            pass: Secret::default(),
            name: String::new(),
            lang: String::new(),
            version: String::new(),
            protocol: 0,
            account: String::new(),
            new_account: false,
            headers: false,
            no_responders: false,
            import: None,
            export: None,
            remote_account: String::new(),
            proxy_sig: Secret::default(),
        }
    }
}

/// Why the text after `CONNECT` is refused. Says where and not what, because it may stand beside a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// Not JSON, or something follows it.
    Syntax {
        /// Byte of the line from 1.
        column: usize,
    },
    /// Not an object, or a value of the wrong type.
    Value {
        /// Byte of the line from 1, at or after the value.
        column: usize,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { column } => write!(f, "connect options are not JSON at byte {column}"),
            Self::Value { column } => {
                write!(
                    f,
                    "connect options have a value of the wrong type before byte {column}"
                )
            }
        }
    }
}

impl std::error::Error for ConnectError {}

/// A text that proves who somebody is. Printing it for debugging shows only whether it is there.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, to check it. Empty when none was sent.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether none was sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() {
            "none"
        } else {
            "[redacted]"
        })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// Subjects that a leaf node lets through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectPermission {
    /// Filters of what passes; all when empty.
    pub allow: Vec<String>,
    /// Filters of what does not.
    pub deny: Vec<String>,
}

impl<'de> Deserialize<'de> for SubjectPermission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PermissionVisitor)
    }
}

struct PermissionVisitor;

impl<'de> Visitor<'de> for PermissionVisitor {
    type Value = SubjectPermission;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of filters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SubjectPermission, A::Error> {
        let mut permission = SubjectPermission::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.to_ascii_lowercase().as_str() {
                "allow" => set(&mut permission.allow, &mut map)?,
                "deny" => set(&mut permission.deny, &mut map)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(permission)
    }
}

/// Changes the options by what the object says.
struct OptionsVisitor(ConnectOptions);

impl<'de> Visitor<'de> for OptionsVisitor {
    type Value = ConnectOptions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of connect options")
    }

    fn visit_none<E>(self) -> Result<ConnectOptions, E> {
        Ok(self.0)
    }

    fn visit_some<D: Deserializer<'de>>(self, some: D) -> Result<ConnectOptions, D::Error> {
        some.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ConnectOptions, A::Error> {
        let mut options = self.0;
        while let Some(key) = map.next_key::<String>()? {
            let field = key.to_ascii_lowercase();
            match field.as_str() {
                "echo" => set(&mut options.echo, &mut map)?,
                "verbose" => set(&mut options.verbose, &mut map)?,
                "pedantic" => set(&mut options.pedantic, &mut map)?,
                "tls_required" => set(&mut options.tls_required, &mut map)?,
                "nkey" => set(&mut options.nkey, &mut map)?,
                "jwt" => set(&mut options.jwt, &mut map)?,
                "sig" => set(&mut options.sig, &mut map)?,
                "auth_token" => set(&mut options.auth_token, &mut map)?,
                "user" => set(&mut options.user, &mut map)?,
                "pass" => set(&mut options.pass, &mut map)?,
                "name" => set(&mut options.name, &mut map)?,
                "lang" => set(&mut options.lang, &mut map)?,
                "version" => set(&mut options.version, &mut map)?,
                "protocol" => set(&mut options.protocol, &mut map)?,
                "account" => set(&mut options.account, &mut map)?,
                "new_account" => set(&mut options.new_account, &mut map)?,
                "headers" => set(&mut options.headers, &mut map)?,
                "no_responders" => set(&mut options.no_responders, &mut map)?,
                "import" => options.import = map.next_value()?,
                "export" => options.export = map.next_value()?,
                "remote_account" => set(&mut options.remote_account, &mut map)?,
                "proxy_sig" => set(&mut options.proxy_sig, &mut map)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(options)
    }
}

/// Takes the next value, unless it is `null`.
fn set<'de, T, A>(field: &mut T, map: &mut A) -> Result<(), A::Error>
where
    T: Deserialize<'de>,
    A: MapAccess<'de>,
{
    if let Some(value) = map.next_value()? {
        *field = value;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> ConnectOptions {
        ConnectOptions::parse(json.as_bytes()).expect(json)
    }

    #[test]
    fn what_is_absent_has_the_published_default() {
        for json in [
            "{}",
            " {} \r",
            "null",
            r#"{"verbose":null,"unknown":{"a":[1,{}]}}"#,
        ] {
            let options = parsed(json);
            assert_eq!(options, ConnectOptions::default(), "{json}");
            assert!(options.verbose && options.pedantic && options.echo);
            assert!(!options.headers && !options.no_responders);
            assert_eq!(options.protocol, 0);
        }
    }

    #[test]
    fn what_a_repetition_leaves_out_stays() {
        let before = parsed(r#"{"verbose":false,"name":"a","headers":true,"protocol":1}"#);
        let after = before.clone().with(br#"{"headers":false,"lang":"l"}"#);
        let expected = ConnectOptions {
            headers: false,
            lang: "l".to_owned(),
            ..before.clone()
        };
        assert_eq!(after, Ok(expected));
        assert_eq!(before.clone().with(b"null"), Ok(before));
    }

    #[test]
    fn every_key_is_read() {
        let options = parsed(
            r#"{"echo":false,"verbose":false,"pedantic":false,"tls_required":true,"nkey":"U1","jwt":"j","sig":"s",
            "auth_token":"t","user":"u","pass":"p","name":"n","lang":"rust","version":"1.2","protocol":1,
            "account":"acc","new_account":true,"headers":true,"no_responders":true,
            "import":{"allow":["a.>"],"deny":null},"export":{"deny":["b"]},"remote_account":"r","proxy_sig":"x"}"#,
        );
        let text = |value: &str| value.to_owned();
        let secret = |value: &str| Secret::from(value.to_owned());
        let expected = ConnectOptions {
            echo: false,
            verbose: false,
            pedantic: false,
            tls_required: true,
            nkey: text("U1"),
            jwt: secret("j"),
            sig: secret("s"),
            auth_token: secret("t"),
            user: text("u"),
            pass: secret("p"),
            name: text("n"),
            lang: text("rust"),
            version: text("1.2"),
            protocol: 1,
            account: text("acc"),
            new_account: true,
            headers: true,
            no_responders: true,
            import: Some(SubjectPermission {
                allow: vec![text("a.>")],
                deny: vec![],
            }),
            export: Some(SubjectPermission {
                allow: vec![],
                deny: vec![text("b")],
            }),
            remote_account: text("r"),
            proxy_sig: secret("x"),
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn keys_are_read_in_any_case_and_the_last_one_counts() {
        let options = parsed(r#"{"VERBOSE":false,"Name":"a","name":"b"}"#);
        assert!(!options.verbose);
        assert_eq!(options.name, "b");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let options = ConnectOptions::parse(b"{\"name\":\"a\xff\"}").expect("lenient");
        assert_eq!(options.name, "a\u{FFFD}");
    }

    #[test]
    fn what_is_not_an_object_of_options_is_refused() {
        for (json, expected) in [
            ("", ConnectError::Syntax { column: 0 }),
            ("{", ConnectError::Syntax { column: 1 }),
            ("{} x", ConnectError::Syntax { column: 4 }),
            ("garbage", ConnectError::Syntax { column: 1 }),
            ("[]", ConnectError::Value { column: 0 }),
            ("5", ConnectError::Value { column: 1 }),
            (r#"{"verbose":"x"}"#, ConnectError::Value { column: 14 }),
            (r#"{"protocol":1.0}"#, ConnectError::Value { column: 15 }),
            (r#"{"name":5}"#, ConnectError::Value { column: 9 }),
            (r#"{"import":5}"#, ConnectError::Value { column: 11 }),
            (r#"{"import":[]}"#, ConnectError::Value { column: 10 }),
            (r#"{"import":[["a"]]}"#, ConnectError::Value { column: 10 }),
            (
                r#"{"import":{"allow":"a"}}"#,
                ConnectError::Value { column: 22 },
            ),
        ] {
            assert_eq!(
                ConnectOptions::parse(json.as_bytes()),
                Err(expected),
                "{json}"
            );
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let options = parsed(
            r#"{"user":"alice","pass":"hunter2","auth_token":"hunter2","jwt":"hunter2","sig":"hunter2","proxy_sig":"hunter2"}"#,
        );
        let printed = format!("{options:?}");
        assert!(printed.contains("alice") && printed.contains("[redacted]"));
        assert!(!printed.contains("hunter2"), "{printed}");
        assert_eq!(options.pass.expose(), "hunter2");

        let error = ConnectOptions::parse(br#"{"verbose":"hunter2"}"#).expect_err("wrong type");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
