//! The headers that matter for a batch.

use everjet_api::{StreamConfig, serves_required_level};
use everjet_wire::{HeaderBuilder, Headers, strip};

use crate::Publish;

const ID: &[u8] = b"Nats-Batch-Id";
const REQUIRED_LEVEL: &str = "Nats-Required-Api-Level";

/// Headers of a member of a batch; empty when missing. The first of a name counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BatchHeaders<'a> {
    pub(super) id: &'a [u8],
    sequence: &'a [u8],
    commit: Option<&'a [u8]>,
    pub(super) message_id: &'a [u8],
    pub(super) expected_last_sequence: &'a [u8],
    pub(super) expected_last_subject_sequence: &'a [u8],
    pub(super) expected_last_subject: &'a [u8],
    pub(super) expected_last_message_id: &'a [u8],
    pub(super) rollup: &'a [u8],
}

/// What a member says about the end of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing: there is more to come.
    No,
    /// It is the last message.
    With,
    /// The message before was the last one; this one is not stored.
    Before,
    /// Something that means nothing.
    Invalid,
}

/// Whether a message belongs to a batch, in a stream that takes batches.
pub(crate) fn is_member(config: &StreamConfig, publish: &Publish<'_>) -> bool {
    config.allow_atomic && !publish.headers.is_empty() && {
        let mut headers = Headers(publish.headers).iter();
        headers
            .find(|(name, _)| *name == ID)
            .is_some_and(|(_, id)| !id.is_empty())
    }
}

impl<'a> BatchHeaders<'a> {
    pub(super) fn read(block: &'a [u8]) -> Self {
        let mut headers = Self::default();
        for (name, value) in Headers(block).iter() {
            let field = match name {
                ID => &mut headers.id,
                b"Nats-Batch-Sequence" => &mut headers.sequence,
                b"Nats-Batch-Commit" => {
                    headers.commit.get_or_insert(value);
                    continue;
                }
                b"Nats-Msg-Id" => &mut headers.message_id,
                b"Nats-Expected-Last-Sequence" => &mut headers.expected_last_sequence,
                b"Nats-Expected-Last-Subject-Sequence" => {
                    &mut headers.expected_last_subject_sequence
                }
                b"Nats-Expected-Last-Subject-Sequence-Subject" => {
                    &mut headers.expected_last_subject
                }
                b"Nats-Expected-Last-Msg-Id" => &mut headers.expected_last_message_id,
                b"Nats-Rollup" => &mut headers.rollup,
                _ => continue,
            };
            if field.is_empty() {
                *field = value;
            }
        }
        headers
    }

    /// Its place in the batch, from 1; `None` when it is no number.
    pub(super) fn sequence(&self) -> Option<u64> {
        let text = std::str::from_utf8(self.sequence).ok()?;
        text.parse().ok()
    }

    pub(super) fn end(&self) -> End {
        match self.commit {
            None => End::No,
            Some(b"1") => End::With,
            Some(b"eob") => End::Before,
            Some(_) => End::Invalid,
        }
    }

    /// Whether it commits the batch without being one of its messages.
    pub(super) fn ends_batch(&self) -> bool {
        self.end() == End::Before
    }
}

/// The block to store instead of one that says which API level it needs, for that is not stored; inside, `None` for one that does
/// not say it. `None` when that level is not served.
pub(crate) fn without_level(block: &[u8]) -> Option<Option<Vec<u8>>> {
    let Some(level) = Headers(block)
        .get(REQUIRED_LEVEL)
        .filter(|level| !level.is_empty())
    else {
        return Some(None);
    };
    let level = std::str::from_utf8(level).ok()?;
    serves_required_level(level).then(|| Some(strip(block, &[REQUIRED_LEVEL])))
}

/// The block of the last message of a batch that another one committed.
pub(super) fn with_commit(block: &[u8]) -> Vec<u8> {
    let open = block.strip_suffix(b"\r\n").unwrap_or(block);
    HeaderBuilder::going_on(open.to_vec())
        .add("Nats-Batch-Commit", "1")
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_batch_is_one_of_two_words() {
        for (line, end) in [
            ("", End::No),
            ("Nats-Batch-Commit: 1\r\n", End::With),
            ("Nats-Batch-Commit: eob\r\n", End::Before),
            ("Nats-Batch-Commit: \r\n", End::Invalid),
            (
                "Nats-Batch-Commit: 0\r\nNats-Batch-Commit: 1\r\n",
                End::Invalid,
            ),
        ] {
            let block = format!("NATS/1.0\r\n{line}\r\n");
            assert_eq!(BatchHeaders::read(block.as_bytes()).end(), end, "{line:?}");
        }
    }

    #[test]
    fn a_level_is_not_stored() {
        let block = b"NATS/1.0\r\nNats-Required-Api-Level: 0\r\nA: b\r\n\r\n";
        assert_eq!(without_level(b""), Some(None));
        assert_eq!(
            without_level(block),
            Some(Some(b"NATS/1.0\r\nA: b\r\n\r\n".to_vec()))
        );
        let block = b"NATS/1.0\r\nNats-Required-Api-Level: 99\r\n\r\n";
        assert_eq!(without_level(block), None);
    }

    #[test]
    fn a_commit_is_added_behind_what_is_there() {
        assert_eq!(
            with_commit(b"NATS/1.0\r\nA: b\r\n\r\n"),
            b"NATS/1.0\r\nA: b\r\nNats-Batch-Commit: 1\r\n\r\n"
        );
    }
}
