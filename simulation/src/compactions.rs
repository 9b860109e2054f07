//! Segments that are rewritten without what was removed, while other work goes on.

use everjet_store::{Compaction, CompactionError, StreamId};

use crate::Stop;
use crate::world::World;

impl World {
    /// Takes what is worth rewriting, or rewrites what was taken before.
    pub(crate) fn compact(&mut self, id: StreamId) -> Result<(), Stop> {
        if let Some((id, compaction)) = self.compaction.take() {
            return self.rewrite(id, &compaction);
        }
        let actor = self.actors.get_mut(&id);
        let taken = actor.and_then(|actor| actor.stream.store_mut().take_compaction());
        self.compaction = taken.map(|compaction| (id, compaction));
        Ok(())
    }

    /// As the server's compactor: what fails is left alone, as nothing is lost by it.
    fn rewrite(&mut self, id: StreamId, compaction: &Compaction) -> Result<(), Stop> {
        let done = compaction.rewrite(&mut |_| true);
        let Some(actor) = self.actors.get_mut(&id) else {
            return Ok(());
        };
        let store = actor.stream.store_mut();
        match done {
            Ok(done) => {
                store.finish_compaction(done);
            }
            Err(CompactionError::Damaged { file, .. }) => store.keep_damaged(&file),
            Err(CompactionError::Stopped | CompactionError::Fault(_)) => {}
        }
        Ok(())
    }
}
