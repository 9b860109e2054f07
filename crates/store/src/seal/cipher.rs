//! The two ciphers and how keys for them are derived.

use std::fmt;

use aws_lc_rs::aead::{
    AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};

/// Bytes that sealing adds behind the text.
pub(crate) const TAG_BYTES: usize = 16;
/// Bytes of a key of either cipher.
pub(crate) const KEY_BYTES: usize = 32;

/// What seals. Both are authenticated and have keys of 256 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cipher {
    /// ChaCha20-Poly1305 (RFC 8439).
    #[default]
    ChaCha20Poly1305,
    /// AES-256-GCM (NIST SP 800-38D): faster where the processor has instructions for it.
    Aes256Gcm,
}

impl Cipher {
    /// Its number in files.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::ChaCha20Poly1305 => 1,
            Self::Aes256Gcm => 2,
        }
    }

    /// The cipher with this number.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::ChaCha20Poly1305),
            2 => Some(Self::Aes256Gcm),
            _ => None,
        }
    }

    /// Its name in text.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ChaCha20Poly1305 => "ChaCha20-Poly1305",
            Self::Aes256Gcm => "AES-256-GCM",
        }
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::ChaCha20Poly1305 => &CHACHA20_POLY1305,
            Self::Aes256Gcm => &AES_256_GCM,
        }
    }
}

/// The key in the configuration, from which everything else follows.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreKey(Vec<u8>);

impl StoreKey {
    /// The key as it stands in the configuration. Any bytes; none at all is no key.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(key.to_vec())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A key never shows in a log.
impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey")
    }
}

/// A key ready to seal and open. Whoever has it chooses the nonces.
pub(crate) struct AeadKey(LessSafeKey);

impl AeadKey {
    /// The key that follows from `secret` and `salt` for one `purpose` and cipher.
    pub(crate) fn derive(cipher: Cipher, secret: &[u8], salt: &[u8], purpose: &str) -> Self {
        let purpose = format!("everjet {purpose} {}", cipher.name());
        let mut key = [0; KEY_BYTES];
        Salt::new(HKDF_SHA256, salt)
            .extract(secret)
            .expand(&[purpose.as_bytes()], KeyLength)
            .and_then(|output| output.fill(&mut key))
            .expect("HKDF gives up to 8,160 bytes");
        let key =
            UnboundKey::new(cipher.algorithm(), &key).expect("both ciphers have 256-bit keys");
        Self(LessSafeKey::new(key))
    }

    /// Encrypts `bytes` in place and returns the tag that proves them and `context`.
    ///
    /// `number` must never be used twice with this key.
    pub(crate) fn seal(&self, number: u64, context: &[u8], bytes: &mut [u8]) -> [u8; TAG_BYTES] {
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce(number), Aad::from(context), bytes)
            .expect("no text is longer than the 64 GiB that a cipher takes");
        tag.as_ref()
            .try_into()
            .expect("both ciphers have 128-bit tags")
    }

    /// Decrypts `text ‖ tag` in place and returns the text; `None` when key, number, context or a byte is not what it was.
    pub(crate) fn open<'b>(
        &self,
        number: u64,
        context: &[u8],
        sealed: &'b mut [u8],
    ) -> Option<&'b mut [u8]> {
        self.0
            .open_in_place(nonce(number), Aad::from(context), sealed)
            .ok()
    }
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_with_the_same_key_number_and_context_only() {
        for cipher in [Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm] {
            let key = AeadKey::derive(cipher, b"secret", b"salt", "test");
            let mut text = b"attack at dawn".to_vec();
            let tag = key.seal(7, b"here", &mut text);
            assert_ne!(text, b"attack at dawn");
            text.extend(tag);
            let open = |key: &AeadKey, number, context: &[u8], flip: Option<usize>| {
                let mut sealed = text.clone();
                if let Some(at) = flip {
                    sealed[at] ^= 1;
                }
                key.open(number, context, &mut sealed)
                    .map(|text| text.to_vec())
            };
            assert_eq!(open(&key, 7, b"here", None).unwrap(), b"attack at dawn");
            assert!(open(&key, 8, b"here", None).is_none());
            assert!(open(&key, 7, b"there", None).is_none());
            for at in 0..text.len() {
                assert!(open(&key, 7, b"here", Some(at)).is_none(), "byte {at}");
            }
            for (secret, salt, purpose) in [
                (&b"Secret"[..], &b"salt"[..], "test"),
                (b"secret", b"Salt", "test"),
                (b"secret", b"salt", "Test"),
            ] {
                let other = AeadKey::derive(cipher, secret, salt, purpose);
                assert!(open(&other, 7, b"here", None).is_none());
            }
        }
    }

    #[test]
    fn a_cipher_is_known_by_its_number() {
        for cipher in [Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm] {
            assert_eq!(Cipher::from_code(cipher.code()), Some(cipher));
        }
        assert_eq!(Cipher::from_code(0), None);
        assert_eq!(Cipher::from_code(3), None);
    }
}
