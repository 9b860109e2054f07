//! One client that stores, deletes and purges in a stream of its own, and creates and deletes streams.

use std::io;
use std::thread;

use super::ledger::{Facts, Keeps, Ledger, Presence, Stored};
use super::load::{Pace, SCRAP};
use super::publish::acknowledged;
use super::session::Session;
use super::{Random, payload};

/// Names of streams that come and go; a name is used again.
const NAMES: u64 = 12;
const KEYS: u64 = 5;

struct Chores<'a> {
    session: Session,
    ledger: &'a Ledger,
    random: Random,
    round: u64,
    next: u64,
}

/// Does chores until the connection ends.
pub(super) fn run(port: u16, round: u64, pace: Pace, ledger: &Ledger) {
    let Ok(session) = Session::open(port, "chores") else {
        return;
    };
    let mut chores = Chores {
        session,
        ledger,
        random: Random::new(round ^ 0x00c0_ffee),
        round,
        next: 0,
    };
    while chores.one().is_ok() {
        thread::sleep(pace.pause / 4);
    }
}

impl Chores<'_> {
    fn one(&mut self) -> io::Result<()> {
        match self.random.below(100) {
            0..70 => self.store(SCRAP, "scrap", KEYS),
            70..82 => self.delete(),
            82..84 => self.purge_below(),
            84..86 => self.purge_key(),
            86..88 => self.purge_keeping(),
            88..96 => self.store_in_passing_stream(),
            96..98 => self.create_stream(),
            _ => self.delete_stream(),
        }
    }

    fn store(&mut self, stream: &str, prefix: &str, keys: u64) -> io::Result<()> {
        self.next += 1;
        let incarnation = self.ledger.with(stream, |facts| facts.incarnation);
        let label = format!("{stream}/{incarnation}/chores{}/{}", self.round, self.next);
        let key = self.random.below(keys) as u16;
        let body = payload::of(&label);
        let answer = self.session.request(&format!("{prefix}.{key}"), &body)?;
        if let Some(sequence) = acknowledged(&answer) {
            let hash = payload::hash(&body);
            self.ledger
                .on_stored(stream, sequence, Stored { hash, key });
        }
        Ok(())
    }

    fn delete(&mut self) -> io::Result<()> {
        let picked = self.random.below(1 << 20) as usize;
        let sequence = self.ledger.with(SCRAP, |facts| {
            let settled = facts
                .stored
                .keys()
                .filter(|sequence| !facts.open.contains(sequence));
            let settled: Vec<u64> = settled.copied().collect();
            (!settled.is_empty()).then(|| settled[picked % settled.len()])
        });
        let Some(sequence) = sequence else {
            return Ok(());
        };
        self.remove(
            &[sequence],
            &format!("STREAM.MSG.DELETE.{SCRAP}"),
            &format!("{{\"seq\":{sequence}}}"),
        )
        .map(drop)
    }

    fn purge_below(&mut self) -> io::Result<()> {
        let sequences = self.sequences(|_| true);
        let Some(&from) = sequences.get(sequences.len() / 2) else {
            return Ok(());
        };
        let below: Vec<u64> = sequences
            .into_iter()
            .take_while(|seq| *seq < from)
            .collect();
        let body = format!("{{\"seq\":{from}}}");
        if self.remove(&below, &format!("STREAM.PURGE.{SCRAP}"), &body)? {
            self.ledger
                .with(SCRAP, |facts| facts.end_removal_below(from));
        }
        Ok(())
    }

    fn purge_key(&mut self) -> io::Result<()> {
        let key = self.random.below(KEYS) as u16;
        let sequences = self.sequences(|stored| stored.key == key);
        let body = format!("{{\"filter\":\"scrap.{key}\"}}");
        self.remove(&sequences, &format!("STREAM.PURGE.{SCRAP}"), &body)
            .map(drop)
    }

    fn purge_keeping(&mut self) -> io::Result<()> {
        let keep = self.random.below(20) as usize;
        let mut sequences = self.sequences(|_| true);
        // What an earlier round left open or unknown may be among those kept: then fewer of ours stay, never more.
        sequences.reverse();
        let kept = sequences.iter().take(keep).copied().collect::<Vec<u64>>();
        let removed = sequences.split_off(keep.min(sequences.len()));
        self.ledger.with(SCRAP, |facts| facts.begin_removal(&kept));
        let body = format!("{{\"keep\":{keep}}}");
        if self.remove(&removed, &format!("STREAM.PURGE.{SCRAP}"), &body)? {
            self.settle_kept(&kept)?;
        }
        Ok(())
    }

    /// Asks which of the messages are there, so that they are settled again.
    fn settle_kept(&mut self, kept: &[u64]) -> io::Result<()> {
        for &sequence in kept {
            let call = format!("STREAM.MSG.GET.{SCRAP}");
            let answer = self
                .session
                .api(&call, &format!("{{\"seq\":{sequence}}}"))?;
            if answer["message"]["seq"] == sequence {
                self.ledger
                    .with(SCRAP, |facts| facts.open.remove(&sequence));
            } else if answer["error"]["err_code"] == 10_037 {
                self.ledger
                    .with(SCRAP, |facts| facts.end_removal(&[sequence]));
            }
        }
        Ok(())
    }

    /// Asks for the removal of messages; whether it was confirmed.
    fn remove(&mut self, sequences: &[u64], call: &str, body: &str) -> io::Result<bool> {
        self.ledger
            .with(SCRAP, |facts| facts.begin_removal(sequences));
        let answer = self.session.api(call, body)?;
        let is_done = answer["success"] == true;
        if is_done {
            self.ledger
                .with(SCRAP, |facts| facts.end_removal(sequences));
            self.ledger.on_chore();
        }
        Ok(is_done)
    }

    fn sequences(&self, wanted: impl Fn(&Stored) -> bool) -> Vec<u64> {
        self.ledger.with(SCRAP, |facts| {
            let stored = facts.stored.iter().filter(|(_, stored)| wanted(stored));
            stored.map(|(sequence, _)| *sequence).collect()
        })
    }

    fn store_in_passing_stream(&mut self) -> io::Result<()> {
        let name = self.passing_stream();
        match self.presence(&name) {
            Some(Presence::Sure) => {
                let prefix = name.to_lowercase();
                self.store(&name, &prefix, KEYS)
            }
            _ => Ok(()),
        }
    }

    fn create_stream(&mut self) -> io::Result<()> {
        let name = self.passing_stream();
        if matches!(self.presence(&name), Some(Presence::Sure | Presence::Open)) {
            return Ok(());
        }
        let incarnation = self.ledger.next_incarnation();
        let facts = Facts::new(Keeps::All, Presence::Open, incarnation);
        self.ledger.streams().insert(name.clone(), facts);
        let body = format!(
            r#"{{"name":"{name}","subjects":["{}.*"]}}"#,
            name.to_lowercase()
        );
        let answer = self.session.api(&format!("STREAM.CREATE.{name}"), &body)?;
        if answer["error"].is_null() {
            self.ledger
                .with(&name, |facts| facts.presence = Presence::Sure);
            self.ledger.on_chore();
        }
        Ok(())
    }

    fn delete_stream(&mut self) -> io::Result<()> {
        let name = self.passing_stream();
        if !matches!(self.presence(&name), Some(Presence::Sure | Presence::Open)) {
            return Ok(());
        }
        self.ledger
            .with(&name, |facts| facts.presence = Presence::Open);
        let answer = self.session.api(&format!("STREAM.DELETE.{name}"), "")?;
        // That it is not there is as good an answer.
        if answer["success"] == true || answer["error"]["err_code"] == 10_059 {
            self.ledger
                .with(&name, |facts| facts.presence = Presence::Gone);
            self.ledger.on_chore();
        }
        Ok(())
    }

    fn passing_stream(&mut self) -> String {
        format!("PASSING{}", self.random.below(NAMES))
    }

    fn presence(&self, name: &str) -> Option<Presence> {
        let streams = self.ledger.streams();
        streams.get(name).map(|facts| facts.presence)
    }
}
