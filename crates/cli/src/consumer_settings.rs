//! The settings of a consumer on the command line, and the configuration document they make.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use everjet_values::Timestamp;
use serde_json::{Map, Value, json};

use crate::commands::read_config;
use crate::failure::Failure;
use crate::forms::{byte_limit, duration, key_value, nanos, now};
use crate::reader::Start;

/// The settings of `consumer add`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ConsumerFlags {
    /// Messages are asked for (the default)
    #[arg(long, conflicts_with = "target")]
    pull: bool,
    /// Messages are pushed to this subject
    #[arg(long, value_name = "SUBJECT", value_parser = crate::forms::literal_subject)]
    target: Option<String>,
    /// The consumer goes when nobody uses it
    #[arg(long)]
    ephemeral: bool,
    /// What the consumer is for
    #[arg(long)]
    description: Option<String>,
    /// Metadata KEY=VALUE; may be repeated
    #[arg(long, value_parser = key_value, value_name = "KEY=VALUE")]
    metadata: Vec<(String, String)>,
    /// Only messages of these subjects; may be repeated
    #[arg(long = "filter", value_name = "SUBJECT")]
    filters: Vec<String>,
    /// Where to begin: all, new, last, subject, a sequence, or a duration ago [default: all]
    #[arg(long, value_parser = deliver, value_name = "WHERE")]
    deliver: Option<Deliver>,
    /// How messages are acknowledged [default: explicit]
    #[arg(long, value_parser = ["none", "all", "explicit"])]
    ack: Option<String>,
    /// How long to wait for an acknowledgement before delivering again
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    wait: Option<Duration>,
    /// How often a message is delivered at most; -1 for no limit
    #[arg(long, allow_hyphen_values = true, value_name = "COUNT")]
    max_deliver: Option<i64>,
    /// How many messages may wait for their acknowledgement
    #[arg(long, allow_hyphen_values = true, value_name = "COUNT")]
    max_pending: Option<i64>,
    /// Waits that grow from one delivery to the next
    #[arg(long, value_parser = ["none", "linear"])]
    backoff: Option<String>,
    /// How many such waits
    #[arg(long, default_value_t = 10, requires = "backoff", value_name = "COUNT")]
    backoff_steps: u32,
    /// The shortest of them
    #[arg(long, value_parser = duration, default_value = "1m", requires = "backoff", value_name = "DURATION")]
    backoff_min: Duration,
    /// The longest of them
    #[arg(long, value_parser = duration, default_value = "10m", requires = "backoff", value_name = "DURATION")]
    backoff_max: Duration,
    /// The pace of delivery: at once, or as the messages were published [default: instant]
    #[arg(long, value_parser = ["instant", "original"])]
    replay: Option<String>,
    /// How many percent of acknowledgements are reported
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100), value_name = "PERCENT")]
    sample: Option<u8>,
    /// How many bits a second are pushed at most
    #[arg(long, requires = "target", value_name = "BITS")]
    bps: Option<u64>,
    /// The queue group that shares pushed messages
    #[arg(long, requires = "target", value_name = "GROUP")]
    deliver_group: Option<String>,
    /// How often the server says that it is still there
    #[arg(long, requires = "target", value_parser = duration, value_name = "DURATION")]
    heartbeat: Option<Duration>,
    /// Pause pushing to a slow subscriber
    #[arg(long, requires = "target")]
    flow_control: bool,
    /// Leave the bodies out
    #[arg(long)]
    headers_only: bool,
    /// How many requests may wait
    #[arg(long, conflicts_with = "target", value_name = "COUNT")]
    max_waiting: Option<i64>,
    /// How many messages one request may ask for
    #[arg(long, conflicts_with = "target", value_name = "COUNT")]
    max_pull_batch: Option<i64>,
    /// How long one request may wait
    #[arg(long, conflicts_with = "target", value_parser = duration, value_name = "DURATION")]
    max_pull_expire: Option<Duration>,
    /// How many bytes one request may ask for
    #[arg(long, conflicts_with = "target", value_parser = byte_limit, value_name = "SIZE")]
    max_pull_bytes: Option<i64>,
    /// How long the consumer stays when nobody uses it
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    inactive_threshold: Option<Duration>,
    /// Keep the state in memory
    #[arg(long)]
    memory: bool,
    /// How many servers keep the state
    #[arg(long)]
    replicas: Option<u32>,
    /// Begin with the configuration in this JSON file; flags change it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConsumerFlags {
    /// The configuration document of consumer `name`: the file's, changed by flags, filled up with defaults.
    ///
    /// # Errors
    /// [`Failure`] when the file cannot be used, a setting is missing, or two contradict each other.
    pub(crate) fn document(&self, name: Option<&str>) -> Result<Map<String, Value>, Failure> {
        let mut document = match &self.config {
            Some(path) => read_config(path)?,
            None => Map::new(),
        };
        self.write_name(name, &mut document)?;
        self.write_filters(&mut document)?;
        self.write_values(&mut document);
        self.write_start(&mut document);
        self.write_backoff(&mut document)?;
        for (key, on) in [
            ("flow_control", self.flow_control),
            ("headers_only", self.headers_only),
            ("mem_storage", self.memory),
        ] {
            if on {
                document.insert(key.to_owned(), json!(true));
            }
        }
        for (key, default) in [
            ("ack_policy", "explicit"),
            ("deliver_policy", "all"),
            ("replay_policy", "instant"),
        ] {
            document.entry(key).or_insert(json!(default));
        }
        if self.pull {
            document.remove("deliver_subject");
        }
        Ok(document)
    }

    fn write_name(
        &self,
        name: Option<&str>,
        document: &mut Map<String, Value>,
    ) -> Result<(), Failure> {
        let in_file = ["durable_name", "name"]
            .iter()
            .find_map(|key| document.get(*key).and_then(Value::as_str));
        let name = name.or(in_file).map(str::to_owned);
        let Some(name) = name else {
            if self.ephemeral {
                return Ok(());
            }
            return Err(Failure::usage(
                "the name of the consumer is missing; give one, or add --ephemeral",
            ));
        };
        crate::api::name("consumer", &name)?;
        document.insert("name".to_owned(), json!(name));
        if self.ephemeral {
            document.remove("durable_name");
        } else {
            document.insert("durable_name".to_owned(), json!(name));
        }
        Ok(())
    }

    fn write_filters(&self, document: &mut Map<String, Value>) -> Result<(), Failure> {
        let filters = crate::forms::list(&self.filters);
        for filter in &filters {
            crate::forms::any_subject(filter).map_err(Failure::usage)?;
        }
        if !filters.is_empty() {
            document.remove("filter_subject");
            document.remove("filter_subjects");
        }
        match filters.as_slice() {
            [] => {}
            [one] => {
                document.insert("filter_subject".to_owned(), json!(one));
            }
            many => {
                document.insert("filter_subjects".to_owned(), json!(many));
            }
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
        set("deliver_subject", self.target.as_ref().map(|v| json!(v)));
        set(
            "deliver_group",
            self.deliver_group.as_ref().map(|v| json!(v)),
        );
        set("ack_policy", self.ack.as_ref().map(|v| json!(v)));
        set("ack_wait", self.wait.map(|v| json!(nanos(v))));
        set("max_deliver", self.max_deliver.map(|v| json!(v)));
        set("max_ack_pending", self.max_pending.map(|v| json!(v)));
        set("replay_policy", self.replay.as_ref().map(|v| json!(v)));
        set("sample_freq", self.sample.map(|v| json!(format!("{v}%"))));
        set("rate_limit_bps", self.bps.map(|v| json!(v)));
        set("idle_heartbeat", self.heartbeat.map(|v| json!(nanos(v))));
        set("max_waiting", self.max_waiting.map(|v| json!(v)));
        set("max_batch", self.max_pull_batch.map(|v| json!(v)));
        set("max_expires", self.max_pull_expire.map(|v| json!(nanos(v))));
        set("max_bytes", self.max_pull_bytes.map(|v| json!(v)));
        set(
            "inactive_threshold",
            self.inactive_threshold.map(|v| json!(nanos(v))),
        );
        set("num_replicas", self.replicas.map(|v| json!(v)));
        if !self.metadata.is_empty() {
            let metadata: Map<String, Value> = self
                .metadata
                .iter()
                .map(|(key, value)| (key.clone(), json!(value)))
                .collect();
            set("metadata", Some(Value::Object(metadata)));
        }
    }

    fn write_start(&self, document: &mut Map<String, Value>) {
        let Some(deliver) = self.deliver else { return };
        document.remove("opt_start_seq");
        document.remove("opt_start_time");
        let mut config = Value::Object(std::mem::take(document));
        deliver.at(now()).write(&mut config);
        if let Value::Object(written) = config {
            *document = written;
        }
    }

    fn write_backoff(&self, document: &mut Map<String, Value>) -> Result<(), Failure> {
        match self.backoff.as_deref() {
            Some("linear") => {}
            Some(_) => {
                document.remove("backoff");
                return Ok(());
            }
            None => return Ok(()),
        }
        let (steps, min, max) = (self.backoff_steps, self.backoff_min, self.backoff_max);
        if steps == 0 || min > max {
            return Err(Failure::usage(
                "--backoff linear needs at least one of --backoff-steps, and --backoff-min not above --backoff-max",
            ));
        }
        let step = (max - min) / (steps - 1).max(1);
        let waits: Vec<i64> = (0..steps).map(|index| nanos(min + step * index)).collect();
        // The server wants more deliveries than waits; without a limit it has them.
        document.insert("backoff".to_owned(), json!(waits));
        Ok(())
    }
}

