use super::*;
use crate::{Advertise, Credentials, JetStreamOptions, Options, SignalCommand, TlsOptions};

fn parse(line: &str) -> Invocation {
    let args: Vec<String> = line
        .split(' ')
        .filter(|arg| !arg.is_empty())
        .map(str::to_owned)
        .collect();
    parse_args(&args)
}

fn run(line: &str) -> Options {
    let Invocation::Run(overrides) = parse(line) else {
        panic!("{line} does not run");
    };
    let mut options = Options::default();
    overrides.apply(&mut options).expect(line);
    options
}

/// Runs a change on the default options and compares with what the command line gives.
fn check(line: &str, change: impl FnOnce(&mut Options)) {
    let mut expected = Options::default();
    change(&mut expected);
    assert_eq!(run(line), expected, "{line}");
}

#[test]
fn every_flag_sets_its_option() {
    check("", |_| {});
    for line in ["-a ::1", "--addr ::1", "-net=::1"] {
        check(line, |options| options.listen.host = "::1".into());
    }
    for line in ["-p 5000", "--port 5000", "-p=5000", "--port=5000"] {
        check(line, |options| options.listen.port = 5000);
    }
    check("-p -1", |options| options.listen.port = 0);
    check("-p 0", |_| {});
    for line in ["-n one", "--name one", "-server_name one"] {
        check(line, |options| options.server_name = Some("one".into()));
    }
    for line in ["-P f", "--pid f"] {
        check(line, |options| options.files.pid_file = Some("f".into()));
    }
    check("--ports_file_dir d", |options| {
        options.files.ports_file_dir = Some("d".into())
    });
    for line in ["-l f", "--log f"] {
        check(line, |options| options.logging.file = Some("f".into()));
    }
    for line in ["-T=false", "--logtime=0"] {
        check(line, |options| options.logging.time = false);
    }
    check("-T", |_| {});
    check("--logtime_utc", |options| options.logging.utc = true);
    for line in ["-D", "--debug", "-D=true", "-D=f -D=1"] {
        check(line, |options| options.logging.debug = true);
    }
    for line in ["-js", "--jetstream"] {
        check(line, |options| {
            options.jetstream = Some(JetStreamOptions::default())
        });
    }
    for line in ["-js -sd d", "--store_dir=d -js"] {
        check(line, |options| {
            options.jetstream = Some(JetStreamOptions {
                store_dir: Some("d".into()),
                ..JetStreamOptions::default()
            });
        });
    }
    check("--user a --pass b", |options| {
        options.authorization.credentials = Some(Credentials::User {
            name: "a".into(),
            password: "b".into(),
        });
    });
    check("--auth t", |options| {
        options.authorization.credentials = Some(Credentials::Token("t".into()));
    });
}

#[test]
fn the_configuration_file_is_named() {
    for line in ["-c f", "--config f", "--config=f"] {
        let Invocation::Run(overrides) = parse(line) else {
            panic!("{line}");
        };
        assert_eq!(overrides.config.as_deref(), Some("f"));
    }
    assert!(
        matches!(parse("-c f -t"), Invocation::TestConfig(Overrides { config: Some(file), .. }) if file == "f")
    );
}

#[test]
fn the_command_line_wins_over_the_file() {
    let mut options = Options {
        jetstream: Some(JetStreamOptions {
            store_dir: Some("of-file".into()),
            ..JetStreamOptions::default()
        }),
        ..Options::default()
    };
    options.logging.debug = true;
    options.authorization.credentials = Some(Credentials::User {
        name: "a".into(),
        password: "of-file".into(),
    });
    let Invocation::Run(overrides) = parse("-D=false -sd d --pass b") else {
        panic!();
    };
    overrides.apply(&mut options).expect("they fit");
    assert!(!options.logging.debug);
    assert_eq!(
        options
            .jetstream
            .as_ref()
            .and_then(|jetstream| jetstream.store_dir.as_deref()),
        Some("d")
    );
    assert_eq!(
        options.authorization.credentials,
        Some(Credentials::User {
            name: "a".into(),
            password: "b".into(),
        })
    );
    let Invocation::Run(overrides) = parse("-js=false") else {
        panic!();
    };
    overrides.apply(&mut options).expect("they fit");
    assert_eq!(options.jetstream, None);
}

