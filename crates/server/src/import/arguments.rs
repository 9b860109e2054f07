//! The command line of `nats-server import-store`.

use std::path::PathBuf;

use crate::subcommand::{Word, Words};

/// What `import-store` is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The store directory of nats-server.
    pub(crate) source: PathBuf,
    /// The store directory of Everjet; only `--dry-run` does without.
    pub(crate) target: Option<PathBuf>,
    /// Files with a key of the source.
    pub(crate) key_files: Vec<PathBuf>,
    /// The file with the key of the target.
    pub(crate) target_key_file: Option<PathBuf>,
    /// The cipher of the target is AES-GCM, not ChaCha20-Poly1305.
    pub(crate) target_aes: bool,
    /// Only this account of the source.
    pub(crate) account: Option<String>,
    /// The account that gets the streams; the one of the same name otherwise.
    pub(crate) into: Option<String>,
    /// Only these streams; all when empty.
    pub(crate) streams: Vec<String>,
    /// Settings that are left out of configurations.
    pub(crate) without: Vec<String>,
    /// Import the rest of what is damaged.
    pub(crate) salvage: bool,
    /// Read and verify, write nothing.
    pub(crate) dry_run: bool,
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To import.
    Import(Arguments),
    /// For help.
    Help,
}

pub(crate) const USAGE: &str = "
Usage: nats-server import-store [options] DIR

Reads DIR, a store directory written by nats-server 2.10 to 2.15 that no server uses any more, and puts its streams and
consumers into a store directory of Everjet. DIR is only read. A stream is taken whole or not at all.

Options:
    -sd, --store_dir <dir>      The store directory of Everjet that gets the streams
    --key-file <file>           A file with the jetstream key of DIR; once more for the previous key
    --store-key-file <file>     A file with the jetstream key of the store that gets the streams
    --store-cipher <cipher>     What that key is used with: chacha (default) or aes
    --account <name>            Only the streams of this account
    --into-account <name>       The account that gets them (default: the one of the same name)
    --stream <name>             Only this stream; may be given several times
    --without <setting>         Leave a setting that Everjet does not have out of the streams' configurations
    --salvage                   Import what can be read of streams that are damaged
    --dry-run                   Read and verify everything, write nothing
    -h, --help                  Show this message
";

/// Reads what follows `import-store`. Options are written with one dash or two, the value after a blank or after `=`.
///
/// # Errors
/// What is wrong, for a person.
pub(crate) fn parse(args: &[String]) -> Result<Asked, String> {
    let mut asked = Arguments::default();
    let mut source = None;
    let mut words = Words::new("import-store", args);
    while let Some(word) = words.next() {
        let option = match word {
            Word::Operand(path) if source.is_none() => {
                source = Some(path);
                continue;
            }
            Word::Operand(_) => {
                return Err("only one directory can be imported at a time".to_owned());
            }
            Word::Option(option) => option,
        };
        match option.parts() {
            ("h" | "help", false) => return Ok(Asked::Help),
            ("salvage", false) => asked.salvage = true,
            ("dry-run", false) => asked.dry_run = true,
            (
                name @ ("sd" | "store_dir" | "key-file" | "store-key-file" | "store-cipher"
                | "account" | "into-account" | "stream" | "without"),
                _,
            ) => {
                let value = words.value(&option)?;
                asked.take(name, value)?;
            }
            _ => return words.unknown(&option),
        }
    }
    asked.source = source.ok_or("the directory to import is missing")?;
    if asked.target.is_none() && !asked.dry_run {
        return Err(
            "--store_dir is missing: the store directory of Everjet that gets the streams"
                .to_owned(),
        );
    }
    if asked.target_aes && asked.target_key_file.is_none() {
        return Err("--store-cipher needs --store-key-file".to_owned());
    }
    Ok(Asked::Import(asked))
}

impl Arguments {
    fn take(&mut self, name: &str, value: String) -> Result<(), String> {
        match name {
            "sd" | "store_dir" => self.target = Some(value.into()),
            "key-file" => self.key_files.push(value.into()),
            "store-key-file" => self.target_key_file = Some(value.into()),
            "store-cipher" => {
                self.target_aes = match value.to_ascii_lowercase().as_str() {
                    "aes" => true,
                    "chacha" | "chachapoly" => false,
                    _ => return Err(format!("--store-cipher is chacha or aes, not {value}")),
                }
            }
            "account" => self.account = Some(value),
            "into-account" => self.into = Some(value),
            "stream" => self.streams.push(value),
            _ => self.without.push(value),
        }
        Ok(())
    }

    /// Whether a stream of the source is wanted.
    pub(crate) fn wants(&self, account: &str, stream: &str) -> bool {
        self.account
            .as_deref()
            .is_none_or(|wanted| wanted == account)
            && (self.streams.is_empty() || self.streams.iter().any(|wanted| wanted == stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Asked, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&args)
    }

    #[test]
    fn options_are_read_in_every_form() {
        let expected = Arguments {
            source: "/old".into(),
            target: Some("/new".into()),
            key_files: vec!["k1".into(), "k2".into()],
            target_key_file: Some("k3".into()),
            target_aes: true,
            account: Some("A".to_owned()),
            into: Some("$G".to_owned()),
            streams: vec!["S".to_owned(), "T".to_owned()],
            without: vec!["compression".to_owned()],
            salvage: true,
            dry_run: false,
        };
        let line = "--salvage -sd /new --key-file k1 -key-file=k2 /old --account A --into-account=$G --stream S --stream T \
                    --without compression --store-key-file k3 --store-cipher AES";
        assert_eq!(parsed(line), Ok(Asked::Import(expected)));
        assert_eq!(parsed("-h"), Ok(Asked::Help));
        let Ok(Asked::Import(dry)) = parsed("--dry-run /old") else {
            panic!("a dry run needs no target");
        };
        assert!(dry.dry_run && dry.wants("any", "stream"));
    }

    #[test]
    fn what_is_missing_or_too_much_is_said() {
        let check = |line: &str, text: &str| {
            assert!(
                parsed(line).is_err_and(|error| error.contains(text)),
                "{line}"
            );
        };
        check("--store_dir /new", "directory to import is missing");
        check("/old", "--store_dir is missing");
        check("/old /older --dry-run", "only one directory");
        check("/old --store_dir", "needs a value");
        check("/old --store_dir=", "needs a value");
        check("/old --salvage=yes --dry-run", "not known");
        check("/old -sd /new --store-cipher rot13", "is chacha or aes");
        check("/old -sd /new --store-cipher aes", "needs --store-key-file");
        check("/old --fast", "option --fast is not known");
    }
}
