//! Encryption at rest: which keys there are, and how bytes are sealed with them and opened again.
//!
//! ```text
//! the configured key --HKDF, salt of the keyring--> seals the data keys in keyring.a and keyring.b
//! a data key --HKDF, salt of a session--> one key per start of a server, its nonces counted
//! a data key --HKDF, salt of a file----> one key per journal file, its nonces are the positions of the records
//! ```
//!
//! No nonce is used twice with a key. A session has 128 random bits of salt, so that its key belongs to one run of one
//! process, and the counter of that process only grows: what a crash takes back, down to the state of the whole disk, was
//! sealed with the key of a session that is over. A journal file has a salt of its own in the same way; a position is written
//! to it at most once, as a write that fails leaves the file for good.
//!
//! What is sealed is bound to its place by the associated data: a block to its stream, segment and position, a record of the
//! journal to its file, position, stream and kind.

mod cipher;
mod disk;
mod keyring;
mod keys;
#[cfg(test)]
pub(crate) mod testing;

pub use cipher::{Cipher, StoreKey};
pub use disk::SealedDisk;
pub use keyring::{Encryption, KeyringError, KeyringNote, OpenedKeyring, open_keyring};
pub use keys::Keys;

pub(crate) use cipher::TAG_BYTES;
pub(crate) use keys::{JournalKey, KEY_NAME_BYTES, STAMP_BYTES, Stamp};
