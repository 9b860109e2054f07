//! What is wrong on the disk, in words: the same for the log, for health, and for a check of a store that no server has open.

use std::fmt;
use std::path::{Path, PathBuf};

use everjet_store::{Damage, Fault, JournalDamage, TornTail};
use everjet_values::StreamSequence;
use serde::Serialize;

use crate::open::OfflineStream;
use crate::replay::Meaning;
use crate::report::Level;

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is wrong: what a crash leaves behind, or a file that is not ours.
    Note,
    /// A derived file or a second copy fails its check. Nothing is lost, and the server puts it right by itself.
    Repairable,
    /// Something that was stored cannot be read any more.
    Loss,
}

/// Something on the disk that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file or directory.
    pub file: PathBuf,
    /// Where in the file it begins.
    pub offset: u64,
    /// How many bytes are concerned; 0 when it is not about bytes.
    pub length: u64,
    /// The account of the stream.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// The stream concerned; empty when it is not about one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stream: String,
    /// The consumer concerned; empty when it is not about one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub consumer: String,
    /// The first and last sequence that cannot be read because of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequences: Option<(StreamSequence, StreamSequence)>,
    /// What does not hold.
    pub what: String,
    /// What that means.
    pub effect: String,
    /// What to do.
    pub advice: String,
    /// A later start may bring the consumer back.
    #[serde(skip)]
    pub(crate) is_kept: bool,
}

/// What to do about messages that are gone.
const RESTORE: &str =
    "restore the file from a copy while the server is down, or remove what is lost with a purge";

impl Finding {
    /// Something about a whole file, for now of no stream.
    pub(crate) fn new(severity: Severity, file: &Path, what: impl Into<String>) -> Self {
        Self {
            severity,
            file: file.to_owned(),
            offset: 0,
            length: 0,
            account: String::new(),
            stream: String::new(),
            consumer: String::new(),
            sequences: None,
            what: what.into(),
            effect: String::new(),
            advice: String::new(),
            is_kept: false,
        }
    }

    pub(crate) fn of(self, account: &str, stream: &str) -> Self {
        Self {
            account: account.to_owned(),
            stream: stream.to_owned(),
            ..self
        }
    }

    pub(crate) fn with_effect(self, effect: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            effect: effect.into(),
            advice: advice.into(),
            ..self
        }
    }

    /// Damage in a segment.
    pub(crate) fn in_segment(account: &str, stream: &str, damage: &Damage) -> Self {
        let (severity, effect, advice) = match damage.sequences {
            Some((first, last)) if first == last => (
                Severity::Loss,
                format!("sequence {first} cannot be read; everything else is served"),
                RESTORE,
            ),
            Some((first, last)) => (
                Severity::Loss,
                format!("sequences {first} to {last} cannot be read; everything else is served"),
                RESTORE,
            ),
            None => (
                Severity::Repairable,
                "no message is known to be concerned; everything is served".to_owned(),
                "nothing has to be done now; a repaired copy has it right",
            ),
        };
        Self {
            offset: damage.offset,
            length: damage.length,
            sequences: damage.sequences,
            ..Self::new(severity, &damage.file, damage.what)
        }
        .of(account, stream)
        .with_effect(effect, advice)
    }

    /// Damage in the journal; `kept` says that its bytes were copied to the quarantine folder.
    pub(crate) fn in_journal(damage: &JournalDamage, meaning: &Meaning, kept: bool) -> Self {
        let is_lost = damage.lost.is_some() && *meaning != Meaning::Nothing;
        let mut lost = damage.lost.map_or_else(
            || "nothing is lost".to_owned(),
            |lost| match lost.last {
                Some(last) => format!("records {} to {last} are lost", lost.first),
                None => format!(
                    "records from {} on are lost; their sequences are not given again, in no stream",
                    lost.first
                ),
            },
        );
        match meaning {
            Meaning::Nothing if damage.lost.is_some() => {
                lost.push_str(", but nothing that a checkpoint or a copy does not have");
            }
            Meaning::LastOf { stream, what } => {
                lost.push_str(&format!(
                    ": it was {what}, the last change of stream {stream}, which is as if that had never been"
                ));
            }
            _ => {}
        }
        let kept = if kept {
            "; a start copies the bytes to the quarantine folder"
        } else {
            ""
        };
        let severity = if is_lost {
            Severity::Loss
        } else {
            Severity::Repairable
        };
        let advice = match severity {
            Severity::Loss => {
                "streams that miss a record in between are offline: delete them, or bring back what is readable with `nats-server check --repair`"
            }
            _ => "nothing has to be done; the file is replaced in time",
        };
        Self {
            offset: damage.offset,
            length: damage.length,
            ..Self::new(severity, &damage.path, "the journal is damaged")
        }
        .with_effect(format!("{lost}{kept}"), advice)
    }

    /// The end of the journal, whose last write a crash cut short.
    pub(crate) fn of_torn_tail(torn: &TornTail) -> Self {
        let effect = format!(
            "nothing of it had been acknowledged ({} records given up)",
            torn.records
        );
        let what = "the last write before the crash was cut short";
        Self {
            offset: torn.offset,
            ..Self::new(Severity::Note, &torn.path, what)
        }
        .with_effect(effect, "nothing has to be done")
    }

    /// A manifest slot that cannot be used, while the other one can.
    pub(crate) fn in_manifest(fault: &Fault) -> Self {
        let what = match fault {
            Fault::Damaged { what, .. } => what.clone(),
            other => other.to_string(),
        };
        Self::new(Severity::Repairable, fault.path(), what).with_effect(
            "the other slot says the same; nothing is lost",
            "nothing has to be done; the next checkpoint writes it again",
        )
    }

    /// A consumer that cannot be brought back.
    pub(crate) fn of_consumer(
        account: &str,
        stream: &str,
        consumer: &str,
        file: &Path,
        why: &str,
    ) -> Self {
        Self {
            consumer: consumer.to_owned(),
            ..Self::new(Severity::Loss, file, why)
        }
        .of(account, stream)
        .with_effect(
            "the stream and its other consumers are served",
            "create the consumer again, starting where its application was",
        )
    }

    /// A consumer whose state the disk does not give.
    pub(crate) fn of_unread_consumer(
        account: &str,
        stream: &str,
        consumer: &str,
        file: &Path,
        fault: &Fault,
    ) -> Self {
        let finding = Self {
            consumer: consumer.to_owned(),
            is_kept: true,
            ..Self::new(Severity::Loss, file, fault.to_string())
        };
        finding
            .of(account, stream)
            .with_effect(
                format!("consumer {consumer} is not served, and kept as it is; the stream and its other consumers are served"),
                "check the disk, then restart the server; create the consumer again to give its state up",
            )
    }

    /// A stream that cannot be served.
    pub(crate) fn of_offline(folder: &Path, stream: &OfflineStream) -> Self {
        Self::new(Severity::Loss, folder, &stream.why)
            .of(&stream.account, &stream.name)
            .with_effect(
                "it is not served; its files and the journal are kept, other streams are served",
                "delete the stream, or bring back what is readable with `nats-server check --repair`",
            )
    }

    /// A stream whose deletion only shows by another one of its name.
    pub(crate) fn of_former(folder: &Path, account: &str, stream: &str) -> Self {
        let what = "the record that deleted the former stream of this name cannot be read";
        Self::new(Severity::Repairable, folder, what)
            .of(account, stream)
            .with_effect(
                "that there is a new one proves that it was deleted; the new one is served",
                "nothing has to be done",
            )
    }

    /// How much it matters in the log.
    pub(crate) fn level(&self) -> Level {
        match self.severity {
            Severity::Note => Level::Info,
            Severity::Repairable => Level::Warn,
            Severity::Loss => Level::Error,
        }
    }

    /// Whether it is about a stream as a whole.
    fn is_offline(&self) -> bool {
        self.severity == Severity::Loss
            && !self.stream.is_empty()
            && self.consumer.is_empty()
            && self.sequences.is_none()
    }
}

