use std::time::Duration;

use super::*;
use crate::{ConfigErrors, Loaded, Options, Sources, load};

struct OneFile<'a>(&'a str);

impl Sources for OneFile<'_> {
    fn read(&mut self, _path: &str) -> Result<String, String> {
        Ok(self.0.to_owned())
    }

    fn variable(&mut self, _name: &str) -> Option<String> {
        None
    }
}

const FILES: &str = "cert_file: c.pem, key_file: k.pem";

fn read(text: &str) -> Result<Loaded, ConfigErrors> {
    load("nats.conf", &mut OneFile(text))
}

/// Compares what `text` adds to a block with a certificate with what `change` makes of it.
fn check(text: &str, change: impl FnOnce(&mut TlsOptions)) {
    let mut expected = TlsOptions::new("c.pem", "k.pem");
    change(&mut expected);
    match read(&format!("tls {{ {FILES}\n {text} }}")) {
        Ok(loaded) => assert_eq!(loaded.options.tls, Some(expected), "{text}"),
        Err(errors) => panic!("{text}: {errors}"),
    }
}

fn refused_block(text: &str, expected: &str) {
    match read(text) {
        Ok(loaded) => panic!("{text}: {loaded:?}"),
        Err(errors) => assert_eq!(
            errors.to_string(),
            format!("nats.conf:{expected}"),
            "{text}"
        ),
    }
}

/// As [`check`], for what is wrong: `expected` with its column in the second line.
fn refused(text: &str, expected: &str) {
    refused_block(
        &format!("tls {{ {FILES}\n{text} }}"),
        &format!("2:{expected}"),
    );
}

#[test]
fn certificates_come_alone_or_as_a_list() {
    check("", |_| {});
    let list = "tls { certs: [{cert_file: a, key_file: b}, {key_file: d, cert_file: c}] }";
    let tls = read(list).expect("it is right").options.tls.expect("tls");
    let files = |cert: &str, key: &str| TlsOptions::new(cert, key).certificates[0].clone();
    assert_eq!(tls.certificates, [files("a", "b"), files("c", "d")]);
    for (text, expected) in [
        (
            "tls { cert_file: a }",
            "1:1: missing 'key_file' in TLS configuration",
        ),
        (
            "tls { key_file: a }",
            "1:1: missing 'cert_file' in TLS configuration",
        ),
        (
            "tls { cert_file: a, key_file: b, certs: [] }",
            "1:1: error parsing tls config, cannot combine 'cert_file' option with 'certs' option",
        ),
        (
            "tls {}",
            "1:1: no certificate in TLS configuration: every handshake would fail; set 'cert_file' and 'key_file'",
        ),
        (
            "tls { certs: [] }",
            "1:1: no certificate in TLS configuration: every handshake would fail; set 'cert_file' and 'key_file'",
        ),
        (
            "tls { certs: 5 }",
            "1:7: error parsing certificates config: a list of blocks is needed, not a whole number",
        ),
        (
            "tls { certs: [{cert_file: a}] }",
            "1:15: error parsing certificates config: both 'cert_file' and 'key_file' options are required",
        ),
        (
            "tls { certs: [{cert_file: a, key_file: b, foo: 1}] }",
            "1:43: error parsing certificates config: unknown field \"foo\"",
        ),
        (
            "tls { cert_file: 5, key_file: b }",
            "1:7: error parsing tls config, expected 'cert_file' to be filename",
        ),
        ("tls: true", "1:1: \"tls\" needs a block, not a boolean"),
    ] {
        refused_block(text, expected);
    }
}

#[test]
fn who_must_show_a_certificate() {
    check("ca_file: a.pem", |tls| {
        tls.ca_file = Some("a.pem".to_owned())
    });
    check("ca_file: a.pem, verify: true", |tls| {
        tls.ca_file = Some("a.pem".to_owned());
        tls.verify = true;
    });
    check("verify_and_map: false, insecure: false", |_| {});
    let pin = "7F83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069";
    check(
        &format!("ca_file: a.pem, verify: true, pinned_certs: [\"{pin}\"]"),
        |tls| {
            tls.ca_file = Some("a.pem".to_owned());
            tls.verify = true;
            let mut digest = [0; 32];
            for (index, byte) in digest.iter_mut().enumerate() {
                let pair = &pin[2 * index..2 * index + 2];
                *byte = u8::from_str_radix(pair, 16).expect("hexadecimal");
            }
            tls.pinned_certs.insert(digest);
        },
    );
    for (text, expected) in [
        (
            "verify: 5",
            "1: error parsing tls config, expected 'verify' to be a boolean",
        ),
        (
            "verify_and_map: true",
            "1: option \"verify_and_map\" is not supported by this version of Everjet yet (known to nats-server); \
             remove it to start",
        ),
        (
            "insecure: true",
            "1: error parsing tls config, 'insecure' is for connections to other servers; remove it here",
        ),
        (
            "pinned_certs: x",
            "1: error parsing tls config, expected 'pinned_certs' to be a list of hex-encoded sha256 of DER encoded \
             SubjectPublicKeyInfo",
        ),
        (
            "pinned_certs: [\"x\"]",
            "16: error parsing tls config, 'pinned_certs' key x does not look like hex-encoded sha256 of DER encoded \
             SubjectPublicKeyInfo",
        ),
    ] {
        refused(text, expected);
    }
    refused_block(
        "tls { cert_file: a, key_file: b, verify: true }",
        "1:1: 'verify' needs 'ca_file': certificates of clients are not checked against those of the system",
    );
    refused_block(
        &format!("tls {{ cert_file: a, key_file: b, pinned_certs: [\"{pin}\"] }}"),
        "1:1: 'pinned_certs' needs 'verify': without it no client shows a certificate",
    );
}

