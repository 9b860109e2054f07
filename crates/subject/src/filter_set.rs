//! Many filters, find one that collides with a filter.

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::tree::{NONE, ROOT, Step, hash_edge, next_step};

/// A set of filters that finds one of them that collides with another filter, in the sense of [`crate::collides`].
///
/// A trie by token. Looking follows only the nodes that agree with the filter so far: for a filter without wildcards its
/// own tokens and the `*` beside them. A `*` in the filter, unless it is last, follows all tokens at its place that have
/// tokens after them: only a set with very many of these and very many such filters takes the product of both.
/// Filters are only added. Nothing recurses, so a filter may have thousands of tokens.
#[derive(Clone, Debug)]
pub struct FilterSet {
    nodes: Vec<Node>,
    /// Literal children of all nodes, found by the hash of parent and token.
    literals: HashTable<u32>,
    hasher: RandomState,
}

impl FilterSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self {
            nodes: vec![Node::new(NONE, Step::Any)],
            literals: HashTable::new(),
            hasher: RandomState::default(),
        }
    }

    /// Adds `filter`, whether or not it collides with a filter that is there already.
    ///
    /// # Errors
    /// A filter of the set that it collides with, which may be equal to it.
    ///
    /// # Panics
    /// With more than 4 billion tokens in all filters together.
    pub fn insert(&mut self, filter: &[u8]) -> Result<(), Vec<u8>> {
        let collision = self.collides(filter);
        self.add(filter);
        collision.map_or(Ok(()), Err)
    }

    /// A filter of the set that collides with `filter`, if there is one; which one of several is not specified.
    #[must_use]
    pub fn collides(&self, filter: &[u8]) -> Option<Vec<u8>> {
        self.find_collision(filter).map(|end| self.filter_at(end))
    }

    fn add(&mut self, filter: &[u8]) {
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
        let end = self.node_mut(node);
        end.is_end = true;
        if let (parent, Step::Literal(_)) = (end.parent, &end.step) {
            self.node_mut(parent).end_literal = node;
        }
    }

    fn add_child(&mut self, parent: u32, step: Step<&[u8]>) -> u32 {
        let child = u32::try_from(self.nodes.len())
            .ok()
            .filter(|position| *position != NONE)
            .expect("fewer than 4 billion nodes");
        if self.node(parent).any_child().is_none() {
            self.become_inner(parent);
        }
        self.nodes.push(Node::new(parent, step.map(Box::from)));
        match step {
            Step::Any => self.node_mut(parent).any = child,
            Step::Tail => self.node_mut(parent).tail = child,
            Step::Literal(token) => {
                let hash = hash_edge(&self.hasher, parent, token);
                let (nodes, hasher) = (&self.nodes, &self.hasher);
                self.literals
                    .insert_unique(hash, child, |child| nodes[*child as usize].hash(hasher));
            }
        }
        child
    }

    /// Puts a node that gets its first child among the inner children of its parent.
    fn become_inner(&mut self, position: u32) {
        let node = self.node(position);
        if let (parent, Step::Literal(_)) = (node.parent, &node.step) {
            let first = &mut self.node_mut(parent).first_inner;
            let next = std::mem::replace(first, position);
            self.node_mut(position).next_inner = next;
        }
    }

    /// The last node of a filter that collides with `filter`.
    fn find_collision(&self, filter: &[u8]) -> Option<u32> {
        let mut branches = vec![Branch::to(ROOT, Some(filter))];
        while let Some(branch) = branches.pop() {
            let node = self.node(branch.node);
            if branch.has_siblings && node.next_inner != NONE {
                branches.push(Branch {
                    node: node.next_inner,
                    ..branch
                });
            }
            let Some(rest) = branch.rest else {
                if node.is_end {
                    return Some(branch.node);
                }
                continue;
            };
            if node.tail != NONE {
                return Some(node.tail);
            }
            let (step, after) = next_step(rest);
            match step {
                Step::Tail => match self.end_below(branch.node) {
                    None => continue,
                    end => return end,
                },
                Step::Any if after.is_none() => {
                    if node.end_literal != NONE {
                        return Some(node.end_literal);
                    }
                }
                Step::Any => {
                    if node.first_inner != NONE {
                        branches.push(Branch {
                            has_siblings: true,
                            ..Branch::to(node.first_inner, after)
                        });
                    }
                }
                Step::Literal(token) => {
                    let literal = self.literal(branch.node, token);
                    branches.extend(literal.map(|literal| Branch::to(literal, after)));
                }
            }
            if node.any != NONE {
                branches.push(Branch::to(node.any, after));
            }
        }
        None
    }

    /// The last node of a filter that begins with the tokens of this node and has more. Each node without children is
    /// the end of a filter, so there is one below each node with children.
    fn end_below(&self, node: u32) -> Option<u32> {
        let mut end = self.node(node).any_child()?;
        while !self.node(end).is_end {
            end = self.node(end).any_child()?;
        }
        Some(end)
    }

    /// The filter whose last node this is.
    fn filter_at(&self, end: u32) -> Vec<u8> {
        let mut reversed: Vec<&[u8]> = Vec::new();
        let mut position = end;
        while position != ROOT {
            let node = self.node(position);
            reversed.push(match &node.step {
                Step::Literal(token) => token,
                Step::Any => b"*",
                Step::Tail => b">",
            });
            position = node.parent;
        }
        reversed.reverse();
        reversed.join(&b'.')
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
        if !self.node(parent).has_literals() {
            return None;
        }
        self.literals
            .find(hash_edge(&self.hasher, parent, token), |child| {
                self.node(*child).is_literal(parent, token)
            })
            .copied()
    }

    /// Positions come from this set only, and nodes are never taken out.
    fn node(&self, position: u32) -> &Node {
        &self.nodes[position as usize]
    }

    fn node_mut(&mut self, position: u32) -> &mut Node {
        &mut self.nodes[position as usize]
    }
}

