//! The streams while a store is opened: each as of its checkpoint, then up to date by the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use everjet_api::{Retention, StreamConfig};
use everjet_store::{
    Disk, Fault, JournalBatch, JournalDamage, JournalRecord, JournalReport, Lsn, ManifestStream,
    SavedSegments, StreamId, StreamStore, quarantine_file, read_checked_file,
};
use everjet_stream::{ConsumerSnapshot, Stream, describe_record, sequences_at_most};
use parking_lot::Mutex;

use crate::finding::Finding;
use crate::folders::{StreamMeta, make_folder, new_store, remove_folder};
use crate::in_turn::{do_each, gather, is_of_server};
use crate::open::{CONSUMER_MAGIC, OfflineStream, OpenError, OpenedStream, StorageOptions};
use crate::paths::{META, Paths};
use crate::records::{STREAM_CREATED, STREAM_DELETED, StreamCreated, StreamDeleted};

/// With fewer records it takes no longer to apply them on one thread than to start others.
const BESIDE_MIN: usize = 1024;

/// A stream while the journal is read.
struct Opening {
    account: String,
    name: String,
    /// The machine, or why there is none.
    stream: Result<Stream, String>,
    /// The configuration in the stream's folder. `None` when nobody knows whether there is one.
    written: Option<StreamConfig>,
    /// The position of its last record in the journal: nothing before it is missing, or it would not have fitted.
    last_lsn: Lsn,
    /// Consumers whose snapshots the disk does not give: they are not served, and not given up.
    unread: Vec<String>,
    /// What is damaged. What a later record deletes needs no mention.
    findings: Vec<Finding>,
}

impl Opening {
    /// Applies records of this stream.
    fn apply(&mut self, records: &[JournalRecord<'_>]) {
        self.last_lsn = records.last().map_or(self.last_lsn, |last| last.lsn);
        // A stream that cannot be brought up to date may be deleted by a later record: what comes of it is seen at the end.
        if let Ok(stream) = &mut self.stream
            && let Err((at, error)) = stream.replay_all(records)
        {
            let lsn = records.get(at).map_or(Lsn::ZERO, |record| record.lsn);
            self.stream = Err(format!("journal record {lsn}: {error}"));
        }
    }

    /// Whether one record may be many messages.
    fn takes_batches(&self) -> bool {
        let stream = self.stream.as_ref();
        stream.is_ok_and(|stream| stream.config().allow_atomic)
    }
}

/// What becomes of a stream of which a record is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gaps {
    /// It is offline: nothing wrong is ever served.
    Offline,
    /// What can be read is brought back, see [`Stream::salvage`]. Only for a copy.
    Salvage,
}

/// A message of a batch takes more bytes of the journal, for its headers say which batch that is.
const BATCHED_BYTES_MIN: u64 = 52;

/// So often a consumer's state is read before the disk's refusal counts: an error may pass.
const READS_MAX: usize = 3;

/// The state of a consumer as it was written.
fn read_state(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, Fault> {
    let read = || read_checked_file(disk, path, CONSUMER_MAGIC);
    let mut outcome = read();
    for _ in 1..READS_MAX {
        match &outcome {
            Err(fault @ Fault::Io { .. }) if !fault.is_denied() => outcome = read(),
            _ => break,
        }
    }
    outcome
}

/// The streams while the journal is read.
pub(crate) struct Replay<'a> {
    disk: &'a Arc<dyn Disk>,
    paths: &'a Paths,
    options: &'a StorageOptions,
    streams: BTreeMap<StreamId, Opening>,
    deleted: Vec<(String, String)>,
    highest_id: StreamId,
    last_server_record: Lsn,
    gaps: Gaps,
    /// By id, the streams whose folders are there; looked for when a record's stream is not known and gaps are salvaged.
    folders: Option<BTreeMap<StreamId, StreamMeta>>,
}

/// What damage to the journal means for the streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nothing is lost: a checkpoint has it, or a copy.
    Nothing,
    /// It was the last record of a stream, which is served without it.
    LastOf {
        /// The stream's name.
        stream: String,
        /// What the record said.
        what: &'static str,
    },
    /// Nobody knows, or the streams concerned say it themselves.
    Unknown,
}

