//! A server and the tool, as processes.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// The server executable: the one that `EVERJET_TEST_SERVER_BIN` names, else the workspace's own `nats-server` beside
/// this test's executable.
fn server_executable() -> PathBuf {
    if let Some(path) = std::env::var_os("EVERJET_TEST_SERVER_BIN") {
        return PathBuf::from(path);
    }
    let test = std::env::current_exe().expect("a test knows its path");
    let built = test
        .parent()
        .and_then(Path::parent)
        .expect("test executables are in the deps folder")
        .join("nats-server");
    assert!(
        built.exists(),
        "no server to test against: build it (cargo build -p everjet-server) so that {} exists, or name one with \
         EVERJET_TEST_SERVER_BIN",
        built.display()
    );
    built
}

/// A server on a free port with a folder of its own.
pub(crate) struct Server {
    child: Child,
    arguments: Vec<String>,
    folder: tempfile::TempDir,
    port: u16,
}

impl Server {
    /// A server with JetStream.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = folder.path().join("store").display().to_string();
        Self::start_in(folder, &["-js", "-sd", &store])
    }

    /// A server without JetStream and with these arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self::start_in(folder, arguments)
    }

    fn start_in(folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let (child, port) = launch(&arguments, "-1");
        Self {
            child,
            arguments,
            folder,
            port,
        }
    }

    /// Kills the server without notice and starts it again on the same port and folder.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let (child, port) = launch(&self.arguments, &self.port.to_string());
        assert_eq!(port, self.port);
        self.child = child;
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The tool, set up to talk to this server, with an empty configuration folder.
    pub(crate) fn nats<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Command {
        let mut command = nats(self.folder.path());
        command.env("NATS_URL", self.url()).args(arguments);
        command
    }

    /// Runs the tool; the line is split at blanks.
    pub(crate) fn run(&self, line: &str) -> Outcome {
        run(self.nats(line.split(' ')), "")
    }

    /// Runs the tool and expects exit code 0.
    pub(crate) fn succeed(&self, line: &str) -> Outcome {
        let outcome = self.run(line);
        assert_eq!(outcome.code, 0, "{line}: {outcome:?}");
        outcome
    }

    /// Runs the tool and expects exit code 1 and an error that contains `text`, with nothing on standard output.
    pub(crate) fn fail(&self, line: &str, text: &str) {
        let outcome = self.run(line);
        assert_eq!(outcome.code, 1, "{line}: {outcome:?}");
        assert!(
            outcome.stderr.contains("nats: error: "),
            "{line}: {outcome:?}"
        );
        assert!(outcome.stderr.contains(text), "{line}: {outcome:?}");
        assert_eq!(outcome.stdout, "", "{line}");
    }

    /// As [`Server::fail`] for a command that shows something before it fails.
    pub(crate) fn fail_after_output(&self, line: &str, text: &str) {
        let outcome = self.run(line);
        assert_eq!(outcome.code, 1, "{line}: {outcome:?}");
        assert!(outcome.stderr.contains(text), "{line}: {outcome:?}");
        assert_ne!(outcome.stdout, "", "{line}");
    }

    fn stop(&mut self) {
        // It may be gone already; what counts is that it is not running after this.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

#[expect(
    clippy::zombie_processes,
    reason = "the caller waits; where this panics the test process ends anyway"
)]
fn launch(arguments: &[String], port: &str) -> (Child, u16) {
    let executable = server_executable();
    let mut child = Command::new(&executable)
        .args(["-a", "127.0.0.1", "-p", port])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", executable.display()));
    let lines = lines_of(child.stderr.take().expect("piped"));
    let mut log = String::new();
    let mut port = None;
    loop {
        let Ok(line) = lines.recv_timeout(PATIENCE) else {
            panic!("the server did not get ready:\n{log}");
        };
        log.push_str(&line);
        log.push('\n');
        if let Some((_, address)) = line.split_once("Listening for client connections on ") {
            port = address
                .trim()
                .rsplit(':')
                .next()
                .and_then(|port| port.parse().ok());
        }
        if line.contains("Server is ready") {
            // The rest of the log is read and dropped by the thread behind `lines`.
            return (child, port.expect("the server says its port"));
        }
    }
}

/// The tool with no server named and nothing of this machine's settings.
pub(crate) fn nats(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nats"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("NATS_") {
            command.env_remove(name);
        }
    }
    command.env("XDG_CONFIG_HOME", config);
    command
}

/// What a run of the tool left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Standard output, which must be one JSON document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Standard output, which must be a JSON document on each line.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {self:?}")))
            .collect()
    }
}

/// Runs a command with this standard input to its end.
pub(crate) fn run(mut command: Command, input: &str) -> Outcome {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool starts");
    let mut stdin = child.stdin.take().expect("piped");
    // The tool need not read its input; then the pipe breaks.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let stdout = all_of(child.stdout.take().expect("piped"));
    let stderr = all_of(child.stderr.take().expect("piped"));
    let text = |end: Receiver<String>, child: &mut Child| {
        end.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("the tool did not end: {command:?}")
        })
    };
    let stdout = text(stdout, &mut child);
    let stderr = text(stderr, &mut child);
    let code = child.wait().expect("it ended").code();
    Outcome {
        code: code.expect("it was not killed"),
        stdout,
        stderr,
    }
}

/// The tool running beside the test.
pub(crate) struct Background {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Background {
    /// Starts a command.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool starts");
        let stdout = lines_of(child.stdout.take().expect("piped"));
        let stderr = lines_of(child.stderr.take().expect("piped"));
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// The next line of standard output.
    pub(crate) fn line(&self) -> String {
        self.stdout.recv_timeout(PATIENCE).expect("a further line")
    }

    /// Waits for a line of standard error that contains `text`.
    pub(crate) fn wait_for(&self, text: &str) {
        while let Ok(line) = self.stderr.recv_timeout(PATIENCE) {
            if line.contains(text) {
                return;
            }
        }
        panic!("{text:?} never came");
    }

    /// Waits for its end and returns the exit code and the lines of standard output not yet taken.
    pub(crate) fn finish(mut self) -> (i32, Vec<String>) {
        let mut lines = Vec::new();
        // The channel closes when the process ends.
        while let Ok(line) = self.stdout.recv_timeout(PATIENCE) {
            lines.push(line);
        }
        match self.child.try_wait().expect("its own child") {
            Some(status) => (status.code().expect("it was not killed"), lines),
            None => {
                let status = self.child.wait().expect("its own child");
                (status.code().expect("it was not killed"), lines)
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        // Reading goes on when nobody listens, so that the process never blocks on a full pipe.
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

fn all_of(mut source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = source.read_to_end(&mut text);
        let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
    });
    receiver
}
