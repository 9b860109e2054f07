//! The keys of an open store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use everjet_values::Entropy;

use crate::sabotage::{PlantedBug, is_planted};

use super::cipher::{AeadKey, Cipher, KEY_BYTES, TAG_BYTES};

const SALT_BYTES: usize = 16;
/// Bytes of a [`KeyName`] in a file.
pub(crate) const KEY_NAME_BYTES: usize = 20;
/// Bytes of a [`Stamp`] in a file.
pub(crate) const STAMP_BYTES: usize = 28;
/// Keys of former sessions that are kept ready for reading.
const OPENING_MAX: usize = 64;

/// Which key sealed something.
///
/// ```text
/// 0  u8   cipher: 1 ChaCha20-Poly1305, 2 AES-256-GCM; 0 = nothing is sealed
/// 1  u8   zero
/// 2  u16  number of the data key in the keyring
/// 4  [16] salt
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyName {
    cipher: Cipher,
    number: u16,
    salt: [u8; SALT_BYTES],
}

impl KeyName {
    fn encode(&self) -> [u8; KEY_NAME_BYTES] {
        let mut bytes = [0; KEY_NAME_BYTES];
        bytes[0] = self.cipher.code();
        bytes[2..4].copy_from_slice(&self.number.to_le_bytes());
        bytes[4..].copy_from_slice(&self.salt);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, salt) = bytes.split_first_chunk::<4>()?;
        Some(Self {
            cipher: Cipher::from_code(head[0]).filter(|_| head[1] == 0)?,
            number: u16::from_le_bytes([head[2], head[3]]),
            salt: *salt.first_chunk()?,
        })
    }
}

/// Which key and nonce sealed something: a [`KeyName`] and the number, u64. All zeros: nothing is sealed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    key: KeyName,
    number: u64,
}

impl Stamp {
    pub(crate) fn encode(&self) -> [u8; STAMP_BYTES] {
        let mut bytes = [0; STAMP_BYTES];
        bytes[..KEY_NAME_BYTES].copy_from_slice(&self.key.encode());
        bytes[KEY_NAME_BYTES..].copy_from_slice(&self.number.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; STAMP_BYTES]) -> Option<Self> {
        let number = bytes.last_chunk()?;
        Some(Self {
            key: KeyName::decode(bytes)?,
            number: u64::from_le_bytes(*number),
        })
    }
}

/// The keys of an open store: what is written is sealed with the key of this session, what is read may be of any. Says
/// nothing about itself: there is no `Debug`.
pub struct Keys {
    cipher: Cipher,
    /// By number, ascending; the last one is for new data.
    secrets: Vec<(u16, [u8; KEY_BYTES])>,
    entropy: Arc<dyn Entropy>,
    session: KeyName,
    sealing: AeadKey,
    /// The next nonce of the session.
    number: AtomicU64,
    /// Keys of sessions that were met, the latest last.
    opening: Mutex<Vec<(KeyName, Arc<AeadKey>)>>,
}

impl Keys {
    /// # Panics
    /// Without any secret.
    pub(super) fn new(
        cipher: Cipher,
        secrets: Vec<(u16, [u8; KEY_BYTES])>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let newest = match is_planted(PlantedBug::OldDataKeyUsed) {
            true => secrets.first(),
            false => secrets.last(),
        };
        let (number, secret) = newest.expect("a keyring holds a key");
        let session = KeyName {
            cipher,
            number: *number,
            salt: random(&*entropy),
        };
        let sealing = AeadKey::derive(cipher, secret, &session.salt, "files");
        Self {
            cipher,
            secrets,
            entropy,
            session,
            sealing,
            number: AtomicU64::new(0),
            opening: Mutex::new(Vec::new()),
        }
    }

    /// Seals `bytes` in place, bound to `context`: what says how, and the tag that belongs behind the bytes.
    pub(crate) fn seal(&self, context: &[u8], bytes: &mut [u8]) -> (Stamp, [u8; TAG_BYTES]) {
        // Only uniqueness matters. 2^64 numbers do not run out.
        let step = u64::from(!is_planted(PlantedBug::NonceReused));
        let number = self.number.fetch_add(step, Ordering::Relaxed);
        let stamp = Stamp {
            key: self.session,
            number,
        };
        (stamp, self.sealing.seal(number, context, bytes))
    }

