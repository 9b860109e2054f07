//! From the start of the process until the last stream takes a message and says what it holds.

use std::time::Instant;

use everjet_conformance::ServerProcess;

use super::bucket::Randomly;
use super::data::{Data, Set};
use super::pipe::Pipe;
use super::ready;
use super::site::Site;
use crate::figure::Figure;
use crate::outcome::Outcome;
use crate::rows::WINDOW;
use crate::statistics::spread;

/// Restarts a run; the middle one counts.
const STARTS: usize = 3;
/// Messages published to a running server before it is killed, at full scale.
const BEFORE_KILL: f64 = 200_000.0;

/// After a clean stop. The files are in the page cache.
pub(crate) fn clean(site: &mut Site<'_>, data: Data) -> Outcome {
    let set = site.set(data);
    let mut server = site.take(data);
    let times = [(); STARTS].map(|()| {
        let time = timed(&mut server, &set);
        server.terminate();
        time
    });
    site.keep(data, server);
    outcome(times)
}

/// After `kill -9` in the middle of publishing.
pub(crate) fn killed(site: &mut Site<'_>, data: Data) -> Outcome {
    let set = site.set(data);
    let mut server = site.take_running(data);
    let count = (BEFORE_KILL * site.scale) as usize;
    let times = [(); STARTS].map(|()| {
        let mut numbers = Randomly::below(set.subjects);
        let mut pipe = Pipe::open(&server, WINDOW, |out, _| {
            set.push_message(out, numbers.next());
        });
        pipe.run(|pipe| pipe.acknowledged() < count);
        server.kill();
        timed(&mut server, &set)
    });
    site.keep(data, server);
    outcome(times)
}

/// Milliseconds.
fn timed(server: &mut ServerProcess, set: &Set) -> f64 {
    let start = Instant::now();
    server.spawn_again();
    ready::wait_until_answering(server, set);
    start.elapsed().as_secs_f64() * 1e3
}

fn outcome(times: [f64; STARTS]) -> Outcome {
    Outcome::default().with(Figure::Time, spread(times).median)
}
