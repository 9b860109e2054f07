//! Many filters, match one subject.

use std::hash::{BuildHasher, Hasher};
use std::ops::ControlFlow;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::filter::{is_well_formed, split_token};

/// A set of filters, each with any number of values, that finds all values whose filter matches a subject.
///
/// A trie by token. Its nodes live in one vector and refer to each other by position, and one hash table leads from
/// (node, token) to the child, so an inbox costs a node and not a map, and neither walking nor dropping a filter of
/// thousands of tokens recurses. Values of one filter, and filters of one subject, are visited in no particular order.
///
/// Filters are expected to be valid ([`crate::is_valid_filter`]). An invalid one does no harm: a `>` that is not last
/// is an ordinary token, and a filter with an empty token never matches.
#[derive(Clone, Debug)]
pub struct FilterTree<T> {
    nodes: Vec<Node<T>>,
    /// Positions in `nodes` that are unused.
    free: Vec<u32>,
    /// Literal children of all nodes, found by the hash of parent and token.
    literals: HashTable<u32>,
    hasher: RandomState,
    values: usize,
}

impl<T> FilterTree<T> {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self {
            nodes: vec![Node::new(NONE, Step::Any)],
            free: Vec::new(),
            literals: HashTable::new(),
            hasher: RandomState::default(),
            values: 0,
        }
    }

    /// Adds a value under `filter`; the same filter may hold several, equal ones included.
    ///
    /// # Panics
    /// With more than 4 billion tokens in all filters together.
    pub fn insert(&mut self, filter: &[u8], value: T) {
        let mut node = ROOT;
        let mut rest = Some(filter);
        while let Some(remaining) = rest {
            let (step, after) = next_step(remaining);
            node = match self.child(node, step) {
                Some(child) => child,
                None => self.add_child(node, step),
            };
            rest = after;
        }
        self.node_mut(node).values.push(value);
        self.values += 1;
    }

    /// Takes out one value under exactly this `filter` that satisfies the predicate, and the nodes nobody needs any
    /// more. Costs a step per token and per value of the filter up to the one found.
    pub fn remove(&mut self, filter: &[u8], predicate: impl FnMut(&T) -> bool) -> Option<T> {
        let node = self.find(filter)?;
        let values = &mut self.node_mut(node).values;
        let position = values.iter().position(predicate)?;
        let value = values.swap_remove(position);
        self.values -= 1;
        self.prune(node);
        Some(value)
    }

    /// Takes out all values under exactly this `filter` that satisfy the predicate, and the nodes nobody needs any more;
    /// returns how many those were. Costs a step per token and per value of the filter, however many go.
    pub fn remove_all(&mut self, filter: &[u8], mut predicate: impl FnMut(&T) -> bool) -> usize {
        let Some(node) = self.find(filter) else {
            return 0;
        };
        let values = &mut self.node_mut(node).values;
        let before = values.len();
        values.retain(|value| !predicate(value));
        let removed = before - values.len();
        self.values -= removed;
        self.prune(node);
        removed
    }

    /// Calls `visit` with every value whose filter matches `subject`, by the rules of [`crate::matches`].
    pub fn for_each_match<'a>(&'a self, subject: &[u8], mut visit: impl FnMut(&'a T)) {
        // Never broken, so the outcome says nothing.
        let _ = self.walk(subject, |values| {
            values.iter().for_each(&mut visit);
            ControlFlow::Continue(())
        });
    }

    /// Whether any filter matches `subject`.
    #[must_use]
    pub fn has_match(&self, subject: &[u8]) -> bool {
        let found = self.walk(subject, |values| match values {
            [] => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        });
        found.is_break()
    }

    /// How many values the tree holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values
    }

    /// Whether the tree holds no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values == 0
    }

    /// Visits the values of every filter that matches, filter by filter, until the visitor breaks.
    ///
    /// Follows one path and keeps the `*` branches it passed; each node is reached by one path only, so the work is
    /// bounded by the number of nodes whatever the filters look like.
    fn walk<'a>(
        &'a self,
        subject: &[u8],
        mut visit: impl FnMut(&'a [T]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if self.values == 0 || !is_well_formed(subject) {
            return ControlFlow::Continue(());
        }
        let mut branches = Branches::new();
        let mut next = Some((ROOT, Some(subject)));
        while let Some((position, rest)) = next {
            let node = self.node(position);
            let Some(rest) = rest else {
                visit(&node.values)?;
                next = branches.pop();
                continue;
            };
            if node.tail != NONE {
                visit(&self.node(node.tail).values)?;
            }
            let (token, after) = split_token(rest);
            let any = (node.any != NONE).then_some((node.any, after));
            next = match (self.literal(position, token), any) {
                (Some(literal), Some(any)) => {
                    branches.push(any);
                    Some((literal, after))
                }
                (Some(literal), None) => Some((literal, after)),
                (None, Some(any)) => Some(any),
                (None, None) => branches.pop(),
            };
        }
        ControlFlow::Continue(())
    }

    /// The node of exactly this filter.
    fn find(&self, filter: &[u8]) -> Option<u32> {
        let mut node = ROOT;
        let mut rest = Some(filter);
        while let Some(remaining) = rest {
            let (step, after) = next_step(remaining);
            node = self.child(node, step)?;
            rest = after;
        }
        Some(node)
    }

    fn child(&self, parent: u32, step: Step<&[u8]>) -> Option<u32> {
        let child = match step {
            Step::Literal(token) => return self.literal(parent, token),
            Step::Any => self.node(parent).any,
            Step::Tail => self.node(parent).tail,
        };
        (child != NONE).then_some(child)
    }

    fn literal(&self, parent: u32, token: &[u8]) -> Option<u32> {
        if self.node(parent).literals == 0 {
            return None;
        }
        self.literals
            .find(self.hash(parent, token), |child| {
                self.node(*child).is_literal(parent, token)
            })
            .copied()
    }

    fn add_child(&mut self, parent: u32, step: Step<&[u8]>) -> u32 {
        let node = Node::new(parent, step.map(Box::from));
        let child = match self.free.pop() {
            Some(position) => {
                *self.node_mut(position) = node;
                position
            }
            None => {
                let position = u32::try_from(self.nodes.len())
                    .ok()
                    .filter(|position| *position != NONE)
                    .expect("fewer than 4 billion nodes");
                self.nodes.push(node);
                position
            }
        };
        match step {
            Step::Any => self.node_mut(parent).any = child,
            Step::Tail => self.node_mut(parent).tail = child,
            Step::Literal(token) => {
                self.node_mut(parent).literals += 1;
                let hash = self.hash(parent, token);
                let (nodes, hasher) = (&self.nodes, &self.hasher);
                self.literals
                    .insert_unique(hash, child, |child| nodes[*child as usize].hash(hasher));
            }
        }
        child
    }

    /// Takes out `node` and its ancestors as far as they hold nothing.
    fn prune(&mut self, mut position: u32) {
        while position != ROOT && self.node(position).is_bare() {
            let vacant = Node::new(NONE, Step::Any);
            let node = std::mem::replace(self.node_mut(position), vacant);
            let parent = self.node_mut(node.parent);
            match &node.step {
                Step::Any => parent.any = NONE,
                Step::Tail => parent.tail = NONE,
                Step::Literal(_) => {
                    parent.literals -= 1;
                    let hash = node.hash(&self.hasher);
                    self.literals
                        .find_entry(hash, |child| *child == position)
                        .expect("a literal child is in the table until it is pruned")
                        .remove();
                }
            }
            self.free.push(position);
            position = node.parent;
        }
    }

    fn hash(&self, parent: u32, token: &[u8]) -> u64 {
        hash_edge(&self.hasher, parent, token)
    }

    /// Positions come from this tree only, and a node is reused only when nothing refers to it.
    fn node(&self, position: u32) -> &Node<T> {
        &self.nodes[position as usize]
    }

    fn node_mut(&mut self, position: u32) -> &mut Node<T> {
        &mut self.nodes[position as usize]
    }
}