    /// Opens `text ‖ tag` in place and returns the text; `None` when it was not sealed so with a key of this store.
    pub(crate) fn open<'b>(
        &self,
        stamp: &Stamp,
        context: &[u8],
        sealed: &'b mut [u8],
    ) -> Option<&'b mut [u8]> {
        if stamp.key == self.session {
            return self.sealing.open(stamp.number, context, sealed);
        }
        self.opening(&stamp.key)?
            .open(stamp.number, context, sealed)
    }

    /// A key for one new file whose parts have numbers of their own.
    pub(crate) fn new_file(&self) -> JournalKey {
        let name = KeyName {
            salt: random(&*self.entropy),
            ..self.session
        };
        self.file(&name).expect("the session's secret is there")
    }

    /// The key of a file as its name says; `None` when the keyring does not have it.
    pub(crate) fn existing_file(&self, name: &[u8; KEY_NAME_BYTES]) -> Option<JournalKey> {
        self.file(&KeyName::decode(name)?)
    }

    /// What new data is sealed with.
    #[must_use]
    pub fn cipher(&self) -> Cipher {
        self.cipher
    }

    fn file(&self, name: &KeyName) -> Option<JournalKey> {
        let key = AeadKey::derive(
            name.cipher,
            self.secret(name.number)?,
            &name.salt,
            "journal",
        );
        Some(JournalKey {
            name: name.encode(),
            key,
        })
    }

    fn opening(&self, name: &KeyName) -> Option<Arc<AeadKey>> {
        // A panic while the lock is held leaves at worst one key less.
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = opening.iter().position(|(known, _)| known == name) {
            let found = opening.remove(at);
            let key = Arc::clone(&found.1);
            opening.push(found);
            return Some(key);
        }
        let secret = self.secret(name.number)?;
        let key = Arc::new(AeadKey::derive(name.cipher, secret, &name.salt, "files"));
        if opening.len() == OPENING_MAX {
            opening.remove(0);
        }
        opening.push((*name, Arc::clone(&key)));
        Some(key)
    }

    fn secret(&self, number: u16) -> Option<&[u8; KEY_BYTES]> {
        let known = self.secrets.iter().find(|(known, _)| *known == number);
        known.map(|(_, secret)| secret)
    }
}

/// The key of one journal file.
pub(crate) struct JournalKey {
    name: [u8; KEY_NAME_BYTES],
    key: AeadKey,
}

impl JournalKey {
    /// What the file must say so that it can be read again.
    pub(crate) fn name(&self) -> [u8; KEY_NAME_BYTES] {
        self.name
    }

    /// Seals `bytes` in place; `number` is used once in the file.
    pub(crate) fn seal(&self, number: u64, context: &[u8], bytes: &mut [u8]) -> [u8; TAG_BYTES] {
        self.key.seal(number, context, bytes)
    }

    /// Opens `text ‖ tag` in place; `None` when it was not sealed so.
    pub(crate) fn open<'b>(
        &self,
        number: u64,
        context: &[u8],
        sealed: &'b mut [u8],
    ) -> Option<&'b mut [u8]> {
        self.key.open(number, context, sealed)
    }
}

/// `N` random bytes, a multiple of eight.
pub(super) fn random<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    for piece in bytes.chunks_mut(8) {
        piece.copy_from_slice(&entropy.next_u64().to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use everjet_values::SeededEntropy;

    use super::*;

    fn keys(seed: u64, cipher: Cipher, numbers: &[u16]) -> Keys {
        let secrets = numbers
            .iter()
            .map(|&number| (number, [number as u8; KEY_BYTES]))
            .collect();
        Keys::new(cipher, secrets, Arc::new(SeededEntropy::new(seed)))
    }

    fn sealed(keys: &Keys) -> (Stamp, Vec<u8>) {
        let mut bytes = b"text".to_vec();
        let (stamp, tag) = keys.seal(b"here", &mut bytes);
        bytes.extend(tag);
        (stamp, bytes)
    }

    #[test]
    fn later_sessions_open_what_former_ones_sealed_with_either_cipher() {
        let former = keys(1, Cipher::Aes256Gcm, &[1]);
        let later = keys(2, Cipher::ChaCha20Poly1305, &[1, 2]);
        for keys in [&former, &later] {
            let (stamp, mut bytes) = sealed(&former);
            let stamp = Stamp::decode(&stamp.encode()).unwrap();
            assert_eq!(keys.open(&stamp, b"here", &mut bytes).unwrap(), b"text");
        }
        let (stamp, mut bytes) = sealed(&later);
        assert!(
            former.open(&stamp, b"here", &mut bytes).is_none(),
            "its keyring does not have the second data key"
        );
    }

    #[test]
    fn nothing_is_sealed_twice_in_the_same_way() {
        let keys = keys(1, Cipher::ChaCha20Poly1305, &[1]);
        let (first, second) = (sealed(&keys), sealed(&keys));
        assert_ne!(first.0.encode(), second.0.encode());
        assert_ne!(first.1, second.1);
        assert_ne!(keys.new_file().name(), keys.new_file().name());
    }

    #[test]
    fn more_sessions_than_are_remembered_can_be_read() {
        let reader = keys(0, Cipher::ChaCha20Poly1305, &[1]);
        let writers: Vec<Keys> = (1..=OPENING_MAX as u64 + 10)
            .map(|seed| keys(seed, Cipher::ChaCha20Poly1305, &[1]))
            .collect();
        for _ in 0..2 {
            for writer in &writers {
                let (stamp, mut bytes) = sealed(writer);
                assert!(reader.open(&stamp, b"here", &mut bytes).is_some());
            }
        }
        assert_eq!(reader.opening.lock().unwrap().len(), OPENING_MAX);
    }

    #[test]
    fn no_stamp_is_read_from_zeros() {
        assert!(Stamp::decode(&[0; STAMP_BYTES]).is_none());
    }
}
