//! A stream's actor: the machine of one stream behind a lock that nobody waits for on a reactor.
//!
//! Whoever has something for the stream leaves it in the mailbox and runs the machine if nobody else is; whoever finds it
//! running goes on, because the runner looks at the mailbox again before it leaves. Deliveries are on their way before the
//! machine is let go, so that two runners cannot swap them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use everjet_api::{AckSubject, ApiCall, parse_api_subject};
use everjet_routing::{Account, InterestWatcher, LocalReceiver, MessageBatch, Turn};
use everjet_store::{ColdRead, Fetched, Lookup, StreamId};
use everjet_stream::{Effects, Inflight, Output, Polled, Publish, Reads, Stream};
use everjet_values::{Clock, EntryIndex, StreamSequence, Timestamp};
use parking_lot::{Mutex, MutexGuard};

use crate::advisories::Advisories;
use crate::commit::{Admission, Commit, Release};
use crate::finding::Finding;
use crate::findings::Findings;
use crate::helpers::Helpers;
use crate::inlets::flow_control_target;
use crate::render::{self, Refusal};
use crate::timers::Timers;
use crate::usage::Usage;

/// Messages one run delivers before it hands the stream to a helper.
const DELIVERIES_PER_RUN: usize = 4096;
/// Bytes of messages that may wait for a stream that somebody else runs.
const MAILBOX_BYTES_MAX: u64 = 64 << 20;
/// Rounds of one flush after which a stream goes on with a helper.
const ROUNDS_MAX: u32 = 16;
/// Batches whose memory a stream keeps, and the most bytes each may have held.
const SPARES_MAX: usize = 4;
const SPARE_BYTES_MAX: usize = 256 << 10;
/// Rounds of reading and delivering after which a reader thread turns to another stream.
const READS_PER_JOB: usize = 16;
/// How many messages of a batch the stream is shown before they come: what it looks up for them has to stay in the caches.
const LOOK_AHEAD: usize = 64;
/// Messages one call of the machine delivers.
const DELIVERIES_PER_POLL: usize = 512;

/// What an actor needs from its surroundings.
pub(crate) struct Surroundings {
    pub(crate) clock: Arc<dyn Clock>,
    /// Who tells subscribers what happened.
    pub(crate) advisories: Arc<Advisories>,
    pub(crate) commit: Option<Arc<Commit>>,
    pub(crate) helpers: Arc<Helpers>,
    /// For reading what is on disk only: helpers do not wait behind a slow disk.
    pub(crate) readers: Arc<Helpers>,
    pub(crate) timers: Arc<Timers>,
    pub(crate) usage: Arc<Usage>,
    /// Batches that are not committed.
    pub(crate) inflight: Arc<Inflight>,
    /// What is damaged.
    pub(crate) findings: Arc<Findings>,
    /// The JetStream domain, which acknowledgements tell.
    pub(crate) domain: Option<Box<str>>,
    /// The server stops: what still arrives for streams is dropped.
    pub(crate) stopping: AtomicBool,
}

/// Something for the stream.
enum Post {
    Publishes(MessageBatch),
    Acks(MessageBatch),
    Pulls(MessageBatch),
    FlowControl(MessageBatch),
    Durable(StreamSequence),
    /// Subscriptions to this subject came or went.
    Interest(Box<[u8]>),
    Look,
}

struct State {
    stream: Stream,
    output: Output,
    posts: Vec<Post>,
    /// The last sequence whose record was handed to the journal.
    submitted: StreamSequence,
    /// Bytes that the stream has added to the usage of all.
    bytes: u64,
    /// A reader thread works for the stream, and looks for more to read before it leaves.
    is_read_for: bool,
    /// The stream was deleted; what still arrives is dropped.
    gone: bool,
}

/// Whether a thread may wait for the device to give old messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It reads what the operating system has in memory, and leaves the rest to others.
    No,
    Yes,
}

