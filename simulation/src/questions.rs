//! What a stream is asked about its messages, compared with a walk over all of them.
//!
//! The walk reads every sequence, so what it finds was checked on the way; indexes, totals and `checkpoint.bin` have no part in it but
//! for which sequences they take for removed. That those are the right ones says the digest of the state.

use std::collections::BTreeMap;

use everjet_api::{DeliverPolicy, MsgGetRequest, StreamInfoRequest};
use everjet_store::{Lookup, ReadError, StoredMessage, StreamStore};
use everjet_stream::Stream;
use everjet_subject::matches;
use everjet_values::{Entropy, SeededEntropy, StreamSequence, Timestamp};

use crate::Ledger;
use crate::model::SUBJECTS;

/// Filters that are asked for; sets of up to three of them, too.
pub(crate) const FILTERS: [&str; 12] = [
    ">",
    "order.>",
    "order.*",
    "order.new",
    "order.paid",
    "order.new.*",
    "order.*.eu",
    "order.eu.>",
    "order.eu.*",
    "order.back",
    "other.>",
    "order.none",
];

/// A message as the walk found it.
struct Walked {
    sequence: u64,
    subject: Vec<u8>,
    /// `None` if it cannot be read.
    message: Option<StoredMessage>,
}

/// Asks a stream about its messages.
///
/// # Errors
/// The first answer that is not that of the walk.
pub(crate) fn ask(stream: &mut Stream, ledger: &Ledger, now: Timestamp) -> Result<(), String> {
    let walked = walk(stream.store(), ledger)?;
    about_all(stream.store(), &walked)?;
    about_subjects(stream, &walked, now)?;
    let dice = SeededEntropy::new(stream.entry().0 ^ 0x7175_6573_7469_6f6e);
    for _ in 0..10 {
        let filters: Vec<&str> = (0..=dice.next_u64() % 3)
            .map(|_| FILTERS[below(&dice, FILTERS.len())])
            .collect();
        let from = below(&dice, 3 + to_usize(stream.store().last_sequence().0)) as u64;
        let wrong = |what: String| format!("filters {filters:?} from {from}: {what}");
        about_filters(stream, &walked, &filters, from).map_err(wrong)?;
    }
    about_times(stream.store(), &walked, &dice)?;
    about_consumers(stream, &walked, now)
}

/// Reads every sequence. A message that an index knows and that cannot be read has the subject it was sent with.
fn walk(store: &StreamStore, ledger: &Ledger) -> Result<Vec<Walked>, String> {
    let mut walked = Vec::new();
    for sequence in store.first_sequence().0..=store.last_sequence().0 {
        let at = StreamSequence(sequence);
        let (subject, message) = match store.get(at) {
            Ok(message) => (message.subject().to_vec(), Some(message)),
            Err(ReadError::Damaged { .. } | ReadError::Fault(_)) if store.contains(at) => {
                let Some(subject) = ledger.subjects.get(&sequence) else {
                    return Err(format!("message {sequence} was never sent and is damaged"));
                };
                (SUBJECTS[*subject].as_bytes().to_vec(), None)
            }
            Err(_) if store.contains(at) => {
                return Err(format!("message {sequence} is listed and is not there"));
            }
            Err(_) => continue,
        };
        let listed = store.subject_id(at).map(|id| store.subjects().name(id));
        if listed != Some(&*subject) {
            let listed = listed.map(String::from_utf8_lossy);
            return Err(format!("message {sequence} is listed under {listed:?}"));
        }
        let sent = ledger
            .subjects
            .get(&sequence)
            .map(|sent| SUBJECTS[*sent].as_bytes());
        if sent.is_some_and(|sent| sent != subject) {
            return Err(format!(
                "message {sequence} has another subject than was sent"
            ));
        }
        walked.push(Walked {
            sequence,
            subject,
            message,
        });
    }
    Ok(walked)
}

fn about_all(store: &StreamStore, walked: &[Walked]) -> Result<(), String> {
    let state = store.state();
    let (first, last) = (state.first_sequence.0, state.last_sequence.0);
    let size_of = |one: &Walked| store.size_of(StreamSequence(one.sequence)).unwrap_or(0);
    same("messages", state.messages, walked.len() as u64)?;
    same("bytes", state.bytes, walked.iter().map(size_of).sum())?;
    let front = walked.first().map_or(last + 1, |one| one.sequence);
    same("first sequence", first, front)?;
    same("deleted", state.deleted, last + 1 - first - state.messages)?;
    let headers = |one: &&Walked| {
        let message = one.message.as_ref();
        message.is_some_and(|message| !message.headers().is_empty())
    };
    if walked.iter().all(|one| one.message.is_some()) {
        let with = walked.iter().find(headers).map(|one| one.sequence);
        let found = store.next_with_headers(StreamSequence(first));
        same("first with headers", found.map(|found| found.0), with)?;
    }
    Ok(())
}

fn about_subjects(stream: &Stream, walked: &[Walked], now: Timestamp) -> Result<(), String> {
    let store = stream.store();
    let mut of: BTreeMap<&[u8], Vec<u64>> = BTreeMap::new();
    for one in walked {
        of.entry(&one.subject).or_default().push(one.sequence);
    }
    same("subjects", store.state().subjects, of.len() as u64)?;
    let request = StreamInfoRequest {
        subjects_filter: ">".to_owned(),
        ..StreamInfoRequest::default()
    };
    let told = stream
        .info(now, &request)
        .state
        .subjects
        .unwrap_or_default();
    let text = |subject: &[u8]| String::from_utf8_lossy(subject).into_owned();
    let counted = of
        .iter()
        .map(|(subject, all)| (text(subject), all.len() as u64));
    same("subjects of the info", told, counted.collect())?;
    for subject in SUBJECTS.map(str::as_bytes) {
        let all = of.get(subject).map_or(&[][..], |all| all);
        let wrong = |why| format!("{}: {why}", text(subject));
        let Some(id) = store.subjects().lookup(subject) else {
            same("an unknown subject", all.len(), 0).map_err(wrong)?;
            continue;
        };
        let number = |found: Option<StreamSequence>| found.map(|found| found.0);
        same("count", store.count_of(id), all.len() as u64).map_err(wrong)?;
        same("last", number(store.last_of(id)), all.last().copied()).map_err(wrong)?;
        same("first", number(store.first_of(id)), all.first().copied()).map_err(wrong)?;
    }
    Ok(())
}

