//! An account mapping: where the messages of a filter go instead, possibly to several places by weight.

use std::fmt;

use crate::transform::{identity_destination, source_takes};
use crate::{SubjectTransform, TransformError, is_valid_filter};

/// The sum of all weights, in percent.
const WEIGHT_MAX: u8 = 100;

/// One destination of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapDestination {
    /// The destination, as for [`SubjectTransform::mapping`].
    pub subject: String,
    /// Its share of the messages in percent.
    pub weight: u8,
    /// The cluster whose servers use it; `None` for all others.
    pub cluster: Option<String>,
}

/// A source filter and its destinations, checked.
///
/// The weights of a cluster's destinations are at most 100 together, and so are those without cluster. What they leave keeps
/// its subject; unless the source itself is among the destinations, in any cluster: then it is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectMapping {
    source: Box<[u8]>,
    /// The destinations of servers of no named cluster.
    general: MappingChoices,
    /// Those of the clusters that are named.
    clusters: Vec<(String, MappingChoices)>,
}

/// The destinations of one mapping for one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappingChoices {
    /// Each with the sum of the weights up to and including its own.
    shares: Vec<(u8, SubjectTransform)>,
}

/// Why a mapping can not be made, in the words of nats-server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappingError {
    /// The source is no valid filter.
    InvalidSource,
    /// A destination is named twice.
    Duplicate(String),
    /// A weight is above 100.
    Weight,
    /// The weights are above 100 together.
    TotalWeight,
    /// A destination does not go with the source.
    Transform(TransformError),
}

impl SubjectMapping {
    /// A mapping of all messages to one destination.
    ///
    /// # Errors
    /// See [`MappingError`].
    pub fn to(source: &str, destination: &str) -> Result<Self, MappingError> {
        let destination = MapDestination {
            subject: destination.to_owned(),
            weight: WEIGHT_MAX,
            cluster: None,
        };
        Self::weighted(source, &[destination])
    }

    /// A mapping to several destinations.
    ///
    /// # Errors
    /// See [`MappingError`].
    pub fn weighted(source: &str, destinations: &[MapDestination]) -> Result<Self, MappingError> {
        if !is_valid_filter(source.as_bytes()) {
            return Err(MappingError::InvalidSource);
        }
        let mut mapping = Self {
            source: source.as_bytes().into(),
            general: MappingChoices::default(),
            clusters: Vec::new(),
        };
        for (index, destination) in destinations.iter().enumerate() {
            let mut earlier = destinations.iter().take(index);
            if earlier.any(|other| other.subject == destination.subject) {
                return Err(MappingError::Duplicate(destination.subject.clone()));
            }
            mapping.add(destination)?;
        }
        if !destinations
            .iter()
            .any(|destination| destination.subject == source)
        {
            mapping.keep_remainder()?;
        }
        Ok(mapping)
    }

    /// The filter whose subjects are mapped.
    #[must_use]
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// Whether it maps the subject, as [`SubjectTransform::apply`] understands it.
    #[must_use]
    pub fn applies_to(&self, subject: &[u8]) -> bool {
        source_takes(&self.source, subject)
    }

    /// The destinations for a server of this cluster.
    #[must_use]
    pub fn choices(&self, cluster: Option<&str>) -> &MappingChoices {
        let named = self
            .clusters
            .iter()
            .find(|(name, _)| Some(name.as_str()) == cluster);
        named.map_or(&self.general, |(_, choices)| choices)
    }

    fn add(&mut self, destination: &MapDestination) -> Result<(), MappingError> {
        let choices = match destination.cluster.as_deref() {
            None | Some("") => &mut self.general,
            Some(cluster) => {
                let known = self.clusters.iter().position(|(name, _)| name == cluster);
                let index = known.unwrap_or_else(|| {
                    self.clusters
                        .push((cluster.to_owned(), MappingChoices::default()));
                    self.clusters.len() - 1
                });
                &mut self.clusters[index].1
            }
        };
        if destination.weight > WEIGHT_MAX {
            return Err(MappingError::Weight);
        }
        let total = choices.total() + destination.weight;
        if total > WEIGHT_MAX {
            return Err(MappingError::TotalWeight);
        }
        let transform = SubjectTransform::mapping(&self.source, destination.subject.as_bytes())
            .map_err(MappingError::Transform)?;
        if destination.weight > 0 {
            choices.shares.push((total, transform));
        }
        Ok(())
    }

    /// Lets what the weights leave keep its subject.
    fn keep_remainder(&mut self) -> Result<(), MappingError> {
        let destination = identity_destination(&self.source);
        let identity = SubjectTransform::mapping(&self.source, &destination)
            .map_err(MappingError::Transform)?;
        let clusters = self.clusters.iter_mut().map(|(_, choices)| choices);
        for choices in clusters.chain([&mut self.general]) {
            if choices.total() < WEIGHT_MAX {
                choices.shares.push((WEIGHT_MAX, identity.clone()));
            }
        }
        Ok(())
    }
}

impl MappingChoices {
    /// Where a message goes. `draw` gives a uniform number below 100, and is not called when there is nothing to choose.
    /// `None` when the message is to be dropped.
    pub fn choose(&self, draw: impl FnOnce() -> u8) -> Option<&SubjectTransform> {
        if let Some(only) = self.only() {
            return Some(only);
        }
        let number = draw();
        let chosen = self.shares.iter().find(|(up_to, _)| number < *up_to);
        chosen.map(|(_, transform)| transform)
    }

    /// The destination of all messages, if there is only one.
    #[must_use]
    pub fn only(&self) -> Option<&SubjectTransform> {
        match &self.shares[..] {
            [(WEIGHT_MAX, only)] => Some(only),
            _ => None,
        }
    }

