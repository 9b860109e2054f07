//! Runs many seeds and says which break a promise.
//!
//! ```text
//! everjet-simulation [--seeds COUNT] [--from FIRST] [--rot]
//! ```
//! Each seed is a run of its own, see [`everjet_simulation::run::random`]; with `--rot` what it leaves behind is damaged, too.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use everjet_simulation::rot;
use everjet_simulation::run::{self, Outcome};

struct Wanted {
    first: u64,
    count: u64,
    rot: bool,
}

impl Wanted {
    fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut wanted = Self {
            first: 0,
            count: 10_000,
            rot: false,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let text = arguments.next().unwrap_or_default();
                let parsed = text.parse::<u64>();
                parsed.map_err(|error| format!("{argument} {text}: {error}"))
            };
            match argument.as_str() {
                "--seeds" => wanted.count = number()?,
                "--from" => wanted.first = number()?,
                "--rot" => wanted.rot = true,
                _ => return Err(format!("unknown argument {argument}")),
            }
        }
        Ok(wanted)
    }
}

fn main() -> ExitCode {
    let wanted = match Wanted::parse(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(why) => {
            eprintln!("{why}\nusage: everjet-simulation [--seeds COUNT] [--from FIRST] [--rot]");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(wanted.first);
    let broken = AtomicU64::new(0);
    let total = Mutex::new(Outcome::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed - wanted.first >= wanted.count {
                        return;
                    }
                    match one(seed, wanted.rot) {
                        Ok(outcome) => *total.lock().expect("nobody panics with it") += outcome,
                        Err(why) => {
                            broken.fetch_add(1, Ordering::Relaxed);
                            println!("seed {seed}: {why}");
                        }
                    }
                }
            });
        }
    });
    let (broken, total) = (broken.into_inner(), total.into_inner().unwrap_or_default());
    println!(
        "{} seeds, {broken} broken; {} operations of the disk, {} starts, {} crashes; {:.1} s on {threads} threads",
        wanted.count,
        total.operations,
        total.opens,
        total.crashes,
        began.elapsed().as_secs_f64()
    );
    if broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A panic of the product breaks a promise as well.
fn one(seed: u64, with_rot: bool) -> Result<Outcome, String> {
    let run = || {
        if with_rot {
            rot::random(seed)
        } else {
            run::random(seed).map(|left| left.outcome)
        }
    };
    std::panic::catch_unwind(run).unwrap_or_else(|_| Err("a panic, see above".to_owned()))
}
