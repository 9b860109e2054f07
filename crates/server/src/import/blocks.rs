//! The blocks of one stream of the source: which there are, what counts of them, reading them one at a time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use everjet_foreign::{
    AssetKey, Block, Index, Plan, Record, Scanned, StoreKey, Survey, Verdict, block_context, unseal,
};
use everjet_store::{Disk, Fault};

use super::report::{Damage, Findings};
use super::source::{SourceStream, content, files};

/// Where the blocks of a stream are.
pub(crate) struct Blocks<'a> {
    disk: &'a dyn Disk,
    stream: &'a SourceStream,
    keys: &'a [StoreKey],
    folder: PathBuf,
    /// Ascending.
    numbers: Vec<u32>,
    is_encrypted: bool,
}

impl<'a> Blocks<'a> {
    /// Lists the blocks of a stream.
    pub(crate) fn find(
        disk: &'a dyn Disk,
        stream: &'a SourceStream,
        keys: &'a [StoreKey],
        is_encrypted: bool,
    ) -> Result<Self, Fault> {
        let mut folder = stream.folder.join("msgs");
        // A purge writes what remains into a folder of its own, which counts once a block is in it; before, key files in it tell
        // which blocks were being replaced.
        let purged = stream.folder.join("__new_msgs__");
        let mut replaced = BTreeSet::new();
        let remains = files(disk, &purged)?;
        if remains.iter().any(|name| number(name, ".blk").is_some()) {
            folder = purged;
        } else {
            replaced.extend(remains.iter().filter_map(|name| number(name, ".key")));
        }
        let mut numbers: Vec<u32> = files(disk, &folder)?
            .iter()
            .filter_map(|name| number(name, ".blk"))
            .filter(|number| !replaced.contains(number))
            .collect();
        numbers.sort_unstable();
        Ok(Self {
            disk,
            stream,
            keys,
            folder,
            numbers,
            is_encrypted,
        })
    }

    /// What counts of the blocks: as the index says when it fits them. Also returns an index that is older than the blocks.
    pub(crate) fn plan(
        &self,
        key: Option<&AssetKey>,
        findings: &mut Findings,
    ) -> Result<(Plan, Option<Index>), Fault> {
        let path = self.folder.join("index.db");
        let rebuilt = |findings: &mut Findings, why: &str, older: Option<&Index>| {
            findings.notes.push(format!(
                "{why}: what counts is told by the messages themselves, as when nats-server starts after a crash"
            ));
            Plan::rebuilt(older)
        };
        let Some(file) = content(self.disk, &path)? else {
            return Ok((rebuilt(findings, "there is no index.db", None), None));
        };
        let index = match Index::read(&file, &self.stream.name, key) {
            Ok(index) => index,
            Err(error) => {
                let why = format!("{} cannot be used: {error}", path.display());
                return Ok((rebuilt(findings, &why, None), None));
            }
        };
        let is_current = match self.numbers.last() {
            Some(last) if *last == index.last_block => {
                let mut ignored = Findings::default();
                let block = self.open(*last, &mut ignored)?;
                block
                    .and_then(|block| block.last_checksum())
                    .unwrap_or_default()
                    == index.last_checksum
            }
            last => last.is_none() && index.messages == 0,
        };
        let is_there = |number: u32| self.numbers.binary_search(&number).is_ok();
        let all_there = index
            .blocks
            .iter()
            .all(|block| block.messages() == 0 || is_there(block.number));
        if is_current && all_there {
            return Ok((Plan::Indexed(Box::new(index)), None));
        }
        if is_current {
            for block in index.blocks.iter().filter(|block| !is_there(block.number)) {
                findings.damage.push(Damage {
                    file: self.path(block.number),
                    offset: None,
                    what: format!("it is missing, with {} messages", block.messages()),
                });
            }
        }
        let plan = rebuilt(
            findings,
            "index.db is older than the messages",
            Some(&index),
        );
        Ok((plan, Some(index)))
    }