impl Wait {
    fn read(self, read: &ColdRead) -> Option<Fetched> {
        match self {
            Self::No => read.run_now(),
            Self::Yes => Some(read.run()),
        }
    }
}

/// One stream and the way to it.
pub(crate) struct StreamActor {
    pub(crate) id: StreamId,
    pub(crate) name: Box<str>,
    pub(crate) account: Arc<Account>,
    on_disk: bool,
    surroundings: Arc<Surroundings>,
    mailbox: Mutex<Vec<Post>>,
    /// Bytes of the messages in the mailbox.
    mailbox_bytes: AtomicU64,
    /// Emptied batches, to be filled again without allocating.
    spares: Mutex<Vec<MessageBatch>>,
    state: Mutex<State>,
    /// The earliest time the timers were asked for; `i64::MAX` for none.
    scheduled: AtomicI64,
    /// A helper was asked to go on.
    handed_over: AtomicBool,
    /// Changed since the last look of the housekeeper.
    dirty: AtomicBool,
    /// Changed since the last look of the compactor.
    compactable: AtomicBool,
    /// The stream was deleted.
    retired: AtomicBool,
    /// When it last changed.
    changed_at: AtomicI64,
    /// The largest sequence that was posted as durable: the same is not posted again.
    durable: AtomicU64,
    /// The last entry that is durable.
    durable_entry: AtomicU64,
}

impl Post {
    /// Bytes of messages.
    fn bytes(&self) -> u64 {
        match self {
            Self::Publishes(batch)
            | Self::Acks(batch)
            | Self::Pulls(batch)
            | Self::FlowControl(batch) => batch.bytes() as u64,
            Self::Durable(_) | Self::Interest(_) | Self::Look => 0,
        }
    }
}

/// What the stream needs after a run.
#[derive(Clone, Copy)]
struct Next {
    /// Another run, elsewhere.
    hand_over: bool,
    /// Somebody who reads for it.
    read: bool,
}

impl StreamActor {
    pub(crate) fn new(
        mut stream: Stream,
        name: &str,
        on_disk: bool,
        account: Arc<Account>,
        surroundings: Arc<Surroundings>,
    ) -> Arc<Self> {
        let entry = stream.entry();
        stream.share_inflight(&surroundings.inflight);
        Arc::new(Self {
            id: stream.id(),
            name: name.into(),
            account,
            on_disk,
            surroundings,
            mailbox: Mutex::default(),
            mailbox_bytes: AtomicU64::new(0),
            spares: Mutex::default(),
            state: Mutex::new(State {
                stream,
                output: Output::default(),
                posts: Vec::new(),
                submitted: StreamSequence::ZERO,
                bytes: 0,
                is_read_for: false,
                gone: false,
            }),
            scheduled: AtomicI64::new(i64::MAX),
            handed_over: AtomicBool::new(false),
            dirty: AtomicBool::new(true),
            compactable: AtomicBool::new(true),
            retired: AtomicBool::new(false),
            changed_at: AtomicI64::new(i64::MIN),
            durable: AtomicU64::new(0),
            durable_entry: AtomicU64::new(entry.0),
        })
    }

    /// Acknowledgements for the stream's consumers.
    pub(crate) fn post_acks(self: &Arc<Self>, batch: MessageBatch, turn: &mut Turn) {
        self.post(Post::Acks(batch), turn);
    }

    /// Pull requests for the stream's consumers.
    pub(crate) fn post_pulls(self: &Arc<Self>, batch: MessageBatch, turn: &mut Turn) {
        self.post(Post::Pulls(batch), turn);
    }

    /// Answers of clients to flow control.
    pub(crate) fn post_flow_control(self: &Arc<Self>, batch: MessageBatch, turn: &mut Turn) {
        self.post(Post::FlowControl(batch), turn);
    }

    /// Whether everything the stream says of itself is durable.
    pub(crate) fn is_durable(&self, stream: &Stream) -> bool {
        !self.on_disk || stream.entry().0 <= self.durable_entry.load(Ordering::Acquire)
    }

