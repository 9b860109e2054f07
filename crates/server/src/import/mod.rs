//! `nats-server import-store`: streams and consumers of a store directory of nats-server become ours.
//!
//! Every stream is read twice: first all of it, which finds out whether it can be taken; then message by message into the store.
//! Nothing of a stream is there before all of it is.

mod arguments;
mod blocks;
mod consumers;
mod definition;
mod report;
mod settings;
mod source;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use everjet_foreign::{Index, Plan, Record, StoreKey, Survey};
use everjet_jetstream::{
    ImportError, ImportStore, Imported, ImportedMessage, Level, OsDisk, Paths, StorageOptions,
};
use everjet_store::{Cipher, Disk, Encryption, Fault, NewMessage, foreign_store};
use everjet_values::{Entropy, StreamSequence, Timestamp};

use self::arguments::{Arguments, Asked, USAGE};
use self::blocks::Blocks;
use self::consumers::SourceConsumer;
use self::definition::Definition;
use self::report::{Findings, Totals, count};
use self::source::{Source, SourceStream};
use crate::cli::{say_stderr, say_stdout};
use crate::key_file;
use crate::seams::OsEntropy;
use crate::server::GLOBAL_ACCOUNT;

/// Runs the command; `args` is what follows its name.
pub(crate) fn run(args: &[String]) -> ExitCode {
    let arguments = match arguments::parse(args) {
        Ok(Asked::Import(arguments)) => arguments,
        Ok(Asked::Help) => {
            say_stdout(USAGE);
            return ExitCode::SUCCESS;
        }
        Err(text) => {
            say_stderr(&format!("nats-server import-store: {text}"));
            return ExitCode::FAILURE;
        }
    };
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let mut say = |line: &str| say_stdout(&format!("{line}\n"));
    match Keys::read(&arguments).and_then(|keys| import(&disk, &arguments, &keys, &mut say)) {
        Ok(totals) => {
            say(&totals.line(arguments.dry_run));
            if totals.refused == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(text) => {
            say_stderr(&format!("nats-server import-store: {text}"));
            ExitCode::FAILURE
        }
    }
}

/// What opens the source and the target.
#[derive(Default)]
struct Keys {
    source: Vec<StoreKey>,
    target: Option<Encryption>,
}

impl Keys {
    /// The keys in the files.
    fn read(arguments: &Arguments) -> Result<Self, String> {
        let source = arguments.key_files.iter();
        Ok(Self {
            source: source
                .map(|path| Ok(StoreKey::new(&key_file::read(path)?)))
                .collect::<Result<_, String>>()?,
            target: read_target_key(arguments)?,
        })
    }
}

/// What the target is encrypted with.
fn read_target_key(arguments: &Arguments) -> Result<Option<Encryption>, String> {
    let cipher = if arguments.target_aes {
        Cipher::Aes256Gcm
    } else {
        Cipher::ChaCha20Poly1305
    };
    let path = arguments.target_key_file.as_ref();
    path.map(|path| key_file::encryption(path, cipher))
        .transpose()
}

/// Imports what `arguments` ask for and says what comes of each stream. The error is what keeps it from going on.
fn import(
    disk: &Arc<dyn Disk>,
    arguments: &Arguments,
    keys: &Keys,
    say: &mut dyn FnMut(&str),
) -> Result<Totals, String> {
    for name in &arguments.without {
        settings::check(name)?;
    }
    let text = |fault: Fault| fault.to_string();
    let source = Source::find(&**disk, &arguments.source).map_err(text)?;
    let is_foreign = foreign_store(&**disk, &arguments.source)
        .map_err(text)?
        .is_some();
    let wanted: Vec<&SourceStream> = source
        .streams
        .iter()
        .filter(|stream| arguments.wants(&stream.account, &stream.name))
        .collect();
    if !is_foreign || wanted.is_empty() {
        return Err(format!(
            "{}: no such stream of nats-server was found there",
            arguments.source.display()
        ));
    }
    let mut target = match &arguments.target {
        Some(dir) if !arguments.dry_run => Some(open_target(disk, dir, keys.target.clone(), say)?),
        _ => None,
    };
    if source.is_clustered {
        say(
            "note: this server was in a cluster; what was only in its consensus logs is not imported, so import from the leader, stopped last",
        );
    }
    let mut totals = Totals::default();
    for stream in wanted {
        let mut job = Job {
            disk,
            arguments,
            keys: &keys.source,
            stream,
            findings: Findings::default(),
        };
        let outcome = job.run(target.as_mut());
        let what = match &outcome {
            Ok(taken) => {
                totals.streams += 1;
                totals.messages += taken.messages;
                totals.bytes += taken.bytes;
                totals.consumers += taken.consumers;
                taken.text(arguments.dry_run)
            }
            Err(Refusal::Stream(why)) => {
                totals.refused += 1;
                format!("refused: {why}")
            }
            Err(Refusal::All(why)) => format!("failed: {why}"),
        };
        totals.damaged_places += job.findings.damage.len() as u64;
        say(&format!(
            "stream {}/{}: {what}",
            stream.account, stream.name
        ));
        for line in job.findings.lines() {
            say(&line);
        }
        if let Err(Refusal::All(why)) = outcome {
            return Err(format!("stopped: {why}; what was imported before is there"));
        }
    }
    Ok(totals)
}

fn open_target(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    encryption: Option<Encryption>,
    say: &mut dyn FnMut(&str),
) -> Result<ImportStore, String> {
    let mut options = StorageOptions {
        encryption,
        ..StorageOptions::default()
    };
    options.journal.salt = OsEntropy.next_u64();
    let (store, notes) =
        ImportStore::open(disk, dir, options).map_err(|error| error.to_string())?;
    let worth_saying = |level: Level| matches!(level, Level::Warn | Level::Error);
    for (_, text) in notes.iter().filter(|(level, _)| worth_saying(*level)) {
        say(&format!("{}: {text}", Paths::new(dir).root().display()));
    }
    Ok(store)
}

/// Why a stream is not imported.
enum Refusal {
    /// This one cannot be; others may.
    Stream(String),
    /// The disk of the target refuses: no stream can be.
    All(String),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Stream(fault.to_string())
    }
}

