//! What publishers ask for with headers, in wide worlds, and what the server publishes for itself.

use std::time::Duration;

use everjet_store::StreamId;
use everjet_values::StreamSequence;
use everjet_wire::{HeaderBuilder, Headers};

use crate::Stop;
use crate::model::{Lifetime, Model, SUBJECTS};
use crate::options::MARKER_LIFETIME;
use crate::world::World;

/// How long messages live that say so.
const LIFETIMES: [&str; 3] = ["never", "20s", "40s"];

/// What the headers of one message ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// That it takes the place of what was before it: of its subject, of all.
    rollup: Option<&'static str>,
    /// How long it lives.
    lifetime: Option<&'static str>,
}

impl Wish {
    /// Something that the stream allows, now and then. Streams that allow nothing use up no dice.
    pub(crate) fn any(world: &mut World, id: StreamId) -> Self {
        let Some(actor) = world.actors.get(&id) else {
            return Self::default();
        };
        let config = actor.stream.config();
        let (rolls, lives) = (config.allow_rollup_hdrs, config.allow_msg_ttl);
        let mut wish = Self::default();
        if rolls && world.below(5) == 0 {
            wish.rollup = Some(["sub", "sub", "sub", "all"][world.below(4)]);
        }
        if lives && world.below(2) == 0 {
            wish.lifetime = Some(LIFETIMES[world.below(LIFETIMES.len() as u64)]);
        }
        wish
    }

    /// What these headers ask for.
    pub(crate) fn read(headers: &[u8]) -> Self {
        let value = |name: &str, of: &[&'static str]| {
            let value = Headers(headers).get(name)?;
            of.iter().copied().find(|known| known.as_bytes() == value)
        };
        Self {
            rollup: value("Nats-Rollup", &["sub", "all"]),
            lifetime: value("Nats-TTL", &LIFETIMES),
        }
    }

    /// The headers that ask for it.
    pub(crate) fn headers(self) -> Vec<u8> {
        if self == Self::default() {
            return Vec::new();
        }
        let mut block = HeaderBuilder::new();
        if let Some(rollup) = self.rollup {
            block.push("Nats-Rollup", rollup);
        }
        if let Some(lifetime) = self.lifetime {
            block.push("Nats-TTL", lifetime);
        }
        block.finish()
    }

    pub(crate) fn lifetime(self) -> Lifetime {
        match self.lifetime {
            None => Lifetime::Unsaid,
            Some("20s") => Lifetime::For(Duration::from_secs(20)),
            Some("40s") => Lifetime::For(Duration::from_secs(40)),
            Some(_) => Lifetime::Never,
        }
    }

    /// Removes from the model what the message `sequence` takes the place of.
    pub(crate) fn roll_up(self, model: &mut Model, subject: usize, sequence: u64) -> Vec<u64> {
        match self.rollup {
            None => Vec::new(),
            Some("all") => model.purge(None, sequence, 0),
            Some(_) => model.purge(Some(subject), sequence, 0),
        }
    }
}

impl World {
    /// Messages after `last` were published by the server itself: markers, each in the place of a message that was too old.
    pub(crate) fn note_markers(&mut self, id: StreamId, last: StreamSequence) -> Result<(), Stop> {
        let Some(actor) = self.actors.get_mut(&id) else {
            return Ok(());
        };
        let store = actor.stream.store();
        let mut markers = Vec::new();
        for sequence in last.0 + 1..=store.last_sequence().0 {
            // One that is gone already had no room.
            let message = store.get(StreamSequence(sequence)).ok();
            let subject = message.as_ref().and_then(|message| {
                let headers = Headers(message.headers());
                let is_marker = headers.get("Nats-Marker-Reason") == Some(b"MaxAge");
                let is_subject = |subject: &&str| subject.as_bytes() == message.subject();
                SUBJECTS
                    .iter()
                    .position(is_subject)
                    .filter(|_| is_marker && message.payload().is_empty())
            });
            if message.is_some() && subject.is_none() {
                let why = format!("message {sequence} is no marker, and nobody sent it");
                return Err(Stop::Broken(why));
            }
            markers.push((sequence, subject));
        }
        let time = store.last_time();
        let entry = actor.stream.entry().0;
        let mut gone = Vec::new();
        for (sequence, subject) in &markers {
            let Some(subject) = *subject else {
                gone.push(*sequence);
                continue;
            };
            let lifetime = Lifetime::For(MARKER_LIFETIME);
            gone.extend(actor.model.purge(Some(subject), *sequence, 0));
            gone.extend(actor.model.store(*sequence, subject, time, lifetime));
        }
        let ledger = self.ledger(id);
        for (sequence, subject) in markers {
            ledger.sent.insert(sequence, Vec::new());
            ledger
                .subjects
                .extend(subject.map(|subject| (sequence, subject)));
            ledger.entries.insert(sequence, entry);
        }
        ledger.maybe_removed.extend(gone);
        Ok(())
    }
}