/// What came of it.
pub(crate) struct Replayed {
    pub(crate) streams: Vec<OpenedStream>,
    pub(crate) offline: Vec<OfflineStream>,
    pub(crate) highest_id: StreamId,
    pub(crate) findings: Vec<Finding>,
    /// Consumers whose snapshots could not be read from the disk.
    pub(crate) unread: BTreeSet<(StreamId, String)>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(
        disk: &'a Arc<dyn Disk>,
        paths: &'a Paths,
        options: &'a StorageOptions,
        gaps: Gaps,
    ) -> Self {
        Self {
            disk,
            paths,
            options,
            streams: BTreeMap::new(),
            deleted: Vec::new(),
            highest_id: StreamId::SERVER,
            last_server_record: Lsn::ZERO,
            gaps,
            folders: None,
        }
    }

    /// Loads all streams as of their checkpoints, several at a time where the disk's driver can.
    pub(crate) fn load_all(&mut self, saved: &[ManifestStream]) {
        let loaded = Mutex::new(Vec::with_capacity(saved.len()));
        let this = &*self;
        do_each(&**self.disk, saved.len(), saved.iter(), |saved| {
            let opening = this.load(saved);
            loaded.lock().push((saved.id, opening));
        });
        for (id, opening) in loaded.into_inner() {
            self.add(id, opening);
        }
    }

    /// Loads a stream as of its checkpoint.
    fn load(&self, saved: &ManifestStream) -> Opening {
        let mut findings = Vec::new();
        let mut has_meta = false;
        let mut unread = Vec::new();
        let stream = self.load_stream(saved, &mut findings, &mut unread, &mut has_meta);
        // A checkpoint writes it before the manifest says the same.
        let written = stream.as_ref().ok().filter(|_| has_meta);
        Opening {
            account: saved.account.clone(),
            name: saved.name.clone(),
            written: written.map(|stream| stream.config().clone()),
            stream,
            last_lsn: Lsn::ZERO,
            unread,
            findings,
        }
    }

    fn add(&mut self, id: StreamId, opening: Opening) {
        self.highest_id = self.highest_id.max(id);
        self.streams.insert(id, opening);
    }

    fn load_stream(
        &self,
        saved: &ManifestStream,
        findings: &mut Vec<Finding>,
        unread: &mut Vec<String>,
        has_meta: &mut bool,
    ) -> Result<Stream, String> {
        let config: StreamConfig =
            serde_json::from_value(saved.config.clone()).map_err(|error| {
                format!("its configuration in the manifest is not readable: {error}")
            })?;
        let folder = self.paths.stream(&saved.account, &saved.name);
        let segments = SavedSegments {
            segments: saved.segments.clone(),
            last_sequence: saved.last_sequence,
            last_time: saved.last_time,
            lost: saved.lost.clone(),
            entry: saved.entry,
        };
        let options = self.options.store;
        let (store, report) = StreamStore::open(
            Arc::clone(self.disk),
            folder,
            saved.id,
            &saved.name,
            options,
            &segments,
        )
        .map_err(|fault| fault.to_string())?;
        *has_meta = report.others.iter().any(|name| name == META);
        let (account, name) = (&saved.account, &saved.name);
        let found = report.damaged.iter();
        findings.extend(found.map(|damage| Finding::in_segment(account, name, damage)));
        let needs_all = config.retention != Retention::Limits;
        let consumers = self.load_consumers(saved, needs_all, findings, unread)?;
        let (id, created, entry) = (saved.id, saved.created, saved.entry);
        let (mut stream, lost) = Stream::recover(id, config, created, store, &consumers, entry);
        for consumer in saved.consumers.iter().filter(|consumer| consumer.unread) {
            stream.forget_removed(&consumer.name);
        }
        for consumer in lost {
            let why = "its state file holds something else, or is of a later version";
            let folder = self.paths.consumer(account, name, &consumer);
            findings.push(Finding::of_consumer(account, name, &consumer, &folder, why));
        }
        Ok(stream)
    }

