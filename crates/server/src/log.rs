//! The log, in the line format of nats-server: `[pid] 2026/01/31 15:04:05.123456 [INF] text`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use everjet_values::Timestamp;
use parking_lot::Mutex;

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Every frame of the protocol.
    Trace,
    /// For those who look for a cause.
    Debug,
    /// What an operator expects to see.
    Info,
    /// What an operator should look at.
    Warn,
    /// What an operator must act on.
    Error,
    /// Why the server does not go on.
    Fatal,
}

impl LogLevel {
    const fn tag(self) -> &'static str {
        match self {
            Self::Trace => "TRC",
            Self::Debug => "DBG",
            Self::Info => "INF",
            Self::Warn => "WRN",
            Self::Error => "ERR",
            Self::Fatal => "FTL",
        }
    }
}

/// How lines are written.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Whether a line starts with its time.
    pub time: bool,
    /// Whether that time is UTC; local time otherwise is UTC as well where the zone is unknown.
    pub utc: bool,
    /// Whether [`LogLevel::Debug`] lines are written.
    pub debug: bool,
    /// Where to; stderr when absent.
    pub file: Option<PathBuf>,
}

/// The log of one server.
pub struct Log {
    file: Option<PathBuf>,
    /// What a reload may change.
    time: AtomicBool,
    utc: AtomicBool,
    debug: AtomicBool,
    pid: u32,
    sink: Mutex<Sink>,
}

enum Sink {
    Stderr,
    File(File),
    Silent,
}

impl Log {
    /// Opens the log.
    ///
    /// # Errors
    /// When the log file cannot be opened for appending.
    pub fn open(options: LogOptions) -> io::Result<Self> {
        let sink = match &options.file {
            Some(path) => Sink::File(open_file(path)?),
            None => Sink::Stderr,
        };
        Ok(Self::with(options, sink))
    }

    fn with(options: LogOptions, sink: Sink) -> Self {
        Self {
            time: options.time.into(),
            utc: options.utc.into(),
            debug: options.debug.into(),
            file: options.file,
            pid: std::process::id(),
            sink: Mutex::new(sink),
        }
    }

    /// A log that writes nothing, for servers inside other programs.
    #[must_use]
    pub fn silent() -> Self {
        let options = LogOptions {
            time: true,
            utc: true,
            debug: false,
            file: None,
        };
        Self::with(options, Sink::Silent)
    }

    /// Changes how lines are written from now on; the file stays.
    pub fn set(&self, time: bool, utc: bool, debug: bool) {
        self.time.store(time, Ordering::Relaxed);
        self.utc.store(utc, Ordering::Relaxed);
        self.debug.store(debug, Ordering::Relaxed);
    }

    /// Writes one line. Control characters that came from outside are shown escaped, so that a line stays a line.
    pub fn line(&self, now: Timestamp, level: LogLevel, text: &str) {
        if level == LogLevel::Debug && !self.is_debug() {
            return;
        }
        let line = self.render(now, level, text);
        // A log that cannot be written must not stop the server, and there is nowhere left to say so.
        let _unwritable = match &mut *self.sink.lock() {
            Sink::Stderr => io::stderr().write_all(line.as_bytes()),
            Sink::File(file) => file.write_all(line.as_bytes()),
            Sink::Silent => Ok(()),
        };
    }

    /// Whether debug lines are written.
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.debug.load(Ordering::Relaxed)
    }

    /// Opens the log file again under its name, after something else renamed it.
    ///
    /// # Errors
    /// When it cannot be opened; the old one stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        if let Some(path) = &self.file {
            *self.sink.lock() = Sink::File(open_file(path)?);
        }
        Ok(())
    }

    fn render(&self, now: Timestamp, level: LogLevel, text: &str) -> String {
        let mut line = format!("[{}] ", self.pid);
        if self.time.load(Ordering::Relaxed) {
            let zone_seconds = if self.utc.load(Ordering::Relaxed) {
                0
            } else {
                local_offset_seconds(now)
            };
            let shown =
                Timestamp::from_nanos(now.as_nanos().saturating_add(zone_seconds * 1_000_000_000));
            line.push_str(&log_time(shown));
            line.push(' ');
        }
        line.push('[');
        line.push_str(level.tag());
        line.push_str("] ");
        for character in text.chars() {
            if character.is_control() {
                line.extend(character.escape_default());
            } else {
                line.push(character);
            }
        }
        line.push('\n');
        line
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)
}

