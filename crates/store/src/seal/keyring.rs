//! The files `keyring.a` and `keyring.b`: the data keys of a store, sealed with the key of the configuration.
//!
//! Both are checked files (`everjet-keyring`, never sealed themselves) with the same JSON body:
//!
//! | field | meaning |
//! | --- | --- |
//! | `sequence` | grows by one with each change; the larger one counts |
//! | `cipher` | number of the cipher that seals the data keys |
//! | `salt` | 32 bytes in hexadecimal, new with each change |
//! | `keys[]` | `number` and `sealed`: the 32 bytes and their tag in hexadecimal |
//!
//! The key that seals them is HKDF-SHA-256 of the configured key with the salt; the nonce is the number of the data key, its
//! associated data `everjet data key` and the number. A change writes one file after the other, each atomically, and nothing is
//! sealed with a new data key before both are durable, whoever wrote them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use everjet_values::Entropy;
use serde::{Deserialize, Serialize};

use super::cipher::{AeadKey, Cipher, KEY_BYTES, StoreKey};
use super::keys::{Keys, random};
use crate::checked_file::{is_sealed_file, read_plain_checked_file, write_plain_checked_file};
use crate::disk::Disk;
use crate::fault::Fault;

const SLOTS: [&str; 2] = ["keyring.a", "keyring.b"];
const MAGIC: &str = "everjet-keyring";
const CONTEXT: &[u8] = b"everjet data key";
/// What only an encrypted store has, should its keyring be lost.
const MANIFESTS: [&str; 2] = ["manifest.a", "manifest.b"];

/// What the configuration says about encryption.
#[derive(Clone)]
pub struct Encryption {
    /// The key.
    pub key: StoreKey,
    /// The key before, while it is being changed.
    pub previous: Option<StoreKey>,
    /// What new data is sealed with.
    pub cipher: Cipher,
    /// Where data keys and salts come from: must not be guessable.
    pub entropy: Arc<dyn Entropy>,
}

/// Keys never show in a log.
impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryption")
            .field("cipher", &self.cipher)
            .finish_non_exhaustive()
    }
}

/// Why the keys of a store cannot be had. Nothing was changed.
#[derive(Debug)]
pub enum KeyringError {
    /// The store is encrypted and no key is configured.
    KeyMissing(PathBuf),
    /// The store is encrypted with another key.
    WrongKey(PathBuf),
    /// The disk, or a damaged keyring.
    Fault(Fault),
}

impl From<Fault> for KeyringError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The keys of a store, and what happened to their keyring.
pub struct OpenedKeyring {
    /// The keys.
    pub keys: Arc<Keys>,
    /// What the log should say, if anything.
    pub note: Option<KeyringNote>,
}

/// What happened to a keyring while it was opened, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyringNote {
    /// It was made: from now on the store is encrypted.
    Created,
    /// It was sealed with the previous key and is with the present one now.
    KeyChanged,
    /// One of its two files was missing or damaged and was written again.
    Repaired,
    /// A crash came while its two files were written: the other one has been written now.
    Finished,
}

#[derive(Serialize, Deserialize)]
struct Body {
    sequence: u64,
    cipher: u8,
    salt: String,
    keys: Vec<SealedKey>,
}

#[derive(Serialize, Deserialize)]
struct SealedKey {
    number: u16,
    sealed: String,
}

/// The data keys in the open.
type Secrets = Vec<(u16, [u8; KEY_BYTES])>;

/// Opens the keyring in `dir`, a store's folder, with the configured key or the one before; makes one when there is none. `None`
/// when the store is not encrypted and shall not be.
///
/// # Errors
/// See [`KeyringError`].
pub fn open_keyring(
    disk: &dyn Disk,
    dir: &Path,
    encryption: Option<&Encryption>,
) -> Result<Option<OpenedKeyring>, KeyringError> {
    let slots = SLOTS.map(|name| read_slot(disk, &dir.join(name)));
    let newest = slots
        .iter()
        .filter_map(|slot| slot.as_ref().ok()?.as_ref())
        .max_by_key(|body| body.sequence);
    let Some(body) = newest else {
        for slot in slots {
            slot?;
        }
        return match encryption {
            None => Ok(None),
            Some(encryption) => create(disk, dir, encryption).map(Some),
        };
    };
    let Some(encryption) = encryption else {
        return Err(KeyringError::KeyMissing(dir.to_owned()));
    };
    let keyring = dir.join(SLOTS[0]);
    let (secrets, note) = if let Some(secrets) = unseal(body, &encryption.key) {
        let is_whole = slots
            .iter()
            .all(|slot| matches!(slot, Ok(Some(other)) if other.sequence == body.sequence));
        let note = if is_interrupted(disk, dir, &slots, body.sequence)? {
            KeyringNote::Finished
        } else {
            KeyringNote::Repaired
        };
        (secrets, (!is_whole).then_some(note))
    } else {
        let previous = encryption.previous.as_ref();
        let mut secrets = previous
            .and_then(|previous| unseal(body, previous))
            .ok_or_else(|| KeyringError::WrongKey(keyring.clone()))?;
        // Who knew the key before may know the data keys: what is written from now on gets a new one.
        let number = secrets.last().map_or(0, |(number, _)| *number);
        let number = number.checked_add(1).ok_or_else(|| {
            Fault::damaged(
                &keyring,
                "the key was changed 65,535 times, there are no more numbers",
            )
        })?;
        secrets.push((number, random(&*encryption.entropy)));
        (secrets, Some(KeyringNote::KeyChanged))
    };
    if note.is_some() {
        write(disk, dir, body.sequence + 1, &secrets, encryption)?;
    } else {
        // A process that was killed may have named a file and not have synced its name, and what is sealed from now on must not
        // outlive that.
        disk.sync_dir(dir).map_err(Fault::sync(dir))?;
    }
    Ok(Some(opened(secrets, encryption, note)))
}

