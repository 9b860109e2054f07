//! The thread of the scrub.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use everjet_routing::Turn;
use everjet_store::{Damage, Disk, Fault};
use everjet_values::StreamSequence;
use parking_lot::{Condvar, Mutex};

use super::{Ground, Scrub, ScrubProgress, Task};
use crate::host::Host;
use crate::report::Level;

/// Runs the scrub of a server.
pub(crate) struct Scrubber {
    stopping: Mutex<bool>,
    changed: Condvar,
    progress: Mutex<ScrubProgress>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Scrubber {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start(host: Arc<Host>, seed: u64) -> io::Result<Arc<Self>> {
        let scrubber = Arc::new(Self {
            stopping: Mutex::new(false),
            changed: Condvar::new(),
            progress: Mutex::default(),
            thread: Mutex::new(None),
        });
        let own = Arc::clone(&scrubber);
        let thread = std::thread::Builder::new()
            .name("scrub".to_owned())
            .spawn(move || own.work(host, seed))?;
        *scrubber.thread.lock() = Some(thread);
        Ok(scrubber)
    }

    /// Ends the thread, in the middle of a cycle if need be.
    pub(crate) fn stop(&self) {
        *self.stopping.lock() = true;
        self.changed.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // One that panicked has said so on stderr.
            drop(thread.join());
        }
    }

    pub(crate) fn progress(&self) -> ScrubProgress {
        *self.progress.lock()
    }

    fn work(&self, host: Arc<Host>, seed: u64) {
        let begun = Instant::now();
        let mut scrub = Scrub::new(host.config.scrub);
        let mut ground = HostGround {
            host,
            turn: Turn::new(seed),
        };
        let mut stopping = self.stopping.lock();
        while !*stopping {
            drop(stopping);
            let next = scrub.step(begun.elapsed(), &mut ground);
            *self.progress.lock() = scrub.progress();
            stopping = self.stopping.lock();
            let Some(next) = next else { return };
            let pause = next.saturating_sub(begun.elapsed());
            if !*stopping && pause > Duration::ZERO {
                self.changed.wait_for(&mut stopping, pause);
            }
        }
    }
}

/// The scrub's view of a server.
struct HostGround {
    host: Arc<Host>,
    turn: Turn,
}

impl Ground for HostGround {
    fn disk(&self) -> &dyn Disk {
        &*self.host.seams.disk
    }

    fn is_failing(&self) -> bool {
        self.host.commit.failure().is_some()
    }

    fn tasks(&self) -> Vec<Task> {
        let checkpointer = self.host.checkpointer.lock();
        let mut tasks = Vec::new();
        for stream in &checkpointer.manifest().streams {
            if self.host.registry.offline(&stream.name).is_some() {
                continue;
            }
            let segments = &stream.segments;
            for (at, segment) in segments.iter().enumerate() {
                let next = segments.get(at + 1);
                let last = next.map_or(stream.last_sequence, |next| {
                    StreamSequence(next.first_sequence.0 - 1)
                });
                if segment.sealed {
                    tasks.push(Task {
                        stream: stream.id,
                        name: stream.name.clone(),
                        dir: self.host.paths.stream(&stream.account, &stream.name),
                        segment: *segment,
                        entry: stream.entry,
                        last,
                    });
                }
            }
        }
        tasks
    }

    fn is_current(&self, task: &Task) -> bool {
        let checkpointer = self.host.checkpointer.lock();
        let streams = &checkpointer.manifest().streams;
        let stream = streams.iter().find(|stream| stream.id == task.stream);
        stream.is_some_and(|stream| stream.segments.contains(&task.segment))
    }

    fn undisturbed(&self, task: &Task, verify: &mut dyn FnMut(&dyn Disk)) {
        // Whoever erases a message, or deletes a file that was rewritten, holds this.
        let checkpointer = self.host.checkpointer.lock();
        let mut streams = checkpointer.manifest().streams.iter();
        let stream = streams.find(|stream| stream.id == task.stream);
        if stream.is_some_and(|stream| stream.segments.contains(&task.segment)) {
            verify(self.disk());
        }
    }

    fn found(&mut self, task: &Task, damage: Vec<Damage>) -> u64 {
        let actor = self.host.registry.find(&task.name);
        let Some(actor) = actor.filter(|actor| actor.id == task.stream) else {
            return 0;
        };
        let noted = actor.with(&mut self.turn, |stream, _, _| {
            let store = stream.store();
            let concerns = |damage: &Damage| {
                damage.sequences.is_none_or(|(first, last)| {
                    (first.0..=last.0).any(|sequence| store.was_stored(StreamSequence(sequence)))
                })
            };
            let mut noted = 0;
            for damage in damage.into_iter().filter(concerns) {
                store.note_damage(damage);
                noted += 1;
            }
            noted
        });
        self.turn.flush();
        noted.unwrap_or(0)
    }

    fn tell(&mut self, progress: &ScrubProgress, fault: Option<&Fault>) {
        let report = &self.host.seams.report;
        if let Some(fault) = fault {
            let text = format!("scrub: given up until the next time: {fault}");
            report.report(Level::Warn, &text);
        } else if progress.is_running {
            let text = format!("scrub: begins with {} segments", progress.segments_total);
            report.report(Level::Debug, &text);
        } else {
            let text = format!(
                "scrub: verified {} segments ({} bytes), {} places are damaged",
                progress.segments, progress.bytes, progress.damaged
            );
            report.report(Level::Debug, &text);
        }
    }
}
