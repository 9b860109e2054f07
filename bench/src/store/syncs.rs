//! How many syncs a server asks the kernel for.
//!
//! Counted by `perf stat` on the tracepoints of the system calls: the server is not slowed, as it would be by `strace`, so that as
//! many messages gather for a sync as without. That needs perf, and the right to use it on another process.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use everjet_conformance::ServerProcess;

/// Everything that waits for stable storage.
const EVENTS: &str = "syscalls:sys_enter_fdatasync,syscalls:sys_enter_fsync,syscalls:sys_enter_sync_file_range,\
    syscalls:sys_enter_msync,syscalls:sys_enter_syncfs";

/// A count under way.
pub(crate) struct Counting(Child);

impl Counting {
    /// Counts for that long.
    ///
    /// # Panics
    /// Without perf.
    pub(crate) fn start(server: &ServerProcess, length: Duration) -> Self {
        let pid = server.pid().expect("the server is running").to_string();
        let seconds = length.as_secs_f64().to_string();
        let child = Command::new("perf")
            .args(["stat", "-x", ",", "-e", EVENTS, "-p", &pid])
            .args(["--", "sleep", &seconds])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        match child {
            Ok(child) => Self(child),
            Err(error) => panic!("perf counts the syncs: {error}"),
        }
    }

    pub(crate) fn is_over(&mut self) -> bool {
        let ended = self.0.try_wait().expect("our own child can be waited for");
        ended.is_some()
    }

    /// The number of syncs of all kinds.
    ///
    /// # Panics
    /// When perf could not count.
    pub(crate) fn count(self) -> u64 {
        let output = self.0.wait_with_output();
        let output = output.expect("our own child can be waited for");
        let text = String::from_utf8_lossy(&output.stderr);
        sum(&text).unwrap_or_else(|| panic!("perf did not count: {text}"))
    }
}

/// The first fields of `count,unit,event,...` lines together.
fn sum(text: &str) -> Option<u64> {
    let lines = text.lines().filter(|line| line.contains("syscalls:"));
    let counts = lines.map(|line| line.split(',').next()?.parse::<u64>().ok());
    let counts: Option<Vec<u64>> = counts.collect();
    counts
        .filter(|counts| !counts.is_empty())
        .map(|counts| counts.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_kinds_are_added() {
        fn check(text: &str, expected: Option<u64>) {
            assert_eq!(sum(text), expected, "{text:?}");
        }
        check(
            "12,,syscalls:sys_enter_fdatasync,1,100.00,,\n3,,syscalls:sys_enter_fsync,1,100.00,,\n",
            Some(15),
        );
        check("<not counted>,,syscalls:sys_enter_fsync,0,0.00,,\n", None);
        check("Error: no permission\n", None);
    }
}
