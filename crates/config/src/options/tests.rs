use std::time::Duration;

use super::*;
use crate::{Advertise, Credentials, Secret, StoreCipher, SyncPolicy, WriteTimeout};

struct OneFile<'a>(&'a str);

impl Sources for OneFile<'_> {
    fn read(&mut self, path: &str) -> Result<String, String> {
        if path == "nats.conf" {
            Ok(self.0.to_owned())
        } else {
            Err(format!("open {path}: no such file or directory"))
        }
    }

    fn variable(&mut self, _name: &str) -> Option<String> {
        None
    }
}

fn read(text: &str) -> Result<Loaded, ConfigErrors> {
    load("nats.conf", &mut OneFile(text))
}

/// Runs a change on the default options and compares with what the text gives.
fn check(text: &str, change: impl FnOnce(&mut Options)) {
    let mut expected = Options::default();
    change(&mut expected);
    match read(text) {
        Ok(loaded) => {
            assert_eq!(loaded.options, expected, "{text}");
            assert_eq!(loaded.warnings, [], "{text}");
        }
        Err(errors) => panic!("{text}: {errors}"),
    }
}

fn refused(text: &str, expected: &str) {
    match read(text) {
        Ok(loaded) => panic!("{text}: {loaded:?}"),
        Err(errors) => assert_eq!(errors.to_string(), expected, "{text}"),
    }
}

fn jetstream(change: impl FnOnce(&mut JetStreamOptions)) -> impl FnOnce(&mut Options) {
    |options| {
        let mut jetstream = JetStreamOptions::default();
        change(&mut jetstream);
        options.jetstream = Some(jetstream);
    }
}

#[test]
fn where_to_listen() {
    for text in [
        "listen: \"127.0.0.1:5000\"",
        "listen: 127.0.0.1:5000",
        "host: 127.0.0.1, port: 5000",
        "net: 127.0.0.1\nPORT: 5000",
    ] {
        check(text, |options| {
            options.listen = ListenOptions {
                host: "127.0.0.1".into(),
                port: 5000,
                ..ListenOptions::default()
            };
        });
    }
    check("listen: 5000", |options| options.listen.port = 5000);
    check("listen: \":5000\"", |options| options.listen.port = 5000);
    check("listen: \"[::1]:5000\"", |options| {
        options.listen = ListenOptions {
            host: "::1".into(),
            port: 5000,
            ..ListenOptions::default()
        };
    });
    for text in ["port: -1", "listen: -1", "listen: \"0.0.0.0:-1\""] {
        check(text, |options| options.listen.port = 0);
    }
    check("port: 0", |_| {});
    refused(
        "listen: \"127.0.0.1\"",
        "nats.conf:1:1: could not parse address string \"127.0.0.1\"",
    );
    refused(
        "listen: \"::1:5\"",
        "nats.conf:1:1: could not parse address string \"::1:5\"",
    );
    refused(
        "listen: \"a:b\"",
        "nats.conf:1:1: could not parse port \"b\"",
    );
    refused(
        "listen: true",
        "nats.conf:1:1: \"listen\" needs a port or \"host:port\", not a boolean",
    );
    refused(
        "port: x",
        "nats.conf:1:1: \"port\" needs a whole number, not a text",
    );
    for text in ["port: 99999", "port: -5"] {
        let error = read(text).expect_err(text).to_string();
        assert!(
            error.ends_with("is not from 1 to 65535, or -1 for any free port"),
            "{error}"
        );
    }
    refused(
        "host: 5",
        "nats.conf:1:1: \"host\" needs a text, not a whole number",
    );
}