#[test]
fn credentials_that_exclude_each_other_are_refused() {
    for (line, text) in [
        ("--user a --auth t", "Cannot have a user/pass and token"),
        ("--pass b", "a password needs a user"),
        (
            "--user a --pass $2a$11$x",
            "bcrypt hashes are not supported by this version of Everjet yet; write the plain text",
        ),
    ] {
        let Invocation::Run(overrides) = parse(line) else {
            panic!("{line}");
        };
        let error = overrides.apply(&mut Options::default()).expect_err(line);
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn mistakes_in_flags_show_the_usage_and_exit_with_zero() {
    for (line, stderr) in [
        ("-x", "flag provided but not defined: -x"),
        ("--xyz=1", "flag provided but not defined: -xyz"),
        ("-p abc", "invalid value \"abc\" for flag -p: parse error"),
        ("-p", "flag needs an argument: -p"),
        ("-c", "flag needs an argument: -c"),
        (
            "-D=maybe",
            "invalid boolean value \"maybe\" for -D: parse error",
        ),
        ("---t", "bad flag syntax: ---t"),
        ("-=x", "bad flag syntax: -=x"),
    ] {
        assert_eq!(
            parse(line),
            Invocation::Refuse {
                stderr: stderr.to_owned(),
                usage: true,
                exit: 0,
            },
            "{line}"
        );
    }
}

#[test]
fn everything_else_that_is_wrong_exits_with_one() {
    for (line, stderr) in [
        ("foo", "nats-server: unrecognized command: \"foo\""),
        ("-D false", "nats-server: unrecognized command: \"false\""),
        ("-- -t", "nats-server: unrecognized command: \"-t\""),
        ("-", "nats-server: unrecognized command: \"-\""),
        (
            "-t",
            "nats-server: must specify [-c, --config] option to check configuration file syntax",
        ),
        (
            "-m 8222",
            "nats-server: flag -m is not supported by this version of Everjet yet (known to nats-server); remove it to \
             start",
        ),
        (
            "--cluster nats://x:1",
            "nats-server: flag -cluster is not supported by this version of Everjet yet (known to nats-server); \
             remove it to start",
        ),
        (
            "-p 99999",
            "nats-server: port 99999 is not from 1 to 65535, or -1 for any free port",
        ),
    ] {
        assert_eq!(
            parse(line),
            Invocation::Refuse {
                stderr: stderr.to_owned(),
                usage: false,
                exit: 1,
            },
            "{line}"
        );
    }
}

#[test]
fn flags_of_tls() {
    let tls = |line: &str| run(line).tls;
    assert_eq!(
        tls("--tls --tlscert c --tlskey k"),
        Some(TlsOptions::new("c", "k"))
    );
    assert_eq!(
        tls("--tlscert c --tlskey k"),
        Some(TlsOptions::new("c", "k"))
    );
    assert_eq!(tls("--tlscert c --tlskey k --tls=false"), None);
    assert_eq!(
        tls("--tlscert c --tlskey k --tlsverify --tlscacert a"),
        Some(TlsOptions {
            verify: true,
            ca_file: Some("a".to_owned()),
            ..TlsOptions::new("c", "k")
        })
    );
    for (line, text) in [
        ("--tls", "TLS Server certificate must be present and valid"),
        (
            "--tlsverify",
            "TLS Server certificate must be present and valid",
        ),
        (
            "--tlskey k",
            "TLS Server certificate must be present and valid",
        ),
        (
            "--tlscert c",
            "TLS Server private key must be present and valid",
        ),
        (
            "--tlscert c --tlskey k --tlsverify",
            "'verify' needs 'ca_file': certificates of clients are not checked against those of the system",
        ),
    ] {
        let Invocation::Run(overrides) = parse(line) else {
            panic!("{line} does not run");
        };
        let result = overrides.apply(&mut Options::default());
        assert_eq!(result.expect_err(line).to_string(), text, "{line}");
    }
}

#[test]
fn flags_of_tls_win_over_the_file_and_leave_the_rest_of_it() {
    let of_file = TlsOptions {
        verify: true,
        ca_file: Some("a".to_owned()),
        timeout: std::time::Duration::from_secs(7),
        ..TlsOptions::new("f", "g")
    };
    for (line, expected) in [
        (
            "--tlscert c --tlskey k",
            Some(TlsOptions {
                certificates: TlsOptions::new("c", "k").certificates,
                ..of_file.clone()
            }),
        ),
        ("--tls", Some(of_file.clone())),
        (
            "--tlscacert b",
            Some(TlsOptions {
                ca_file: Some("b".to_owned()),
                ..of_file.clone()
            }),
        ),
        ("--tls=false", None),
    ] {
        let Invocation::Run(overrides) = parse(line) else {
            panic!("{line} does not run");
        };
        let mut options = Options {
            tls: Some(of_file.clone()),
            ..Options::default()
        };
        overrides.apply(&mut options).expect(line);
        assert_eq!(options.tls, expected, "{line}");
    }
}

#[test]
fn tracing_comes_alone_or_with_debugging() {
    let logged = |line: &str| {
        let logging = run(line).logging;
        (logging.debug, logging.trace)
    };
    assert_eq!(logged(""), (false, false));
    for line in ["-V", "--trace", "-VV"] {
        assert_eq!(logged(line), (false, true), "{line}");
    }
    for line in ["-DV", "-DVV", "-D -V"] {
        assert_eq!(logged(line), (true, true), "{line}");
    }
    assert_eq!(logged("-DV -V=false"), (true, false));
    check("--max_traced_msg_len 40", |options| {
        options.logging.traced_payload_max = Some(40);
    });
    check("--max_traced_msg_len 0", |_| {});
    check("--client_advertise foo:7", |options| {
        let (host, port) = ("foo".to_owned(), Some(7));
        options.listen.client_advertise = Some(Advertise { host, port });
    });
    check("--client_advertise=", |_| {});
}

#[test]
fn a_running_server_is_told_something() {
    let told = |command, target: &str| {
        let target = target.to_owned();
        Invocation::Signal(SignalRequest { command, target })
    };
    assert_eq!(parse("-sl ldm=17"), told(SignalCommand::LameDuck, "17"));
    assert_eq!(
        parse("--signal=quit=/run/nats.pid"),
        told(SignalCommand::Quit, "/run/nats.pid")
    );
    for (name, command) in [
        ("stop", SignalCommand::Stop),
        ("term", SignalCommand::Terminate),
        ("reopen", SignalCommand::Reopen),
        ("reload", SignalCommand::Reload),
    ] {
        assert_eq!(parse(&format!("--signal {name}")), told(command, ""));
    }
    assert_eq!(parse("-sl ldm -v"), Invocation::Version);
    assert_eq!(
        parse("-sl foo=1"),
        Invocation::Refuse {
            stderr: "nats-server: unknown signal \"foo\"".to_owned(),
            usage: false,
            exit: 1,
        }
    );
}

#[test]
fn version_and_help_come_as_flags_and_words() {
    for line in ["-v", "--version", "version", "-v foo", "-t -v"] {
        assert_eq!(parse(line), Invocation::Version, "{line}");
    }
    for line in ["-h", "--help", "help", "HELP"] {
        assert_eq!(parse(line), Invocation::Help, "{line}");
    }
}

#[test]
fn the_usage_names_every_flag() {
    let usage = usage();
    assert!(usage.starts_with("\nUsage: nats-server [options]\n"));
    for name in FLAGS.iter().flat_map(|row| row.names) {
        assert!(usage.contains(&format!("-{name}")), "{name}");
    }
    for name in flags::UNSUPPORTED {
        assert!(flags::find(name).is_none(), "{name}");
    }
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let shown = format!("{:?}", parse("--user a --pass hush --auth hush"));
    assert!(!shown.contains("hush"), "{shown}");
    let shown = format!("{:?}", run("--user a --pass hush"));
    assert!(!shown.contains("hush"), "{shown}");
}
