//! The binary `nats-server`: command line, configuration file, signals. A library module, so that other binaries can be it too.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use everjet_api::NATS_VERSION;
use everjet_config::{Invocation, Loaded, Options, Overrides, Sources, load, parse_args, usage};
use everjet_net::TlsContext;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use crate::options::builder_of;
use crate::reload::reload;
use crate::signals;
use crate::{Log, LogLevel, LogOptions, Server, ServerError, check, import};

/// Runs the server as its binary does, until a signal ends it.
#[must_use]
pub fn run(args: &[String]) -> ExitCode {
    match args.split_first() {
        Some((command, rest)) if command == "import-store" => return import::run(rest),
        Some((command, rest)) if command == "check" => return check::run(rest),
        _ => {}
    }
    match parse_args(args) {
        Invocation::Version => {
            say_stdout(&format!("nats-server: v{NATS_VERSION}\n"));
            ExitCode::SUCCESS
        }
        Invocation::Help => {
            say_stdout(&usage());
            ExitCode::SUCCESS
        }
        Invocation::Refuse {
            stderr,
            usage: with_usage,
            exit,
        } => {
            say_stderr(&stderr);
            if with_usage {
                say_stdout(&usage());
            }
            ExitCode::from(exit)
        }
        Invocation::TestConfig(overrides) => test_config(&overrides),
        Invocation::Signal(request) => match signals::send(&request) {
            Ok(()) => ExitCode::SUCCESS,
            Err(text) => {
                say_stderr(&format!("nats-server: {text}"));
                ExitCode::FAILURE
            }
        },
        Invocation::Run(overrides) => match serve(&overrides) {
            Ok(()) => ExitCode::SUCCESS,
            Err(text) => {
                say_stderr(&format!("nats-server: {text}"));
                ExitCode::FAILURE
            }
        },
    }
}

fn test_config(overrides: &Overrides) -> ExitCode {
    let Some(path) = &overrides.config else {
        say_stderr("nats-server: no configuration file to test: use it with -c");
        return ExitCode::FAILURE;
    };
    match options(overrides) {
        Ok(loaded) if loaded.is_empty => {
            say_stderr(&format!(
                "nats-server: {path}: config has no values or is empty"
            ));
            ExitCode::FAILURE
        }
        Ok(loaded) => {
            // Certificates that cannot be used are a mistake of the file that names them.
            let tls = loaded.options.tls.as_ref().map(TlsContext::load);
            if let Some(Err(error)) = tls {
                say_stderr(&format!("nats-server: {path}: {error}"));
                return ExitCode::FAILURE;
            }
            say_stderr(&format!("nats-server: configuration file {path} is valid"));
            ExitCode::SUCCESS
        }
        Err(text) => {
            say_stderr(&format!("nats-server: {text}"));
            ExitCode::FAILURE
        }
    }
}

/// The options of file and command line together.
fn options(overrides: &Overrides) -> Result<Loaded, String> {
    let mut loaded = match &overrides.config {
        Some(path) => load(path, &mut Files).map_err(|errors| errors.to_string())?,
        None => Loaded {
            options: Options::default(),
            warnings: Vec::new(),
            is_empty: true,
        },
    };
    overrides
        .apply(&mut loaded.options)
        .map_err(|error| error.to_string())?;
    loaded
        .options
        .validate()
        .map_err(|error| error.to_string())?;
    Ok(loaded)
}

/// A panic is a bug, and a server that lost one of its threads must not go on as if nothing had happened.
#[expect(
    clippy::disallowed_methods,
    reason = "the panic has been shown by then"
)]
fn stop_on_panic() {
    let show = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        show(panic);
        std::process::abort();
    }));
}

fn serve(overrides: &Overrides) -> Result<(), String> {
    stop_on_panic();
    let loaded = options(overrides)?;
    let options = &loaded.options;
    // Before anything else runs, so that a signal during the start is not lost.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2])
        .map_err(|error| format!("signals cannot be handled: {error}"))?;
    let log = Log::open(LogOptions {
        time: options.logging.time,
        utc: options.logging.utc,
        debug: options.logging.debug,
        file: options.logging.file.as_ref().map(PathBuf::from),
    });
    let log = log.map_err(|cause| {
        let path = options.logging.file.clone().unwrap_or_default().into();
        ServerError::File { path, cause }.to_string()
    })?;
    let server = builder_of(options, log).map_err(|error| error.to_string())?;
    for warning in loaded
        .warnings
        .iter()
        .map(ToString::to_string)
        .chain(options.advice())
    {
        server.note(LogLevel::Warn, &warning);
    }
    let server = match server.start() {
        Ok(server) => server,
        Err(error) => return Err(error.to_string()),
    };
    let ports = announce(options, &server).map_err(|error| error.to_string())?;
    serve_until_told(&server, &mut signals, overrides, loaded.options.clone());
    if let Some(path) = ports
        && let Err(error) = std::fs::remove_file(&path)
    {
        say_stderr(&format!(
            "nats-server: cannot remove {}: {error}",
            path.display()
        ));
    }
    Ok(())
}