impl fmt::Display for Finding {
    /// One line, without the advice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            stream,
            consumer,
            what,
            effect,
            ..
        } = self;
        let file = self.file.display();
        match (stream.is_empty(), consumer.is_empty()) {
            (false, false) if self.is_kept => {
                write!(
                    f,
                    "consumer {consumer} of stream {stream} is offline: {what}"
                )?;
            }
            (false, false) => write!(f, "consumer {consumer} of stream {stream} is lost: {what}")?,
            (false, true) if self.is_offline() => write!(f, "stream {stream} is offline: {what}")?,
            (is_server, _) => {
                if !is_server {
                    write!(f, "stream {stream}: ")?;
                }
                write!(f, "{file}")?;
                match (self.offset, self.length) {
                    (0, 0) => {}
                    (at, 0) => write!(f, " at byte {at}")?,
                    (at, length) => write!(f, " at byte {at} ({length} bytes)")?,
                }
                write!(f, ": {what}")?;
            }
        }
        if effect.is_empty() {
            Ok(())
        } else {
            write!(f, ": {effect}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_for_the_log() {
        let damage = |sequences| Damage {
            file: "/s/1.seg".into(),
            offset: 10,
            length: 5,
            sequences,
            what: "no valid record",
        };
        let check = |finding: Finding, expected: &str, severity| {
            assert_eq!(finding.to_string(), expected);
            assert_eq!(finding.severity, severity);
        };
        check(
            Finding::in_segment(
                "$G",
                "S",
                &damage(Some((StreamSequence(3), StreamSequence(4)))),
            ),
            "stream S: /s/1.seg at byte 10 (5 bytes): no valid record: sequences 3 to 4 cannot be read; everything else is served",
            Severity::Loss,
        );
        check(
            Finding::in_segment("$G", "S", &damage(None)),
            "stream S: /s/1.seg at byte 10 (5 bytes): no valid record: no message is known to be concerned; everything is served",
            Severity::Repairable,
        );
        check(
            Finding::of_consumer("$G", "S", "c", Path::new("/s/c.state"), "gone"),
            "consumer c of stream S is lost: gone: the stream and its other consumers are served",
            Severity::Loss,
        );
        let offline = OfflineStream {
            id: everjet_store::StreamId(1),
            account: "$G".to_owned(),
            name: "S".to_owned(),
            why: "a record is missing".to_owned(),
        };
        check(
            Finding::of_offline(Path::new("/s"), &offline),
            "stream S is offline: a record is missing: it is not served; its files and the journal are kept, other streams are served",
            Severity::Loss,
        );
    }
}
