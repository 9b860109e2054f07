//! Threads for work that a reactor must not do: what waits for a disk, and long deliveries. Never more jobs than the bound.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use everjet_routing::Turn;
use parking_lot::{Condvar, Mutex};

/// A piece of work; it may block on a disk.
pub(crate) type Job = Box<dyn FnOnce(&mut Turn) + Send>;

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// Threads that wait for a job.
    idle: usize,
    threads: Vec<JoinHandle<()>>,
    stopping: bool,
}

/// A small pool. All but the first thread are started when there is work for them: most servers never need most of them, and each
/// costs a start memory and time. Its queue is bounded by what feeds it: one job per stream, one per spare file, so many API requests.
pub(crate) struct Helpers {
    purpose: &'static str,
    count_max: usize,
    seed: u64,
    jobs: Mutex<Jobs>,
    ready: Condvar,
    own: Weak<Self>,
}

impl Helpers {
    /// A pool of up to `count_max` threads, named after what they are for.
    ///
    /// # Errors
    /// When the operating system gives no thread at all.
    pub(crate) fn start(
        purpose: &'static str,
        count_max: usize,
        seed: u64,
    ) -> std::io::Result<Arc<Self>> {
        let helpers = Arc::new_cyclic(|own| Self {
            purpose,
            count_max,
            seed,
            jobs: Mutex::default(),
            ready: Condvar::new(),
            own: Weak::clone(own),
        });
        helpers.start_thread(&mut helpers.jobs.lock())?;
        Ok(helpers)
    }

    /// Queues a job.
    pub(crate) fn run(&self, job: Job) {
        let mut jobs = self.jobs.lock();
        jobs.waiting.push_back(job);
        let is_wanted = jobs.waiting.len() > jobs.idle && jobs.threads.len() < self.count_max;
        if is_wanted && !jobs.stopping {
            // Where there is no other thread, those that are do the work one after the other.
            let _ = self.start_thread(&mut jobs);
        }
        drop(jobs);
        self.ready.notify_one();
    }

    fn start_thread(&self, jobs: &mut Jobs) -> std::io::Result<()> {
        let own = self.own.upgrade().ok_or(std::io::ErrorKind::NotFound)?;
        let number = jobs.threads.len();
        let seed = self.seed.wrapping_add(number as u64);
        let thread = std::thread::Builder::new()
            .name(format!("{}-{number}", self.purpose))
            .spawn(move || own.work(&mut Turn::new(seed)))?;
        jobs.threads.push(thread);
        Ok(())
    }

    /// Finishes what is queued and ends the threads.
    pub(crate) fn stop(&self) {
        let threads = {
            let mut jobs = self.jobs.lock();
            jobs.stopping = true;
            std::mem::take(&mut jobs.threads)
        };
        self.ready.notify_all();
        for thread in threads {
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
                jobs.idle += 1;
                self.ready.wait(&mut jobs);
                jobs.idle -= 1;
            };
            drop(jobs);
            job(turn);
            turn.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn threads_come_with_the_work_and_no_more_than_allowed() {
        let helpers = Helpers::start("test", 3, 1).unwrap();
        assert_eq!(helpers.jobs.lock().threads.len(), 1);
        let (begun, beginnings) = mpsc::channel();
        let mut ends = Vec::new();
        for number in 0..5 {
            let (end, ended) = mpsc::channel::<()>();
            ends.push(end);
            let begun = begun.clone();
            helpers.run(Box::new(move |_| {
                begun.send(number).unwrap();
                // Until its end is dropped.
                let _ = ended.recv();
            }));
        }
        // Three at a time, in order.
        let mut first: Vec<i32> = (0..3).map(|_| beginnings.recv().unwrap()).collect();
        first.sort_unstable();
        assert_eq!(first, [0, 1, 2]);
        assert_eq!(helpers.jobs.lock().threads.len(), 3);
        assert!(beginnings.try_recv().is_err(), "no fourth thread");
        drop(ends);
        helpers.stop();
        let mut last: Vec<i32> = beginnings.try_iter().collect();
        last.sort_unstable();
        assert_eq!(last, [3, 4], "what is queued is finished");
    }
}