#[test]
fn limits_of_connections() {
    for key in ["max_connections", "max_conn"] {
        check(&format!("{key}: 5"), |options| {
            options.limits.max_connections = 5
        });
        for none in ["0", "-1"] {
            check(&format!("{key}: {none}"), |options| {
                options.limits.max_connections = 0
            });
        }
    }
    for key in ["max_subscriptions", "max_subs"] {
        check(&format!("{key}: 5"), |options| {
            options.limits.max_subscriptions = Some(5)
        });
        check(&format!("{key}: 0"), |_| {});
        check(&format!("{key}: -1"), |_| {});
    }
    for key in ["max_subscription_tokens", "max_sub_tokens"] {
        check(&format!("{key}: 8"), |options| {
            options.limits.max_subscription_tokens = Some(8)
        });
        check(&format!("{key}: 0"), |_| {});
        refused(
            &format!("{key}: 300"),
            &format!("nats.conf:1:1: {key} value is too big"),
        );
        refused(
            &format!("{key}: -1"),
            &format!("nats.conf:1:1: {key} value can not be negative"),
        );
    }
    check("max_control_line: 8KB", |options| {
        options.limits.max_control_line = 8192
    });
    check("max_payload: 2MB", |options| {
        options.limits.max_payload = 2 << 20
    });
    check("max_pending: 1g", |options| {
        options.limits.max_pending = 1_000_000_000
    });
    for text in [
        "max_control_line: 0",
        "max_payload: 0",
        "max_pending: 0",
        "ping_max: 0",
    ] {
        check(text, |_| {});
    }
    check("ping_interval: \"30s\"", |options| {
        options.limits.ping_interval = Duration::from_secs(30);
    });
    check("write_deadline: \"500ms\"", |options| {
        options.limits.write_deadline = Duration::from_millis(500);
    });
    check("ping_max: 5", |options| options.limits.ping_max = 5);
    refused(
        "max_payload: -1",
        "nats.conf:1:1: max_payload value can not be negative",
    );
    refused(
        "max_pending: 2GB",
        "nats.conf:1:1: max_pending value is too big, the maximum is 2147483647",
    );
    refused(
        "max_payload: \"1mb\"",
        "nats.conf:1:1: \"max_payload\" needs a number of bytes such as 64MB, without quotes, not a text",
    );
    refused(
        "max_connections: 5000000000",
        "nats.conf:1:1: max_connections value is too big",
    );
    refused(
        "ping_max: \"2\"",
        "nats.conf:1:1: \"ping_max\" needs a whole number, not a text",
    );
    refused(
        "ping_interval: \"abc\"",
        "nats.conf:1:1: error parsing ping_interval: duration \"abc\" is not a number with a unit, like 30s",
    );
    refused(
        "ping_interval: -1",
        "nats.conf:1:1: error parsing ping_interval: it can not be negative",
    );
    refused(
        "ping_interval: 9223372036854775807",
        "nats.conf:1:1: error parsing ping_interval: it is longer than 292 years",
    );
    refused(
        "ping_interval: 2.5",
        "nats.conf:1:1: \"ping_interval\" needs a duration such as \"2m\", not a number with a point",
    );
    refused(
        "ping_interval: []",
        "nats.conf:1:1: \"ping_interval\" needs a duration such as \"2m\", not a list",
    );
}

#[test]
fn slow_receivers() {
    check("write_timeout: default", |_| {});
    check("write_timeout: Retry", |_| {});
    check("write_timeout: close", |options| {
        options.limits.write_timeout = WriteTimeout::Close;
    });
    for text in ["write_timeout: soon", "write_timeout: 5"] {
        refused(
            text,
            "nats.conf:1:1: write_timeout must be 'default', 'close' or 'retry'",
        );
    }
    check("no_fast_producer_stall: true", |_| {});
    refused(
        "no_fast_producer_stall: false",
        "nats.conf:1:1: producers never wait for slow receivers here: leave no_fast_producer_stall out, or set it to true",
    );
    check("no_header_support: true", |options| {
        options.limits.headers = false;
    });
    check("no_header_support: false", |_| {});
}

#[test]
fn how_the_server_says_good_bye() {
    check("lame_duck_duration: \"30s\"", |options| {
        options.lame_duck.duration = Duration::from_secs(30);
    });
    for text in [
        "lame_duck_grace_period: \"5s\"",
        "lame_duck_grace_period: \"5000ms\"",
    ] {
        check(text, |options| {
            options.lame_duck.grace_period = Duration::from_secs(5);
        });
    }
    check("lame_duck_grace_period: \"0s\"", |options| {
        options.lame_duck.grace_period = Duration::ZERO;
    });
    refused(
        "lame_duck_duration: \"10s\"",
        "nats.conf:1:1: invalid lame_duck_duration of 10s, minimum is 30 seconds",
    );
    refused(
        "lame_duck_duration: 29",
        "nats.conf:1:1: invalid lame_duck_duration of 29s, minimum is 30 seconds",
    );
}

