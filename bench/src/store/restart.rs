//! From the start of the process until the last stream takes a message and says what it holds.

use std::time::{Duration, Instant};

use everjet_conformance::ServerProcess;

use super::bucket::Randomly;
use super::data::{DUPLICATE_WINDOW, Data, Set, set_duplicate_window};
use super::pipe::Pipe;
use super::ready;
use super::site::Site;
use crate::figure::Figure;
use crate::machine::cpu_time;
use crate::outcome::Outcome;
use crate::rows::WINDOW;
use crate::statistics::spread;

/// Restarts a run at most; the middle one counts.
const STARTS: usize = 3;
/// No further restart after those before took so many milliseconds.
const LONG_ENOUGH_MS: f64 = 3_000.0;
/// Longer than a comparison takes.
const ALL_RECENT: Duration = Duration::from_secs(24 * 3_600);
/// Messages published to a running server before it is killed, at full scale.
const BEFORE_KILL: f64 = 200_000.0;

/// After a clean stop. The files are in the page cache.
pub(crate) fn clean(site: &mut Site<'_>, data: Data) -> Outcome {
    let set = site.set(data);
    let mut server = site.take(data);
    let outcome = repeated(|| {
        let time = timed(&mut server, &set);
        server.terminate();
        time
    });
    site.keep(data, server);
    outcome
}

/// As [`clean`], with all 10 M messages on one subject so recent that their ids count.
pub(crate) fn recent(site: &mut Site<'_>) -> Outcome {
    let set_window = |site: &mut Site<'_>, window| {
        let server = site.take_running(Data::Plain);
        set_duplicate_window(&server, window);
        site.keep(Data::Plain, server);
    };
    set_window(site, ALL_RECENT);
    let outcome = clean(site, Data::Plain);
    set_window(site, DUPLICATE_WINDOW);
    outcome
}

/// After `kill -9` in the middle of publishing.
pub(crate) fn killed(site: &mut Site<'_>, data: Data) -> Outcome {
    let set = site.set(data);
    let mut server = site.take_running(data);
    let count = (BEFORE_KILL * site.scale) as usize;
    let outcome = repeated(|| {
        let mut numbers = Randomly::below(set.subjects);
        let mut pipe = Pipe::open(&server, WINDOW, |out, _| {
            set.push_message(out, numbers.next());
        });
        pipe.run(|pipe| pipe.acknowledged() < count);
        server.kill();
        timed(&mut server, &set)
    });
    site.keep(data, server);
    outcome
}

/// Milliseconds that passed, and those of the server's processors.
fn timed(server: &mut ServerProcess, set: &Set) -> [f64; 2] {
    let start = Instant::now();
    server.spawn_again();
    ready::wait_until_answering(server, set);
    let elapsed = start.elapsed();
    let cpu = cpu_time(server.pid().expect("the server is running"));
    [elapsed, cpu].map(|time| time.as_secs_f64() * 1e3)
}

/// The medians of several times.
fn repeated(mut once: impl FnMut() -> [f64; 2]) -> Outcome {
    let (mut times, mut cpu) = (Vec::new(), Vec::new());
    while times.len() < STARTS && times.iter().sum::<f64>() < LONG_ENOUGH_MS {
        let [time, cpu_time] = once();
        times.push(time);
        cpu.push(cpu_time);
    }
    Outcome::default()
        .with(Figure::Time, spread(times).median)
        .with(Figure::CpuOnce, spread(cpu).median)
}