    fn total(&self) -> u8 {
        self.shares.last().map_or(0, |(up_to, _)| *up_to)
    }
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidSource => f.write_str("invalid subject"),
            Self::Duplicate(subject) => write!(f, "duplicate entry for {subject:?}"),
            Self::Weight => f.write_str("individual weights need to be <= 100"),
            Self::TotalWeight => f.write_str("total weight needs to be <= 100"),
            Self::Transform(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MappingError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(subject: &str, weight: u8, cluster: Option<&str>) -> MapDestination {
        MapDestination {
            subject: subject.to_owned(),
            weight,
            cluster: cluster.map(str::to_owned),
        }
    }

    /// How many of the numbers below 100 lead to each destination, in the order in which they are first met.
    fn shares(choices: &MappingChoices) -> Vec<(String, u8)> {
        let mut shares: Vec<(String, u8)> = Vec::new();
        for number in 0..100 {
            let chosen = choices.choose(|| number);
            let name = chosen.map_or("dropped".into(), |transform| {
                String::from_utf8_lossy(transform.destination())
            });
            match shares.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += 1,
                None => shares.push((name.into_owned(), 1)),
            }
        }
        shares
    }

    #[track_caller]
    fn check(
        source: &str,
        destinations: &[MapDestination],
        cluster: Option<&str>,
        expected: &[(&str, u8)],
    ) {
        let mapping = SubjectMapping::weighted(source, destinations).expect("a valid mapping");
        let expected: Vec<(String, u8)> = expected
            .iter()
            .map(|(name, share)| ((*name).to_owned(), *share))
            .collect();
        assert_eq!(shares(mapping.choices(cluster)), expected);
    }

    #[test]
    fn what_the_weights_leave_keeps_its_subject_unless_the_source_is_named() {
        check(
            "foo",
            &[destination("bar", 30, None)],
            None,
            &[("bar", 30), ("foo", 70)],
        );
        check("foo", &[destination("bar", 0, None)], None, &[("foo", 100)]);
        check("foo", &[], None, &[("foo", 100)]);
        check(
            "foo",
            &[destination("bar", 30, None), destination("foo", 20, None)],
            None,
            &[("bar", 30), ("foo", 20), ("dropped", 50)],
        );
        check(
            "foo",
            &[destination("foo", 0, None)],
            None,
            &[("dropped", 100)],
        );
        check(
            "foo.>",
            &[destination("foo.>", 30, None)],
            None,
            &[("foo.>", 30), ("dropped", 70)],
        );
        // Only the source as it is written stands for itself.
        check(
            "foo.*",
            &[destination("foo.$1", 30, None)],
            None,
            &[("foo.$1", 100)],
        );
        check(
            "foo.*",
            &[
                destination("bar.$1", 50, None),
                destination("baz.$1", 50, None),
            ],
            None,
            &[("bar.$1", 50), ("baz.$1", 50)],
        );
    }

    #[test]
    fn each_cluster_has_its_own_destinations_and_weights() {
        let scoped = [
            destination("x", 60, Some("X")),
            destination("general", 100, None),
            destination("x2", 40, Some("X")),
            destination("y", 70, Some("Y")),
        ];
        check("foo", &scoped, Some("X"), &[("x", 60), ("x2", 40)]);
        check("foo", &scoped, Some("Y"), &[("y", 70), ("foo", 30)]);
        check("foo", &scoped, Some("Z"), &[("general", 100)]);
        check("foo", &scoped, None, &[("general", 100)]);
        check(
            "foo",
            &[destination("x", 30, Some("X"))],
            None,
            &[("foo", 100)],
        );
        // nats-server: the source named for one cluster means loss in all of them.
        check(
            "foo",
            &[destination("foo", 30, Some("X"))],
            None,
            &[("dropped", 100)],
        );
        check(
            "foo",
            &[destination("bar", 30, Some(""))],
            None,
            &[("bar", 30), ("foo", 70)],
        );
    }

    #[test]
    fn mappings_that_can_not_be_are_refused() {
        fn refused(source: &str, destinations: &[MapDestination], expected: &str) {
            let error = SubjectMapping::weighted(source, destinations).expect_err(expected);
            assert_eq!(error.to_string(), expected);
        }
        for source in ["", "foo..bar", "foo.>.bar", "a b"] {
            refused(source, &[], "invalid subject");
        }
        refused(
            "foo",
            &[destination("bar", 101, None)],
            "individual weights need to be <= 100",
        );
        refused(
            "foo",
            &[destination("bar", 50, None), destination("baz", 60, None)],
            "total weight needs to be <= 100",
        );
        refused(
            "foo",
            &[
                destination("bar", 50, Some("X")),
                destination("baz", 60, Some("X")),
            ],
            "total weight needs to be <= 100",
        );
        refused(
            "foo",
            &[
                destination("bar", 50, Some("X")),
                destination("bar", 10, Some("Y")),
            ],
            "duplicate entry for \"bar\"",
        );
        refused(
            "foo",
            &[destination("$1", 50, None)],
            "invalid mapping destination: wildcard index out of range in $1",
        );
        refused(
            "foo",
            &[destination("", 50, None)],
            "invalid mapping destination: invalid transform",
        );
    }

    #[test]
    fn a_sole_destination_needs_no_draw() {
        let mapping = SubjectMapping::to("foo.*", "bar.$1").expect("a valid mapping");
        let chosen = mapping.choices(None).choose(|| unreachable!());
        assert_eq!(chosen, mapping.choices(None).only());
        assert!(chosen.is_some());
        assert_eq!(mapping.source(), b"foo.*");
        let lossy = SubjectMapping::weighted("foo", &[destination("foo", 30, None)]);
        assert_eq!(lossy.expect("a valid mapping").choices(None).only(), None);
    }
}