#[test]
fn the_address_for_clients() {
    let advertised = |text: &str, host: &str, port| {
        check(&format!("client_advertise: {text:?}"), |options| {
            let host = host.to_owned();
            options.listen.client_advertise = Some(Advertise { host, port });
        });
    };
    advertised("foo", "foo", None);
    advertised("foo:77", "foo", Some(77));
    advertised("foo:0", "foo", None);
    advertised("foo:-1", "foo", None);
    advertised("10.0.0.1:1", "10.0.0.1", Some(1));
    advertised("[::1]:7", "::1", Some(7));
    advertised("[::1]", "::1", None);
    check("client_advertise: \"\"", |_| {});
    for (text, why) in [
        (":22", "it needs a host without blanks"),
        ("a b:22", "it needs a host without blanks"),
        ("foo:bar", "the port is no number"),
        ("foo:", "the port is no number"),
        ("foo:99999", "the port is not from 1 to 65535"),
        ("::1", "too many colons; an IPv6 address needs brackets"),
        ("[::1]7", "a colon and a port belong behind the bracket"),
    ] {
        refused(
            &format!("client_advertise: {text:?}"),
            &format!("nats.conf:1:1: client_advertise {text:?}: {why}"),
        );
    }
    check("proxy_protocol: true", |options| {
        options.listen.proxy_protocol = true;
    });
}

#[test]
fn a_bare_number_counts_seconds_and_warns() {
    let loaded = read("ping_interval: 30").expect("it is allowed");
    assert_eq!(loaded.options.limits.ping_interval, Duration::from_secs(30));
    assert_eq!(
        loaded
            .warnings
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        [
            "nats.conf:1:1: invalid use of field \"ping_interval\": ping_interval should be converted to a duration"
        ]
    );
}

#[test]
fn names_logs_and_files() {
    check("server_name: one", |options| {
        options.server_name = Some("one".into())
    });
    check("server_name: \"\"", |_| {});
    refused(
        "server_name: \"a b\"",
        "nats.conf:1:1: server name cannot contain spaces",
    );
    check("debug: yes", |options| options.logging.debug = true);
    check("trace: false", |_| {});
    for text in ["trace: true", "trace_verbose: true"] {
        check(text, |options| options.logging.trace = true);
    }
    check("trace_headers: true", |options| {
        options.logging.trace = true;
        options.logging.trace_headers = true;
    });
    check("max_traced_msg_len: 40", |options| {
        options.logging.traced_payload_max = Some(40);
    });
    check("max_traced_msg_len: 0", |_| {});
    check("max_traced_msg_len: -1", |_| {});
    refused(
        "max_traced_msg_len: 5000000000",
        "nats.conf:1:1: max_traced_msg_len value is too big",
    );
    refused(
        "trace: 1",
        "nats.conf:1:1: \"trace\" needs true or false, not a whole number",
    );
    check("logtime: off", |options| options.logging.time = false);
    check("logtime_utc: true", |options| options.logging.utc = true);
    for key in ["log_file", "logfile"] {
        check(&format!("{key}: /l"), |options| {
            options.logging.file = Some("/l".into())
        });
    }
    for key in ["pid_file", "pidfile"] {
        check(&format!("{key}: /p"), |options| {
            options.files.pid_file = Some("/p".into())
        });
    }
    check("ports_file_dir: /d", |options| {
        options.files.ports_file_dir = Some("/d".into())
    });
    refused(
        "debug: \"true\"",
        "nats.conf:1:1: \"debug\" needs true or false, not a text",
    );
    refused(
        "pid_file: 5",
        "nats.conf:1:1: \"pid_file\" needs a text, not a whole number",
    );
}

