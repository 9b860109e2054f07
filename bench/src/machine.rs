//! What the machine says: processor time of a process, and how fast this moment is.

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Kernel clock ticks a second in /proc: 100 on every Linux platform Rust supports.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time, user and system, that a process has used since its start; ended threads included. Resolution 10 ms.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    ticks(&stat).map_or(Duration::ZERO, |ticks| {
        Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
    })
}

/// Fields 14 and 15 of `/proc/<pid>/stat`; the command in field 2 may hold blanks and parentheses.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// How many rounds of a fixed computation fit into 50 ms: the speed a neighbour leaves us right now.
pub(crate) fn speed() -> f64 {
    let start = Instant::now();
    let mut rounds = 0_u64;
    let mut value = 1_u64;
    while start.elapsed() < Duration::from_millis(50) {
        for _ in 0..10_000 {
            value = black_box(
                value
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1),
            );
        }
        rounds += 1;
    }
    rounds as f64
}

/// One line about the machine for the report.
pub(crate) fn description() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    format!("{cores} cores of {model}, Linux {}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_a_command_with_blanks() {
        let stat = "71 (a (b) c) S 1 71 71 0 -1 4194560 1 2 3 4 150 25 0 0 20 0 1 0";
        assert_eq!(ticks(stat), Some(175));
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn our_own_time_can_be_read() {
        speed();
        speed();
        assert!(cpu_time(std::process::id()) > Duration::ZERO);
    }
}