    /// Everything up to `entry` is durable, and with it messages up to `sequence`.
    pub(crate) fn durable(
        self: &Arc<Self>,
        entry: EntryIndex,
        sequence: StreamSequence,
        turn: &mut Turn,
    ) {
        self.durable_entry.fetch_max(entry.0, Ordering::AcqRel);
        // Batches without messages post nothing: deliveries cause records, and those must not cause runs without end.
        if self.durable.fetch_max(sequence.0, Ordering::AcqRel) < sequence.0 {
            self.post(Post::Durable(sequence), turn);
        }
    }

    /// A timer is due.
    pub(crate) fn tick(self: &Arc<Self>, turn: &mut Turn) {
        self.scheduled.store(i64::MAX, Ordering::Release);
        self.post(Post::Look, turn);
    }

    /// Runs `work` on the machine, waiting for it when needed. Only for threads that may block. `None` when the stream is gone.
    pub(crate) fn with<T>(
        self: &Arc<Self>,
        turn: &mut Turn,
        work: impl FnOnce(&mut Stream, Timestamp, &mut Output) -> T,
    ) -> Option<T> {
        let mut state = self.state.lock();
        let result = (!state.gone).then(|| {
            let now = self.surroundings.clock.now();
            let State { stream, output, .. } = &mut *state;
            work(stream, now, output)
        });
        let next = self.step(&mut state, turn);
        drop(state);
        self.after_step(next, turn);
        self.run(turn);
        result
    }

    /// Runs `work`, which only looks, on the machine, waiting for it when needed. Whatever else there is to do is left to others.
    fn look<T>(
        self: &Arc<Self>,
        turn: &mut Turn,
        work: impl FnOnce(&mut Stream) -> T,
    ) -> Option<T> {
        let mut state = self.state.lock();
        let result = (!state.gone).then(|| work(&mut state.stream));
        state.stream.release_reads();
        if state.stream.store().has_new_damage() {
            self.mailbox.lock().push(Post::Look);
        }
        drop(state);
        // Who came meanwhile found the machine taken and left.
        self.run(turn);
        result
    }

    /// Runs `work`, which only looks and admits nothing that was read, on the machine. With [`Wait::No`] `None` when somebody else
    /// runs it, and always when the stream is gone.
    pub(crate) fn look_now<T>(
        self: &Arc<Self>,
        turn: &mut Turn,
        wait: Wait,
        work: impl FnOnce(&Stream) -> T,
    ) -> Option<T> {
        let state = match wait {
            Wait::No => self.state.try_lock()?,
            Wait::Yes => self.state.lock(),
        };
        let result = (!state.gone).then(|| work(&state.stream));
        drop(state);
        // Who came meanwhile found the machine taken and left.
        self.run(turn);
        result
    }

    /// As [`StreamActor::look`], for work that may need what is on disk: it is read while the stream goes on, and then `work` runs
    /// again. Cold where the device would have to be waited for and that is not allowed.
    pub(crate) fn look_back<T>(
        self: &Arc<Self>,
        turn: &mut Turn,
        wait: Wait,
        mut work: impl FnMut(&mut Stream) -> Lookup<T>,
    ) -> Option<Lookup<T>> {
        let mut fetched: Vec<Fetched> = Vec::new();
        loop {
            let looked = self.look(turn, |stream| {
                stream.store().admit(fetched.iter().cloned());
                work(stream)
            })?;
            let Lookup::Cold(read) = looked else {
                return Some(looked);
            };
            match wait.read(&read) {
                Some(found) => fetched.push(found),
                None => return Some(Lookup::Cold(read)),
            }
        }
    }