/// `2026/01/31 15:04:05.123456`.
fn log_time(now: Timestamp) -> String {
    let text = now.to_string();
    let (seconds, fraction) = text
        .trim_end_matches('Z')
        .split_once('.')
        .unwrap_or((text.trim_end_matches('Z'), ""));
    let micros: String = fraction.chars().chain("000000".chars()).take(6).collect();
    format!("{}.{micros}", seconds.replace('-', "/").replace('T', " "))
}

/// Seconds to add to UTC for local time, from the system's zone file; 0 when there is none.
fn local_offset_seconds(now: Timestamp) -> i64 {
    std::fs::read("/etc/localtime")
        .ok()
        .and_then(|zone| zone_offset(&zone, now.as_nanos() / 1_000_000_000))
        .unwrap_or(0)
}

/// The offset in force at `at` (Unix seconds) by a TZif file (RFC 8536): its 64-bit block.
fn zone_offset(zone: &[u8], at: i64) -> Option<i64> {
    const HEADER: usize = 44;
    let count = |block: &[u8], index: usize| -> Option<usize> {
        let at = 20 + index * 4;
        Some(u32::from_be_bytes(block.get(at..at + 4)?.try_into().ok()?) as usize)
    };
    if !zone.starts_with(b"TZif") || zone.get(4).is_none_or(|version| *version < b'2') {
        return None;
    }
    let (isut, isstd, leap, times, types, chars) = (
        count(zone, 0)?,
        count(zone, 1)?,
        count(zone, 2)?,
        count(zone, 3)?,
        count(zone, 4)?,
        count(zone, 5)?,
    );
    let first = HEADER + times * 5 + types * 6 + chars + leap * 8 + isstd + isut;
    let block = zone.get(first..)?;
    let (times, types) = (count(block, 3)?, count(block, 4)?);
    let transitions = block.get(HEADER..HEADER + times * 8)?;
    let passed = transitions
        .chunks_exact(8)
        .take_while(|moment| {
            (**moment)
                .try_into()
                .map(i64::from_be_bytes)
                .is_ok_and(|moment| moment <= at)
        })
        .count();
    let kinds = block.get(HEADER + times * 8..HEADER + times * 9)?;
    let kind = passed
        .checked_sub(1)
        .and_then(|index| kinds.get(index))
        .map_or(0, |kind| usize::from(*kind));
    let table = HEADER + times * 9;
    let entry = block
        .get(table..table + types * 6)?
        .get(kind * 6..kind * 6 + 4)?;
    Some(i64::from(i32::from_be_bytes(entry.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_form_that_operators_search_for() {
        let log = Log::silent();
        let now = Timestamp::parse("2026-11-20T17:26:56.5Z").expect("a time");
        let pid = std::process::id();
        assert_eq!(
            log.render(now, LogLevel::Info, "Server is ready"),
            format!("[{pid}] 2026/11/20 17:26:56.500000 [INF] Server is ready\n")
        );
    }

    #[test]
    fn a_hostile_name_cannot_forge_a_line() {
        let line = Log::silent().render(
            Timestamp::from_nanos(0),
            LogLevel::Warn,
            "name \"a\r\n[1] [INF] ok\u{1b}[2J\"",
        );
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.contains("\\r\\n[1] [INF] ok\\u{1b}[2J"), "{line}");
    }

    #[test]
    fn zone_files_give_the_offset_in_force() {
        let mut zone = b"TZif2".to_vec();
        zone.extend([0; 15]);
        zone.extend([0u32; 6].iter().flat_map(|count| count.to_be_bytes()));
        zone.extend(b"TZif2");
        zone.extend([0; 15]);
        zone.extend(
            [0u32, 0, 0, 1, 2, 0]
                .iter()
                .flat_map(|count| count.to_be_bytes()),
        );
        zone.extend(1_000i64.to_be_bytes());
        zone.push(1);
        for offset in [3_600i32, 7_200] {
            zone.extend(offset.to_be_bytes());
            zone.extend([0, 0]);
        }
        assert_eq!(zone_offset(&zone, 999), Some(3_600));
        assert_eq!(zone_offset(&zone, 1_000), Some(7_200));
        for cut in 0..zone.len() {
            let _ = zone_offset(&zone[..cut], 1_000);
        }
        assert_eq!(zone_offset(b"", 0), None);
    }
}
