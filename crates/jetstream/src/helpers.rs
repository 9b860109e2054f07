//! Threads for work that a reactor must not do: what waits for a disk, and long deliveries. Never more jobs than the bound.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use everjet_routing::Turn;
use parking_lot::{Condvar, Mutex};

/// A piece of work; it may block on a disk.
pub(crate) type Job = Box<dyn FnOnce(&mut Turn) + Send>;

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    stopping: bool,
}

/// A small pool. Its queue is bounded by what feeds it: one job per stream, one per spare file, so many API requests.
#[derive(Default)]
pub(crate) struct Helpers {
    jobs: Mutex<Jobs>,
    ready: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Helpers {
    /// Starts `count` threads, named after what they are for.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start(purpose: &str, count: usize, seed: u64) -> std::io::Result<Arc<Self>> {
        let helpers = Arc::new(Self::default());
        for number in 0..count {
            let own = Arc::clone(&helpers);
            let thread = std::thread::Builder::new()
                .name(format!("{purpose}-{number}"))
                .spawn(move || own.work(&mut Turn::new(seed.wrapping_add(number as u64))))?;
            helpers.threads.lock().push(thread);
        }
        Ok(helpers)
    }

    /// Queues a job.
    pub(crate) fn run(&self, job: Job) {
        self.jobs.lock().waiting.push_back(job);
        self.ready.notify_one();
    }

    /// Finishes what is queued and ends the threads.
    pub(crate) fn stop(&self) {
        self.jobs.lock().stopping = true;
        self.ready.notify_all();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A helper that panicked has said so on stderr; the others are still joined.
            drop(thread.join());
        }
    }

    fn work(&self, turn: &mut Turn) {
        loop {
            let mut jobs = self.jobs.lock();
            let job = loop {
                if let Some(job) = jobs.waiting.pop_front() {
                    break job;
                }
                if jobs.stopping {
                    return;
                }
                self.ready.wait(&mut jobs);
            };
            drop(jobs);
            job(turn);
            turn.flush();
        }
    }
}