    /// The snapshots of a stream's consumers; one that is damaged or missing costs its consumer and nothing else.
    ///
    /// # Errors
    /// One may not be opened. That is no damage, so nothing may be given up for it: the stream is offline until it may. So it is when
    /// one cannot be read, and messages go when all consumers are done with them (`needs_all`): that one is not asked.
    fn load_consumers(
        &self,
        saved: &ManifestStream,
        needs_all: bool,
        findings: &mut Vec<Finding>,
        unread: &mut Vec<String>,
    ) -> Result<Vec<ConsumerSnapshot>, String> {
        let mut consumers = Vec::with_capacity(saved.consumers.len());
        for consumer in &saved.consumers {
            let name = consumer.name.clone();
            let path =
                self.paths
                    .consumer_state(&saved.account, &saved.name, &name, consumer.entry);
            let why = match read_state(&**self.disk, &path) {
                Ok(Some(bytes)) => {
                    consumers.push(ConsumerSnapshot { name, bytes });
                    continue;
                }
                Ok(None) => format!("{} is missing", path.display()),
                Err(fault) if fault.is_denied() => return Err(fault.to_string()),
                Err(fault @ Fault::Io { .. }) if needs_all => return Err(fault.to_string()),
                Err(fault @ Fault::Io { .. }) => {
                    let (account, stream) = (&saved.account, &saved.name);
                    let finding =
                        Finding::of_unread_consumer(account, stream, &name, &path, &fault);
                    findings.push(finding);
                    unread.push(name);
                    continue;
                }
                Err(fault) => {
                    match quarantine_file(&**self.disk, &self.paths.quarantine(), &path) {
                        Ok(kept) => format!("{fault}; a start moves it to {}", kept.display()),
                        Err(second) => format!("{fault}; and it cannot be kept aside: {second}"),
                    }
                }
            };
            let (account, stream) = (&saved.account, &saved.name);
            findings.push(Finding::of_consumer(
                account,
                stream,
                &consumer.name,
                &path,
                &why,
            ));
        }
        Ok(consumers)
    }

