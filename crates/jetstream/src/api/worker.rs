//! The thread that answers API requests, one after the other; those that need the disk go on to reader threads.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use everjet_api::{
    API_AUDIT_SUBJECT, API_LEVEL, API_LIMIT_SUBJECT, AccountInfo, AccountLimits, ApiCall, ApiError,
    ApiLimitReached, ApiStats, ErrorCode, not_supported, parse_api_subject, render_error,
};
use everjet_routing::Turn;
use parking_lot::{Condvar, Mutex};

use super::gets::{Get, Gets};
use super::{Answer, Call, Request, is_unremarkable};
use crate::actor::Wait;
use crate::host::{Host, READERS};
use crate::report::Level;

/// Requests that may wait, and their bytes; more are dropped, all that wait with them, as nats-server does it.
const QUEUE_MAX: usize = 10_000;
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Requests that may wait for the disk at once, while others are answered; with more, all wait.
const COLD_MAX: usize = 1024;
/// Reader threads that work on them at once, and how many one of them answers before others have their turn.
const COLD_JOBS_MAX: usize = READERS;
const COLD_PER_JOB: usize = 32;
/// Answers of direct gets that leave together.
const ANSWERS_PER_FLUSH: usize = 32;

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Request>,
    /// Bytes of their bodies and headers.
    bytes: usize,
    /// Requests that were dropped and nobody was told of.
    dropped: usize,
    stopping: bool,
}

/// Answers API requests.
pub(crate) struct ApiWorker {
    host: Arc<Host>,
    queue: Mutex<Queue>,
    /// Requests that wait in the queue or are being worked on.
    unanswered: AtomicUsize,
    ready: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
    total: AtomicU64,
    errors: AtomicU64,
    cold: Mutex<Cold>,
}

/// Requests whose answer is on disk.
#[derive(Default)]
struct Cold {
    waiting: VecDeque<Request>,
    /// Jobs of reader threads that look for them.
    jobs: usize,
}

