//! A sealed disk for tests of this crate.

use std::sync::Arc;

use everjet_values::SeededEntropy;

use super::{Cipher, Encryption, Keys, SealedDisk, StoreKey};
use crate::disk::Disk;
use crate::sim_disk::SimDisk;

/// The configuration with this key; the seed stands for the randomness of one start.
pub(crate) fn encryption(key: &str, seed: u64) -> Encryption {
    Encryption {
        key: StoreKey::new(key.as_bytes()),
        previous: None,
        cipher: if seed.is_multiple_of(2) {
            Cipher::Aes256Gcm
        } else {
            Cipher::ChaCha20Poly1305
        },
        entropy: Arc::new(SeededEntropy::new(seed)),
    }
}

/// `disk` with keys of a store of its own (`store`) at one start (`seed`). Odd and even seeds have different ciphers.
pub(crate) fn sealed_disk(disk: &SimDisk, store: u8, seed: u64) -> Arc<dyn Disk> {
    let encryption = encryption("", seed);
    let keys = Keys::new(
        encryption.cipher,
        vec![(1, [store; 32])],
        encryption.entropy,
    );
    Arc::new(SealedDisk::new(disk.shared(), Arc::new(keys)))
}
