//! The settings of a stream on the command line, and the configuration document they make.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::commands::read_config;
use crate::failure::Failure;
use crate::forms::{age, byte_limit, duration, key_value, list, message_size, nanos, storage};
use crate::retention::Retention;

/// The settings of `stream add`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct StreamFlags {
    /// Subjects that the stream stores; repeat it, or separate them by commas or blanks
    #[arg(long, value_name = "SUBJECT")]
    subjects: Vec<String>,
    /// What the stream is for
    #[arg(long)]
    description: Option<String>,
    /// Metadata KEY=VALUE; may be repeated
    #[arg(long, value_parser = key_value, value_name = "KEY=VALUE")]
    metadata: Vec<(String, String)>,
    /// Where messages are kept: file (f) or memory (m) [default: file]
    #[arg(long, value_parser = storage)]
    storage: Option<String>,
    /// Compression of stored messages
    #[arg(long, value_parser = ["none", "s2"])]
    compression: Option<String>,
    /// How many servers keep a copy [default: 1]
    #[arg(long)]
    replicas: Option<u32>,
    /// Place the stream in this cluster
    #[arg(long, value_name = "CLUSTER")]
    cluster: Option<String>,
    /// Place the stream on servers with this tag; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Why messages go: limits, interest, work, or an age like days=7 or age=36h [default: limits]
    #[arg(long)]
    retention: Option<Retention>,
    /// What goes at a limit: old messages, or the new one [default: old]
    #[arg(long, value_parser = ["old", "new"])]
    discard: Option<String>,
    /// Refuse new messages at the limit of each subject too
    #[arg(long)]
    discard_per_subject: bool,
    /// Acknowledge stored messages (the default)
    #[arg(long, overrides_with = "no_ack")]
    ack: bool,
    /// Do not acknowledge stored messages
    #[arg(long)]
    no_ack: bool,
    /// How long messages are kept, for example 7d; 0 or -1 for ever
    #[arg(long, value_parser = age, allow_hyphen_values = true, value_name = "DURATION")]
    max_age: Option<i64>,
    /// How many bytes are kept, for example 1GB; -1 for no limit
    #[arg(long, value_parser = byte_limit, allow_hyphen_values = true, value_name = "SIZE")]
    max_bytes: Option<i64>,
    /// How many messages are kept; -1 for no limit
    #[arg(long, allow_hyphen_values = true, value_name = "COUNT")]
    max_msgs: Option<i64>,
    /// How many messages of each subject are kept; -1 for no limit
    #[arg(long, allow_hyphen_values = true, value_name = "COUNT")]
    max_msgs_per_subject: Option<i64>,
    /// The largest message that is accepted, for example 1MB; -1 for no limit
    #[arg(long, value_parser = message_size, allow_hyphen_values = true, value_name = "SIZE")]
    max_msg_size: Option<i64>,
    /// How many consumers there may be; -1 for no limit
    #[arg(long, allow_hyphen_values = true, value_name = "COUNT")]
    max_consumers: Option<i64>,
    /// How long message ids are remembered [default: 2m]
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    dupe_window: Option<Duration>,
    /// The sequence of the first message
    #[arg(long, value_name = "SEQUENCE")]
    first_sequence: Option<u64>,
    /// The longest inactivity that consumers may ask for
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    limit_consumer_inactive: Option<Duration>,
    /// The most unacknowledged messages that consumers may ask for
    #[arg(long, value_name = "COUNT")]
    limit_consumer_max_pending: Option<i64>,
    /// Copy another stream: its name, or a JSON object
    #[arg(long, value_name = "STREAM")]
    mirror: Option<String>,
    /// Take messages from another stream: its name, or a JSON object; may be repeated
    #[arg(long = "source", value_name = "STREAM")]
    sources: Vec<String>,
    /// Publish stored messages again: those of these subjects
    #[arg(long, value_name = "SUBJECT", requires = "republish_destination")]
    republish_source: Option<String>,
    /// Publish stored messages again: on these subjects
    #[arg(long, value_name = "SUBJECT")]
    republish_destination: Option<String>,
    /// Publish only the headers again
    #[arg(long, requires = "republish_destination")]
    republish_headers: bool,
    /// Rename subjects before storing: these
    #[arg(long, value_name = "SUBJECT", requires = "transform_destination")]
    transform_source: Option<String>,
    /// Rename subjects before storing: to these
    #[arg(long, value_name = "SUBJECT", requires = "transform_source")]
    transform_destination: Option<String>,
    /// Allow reads without going through the stream (the default)
    #[arg(long, overrides_with = "no_allow_direct")]
    allow_direct: bool,
    /// Do not allow reads without going through the stream
    #[arg(long)]
    no_allow_direct: bool,
    /// Allow such reads from a mirror
    #[arg(long)]
    allow_mirror_direct: bool,
    /// Allow messages that replace earlier ones
    #[arg(long)]
    allow_rollup: bool,
    /// Refuse to delete single messages
    #[arg(long)]
    deny_delete: bool,
    /// Refuse to purge
    #[arg(long)]
    deny_purge: bool,
    /// Allow messages with an age limit of their own
    #[arg(long)]
    allow_msg_ttl: bool,
    /// Store markers for subjects whose last message aged out, and keep them this long
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    subject_del_markers_ttl: Option<Duration>,
    /// Allow atomic batches
    #[arg(long)]
    allow_batch: bool,
    /// Allow counters
    #[arg(long)]
    allow_counter: bool,
    /// Allow scheduled messages
    #[arg(long)]
    allow_schedules: bool,
    /// Begin with the configuration in this JSON file; flags change it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl StreamFlags {
    /// The configuration document of stream `name`: the file's, changed by flags, filled up with defaults.
    ///
    /// # Errors
    /// [`Failure`] when the file cannot be used, a setting is missing, or two contradict each other.
    pub(crate) fn document(&self, name: Option<&str>) -> Result<Map<String, Value>, Failure> {
        let mut document = match &self.config {
            Some(path) => read_config(path)?,
            None => Map::new(),
        };
        self.write_name(name, &mut document)?;
        self.write_subjects(&mut document)?;
        self.write_retention(&mut document)?;
        self.write_values(&mut document);
        self.write_switches(&mut document);
        self.write_copying(&mut document)?;
        for (key, default) in defaults() {
            document.entry(key).or_insert(default);
        }
        if document.contains_key("mirror") {
            document.remove("subjects");
        }
        Ok(document)
    }

    fn write_name(
        &self,
        name: Option<&str>,
        document: &mut Map<String, Value>,
    ) -> Result<(), Failure> {
        let name = match (name, document.get("name").and_then(Value::as_str)) {
            (Some(name), _) => name.to_owned(),
            (None, Some(name)) => name.to_owned(),
            (None, None) => return Err(Failure::usage("the name of the stream is missing")),
        };
        crate::api::name("stream", &name)?;
        document.insert("name".to_owned(), json!(name));
        Ok(())
    }

    fn write_subjects(&self, document: &mut Map<String, Value>) -> Result<(), Failure> {
        let subjects = list(&self.subjects);
        for subject in &subjects {
            crate::forms::any_subject(subject).map_err(Failure::usage)?;
        }
        if !subjects.is_empty() {
            document.insert("subjects".to_owned(), json!(subjects));
        }
        let has_subjects = document
            .get("subjects")
            .and_then(Value::as_array)
            .is_some_and(|subjects| !subjects.is_empty());
        let copies = self.mirror.is_some()
            || !self.sources.is_empty()
            || document.contains_key("mirror")
            || document.contains_key("sources");
        if !has_subjects && !copies {
            return Err(Failure::usage(
                "--subjects is missing: say which subjects the stream stores",
            ));
        }
        if !subjects.is_empty() && self.mirror.is_some() {
            return Err(Failure::usage(
                "--mirror copies a stream and cannot have --subjects",
            ));
        }
        Ok(())
    }

    fn write_retention(&self, document: &mut Map<String, Value>) -> Result<(), Failure> {
        let max_age = match &self.retention {
            Some(retention) => {
                document.insert("retention".to_owned(), json!(retention.policy));
                retention.combine(self.max_age).map_err(Failure::usage)?
            }
            None => self.max_age,
        };
        if let Some(max_age) = max_age {
            document.insert("max_age".to_owned(), json!(max_age));
        }
        Ok(())
    }

    fn write_values(&self, document: &mut Map<String, Value>) {
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                document.insert(key.to_owned(), value);
            }
        };
        set("description", self.description.as_ref().map(|v| json!(v)));
        set("storage", self.storage.as_ref().map(|v| json!(v)));
        set("compression", self.compression.as_ref().map(|v| json!(v)));
        set("num_replicas", self.replicas.map(|v| json!(v)));
        set("discard", self.discard.as_ref().map(|v| json!(v)));
        set("max_bytes", self.max_bytes.map(|v| json!(v)));
        set("max_msgs", self.max_msgs.map(|v| json!(v)));
        set(
            "max_msgs_per_subject",
            self.max_msgs_per_subject.map(|v| json!(v)),
        );
        set("max_msg_size", self.max_msg_size.map(|v| json!(v)));
        set("max_consumers", self.max_consumers.map(|v| json!(v)));
        set(
            "duplicate_window",
            self.dupe_window.map(|v| json!(nanos(v))),
        );
        set("first_seq", self.first_sequence.map(|v| json!(v)));
        set(
            "subject_delete_marker_ttl",
            self.subject_del_markers_ttl.map(|v| json!(nanos(v))),
        );
        if !self.metadata.is_empty() {
            let metadata: Map<String, Value> = self
                .metadata
                .iter()
                .map(|(key, value)| (key.clone(), json!(value)))
                .collect();
            set("metadata", Some(Value::Object(metadata)));
        }
        if self.cluster.is_some() || !self.tags.is_empty() {
            let cluster = self.cluster.as_deref().unwrap_or_default();
            set(
                "placement",
                Some(json!({"cluster": cluster, "tags": self.tags})),
            );
        }
        let mut limits = Map::new();
        if let Some(inactive) = self.limit_consumer_inactive {
            limits.insert("inactive_threshold".to_owned(), json!(nanos(inactive)));
        }
        if let Some(pending) = self.limit_consumer_max_pending {
            limits.insert("max_ack_pending".to_owned(), json!(pending));
        }
        set(
            "consumer_limits",
            (!limits.is_empty()).then_some(Value::Object(limits)),
        );
    }

    fn write_switches(&self, document: &mut Map<String, Value>) {
        for (key, on) in [
            ("discard_new_per_subject", self.discard_per_subject),
            ("no_ack", self.no_ack),
            ("allow_direct", self.allow_direct),
            ("mirror_direct", self.allow_mirror_direct),
            ("allow_rollup_hdrs", self.allow_rollup),
            ("deny_delete", self.deny_delete),
            ("deny_purge", self.deny_purge),
            ("allow_msg_ttl", self.allow_msg_ttl),
            ("allow_atomic", self.allow_batch),
            ("allow_msg_counter", self.allow_counter),
            ("allow_msg_schedules", self.allow_schedules),
        ] {
            if on {
                document.insert(key.to_owned(), json!(true));
            }
        }
        if self.ack {
            document.insert("no_ack".to_owned(), json!(false));
        }
        if self.no_allow_direct {
            document.insert("allow_direct".to_owned(), json!(false));
        }
    }

    fn write_copying(&self, document: &mut Map<String, Value>) -> Result<(), Failure> {
        if let Some(mirror) = &self.mirror {
            document.insert("mirror".to_owned(), source("--mirror", mirror)?);
        }
        if !self.sources.is_empty() {
            let sources = self
                .sources
                .iter()
                .map(|text| source("--source", text))
                .collect::<Result<Vec<_>, _>>()?;
            document.insert("sources".to_owned(), Value::Array(sources));
        }
        if let Some(destination) = &self.republish_destination {
            let from = self.republish_source.as_deref().unwrap_or(">");
            let republish =
                json!({"src": from, "dest": destination, "headers_only": self.republish_headers});
            document.insert("republish".to_owned(), republish);
        }
        if let (Some(from), Some(to)) = (&self.transform_source, &self.transform_destination) {
            document.insert(
                "subject_transform".to_owned(),
                json!({"src": from, "dest": to}),
            );
        }
        Ok(())
    }
}

