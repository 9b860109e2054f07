//! Keys of stores in files, for the commands that have no configuration.

use std::path::Path;
use std::sync::Arc;

use everjet_store::{Cipher, Encryption, StoreKey};

use crate::seams::OsEntropy;

/// The key in a file, without the line end that an editor leaves.
///
/// # Errors
/// What is wrong with the file, for a person.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    bytes.truncate(bytes.trim_ascii_end().len());
    if bytes.is_empty() {
        return Err(format!("{} holds no key", path.display()));
    }
    Ok(bytes)
}

/// A store of ours with the key in a file.
///
/// # Errors
/// As [`read`].
pub(crate) fn encryption(path: &Path, cipher: Cipher) -> Result<Encryption, String> {
    Ok(Encryption {
        key: StoreKey::new(&read(path)?),
        previous: None,
        cipher,
        entropy: Arc::new(OsEntropy),
    })
}
