//! Sending a backup: consumers, then messages, compressed, in chunks, as fast as they are acknowledged.

use std::sync::Arc;
use std::time::Duration;

use everjet_api::{
    AdvisedClient, ArchivedConsumer, MsgGetRequest, SnapshotCompleted, SnapshotRequest,
    StreamState, to_json,
};
use everjet_foreign::{ARCHIVE_MAGIC, ArchiveEntry, Framer};
use everjet_routing::{Message, Origin, Turn};
use everjet_store::{JournalBatch, Lookup};
use everjet_stream::{AfterPart, GetMany};
use everjet_values::Timestamp;
use everjet_wire::HeaderBuilder;

use super::window::{Stop, Window};
use crate::actor::{StreamActor, Wait};
use crate::host::Host;
use crate::report::Level;

/// Bytes of a chunk, and bytes that may be on their way: by default, and within which bounds.
const CHUNK: (u64, u64, u64) = (128 << 10, 1 << 10, 1 << 20);
const WINDOW: (u64, u64, u64) = (8 << 20, 1 << 10, 32 << 20);
/// How long somebody may take to listen, and how often that is asked.
const INTEREST_TRIES: u32 = 40;
const INTEREST_PAUSE: Duration = Duration::from_millis(50);

/// How a backup is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Bytes of a chunk.
    chunk: usize,
    /// Chunks that may be on their way.
    window: u64,
}

impl Sizes {
    /// What a request asks for, within the bounds.
    pub(crate) fn of(request: &SnapshotRequest) -> Self {
        let within = |wanted: i64, (default, min, max): (u64, u64, u64)| match u64::try_from(wanted)
        {
            Ok(0) => default,
            wanted => wanted.unwrap_or(min).clamp(min, max),
        };
        let chunk = within(request.chunk_size, CHUNK);
        let window = within(request.window_size, WINDOW).max(chunk);
        Self {
            chunk: usize::try_from(chunk).expect("at most a MiB"),
            window: window / chunk,
        }
    }
}

/// A backup that is being sent.
pub(crate) struct Sender {
    pub(crate) host: Arc<Host>,
    pub(crate) actor: Arc<StreamActor>,
    /// What subjects call it.
    pub(crate) name: String,
    pub(crate) deliver_subject: String,
    pub(crate) sizes: Sizes,
    pub(crate) state: StreamState,
    pub(crate) consumers: Vec<ArchivedConsumer>,
    pub(crate) client: AdvisedClient,
    pub(crate) started: Timestamp,
    pub(crate) out: Output,
}

/// What waits to be sent.
#[derive(Default)]
pub(crate) struct Output {
    window: Arc<Window>,
    framer: Framer,
    entry: Vec<u8>,
    packed: Vec<u8>,
    /// Chunks that were sent.
    sent: u64,
}

