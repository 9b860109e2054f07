//! The checksum of everything nats-server stores: HighwayHash-64 with a key that is the SHA-256 of a name.

use highway::{HighwayHash, HighwayHasher, Key};
use sha2::{Digest, Sha256};

/// Checksums for one stream's, one consumer's or one block's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Checksum([u64; 4]);

impl Checksum {
    /// Bytes of a checksum.
    pub const LENGTH: usize = 8;

    /// For the files of a stream: `meta.inf` and `index.db`.
    #[must_use]
    pub fn of_stream(stream: &str) -> Self {
        Self::of_name(stream)
    }

    /// For the `meta.inf` of a consumer.
    #[must_use]
    pub fn of_consumer(stream: &str, consumer: &str) -> Self {
        Self::of_name(&format!("{stream}/{consumer}"))
    }

    fn of_name(name: &str) -> Self {
        let hash: [u8; 32] = Sha256::digest(name.as_bytes()).into();
        let mut key = [0; 4];
        for (word, bytes) in key.iter_mut().zip(hash.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Self(key)
    }

    /// For the records of a block of messages.
    #[must_use]
    pub fn of_block(stream: &str, block: u32) -> Self {
        Self::of_name(&format!("{stream}-{block}"))
    }

    /// The checksum of parts as if they were one run of bytes.
    #[must_use]
    pub fn of(&self, parts: &[&[u8]]) -> [u8; Self::LENGTH] {
        let mut hasher = HighwayHasher::new(Key(self.0));
        for part in parts {
            hasher.append(part);
        }
        hasher.finalize64().to_le_bytes()
    }

    /// Whether `text`, the content of a `meta.sum`, is the checksum of `bytes`.
    #[must_use]
    pub fn matches_text(&self, bytes: &[u8], text: &[u8]) -> bool {
        let hex: String = self
            .of(&[bytes])
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        hex.as_bytes() == text.trim_ascii()
    }
}