impl<T> Default for FilterTree<T> {
    fn default() -> Self {
        Self::new()
    }
}

pub(crate) const ROOT: u32 = 0;
/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// What leads from a node to a child: a token of a filter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<B> {
    Literal(B),
    /// `*`
    Any,
    /// `>` at the end
    Tail,
}

impl<B> Step<B> {
    pub(crate) fn map<C>(self, convert: impl FnOnce(B) -> C) -> Step<C> {
        match self {
            Self::Literal(token) => Step::Literal(convert(token)),
            Self::Any => Step::Any,
            Self::Tail => Step::Tail,
        }
    }
}

pub(crate) fn next_step(rest: &[u8]) -> (Step<&[u8]>, Option<&[u8]>) {
    match split_token(rest) {
        (b"*", after) => (Step::Any, after),
        (b">", None) => (Step::Tail, None),
        (token, after) => (Step::Literal(token), after),
    }
}

#[derive(Clone, Debug)]
struct Node<T> {
    values: Vec<T>,
    step: Step<Box<[u8]>>,
    parent: u32,
    any: u32,
    tail: u32,
    /// How many children the hash table holds for this node: most have none and need no look-up.
    literals: u32,
}

impl<T> Node<T> {
    fn new(parent: u32, step: Step<Box<[u8]>>) -> Self {
        Self {
            values: Vec::new(),
            step,
            parent,
            any: NONE,
            tail: NONE,
            literals: 0,
        }
    }