impl From<ImportError> for Refusal {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Fault(_) => Self::All(error.to_string()),
            _ => Self::Stream(error.to_string()),
        }
    }
}

/// What was imported of a stream, or would be.
struct Taken {
    messages: u64,
    bytes: u64,
    first_sequence: u64,
    last_sequence: u64,
    consumers: u64,
    account: String,
}

impl Taken {
    fn text(&self, dry_run: bool) -> String {
        let did = if dry_run {
            "can be imported"
        } else {
            "imported"
        };
        format!(
            "{did} into account {}: {}, {} bytes, sequences {} to {}, {}",
            self.account,
            count(self.messages, "message"),
            self.bytes,
            self.first_sequence,
            self.last_sequence,
            count(self.consumers, "consumer"),
        )
    }
}

/// One stream on its way.
struct Job<'a> {
    disk: &'a Arc<dyn Disk>,
    arguments: &'a Arguments,
    keys: &'a [StoreKey],
    stream: &'a SourceStream,
    findings: Findings,
}

impl Job<'_> {
    fn run(&mut self, target: Option<&mut ImportStore>) -> Result<Taken, Refusal> {
        let into = self.arguments.into.as_ref().unwrap_or(&self.stream.account);
        if into != GLOBAL_ACCOUNT {
            return Err(Refusal::Stream(format!(
                "this version of Everjet serves one account, {GLOBAL_ACCOUNT}, and not {into}; \
                 import it with --into-account '{GLOBAL_ACCOUNT}'"
            )));
        }
        let disk = &**self.disk;
        let (keys, without) = (self.keys, &self.arguments.without);
        let definition = definition::stream(disk, self.stream, keys, without, &mut self.findings)?
            .map_err(Refusal::Stream)?;
        if let Some(target) = &target {
            target.check(into, &definition.config)?;
        }
        let blocks = Blocks::find(disk, self.stream, keys, definition.key.is_some())?;
        let fingerprint = blocks.fingerprint()?;
        let (mut plan, survey, stale) = self.survey(&blocks, &definition)?;
        let config = &definition.config;
        let mut consumers =
            consumers::read(disk, self.stream, config, keys, without, &mut self.findings)?;
        let last = last_message(&plan, &survey, stale.as_ref());
        consumers.retain(|consumer| {
            let fits = consumer.delivered() <= last.0;
            if !fits {
                let text = format!(
                    "{}: it has got further than the stream, to message {}",
                    consumer.name(),
                    consumer.delivered()
                );
                self.findings.lost_consumers.push(text);
            }
            fits
        });
        self.check_damage()?;
        if survey.times_going_back > 0 {
            self.findings.notes.push(format!(
                "the times of {} are before those of the messages before them; consumers that start at a time may miss them",
                count(survey.times_going_back, "message")
            ));
        }
        match target {
            None => {
                // Without an index, a first reading does not know yet what later tombstones remove.
                let exact = read_all(&blocks, &mut plan, &mut Findings::default())?;
                Ok(dry(&exact, last, consumers.len(), into))
            }
            Some(target) => {
                let into = into.clone();
                let writing = Writing {
                    target,
                    account: &into,
                    definition,
                    consumers,
                    last,
                    fingerprint,
                };
                self.write(&blocks, &mut plan, &survey, writing)
            }
        }
    }

    /// Reads everything once. When the index does not add up with the blocks, it is left aside, as nats-server does it.
    fn survey(
        &mut self,
        blocks: &Blocks<'_>,
        definition: &Definition,
    ) -> Result<(Plan, Survey, Option<Index>), Refusal> {
        let (mut plan, stale) = blocks.plan(definition.key.as_ref(), &mut self.findings)?;
        let before = self.findings.damage.len();
        let survey = read_all(blocks, &mut plan, &mut self.findings)?;
        if survey.is_complete(&plan) || self.findings.damage.len() > before {
            return Ok((plan, survey, stale));
        }
        let Plan::Indexed(index) = plan else {
            return Ok((plan, survey, stale));
        };
        self.findings.damage.push(report::Damage {
            file: self.stream.folder.join("msgs"),
            offset: None,
            what: format!(
                "index.db counts {} messages, the blocks hold {}, or they have other subjects",
                index.messages, survey.messages
            ),
        });
        Ok((Plan::Indexed(index), survey, stale))
    }

    fn check_damage(&self) -> Result<(), Refusal> {
        let (places, consumers) = (
            self.findings.damage.len() as u64,
            self.findings.lost_consumers.len() as u64,
        );
        if self.arguments.salvage || places + consumers == 0 {
            return Ok(());
        }
        let what = match (places, consumers) {
            (0, _) => format!("{} cannot be taken", count(consumers, "consumer")),
            (_, 0) => format!("damaged in {}", count(places, "place")),
            _ => format!(
                "damaged in {}, and {} cannot be taken",
                count(places, "place"),
                count(consumers, "consumer")
            ),
        };
        Err(Refusal::Stream(format!(
            "{what}; import the rest with --salvage"
        )))
    }

    fn write(
        &mut self,
        blocks: &Blocks<'_>,
        plan: &mut Plan,
        survey: &Survey,
        writing: Writing<'_>,
    ) -> Result<Taken, Refusal> {
        let Writing {
            target,
            account,
            definition,
            consumers,
            last,
            fingerprint,
        } = writing;
        let mut import = target.begin(account, definition.config, definition.created)?;
        // What is damaged was found and said by the first reading.
        let mut again = Findings::default();
        let outcome = blocks.read(plan, &mut again, |record| {
            import
                .push(&message(record))
                .map_err(|fault| Refusal::All(fault.to_string()))
        });
        let problem = match outcome {
            Err(refusal) => Some(refusal),
            Ok(second) => match blocks.fingerprint() {
                Err(fault) => Some(fault.into()),
                Ok(now) if now != fingerprint => Some(Refusal::Stream(
                    "its files changed while they were read; stop the server that uses them"
                        .to_owned(),
                )),
                Ok(_) => self.compare(plan, survey, &second, import.store().bytes()),
            },
        };
        if let Some(refusal) = problem {
            // What cannot be removed is marked, and goes with the next import.
            let _later = import.abandon();
            return Err(refusal);
        }
        let number = consumers.len() as u64;
        let store = import.store();
        let consumers = consumers
            .into_iter()
            .map(|consumer| consumer.finish(store))
            .collect();
        let Imported { state, over_limits } = import.finish(last.0, last.1, consumers)?;
        if over_limits > 0 {
            self.findings.notes.push(format!(
                "{} over a limit of the stream were left out",
                count(over_limits, "message")
            ));
        }
        Ok(Taken {
            messages: state.messages,
            bytes: state.bytes,
            first_sequence: state.first_sequence.0,
            last_sequence: state.last_sequence.0,
            consumers: number,
            account: account.to_owned(),
        })
    }

    /// What does not add up between both readings and the index.
    fn compare(&self, plan: &Plan, first: &Survey, second: &Survey, bytes: u64) -> Option<Refusal> {
        let Plan::Indexed(index) = plan else {
            return None;
        };
        let is_whole = self.findings.damage.is_empty();
        let differs = first.messages != second.messages
            || (is_whole && (index.messages != second.messages || index.bytes != bytes));
        differs.then(|| {
            Refusal::Stream(format!(
                "index.db counts {} messages of {} bytes, read were {} of {bytes} bytes",
                index.messages, index.bytes, second.messages
            ))
        })
    }
}

