//! JetStream: whether it is on, where it keeps its files, and when they are on stable storage.

use std::time::Duration;

use crate::encryption::{EncryptionBlock, EncryptionOptions};
use crate::reader::Reader;
use crate::unsupported::{self, Block};
use crate::{Entry, Kind};

/// When a stored message is on stable storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before it is acknowledged: a message that was acknowledged survives a crash of the process and power loss.
    #[default]
    Always,
    /// Some time after: a message that was acknowledged survives a crash of the process; power loss may take what
    /// was acknowledged within this time.
    Every(Duration),
}

/// Options of JetStream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JetStreamOptions {
    /// Folder of the store. Default: the server chooses one below the folder for temporary files.
    pub store_dir: Option<String>,
    /// Most bytes in memory streams. Default: the server decides by the size of the memory.
    pub max_memory_store: Option<u64>,
    /// Most bytes in file streams. Default: the server decides by the size of the disk.
    pub max_file_store: Option<u64>,
    /// When a stored message is on stable storage. Default always.
    pub sync: SyncPolicy,
    /// Encryption at rest. Default none.
    pub encryption: Option<EncryptionOptions>,
    /// The domain, a name that clients may put into the subjects of the API. Default none.
    pub domain: Option<String>,
    /// API requests with fields that are not known are served all the same. Default: refused.
    pub is_lenient: bool,
}

/// The block as it is read, with what else is known about it.
#[derive(Debug, Default)]
pub(crate) struct JetStreamBlock {
    /// Whether JetStream is on.
    pub(crate) is_enabled: bool,
    pub(crate) options: JetStreamOptions,
}

impl JetStreamBlock {
    /// Reads `jetstream: …` or the block `jetstream { … }`.
    pub(crate) fn take(&mut self, entry: &Entry, reader: &mut Reader) {
        match &entry.value.kind {
            Kind::Bool(is_enabled) => self.is_enabled = *is_enabled,
            Kind::Text(word) => match word.to_ascii_lowercase().as_str() {
                "enabled" | "enable" => self.is_enabled = true,
                "disabled" | "disable" => self.is_enabled = false,
                _ => reader.refuse(
                    entry,
                    format!("Expected 'enabled' or 'disabled' for string value, got '{word}'"),
                ),
            },
            Kind::Table(table) => {
                self.is_enabled = true;
                let mut encryption = EncryptionBlock::default();
                for inner in table.entries() {
                    self.take_inner(inner, &mut encryption, reader);
                }
                self.options.encryption = encryption.finish(reader);
            }
            other => reader.refuse(
                entry,
                format!(
                    "Expected map, bool or string to define JetStream, got {}",
                    other.name()
                ),
            ),
        }
    }

    /// Reads `store_dir`, which may stand in the block or beside it, but only once.
    pub(crate) fn take_store_dir(&mut self, entry: &Entry, reader: &mut Reader) {
        let folder = reader.optional_text(entry);
        if folder.is_some() && self.options.store_dir.is_some() {
            reader.refuse(entry, "Duplicate 'store_dir' configuration");
            return;
        }
        self.options.store_dir = folder.or(self.options.store_dir.take());
    }

    fn take_inner(&mut self, entry: &Entry, encryption: &mut EncryptionBlock, reader: &mut Reader) {
        match entry.key.to_ascii_lowercase().as_str() {
            "enabled" => {
                if let Some(is_enabled) = reader.boolean(entry) {
                    self.is_enabled = is_enabled;
                }
            }
            "store_dir" | "storedir" => self.take_store_dir(entry, reader),
            "max_memory_store" | "max_mem_store" | "max_mem" | "memory" => {
                self.options.max_memory_store = reader.storage(entry);
            }
            "max_file_store" | "max_file" | "file" => {
                self.options.max_file_store = reader.storage(entry);
            }
            "sync_interval" | "sync" => self.take_sync(entry, reader),
            "key" | "ek" | "encryption_key" => encryption.take_key(entry, reader),
            "prev_key" | "prev_ek" | "prev_encryption_key" => {
                encryption.take_previous(entry, reader);
            }
            "cipher" => encryption.take_cipher(entry, reader),
            "domain" => self.take_domain(entry, reader),
            "strict" => {
                if let Some(is_strict) = reader.boolean(entry) {
                    self.options.is_lenient = !is_strict;
                }
            }
            key => unsupported::refuse(Block::JetStream, key, entry, reader),
        }
    }

    fn take_domain(&mut self, entry: &Entry, reader: &mut Reader) {
        let Some(domain) = reader.optional_text(entry) else {
            return;
        };
        // Empty is none, as an empty variable gives it.
        if domain.is_empty() {
            return;
        }
        let is_token =
            |byte: u8| !byte.is_ascii_whitespace() && !matches!(byte, b'.' | b'*' | b'>');
        if domain.bytes().all(is_token) {
            self.options.domain = Some(domain);
        } else {
            reader.refuse(
                entry,
                "invalid domain name: may not contain blanks, ., * or >",
            );
        }
    }

    fn take_sync(&mut self, entry: &Entry, reader: &mut Reader) {
        if matches!(&entry.value.kind, Kind::Text(word) if word.eq_ignore_ascii_case("always")) {
            self.options.sync = SyncPolicy::Always;
            return;
        }
        match reader.duration(entry) {
            Some(interval) if interval.is_zero() => reader.refuse(
                entry,
                format!(
                    "{} must be longer than zero; write always to sync before each acknowledgement",
                    entry.key
                ),
            ),
            Some(interval) => self.options.sync = SyncPolicy::Every(interval),
            None => {}
        }
    }
}
