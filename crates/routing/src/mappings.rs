//! The subject mappings of an account.

use std::fmt;

use everjet_subject::{FilterTree, MappingChoices, SubjectMapping, tokens};
use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Where messages that clients publish in an account go instead of their subject. The first mapping whose source matches
/// counts, in the order in which they were given; what it makes of the subject is not mapped again.
pub struct Mappings {
    list: Vec<Mapping>,
    /// Positions in the list.
    tree: FilterTree<usize>,
}

struct Mapping {
    mapping: SubjectMapping,
    /// Those of its destinations that this server uses.
    choices: MappingChoices,
}

impl Mappings {
    /// The mappings as a server of this cluster applies them. Of several with the same source the last counts, in the place
    /// of the first.
    #[must_use]
    pub fn new(mappings: Vec<SubjectMapping>, cluster: Option<&str>) -> Self {
        let mut list: Vec<Mapping> = Vec::new();
        let mut positions: HashMap<Box<[u8]>, usize, RandomState> = HashMap::default();
        let mut tree = FilterTree::new();
        for mapping in mappings {
            let choices = mapping.choices(cluster).clone();
            let source: Box<[u8]> = mapping.source().into();
            let entry = Mapping { mapping, choices };
            if let Some(position) = positions.get(&source) {
                list[*position] = entry;
            } else {
                tree.insert(&source, list.len());
                positions.insert(source, list.len());
                list.push(entry);
            }
        }
        Self { list, tree }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The position of the mapping that counts for a subject.
    pub(crate) fn find(&self, subject: &[u8]) -> Option<usize> {
        let applies = |position: usize| self.list[position].mapping.applies_to(subject);
        if tokens(subject).any(<[u8]>::is_empty) {
            // To the tree such a subject matches nothing, but `>` of a mapping takes it.
            return (0..self.list.len()).find(|position| applies(*position));
        }
        let mut first = None;
        self.tree.for_each_match(subject, |position| {
            if first.is_none_or(|first| *position < first) && applies(*position) {
                first = Some(*position);
            }
        });
        first
    }

    /// The destinations of the mapping at a position.
    pub(crate) fn choices(&self, position: usize) -> &MappingChoices {
        &self.list[position].choices
    }
}

impl fmt::Debug for Mappings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mappings = self.list.iter().map(|entry| &entry.mapping);
        f.debug_list().entries(mappings).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_matches_counts() {
        let sources = ["a.*", "a.b", "*.b", "x.>", ">"];
        let mappings = sources.map(|source| {
            let destination = if source.ends_with('>') { "z.>" } else { "z" };
            SubjectMapping::to(source, destination).expect("a valid mapping")
        });
        let mappings = Mappings::new(mappings.to_vec(), None);
        for (subject, expected) in [
            ("a.b", Some(0)),
            ("c.b", Some(2)),
            ("x.y", Some(3)),
            ("x.y..z", Some(3)),
            ("x.", Some(3)),
            ("x", Some(4)),
            ("a..b", Some(4)),
            // A token `>` of a subject is no token for `*`.
            ("a.>", Some(4)),
        ] {
            assert_eq!(mappings.find(subject.as_bytes()), expected, "{subject}");
        }
        let few = Mappings::new(vec![SubjectMapping::to("a.*", "z").expect("valid")], None);
        assert_eq!(few.find(b"b.a"), None);
        assert_eq!(few.find(b"a."), None);
    }

    #[test]
    fn the_last_of_one_source_counts_in_the_place_of_the_first() {
        let mappings = [("a", "x"), ("*", "y"), ("a", "z")]
            .map(|(from, to)| SubjectMapping::to(from, to).expect("a valid mapping"));
        let mappings = Mappings::new(mappings.to_vec(), None);
        let position = mappings.find(b"a").expect("it is mapped");
        let only = mappings.choices(position).only().expect("one destination");
        assert_eq!(only.destination(), b"z");
    }
}