/// What is written and where.
struct Writing<'a> {
    target: &'a mut ImportStore,
    account: &'a str,
    definition: Definition,
    consumers: Vec<SourceConsumer>,
    last: (StreamSequence, Timestamp),
    fingerprint: Vec<(u32, u64)>,
}

fn read_all(
    blocks: &Blocks<'_>,
    plan: &mut Plan,
    findings: &mut Findings,
) -> Result<Survey, Fault> {
    blocks.read(plan, findings, |_| Ok(()))
}

fn message<'a>(record: &Record<'a>) -> ImportedMessage<'a> {
    ImportedMessage {
        sequence: StreamSequence(record.sequence),
        message: NewMessage {
            time: Timestamp::from_nanos(record.time),
            subject: record.subject,
            headers: record.headers,
            payload: record.payload,
        },
    }
}

/// The last sequence that the stream ever gave out, with its time. An index that is older than the blocks may know of messages that
/// were removed with their blocks.
fn last_message(
    plan: &Plan,
    survey: &Survey,
    stale: Option<&Index>,
) -> (StreamSequence, Timestamp) {
    let found = match plan {
        Plan::Indexed(index) => (index.last_sequence, index.last_time),
        Plan::Rebuilt { .. } => (survey.last_sequence, survey.last_time),
    };
    let known = stale.map_or((0, 0), |index| (index.last_sequence, index.last_time));
    let (sequence, time) = if known.0 > found.0 { known } else { found };
    (StreamSequence(sequence), Timestamp::from_nanos(time))
}

fn dry(
    survey: &Survey,
    last: (StreamSequence, Timestamp),
    consumers: usize,
    account: &str,
) -> Taken {
    let first_sequence = match survey.messages {
        0 => last.0.0 + 1,
        _ => survey.first_sequence,
    };
    Taken {
        messages: survey.messages,
        bytes: survey.bytes,
        first_sequence,
        last_sequence: last.0.0,
        consumers: consumers as u64,
        account: account.to_owned(),
    }
}