#[test]
fn who_may_connect() {
    for text in [
        "authorization {user: a, pass: b}",
        "authorization {username: a, password: b}",
        "authorization: {\n user: a\n pass: b\n}",
    ] {
        check(text, |options| {
            options.authorization.credentials = Some(Credentials::User {
                name: "a".into(),
                password: "b".into(),
            });
        });
    }
    check("authorization {user: a}", |options| {
        options.authorization.credentials = Some(Credentials::User {
            name: "a".into(),
            password: String::new(),
        });
    });
    check("authorization {token: t}", |options| {
        options.authorization.credentials = Some(Credentials::Token("t".into()));
    });
    for timeout in ["0.5", "\"500ms\""] {
        check(
            &format!("authorization {{timeout: {timeout}}}"),
            |options| {
                options.authorization.timeout = Some(Duration::from_millis(500));
            },
        );
    }
    check("authorization {timeout: 3}", |options| {
        options.authorization.timeout = Some(Duration::from_secs(3));
    });
    check("authorization {}", |_| {});
    check("authorization {timeout: 0}", |_| {});
    refused(
        "authorization {token: t, user: a}",
        "nats.conf:1:1: Cannot have a user/pass and token",
    );
    refused(
        "authorization {pass: b}",
        "nats.conf:1:1: a password needs a user",
    );
    refused(
        "authorization {user: a, pass: $2a$11$abc}",
        "nats.conf:1:25: bcrypt hashes are not supported by this version of Everjet yet; write the plain text",
    );
    refused(
        "authorization: x",
        "nats.conf:1:1: \"authorization\" needs a block, not a text",
    );
    refused(
        "authorization {user: 5}",
        "nats.conf:1:16: \"user\" needs a text, not a whole number",
    );
    refused(
        "authorization {\n  foo: 1\n}",
        "nats.conf:2:3: unknown field \"foo\"",
    );
    refused(
        "authorization {users: []}",
        "nats.conf:1:16: option \"users\" is not supported by this version of Everjet yet (known to nats-server); \
         remove it to start",
    );
}

#[test]
fn jetstream_may_have_a_domain_and_be_lenient() {
    check(
        "jetstream {domain: hub}",
        jetstream(|jetstream| jetstream.domain = Some("hub".to_owned())),
    );
    check("jetstream {domain: \"\", strict: true}", jetstream(|_| {}));
    check(
        "jetstream {strict: false}",
        jetstream(|jetstream| jetstream.is_lenient = true),
    );
    for domain in ["a.b", "a*", ">", "a b"] {
        refused(
            &format!("jetstream {{domain: \"{domain}\"}}"),
            "nats.conf:1:12: invalid domain name: may not contain blanks, ., * or >",
        );
    }
}

#[test]
fn jetstream_is_turned_on_and_off() {
    for text in [
        "jetstream: true",
        "jetstream: enabled",
        "jetstream: ENABLED",
        "jetstream: {}",
        "jetstream {enabled: true}",
        "jetstream {sync: always}",
        "jetstream {max_mem: -1}",
    ] {
        check(text, jetstream(|_| {}));
    }
    for text in [
        "jetstream: false",
        "jetstream: disabled",
        "jetstream {enabled: false}",
        "jetstream {max_mem: 1G, enabled: false}",
    ] {
        check(text, |_| {});
    }
    refused(
        "jetstream: maybe",
        "nats.conf:1:1: Expected 'enabled' or 'disabled' for string value, got 'maybe'",
    );
    refused(
        "jetstream: 5",
        "nats.conf:1:1: Expected map, bool or string to define JetStream, got a whole number",
    );
    refused(
        "jetstream {enabled: \"no\"}",
        "nats.conf:1:12: \"enabled\" needs true or false, not a text",
    );
}