/// Whether the files are as crashes leave them: the first one is written, the second one is an older one, or is not there and nothing was
/// sealed yet.
fn is_interrupted(
    disk: &dyn Disk,
    dir: &Path,
    slots: &[Result<Option<Body>, Fault>; 2],
    sequence: u64,
) -> Result<bool, Fault> {
    let [Ok(Some(first)), Ok(second)] = slots else {
        return Ok(false);
    };
    if first.sequence != sequence {
        return Ok(false);
    }
    let Some(second) = second else {
        return Ok(!is_in_use(disk, dir)?);
    };
    Ok(second.sequence < sequence)
}

/// Whether anything was sealed yet.
fn is_in_use(disk: &dyn Disk, dir: &Path) -> Result<bool, Fault> {
    for name in MANIFESTS {
        if is_sealed_file(disk, &dir.join(name))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn create(
    disk: &dyn Disk,
    dir: &Path,
    encryption: &Encryption,
) -> Result<OpenedKeyring, KeyringError> {
    if is_in_use(disk, dir)? {
        return Err(KeyringError::Fault(Fault::damaged(
            dir,
            "the store is encrypted, and both keyring.a and keyring.b are missing",
        )));
    }
    let secrets = vec![(1, random(&*encryption.entropy))];
    write(disk, dir, 1, &secrets, encryption)?;
    let note = Some(KeyringNote::Created);
    Ok(opened(secrets, encryption, note))
}

fn opened(secrets: Secrets, encryption: &Encryption, note: Option<KeyringNote>) -> OpenedKeyring {
    let entropy = Arc::clone(&encryption.entropy);
    let keys = Arc::new(Keys::new(encryption.cipher, secrets, entropy));
    OpenedKeyring { keys, note }
}

fn read_slot(disk: &dyn Disk, path: &Path) -> Result<Option<Body>, Fault> {
    let Some(bytes) = read_plain_checked_file(disk, path, MAGIC)? else {
        return Ok(None);
    };
    let body: Body = serde_json::from_slice(&bytes)
        .map_err(|error| Fault::damaged(path, format!("not a keyring: {error}")))?;
    if body.keys.is_empty() {
        return Err(Fault::damaged(path, "a keyring without keys"));
    }
    Ok(Some(body))
}

/// Writes both files; they are durable when this returns.
fn write(
    disk: &dyn Disk,
    dir: &Path,
    sequence: u64,
    secrets: &Secrets,
    encryption: &Encryption,
) -> Result<(), Fault> {
    let salt: [u8; 32] = random(&*encryption.entropy);
    let cipher = encryption.cipher;
    let sealing = AeadKey::derive(cipher, encryption.key.bytes(), &salt, "keyring");
    let keys = secrets
        .iter()
        .map(|(number, secret)| {
            let mut bytes = secret.to_vec();
            let tag = sealing.seal(u64::from(*number), &context(*number), &mut bytes);
            bytes.extend(tag);
            SealedKey {
                number: *number,
                sealed: to_hex(&bytes),
            }
        })
        .collect();
    let body = Body {
        sequence,
        cipher: cipher.code(),
        salt: to_hex(&salt),
        keys,
    };
    let body = serde_json::to_vec_pretty(&body).expect("text and numbers always serialise");
    for name in SLOTS {
        write_plain_checked_file(disk, &dir.join(name), MAGIC, &body)?;
    }
    Ok(())
}

/// The data keys, when `key` opens all of them.
fn unseal(body: &Body, key: &StoreKey) -> Option<Secrets> {
    let cipher = Cipher::from_code(body.cipher)?;
    let opening = AeadKey::derive(cipher, key.bytes(), &from_hex(&body.salt)?, "keyring");
    body.keys
        .iter()
        .map(|sealed| {
            let mut bytes = from_hex(&sealed.sealed)?;
            let number = sealed.number;
            let secret = opening.open(u64::from(number), &context(number), &mut bytes)?;
            Some((number, (*secret).try_into().ok()?))
        })
        .collect()
}

fn context(number: u16) -> Vec<u8> {
    [CONTEXT, &number.to_le_bytes()].concat()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect::<Option<Vec<u8>>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
