//! Reads every record of every stream, first as it lies in the files, then by the index as a server would.

use everjet_store::{
    Fault, ManifestStream, ReadError, SegmentCheck, StreamId, checkpoint_problem, index_problem,
    read_checked_file,
};
use everjet_stream::Stream;
use everjet_values::StreamSequence;

use super::{CheckedStream, Job};
use crate::finding::{Finding, Severity};
use crate::folders::StreamMeta;
use crate::open::{META_MAGIC, OpenError};

/// Messages that are named as lost.
const LOST_MAX: usize = 10_000;

impl Job<'_> {
    pub(super) fn check_streams(&mut self) -> Result<(), OpenError> {
        let manifest = self.opened.manifest.clone();
        for saved in &manifest.streams {
            self.check_meta(saved.id, &saved.account, &saved.name)?;
            self.check_segments(saved)?;
            self.check_checkpoint(saved);
        }
        for at in 0..self.opened.streams.len() {
            self.check_messages(at);
        }
        Ok(())
    }

    /// The copy of a stream's identity, which lets a person or a rescue tell whose folder it is.
    fn check_meta(&mut self, id: StreamId, account: &str, name: &str) -> Result<(), OpenError> {
        let path = self.paths.stream_meta(account, name);
        let what = match read_checked_file(self.disk, &path, META_MAGIC) {
            Ok(Some(bytes)) => match serde_json::from_slice::<StreamMeta>(&bytes) {
                Ok(meta) if meta.id == id && meta.account == account && meta.name == name => {
                    return Ok(());
                }
                Ok(_) => "it describes another stream".to_owned(),
                Err(error) => format!("it does not describe a stream: {error}"),
            },
            Ok(None) => "the file is missing".to_owned(),
            Err(Fault::Damaged { what, .. }) => what,
            Err(fault @ Fault::NewerFormat { .. }) => return Err(fault.into()),
            Err(fault) => fault.to_string(),
        };
        let finding = Finding::new(Severity::Repairable, &path, what)
            .of(account, name)
            .with_effect(
                "nothing is lost: the manifest says the same",
                "nothing has to be done; the next start writes it again",
            );
        self.report.add(finding);
        Ok(())
    }

    fn check_segments(&mut self, saved: &ManifestStream) -> Result<(), OpenError> {
        let (account, name) = (&saved.account, &saved.name);
        let folder = self.paths.stream(account, name);
        for (at, segment) in saved.segments.iter().enumerate() {
            let next = saved.segments.get(at + 1);
            let last = next.map_or(saved.last_sequence, |next| {
                StreamSequence(next.first_sequence.0 - 1)
            });
            let mut check = SegmentCheck::new(&folder, saved.id, name, *segment, saved.entry, last);
            let mut found = Vec::new();
            let unreadable = loop {
                match check.step(self.disk, u64::MAX, &mut found) {
                    Ok(true) => {}
                    Ok(false) => break None,
                    Err(fault @ Fault::NewerFormat { .. }) => return Err(fault.into()),
                    Err(fault) => break Some(fault),
                }
            };
            if let Some(fault) = unreadable {
                let finding = Finding::new(Severity::Loss, check.path(), fault.to_string())
                    .of(account, name)
                    .with_effect(
                        "its messages cannot be read",
                        "check the disk, then check again",
                    );
                self.report.add(finding);
            }
            self.report.segments += 1;
            self.report.bytes += check.counted().bytes;
            for damage in found {
                self.report_damage(saved, &damage);
            }
            if let Some((path, what)) = index_problem(self.disk, &folder, saved.id, segment)? {
                let finding = Finding::new(Severity::Repairable, &path, what)
                    .of(account, name)
                    .with_effect(
                        "nothing is lost: it is derived, the next start reads the segment instead",
                        "nothing has to be done",
                    );
                self.report.add(finding);
            }
        }
        Ok(())
    }

    /// The derived file that spares a start the reading of the segments. A repaired copy gets a new one.
    fn check_checkpoint(&mut self, saved: &ManifestStream) {
        let (account, name) = (&saved.account, &saved.name);
        let folder = self.paths.stream(account, name);
        if let Some((path, what)) = checkpoint_problem(self.disk, &folder, saved.id, saved.entry) {
            let finding = Finding::new(Severity::Repairable, &path, what);
            self.report.add(finding.of(account, name).with_effect(
                "nothing is lost: it is derived, the next start reads the segments instead",
                "nothing has to be done; it is written again in time",
            ));
        }
    }

    fn report_damage(&mut self, saved: &ManifestStream, damage: &everjet_store::Damage) {
        let finding = Finding::in_segment(&saved.account, &saved.name, damage);
        let served = self.opened.streams.iter_mut();
        let stream = served
            .filter(|stream| stream.id == saved.id)
            .map(|opened| opened.stream.store_mut())
            .next();
        let (Some(store), Some((first, last))) = (stream, damage.sequences) else {
            return self.report.add(finding);
        };
        let was_stored = |sequence| store.was_stored(StreamSequence(sequence));
        if (first.0..=last.0).any(was_stored) {
            store.note_damage(damage.clone());
            self.report.add(finding);
        } else {
            let finding = Finding {
                severity: Severity::Repairable,
                sequences: None,
                ..finding
            };
            self.report.add(finding.with_effect(
                format!("nothing is lost: messages {first} to {last} were removed before"),
                "nothing has to be done",
            ));
        }
    }

    /// Reads every message of a stream by its index.
    fn check_messages(&mut self, at: usize) {
        let Some(opened) = self.opened.streams.get_mut(at) else {
            return;
        };
        let (account, name) = (opened.account.clone(), opened.name.clone());
        let folder = self.paths.stream(&account, &name);
        let stream = &mut opened.stream;
        let mut findings = Vec::new();
        let mut messages = 0;
        for_each_message(stream, |stream, sequence| {
            let store = stream.store();
            let message = match store.get(sequence) {
                Ok(message) => message,
                Err(ReadError::Fault(fault)) => {
                    let finding = Finding::new(Severity::Loss, fault.path(), fault.to_string());
                    findings.push(finding.with_effect(
                        format!("sequence {sequence} cannot be read"),
                        "check the disk, then check again",
                    ));
                    return;
                }
                // It is in the list of damage.
                Err(_) => return,
            };
            messages += 1;
            let indexed = store
                .subject_id(sequence)
                .map(|id| store.subjects().name(id));
            if indexed != Some(message.subject()) {
                let what = format!("the index has another subject for sequence {sequence}");
                findings.push(Finding::new(Severity::Loss, &folder, what).with_effect(
                    "it is not found by its subject",
                    "delete the .idx files of the stream while the server is down",
                ));
            }
        });
        let store = stream.store();
        for damage in store.take_damage() {
            findings.push(Finding::in_segment(&account, &name, &damage));
        }
        let state = store.state();
        self.report.streams.push(CheckedStream {
            messages,
            first_sequence: state.first_sequence,
            last_sequence: state.last_sequence,
            lost: store.lost(LOST_MAX).sequences,
            consumers: stream.consumer_names().len() as u64,
            account: account.clone(),
            name: name.clone(),
        });
        for finding in findings {
            self.report.add(finding.of(&account, &name));
        }
    }
}

/// Calls `visit` for every sequence that holds a message by the index.
pub(super) fn for_each_message(
    stream: &mut Stream,
    mut visit: impl FnMut(&mut Stream, StreamSequence),
) {
    let everything = stream.store_mut().select(&[]);
    let mut next = StreamSequence(1);
    while let Some(sequence) = stream.store_mut().next_match(&everything, next) {
        visit(stream, sequence);
        next = sequence.next();
    }
}
