//! The operating system's clock and randomness.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use everjet_values::{Clock, Entropy, Timestamp};

/// Wall-clock time that neither goes back nor stands still.
///
/// When the system's clock is set forward, this one follows at once. When it is set back, this one goes on from where it was, at half the
/// pace until the system's has caught up: acknowledgements still run out and messages still expire, and no message is older than the one
/// before it.
#[derive(Debug)]
pub(crate) struct OsClock {
    begun: Instant,
    /// What has to be added to the time since `begun`, in nanoseconds.
    offset: AtomicI64,
    /// When `offset` was last made smaller, in nanoseconds since `begun`.
    slewed_at: AtomicI64,
    /// The largest time told.
    last: AtomicI64,
}

/// A difference that comes from more than reading two clocks one after the other: the system's clock was set back.
const STEP_NANOS: i64 = 50_000_000;
/// How often the offset is made smaller then; half of this is how long time stands still for it.
const SLEW_EVERY_NANOS: i64 = 20_000_000;

impl Default for OsClock {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            offset: AtomicI64::new(i64::MIN),
            slewed_at: AtomicI64::new(0),
            last: AtomicI64::new(0),
        }
    }
}

impl Clock for OsClock {
    fn now(&self) -> Timestamp {
        let system = SystemTime::now().duration_since(UNIX_EPOCH);
        let system = system.map_or(0, nanos);
        // Read second: when this thread is interrupted in between, the offset is too small, and a larger one was or will be seen.
        let running = nanos(self.begun.elapsed());
        Timestamp::from_nanos(self.tell(system, running))
    }
}

impl OsClock {
    /// The time, when the system's clock shows `system` and this one has been running for so long.
    fn tell(&self, system: i64, running: i64) -> i64 {
        let offset = system - running;
        let mut known = self.offset.load(Ordering::Relaxed);
        if offset > known {
            self.offset.fetch_max(offset, Ordering::Relaxed);
            known = offset;
        } else if known - offset > STEP_NANOS {
            known = self.slew(known, offset, running);
        }
        let now = running.saturating_add(known);
        let last = self.last.load(Ordering::Relaxed);
        match last < now {
            true => self.last.fetch_max(now, Ordering::Relaxed).max(now),
            false => last,
        }
    }

    fn slew(&self, known: i64, offset: i64, running: i64) -> i64 {
        let slewed_at = self.slewed_at.load(Ordering::Relaxed);
        let is_due = running - slewed_at >= SLEW_EVERY_NANOS;
        let exchange = |to| {
            let order = Ordering::Relaxed;
            self.slewed_at
                .compare_exchange(slewed_at, to, order, order)
                .is_ok()
        };
        if !is_due || !exchange(running) {
            return known;
        }
        let by = (SLEW_EVERY_NANOS / 2).min(known - offset);
        self.offset.fetch_sub(by, Ordering::Relaxed) - by
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
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

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn the_clock_follows_the_system() {
        let clock = OsClock::default();
        let before = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, nanos);
        let told = clock.now().as_nanos();
        let after = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, nanos);
        assert!((before..=after).contains(&told), "{before} {told} {after}");
    }

    #[test]
    fn a_clock_set_forward_is_followed_at_once() {
        let clock = OsClock::default();
        assert_eq!(clock.tell(100 * SECOND, 0), 100 * SECOND);
        assert_eq!(clock.tell(3_701 * SECOND, SECOND), 3_701 * SECOND);
    }

    #[test]
    fn a_clock_set_back_goes_on_and_is_caught_up_with() {
        let clock = OsClock::default();
        let hour = 3_600 * SECOND;
        clock.tell(2 * hour, 0);
        let mut last = 2 * hour;
        let mut met = None;
        for running in (0..3 * hour).step_by(20_000_000) {
            // An hour back.
            let system = hour + running;
            let told = clock.tell(system, running);
            assert!(told >= last, "back at {running}");
            // Never slower than half, give or take a slew.
            assert!(
                told >= 2 * hour + running / 2 - SLEW_EVERY_NANOS,
                "stands still at {running}"
            );
            last = told;
            if met.is_none() && told - system <= STEP_NANOS {
                met = Some(running);
            }
        }
        let met = met.expect("it is caught up with");
        assert!(
            (2 * hour - SECOND..=2 * hour + SECOND).contains(&met),
            "{met}"
        );
    }

    #[test]
    fn clocks_read_one_after_the_other_are_no_step() {
        let clock = OsClock::default();
        clock.tell(100 * SECOND, 0);
        for late in [0, 1_000, STEP_NANOS] {
            let running = 10 * SECOND + late;
            assert_eq!(clock.tell(110 * SECOND, running), 100 * SECOND + running);
        }
    }
}
