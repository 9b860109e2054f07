//! `index.db`: the whole state of a stream's messages, as of a clean stop or of the last time it was written.
//!
//! ```text
//! file    := content, sealed when the store is encrypted; then its checksum [8] under the stream's name
//! content := 11:u8 version:u8 (1 to 4)
//!            messages bytes first-sequence first-time last-sequence last-time
//!            subjects { length bytes total first-block last-block (before version 4 only when total > 1) }
//!            blocks { number bytes first-sequence first-time last-sequence last-time deleted
//!                     [ttls: from version 2] [schedules: from version 3] [set of deleted sequences, when there are any] }
//!            last block's number, its last record's checksum [8]
//! ```
//! Counts and sequences are unsigned varints, times signed ones.

use std::fmt;

use crate::checksum::Checksum;
use crate::cipher::AssetKey;
use crate::input::Input;
use crate::sequence_set::SequenceSet;

const MAGIC: u8 = 11;
const VERSION_MAX: u8 = 4;

/// What an index says about one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockState {
    /// The number in the file's name.
    pub number: u32,
    /// Its first message; earlier ones that the file still holds are gone.
    pub first_sequence: u64,
    /// Its last sequence.
    pub last_sequence: u64,
    /// Sequences in between without a message.
    pub deleted: u64,
}

impl BlockState {
    /// How many messages it has.
    #[must_use]
    pub fn messages(&self) -> u64 {
        (self.last_sequence + 1)
            .saturating_sub(self.first_sequence)
            .saturating_sub(self.deleted)
    }
}

/// The state of a stream's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// How many there are.
    pub messages: u64,
    /// What they count for, as nats-server counts.
    pub bytes: u64,
    /// The first message; one past the last sequence when there is none.
    pub first_sequence: u64,
    /// The last sequence ever given out.
    pub last_sequence: u64,
    /// The time of the last message, also when it was removed; zero when there was none.
    pub last_time: i64,
    /// How many messages each subject has.
    pub subjects: Vec<(Vec<u8>, u64)>,
    /// The blocks, ascending.
    pub blocks: Vec<BlockState>,
    /// Sequences without a message inside the blocks.
    pub deleted: SequenceSet,
    /// The block that was written last when the index was.
    pub last_block: u32,
    /// The checksum of that block's last record then.
    pub last_checksum: [u8; Checksum::LENGTH],
}

/// Why an index cannot be used. The blocks tell almost everything that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexError {
    /// Its checksum does not match.
    Checksum,
    /// It cannot be decrypted.
    Sealed,
    /// A version that is not known.
    Version(u8),
    /// What it says makes no sense.
    Malformed,
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum => f.write_str("its checksum does not match"),
            Self::Sealed => f.write_str("it cannot be decrypted"),
            Self::Version(version) => write!(f, "version {version} of the format is not known"),
            Self::Malformed => f.write_str("what it says makes no sense"),
        }
    }
}

impl std::error::Error for IndexError {}

impl Index {
    /// Reads the content of an `index.db`.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn read(file: &[u8], stream: &str, key: Option<&AssetKey>) -> Result<Self, IndexError> {
        let (content, checksum) = file.split_last_chunk().ok_or(IndexError::Malformed)?;
        if Checksum::of_stream(stream).of(&[content]) != *checksum {
            return Err(IndexError::Checksum);
        }
        let opened;
        let content = match key {
            Some(key) => {
                opened = key.open(content).ok_or(IndexError::Sealed)?;
                opened.as_slice()
            }
            None => content,
        };
        match content {
            [MAGIC, version, ..] if (1..=VERSION_MAX).contains(version) => {}
            [MAGIC, version, ..] => return Err(IndexError::Version(*version)),
            _ => return Err(IndexError::Malformed),
        }
        parse(content).ok_or(IndexError::Malformed)
    }

    /// The state of a block; `None` when nothing of its file counts.
    #[must_use]
    pub fn block(&self, number: u32) -> Option<&BlockState> {
        let at = self
            .blocks
            .binary_search_by_key(&number, |block| block.number)
            .ok()?;
        self.blocks.get(at)
    }
}

fn parse(content: &[u8]) -> Option<Index> {
    let mut input = Input(content);
    let _magic = input.byte()?;
    let version = input.byte()?;
    let mut index = Index {
        messages: input.uvarint()?,
        bytes: input.uvarint()?,
        first_sequence: input.uvarint()?,
        ..Index::default()
    };
    let _first_time = input.varint()?;
    index.last_sequence = input.uvarint()?;
    index.last_time = input.varint()?;
    for _ in 0..input.count(4)? {
        let length = input.count(1)?;
        if length == 0 {
            continue;
        }
        let subject = input.take(length)?.to_vec();
        let total = input.uvarint()?;
        let _first_block = input.uvarint()?;
        if total > 1 || version >= 4 {
            let _last_block = input.uvarint()?;
        }
        index.subjects.push((subject, total));
    }
    for _ in 0..input.count(7)? {
        let block = parse_block(&mut input, version, &mut index.deleted)?;
        let follows = index
            .blocks
            .last()
            .is_none_or(|last| last.number < block.number);
        if !follows || block.last_sequence == u64::MAX {
            return None;
        }
        index.blocks.push(block);
    }
    index.last_block = u32::try_from(input.uvarint()?).ok()?;
    index.last_checksum = *input.take(Checksum::LENGTH)?.first_chunk()?;
    let counted = index
        .blocks
        .iter()
        .try_fold(0_u64, |sum, block| sum.checked_add(block.messages()))?;
    (counted == index.messages && index.last_sequence < u64::MAX).then_some(index)
}

fn parse_block(
    input: &mut Input<'_>,
    version: u8,
    deleted: &mut SequenceSet,
) -> Option<BlockState> {
    let number = u32::try_from(input.uvarint()?).ok()?;
    let _bytes = input.uvarint()?;
    let first_sequence = input.uvarint()?;
    let _first_time = input.varint()?;
    let last_sequence = input.uvarint()?;
    let _last_time = input.varint()?;
    let count = input.uvarint()?;
    if version >= 2 {
        let _ttls = input.uvarint()?;
    }
    if version >= 3 {
        let _schedules = input.uvarint()?;
    }
    if count > 0 {
        deleted.decode_into(input)?;
    }
    Some(BlockState {
        number,
        first_sequence,
        last_sequence,
        deleted: count,
    })
}
