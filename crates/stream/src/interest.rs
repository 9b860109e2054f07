//! Which consumers a message of a stream with interest retention is for.
//!
//! Nothing of it survives: it is what the consumers' filters and states say, arranged so that a publish and an acknowledgement
//! do not ask all of them. What follows from it (a message that is not stored, messages that go) is part of the command.

use std::collections::HashMap;

use everjet_consumer::{Consumer, ConsumerId};
use everjet_subject::{FilterTree, SubjectId};
use everjet_values::StreamSequence;

use crate::state::StreamState;

/// Subjects whose group is not known yet.
const UNKNOWN: u32 = 0;

/// The consumers of a stream by what they filter, for interest retention only.
#[derive(Debug, Default)]
pub(crate) struct Interest {
    tree: Option<FilterTree<ConsumerId>>,
    /// Consumers that share subjects, each group once.
    groups: Vec<Group>,
    by_members: HashMap<Vec<ConsumerId>, u32>,
    /// Position in `groups`, and 1, of the group that a subject's messages are for; [`UNKNOWN`] until somebody asks.
    of_subject: Vec<u32>,
}

#[derive(Debug)]
struct Group {
    members: Vec<ConsumerId>,
    /// Who wanted a message when a member was done with it: most likely the slowest, so it is asked first. Asking all of
    /// them for each acknowledgement of each would cost the square of their number for each message.
    slowest: usize,
}

impl Interest {
    /// Consumers came, went or changed their filters.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether a message with this subject would be for anybody, were it stored as `next`.
    pub(crate) fn wants_as(
        &mut self,
        state: &StreamState,
        subject: &[u8],
        next: StreamSequence,
    ) -> bool {
        let mut wanted = false;
        self.tree(state).for_each_match(subject, |id| {
            let consumer = state.consumers.get(id);
            wanted |= consumer.is_some_and(|consumer| consumer.state.wants(next));
        });
        wanted
    }

    /// Whether anybody still wants a stored message.
    pub(crate) fn wants(
        &mut self,
        state: &StreamState,
        sequence: StreamSequence,
        subject: SubjectId,
    ) -> bool {
        let position = self.group_of(state, subject);
        let Some(group) = self.groups.get_mut(position) else {
            return false;
        };
        let wants = |at: usize| {
            let consumer = group.members.get(at).and_then(|id| state.consumers.get(id));
            consumer.is_some_and(|consumer| consumer.state.wants(sequence))
        };
        if wants(group.slowest) {
            return true;
        }
        match (0..group.members.len()).find(|at| wants(*at)) {
            Some(at) => {
                group.slowest = at;
                true
            }
            None => false,
        }
    }

    /// Whether messages with this subject are for any consumer.
    pub(crate) fn is_for_anybody(&mut self, state: &StreamState, subject: SubjectId) -> bool {
        let position = self.group_of(state, subject);
        let group = self.groups.get(position);
        group.is_some_and(|group| !group.members.is_empty())
    }

    /// The group of a subject, which is made when it is asked for first.
    fn group_of(&mut self, state: &StreamState, subject: SubjectId) -> usize {
        let at = subject.0 as usize;
        if let Some(&known) = self.of_subject.get(at).filter(|known| **known != UNKNOWN) {
            return known as usize - 1;
        }
        let mut members = Vec::new();
        let name = state.store.subjects().name(subject);
        self.tree(state)
            .for_each_match(name, |id| members.push(*id));
        members.sort_unstable();
        members.dedup();
        let groups = &mut self.groups;
        let number = *self
            .by_members
            .entry(members)
            .or_insert_with_key(|members| {
                groups.push(Group {
                    members: members.clone(),
                    slowest: 0,
                });
                u32::try_from(groups.len()).expect("there are fewer groups than subjects")
            });
        if self.of_subject.len() <= at {
            self.of_subject.resize(at + 1, UNKNOWN);
        }
        if let Some(known) = self.of_subject.get_mut(at) {
            *known = number;
        }
        number as usize - 1
    }

    fn tree(&mut self, state: &StreamState) -> &FilterTree<ConsumerId> {
        self.tree
            .get_or_insert_with(|| tree_of(state.consumers.values()))
    }
}

fn tree_of<'a>(consumers: impl Iterator<Item = &'a Consumer>) -> FilterTree<ConsumerId> {
    let mut tree = FilterTree::new();
    for consumer in consumers {
        let filters = consumer.filters();
        if filters.is_empty() {
            tree.insert(b">", consumer.id);
        }
        for filter in filters {
            tree.insert(filter, consumer.id);
        }
    }
    tree
}
