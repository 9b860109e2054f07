//! Encryption at rest: the keys of `jetstream { … }` and what they are used with.

use std::fmt;

use crate::reader::Reader;
use crate::{Entry, Kind};

/// A text that nobody may see: it does not show in logs or debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// What the store is encrypted with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreCipher {
    /// `chacha` or `chachapoly`: ChaCha20-Poly1305.
    #[default]
    ChaCha,
    /// `aes`: AES-256-GCM.
    Aes,
}

/// Options of encryption at rest. Only a restart changes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionOptions {
    /// The key from which the keys of the store are derived.
    pub key: Secret,
    /// The key before, from which the store is changed over to `key`. Default none.
    pub previous: Option<Secret>,
    /// What new data is encrypted with. Default ChaCha20-Poly1305.
    pub cipher: StoreCipher,
}

/// The options as they are read.
#[derive(Debug, Default)]
pub(crate) struct EncryptionBlock {
    key: Option<Secret>,
    previous: Option<Secret>,
    cipher: Option<StoreCipher>,
    /// Something is wrong with a key, and that was said.
    is_wrong: bool,
    /// What stands without a key is complained about here.
    needs_key: Option<Entry>,
}

impl EncryptionBlock {
    /// Reads `key`, `ek` or `encryption_key`.
    pub(crate) fn take_key(&mut self, entry: &Entry, reader: &mut Reader) {
        self.key = self.secret(entry, reader);
    }

    /// Reads `prev_key`, `prev_ek` or `prev_encryption_key`.
    pub(crate) fn take_previous(&mut self, entry: &Entry, reader: &mut Reader) {
        self.previous = self.secret(entry, reader);
        self.needs_key = Some(entry.clone());
    }

    /// Reads `cipher`.
    pub(crate) fn take_cipher(&mut self, entry: &Entry, reader: &mut Reader) {
        let Some(word) = reader.text(entry) else {
            return;
        };
        self.cipher = match word.to_ascii_lowercase().as_str() {
            "chacha" | "chachapoly" => Some(StoreCipher::ChaCha),
            "aes" => Some(StoreCipher::Aes),
            _ => {
                reader.refuse(entry, format!("Unknown cipher type: {word:?}"));
                return;
            }
        };
        self.needs_key = Some(entry.clone());
    }

    /// What was read; `None` when the store is not to be encrypted.
    pub(crate) fn finish(self, reader: &mut Reader) -> Option<EncryptionOptions> {
        let Some(key) = self.key else {
            if let Some(entry) = self.needs_key.filter(|_| !self.is_wrong) {
                let text = format!("{:?} needs a key: nothing is encrypted without", entry.key);
                reader.refuse(&entry, text);
            }
            return None;
        };
        Some(EncryptionOptions {
            key,
            previous: self.previous,
            cipher: self.cipher.unwrap_or_default(),
        })
    }

    /// A key that is empty, as the value of a variable may be, must not mean that nothing is encrypted.
    fn secret(&mut self, entry: &Entry, reader: &mut Reader) -> Option<Secret> {
        match &entry.value.kind {
            Kind::Text(text) if !text.is_empty() => return Some(Secret(text.clone())),
            Kind::Text(_) => reader.refuse(entry, format!("{:?} is empty", entry.key)),
            _ => reader.mismatch(entry, "a text (in quotes, should it begin with a digit)"),
        }
        self.is_wrong = true;
        None
    }
}
