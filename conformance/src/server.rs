//! A server process: started on a free port with a configuration text, stopped, killed, started again on the same directory.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use tempfile::TempDir;

use crate::{RawClient, executable};

const START_TIMEOUT: Duration = Duration::from_secs(20);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// Lines of the server's log that a failed test shows.
const LOG_LINES: usize = 40;
const POLL: Duration = Duration::from_millis(2);

/// A running server with a temporary directory of its own. Dropping it kills the process and removes the directory.
pub struct ServerProcess {
    child: Option<Child>,
    port: u16,
    directory: TempDir,
    arguments: Vec<String>,
    log: Arc<Mutex<String>>,
}

impl ServerProcess {
    /// Starts the server under test with `config` (`{dir}` stands for the process's own directory) and waits until it is ready.
    /// Without a configuration it is started without a file.
    ///
    /// Address and port are given on the command line: loopback, and a port that the system chooses.
    ///
    /// # Panics
    /// When the server does not become ready; the message holds its log.
    #[must_use]
    #[track_caller]
    pub fn start(config: &str) -> Self {
        Self::start_with(&executable::server(), config, &[])
    }

    /// As [`Self::start`], with JetStream on, its files in `<directory>/store`.
    #[must_use]
    #[track_caller]
    pub fn start_jetstream() -> Self {
        Self::start("jetstream: { enabled: true, store_dir: \"{dir}/store\" }\n")
    }

    /// As [`Self::start`], with another executable and further arguments.
    #[must_use]
    #[track_caller]
    pub fn start_with(server: &Path, config: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut all = vec![
            server.display().to_string(),
            "-a".to_owned(),
            "127.0.0.1".to_owned(),
        ];
        if !config.is_empty() {
            let file = directory.path().join("nats-server.conf");
            let config = config.replace("{dir}", &directory.path().display().to_string());
            fs::write(&file, config).expect("the temporary directory is writable");
            all.extend(["-c".to_owned(), file.display().to_string()]);
        }
        all.extend(arguments.iter().map(ToString::to_string));
        let mut process = Self {
            child: None,
            port: 0,
            directory,
            arguments: all,
            log: Arc::default(),
        };
        process.start_again();
        process
    }