impl ApiWorker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start(host: Arc<Host>, seed: u64) -> io::Result<Arc<Self>> {
        let worker = Arc::new(Self {
            host,
            queue: Mutex::default(),
            unanswered: AtomicUsize::new(0),
            ready: Condvar::new(),
            thread: Mutex::new(None),
            total: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            cold: Mutex::default(),
        });
        let own = Arc::clone(&worker);
        let thread = std::thread::Builder::new()
            .name("api".to_owned())
            .spawn(move || own.work(&mut Turn::new(seed)))?;
        *worker.thread.lock() = Some(thread);
        Ok(worker)
    }

    /// Queues a request.
    pub(crate) fn queue(&self, request: Request) {
        let mut queue = self.queue.lock();
        let is_full = queue.waiting.len() >= QUEUE_MAX || queue.bytes > QUEUE_BYTES_MAX;
        let dropped = if is_full { queue.waiting.len() } else { 0 };
        if is_full {
            queue.waiting.clear();
            queue.bytes = 0;
            queue.dropped += dropped;
        }
        queue.bytes += request.bytes();
        queue.waiting.push_back(request);
        self.unanswered.fetch_add(1, Ordering::AcqRel);
        drop(queue);
        self.ready.notify_one();
        if dropped > 0 {
            self.unanswered.fetch_sub(dropped, Ordering::AcqRel);
            let text = format!("JetStream API queue limit reached, dropped {dropped} requests");
            self.host.seams.report.report(Level::Warn, &text);
        }
    }

    /// Answers what is queued and ends the thread.
    pub(crate) fn stop(&self) {
        self.queue.lock().stopping = true;
        self.ready.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            drop(thread.join());
        }
    }

    fn work(self: &Arc<Self>, turn: &mut Turn) {
        let mut answered = 0;
        loop {
            let mut queue = self.queue.lock();
            let request = loop {
                if let Some(request) = queue.waiting.pop_front() {
                    queue.bytes = queue.bytes.saturating_sub(request.bytes());
                    break request;
                }
                if queue.stopping {
                    return;
                }
                self.ready.wait(&mut queue);
            };
            let dropped = std::mem::take(&mut queue.dropped);
            drop(queue);
            if dropped > 0 {
                let advice = ApiLimitReached {
                    server: self.host.advisories.server_name(),
                    dropped: dropped as u64,
                };
                self.host.advisories.tell(API_LIMIT_SUBJECT, &advice, turn);
            }
            let wait = if self.cold.lock().waiting.len() < COLD_MAX {
                Wait::No
            } else {
                Wait::Yes
            };
            if matches!(self.answer(&request, turn, wait), Answer::Later) {
                self.answer_from_disk(vec![request]);
            }
            self.unanswered.fetch_sub(1, Ordering::AcqRel);
            answered += 1;
            if answered >= ANSWERS_PER_FLUSH || !self.is_next_quick() {
                turn.flush();
                answered = 0;
            }
        }
    }

    /// Whether the next request is there and answered at once, so that its answer can leave with those before.
    fn is_next_quick(&self) -> bool {
        let queue = self.queue.lock();
        let next = queue.waiting.front();
        next.is_some_and(|request| {
            matches!(
                parse_api_subject(&request.subject),
                Some(ApiCall::DirectGet { .. })
            )
        })
    }

    /// What the worker serves.
    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// Whether all that was queued is done. As long as it is not, a get would overtake what the same client asked for before.
    pub(super) fn is_idle(&self) -> bool {
        self.unanswered.load(Ordering::Acquire) == 0
    }

    /// Has requests answered by threads that may wait for the disk.
    pub(super) fn answer_from_disk(self: &Arc<Self>, requests: Vec<Request>) {
        if requests.is_empty() {
            return;
        }
        let mut cold = self.cold.lock();
        if cold.waiting.len() >= COLD_MAX {
            drop(cold);
            return requests.into_iter().for_each(|request| self.queue(request));
        }
        cold.waiting.extend(requests);
        let more = cold.waiting.len().min(COLD_JOBS_MAX - cold.jobs);
        cold.jobs += more;
        drop(cold);
        (0..more).for_each(|_| self.read_away());
    }

    fn read_away(self: &Arc<Self>) {
        let own = Arc::clone(self);
        let job = Box::new(move |turn: &mut Turn| own.answer_cold(turn));
        self.host.readers().run(job);
    }

    /// One job of a reader thread: answers what waits for the disk, a bounded number.
    fn answer_cold(self: &Arc<Self>, turn: &mut Turn) {
        for _ in 0..COLD_PER_JOB {
            let mut cold = self.cold.lock();
            let Some(request) = cold.waiting.pop_front() else {
                cold.jobs -= 1;
                return;
            };
            drop(cold);
            // The read before this one may have brought its message, too.
            if !self.answer_now(&request, turn) {
                // Answers from before need not wait with this one.
                turn.flush();
                self.answer(&request, turn, Wait::Yes);
            }
        }
        self.read_away();
    }

    /// Answers a get without waiting for the disk, if it is one and that can be done.
    fn answer_now(&self, request: &Request, turn: &mut Turn) -> bool {
        let call = parse_api_subject(&request.subject);
        let get = call.and_then(|call| Get::of(&call, request.message(), request.origin));
        let Some(get) = get else {
            return false;
        };
        let mut is_answered = true;
        let mut others = |_: &Get<'_>, _| is_answered = false;
        let mut gets = Gets::new(&self.host, Wait::Yes);
        gets.push(get, turn, &mut others);
        gets.answer(turn, &mut others);
        is_answered
    }

    /// Answers a request. [`Answer::Later`] only with [`Wait::No`]: nothing was done then.
    fn answer(&self, request: &Request, turn: &mut Turn, wait: Wait) -> Answer {
        let Some(api_call) = parse_api_subject(&request.subject) else {
            return Answer::Silence;
        };
        if let ApiCall::DirectGet { stream, subject } = api_call {
            return super::direct::get(&self.host, request, (stream, subject), turn, wait);
        }
        let Some(kind) = api_call.response_type() else {
            return Answer::Silence;
        };
        let mut call = Call {
            host: &self.host,
            request,
            kind,
            turn,
            wait,
            is_audited: self.host.advisories.is_audited(),
            afterwards: None,
        };
        let answer = match check_level(request) {
            Ok(()) => self.dispatch(&mut call, &api_call),
            Err(error) => Err(error),
        };
        if matches!(answer, Ok(Answer::Later)) {
            // It is counted when it is answered.
            return Answer::Later;
        }
        let is_unremarkable = is_unremarkable(kind, answer.is_ok());
        if !is_unremarkable {
            self.total.fetch_add(1, Ordering::Relaxed);
        }
        let body = match answer {
            Ok(Answer::Now(body)) => body,
            Ok(done) => return done,
            Err(error) => {
                self.errors.fetch_add(1, Ordering::Relaxed);
                render_error(kind, &error)
            }
        };
        call.reply(b"", &body);
        if call.is_audited && !is_unremarkable {
            let audit = self.host.advisories.audit(request, &body);
            self.host
                .advisories
                .publish(API_AUDIT_SUBJECT, &audit, call.turn);
        }
        if let Some(afterwards) = call.afterwards.take() {
            call.turn.flush();
            afterwards();
        }
        Answer::Silence
    }

    /// The table: who answers what.
    fn dispatch(&self, call: &mut Call<'_>, api_call: &ApiCall<'_>) -> Result<Answer, ApiError> {
        match *api_call {
            ApiCall::AccountInfo => {
                let info = self.account_info(call.turn);
                Ok(call.answer(info))
            }
            ApiCall::StreamCreate { stream } => call.create_stream(stream),
            ApiCall::StreamUpdate { stream } => call.update_stream(stream),
            ApiCall::StreamNames => call.stream_names(),
            ApiCall::StreamList => call.stream_list(),
            ApiCall::StreamInfo { stream } => call.stream_info(stream),
            ApiCall::StreamDelete { stream } => call.delete_stream(stream),
            ApiCall::StreamPurge { stream } => call.purge_stream(stream),
            ApiCall::StreamSnapshot { stream } => call.snapshot_stream(stream),
            ApiCall::StreamRestore { stream } => call.restore_stream(stream),
            ApiCall::MsgGet { stream } => call.get_message(stream),
            ApiCall::MsgDelete { stream } => call.delete_message(stream),
            ApiCall::ConsumerCreate {
                stream,
                consumer,
                filter,
            } => call.create_consumer(stream, consumer, filter),
            ApiCall::ConsumerCreateLegacyEphemeral { stream } => call.create_ephemeral(stream),
            ApiCall::ConsumerCreateDurable { stream, consumer } => {
                call.create_durable(stream, consumer)
            }
            ApiCall::ConsumerNames { stream } => call.consumer_names(stream),
            ApiCall::ConsumerList { stream } => call.consumer_list(stream),
            ApiCall::ConsumerInfo { stream, consumer } => call.consumer_info(stream, consumer),
            ApiCall::ConsumerDelete { stream, consumer } => call.delete_consumer(stream, consumer),
            ApiCall::ConsumerPause { stream, consumer } => call.pause_consumer(stream, consumer),
            ApiCall::ConsumerReset { stream, consumer } => call.reset_consumer(stream, consumer),
            ApiCall::ConsumerUnpin { stream, consumer } => call.unpin_consumer(stream, consumer),
            ApiCall::NotSupported { response_type } => Err(not_supported(response_type)),
            ApiCall::ConsumerNext { .. } | ApiCall::DirectGet { .. } => Ok(Answer::Silence),
        }
    }

    fn account_info(&self, turn: &mut Turn) -> AccountInfo {
        let registry = &self.host.registry;
        let mut info = AccountInfo {
            memory: self.host.usage.memory_bytes(),
            storage: self.host.usage.file_bytes(),
            limits: AccountLimits::default(),
            api: ApiStats {
                level: API_LEVEL,
                total: self.total.load(Ordering::Relaxed),
                errors: self.errors.load(Ordering::Relaxed),
                inflight: 0,
            },
            ..AccountInfo::default()
        };
        for actor in registry.all() {
            info.streams += 1;
            let counted = actor.with(turn, |stream, _, _| {
                (stream.consumer_names().len(), stream.config().max_bytes)
            });
            let Some((consumers, max_bytes)) = counted else {
                continue;
            };
            info.consumers += consumers as u64;
            let reserved = u64::try_from(max_bytes).unwrap_or(0);
            if actor.is_on_disk() {
                info.reserved_storage += reserved;
            } else {
                info.reserved_memory += reserved;
            }
        }
        info
    }
}

