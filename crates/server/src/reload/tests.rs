use everjet_config::{Sources, load};

use super::*;

struct Text(String);

impl Sources for Text {
    fn read(&mut self, _: &str) -> Result<String, String> {
        Ok(self.0.clone())
    }

    fn variable(&mut self, _: &str) -> Option<String> {
        None
    }
}

fn options(text: &str) -> Options {
    let loaded = load("nats.conf", &mut Text(text.to_owned()));
    loaded.expect(text).options
}

/// The field that refuses a reload from one text to the other.
fn refused(old: &str, new: &str) -> Option<String> {
    let fixed = first_fixed(&options(old), &options(new))?;
    Some(format!("{}: {} -> {}", fixed.field, fixed.old, fixed.new))
}

#[test]
fn what_only_a_restart_changes_is_named() {
    for (old, new, expected) in [
        ("port: 4222", "port: 4333", "Port: 4222 -> 4333"),
        ("", "server_name: x", "ServerName:  -> x"),
        (
            "",
            "max_pending: 2000000",
            "MaxPending: 67108864 -> 2000000",
        ),
        ("", "max_connections: 10", "MaxConn: 65536 -> 10"),
        ("", "allow_non_tls: true", "AllowNonTLS: false -> true"),
        (
            "tls { cert_file: a, key_file: b }",
            "tls { cert_file: a, key_file: b, connection_rate_limit: 4 }",
            "TLSRateLimit: 0 -> 4",
        ),
        ("", "ping_interval: \"30s\"", "PingInterval: 2m0s -> 30s"),
        ("", "jetstream: true", "JetStream: false -> true"),
        (
            "jetstream { store_dir: a }",
            "jetstream { store_dir: b }",
            "StoreDir: a -> b",
        ),
        ("", "trace: true", "Trace: false -> true"),
        (
            "",
            "lame_duck_duration: \"40s\"",
            "LameDuckDuration: 2m0s -> 40s",
        ),
        (
            "",
            "mappings { a: b }",
            "Mappings: 0 subjects -> 1 subjects",
        ),
        (
            "jetstream { key: a }",
            "jetstream { key: b, prev_key: a }",
            "JetStreamKey: [REDACTED] -> [REDACTED]",
        ),
        (
            "authorization { user: a, password: b }",
            "authorization { user: a, password: c }",
            "Authorization: [REDACTED] -> [REDACTED]",
        ),
    ] {
        assert_eq!(refused(old, new).as_deref(), Some(expected), "{new}");
    }
}

#[test]
fn what_can_change_is_not_in_the_way() {
    for (old, new) in [
        ("port: 5", "port: 5"),
        ("", "debug: true, logtime: false, logtime_utc: true"),
        ("", "tls { cert_file: a, key_file: b }"),
        (
            "tls { cert_file: a, key_file: b }",
            "tls { cert_file: c, key_file: d, timeout: 5, min_version: \"1.3\" }",
        ),
        ("", "authorization { timeout: 5 }"),
    ] {
        assert_eq!(refused(old, new), None, "{new}");
    }
    let changed = refused("", "store_dir: x");
    assert!(changed.is_some(), "an option without a row of its own");
}

#[test]
fn changes_of_tls_are_worded_as_nats_server_words_them() {
    let block = |rest: &str| {
        let text = format!("tls {{ cert_file: a, key_file: b, {rest} }}");
        options(&text).tls.expect("tls")
    };
    let plain = block("");
    let check = |old: Option<&TlsOptions>, new: Option<&TlsOptions>, anew, expected: &[&str]| {
        assert_eq!(tls_changes(old, new, anew), expected);
    };
    check(None, None, false, &[]);
    check(Some(&plain), None, false, &["tls = disabled"]);
    check(None, Some(&plain), true, &["tls = enabled"]);
    check(Some(&plain), Some(&plain), false, &[]);
    check(Some(&plain), Some(&plain), true, &["tls = enabled"]);
    for (rest, expected) in [
        ("timeout: 4", "tls timeout = 4"),
        ("timeout: 0.5", "tls timeout = 0.5"),
        ("handshake_first: true", "Client TLS handshake first: true"),
        (
            "handshake_first: auto",
            "Client TLS handshake first fallback delay: 50ms",
        ),
        ("min_version: \"1.3\"", "tls = enabled"),
    ] {
        check(Some(&plain), Some(&block(rest)), false, &[expected]);
    }
    check(
        Some(&block("handshake_first: true")),
        Some(&plain),
        false,
        &["Client TLS handshake first: false"],
    );
}