    /// As [`StreamActor::with`], for work that may need what is on disk: it is read while the stream goes on, and then `work` runs
    /// again. Cold where the device would have to be waited for and that is not allowed.
    pub(crate) fn with_reads<T>(
        self: &Arc<Self>,
        turn: &mut Turn,
        wait: Wait,
        mut work: impl FnMut(&mut Stream, Timestamp, &mut Output) -> Lookup<T>,
    ) -> Option<Lookup<T>> {
        let mut fetched: Vec<Fetched> = Vec::new();
        loop {
            let looked = self.with(turn, |stream, now, output| {
                stream.store().admit(fetched.iter().cloned());
                work(stream, now, output)
            })?;
            let Lookup::Cold(read) = looked else {
                return Some(looked);
            };
            match wait.read(&read) {
                Some(found) => fetched.push(found),
                None => return Some(Lookup::Cold(read)),
            }
        }
    }

    /// Lets go of the machine for good: the server stops.
    pub(crate) fn close(&self) {
        self.state.lock().gone = true;
    }

    /// Marks the stream deleted: from now on everything for it is dropped.
    pub(crate) fn retire(self: &Arc<Self>, turn: &mut Turn) {
        self.retired.store(true, Ordering::Release);
        self.with(turn, |stream, now, output| stream.delete(now, output));
        let mut state = self.state.lock();
        state.gone = true;
        self.surroundings
            .usage
            .change(self.on_disk, std::mem::take(&mut state.bytes), 0);
    }

    /// Whether something changed since the last checkpoint took it.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }

    /// Whether something changed since the last call.
    pub(crate) fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::AcqRel)
    }

    /// As [`StreamActor::take_dirty`], but only when the last change is at least `quiet` ago.
    pub(crate) fn take_quiet(&self, quiet: Duration) -> bool {
        let changed_at = Timestamp::from_nanos(self.changed_at.load(Ordering::Acquire));
        let rested = self.surroundings.clock.now().since(changed_at) >= quiet;
        rested && self.take_dirty()
    }

    /// Says again that something changed: what was taken could not be finished.
    pub(crate) fn set_dirty(&self) {
        self.dirty.store(true, Ordering::Release);
    }

    /// Whether something that may be worth compacting has happened since the last call.
    pub(crate) fn take_compactable(&self) -> bool {
        self.compactable.swap(false, Ordering::AcqRel)
    }

    /// Says that there may be something to compact: a checkpoint was written.
    pub(crate) fn set_compactable(&self) {
        self.compactable.store(true, Ordering::Release);
    }

    /// Whether the stream was deleted.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Whether the stream has files.
    pub(crate) fn is_on_disk(&self) -> bool {
        self.on_disk
    }

    /// Lets effects leave; with `failure` nothing is acknowledged and publishers are told why.
    pub(crate) fn release(&self, effects: &Effects, failure: Option<&str>, turn: &mut Turn) {
        let names = (&*self.name, self.surroundings.domain.as_deref());
        render::release(&self.account, names, effects, failure, turn);
    }

    fn post(self: &Arc<Self>, post: Post, turn: &mut Turn) {
        if self.mailbox_bytes.load(Ordering::Relaxed) > MAILBOX_BYTES_MAX {
            return self.turn_away(&post, turn);
        }
        self.mailbox_bytes
            .fetch_add(post.bytes(), Ordering::Relaxed);
        self.mailbox.lock().push(post);
        if turn.rounds() > ROUNDS_MAX {
            // Messages that cause each other would keep this thread for ever.
            self.hand_over();
        } else {
            self.run(turn);
        }
    }

    /// Too much waits for the stream: publishers are told, everything else is asked for again by whoever sent it.
    fn turn_away(&self, post: &Post, turn: &mut Turn) {
        if let Post::Publishes(batch) = post {
            for (message, _) in batch.iter() {
                Refusal::TooManyRequests.answer(&self.account, &self.name, message.reply, turn);
            }
        }
    }

    /// Runs the machine until its mailbox is empty, unless somebody else is running it.
    fn run(self: &Arc<Self>, turn: &mut Turn) {
        loop {
            if self.mailbox.lock().is_empty() {
                return;
            }
            let Some(mut state) = self.state.try_lock() else {
                return;
            };
            let next = self.step(&mut state, turn);
            drop(state);
            self.after_step(next, turn);
        }
    }

    /// What follows a run once the machine is let go.
    fn after_step(self: &Arc<Self>, next: Next, turn: &mut Turn) {
        if let Some(commit) = self.commit() {
            commit.drive(turn);
        }
        if next.hand_over {
            self.hand_over();
        }
        if next.read {
            self.read_away();
        }
    }

    /// Lets a reader thread read what is wanted and deliver it.
    fn read_away(self: &Arc<Self>) {
        let actor = Arc::clone(self);
        let job = Box::new(move |turn: &mut Turn| actor.read_on(turn));
        self.surroundings.readers.run(job);
    }

    /// Reads what is wanted, without the stream's lock, and lets the stream go on with it, as long as there is more to read; then
    /// others have their turn.
    fn read_on(self: &Arc<Self>, turn: &mut Turn) {
        let mut state = self.state.lock();
        for _ in 0..READS_PER_JOB {
            let reads = state.stream.take_reads();
            if reads.is_empty() || state.gone {
                state.is_read_for = false;
                return;
            }
            drop(state);
            let fetched = reads.iter().map(ColdRead::run).collect();
            state = self.state.lock();
            if state.stream.admit(fetched) {
                self.mailbox.lock().push(Post::Look);
            }
            let next = self.step(&mut state, turn);
            drop(state);
            self.after_step(next, turn);
            self.run(turn);
            // What goes to receivers inside the server would gather until the job ends.
            turn.flush();
            state = self.state.lock();
        }
        drop(state);
        self.read_away();
    }

    /// Lets a helper thread go on where a bounded run stopped.
    fn hand_over(self: &Arc<Self>) {
        if self.handed_over.swap(true, Ordering::AcqRel) {
            return;
        }
        let actor = Arc::clone(self);
        self.surroundings.helpers.run(Box::new(move |turn| {
            actor.handed_over.store(false, Ordering::Release);
            actor.mailbox.lock().push(Post::Look);
            let mut state = actor.state.lock();
            let next = actor.step(&mut state, turn);
            drop(state);
            actor.after_step(next, turn);
            actor.run(turn);
        }));
    }

    fn commit(&self) -> Option<&Arc<Commit>> {
        self.surroundings.commit.as_ref().filter(|_| self.on_disk)
    }

    /// One run: everything in the mailbox, then deliveries, then what came of it.
    fn step(self: &Arc<Self>, state: &mut MutexGuard<'_, State>, turn: &mut Turn) -> Next {
        let now = self.surroundings.clock.now();
        let state: &mut State = state;
        std::mem::swap(&mut *self.mailbox.lock(), &mut state.posts);
        let mut posts = std::mem::take(&mut state.posts);
        let stopping = self.surroundings.stopping.load(Ordering::Acquire);
        for post in posts.drain(..) {
            let bytes = post.bytes();
            self.mailbox_bytes.fetch_sub(bytes, Ordering::Relaxed);
            let dropped = state.gone || (stopping && bytes > 0);
            if !dropped {
                self.take(state, now, &post, turn);
            }
            self.keep_batch(post);
        }
        state.posts = posts;
        let hand_over = !state.gone && self.deliver(state, now, turn);
        self.finish(state, turn);
        self.ask_for_time(state);
        state.stream.release_reads();
        let read = !state.gone && !state.is_read_for && state.stream.wants_reads();
        state.is_read_for |= read;
        Next { hand_over, read }
    }

    fn take(&self, state: &mut State, now: Timestamp, post: &Post, turn: &mut Turn) {
        let State { stream, output, .. } = state;
        match post {
            Post::Publishes(batch) => self.publish_all(stream, output, now, batch, turn),
            Post::Acks(batch) => {
                for (message, origin) in batch.iter() {
                    let Some(ack) = AckSubject::parse(message.subject) else {
                        continue;
                    };
                    let (reply, body) = (message.reply, message.payload);
                    if !stream.on_ack(now, &ack, reply, body, output) && !reply.is_empty() {
                        let account = &self.account;
                        turn.answer_no_responders(account, origin, message.subject, reply);
                    }
                }
            }
            Post::Pulls(batch) => {
                for (message, origin) in batch.iter() {
                    let Some(ApiCall::ConsumerNext { consumer, .. }) =
                        parse_api_subject(message.subject)
                    else {
                        continue;
                    };
                    let known =
                        stream.on_pull(now, consumer, message.reply, message.payload, output);
                    if !known {
                        turn.answer_no_responders(
                            &self.account,
                            origin,
                            message.subject,
                            message.reply,
                        );
                    }
                }
            }
            Post::FlowControl(batch) => {
                for (message, _) in batch.iter() {
                    if let Some((_, consumer)) = flow_control_target(message.subject) {
                        let (subject, headers) = (message.subject, message.headers);
                        stream.on_flow_control(now, consumer, subject, headers, output);
                    }
                }
            }
            Post::Durable(sequence) => stream.on_durable(*sequence),
            Post::Interest(subject) => stream.on_interest(subject),
            Post::Look => {
                let account = &self.account;
                stream.on_timer(now, &mut |subject| account.has_interest(subject), output);
            }
        }
    }

    /// Keeps the memory of a batch for the next turns.
    fn keep_batch(&self, post: Post) {
        if let Post::Publishes(mut batch) = post
            && batch.bytes() <= SPARE_BYTES_MAX
        {
            batch.clear();
            let mut spares = self.spares.lock();
            if spares.len() < SPARES_MAX {
                spares.push(batch);
            }
        }
    }

    fn publish_all(
        &self,
        stream: &mut Stream,
        output: &mut Output,
        now: Timestamp,
        batch: &MessageBatch,
        turn: &mut Turn,
    ) {
        let closed = self.closed();
        for (at, (message, _)) in batch.iter().enumerate() {
            if at.is_multiple_of(LOOK_AHEAD) && closed.is_none() {
                look_ahead(stream, batch, at);
            }
            match &closed {
                None => {
                    let publish = Publish {
                        subject: message.subject,
                        reply: message.reply,
                        headers: message.headers,
                        payload: message.payload,
                    };
                    stream.on_publish(now, &publish, output);
                }
                Some(refusal) => refusal.answer(&self.account, &self.name, message.reply, turn),
            }
        }
    }

    /// Why publishes are refused before the machine sees them.
    fn closed(&self) -> Option<Refusal> {
        if self.surroundings.usage.is_full(self.on_disk) {
            return Some(if self.on_disk {
                Refusal::NoSpace
            } else {
                Refusal::NoMemory
            });
        }
        let commit = self.commit()?;
        match commit.admission() {
            Admission::Full => Some(Refusal::NoSpace),
            Admission::Failed => Some(Refusal::JournalFailed(commit.failure().unwrap_or_default())),
            Admission::Open if commit.is_overloaded() => Some(Refusal::TooManyRequests),
            Admission::Open => None,
        }
    }

    /// Delivers what is in memory. Returns whether there is more of it than fits in one run.
    fn deliver(&self, state: &mut State, now: Timestamp, turn: &mut Turn) -> bool {
        let account = &self.account;
        let mut delivered = 0;
        loop {
            if !self.on_disk {
                let last = state.stream.store().last_sequence();
                state.stream.on_durable(last);
            }
            let polled = state.stream.poll(
                now,
                &mut |subject| account.has_interest(subject),
                &mut state.output,
                DELIVERIES_PER_POLL,
                Reads::Resident,
            );
            render::send(account, &state.output.sends, turn);
            state.output.sends.clear();
            delivered += DELIVERIES_PER_POLL;
            match polled {
                Polled::Idle | Polled::NeedsDisk => return false,
                Polled::More if delivered >= DELIVERIES_PER_RUN => return true,
                Polled::More => {}
            }
        }
    }

    /// Sends what may leave now and queues what must wait for the disk.
    fn finish(self: &Arc<Self>, state: &mut State, turn: &mut Turn) {
        let output = &mut state.output;
        render::send(&self.account, &output.sends, turn);
        output.sends.clear();
        self.advise(&mut state.stream, turn);
        let idle = output.journal.is_empty() && output.effects.is_empty();
        if !output.journal.is_empty() {
            self.changed_at
                .store(self.surroundings.clock.now().as_nanos(), Ordering::Release);
            self.dirty.store(true, Ordering::Release);
        }
        if !idle {
            let effects = std::mem::take(&mut output.effects);
            match self.commit() {
                Some(commit) => {
                    let durable = state.stream.store().last_sequence();
                    // A message whose publisher does not wait is waited for by the consumers.
                    let awaited = durable > state.submitted && state.stream.has_consumers();
                    state.submitted = durable;
                    let wanted =
                        std::mem::take(&mut output.sync_wanted) || !effects.is_empty() || awaited;
                    let release = Release {
                        actor: Arc::clone(self),
                        effects,
                        entry: state.stream.entry(),
                        durable,
                    };
                    commit.submit(&mut output.journal, wanted, release);
                }
                None => {
                    self.release(&effects, None, turn);
                    output.journal.clear();
                    output.sync_wanted = false;
                }
            }
        }
        if state.stream.store().has_new_damage() {
            self.tell_damage(state, turn);
        }
        turn.flush_connections();
        let bytes = state.stream.store().bytes();
        self.surroundings
            .usage
            .change(self.on_disk, state.bytes, bytes);
        state.bytes = bytes;
    }

    /// Tells subscribers what happened to consumers and batches.
    fn advise(&self, stream: &mut Stream, turn: &mut Turn) {
        let advisories = &self.surroundings.advisories;
        advisories.tell_of_consumers(&self.name, &stream.take_advisories(), turn);
        advisories.tell_abandoned(&self.name, &stream.take_abandoned(), turn);
    }

    /// Reads found messages that fail their check.
    fn tell_damage(&self, state: &State, turn: &mut Turn) {
        for damage in state.stream.store().take_damage() {
            let finding = Finding::in_segment(self.account.name(), &self.name, &damage);
            self.surroundings.findings.add(&finding, turn);
        }
    }

    fn ask_for_time(self: &Arc<Self>, state: &State) {
        let Some(at) = state.stream.next_timer().filter(|_| !state.gone) else {
            return;
        };
        if at.as_nanos() < self.scheduled.load(Ordering::Acquire) {
            self.scheduled.store(at.as_nanos(), Ordering::Release);
            self.surroundings.timers.schedule(at, self);
        }
    }
}

/// Shows the stream the subjects of the messages from number `at` on.
fn look_ahead(stream: &mut Stream, batch: &MessageBatch, at: usize) {
    let mut subjects: [&[u8]; LOOK_AHEAD] = [&[]; LOOK_AHEAD];
    let coming = batch.iter().skip(at).take(LOOK_AHEAD);
    let count = coming.len();
    for (subject, (message, _)) in subjects.iter_mut().zip(coming) {
        *subject = message.subject;
    }
    stream.look_ahead(&subjects[..count]);
}

/// The stream as a receiver of its subjects.
pub(crate) struct StreamInlet(pub(crate) Arc<StreamActor>);

impl LocalReceiver for StreamInlet {
    fn receive(&self, batch: &mut MessageBatch, turn: &mut Turn) {
        let spare = self.0.spares.lock().pop().unwrap_or_default();
        let publishes = std::mem::replace(batch, spare);
        self.0.post(Post::Publishes(publishes), turn);
    }
}

impl InterestWatcher for StreamInlet {
    fn interest_changed(&self, subject: &[u8]) {
        // Called by whoever subscribed, who has no turn to lend: a helper looks.
        self.0.mailbox.lock().push(Post::Interest(subject.into()));
        self.0.hand_over();
    }
}