    fn is_bare(&self) -> bool {
        self.values.is_empty() && self.any == NONE && self.tail == NONE && self.literals == 0
    }

    fn is_literal(&self, parent: u32, token: &[u8]) -> bool {
        self.parent == parent && matches!(&self.step, Step::Literal(own) if **own == *token)
    }

    fn hash(&self, hasher: &RandomState) -> u64 {
        match &self.step {
            Step::Literal(token) => hash_edge(hasher, self.parent, token),
            Step::Any | Step::Tail => unreachable!("only literal children are hashed"),
        }
    }
}

pub(crate) fn hash_edge(hasher: &RandomState, parent: u32, token: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write_u32(parent);
    state.write(token);
    state.finish()
}

/// Branches of a walk that are still to be followed. The first few need no allocation, and more than a few are rare:
/// there is one for each level at which a literal and a `*` both lead on.
struct Branches<'s> {
    few: [Branch<'s>; 8],
    len: usize,
    more: Vec<Branch<'s>>,
}

/// A node, and the tokens of the subject that are left below it.
type Branch<'s> = (u32, Option<&'s [u8]>);

impl<'s> Branches<'s> {
    fn new() -> Self {
        Self {
            few: [(NONE, None); 8],
            len: 0,
            more: Vec::new(),
        }
    }

    fn push(&mut self, branch: Branch<'s>) {
        match self.few.get_mut(self.len) {
            Some(slot) => {
                *slot = branch;
                self.len += 1;
            }
            None => self.more.push(branch),
        }
    }

    fn pop(&mut self) -> Option<Branch<'s>> {
        if let Some(branch) = self.more.pop() {
            return Some(branch);
        }
        self.len = self.len.checked_sub(1)?;
        self.few.get(self.len).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_filters_leave_no_nodes_behind() {
        let mut tree = FilterTree::new();
        let filters: [&[u8]; 6] = [b"a", b"a.b.c", b"a.*.c", b"a.b.>", b"*.*", b">"];
        for round in 0..3 {
            for filter in filters {
                tree.insert(filter, round);
            }
            assert_eq!(tree.nodes.len() - tree.free.len(), 10);
            for filter in filters {
                assert_eq!(tree.remove(filter, |_| true), Some(round));
            }
            assert_eq!(
                tree.nodes.len() - tree.free.len(),
                1,
                "only the root is left"
            );
            assert_eq!(tree.nodes.len(), 10, "positions are used again");
            assert!(tree.literals.is_empty() && tree.is_empty());
        }
    }

    #[test]
    fn what_is_removed_at_once_leaves_no_nodes_behind() {
        let mut tree = FilterTree::new();
        for value in 0..10 {
            tree.insert(b"a.b", value);
        }
        tree.insert(b"a", 3);
        assert_eq!(tree.remove_all(b"a.b", |value| value % 2 == 0), 5);
        assert_eq!(tree.remove_all(b"a.b", |value| value % 2 == 0), 0);
        assert_eq!(tree.remove_all(b"a.*", |_| true), 0);
        assert_eq!(tree.len(), 6);
        assert_eq!(tree.remove_all(b"a.b", |_| true), 5);
        assert_eq!(tree.nodes.len() - tree.free.len(), 2, "the root and a");
        assert_eq!(tree.remove_all(b"a", |_| true), 1);
        assert!(tree.literals.is_empty() && tree.is_empty());
    }

    #[test]
    fn a_filter_inside_another_is_not_removed_with_it() {
        let mut tree = FilterTree::new();
        tree.insert(b"a", 1);
        tree.insert(b"a.b", 2);
        assert_eq!(tree.remove(b"a.*", |_| true), None);
        assert_eq!(tree.remove(b"a.b", |_| true), Some(2));
        assert!(tree.has_match(b"a") && !tree.has_match(b"a.b"));
        tree.insert(b"a.b", 3);
        assert_eq!(tree.remove(b"a", |_| true), Some(1));
        assert!(tree.has_match(b"a.b") && !tree.has_match(b"a"));
    }
}