    /// Reads all blocks that `plan` wants and gives every message that counts to `message`, which may end the reading with a fault.
    pub(crate) fn read<E: From<Fault>>(
        &self,
        plan: &mut Plan,
        findings: &mut Findings,
        mut message: impl FnMut(&Record<'_>) -> Result<(), E>,
    ) -> Result<Survey, E> {
        let mut survey = Survey::new(plan);
        for number in self.numbers.iter().copied() {
            if !plan.wants_block(number) {
                continue;
            }
            let Some(block) = self.open(number, findings)? else {
                continue;
            };
            let is_last = self.numbers.last() == Some(&number) && !plan.is_indexed();
            for scanned in block.records() {
                match scanned {
                    Scanned::Record(record) => match survey.record(plan, number, &record) {
                        Verdict::Live => message(&record)?,
                        Verdict::Nothing => {}
                        Verdict::WrongSubject => findings.damage.push(self.damage(
                            number,
                            record.offset,
                            format!("message {}: its subject is not in index.db", record.sequence),
                        )),
                    },
                    Scanned::Damage {
                        offset,
                        length,
                        torn: true,
                        ..
                    } if is_last => findings.notes.push(format!(
                        "{} ends with {length} bytes at byte {offset} of a write that a crash cut short",
                        self.path(number).display()
                    )),
                    Scanned::Damage {
                        offset,
                        length,
                        why,
                        ..
                    } => {
                        let what = format!("{} ({length} bytes)", why.text());
                        findings.damage.push(self.damage(number, offset, what));
                    }
                }
            }
        }
        Ok(survey)
    }

    /// Names and lengths of the files: the same before and after when nobody writes.
    pub(crate) fn fingerprint(&self) -> Result<Vec<(u32, u64)>, Fault> {
        let length = |number: &u32| {
            let path = self.path(*number);
            let file = self
                .disk
                .open(&path, everjet_store::OpenMode::Read)
                .map_err(Fault::open(&path))?;
            Ok((*number, file.len().map_err(Fault::read(&path))?))
        };
        let again = Self::find(self.disk, self.stream, self.keys, self.is_encrypted)?;
        again.numbers.iter().map(length).collect()
    }

    /// A block; `None`, and a word about it, when nothing of it can be read.
    fn open(&self, number: u32, findings: &mut Findings) -> Result<Option<Block>, Fault> {
        let path = self.path(number);
        let mut lost = |file: &Path, what: String| {
            findings.damage.push(Damage {
                file: file.to_owned(),
                offset: None,
                what,
            });
            Ok(None)
        };
        let Some(file) = content(self.disk, &path)? else {
            return lost(&path, "it is gone".to_owned());
        };
        let key_path = self.folder.join(format!("{number}.key"));
        let key = match content(self.disk, &key_path)? {
            None if self.is_encrypted && !file.is_empty() => {
                return lost(&key_path, "the key of a block is missing".to_owned());
            }
            None => None,
            Some(sealed) => {
                let context = block_context(&self.stream.name, number);
                match unseal(self.keys, &self.stream.account, &context, &sealed) {
                    Some(key) => Some(key),
                    None => {
                        return lost(
                            &key_path,
                            "the key of a block cannot be decrypted".to_owned(),
                        );
                    }
                }
            }
        };
        let block = match Block::open(file, &self.stream.name, number, key.as_ref()) {
            Ok(block) => block,
            Err(error) => return lost(&path, error.to_string()),
        };
        for (offset, what) in block.chunk_damage() {
            findings
                .damage
                .push(self.damage(number, *offset, (*what).to_owned()));
        }
        Ok(Some(block))
    }

    fn damage(&self, number: u32, offset: usize, what: String) -> Damage {
        Damage {
            file: self.path(number),
            offset: Some(offset as u64),
            what,
        }
    }

    fn path(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{number}.blk"))
    }
}

/// The number in a name such as `12.blk`.
fn number(name: &str, suffix: &str) -> Option<u32> {
    let digits = name.strip_suffix(suffix)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}
