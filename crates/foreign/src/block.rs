//! One file of messages, opened.

use std::fmt;

use crate::checksum::Checksum;
use crate::cipher::AssetKey;
use crate::compress::unpack;
use crate::record::{Records, Scanned};

/// A block of messages, decrypted and unpacked.
#[derive(Debug)]
pub struct Block {
    bytes: Vec<u8>,
    checksum: Checksum,
    /// Compressed chunks that could not be read: position in the file, and why.
    chunk_damage: Vec<(usize, &'static str)>,
}

/// Why a block cannot be read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockError {
    /// It is compressed with something else than S2.
    Algorithm(u8),
    /// It is too long for its cipher.
    Cipher,
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm(number) => {
                write!(f, "it is compressed with the unknown algorithm {number}")
            }
            Self::Cipher => f.write_str("it is too long for its cipher"),
        }
    }
}

impl std::error::Error for BlockError {}

impl Block {
    /// The block that a file holds.
    ///
    /// # Errors
    /// [`BlockError`]. Damage is no error: it shows when the records are read.
    pub fn open(
        mut file: Vec<u8>,
        stream: &str,
        number: u32,
        key: Option<&AssetKey>,
    ) -> Result<Self, BlockError> {
        if let Some(key) = key {
            key.decrypt_block(&mut file).ok_or(BlockError::Cipher)?;
        }
        let unpacked = unpack(file).map_err(BlockError::Algorithm)?;
        Ok(Self {
            bytes: unpacked.bytes,
            checksum: Checksum::of_block(stream, number),
            chunk_damage: unpacked.damage,
        })
    }

    /// The checksum of the last record as it stands there; `None` in an empty block.
    #[must_use]
    pub fn last_checksum(&self) -> Option<[u8; Checksum::LENGTH]> {
        self.bytes.last_chunk().copied()
    }

    /// What stands in it, in order.
    pub fn records(&self) -> impl Iterator<Item = Scanned<'_>> {
        Records::new(&self.bytes, self.checksum)
    }

    /// Compressed chunks that could not be read: position in the file, and why. What they held is missing from the records.
    #[must_use]
    pub fn chunk_damage(&self) -> &[(usize, &'static str)] {
        &self.chunk_damage
    }
}
