//! Letting go of the pinned client of a consumer.

use everjet_api::{ApiError, ConsumerEvent, ErrorCode, UnpinReason};
use everjet_consumer::is_valid_group;

use crate::machine::Stream;

impl Stream {
    /// Lets go of the client that is pinned in this group; the next one that takes a message is pinned then.
    ///
    /// # Errors
    /// Unknown consumers and groups, impossible names of groups.
    pub fn unpin_consumer(&mut self, name: &str, group: &str) -> Result<(), ApiError> {
        let Self { state, leader, .. } = self;
        if !is_valid_group(group) {
            return Err(ErrorCode::ConsumerInvalidGroupName.error());
        }
        let consumer = state.consumer(name);
        let consumer = consumer.ok_or_else(|| ErrorCode::ConsumerNotFound.error())?;
        if !consumer
            .config
            .priority_groups
            .iter()
            .any(|one| one == group)
        {
            return Err(ErrorCode::ConsumerInvalidPriorityGroup.error());
        }
        if let Some(dispatcher) = leader.dispatcher(consumer.id) {
            dispatcher.unpin();
            leader.mark_ready(consumer.id);
            leader.schedule(consumer.id);
        }
        let event = ConsumerEvent::Unpinned {
            group: group.to_owned(),
            reason: UnpinReason::Admin,
        };
        self.advisories.push(name, event);
        Ok(())
    }
}
