//! The options of `CONNECT`.

use everjet_wire::{ConnectError, ConnectOptions};
use serde_json::Value;

/// Any bytes are read or refused; what is read agrees with a JSON library asked key by key, and no secret is printed.
pub fn check_connect(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let value = serde_json::from_str::<Value>(&text);
    let options = match ConnectOptions::parse(data) {
        Ok(options) => options,
        Err(ConnectError::Syntax { column }) => {
            assert!(column <= text.len() + 1);
            return;
        }
        Err(ConnectError::Value { .. }) => {
            return;
        }
    };
    let Ok(value) = value else {
        // Numbers beyond a double in a key that nobody reads: passed over here, refused by the library.
        return;
    };
    let members = match value {
        Value::Null => return assert_eq!(options, ConnectOptions::default()),
        Value::Object(members) => members,
        other => panic!("{other} is no object"),
    };
    // The library keeps the last of equal keys; which of keys in several cases counts, it can not tell.
    let only = |name: &str| {
        let mut found = members
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some((_, value)), None) if !is_repeated(&text, name) => Some(value),
            _ => None,
        }
    };
    for (name, flag, default) in [
        ("verbose", options.verbose, true),
        ("pedantic", options.pedantic, true),
        ("echo", options.echo, true),
        ("headers", options.headers, false),
        ("no_responders", options.no_responders, false),
    ] {
        if let Some(value) = only(name) {
            assert_eq!(flag, value.as_bool().unwrap_or(default), "{name}");
        }
    }
    for (name, given) in [
        ("user", options.user.as_str()),
        ("name", options.name.as_str()),
        ("pass", options.pass.expose()),
        ("auth_token", options.auth_token.expose()),
        ("jwt", options.jwt.expose()),
    ] {
        if let Some(value) = only(name) {
            assert_eq!(given, value.as_str().unwrap_or_default(), "{name}");
        }
    }
    check_secrets(options);
}

/// Whether the name, in any case or spelling, may stand in the text more than once.
fn is_repeated(text: &str, name: &str) -> bool {
    text.contains('\\') || text.to_ascii_lowercase().matches(name).count() > 1
}

/// Printing tells no more of a secret than whether it is there.
fn check_secrets(mut options: ConnectOptions) {
    let shown = format!("{options:?}");
    for secret in [
        &mut options.jwt,
        &mut options.sig,
        &mut options.auth_token,
        &mut options.pass,
        &mut options.proxy_sig,
    ] {
        if !secret.is_empty() {
            *secret = "another".to_owned().into();
        }
    }
    assert_eq!(format!("{options:?}"), shown);
}