/// Refuses a request that needs a newer API.
fn check_level(request: &Request) -> Result<(), ApiError> {
    if super::direct::serves_level(&request.headers) {
        Ok(())
    } else {
        Err(ErrorCode::RequiredApiLevel.error())
    }
}

/// A page of `all`, starting at the entry a request asks for.
pub(super) fn page<T>(all: Vec<T>, offset: i64, limit: u64) -> (everjet_api::Page, Vec<T>) {
    let total = all.len() as u64;
    let offset = u64::try_from(offset).unwrap_or(0).min(total);
    let skip = usize::try_from(offset).unwrap_or(usize::MAX);
    let take = usize::try_from(limit).unwrap_or(usize::MAX);
    let shown = all.into_iter().skip(skip).take(take).collect();
    (
        everjet_api::Page {
            total,
            offset,
            limit,
        },
        shown,
    )
}

/// Answers a request that nobody listens to.
pub(super) fn no_responders(host: &Host, request: &Request, turn: &mut Turn) {
    turn.answer_no_responders(
        host.registry.account(),
        request.origin,
        &request.subject,
        &request.reply,
    );
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn a_page_starts_where_it_was_asked_to_and_never_fails() {
        for (offset, limit, expected) in [
            (0, 2, vec![1, 2]),
            (1, 5, vec![2, 3]),
            (3, 2, vec![]),
            (99, 2, vec![]),
            (-1, 9, vec![1, 2, 3]),
        ] {
            let (shown, entries) = page(vec![1, 2, 3], offset, limit);
            assert_eq!(entries, expected, "offset {offset}");
            assert_eq!((shown.total, shown.limit), (3, limit));
        }
    }
}
