//! Backups of streams (`STREAM.SNAPSHOT`, `STREAM.RESTORE`), in the archive that nats-server writes since 2.15.
//!
//! A backup takes long and waits for its client, so each has a thread. A stream that is being restored exists for nobody before it is whole
//! and durable; its folder carries the mark of an import until then.

mod consumers;
mod inlet;
mod reader;
mod receive;
mod restoring;
mod send;
mod upload;
mod window;

pub(crate) use consumers::archived;
pub(crate) use inlet::BackupInlet;
pub(crate) use receive::Receiver;
pub(crate) use restoring::remove_remains;
pub(crate) use send::{Output, Sender, Sizes};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use everjet_routing::Turn;
use parking_lot::Mutex;

use upload::Upload;
use window::Window;

/// Backups that may be under way at once, in either direction.
const UNDER_WAY_MAX: usize = 16;
/// How long the other side may say nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// The backups that are under way.
#[derive(Default)]
pub(crate) struct Backups {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By the name that subjects have for them.
    sessions: HashMap<String, Session>,
    /// Streams that are being restored.
    restoring: HashSet<String>,
    threads: Vec<JoinHandle<()>>,
    stopping: bool,
}

/// What the thread of a backup waits for.
#[derive(Clone)]
enum Session {
    Sending(Arc<Window>),
    Receiving(Arc<Upload>),
}

impl State {
    fn check_room(&self) -> Result<(), String> {
        if self.stopping {
            return Err("the server stops".to_owned());
        }
        if self.sessions.len() >= UNDER_WAY_MAX {
            return Err(format!("{UNDER_WAY_MAX} backups are under way"));
        }
        Ok(())
    }
}

impl Backups {
    /// Whether a stream of this name is being restored.
    pub(crate) fn is_restoring(&self, stream: &str) -> bool {
        self.state.lock().restoring.contains(stream)
    }

    /// Whether one more may be begun.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check_room(&self) -> Result<(), String> {
        self.state.lock().check_room()
    }

    /// Sends a backup.
    ///
    /// # Errors
    /// Why that cannot be begun.
    pub(crate) fn send(self: &Arc<Self>, sender: Sender) -> Result<(), String> {
        let session = Session::Sending(sender.window());
        let name = sender.name().to_owned();
        self.start(&name, session, None, move |turn| sender.run(turn))
    }

    /// Receives a backup.
    ///
    /// # Errors
    /// Why that cannot be begun.
    pub(crate) fn receive(self: &Arc<Self>, receiver: Receiver) -> Result<(), String> {
        let session = Session::Receiving(receiver.upload());
        let (name, stream) = (receiver.name().to_owned(), receiver.stream().to_owned());
        self.start(&name, session, Some(&stream), move |turn| {
            receiver.run(turn)
        })
    }

    fn start(
        self: &Arc<Self>,
        name: &str,
        session: Session,
        restoring: Option<&str>,
        work: impl FnOnce(&mut Turn) + Send + 'static,
    ) -> Result<(), String> {
        let mut state = self.state.lock();
        state.threads.retain(|thread| !thread.is_finished());
        state.check_room()?;
        if let Some(stream) = restoring
            && !state.restoring.insert(stream.to_owned())
        {
            return Err("the stream is being restored".to_owned());
        }
        state.sessions.insert(name.to_owned(), session);
        let (own, own_name, own_stream) = (
            Arc::clone(self),
            name.to_owned(),
            restoring.map(str::to_owned),
        );
        let started = std::thread::Builder::new()
            .name("backup".to_owned())
            .spawn(move || {
                let mut turn = Turn::new(0);
                work(&mut turn);
                turn.flush();
                own.end(&own_name, own_stream.as_deref());
            });
        match started {
            Ok(thread) => {
                state.threads.push(thread);
                Ok(())
            }
            Err(error) => {
                drop(state);
                self.end(name, restoring);
                Err(error.to_string())
            }
        }
    }

    fn end(&self, name: &str, restoring: Option<&str>) {
        let mut state = self.state.lock();
        state.sessions.remove(name);
        if let Some(stream) = restoring {
            state.restoring.remove(stream);
        }
    }

    fn session(&self, name: &str) -> Option<Session> {
        self.state.lock().sessions.get(name).cloned()
    }

    /// Ends all backups, as they are.
    pub(crate) fn stop(&self) {
        let threads = {
            let mut state = self.state.lock();
            state.stopping = true;
            for session in state.sessions.values() {
                match session {
                    Session::Sending(window) => window.stop(),
                    Session::Receiving(upload) => upload.stop(),
                }
            }
            std::mem::take(&mut state.threads)
        };
        for thread in threads {
            // One that panicked has said so on stderr; the others are still joined.
            drop(thread.join());
        }
    }
}