/// What the official tool creates when it is told to take its defaults.
fn defaults() -> [(&'static str, Value); 12] {
    [
        ("retention", json!("limits")),
        ("storage", json!("file")),
        ("discard", json!("old")),
        ("num_replicas", json!(1)),
        ("max_age", json!(0)),
        ("max_bytes", json!(-1)),
        ("max_msgs", json!(-1)),
        ("max_msgs_per_subject", json!(-1)),
        ("max_msg_size", json!(-1)),
        ("max_consumers", json!(-1)),
        ("duplicate_window", json!(0)),
        ("allow_direct", json!(true)),
    ]
}

/// A stream to copy from: a name, or a JSON object with its details.
fn source(flag: &str, text: &str) -> Result<Value, Failure> {
    if !text.trim_start().starts_with('{') {
        crate::api::name("stream", text)?;
        return Ok(json!({"name": text}));
    }
    serde_json::from_str(text)
        .map_err(|error| Failure::usage(format!("{flag} is not a JSON object: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        name: Option<String>,
        #[command(flatten)]
        flags: StreamFlags,
    }

    fn document(line: &str) -> Result<Map<String, Value>, Failure> {
        let line = format!("add {line}");
        let line = Line::try_parse_from(line.split(' '))
            .map_err(|error| Failure::usage(error.to_string()))?;
        line.flags.document(line.name.as_deref())
    }

    #[test]
    fn the_story_makes_the_configuration_it_means() {
        let made = document(
            "ORDERS --subjects order.* --storage file --replicas 1 --retention days=7 --max-age 7d --max-msg-size 1MB",
        )
        .expect("valid");
        let expected = json!({
            "name": "ORDERS",
            "subjects": ["order.*"],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "num_replicas": 1,
            "max_age": 604_800_000_000_000_i64,
            "max_bytes": -1,
            "max_msgs": -1,
            "max_msgs_per_subject": -1,
            "max_msg_size": 1_048_576,
            "max_consumers": -1,
            "duplicate_window": 0,
            "allow_direct": true,
        });
        assert_eq!(Value::Object(made), expected);
    }

    #[test]
    fn flags_reach_their_fields() {
        for (flags, key, expected) in [
            (
                "--subjects b,c --subjects d",
                "subjects",
                json!(["b", "c", "d"]),
            ),
            (
                "--subjects a --retention work",
                "retention",
                json!("workqueue"),
            ),
            (
                "--subjects a --retention hours=1",
                "max_age",
                json!(3_600_000_000_000_i64),
            ),
            ("--subjects a --storage m", "storage", json!("memory")),
            ("--subjects a --no-ack", "no_ack", json!(true)),
            (
                "--subjects a --no-allow-direct",
                "allow_direct",
                json!(false),
            ),
            ("--subjects a --max-age=-1", "max_age", json!(0)),
            ("--subjects a --max-msgs -1", "max_msgs", json!(-1)),
            (
                "--subjects a --dupe-window 30s",
                "duplicate_window",
                json!(30_000_000_000_i64),
            ),
            (
                "--subjects a --metadata a=b --metadata c=",
                "metadata",
                json!({"a": "b", "c": ""}),
            ),
            ("--mirror OTHER", "mirror", json!({"name": "OTHER"})),
            (
                "--source A --source B",
                "sources",
                json!([{"name": "A"}, {"name": "B"}]),
            ),
            (
                "--subjects a --limit-consumer-max-pending 5",
                "consumer_limits",
                json!({"max_ack_pending": 5}),
            ),
            ("--subjects a --first-sequence 100", "first_seq", json!(100)),
        ] {
            let made = document(&format!("S {flags}")).expect(flags);
            assert_eq!(made.get(key), Some(&expected), "{flags}");
        }
    }

    #[test]
    fn what_is_missing_or_contradicts_is_named() {
        for (line, text) in [
            ("S", "--subjects is missing"),
            ("--subjects a", "name of the stream is missing"),
            ("a.b --subjects a", "not a valid stream name"),
            ("S --subjects a..b", "not a valid subject"),
            (
                "S --subjects a --retention days=7 --max-age 1d",
                "--max-age says 1d0h0m0s",
            ),
            ("S --subjects a --mirror B", "cannot have --subjects"),
            ("S --subjects a --max-age 90", "no unit"),
            ("S --subjects a --retention days=7d", "plain number"),
        ] {
            let error = document(line).expect_err(line).to_string();
            assert!(error.contains(text), "{line}: {error}");
        }
    }

    #[test]
    fn a_file_is_changed_by_flags() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("stream.json");
        std::fs::write(
            &path,
            r#"{"name": "F", "subjects": ["f"], "max_msgs": 7, "storage": "memory"}"#,
        )
        .expect("written");
        let made = document(&format!("--config {} --storage file", path.display())).expect("valid");
        assert_eq!(made["name"], "F");
        assert_eq!(made["max_msgs"], 7);
        assert_eq!(made["storage"], "file");
        assert_eq!(made["discard"], "old");
    }
}
