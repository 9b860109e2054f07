//! What subscribers to advisories are to be told.

use everjet_api::ConsumerEvent;

/// Most advisories of one turn; more of them are dropped. Nothing relies on an advisory.
const KEPT_MAX: usize = 8192;

/// Something that happened to a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advisory {
    /// Its name.
    pub consumer: String,
    /// What happened.
    pub event: ConsumerEvent,
}

/// What happened in a turn. Whether anybody listens is for the driver to find out, so events are rare or asked for.
#[derive(Clone, Debug, Default)]
pub struct Advisories(Vec<Advisory>);

impl Advisories {
    /// Adds an event of the consumer of that name.
    pub fn push(&mut self, consumer: &str, event: ConsumerEvent) {
        if self.0.len() < KEPT_MAX {
            self.0.push(Advisory {
                consumer: consumer.to_owned(),
                event,
            });
        }
    }

    /// Everything since this was called last.
    pub fn take(&mut self) -> Vec<Advisory> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_fits_is_dropped() {
        let mut advisories = Advisories::default();
        for _ in 0..=KEPT_MAX {
            advisories.push("c", ConsumerEvent::Created);
        }
        assert_eq!(advisories.take().len(), KEPT_MAX);
        assert!(advisories.take().is_empty());
    }
}
