//! What the machine says: processor time of a process, and how fast this moment is.

use std::fs;
use std::hint::black_box;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kernel clock ticks a second in /proc: 100 on every Linux platform Rust supports.
const TICKS_PER_SECOND: u64 = 100;
/// The memory has settled when it stayed within [`SETTLED_SHARE`] for this long.
const SETTLED: Duration = Duration::from_secs(4);
const SETTLED_SHARE: f64 = 0.005;
/// How long that may take.
const SETTLING_MAX: Duration = Duration::from_secs(30);

/// A process is quiet that has used no more than this part of one processor for that long.
const QUIET: Duration = Duration::from_secs(1);
const QUIET_SHARE: u32 = 20;

/// What [`warm_memory`] takes at a time.
const WARM_PIECE: usize = 64 << 20;

/// Processor time, user and system, that a process has used since its start; ended threads included. Resolution 10 ms.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    ticks(&stat).map_or(Duration::ZERO, |ticks| {
        Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
    })
}

/// As [`cpu_time`], to the nanosecond, of the threads that are alive: for what takes a few ticks only.
pub(crate) fn cpu_time_of_threads(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    let each = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        on_processor(&text)
    });
    each.sum()
}

/// The first field of a thread's `schedstat`.
fn on_processor(schedstat: &str) -> Option<Duration> {
    let nanoseconds = schedstat.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// Fields 14 and 15 of `/proc/<pid>/stat`; the command in field 2 may hold blanks and parentheses.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Resident memory of a process in bytes, its share of what it has in common with others included.
///
/// # Panics
/// When the system does not say.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
    let rollup = rollup.expect("the memory of our own child can be read");
    pss(&rollup).expect("the system accounts for shared pages") * 1_024
}

/// [`resident_bytes`] when they no longer change, or have been given the time to.
pub(crate) fn settled_memory(pid: u32) -> u64 {
    let value = || resident_bytes(pid);
    let start = Instant::now();
    let (mut base, mut since) = (value(), Instant::now());
    loop {
        thread::sleep(Duration::from_millis(100));
        let now = value();
        if (now as f64 - base as f64).abs() > base as f64 * SETTLED_SHARE {
            (base, since) = (now, Instant::now());
        }
        if since.elapsed() >= SETTLED || start.elapsed() >= SETTLING_MAX {
            return now;
        }
    }
}

/// Waits until a process has for a second used hardly any processor time, or has been given the time to: what it put off until
/// later is done.
pub(crate) fn wait_until_quiet(pid: u32) {
    let start = Instant::now();
    let mut before = cpu_time(pid);
    while start.elapsed() < SETTLING_MAX {
        thread::sleep(QUIET);
        let now = cpu_time(pid);
        if now.saturating_sub(before) <= QUIET / QUIET_SHARE {
            return;
        }
        before = now;
    }
}

/// The `Pss` line of `/proc/<pid>/smaps_rollup`, in KiB.
fn pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Lets this process, and the servers it starts from now on, have as many files open as the system allows; returns how many.
pub(crate) fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current.unwrap_or(u64::MAX)
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

/// Writes to `bytes` of memory and gives them back, a quarter of what is available at most.
///
/// A virtual machine whose host takes free memory away has to ask for every page again, which takes thirty times what the kernel
/// takes for one that is there: servers that grow would be measured by what was free, and for how long, before they started.
pub(crate) fn warm_memory(bytes: usize) {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = bytes.min(available(&meminfo).unwrap_or(0) / 4);
    let pieces: Vec<Vec<u8>> = (0..bytes / WARM_PIECE)
        .map(|_| vec![1; WARM_PIECE])
        .collect();
    black_box(pieces);
}

/// The `MemAvailable` line of `/proc/meminfo`, in bytes.
fn available(meminfo: &str) -> Option<usize> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: usize = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

/// One line about the machine and the day for the report.
pub(crate) fn description() -> String {
    let cores = thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let today = Command::new("date").args(["-u", "+%F"]).output();
    let today = today.map_or_else(|_| Vec::new(), |output| output.stdout);
    let today = String::from_utf8_lossy(&today);
    let (kernel, today) = (kernel.trim(), today.trim());
    format!("{cores} cores of {model}, Linux {kernel}, {today}")
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
    fn the_time_of_a_thread_is_read() {
        let time = Duration::from_nanos(3_177_711);
        assert_eq!(on_processor("3177711 1217 2\n"), Some(time));
        assert_eq!(on_processor(""), None);
        assert!(cpu_time_of_threads(std::process::id()) > Duration::ZERO);
    }

    #[test]
    fn the_proportional_share_is_read() {
        let rollup = "5581-7ffe [rollup]\nRss:   1234 kB\nPss:    900 kB\nPss_Dirty: 7 kB\n";
        assert_eq!(pss(rollup), Some(900));
        assert_eq!(pss("Rss: 1 kB\n"), None);
        assert!(resident_bytes(std::process::id()) > 1 << 16);
    }

    #[test]
    fn the_memory_that_is_left_is_read() {
        let meminfo = "MemTotal: 9000 kB\nMemFree:  10 kB\nMemAvailable:   3000 kB\n";
        assert_eq!(available(meminfo), Some(3000 << 10));
        assert_eq!(available("MemFree: 1 kB"), None);
    }

    #[test]
    fn our_own_time_can_be_read() {
        speed();
        speed();
        assert!(cpu_time(std::process::id()) > Duration::ZERO);
    }
}