#[test]
fn how_the_handshake_goes() {
    for (text, timeout) in [
        ("timeout: 3", 3000),
        ("timeout: 0.5", 500),
        ("timeout: \"1m\"", 60_000),
        ("timeout: 0", 2000),
    ] {
        check(text, |tls| tls.timeout = Duration::from_millis(timeout));
    }
    refused(
        "timeout: -1",
        "1: error parsing timeout: it can not be negative",
    );
    let within = |millis| HandshakeFirst::Within(Duration::from_millis(millis));
    for (value, first) in [
        ("true", HandshakeFirst::Always),
        ("\"true\"", HandshakeFirst::Always),
        ("\"ON\"", HandshakeFirst::Always),
        ("\"0s\"", HandshakeFirst::Always),
        ("false", HandshakeFirst::Never),
        ("\"off\"", HandshakeFirst::Never),
        ("auto", within(50)),
        ("\"AUTO_FALLBACK\"", within(50)),
        ("\"300ms\"", within(300)),
    ] {
        for key in ["handshake_first", "first", "immediate"] {
            check(&format!("{key}: {value}"), |tls| {
                tls.handshake_first = first;
            });
        }
    }
    refused(
        "handshake_first: 5",
        "1: field \"handshake_first\" should be a boolean or a string, got a whole number",
    );
    for value in ["xx", "-5ms"] {
        refused(
            &format!("handshake_first: \"{value}\""),
            &format!("1: field \"handshake_first\"'s value {value:?} is invalid"),
        );
    }
    check("connection_rate_limit: 7", |tls| {
        tls.connection_rate_limit = NonZeroU32::new(7);
    });
    for none in ["0", "-1"] {
        check(&format!("connection_rate_limit: {none}"), |_| {});
    }
    refused(
        "connection_rate_limit: x",
        "1: error parsing tls config, 'connection_rate_limit' wrong type",
    );
}

#[test]
fn versions_suites_and_curves() {
    check("min_version: \"1.2\"", |_| {});
    check("min_version: \"1.3\"", |tls| {
        tls.min_version = TlsVersion::V1_3;
    });
    for (value, expected) in [
        ("\"1.1\"", "unsupported TLS version: TLS 1.1"),
        ("\"1.4\"", "unknown version: 1.4"),
        ("1.2", "'min_version' wrong type: 1.2; write it in quotes"),
    ] {
        refused(
            &format!("min_version: {value}"),
            &format!("1: error parsing tls config: {expected}"),
        );
    }
    check("curve_preferences: [CurveP256, X25519MLKEM768]", |tls| {
        tls.curve_preferences = vec![Curve::P256, Curve::X25519MlKem768];
    });
    let suite = |name| CipherSuite::read(name).expect("it is known");
    check(
        "cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]",
        |tls| {
            tls.cipher_suites = vec![
                suite("TLS_AES_128_GCM_SHA256"),
                suite("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
            ];
        },
    );
    for (text, expected) in [
        (
            "cipher_suites: []",
            "1: error parsing tls config, 'cipher_suites' cannot be empty",
        ),
        ("cipher_suites: [\"x\"]", "17: unrecognized cipher x"),
        (
            "cipher_suites: x",
            "1: \"cipher_suites\" needs a list of names, not a text",
        ),
        (
            "curve_preferences: []",
            "1: error parsing tls config, 'curve_preferences' cannot be empty",
        ),
        (
            "curve_preferences: [\"x\"]",
            "21: unrecognized curve preference x",
        ),
        (
            "foo: 1",
            "1: error parsing tls config, unknown field \"foo\"",
        ),
    ] {
        refused(text, expected);
    }
    for (text, expected) in [
        (
            "tls { cert_file: a, key_file: b, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA] }",
            "1:1: insecure cipher suites configured without 'allow_insecure_cipher_suites' option set: \
             TLS_RSA_WITH_RC4_128_SHA",
        ),
        (
            "tls { cert_file: a, key_file: b, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA], \
             allow_insecure_cipher_suites: true }",
            "1:1: cipher suites that this server does not have: TLS_RSA_WITH_RC4_128_SHA; remove them, those with \
             ECDHE and GCM or CHACHA20 are there",
        ),
        (
            "tls { cert_file: a, key_file: b, curve_preferences: [CurveP521, X25519] }",
            "1:1: curve preferences that this server does not have: CurveP521; remove them",
        ),
    ] {
        refused_block(text, expected);
    }
}

#[test]
fn authentication_gets_more_time_than_the_handshake() {
    for (text, millis) in [
        ("", 2000),
        ("tls { cert_file: a, key_file: b }", 3000),
        ("tls { cert_file: a, key_file: b, timeout: 0.5 }", 1500),
        (
            "tls { cert_file: a, key_file: b }, authorization { timeout: 9 }",
            9000,
        ),
    ] {
        let options: Options = read(text).expect(text).options;
        assert_eq!(
            options.auth_timeout(),
            Duration::from_millis(millis),
            "{text}"
        );
    }
}

#[test]
fn what_is_not_wise_is_said() {
    let advice = |text: &str| read(text).expect(text).options.advice().len();
    assert_eq!(advice("tls { cert_file: a, key_file: b }"), 0);
    assert_eq!(advice("tls { cert_file: a, key_file: b, ca_file: c }"), 1);
    assert_eq!(
        advice("tls { cert_file: a, key_file: b }, authorization { timeout: 1 }"),
        1
    );
}

#[test]
fn plain_clients_may_be_allowed_beside_tls() {
    let options = read("allow_non_tls: true").expect("it is right").options;
    assert!(options.allow_non_tls && options.tls.is_none());
    assert!(!Options::default().allow_non_tls);
}
