//! Streams that come, change and go.

use std::path::Path;
use std::sync::Arc;

use everjet_api::{Compression, Retention, Storage, StreamConfig};
use everjet_jetstream::{Paths, record_stream_created, record_stream_deleted};
use everjet_store::{JournalBatch, StreamId, StreamStore};
use everjet_stream::{Output, ServerLimits, Stream, normalise_config, normalise_update};

use crate::Stop;
use crate::model::Model;
use crate::world::{ACCOUNT, Actor, World};

impl World {
    /// Creates a stream as the server does: the folder, then the record. Whether it exists after a cut in between is open.
    pub(crate) fn create_stream(&mut self) -> Result<(), Stop> {
        self.disk.set_capacity(None);
        self.finish_checkpoint()?;
        let is_taken = |name: &String| {
            let mut streams = self.actors.values().map(|actor| &actor.stream);
            streams.any(|stream| stream.config().name == *name)
                || self.offline.iter().any(|offline| offline.name == *name)
        };
        let name = (0..)
            .map(|number| format!("S{number}"))
            .find(|name| !is_taken(name));
        let name = name.expect("there are more numbers than streams");
        let wanted = self.options.stream_config(&name);
        let config = normalise_config(wanted, false, &ServerLimits::default())
            .expect("a plain configuration");
        let id = StreamId(self.next_id);
        self.next_id += 1;
        if config.storage == Storage::Memory {
            let store = StreamStore::in_memory(self.options.storage().store);
            self.ledgers.entry(name).or_default().volatile = true;
            return self.serve(id, config, store);
        }
        let mut record = JournalBatch::default();
        record_stream_created(&mut record, id, ACCOUNT, self.now, &config);
        // The ledger knows the stream from now on: whether it exists after a cut is open until the record is durable.
        self.ledgers.entry(name.clone()).or_default().in_blocks =
            self.options.is_sealed() || config.compression != Compression::None;
        self.batch.append(&mut record);
        let folder = self.folder(&name);
        self.disk
            .shared()
            .create_dir_all(&folder)
            .map_err(|_| Stop::Crashed)?;
        self.commit_now()?;
        let store = StreamStore::on_disk(
            Arc::clone(&self.store_disk),
            folder,
            id,
            &name,
            self.options.storage().store,
        );
        self.serve(id, config, store)
    }

    fn serve(
        &mut self,
        id: StreamId,
        config: StreamConfig,
        store: StreamStore,
    ) -> Result<(), Stop> {
        let mut stream = Stream::create(id, config, self.now, store);
        stream.lead(self.now);
        let actor = Actor {
            model: Model::of(stream.config(), stream.store()),
            stream,
            deliveries: Vec::new(),
        };
        self.actors.insert(id, actor);
        let acks_remove = self.options.retention != Retention::Limits;
        let ledger = self.ledger(id);
        ledger.created = true;
        ledger.acks_remove = acks_remove;
        self.remember_state(id)?;
        if self.below(2) == 0 {
            self.create_consumer(id)?;
        }
        Ok(())
    }

    /// Deletes a stream as the server does: the record, then the folder. Whether it exists after a cut in between is open.
    pub(crate) fn delete_stream(&mut self, id: StreamId) -> Result<(), Stop> {
        self.disk.set_capacity(None);
        self.finish_checkpoint()?;
        self.compaction = None;
        let Some(actor) = self.actors.remove(&id) else {
            return Ok(());
        };
        let name = actor.stream.config().name.clone();
        self.stuck.remove(&id);
        if actor.stream.config().storage == Storage::Memory {
            self.ledgers.remove(&name);
            return Ok(());
        }
        self.ledgers.entry(name.clone()).or_default().deleting = true;
        let mut record = JournalBatch::default();
        record_stream_deleted(&mut record, id);
        self.batch.append(&mut record);
        self.commit_now()?;
        // Acknowledged: a stream of this name is another one from now on.
        self.ledgers.remove(&name);
        self.checkpointer.forget(id);
        let folder = self.folder(&name);
        let disk = self.disk.shared();
        if let Err(error) = disk.remove_dir_all(&folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(Stop::Crashed);
        }
        let streams = folder.parent().expect("a stream's folder has one above it");
        disk.sync_dir(streams).map_err(|_| Stop::Crashed)
    }

    /// Changes the limits.
    pub(crate) fn update_stream(&mut self, id: StreamId) -> Result<(), Stop> {
        let (now, mut output) = (self.now, Output::new());
        let max_msgs = [-1, 8, 25][self.below(3)];
        let max_msgs_per_subject = [-1, 4][self.below(2)];
        let Some(actor) = self.actors.get_mut(&id) else {
            return Ok(());
        };
        let mut config = actor.stream.config().clone();
        config.max_msgs = max_msgs;
        config.max_msgs_per_subject = max_msgs_per_subject;
        let config = normalise_update(config, false, &ServerLimits::default())
            .expect("only limits were changed");
        let limited = actor.model.limit(&config);
        actor
            .stream
            .update(now, config, &mut output)
            .expect("limits can be changed");
        self.ledger(id).maybe_removed.extend(&limited);
        let reply = self.promise_removal(limited);
        output.effects.respond(&reply, Vec::new());
        self.take(id, &mut output)
    }

    fn folder(&self, name: &str) -> std::path::PathBuf {
        Paths::new(Path::new(crate::world::STORE_DIR)).stream(ACCOUNT, name)
    }
}