/// A value of `--deliver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deliver {
    At(Start),
    Ago(Duration),
}

impl Deliver {
    fn at(self, now: Timestamp) -> Start {
        match self {
            Self::At(start) => start,
            Self::Ago(ago) => Start::Since(now.minus(ago)),
        }
    }
}

fn deliver(text: &str) -> Result<Deliver, String> {
    Ok(match text {
        "all" => Deliver::At(Start::All),
        "new" | "next" => Deliver::At(Start::New),
        "last" => Deliver::At(Start::Last),
        "subject" | "last_per_subject" => Deliver::At(Start::LastPerSubject),
        _ => match text.parse::<u64>() {
            Ok(0) => return Err("sequences start at 1".to_owned()),
            Ok(sequence) => Deliver::At(Start::Sequence(sequence)),
            Err(_) => Deliver::Ago(duration(text).map_err(|_| {
                format!(
                    "{text:?} is not one of all, new, last, subject, a sequence, or a duration like 1h"
                )
            })?),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        name: Option<String>,
        #[command(flatten)]
        flags: ConsumerFlags,
    }

    fn document(line: &str) -> Result<Map<String, Value>, Failure> {
        let line = format!("add {line}");
        let line = Line::try_parse_from(line.split(' '))
            .map_err(|error| Failure::usage(error.to_string()))?;
        line.flags.document(line.name.as_deref())
    }

    #[test]
    fn a_name_is_enough_for_a_durable_pull_consumer() {
        let made = document("c").expect("valid");
        assert_eq!(
            Value::Object(made),
            json!({
                "name": "c", "durable_name": "c", "ack_policy": "explicit",
                "deliver_policy": "all", "replay_policy": "instant",
            })
        );
    }

    #[test]
    fn flags_reach_their_fields() {
        for (flags, key, expected) in [
            ("--deliver 22", "opt_start_seq", json!(22)),
            ("--deliver new", "deliver_policy", json!("new")),
            ("--deliver 1h", "deliver_policy", json!("by_start_time")),
            (
                "--filter a --filter b",
                "filter_subjects",
                json!(["a", "b"]),
            ),
            ("--filter a", "filter_subject", json!("a")),
            (
                "--target x --heartbeat 5s",
                "idle_heartbeat",
                json!(5_000_000_000_i64),
            ),
            ("--wait 10s", "ack_wait", json!(10_000_000_000_i64)),
            ("--ack none", "ack_policy", json!("none")),
            ("--sample 50", "sample_freq", json!("50%")),
            (
                "--backoff linear --backoff-steps 3 --backoff-min 1s --backoff-max 5s",
                "backoff",
                json!([1_000_000_000_i64, 3_000_000_000_i64, 5_000_000_000_i64]),
            ),
            ("--max-pull-batch 7", "max_batch", json!(7)),
        ] {
            let made = document(&format!("c {flags}")).expect(flags);
            assert_eq!(made.get(key), Some(&expected), "{flags}");
        }
    }

    #[test]
    fn ephemeral_consumers_need_no_name() {
        let made = document("--ephemeral").expect("valid");
        assert!(!made.contains_key("durable_name"));
        assert!(document("--pull").is_err());
    }

    #[test]
    fn contradictions_are_refused() {
        for flags in [
            "--pull --target x",
            "--heartbeat 5s",
            "--target x --max-waiting 5",
            "--deliver 0",
            "--deliver sometimes",
            "--backoff linear --backoff-min 5m --backoff-max 1m",
            "--ack flow_control",
        ] {
            assert!(document(&format!("c {flags}")).is_err(), "{flags}");
        }
    }
}