/// Why a backup ends early.
enum Failure {
    Stop(Stop),
    NoInterest,
    /// It cannot be made.
    Broken(String),
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl Failure {
    /// Status and text for the client, and what the advisory says.
    fn told(&self) -> (u16, String, String) {
        match self {
            Self::Stop(Stop::NoFlow) => (408, "No Flow Response".into(), "no flow response".into()),
            Self::Stop(Stop::Stopping) => (500, "server shutdown".into(), "server shutdown".into()),
            Self::NoInterest => (408, "No Interest".into(), "no interest".into()),
            Self::Broken(why) => (500, why.clone(), why.clone()),
        }
    }
}

impl Sender {
    pub(super) fn window(&self) -> Arc<Window> {
        Arc::clone(&self.out.window)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Sends everything.
    pub(super) fn run(mut self, turn: &mut Turn) {
        let sent = self.send_all(turn);
        let (status, error) = match &sent {
            Ok(()) if self.out.sent == 0 => (Vec::new(), String::new()),
            Ok(()) => (HeaderBuilder::with_status(204, "").finish(), String::new()),
            Err(failure) => {
                let (code, text, error) = failure.told();
                (HeaderBuilder::with_status(code, &text).finish(), error)
            }
        };
        self.publish(b"", &status, b"", turn);
        let stream = &*self.actor.name;
        let text = if error.is_empty() {
            format!("backup of stream {stream} sent")
        } else {
            format!("backup of stream {stream} not sent: {error}")
        };
        let level = if error.is_empty() {
            Level::Info
        } else {
            Level::Warn
        };
        self.host.seams.report.report(level, &text);
        let advice = SnapshotCompleted {
            stream,
            start: self.started,
            end: self.host.seams.clock.now(),
            client: &self.client,
            error: &error,
        };
        let subject = format!("$JS.EVENT.ADVISORY.STREAM.SNAPSHOT_COMPLETE.{stream}");
        self.host.advisories.tell(&subject, &advice, turn);
    }

    fn send_all(&mut self, turn: &mut Turn) -> Result<(), Failure> {
        self.wait_for_interest()?;
        self.out.framer.push(ARCHIVE_MAGIC, &mut self.out.packed);
        let state = to_json(&self.state);
        self.put_described(b"state.json", &state, turn)?;
        for consumer in std::mem::take(&mut self.consumers) {
            let name = format!("consumers/{}", consumer.config.name);
            self.put_described(name.as_bytes(), &to_json(&consumer), turn)?;
        }
        self.put_messages(turn)?;
        self.put(&ArchiveEntry::END, turn)?;
        std::mem::take(&mut self.out.framer).finish(&mut self.out.packed);
        self.send_chunks(turn)?;
        let rest = std::mem::take(&mut self.out.packed);
        if !rest.is_empty() {
            self.publish(b"", b"", &rest, turn);
        }
        Ok(())
    }

    fn wait_for_interest(&self) -> Result<(), Failure> {
        let account = self.host.registry.account();
        for _ in 0..INTEREST_TRIES {
            if account.has_interest(self.deliver_subject.as_bytes()) {
                return Ok(());
            }
            self.out.window.pause(INTEREST_PAUSE)?;
        }
        Err(Failure::NoInterest)
    }

    fn put_described(
        &mut self,
        name: &[u8],
        payload: &[u8],
        turn: &mut Turn,
    ) -> Result<(), Failure> {
        let entry = ArchiveEntry {
            name,
            time: self.started,
            sequence: 0,
            headers: b"",
            payload,
        };
        self.put(&entry, turn)
    }

    /// All messages that were there when it began and still are.
    fn put_messages(&mut self, turn: &mut Turn) -> Result<(), Failure> {
        let request = MsgGetRequest {
            seq: self.state.first_seq.0.max(1),
            batch: i64::MAX,
            ..MsgGetRequest::default()
        };
        let mut many = GetMany::new(&request, u64::MAX).expect("a batch is many");
        let (actor, last) = (Arc::clone(&self.actor), self.state.last_seq);
        loop {
            let looked = actor.look_back(turn, Wait::Yes, |stream| many.go_on(stream));
            let Some(Lookup::Ready(part)) = looked else {
                return Err(Failure::Broken("the stream was deleted".to_owned()));
            };
            for one in &part.messages {
                let message = one.message.view();
                if message.sequence > last {
                    return Ok(());
                }
                let entry = ArchiveEntry {
                    name: message.subject,
                    time: message.time,
                    sequence: message.sequence.0,
                    headers: message.headers,
                    payload: message.payload,
                };
                self.put(&entry, turn)?;
            }
            match part.then {
                AfterPart::More => {}
                AfterPart::NotDurable => {
                    let commit = &self.host.commit;
                    commit
                        .commit_and_wait(&mut JournalBatch::default())
                        .map_err(Failure::Broken)?;
                }
                AfterPart::Unreadable(why) => return Err(Failure::Broken(why)),
                // The last of them may have gone meanwhile.
                AfterPart::End { .. }
                | AfterPart::NotFound
                | AfterPart::NoResults
                | AfterPart::TooManyResults => return Ok(()),
            }
        }
    }

    fn put(&mut self, entry: &ArchiveEntry<'_>, turn: &mut Turn) -> Result<(), Failure> {
        self.out.entry.clear();
        entry.put(&mut self.out.entry);
        self.out.framer.push(&self.out.entry, &mut self.out.packed);
        self.send_chunks(turn)
    }

    /// Sends what fills whole chunks.
    fn send_chunks(&mut self, turn: &mut Turn) -> Result<(), Failure> {
        let chunk = self.sizes.chunk;
        if self.out.packed.len() < chunk {
            return Ok(());
        }
        let packed = std::mem::take(&mut self.out.packed);
        let chunks = packed.chunks_exact(chunk);
        self.out.packed = chunks.remainder().to_vec();
        for body in chunks {
            self.out.window.wait(self.out.sent, self.sizes.window)?;
            self.out.sent += 1;
            let reply = format!(
                "$JS.SNAPSHOT.ACK.{}.{}.{chunk}.{}",
                self.actor.name, self.name, self.out.sent
            );
            self.publish(reply.as_bytes(), b"", body, turn);
        }
        Ok(())
    }

    fn publish(&self, reply: &[u8], headers: &[u8], payload: &[u8], turn: &mut Turn) {
        let message = Message {
            subject: self.deliver_subject.as_bytes(),
            reply,
            headers,
            payload,
        };
        turn.publish(self.host.registry.account(), Origin::SERVER, &message);
        turn.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_stay_within_their_bounds() {
        let sizes = |chunk_size, window_size| {
            let sizes = Sizes::of(&SnapshotRequest {
                chunk_size,
                window_size,
                ..SnapshotRequest::default()
            });
            (sizes.chunk, sizes.window)
        };
        assert_eq!(sizes(0, 0), (128 << 10, 64));
        assert_eq!(sizes(10, 0), (1 << 10, 8 << 10));
        assert_eq!(sizes(-1, 1), (1 << 10, 1));
        assert_eq!(sizes(i64::MAX, i64::MAX), (1 << 20, 32));
        assert_eq!(sizes(1 << 20, 1 << 10), (1 << 20, 1));
    }
}
