//! Randomness as a seam.

use std::sync::atomic::{AtomicU64, Ordering};

/// The seam through which randomness enters. Drivers implement it with the operating system's source, the simulator
/// with a seed.
pub trait Entropy: Send + Sync {
    /// The next 64 random bits.
    fn next_u64(&self) -> u64;
}

/// Entropy from a seed: the same seed gives the same numbers. For tests, simulation and per-thread choice of queue
/// members; not for secrets.
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// A source that repeats itself for the same `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Entropy for SeededEntropy {
    /// One step of splitmix64.
    fn next_u64(&self) -> u64 {
        let state = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mut z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A random name of `length` characters out of `0-9A-Za-z`: consumer names (8), inbox and event ids (22).
#[must_use]
pub fn token(entropy: &dyn Entropy, length: usize) -> String {
    let mut name = String::with_capacity(length);
    let mut bits = 0u64;
    for position in 0..length {
        if position % 8 == 0 {
            bits = entropy.next_u64();
        }
        name.push(char::from(
            BASE62[usize::try_from(bits % 62).expect("below 62")],
        ));
        bits /= 62;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_names() {
        let name = token(&SeededEntropy::new(7), 22);
        assert_eq!(name, token(&SeededEntropy::new(7), 22));
        assert_ne!(name, token(&SeededEntropy::new(8), 22));
        assert_eq!(name.len(), 22);
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