#[test]
fn keys_of_the_store() {
    let encrypted = |text: &str, previous: Option<&str>, cipher: StoreCipher| {
        let loaded = read(text).expect("it is in order");
        let jetstream = loaded.options.jetstream.expect("it is on");
        let options = jetstream.encryption.clone().expect("there is a key");
        assert_eq!(options.key.reveal(), "s3cret", "{text}");
        let found = options.previous.as_ref().map(Secret::reveal);
        assert_eq!((found, options.cipher), (previous, cipher), "{text}");
        let shown = format!("{jetstream:?}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("0ld"),
            "{shown}"
        );
    };
    for key in ["key", "ek", "encryption_key", "Encryption_Key"] {
        let text = format!("jetstream {{{key}: s3cret}}");
        encrypted(&text, None, StoreCipher::ChaCha);
    }
    for key in ["prev_key", "prev_ek", "prev_encryption_key"] {
        let text = format!("jetstream {{{key}: \"0ld\", key: s3cret}}");
        encrypted(&text, Some("0ld"), StoreCipher::ChaCha);
    }
    for (word, cipher) in [
        ("chacha", StoreCipher::ChaCha),
        ("ChaChaPoly", StoreCipher::ChaCha),
        ("AES", StoreCipher::Aes),
    ] {
        let text = format!("jetstream {{cipher: {word}, key: \"s3cret\"}}");
        encrypted(&text, None, cipher);
    }
    for (text, expected) in [
        ("jetstream {key: \"\"}", "nats.conf:1:12: \"key\" is empty"),
        (
            "jetstream {key: 5}",
            "nats.conf:1:12: \"key\" needs a text (in quotes, should it begin with a digit), not a whole number",
        ),
        (
            "jetstream {key: a, cipher: rot13}",
            "nats.conf:1:20: Unknown cipher type: \"rot13\"",
        ),
        (
            "jetstream {cipher: aes}",
            "nats.conf:1:12: \"cipher\" needs a key: nothing is encrypted without",
        ),
        (
            "jetstream {prev_key: a}",
            "nats.conf:1:12: \"prev_key\" needs a key: nothing is encrypted without",
        ),
    ] {
        refused(text, expected);
    }
}

#[test]
fn jetstream_options() {
    for text in [
        "jetstream {store_dir: /s}",
        "jetstream {StoreDir: /s}",
        "store_dir: /s\njetstream: true",
        "jetstream: true\nstoredir: /s",
    ] {
        check(
            text,
            jetstream(|options| options.store_dir = Some("/s".into())),
        );
    }
    for key in ["max_memory_store", "max_mem_store", "max_mem", "memory"] {
        for size in ["1GB", "\"1G\""] {
            check(
                &format!("jetstream {{{key}: {size}}}"),
                jetstream(|options| options.max_memory_store = Some(1 << 30)),
            );
        }
    }
    for key in ["max_file_store", "max_file", "file"] {
        check(
            &format!("jetstream {{{key}: 10GB}}"),
            jetstream(|options| options.max_file_store = Some(10 << 30)),
        );
    }
    for key in ["sync_interval", "sync"] {
        check(
            &format!("jetstream {{{key}: \"10s\"}}"),
            jetstream(|options| options.sync = SyncPolicy::Every(Duration::from_secs(10))),
        );
        check(&format!("jetstream {{{key}: always}}"), jetstream(|_| {}));
    }
    refused(
        "store_dir: /a\njetstream {store_dir: /b}",
        "nats.conf:2:12: Duplicate 'store_dir' configuration",
    );
    refused(
        "jetstream {sync: \"0s\"}",
        "nats.conf:1:12: sync must be longer than zero; write always to sync before each acknowledgement",
    );
    refused(
        "jetstream {sync: \"abc\"}",
        "nats.conf:1:12: error parsing sync: duration \"abc\" is not a number with a unit, like 30s",
    );
    refused(
        "jetstream {max_mem: \"1X\"}",
        "nats.conf:1:12: max_mem: size \"1X\" is not a whole number with one of B, K, KB, KiB, M, MB, MiB, G, GB, GiB, \
         T, TB, TiB",
    );
    refused(
        "jetstream {max_file: true}",
        "nats.conf:1:12: \"max_file\" needs a number of bytes such as 10GB, not a boolean",
    );
    refused(
        "jetstream {\n  foo: 1\n}",
        "nats.conf:2:3: unknown field \"foo\"",
    );
}

#[test]
fn the_command_line_can_turn_on_what_the_file_describes() {
    let mut options = read("store_dir: /s").expect("it is right").options;
    assert_eq!(options.jetstream, None);
    let crate::Invocation::Run(overrides) = crate::parse_args(&["-js".to_owned()]) else {
        panic!();
    };
    overrides.apply(&mut options).expect("it fits");
    assert_eq!(
        options.jetstream,
        Some(JetStreamOptions {
            store_dir: Some("/s".into()),
            ..JetStreamOptions::default()
        })
    );
}