impl Default for FilterSet {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> FromIterator<&'a [u8]> for FilterSet {
    /// The set of these filters, whether or not some of them collide.
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(filters: I) -> Self {
        let mut set = Self::new();
        for filter in filters {
            set.add(filter);
        }
        set
    }
}

#[derive(Clone, Debug)]
struct Node {
    step: Step<Box<[u8]>>,
    parent: u32,
    any: u32,
    tail: u32,
    /// A literal child at which a filter ends.
    end_literal: u32,
    /// One of the literal children that have children; the others follow from there by `next_inner`.
    first_inner: u32,
    next_inner: u32,
    /// Whether a filter ends here.
    is_end: bool,
}

impl Node {
    fn new(parent: u32, step: Step<Box<[u8]>>) -> Self {
        Self {
            step,
            parent,
            any: NONE,
            tail: NONE,
            end_literal: NONE,
            first_inner: NONE,
            next_inner: NONE,
            is_end: false,
        }
    }

    fn any_child(&self) -> Option<u32> {
        let children = [self.tail, self.any, self.end_literal, self.first_inner];
        children.into_iter().find(|child| *child != NONE)
    }

    /// Each literal child is the end of a filter or has children.
    fn has_literals(&self) -> bool {
        self.end_literal != NONE || self.first_inner != NONE
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

/// A node that is still to be looked at.
struct Branch<'f> {
    node: u32,
    /// The tokens of the filter that are left below the node.
    rest: Option<&'f [u8]>,
    /// Whether the inner children of the same parent that follow the node are to be looked at as well.
    has_siblings: bool,
}

impl<'f> Branch<'f> {
    fn to(node: u32, rest: Option<&'f [u8]>) -> Self {
        Self {
            node,
            rest,
            has_siblings: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(filters: &[&str]) -> FilterSet {
        filters.iter().map(|filter| filter.as_bytes()).collect()
    }

    #[test]
    fn a_collision_names_a_filter_of_the_set() {
        for (filters, filter, expected) in [
            (&["a.b", "c"][..], "a.b", Some("a.b")),
            (&["a.b", "c"], "a", None),
            (&["a.b", "c"], "a.b.c", None),
            (&["a.b", "c"], "a.*", Some("a.b")),
            (&["a.b", "c"], "*", Some("c")),
            (&["a.b", "c"], "*.c", None),
            (&["a.b", "c"], "a.>", Some("a.b")),
            (&["a.b", "c"], "c.>", None),
            (&["a.b.c"], ">", Some("a.b.c")),
            (&["a.*"], "a.b", Some("a.*")),
            (&["a.*"], "*.b", Some("a.*")),
            (&["a.*.c"], "a.b.*", Some("a.*.c")),
            (&["a.*.c"], "a.b.d", None),
            (&["a.>"], "a", None),
            (&["a.>"], "a.b.c", Some("a.>")),
            (&["a.>"], "*.*.*", Some("a.>")),
            (&[">"], "a", Some(">")),
            (&[], ">", None),
        ] {
            let found = set(filters).collides(filter.as_bytes());
            assert_eq!(
                found.as_deref(),
                expected.map(str::as_bytes),
                "{filter} in {filters:?}"
            );
        }
    }

    #[test]
    fn a_filter_that_collides_is_added_all_the_same() {
        let mut set = FilterSet::new();
        assert_eq!(set.insert(b"a.b"), Ok(()));
        assert_eq!(set.insert(b"a.*"), Err(b"a.b".to_vec()));
        assert_eq!(set.collides(b"a.c"), Some(b"a.*".to_vec()));
    }

    #[test]
    fn a_filter_of_very_many_tokens_is_no_danger() {
        let deep = vec!["a"; 200_000].join(".");
        let stars = vec!["*"; 200_000].join(".");
        let mut set = FilterSet::new();
        assert_eq!(set.insert(deep.as_bytes()), Ok(()));
        assert_eq!(set.insert(stars.as_bytes()), Err(deep.into_bytes()));
        assert!(set.collides(b">").is_some());
    }
}