    /// Starts the stopped or killed server again: same directory, same configuration, same port.
    ///
    /// # Panics
    /// When it is still running, or does not become ready.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.spawn_again();
        self.wait_until_ready();
    }

    /// As [`Self::start_again`], without waiting until it is ready: for who measures how long that takes.
    ///
    /// # Panics
    /// When it is still running, or its executable cannot be started.
    #[track_caller]
    pub fn spawn_again(&mut self) {
        assert!(self.child.is_none(), "the server is still running");
        let port = match self.port {
            0 => "-1".to_owned(),
            port => port.to_string(),
        };
        self.log.lock().expect("no panic while held").clear();
        let child = Command::new(&self.arguments[0])
            .args(&self.arguments[1..])
            .args(["-p", &port])
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => panic!("{}: {error}", self.arguments[0]),
        };
        let stderr = child.stderr.take().expect("stderr is piped");
        collect(stderr, Arc::clone(&self.log));
        self.child = Some(child);
    }

    /// Asks for a clean stop (SIGTERM) and waits for the end of the process.
    ///
    /// # Panics
    /// When it is not running, or does not end in time.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the server is running");
        kill_process(pid_of(&child), Signal::TERM).expect("our own child can be signalled");
        self.wait_for(&mut child)
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is not running.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server is running");
        kill_process(pid_of(child), signal).expect("our own child can be signalled");
    }

    /// Waits until the log has `text`.
    ///
    /// # Panics
    /// When it does not come in time.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.log().contains(text) {
            assert!(
                Instant::now() < deadline,
                "the log does not say {text:?}:\n{}",
                self.log()
            );
            thread::sleep(POLL);
        }
    }

    /// Waits until the process ends by itself.
    ///
    /// # Panics
    /// When it is not running, or does not end in time.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the server is running");
        self.wait_for(&mut child)
    }

    /// Writes another configuration over the one it was started with, and asks for a reload (SIGHUP).
    ///
    /// # Panics
    /// When it is not running, or was started without a configuration.
    #[track_caller]
    pub fn reload(&self, config: &str) {
        let file = self.directory.path().join("nats-server.conf");
        assert!(file.is_file(), "started without a configuration");
        let config = config.replace("{dir}", &self.directory.path().display().to_string());
        fs::write(&file, config).expect("the temporary directory is writable");
        self.signal(Signal::HUP);
    }

    /// Waits until the log holds `text` at least `times` times.
    ///
    /// # Panics
    /// When it does not come; the message holds the log.
    #[track_caller]
    pub fn wait_for_log_times(&self, text: &str, times: usize) {
        let deadline = Instant::now() + START_TIMEOUT;
        while self.log().matches(text).count() < times {
            assert!(
                Instant::now() < deadline,
                "the log does not say {text:?}:\n{}",
                self.log()
            );
            thread::sleep(POLL);
        }
    }

    /// Kills the process (`kill -9`) and waits for its end.
    ///
    /// # Panics
    /// When it is not running.
    #[track_caller]
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the server is running");
        child.kill().expect("our own child can be killed");
        child.wait().expect("our own child can be waited for");
    }

    /// A raw connection; its greeting is not read yet.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> RawClient {
        RawClient::connect(self.port)
    }

    /// As [`Self::connect`], past INFO, CONNECT and the first PONG.
    #[must_use]
    #[track_caller]
    pub fn ready(&self) -> RawClient {
        RawClient::ready(self.port)
    }

    /// The port for WebSocket clients, as the log names it.
    ///
    /// # Panics
    /// When it names none.
    #[must_use]
    #[track_caller]
    pub fn websocket_port(&self) -> u16 {
        let log = self.log();
        port_behind(&log, "Listening for websocket clients on ")
            .unwrap_or_else(|| panic!("the log names no WebSocket port:\n{log}"))
    }

    /// The port clients connect to, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `nats://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Bytes of memory that the process has resident now, without pages of its executable.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).expect("the server is running");
        let line = status.lines().find(|line| line.starts_with("RssAnon:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kib.expect("a process has a resident size") * 1024
    }

    /// How many files and sockets the process has open now.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn open_files(&self) -> usize {
        let files = fs::read_dir(self.proc("fd")).expect("the server is running");
        files.count()
    }

    /// The directory of this process: its configuration file and, by convention, its `store`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// `<directory>/store/jetstream`, where [`Self::start_jetstream`] lets the server keep its files.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.directory.path().join("store").join("jetstream")
    }

    /// What the process has logged since its last start.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic while held").clone()
    }

    fn proc(&self, name: &str) -> PathBuf {
        let pid = self.pid().expect("the server is running");
        PathBuf::from(format!("/proc/{pid}/{name}"))
    }

    #[track_caller]
    fn wait_for(&self, child: &mut Child) -> ExitStatus {
        let deadline = Instant::now() + STOP_TIMEOUT;
        loop {
            if let Some(status) = child.try_wait().expect("our own child can be waited for") {
                return status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the server did not stop\n{}", self.log());
            }
            thread::sleep(POLL);
        }
    }

    #[track_caller]
    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let log = self.log();
            if log.contains("Server is ready") {
                self.port = listening_port(&log)
                    .unwrap_or_else(|| panic!("the log names no client port:\n{log}"));
                return;
            }
            let child = self.child.as_mut().expect("set by the caller");
            let ended = child.try_wait().expect("our own child can be waited for");
            if ended.is_some() || Instant::now() > deadline {
                // The reader of the log may be a moment behind the end of the process.
                thread::sleep(Duration::from_millis(50));
                panic!(
                    "the server did not become ready ({ended:?}):\n{}",
                    self.log()
                );
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LOG_LINES)..];
            eprintln!("--- end of the server's log\n{}", tail.join("\n"));
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    let id = i32::try_from(child.id()).expect("process ids are small");
    Pid::from_raw(id).expect("a child's process id is not 0")
}

fn collect(stderr: impl Read + Send + 'static, log: Arc<Mutex<String>>) {
    thread::spawn(move || {
        let mut lines = BufReader::new(stderr);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line);
            log.lock().expect("no panic while held").push_str(&text);
            line.clear();
        }
    });
}

fn listening_port(log: &str) -> Option<u16> {
    port_behind(log, "Listening for client connections on ")
}

fn port_behind(log: &str, text: &str) -> Option<u16> {
    let (_, rest) = log.split_once(text)?;
    let address = rest.lines().next()?.trim();
    address.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_log_line() {
        fn check(log: &str, expected: Option<u16>) {
            assert_eq!(listening_port(log), expected, "{log}");
        }
        check(
            "[1] 2026/01/01 [INF] Listening for client connections on 127.0.0.1:4333\nmore",
            Some(4333),
        );
        check(
            "[INF] Listening for client connections on [::1]:80",
            Some(80),
        );
        check("[INF] Server is ready", None);
    }
}
