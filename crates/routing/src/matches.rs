//! Who wants a subject.

use std::ops::Range;
use std::sync::Arc;

use crate::Subscription;

/// The subscriptions that match one subject: all of `plain` get a message, and one of each queue group.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    plain: Vec<Arc<Subscription>>,
    /// Members of queue groups, ordered by the group's name.
    queued: Vec<Arc<Subscription>>,
    /// Where each group's members are in `queued`.
    groups: Vec<Range<usize>>,
}

impl Matches {
    /// Adds a subscription; [`Self::group`] must follow the last one.
    pub(crate) fn push(&mut self, subscription: &Arc<Subscription>) {
        match subscription.queue() {
            None => self.plain.push(subscription.clone()),
            Some(_) => self.queued.push(subscription.clone()),
        }
    }

    /// Finds the queue groups. Members of one name are one group, whichever of their filters matched.
    pub(crate) fn group(&mut self) {
        if self.queued.is_empty() {
            return;
        }
        self.queued
            .sort_by(|one, other| one.queue().cmp(&other.queue()));
        self.groups.clear();
        let mut start = 0;
        for members in self
            .queued
            .chunk_by(|one, other| one.queue() == other.queue())
        {
            self.groups.push(start..start + members.len());
            start += members.len();
        }
    }

    /// Forgets all, keeping the memory.
    pub(crate) fn clear(&mut self) {
        self.plain.clear();
        self.queued.clear();
        self.groups.clear();
    }

    /// Number of subscriptions, members of queue groups included.
    pub(crate) fn len(&self) -> usize {
        self.plain.len() + self.queued.len()
    }

    /// The subscriptions that each get the message.
    pub(crate) fn plain(&self) -> &[Arc<Subscription>] {
        &self.plain
    }

    /// The members of each queue group; none is empty.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &[Arc<Subscription>]> {
        self.groups.iter().map(|range| &self.queued[range.clone()])
    }
}
