use super::*;
use crate::Credentials;
use crate::{ConfigErrors, Loaded, Sources, load};

struct OneFile(String);

impl Sources for OneFile {
    fn read(&mut self, _path: &str) -> Result<String, String> {
        Ok(self.0.clone())
    }

    fn variable(&mut self, _name: &str) -> Option<String> {
        None
    }
}

/// Reads a block with these entries; they stand on a line of their own.
fn read(entries: &str) -> Result<Loaded, ConfigErrors> {
    let text = format!("websocket {{\n{entries}\n}}");
    load("nats.conf", &mut OneFile(text))
}

/// Compares with the defaults, changed.
#[track_caller]
fn check(entries: &str, change: impl FnOnce(&mut WebSocketOptions)) {
    let mut expected = WebSocketOptions::default();
    expected.listen.port = 8080;
    change(&mut expected);
    let loaded = read(&format!("port: 8080, no_tls: true, {entries}"));
    match loaded {
        Ok(loaded) => assert_eq!(loaded.options.websocket, Some(expected), "{entries}"),
        Err(errors) => panic!("{entries}: {errors}"),
    }
}

#[track_caller]
fn refused(entries: &str, expected: &str) {
    match read(entries) {
        Ok(loaded) => panic!("{entries}: {loaded:?}"),
        Err(errors) => assert_eq!(errors.to_string(), expected, "{entries}"),
    }
}

#[test]
fn the_block_has_two_names() {
    for name in ["websocket", "ws", "WebSocket"] {
        let text = format!("{name} {{ listen: \"10.0.0.1:443\", no_tls: true }}");
        let loaded = load("nats.conf", &mut OneFile(text)).unwrap();
        let listen = loaded.options.websocket.unwrap().listen;
        assert_eq!((listen.host.as_str(), listen.port), ("10.0.0.1", 443));
    }
    let loaded = load("nats.conf", &mut OneFile("port: 1".to_owned())).unwrap();
    assert_eq!(loaded.options.websocket, None);
}

#[test]
fn options_have_their_types() {
    check("", |_| {});
    check("host: a", |options| options.listen.host = "a".to_owned());
    check("port: -1", |options| options.listen.port = 0);
    check("same_origin: true", |options| {
        options.origins.same_origin = true;
    });
    for key in [
        "allowed_origins",
        "allowed_origin",
        "allow_origins",
        "allow_origin",
        "origins",
        "origin",
    ] {
        check(&format!("{key}: \"http://a\""), |options| {
            options.origins.allowed = vec![Origin::parse("http://a").unwrap()];
        });
    }
    check("origins: [\"http://a\", \"https://b:1\"]", |options| {
        options.origins.allowed = ["http://a", "https://b:1"]
            .map(|text| Origin::parse(text).unwrap())
            .to_vec();
    });
    let timeout = Duration::from_millis(1500);
    check("handshake_timeout: \"1.5s\"", |options| {
        options.handshake_timeout = timeout;
    });
    check("handshake_timeout: 0", |_| {});
    check("compression: true", |options| options.compression = true);
    check("compress: true", |options| options.compression = true);
    check(
        "user_cookie: u, pass_cookie: p, token_cookie: t",
        |options| {
            options.cookies = Cookies {
                user: Some("u".to_owned()),
                pass: Some("p".to_owned()),
                token: Some("t".to_owned()),
            };
        },
    );
    check("headers { X-A: b, X-C: \"d e\" }", |options| {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        options.headers = vec![pair("X-A", "b"), pair("X-C", "d e")];
    });
    check("ping_interval: \"20s\"", |options| {
        options.ping_interval = Some(Duration::from_secs(20));
    });
    check("authorization { token: t, timeout: 5 }", |options| {
        options.authorization.credentials = Some(Credentials::Token("t".to_owned()));
        options.authorization.timeout = Some(Duration::from_secs(5));
    });
    check("authorization { user: u, password: p }", |options| {
        options.authorization.credentials = Some(Credentials::User {
            name: "u".to_owned(),
            password: "p".to_owned(),
        });
    });
}

#[test]
fn a_port_and_no_tls_are_needed() {
    refused("no_tls: true", "nats.conf:1:1: websocket requires a port");
    refused(
        "port: 8080",
        "nats.conf:1:1: websocket requires TLS configuration",
    );
    let port = "nats.conf:2:1: port 0 is not from 1 to 65535, or -1 for any free port";
    refused("port: 0, no_tls: true", port);
    refused("listen: \"a:0\", no_tls: true", port);
}

#[test]
fn tls_needs_no_word_about_no_tls() {
    let tls = "tls { cert_file: c, key_file: k }";
    let loaded = read(&format!("port: 8080, {tls}")).unwrap();
    let options = loaded.options.websocket.unwrap();
    assert_eq!(options.tls, Some(TlsOptions::new("c", "k")));
    refused(
        "port: 8080, tls { cert_file: c, key_file: k, handshake_first: true }",
        "nats.conf:2:13: websocket: \"handshake_first\" has no meaning here, the handshake always is",
    );
    refused(
        "port: 8080, tls { cert_file: c, key_file: k, timeout: 5 }",
        "nats.conf:2:13: websocket: \"timeout\" of tls has no meaning here, \"handshake_timeout\" is for the whole request",
    );
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    for (entry, key) in [
        ("advertise: \"a:1\"", "advertise"),
        ("jwt_cookie: a", "jwt_cookie"),
        ("no_auth_user: a", "no_auth_user"),
    ] {
        let expected = format!(
            "nats.conf:2:1: option {key:?} is not supported by this version of Everjet yet (known to nats-server); remove it to start"
        );
        refused(entry, &expected);
    }
    refused("foo: 1", "nats.conf:2:1: unknown field \"foo\"");
    let users = "nats.conf:2:17: option \"users\" is not supported by this version of Everjet yet (known to nats-server); remove it to start";
    refused("authorization { users: [] }", users);
}

#[test]
fn values_that_do_not_fit_are_refused() {
    refused(
        "origins: [\"http://a\", \"ftp://b\"]",
        "nats.conf:2:1: unable to parse allowed origin \"ftp://b\": allowed origins must be absolute URLs with http or https scheme",
    );
    refused(
        "origins: foo",
        "nats.conf:2:1: unable to parse allowed origin \"foo\": invalid URI for request",
    );
    refused(
        "headers { Upgrade: x }",
        "nats.conf:2:11: websocket: invalid header \"Upgrade\" not allowed",
    );
    refused(
        "headers { Sec-WebSocket-Accept: x }",
        "nats.conf:2:11: websocket: invalid header \"Sec-WebSocket-Accept\", \"Sec-WebSocket-\" prefix not allowed",
    );
    refused(
        "headers { X: \"a\\r\\nY: b\" }",
        "nats.conf:2:11: websocket: header \"X\" can not be written as one line",
    );
    refused(
        "headers { \"a b\": c }",
        "nats.conf:2:11: websocket: header \"a b\" can not be written as one line",
    );
    refused(
        "headers { X: 1 }",
        "nats.conf:2:11: \"X\" needs a text, not a whole number",
    );
    refused(
        "compression: 1",
        "nats.conf:2:1: \"compression\" needs true or false, not a whole number",
    );
    refused(
        "authorization { user: a, token: b }",
        "nats.conf:2:1: Cannot have a user/pass and token",
    );
    let not_a_block = load("nats.conf", &mut OneFile("websocket: 5".to_owned()));
    assert_eq!(
        not_a_block.unwrap_err().to_string(),
        "nats.conf:1:1: \"websocket\" needs a block, not a whole number"
    );
}