/// Does what signals ask for until the server has stopped. `current` is what it runs with.
fn serve_until_told(
    server: &Server,
    signals: &mut Signals,
    overrides: &Overrides,
    mut current: Options,
) {
    std::thread::scope(|scope| {
        let handle = signals.handle();
        for signal in signals.forever() {
            match signal {
                SIGINT => server.note(LogLevel::Info, "Trapped \"interrupt\" signal"),
                SIGTERM => {
                    server.note(LogLevel::Info, "Trapped \"terminated\" signal");
                    // As nats-server does it: Kubernetes asks for lame duck mode first and sends SIGTERM right behind.
                    if server.is_lame_duck() {
                        continue;
                    }
                }
                SIGUSR1 => {
                    server.reopen_log();
                    continue;
                }
                SIGHUP => {
                    server.note(LogLevel::Info, "Trapped \"hangup\" signal");
                    reload_configuration(server, overrides, &mut current);
                    continue;
                }
                _ => {
                    server.note(LogLevel::Info, "Trapped \"user defined signal 2\" signal");
                    let handle = handle.clone();
                    let begun = std::thread::Builder::new()
                        .name("lame-duck".to_owned())
                        .spawn_scoped(scope, move || {
                            if server.lame_duck() {
                                handle.close();
                            }
                        });
                    if let Err(error) = begun {
                        let text = format!("lame duck mode cannot begin: {error}");
                        server.note(LogLevel::Error, &text);
                    }
                    continue;
                }
            }
            break;
        }
        server.stop();
    });
}

/// Reads the configuration again and does what it says, or says why not.
fn reload_configuration(server: &Server, overrides: &Overrides, current: &mut Options) {
    let read = match overrides.config {
        Some(_) => options(overrides),
        None => {
            Err("can only reload config when a file is provided using -c or --config".to_owned())
        }
    };
    let outcome = read.and_then(|loaded| {
        let changes = reload(server, current, &loaded.options)?;
        Ok((loaded, changes))
    });
    match outcome {
        Ok((loaded, changes)) => {
            for warning in &loaded.warnings {
                server.note(LogLevel::Warn, &warning.to_string());
            }
            for change in changes {
                server.note(LogLevel::Info, &format!("Reloaded: {change}"));
            }
            server.note(LogLevel::Info, "Reloaded server configuration");
            *current = loaded.options;
        }
        Err(text) => server.note(
            LogLevel::Error,
            &format!("Failed to reload server configuration: {text}"),
        ),
    }
}

/// Writes the pid file and the ports file; returns the latter's path.
fn announce(options: &Options, server: &Server) -> Result<Option<PathBuf>, ServerError> {
    let write = |path: &Path, text: String| {
        std::fs::write(path, text).map_err(|cause| ServerError::File {
            path: path.to_owned(),
            cause,
        })
    };
    let pid = std::process::id();
    if let Some(path) = &options.files.pid_file {
        write(Path::new(path), pid.to_string())?;
    }
    let Some(directory) = &options.files.ports_file_dir else {
        return Ok(None);
    };
    let executable = std::env::current_exe().ok();
    let name = executable.as_deref().and_then(Path::file_name).map_or_else(
        || "nats-server".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    let path = Path::new(directory).join(format!("{name}_{pid}.ports"));
    let mut ports = serde_json::json!({ "nats": [server.client_url()] });
    if let Some(url) = server.websocket_url() {
        ports["websocket"] = serde_json::json!([url]);
    }
    write(&path, ports.to_string())?;
    Ok(Some(path))
}

/// Files and the environment as the configuration sees them.
struct Files;

impl Sources for Files {
    fn read(&mut self, path: &str) -> Result<String, String> {
        let bytes = std::fs::read(path).map_err(|error| {
            let why = match error.kind() {
                std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
                _ => error.to_string(),
            };
            format!("open {path}: {why}")
        })?;
        String::from_utf8(bytes)
            .map_err(|error| format!("open {path}: not UTF-8 text: {}", error.utf8_error()))
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

pub(crate) fn say_stdout(text: &str) {
    // A closed stdout or stderr leaves nobody to tell.
    drop(std::io::stdout().write_all(text.as_bytes()));
}

pub(crate) fn say_stderr(text: &str) {
    drop(std::io::stderr().write_all(format!("{text}\n").as_bytes()));
}
