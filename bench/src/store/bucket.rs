//! A bucket whose keys are overwritten.

use std::time::{Duration, Instant};

use super::data::Data;
use super::pipe::Pipe;
use super::site::Site;
use crate::machine::{cpu_time, wait_until_quiet};
use crate::outcome::{Load, Outcome};
use crate::rows::WINDOW;

const WARM_UP: Duration = Duration::from_millis(300);

/// Overwrites keys of a full bucket at random. Counts acknowledgements.
pub(crate) fn overwrite(site: &mut Site<'_>) -> Outcome {
    let set = site.set(Data::Bucket);
    let server = site.take_running(Data::Bucket);
    let pid = server.pid().expect("the server is running");
    let mut numbers = Randomly::below(set.subjects);
    let mut pipe = Pipe::open(&server, WINDOW, |out, _| {
        set.push_message(out, numbers.next());
    });
    let start = Instant::now();
    pipe.run(|_| start.elapsed() < WARM_UP);
    let (start, cpu, before) = (Instant::now(), cpu_time(pid), pipe.acknowledged());
    pipe.run(|_| start.elapsed() < site.length);
    let load = Load {
        messages: (pipe.acknowledged() - before) as u64,
        elapsed: start.elapsed(),
        cpu: cpu_time(pid).saturating_sub(cpu),
    };
    pipe.drain();
    // The rows after this one read, purge and restart this bucket. They are not to measure what is left to be rewritten of it.
    wait_until_quiet(pid);
    site.keep(Data::Bucket, server);
    load.into()
}

/// Random numbers, the same in every run: splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Randomly {
    state: u64,
    below: u64,
}

impl Randomly {
    pub(crate) fn below(below: u64) -> Self {
        Self { state: 0, below }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % self.below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_reach_everything() {
        let mut numbers = Randomly::below(10);
        let mut seen = [false; 10];
        for _ in 0..200 {
            seen[numbers.next() as usize] = true;
        }
        assert_eq!(seen, [true; 10]);
    }
}