fn about_filters(
    stream: &Stream,
    walked: &[Walked],
    filters: &[&str],
    from: u64,
) -> Result<(), String> {
    let store = stream.store();
    let bytes: Vec<&[u8]> = filters.iter().map(|filter| filter.as_bytes()).collect();
    let set = store.select(&bytes);
    let is_in = |one: &&Walked| bytes.iter().any(|filter| matches(filter, &one.subject));
    let behind = || {
        walked
            .iter()
            .filter(is_in)
            .filter(|one| one.sequence >= from)
    };
    let next = behind().next();
    let found = store.next_match(&set, StreamSequence(from));
    same("next", found.map(|at| at.0), next.map(|one| one.sequence))?;
    let count = store.count_match(&set, StreamSequence(from));
    same("count", count, behind().count() as u64)?;
    let mut last: BTreeMap<&[u8], u64> = BTreeMap::new();
    last.extend(
        walked
            .iter()
            .filter(is_in)
            .map(|one| (&*one.subject, one.sequence)),
    );
    let mut last: Vec<u64> = last.into_values().collect();
    last.sort_unstable();
    let found = store.last_per_subject(&set);
    same("last of each", found.iter().map(|at| at.0).collect(), last)?;
    if let [filter] = filters {
        let request = MsgGetRequest {
            seq: from,
            next_by_subj: (*filter).to_owned(),
            ..MsgGetRequest::default()
        };
        same_message("next by subject", stream, &request, next)?;
        let request = MsgGetRequest {
            last_by_subj: (*filter).to_owned(),
            ..MsgGetRequest::default()
        };
        same_message(
            "last by subject",
            stream,
            &request,
            walked.iter().rfind(is_in),
        )?;
    }
    Ok(())
}

/// What a request gets is what the walk read.
fn same_message(
    what: &str,
    stream: &Stream,
    request: &MsgGetRequest,
    walked: Option<&Walked>,
) -> Result<(), String> {
    let store = stream.store();
    let mut answer = stream.message(request);
    while let Ok(Lookup::Cold(read)) = answer {
        store.admit([read.run()]);
        answer = stream.message(request);
    }
    store.release_reads();
    let message = match answer {
        Ok(Lookup::Ready(message)) => Some(message),
        _ => None,
    };
    if message.as_ref() == walked.and_then(|one| one.message.as_ref()) {
        return Ok(());
    }
    let found = message.map(|message| message.sequence);
    let expected = walked.map(|one| one.sequence);
    Err(format!("{what}: message {found:?} instead of {expected:?}"))
}

fn about_times(store: &StreamStore, walked: &[Walked], dice: &SeededEntropy) -> Result<(), String> {
    let times = walked.iter().map(|one| Some(one.message.as_ref()?.time));
    let Some(times) = times.collect::<Option<Vec<Timestamp>>>() else {
        // One that cannot be read counts as not older.
        return Ok(());
    };
    for _ in 0..walked.len().min(4) {
        let time = times[below(dice, times.len())];
        for time in [time, Timestamp::from_nanos(time.as_nanos() + 1)] {
            let at = times.iter().position(|stored| *stored >= time);
            let expected = at.map_or(store.last_sequence().0 + 1, |at| walked[at].sequence);
            same("by time", store.first_at_or_after(time).0, expected)?;
        }
    }
    Ok(())
}

/// What waits for each consumer.
fn about_consumers(stream: &mut Stream, walked: &[Walked], now: Timestamp) -> Result<(), String> {
    if walked.iter().any(|one| one.message.is_none()) {
        // Those are passed over.
        return Ok(());
    }
    let names: Vec<String> = stream
        .consumer_names()
        .into_iter()
        .map(str::to_owned)
        .collect();
    for name in names {
        let info = stream
            .consumer_info(now, &name)
            .map_err(|error| error.description)?;
        if info.config.deliver_policy == DeliverPolicy::LastPerSubject {
            // Only some of what was there when it was made waits for it.
            continue;
        }
        let mut filters: Vec<&[u8]> = Vec::new();
        filters.extend(
            info.config
                .filter_subjects
                .iter()
                .map(|filter| filter.as_bytes()),
        );
        filters.extend(Some(info.config.filter_subject.as_bytes()).filter(|one| !one.is_empty()));
        let is_in = |one: &&Walked| {
            let is_wanted = filters.is_empty() || filters.iter().any(|f| matches(f, &one.subject));
            is_wanted && one.sequence > info.delivered.stream_seq.0
        };
        let waiting = walked.iter().filter(is_in).count() as u64;
        same("waiting", info.num_pending, waiting).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "most of what is compared is made for it"
)]
fn same<T: PartialEq + std::fmt::Debug>(what: &str, told: T, walked: T) -> Result<(), String> {
    if told == walked {
        Ok(())
    } else {
        Err(format!("{what}: {told:?} instead of {walked:?}"))
    }
}

fn below(dice: &SeededEntropy, end: usize) -> usize {
    to_usize(dice.next_u64() % end as u64)
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("worlds are small")
}
