//! A stream that is being restored: written beside those that are served, and served when it is whole.

use std::sync::Arc;

use everjet_api::{ArchivedConsumer, ErrorCode, Storage, StreamConfig, StreamInfo};
use everjet_api::{StreamAction, StreamInfoRequest};
use everjet_consumer::ConsumerId;
use everjet_routing::Turn;
use everjet_store::{Fault, StreamId, StreamStore};
use everjet_stream::Stream;
use everjet_values::{StreamSequence, Timestamp};

use super::consumers;
use crate::folders::{new_store, stream_folders};
use crate::host::{Host, describe};
use crate::intake::{
    ENTRY, ImportedMessage, Intake, MARKER, make_marked_folder, remove_marked_folder,
};
use crate::report::Level;

/// A stream that exists for nobody yet.
pub(super) struct Restoring {
    host: Arc<Host>,
    config: StreamConfig,
    id: StreamId,
    created: Timestamp,
    intake: Intake,
    consumers: Vec<(String, ArchivedConsumer)>,
}

impl Restoring {
    /// Begins with a stream of this configuration, which has its defaults filled in. `bytes` is what it is said to take.
    pub(super) fn begin(
        host: &Arc<Host>,
        config: StreamConfig,
        bytes: u64,
    ) -> Result<Self, String> {
        check_room(host, config.storage, bytes)?;
        let id = host.draw_stream_id();
        let store = match config.storage {
            Storage::Memory => StreamStore::in_memory(host.config.storage.store),
            Storage::File => create_on_disk(host, id, &config.name).map_err(|f| f.to_string())?,
        };
        Ok(Self {
            host: Arc::clone(host),
            id,
            created: host.seams.clock.now(),
            intake: Intake::new(Arc::clone(&host.seams.disk), store),
            consumers: Vec::new(),
            config,
        })
    }

    /// Takes in a message. Sequences go up.
    pub(super) fn push(&mut self, message: &ImportedMessage<'_>) -> Result<(), String> {
        let is_checked = message.sequence.0.is_multiple_of(1024);
        if is_checked {
            check_room(&self.host, self.config.storage, self.intake.store().bytes())?;
        }
        self.intake.push(message).map_err(|fault| fault.to_string())
    }

    /// Takes in a consumer.
    pub(super) fn push_consumer(&mut self, name: &str, consumer: ArchivedConsumer) {
        self.consumers.push((name.to_owned(), consumer));
    }

    /// The last message so far.
    pub(super) fn last_sequence(&self) -> StreamSequence {
        self.intake.store().last_sequence()
    }

    /// The largest message that the stream takes.
    pub(super) fn message_max(&self) -> Option<u64> {
        u64::try_from(self.config.max_msg_size).ok()
    }

    /// The stream exists, durably, when this returns, and says this about itself.
    pub(super) fn finish(
        mut self,
        (last_sequence, last_time): (StreamSequence, Timestamp),
        turn: &mut Turn,
    ) -> Result<StreamInfo, String> {
        let finished = self.try_finish((last_sequence, last_time), turn);
        if finished.is_err() {
            self.abandon();
        }
        finished
    }

    fn try_finish(
        &mut self,
        (last_sequence, last_time): (StreamSequence, Timestamp),
        turn: &mut Turn,
    ) -> Result<StreamInfo, String> {
        self.intake
            .finish(last_sequence, last_time)
            .map_err(|fault| fault.to_string())?;
        let now = self.host.seams.clock.now();
        let mut restored = Vec::with_capacity(self.consumers.len());
        for ((name, archived), number) in std::mem::take(&mut self.consumers).into_iter().zip(1..) {
            let place = (ConsumerId(number), now);
            let store = self.intake.store();
            let consumer = consumers::restored(&name, archived, &self.config, store, place)
                .map_err(|why| format!("failed to add consumer {name:?}: {why}"))?;
            restored.push(consumer);
        }
        let empty = StreamStore::in_memory(self.host.config.storage.store);
        let filled = std::mem::replace(
            &mut self.intake,
            Intake::new(Arc::clone(&self.host.seams.disk), empty),
        );
        let (config, created) = (self.config.clone(), self.created);
        let stream = Stream::imported(
            self.id,
            config,
            created,
            filled.into_store(),
            restored,
            ENTRY,
        );
        let actor = self.host.adopt(stream, turn)?;
        if self.config.storage == Storage::File {
            let account = self.host.registry.account().name();
            let folder = self.host.paths.stream(account, &self.config.name);
            // One that stays does no harm: the stream exists.
            let _stays = self.host.seams.disk.remove_file(&folder.join(MARKER));
        }
        let (name, advisories) = (&self.config.name, &self.host.advisories);
        advisories.tell_stream_acted(name, StreamAction::Create, turn);
        let info = actor.with(turn, |stream, now, _| {
            stream.info(now, &StreamInfoRequest::default())
        });
        info.ok_or_else(|| "the stream was deleted".to_owned())
    }

    /// Removes everything of the stream.
    pub(super) fn abandon(&mut self) {
        if self.config.storage == Storage::Memory {
            return;
        }
        let account = self.host.registry.account().name();
        let (disk, paths) = (&*self.host.seams.disk, &self.host.paths);
        if self.host.registry.find(&self.config.name).is_some() {
            // It is not this one, and the folder is its folder.
            return;
        }
        if let Err(fault) = remove_marked_folder(disk, paths, account, &self.config.name) {
            let text = format!("the remains of a restore are left to the next start: {fault}");
            self.host.seams.report.report(Level::Warn, &text);
        }
    }
}

fn create_on_disk(host: &Host, id: StreamId, name: &str) -> Result<StreamStore, Fault> {
    let account = host.registry.account().name();
    let (disk, paths) = (&host.seams.disk, &host.paths);
    make_marked_folder(&**disk, &paths.stream(account, name))?;
    new_store(disk, paths, &host.config.storage, id, account, name)
}

/// A backup must not take more than the server may hold.
fn check_room(host: &Host, storage: Storage, bytes: u64) -> Result<(), String> {
    let (limits, usage) = (host.usage.limits(), &host.usage);
    let (held, most, error) = match storage {
        Storage::File => (
            usage.file_bytes(),
            limits.file_bytes_max,
            ErrorCode::StorageResourcesExceeded,
        ),
        Storage::Memory => (
            usage.memory_bytes(),
            limits.memory_bytes_max,
            ErrorCode::MemoryResourcesExceeded,
        ),
    };
    if held.saturating_add(bytes) > most {
        return Err(describe(&error.error()));
    }
    Ok(())
}

/// Removes what restores left that a crash has interrupted.
pub(crate) fn remove_remains(host: &Host) {
    let (disk, paths) = (&*host.seams.disk, &host.paths);
    let own = host.registry.account().name();
    for (account, name) in stream_folders(disk, paths) {
        let registry = &host.registry;
        let is_known = registry.find(&name).is_some() || registry.offline(&name).is_some();
        if account != own || is_known {
            continue;
        }
        let entries = disk
            .list(&paths.stream(&account, &name))
            .unwrap_or_default();
        // A crash may come before the mark has its name.
        if !entries.iter().any(|entry| entry.name.starts_with(MARKER)) {
            continue;
        }
        let text = match remove_marked_folder(disk, paths, &account, &name) {
            Ok(()) => format!("removed the remains of an interrupted restore of stream {name}"),
            Err(fault) => format!("the remains of a restore stay: {fault}"),
        };
        host.seams.report.report(Level::Warn, &text);
    }
}
