//! Definitions of the source: `meta.inf` with its checksum and its key.

use std::path::Path;

use everjet_api::{Storage, StreamConfig};
use everjet_foreign::{AssetKey, Checksum, StoreKey, StreamMeta, unseal};
use everjet_store::{Disk, Fault};
use everjet_stream::{ServerLimits, normalise_update};
use everjet_values::Timestamp;

use super::report::{Damage, Findings};
use super::settings;
use super::source::{SourceStream, content};

/// Whether a definition is there.
pub(crate) enum Opened {
    /// Its text, and the key that opens the files that belong to it.
    Text(Vec<u8>, Option<AssetKey>),
    /// Why it cannot be used, for a person.
    No(String),
}

/// Reads the `meta.inf` in a folder. `account` and `context` are those of its key.
pub(crate) fn open(
    disk: &dyn Disk,
    folder: &Path,
    checksum: Checksum,
    (account, context): (&str, &str),
    keys: &[StoreKey],
    findings: &mut Findings,
) -> Result<Opened, Fault> {
    let path = folder.join("meta.inf");
    let Some(raw) = content(disk, &path)? else {
        return Ok(Opened::No(format!("{} is missing", path.display())));
    };
    let sum = content(disk, &folder.join("meta.sum"))?;
    let is_sound = sum.is_some_and(|sum| checksum.matches_text(&raw, &sum));
    if !is_sound {
        findings.damage.push(Damage {
            file: path.clone(),
            offset: None,
            what: "its checksum in meta.sum does not match".to_owned(),
        });
    }
    let Some(sealed) = content(disk, &folder.join("meta.key"))? else {
        return Ok(Opened::Text(raw, None));
    };
    if keys.is_empty() {
        return Ok(Opened::No(
            "it is encrypted; give its jetstream key with --key-file".to_owned(),
        ));
    }
    let Some(key) = unseal(keys, account, context, &sealed) else {
        return Ok(Opened::No(format!(
            "the key does not open {}; give the jetstream key it was encrypted with",
            folder.join("meta.key").display()
        )));
    };
    // A definition that was written before encryption was switched on is plain until the server has started once.
    match key.open(&raw) {
        Some(text) => Ok(Opened::Text(text, Some(key))),
        None => Ok(Opened::No(format!(
            "{} cannot be decrypted",
            path.display()
        ))),
    }
}

/// A stream's definition as we take it.
pub(crate) struct Definition {
    pub(crate) created: Timestamp,
    /// With its defaults filled in.
    pub(crate) config: StreamConfig,
    pub(crate) key: Option<AssetKey>,
}

/// Reads a stream's definition. The inner error says why the stream is refused.
pub(crate) fn stream(
    disk: &dyn Disk,
    source: &SourceStream,
    keys: &[StoreKey],
    without: &[String],
    findings: &mut Findings,
) -> Result<Result<Definition, String>, Fault> {
    let context = (source.account.as_str(), source.name.as_str());
    let checksum = Checksum::of_stream(&source.name);
    let (text, key) = match open(disk, &source.folder, checksum, context, keys, findings)? {
        Opened::Text(text, key) => (text, key),
        Opened::No(why) => return Ok(Err(why)),
    };
    let meta = match StreamMeta::read(&text) {
        Ok(meta) => meta,
        Err(error) => return Ok(Err(format!("its configuration cannot be taken: {error}"))),
    };
    let mut config = meta.config;
    if config.name != source.name {
        let why = format!("its folder belongs to a stream named {:?}", config.name);
        return Ok(Err(why));
    }
    if config.storage != Storage::File {
        return Ok(Err(
            "its configuration is that of a memory stream".to_owned()
        ));
    }
    for name in without {
        if settings::leave_out(&mut config, name) == Some(true) {
            findings
                .notes
                .push(format!("{name} is left out of its configuration"));
        }
    }
    let limits = ServerLimits::default();
    let hint = hint(&config);
    Ok(match normalise_update(config, false, &limits) {
        Ok(config) => Ok(Definition {
            created: meta.created,
            config,
            key,
        }),
        Err(error) => Err(format!(
            "its configuration cannot be taken: {}{}",
            error.description,
            hint.unwrap_or_default()
        )),
    })
}

/// What would help against a configuration that is refused.
fn hint(config: &StreamConfig) -> Option<String> {
    let refusal = |config: &StreamConfig| {
        let refused = normalise_update(config.clone(), false, &ServerLimits::default()).err();
        refused.map(|error| error.description)
    };
    let before = refusal(config)?;
    settings::NAMES.into_iter().find_map(|name| {
        let mut without = config.clone();
        let helps = settings::leave_out(&mut without, name) == Some(true)
            && refusal(&without).as_ref() != Some(&before);
        helps.then(|| format!("; import it without this setting by --without {name}"))
    })
}
