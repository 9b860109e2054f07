//! The operating system's clock and randomness.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use everjet_values::{Clock, Entropy, Timestamp};

/// Wall-clock time that never goes back: when the system's clock is set back, it stands still until that has caught up.
#[derive(Debug, Default)]
pub(crate) struct OsClock(AtomicI64);

impl Clock for OsClock {
    fn now(&self) -> Timestamp {
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
            });
        let last = self.0.fetch_max(nanos, Ordering::Relaxed);
        Timestamp::from_nanos(last.max(nanos))
    }
}

/// The operating system's randomness.
#[derive(Debug, Default)]
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    /// # Panics
    /// When the operating system has no randomness to give, without which no name is safe.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0u8; 8];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += rustix::rand::getrandom(
                &mut bytes[filled..],
                rustix::rand::GetRandomFlags::empty(),
            )
            .expect("the operating system gives random bytes");
        }
        u64::from_ne_bytes(bytes)
    }
}

/// A server id as nats-server forms it: the public nkey of a server, `N` and 55 characters of base32.
#[must_use]
pub(crate) fn server_id(entropy: &dyn Entropy) -> String {
    /// The type byte of a server's public key, before encoding; it makes the first letter an `N`.
    const SERVER_KEY: u8 = 13 << 3;
    let mut raw = vec![SERVER_KEY];
    for _ in 0..4 {
        raw.extend_from_slice(&entropy.next_u64().to_be_bytes());
    }
    raw.extend_from_slice(&crc16(&raw).to_le_bytes());
    base32(&raw)
}

/// CRC-16/XMODEM, the checksum of nkeys.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    })
}

/// RFC 4648 base32 without padding.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut bits, mut count) = (0u32, 0u32);
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(ALPHABET[(bits >> count & 31) as usize]));
        }
    }
    if count > 0 {
        text.push(char::from(ALPHABET[(bits << (5 - count) & 31) as usize]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use everjet_values::SeededEntropy;

    #[test]
    fn a_server_id_looks_like_a_server_nkey() {
        let id = server_id(&SeededEntropy::new(1));
        assert_eq!(id.len(), 56);
        assert!(id.starts_with('N'), "{id}");
        assert_ne!(id, server_id(&SeededEntropy::new(2)));
    }

    #[test]
    fn checksums_and_text_are_the_published_ones() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(base32(b"foobar"), "MZXW6YTBOI");
    }

    #[test]
    fn the_clock_never_goes_back() {
        let clock = OsClock::default();
        clock.0.store(i64::MAX - 1, Ordering::Relaxed);
        assert_eq!(clock.now(), Timestamp::from_nanos(i64::MAX - 1));
    }
}