#[test]
fn every_key_that_is_not_built_is_refused_by_name() {
    let open = |block: Block| match block {
        Block::Top => "",
        Block::Authorization => "authorization {",
        Block::JetStream => "jetstream {",
        Block::Tls => "tls {",
        Block::WebSocket => "websocket {",
    };
    for block in [
        Block::Top,
        Block::Authorization,
        Block::JetStream,
        Block::Tls,
        Block::WebSocket,
    ] {
        let before = open(block);
        let after = if before.is_empty() { "" } else { "}" };
        for key in block.keys() {
            let column = before.len() + 1;
            refused(
                &format!("{before}{key}: 1{after}"),
                &format!(
                    "nats.conf:1:{column}: option {key:?} is not supported by this version of Everjet yet (known to \
                     nats-server); remove it to start"
                ),
            );
        }
    }
    refused(
        "port: 1\n  Http: 1",
        "nats.conf:2:3: option \"Http\" is not supported by this version of Everjet yet (known to nats-server); remove it to start",
    );
    refused(
        "Cluster { name: x }",
        "nats.conf:1:1: option \"Cluster\" is not supported by this version of Everjet yet (known to nats-server); remove it to start",
    );
}

#[test]
fn unknown_keys_are_refused_unless_they_are_variables() {
    refused("foo: 1", "nats.conf:1:1: unknown field \"foo\"");
    refused("\n  foo: 1\n", "nats.conf:2:3: unknown field \"foo\"");
    check("P = 5000\nport: $P", |options| options.listen.port = 5000);
    check(
        "jetstream { S = /s\n store_dir: $S }",
        jetstream(|options| options.store_dir = Some("/s".into())),
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    refused(
        "port: x\nfoo: 1\nhttp: true\ndebug: 2",
        "nats.conf:1:1: \"port\" needs a whole number, not a text\nnats.conf:2:1: unknown field \"foo\"\nnats.conf:3:1: \
         option \"http\" is not supported by this version of Everjet yet (known to nats-server); remove it to \
         start\nnats.conf:4:1: \"debug\" needs true or false, not a whole number",
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = load("nope.conf", &mut OneFile("")).expect_err("it is not there");
    assert_eq!(
        error.to_string(),
        "open nope.conf: no such file or directory"
    );
}

#[test]
fn options_must_fit_together() {
    let error = |text: &str| {
        let options = read(text).expect(text).options;
        options.validate().map_err(|error| error.to_string())
    };
    assert_eq!(error("port: 1"), Ok(()));
    assert_eq!(error("max_pending: 1mb\nmax_payload: 1mb"), Ok(()));
    assert_eq!(
        error("max_pending: 1mb\nmax_payload: 2mb"),
        Err("max_payload (2097152) cannot be higher than max_pending (1048576)".to_owned())
    );
    assert_eq!(
        error("lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"30s\""),
        Err(
            "lame duck grace period (30s) should be strictly lower than lame duck duration (30s)"
                .to_owned()
        )
    );
    let named = Options {
        server_name: Some("a b".into()),
        ..Options::default()
    };
    assert_eq!(
        named.validate().map_err(|error| error.to_string()),
        Err("server name cannot contain spaces".to_owned())
    );
}

#[test]
fn large_payloads_are_advised_against() {
    let advice = |text: &str| read(text).expect(text).options.advice();
    assert_eq!(advice("max_payload: 8MB"), Vec::<String>::new());
    assert_eq!(advice("max_payload: 9MB").len(), 1);
}

/// The file of the story that the README tells: comments between the entries of a block.
#[test]
fn the_file_of_the_story_is_read() {
    let text = "\
# nats-server.conf
jetstream: {
  # Enable JetStream
  enabled: true
  # Store data in a directory
  store_dir: \"./jetstream_data\"
}
";
    check(
        text,
        jetstream(|options| options.store_dir = Some("./jetstream_data".into())),
    );
}

#[test]
fn comments_may_stand_beside_and_between_options() {
    let text = "\
port: 5000            # clients
jetstream: {
  store_dir: \"/data/orders\"   // one folder for everything
  // Acknowledged means on disk.
  sync_interval: always
  # max_file_store: 10GB
}
";
    check(text, |options| {
        options.listen.port = 5000;
        options.jetstream = Some(JetStreamOptions {
            store_dir: Some("/data/orders".into()),
            ..JetStreamOptions::default()
        });
    });
}
