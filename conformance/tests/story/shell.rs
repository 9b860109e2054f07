//! Typing commands: the server with the story's configuration file, and `nats` beside it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use everjet_conformance::{ServerProcess, executable};

/// The configuration file of the story, word for word.
pub(crate) const CONFIG: &str = r#"# nats-server.conf
jetstream: {
  # Enable JetStream
  enabled: true
  # Store data in a directory
  store_dir: "./jetstream_data"
}
"#;

/// The command that adds the stream, word for word.
pub(crate) const ADD: &str = r#"nats stream add ORDERS --subjects "order.*" --storage file --replicas 1 --retention days=7 --max-age 7d --max-msg-size 1MB"#;

/// How long a line that must come may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts the server in a fresh directory. Only the port differs from the story: tests run beside each other.
pub(crate) fn start() -> ServerProcess {
    ServerProcess::start(CONFIG)
}

/// `<store_dir>/jetstream`.
pub(crate) fn store(server: &ServerProcess) -> PathBuf {
    server.directory().join("jetstream_data").join("jetstream")
}

/// The folder of the stream ORDERS, wherever its account's folder is.
pub(crate) fn orders_folder(server: &ServerProcess) -> Option<PathBuf> {
    let accounts = std::fs::read_dir(store(server)).ok()?;
    accounts
        .filter_map(Result::ok)
        .map(|account| account.path().join("streams/ORDERS"))
        .find(|folder| folder.is_dir())
}

/// What a command printed.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    fn new(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Both outputs.
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// Runs a line as a shell would, without a terminal.
#[track_caller]
pub(crate) fn run(server: &ServerProcess, line: &str) -> Said {
    run_with_input(server, line, b"")
}

/// Runs a line with something on standard input.
#[track_caller]
pub(crate) fn run_with_input(server: &ServerProcess, line: &str, input: &[u8]) -> Said {
    let mut child = command(server, line)
        .stdin(Stdio::piped())
        .spawn()
        .expect("the executable starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_vec();
    let writer = thread::spawn(move || {
        // A command that does not read its input is free to close it.
        let _ = stdin.write_all(&input);
    });
    let output = child
        .wait_with_output()
        .expect("our own child can be waited for");
    writer.join().expect("it does not panic");
    Said::new(&output)
}

/// Runs a line that must succeed.
#[track_caller]
pub(crate) fn ok(server: &ServerProcess, line: &str) -> Said {
    let said = run(server, line);
    assert_eq!(said.code, Some(0), "{line}\n{said:?}");
    said
}

/// Runs a line that must fail with code 1, and say each of `words`.
#[track_caller]
pub(crate) fn fails(server: &ServerProcess, line: &str, words: &[&str]) {
    let said = run(server, line);
    assert_eq!(said.code, Some(1), "{line}\n{said:?}");
    for word in words {
        assert!(said.err.contains(word), "{line}: no {word:?} in {said:?}");
    }
}

/// A command that stays, such as `nats sub`.
pub(crate) struct Running {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Running {
    /// Starts a line.
    #[track_caller]
    pub(crate) fn start(server: &ServerProcess, line: &str) -> Self {
        let mut child = command(server, line)
            .stdin(Stdio::null())
            .spawn()
            .expect("the executable starts");
        let out = lines(child.stdout.take().expect("stdout is piped"));
        let err = lines(child.stderr.take().expect("stderr is piped"));
        Self { child, out, err }
    }

    /// Reads standard output until a line holds `text`; returns that line and those before.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) -> Vec<String> {
        wait(&self.out, text)
    }

    /// The next line of standard output, if there is one within some milliseconds.
    pub(crate) fn try_line(&self) -> Option<String> {
        self.out.recv_timeout(Duration::from_millis(20)).ok()
    }

    /// The same as [`Self::wait_for`] with standard error.
    #[track_caller]
    pub(crate) fn wait_for_error(&self, text: &str) -> Vec<String> {
        wait(&self.err, text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn wait(lines: &Receiver<String>, text: &str) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => seen.push(line),
            Err(error) => panic!("waiting for {text:?}: {error}; so far {seen:#?}"),
        }
        if seen.last().is_some_and(|line| line.contains(text)) {
            return seen;
        }
    }
}

fn lines(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn command(server: &ServerProcess, line: &str) -> Command {
    let mut words = split(line).into_iter();
    let program = match words.next().as_deref() {
        Some("nats") => executable::cli(),
        Some("nats-server") => executable::server(),
        other => panic!("{other:?} is no command of the story"),
    };
    let mut command = Command::new(program);
    command
        .args(words)
        .current_dir(server.directory())
        .env("NATS_URL", server.url())
        // Nobody's saved contexts take part.
        .env("HOME", server.directory())
        .env("XDG_CONFIG_HOME", server.directory().join("config"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Splits a line at blanks outside quotes, as far as the story needs it.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for letter in line.chars() {
        match quote {
            Some(open) if letter == open => quote = None,
            Some(_) => word.push(letter),
            None if letter == '"' || letter == '\'' => quote = Some(letter),
            None if letter == ' ' => {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)))
            }
            None => word.push(letter),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// All files below a folder, relative to it, sorted.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next)
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
        {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if let Ok(path) = entry.path().strip_prefix(folder) {
                found.push(path.to_path_buf());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn quotes_hold_words_together() {
    assert_eq!(
        split(r#"nats pub order.new '{"id": "123"}'"#),
        ["nats", "pub", "order.new", r#"{"id": "123"}"#]
    );
    assert_eq!(split(ADD)[4..6], ["--subjects", "order.*"]);
}