    /// Applies records, those of a stream in order. Brings them into the order in which they are applied: a stream's messages come
    /// one after the other then, and several streams at a time.
    pub(crate) fn records(&mut self, records: &mut [JournalRecord<'_>]) -> Result<(), OpenError> {
        // To bring back what is readable, streams are looked for while their records come.
        if self.gaps == Gaps::Offline {
            gather(records);
        }
        for part in records.chunk_by(|one, next| is_of_server(one) == is_of_server(next)) {
            let is_of_server = part.first().is_some_and(is_of_server);
            let runs = part.chunk_by(|one, next| one.stream == next.stream);
            if is_of_server {
                self.server_records(part)?;
            } else if self.gaps == Gaps::Salvage {
                part.iter().for_each(|record| self.salvage(record));
            } else if part.len() < BESIDE_MIN {
                runs.for_each(|run| self.run(run));
            } else {
                self.runs(runs);
            }
        }
        Ok(())
    }

    fn server_records(&mut self, records: &[JournalRecord<'_>]) -> Result<(), OpenError> {
        for record in records {
            self.last_server_record = record.lsn;
            self.server_record(record.lsn, record.kind, record.body)?;
        }
        Ok(())
    }

    /// Applies records of one stream.
    fn run(&mut self, records: &[JournalRecord<'_>]) {
        let Some(id) = records.first().map(|record| record.stream) else {
            return;
        };
        // Where the record of a creation is lost, these tell that its number was given: it must not be given again.
        self.highest_id = self.highest_id.max(id);
        // Records of a stream that was deleted before the checkpoint concern nobody.
        if let Some(opening) = self.streams.get_mut(&id) {
            opening.apply(records);
        }
    }

    /// As [`Self::run`] for streams that ascend, several at a time.
    fn runs<'r, 'b: 'r>(&mut self, runs: impl Iterator<Item = &'r [JournalRecord<'b>]>) {
        let of = |run: &'r [JournalRecord<'b>]| Some((run.first()?.stream, run));
        let runs: BTreeMap<StreamId, _> = runs.filter_map(of).collect();
        let (Some((&first, _)), Some((&last, _))) = (runs.first_key_value(), runs.last_key_value())
        else {
            return;
        };
        self.highest_id = self.highest_id.max(last);
        let openings = self.streams.range_mut(first..=last);
        let of = |(id, opening)| Some((opening, *runs.get(id)?));
        let tasks = openings.filter_map(of);
        do_each(
            &**self.disk,
            runs.len(),
            tasks,
            |(opening, run): (&mut Opening, _)| {
                opening.apply(run);
            },
        );
    }

    /// The last record that creates or deletes a stream.
    pub(crate) fn last_server_record(&self) -> Lsn {
        self.last_server_record
    }

    /// Takes of a record what can be had.
    fn salvage(&mut self, record: &JournalRecord<'_>) {
        self.highest_id = self.highest_id.max(record.stream);
        if !self.streams.contains_key(&record.stream) {
            let (disk, paths) = (&**self.disk, self.paths);
            let folders = self
                .folders
                .get_or_insert_with(|| crate::folders::all_metas(disk, paths));
            let Some(meta) = folders.remove(&record.stream) else {
                return;
            };
            // The record of its creation is among what is missing.
            let StreamMeta {
                id,
                account,
                name,
                created,
                config,
            } = meta;
            let creation = StreamCreated {
                id,
                account,
                name,
                created,
                config,
            };
            self.create(record.lsn, creation);
        }
        let Some(opening) = self.streams.get_mut(&record.stream) else {
            return;
        };
        opening.last_lsn = record.lsn;
        let Ok(stream) = &mut opening.stream else {
            return;
        };
        let _left_out_behind_a_gap = stream.salvage(record.entry, record.kind, record.body);
    }

    /// Sees to it that no sequence is given again of a message that may be lost with the end of the journal, and says of each
    /// damage in `report` what it means. Where the journal's records were a stream's last ones, nothing else shows that they
    /// are missing. Records of the gaps are added to `journal`.
    pub(crate) fn leave_gaps(
        &mut self,
        report: &JournalReport,
        journal: &mut JournalBatch,
    ) -> Vec<Meaning> {
        let mut gaps: BTreeMap<StreamId, u64> = BTreeMap::new();
        let mut counted = BTreeSet::new();
        let mut meanings = Vec::with_capacity(report.damage.len());
        for damage in &report.damage {
            let meaning = self.meaning(damage);
            match (&meaning, damage.record, damage.lost) {
                (Meaning::LastOf { .. }, Some(record), _) => {
                    *gaps.entry(record.stream).or_default() += sequences_at_most(record.kind);
                }
                // Of positions that several files were to hold, each is counted once.
                (Meaning::Unknown, None, Some(lost)) if counted.insert(lost.last) => {
                    let most = lost
                        .last
                        .map_or(report.lost_at_most, |last| last.0 - lost.first.0 + 1);
                    let behind = |opening: &&Opening| opening.last_lsn < lost.first;
                    for (id, opening) in self.streams.iter().filter(|(_, it)| behind(it)) {
                        *gaps.entry(*id).or_default() += match opening.takes_batches() {
                            // One record may be many messages.
                            true => most.max(damage.length / BATCHED_BYTES_MIN),
                            false => most,
                        };
                    }
                }
                _ => {}
            }
            meanings.push(meaning);
        }
        for (id, count) in gaps.into_iter().filter(|(_, count)| *count > 0) {
            let opening = self.streams.get_mut(&id);
            if let Some(stream) = opening.and_then(|opening| opening.stream.as_mut().ok()) {
                stream.leave_gap(count, journal);
            }
        }
        meanings
    }

    fn meaning(&self, damage: &JournalDamage) -> Meaning {
        if damage.lost.is_none() {
            return Meaning::Nothing;
        }
        let Some(record) = damage.record else {
            return Meaning::Unknown;
        };
        let Some(opening) = self.streams.get(&record.stream) else {
            return Meaning::Unknown;
        };
        match &opening.stream {
            Ok(stream) if stream.entry() >= record.entry => Meaning::Nothing,
            Ok(_) => Meaning::LastOf {
                stream: opening.name.clone(),
                what: describe_record(record.kind),
            },
            Err(_) => Meaning::Unknown,
        }
    }

    fn server_record(&mut self, lsn: Lsn, kind: u8, body: &[u8]) -> Result<(), OpenError> {
        let unreadable = |error: serde_json::Error| OpenError::Stream {
            name: "?".to_owned(),
            why: format!("a journal record that creates or deletes it is not readable: {error}"),
        };
        match kind {
            STREAM_CREATED => {
                let created: StreamCreated = serde_json::from_slice(body).map_err(unreadable)?;
                if !self.streams.contains_key(&created.id) {
                    self.create(lsn, created);
                }
                Ok(())
            }
            STREAM_DELETED => {
                let deleted: StreamDeleted = serde_json::from_slice(body).map_err(unreadable)?;
                if let Some(opening) = self.streams.remove(&deleted.id) {
                    self.deleted.push((opening.account, opening.name));
                }
                Ok(())
            }
            unknown => Err(OpenError::Stream {
                name: "?".to_owned(),
                why: format!(
                    "journal record kind {unknown} is unknown: a newer version of Everjet wrote it"
                ),
            }),
        }
    }

    fn create(&mut self, lsn: Lsn, created: StreamCreated) {
        let StreamCreated {
            id,
            account,
            name,
            created,
            config,
        } = created;
        let mut findings = Vec::new();
        let mut others = self.streams.iter();
        let other = others.find_map(|(other, opening)| {
            (opening.account == account && opening.name == name).then_some(*other)
        });
        // A name is given again only after its stream was deleted for good, and numbers only grow: of two the later one lives.
        match other {
            Some(later) if later > id => {
                self.highest_id = self.highest_id.max(id);
                return;
            }
            Some(former) => {
                self.streams.remove(&former);
                let folder = self.paths.stream(&account, &name);
                findings.push(Finding::of_former(&folder, &account, &name));
            }
            None => {}
        }
        let stream = new_store(self.disk, self.paths, self.options, id, &account, &name)
            .map(|store| Stream::create(id, config, created, store))
            .map_err(|fault| fault.to_string());
        self.add(
            id,
            Opening {
                account,
                name,
                stream,
                written: None,
                last_lsn: lsn,
                unread: Vec::new(),
                findings,
            },
        );
    }

    /// Removes the folders of deleted streams, makes those of the others, and says which streams there are.
    pub(crate) fn finish(self) -> Result<Replayed, Fault> {
        for (account, name) in &self.deleted {
            let lives = self
                .streams
                .values()
                .any(|opening| opening.account == *account && opening.name == *name);
            if !lives {
                remove_folder(&**self.disk, self.paths, account, name)?;
            }
        }
        let mut replayed = Replayed {
            streams: Vec::new(),
            offline: Vec::new(),
            highest_id: self.highest_id,
            findings: Vec::new(),
            unread: BTreeSet::new(),
        };
        for (id, opening) in self.streams {
            let Opening {
                account,
                name,
                stream,
                written,
                findings,
                unread,
                ..
            } = opening;
            replayed
                .unread
                .extend(unread.into_iter().map(|name| (id, name)));
            // What a crash in the middle of an erasure has left is no damage: replaying the command finishes it.
            let explained = stream.as_ref().map(|stream| stream.store().explained());
            let explained = explained.unwrap_or_default();
            replayed
                .findings
                .extend(findings.into_iter().filter(|finding| {
                    let is_explained = |(first, last)| first == last && explained.contains(&first);
                    !finding.sequences.is_some_and(is_explained)
                }));
            // Of a store that has a key, what is there may be older than the key and readable for everybody.
            let written = written.filter(|_| self.disk.keys().is_none());
            // A folder that cannot be used is the misfortune of one stream, not of the server.
            let usable = stream.and_then(|stream| {
                if written.as_ref() == Some(stream.config()) {
                    return Ok(stream);
                }
                let meta = StreamMeta {
                    id,
                    account: account.clone(),
                    name: name.clone(),
                    created: stream.created(),
                    config: stream.config().clone(),
                };
                match make_folder(&**self.disk, self.paths, &meta) {
                    Err(fault) if !fault.is_full() => Err(fault.to_string()),
                    // On a full disk it is served all the same: its first checkpoint makes the folder, too.
                    _ => Ok(stream),
                }
            });
            match usable {
                Ok(stream) => {
                    replayed.streams.push(OpenedStream {
                        id,
                        account,
                        name,
                        stream,
                    });
                }
                Err(why) => {
                    let folder = self.paths.stream(&account, &name);
                    let offline = OfflineStream {
                        id,
                        account,
                        name,
                        why,
                    };
                    replayed
                        .findings
                        .push(Finding::of_offline(&folder, &offline));
                    replayed.offline.push(offline);
                }
            }
        }
        Ok(replayed)
    }
}
