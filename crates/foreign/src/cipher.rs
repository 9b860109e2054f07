//! Encryption at rest as nats-server does it.
//!
//! ```text
//! key of keys   HMAC-SHA256(key = jetstream.key, account ‖ context)
//! *.key         nonce ‖ seed of 32 bytes sealed with the key of keys
//! AEAD          XChaCha20-Poly1305 (nonce 24 bytes) or AES-256-GCM (nonce 16 bytes), nonce in front: meta.inf, index.db, o.dat
//! *.blk         XChaCha20 or AES-256-CTR from the file's start, with the seed as key and the nonce of the key file
//! ```
//! The context is `<stream>`, `<stream>:<block>` or `<stream>.<consumer>`.

use aes_gcm::aead::consts::U16;
use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{AesGcm, aes::Aes256};
use chacha20::XChaCha20;
use chacha20poly1305::XChaCha20Poly1305;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, Mac};
use sha2::Sha256;

type Aes256Gcm16 = AesGcm<Aes256, U16>;

const SEED_LENGTH: usize = 32;

/// The two ciphers of `jetstream.cipher`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cipher {
    ChaCha,
    Aes,
}

impl Cipher {
    const ALL: [Self; 2] = [Self::ChaCha, Self::Aes];

    fn nonce_length(self) -> usize {
        match self {
            Self::ChaCha => 24,
            Self::Aes => 16,
        }
    }

    /// Opens `nonce ‖ ciphertext ‖ tag`.
    fn open(self, key: &[u8; SEED_LENGTH], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(self.nonce_length())?;
        match self {
            Self::ChaCha => XChaCha20Poly1305::new(key.into())
                .decrypt(nonce.try_into().ok()?, text)
                .ok(),
            Self::Aes => Aes256Gcm16::new(key.into())
                .decrypt(nonce.try_into().ok()?, text)
                .ok(),
        }
    }
}

/// A `jetstream.key`.
#[derive(Clone)]
pub struct StoreKey(Vec<u8>);

impl StoreKey {
    /// The key as it stands in the configuration.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(key.to_vec())
    }

    fn unseal(
        &self,
        cipher: Cipher,
        account: &str,
        context: &str,
        sealed: &[u8],
    ) -> Option<AssetKey> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).ok()?;
        mac.update(account.as_bytes());
        mac.update(context.as_bytes());
        let key: [u8; 32] = mac.finalize().into_bytes().into();
        let seed = cipher.open(&key, sealed)?;
        Some(AssetKey {
            cipher,
            seed: seed.try_into().ok()?,
            nonce: sealed.get(..cipher.nonce_length())?.to_vec(),
        })
    }
}

/// A key never shows in a log.
impl std::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreKey")
    }
}

/// The key of one stream, block or consumer.
#[derive(Clone)]
pub struct AssetKey {
    cipher: Cipher,
    seed: [u8; SEED_LENGTH],
    nonce: Vec<u8>,
}

impl std::fmt::Debug for AssetKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AssetKey")
    }
}

/// The key that `sealed`, the content of a `*.key` file, holds: with the first of `keys` that opens it, and whichever cipher does.
/// `None` when none does: another key is needed, or the file is damaged.
#[must_use]
pub fn unseal(keys: &[StoreKey], account: &str, context: &str, sealed: &[u8]) -> Option<AssetKey> {
    keys.iter().find_map(|key| {
        Cipher::ALL
            .into_iter()
            .find_map(|cipher| key.unseal(cipher, account, context, sealed))
    })
}

/// The context of the key of a block.
#[must_use]
pub fn block_context(stream: &str, block: u32) -> String {
    format!("{stream}:{block}")
}

/// The context of the key of a consumer.
#[must_use]
pub fn consumer_context(stream: &str, consumer: &str) -> String {
    format!("{stream}.{consumer}")
}

impl AssetKey {
    /// Opens a sealed file; `None` when it is damaged or belongs to another key.
    #[must_use]
    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        self.cipher.open(&self.seed, sealed)
    }

    /// Decrypts a whole block in place. Damage shows only in the checksums of its records.
    pub(crate) fn decrypt_block(&self, bytes: &mut [u8]) -> Option<()> {
        match self.cipher {
            Cipher::ChaCha => XChaCha20::new_from_slices(&self.seed, &self.nonce)
                .ok()?
                .try_apply_keystream(bytes)
                .ok(),
            Cipher::Aes => Ctr128BE::<Aes256>::new_from_slices(&self.seed, &self.nonce)
                .ok()?
                .try_apply_keystream(bytes)
                .ok(),
        }
    }
}
