//! Two servers, one of them nats-server 2.15.1, are asked the same random things about consumers and answer the same.
//!
//! Everything is asked one by one and waited for, so nothing depends on time. What docs/differences.md lists is not asked for. Needs
//! the nats-server that `cargo xtask clients` installs; without it, nothing is tested, and the test says so. `EVERJET_TWINS_SEED` begins
//! at another seed, `EVERJET_TWINS_ROUNDS` sets the number of seeds.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;

use everjet_conformance::{JetStream, ServerProcess, executable};
use everjet_values::{Entropy, SeededEntropy};
use serde_json::{Map, Value, json};

/// Things that are asked in a round.
const STEPS: usize = 120;
/// Rounds, each with its own stream.
const ROUNDS: u64 = 12;
/// Steps that are shown when the answers differ.
const SHOWN: usize = 40;
const CONSUMERS: [&str; 3] = ["a", "b", "c"];
/// Fields of a configuration and some of their values, allowed ones and others. Nothing that happens by itself within a test.
const FIELDS: &[(&str, &[&str])] = &[
    (
        "ack_policy",
        &[
            r#""explicit""#,
            r#""explicit""#,
            r#""explicit""#,
            r#""all""#,
            r#""none""#,
            r#""flow_control""#,
        ],
    ),
    ("durable_name", &[r#""a""#, r#""b""#, r#""c""#]),
    ("description", &[r#""x""#, r#""<&>""#]),
    (
        "deliver_policy",
        &[
            r#""all""#,
            r#""last""#,
            r#""new""#,
            r#""by_start_sequence""#,
            r#""by_start_time""#,
            r#""last_per_subject""#,
        ],
    ),
    ("opt_start_seq", &["0", "3", "900"]),
    (
        "opt_start_time",
        &[r#""2001-01-01T00:00:00Z""#, r#""2099-01-01T00:00:00Z""#],
    ),
    ("ack_wait", &["0", "-1", "60000000000"]),
    (
        "backoff",
        &["[60000000000]", "[60000000000,70000000000]", "[-1]"],
    ),
    (
        "filter_subject",
        &[
            r#""o.a""#,
            r#""o.*""#,
            r#""o.>""#,
            r#""x.y""#,
            r#""o..a""#,
            r#""""#,
        ],
    ),
    (
        "filter_subjects",
        &[
            r#"["o.a","o.b"]"#,
            r#"["o.a","o.*"]"#,
            r#"["o.c"]"#,
            r#"[""]"#,
        ],
    ),
    ("replay_policy", &[r#""instant""#]),
    ("rate_limit_bps", &["0", "8000"]),
    (
        "sample_freq",
        &[r#""50%""#, r#""x""#, r#""-1""#, r#""100""#],
    ),
    ("max_waiting", &["0", "1", "-1", "7"]),
    ("max_ack_pending", &["0", "900", "-1", "-7"]),
    ("flow_control", &["true", "false"]),
    ("headers_only", &["true", "false"]),
    ("max_batch", &["0", "3", "-1"]),
    ("max_expires", &["0", "5", "3600000000000", "-1"]),
    ("max_bytes", &["0", "100", "-1"]),
    (
        "deliver_subject",
        &[r#""""#, r#""nobody""#, r#""o.x""#, r#""n.*""#, r#""n..x""#],
    ),
    ("deliver_group", &[r#""g""#]),
    ("idle_heartbeat", &["0", "5", "1000000000", "-1"]),
    ("inactive_threshold", &["700000000000"]),
    ("num_replicas", &["0", "1", "3", "-1"]),
    ("mem_storage", &["true"]),
    ("metadata", &[r#"{"a":"b"}"#, r#"{"_nats.req.level":"9"}"#]),
    (
        "pause_until",
        &[r#""2099-01-01T00:00:00Z""#, r#""2001-01-01T00:00:00Z""#],
    ),
    (
        "priority_policy",
        &[
            r#""none""#,
            r#""overflow""#,
            r#""pinned_client""#,
            r#""prioritized""#,
            r#""odd""#,
        ],
    ),
    (
        "priority_groups",
        &[r#"["g"]"#, r#"["g","h"]"#, r#"[""]"#, r#"["a b"]"#],
    ),
    ("priority_timeout", &["0", "600000000000"]),
    ("unknown", &["1"]),
];
const ACKS: &[&str] = &[
    "",
    "",
    "+ACK",
    "-NAK",
    "-NAK {\"delay\":600000000000}",
    "-NAK 10m",
    "+TERM",
    "+TERM why",
    "nonsense",
];

/// The reference, when it is installed and not what is tested.
fn reference() -> Option<std::path::PathBuf> {
    let path = executable::clients().join("venv/bin/nats-server");
    if executable::is_reference() || !path.is_file() {
        eprintln!(
            "NOT RUN: answers are compared with those of nats-server; there is no {}, or it is what is tested",
            path.display()
        );
        return None;
    }
    Some(path)
}

/// A number from the environment.
fn number(variable: &str, otherwise: u64) -> u64 {
    match env::var(variable) {
        Ok(text) => text.parse().expect(variable),
        Err(_) => otherwise,
    }
}

/// A server and what it has given to clients that they give back.
struct Twin {
    _server: ServerProcess,
    js: JetStream,
    /// Where deliveries of each consumer are acknowledged.
    deliveries: BTreeMap<String, Vec<String>>,
    /// What the pinned client of each consumer shows.
    pins: BTreeMap<String, String>,
}

/// One thing that is asked.
#[derive(Clone, Debug)]
enum Step {
    /// A request of the API.
    Call(String, String),
    Publish(String, String),
    /// A pull request that does not wait for messages; its fields, and whether the pin is shown.
    Pull(String, Map<String, Value>, bool),
    /// The acknowledgement of one of the deliveries.
    Ack(String, usize, &'static str),
    /// Deliveries of the consumer are not acknowledged any more.
    Forget(String),
}

struct Generator(SeededEntropy);

impl Generator {
    fn below(&self, bound: usize) -> usize {
        let drawn = self.0.next_u64() % bound as u64;
        usize::try_from(drawn).expect("below a small number")
    }

    fn pick<'a, T: ?Sized>(&self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    fn config(&self, stream: &str, name: &str) -> Value {
        // Without a threshold nats-server shows the one that counts only until the next update.
        let mut config = json!({"name": name, "inactive_threshold": 600_000_000_000_u64});
        // Few fields at a time, so that most configurations are allowed.
        let is_plain = self.below(3) == 0;
        if is_plain || self.below(3) > 0 {
            config["ack_policy"] = json!("explicit");
        }
        for _ in 0..self.below(if is_plain { 2 } else { 6 }) {
            let (key, values) = &FIELDS[self.below(FIELDS.len())];
            let value = self.pick(values);
            let value = value.replace("\"o.", &format!("\"{stream}.o."));
            config[*key] = serde_json::from_str(&value).expect("a value");
        }
        if config["priority_policy"].is_string() && self.below(4) > 0 {
            config["priority_groups"] = json!(["g"]);
        }
        if config["deliver_policy"] == "by_start_sequence" && self.below(4) > 0 {
            config["opt_start_seq"] = json!(3);
        }
        config
    }

    fn steps(&self, stream: &str) -> Vec<Step> {
        let name = self.pick(&CONSUMERS).to_owned();
        let call = |verb: &str, body: String| {
            vec![Step::Call(format!("CONSUMER.{verb}.{stream}.{name}"), body)]
        };
        match self.below(20) {
            0..3 => {
                let action = self.pick(&["", "", "create", "update"]);
                let config = self.config(stream, &name);
                let mut body = json!({"stream_name": stream, "config": config, "action": action});
                if self.below(8) == 0 {
                    body["pedantic"] = json!(true);
                }
                call("CREATE", body.to_string())
            }
            3..6 => {
                let subject = self.pick(&["o.a", "o.b", "o.c"]);
                let text = "x".repeat(self.below(40));
                vec![Step::Publish(format!("{stream}.{subject}"), text)]
            }
            6..10 => vec![self.pull(name)],
            10..15 => {
                let which = self.below(1000);
                vec![Step::Ack(name, which, self.pick(ACKS))]
            }
            15 => call(
                "PAUSE",
                self.pick(&[
                    "",
                    "{}",
                    r#"{"pause_until":"2099-01-01T00:00:00Z"}"#,
                    r#"{"a":1}"#,
                ])
                .to_owned(),
            ),
            16 => call(
                "UNPIN",
                self.pick(&[
                    "{}",
                    r#"{"group":"g"}"#,
                    r#"{"group":"h"}"#,
                    r#"{"group":"-"}"#,
                ])
                .to_owned(),
            ),
            17 if self.below(2) == 0 => {
                let mut steps = call("DELETE", String::new());
                steps.push(Step::Forget(name));
                steps
            }
            17 => {
                let body = json!({"seq": self.below(20) + 1}).to_string();
                vec![Step::Call(format!("STREAM.MSG.DELETE.{stream}"), body)]
            }
            18 => {
                let verb = self.pick(&["NAMES", "LIST"]);
                vec![Step::Call(
                    format!("CONSUMER.{verb}.{stream}"),
                    String::new(),
                )]
            }
            _ => call("INFO", String::new()),
        }
    }

    fn pull(&self, name: String) -> Step {
        let mut fields = Map::new();
        let mut set = |key: &str, value: Value| fields.insert(key.to_owned(), value);
        set("batch", json!(self.below(4) + 1));
        set("no_wait", json!(true));
        if self.below(2) == 0 {
            set("group", json!(self.pick(&["g", "g", "g", "h", "-"])));
        }
        for (key, values) in [
            ("priority", &[0, 5, 11][..]),
            ("min_pending", &[1, 3]),
            ("min_ack_pending", &[1, 3]),
        ] {
            if self.below(8) == 0 {
                set(key, json!(values[self.below(values.len())]));
            }
        }
        if self.below(12) == 0 {
            set("id", json!("wrong"));
        }
        Step::Pull(name, fields, self.below(3) > 0)
    }
}

impl Twin {
    fn new(server: ServerProcess) -> Self {
        Self {
            js: JetStream::connect(&server),
            _server: server,
            deliveries: BTreeMap::new(),
            pins: BTreeMap::new(),
        }
    }

    /// Does one thing and returns what came of it, without what differs from run to run.
    fn take(&mut self, stream: &str, step: &Step) -> String {
        match step {
            Step::Call(call, body) => normal(&self.js.api(call, body)),
            Step::Publish(subject, body) => normal(&self.js.request(subject, body).json()),
            Step::Pull(consumer, fields, shows_pin) => {
                self.pull(stream, consumer, fields, *shows_pin)
            }
            Step::Ack(consumer, which, body) => {
                let deliveries = self.deliveries.get(consumer).map_or(&[][..], Vec::as_slice);
                let Some(at) = which.checked_rem(deliveries.len()) else {
                    return String::new();
                };
                let reply = deliveries[at].clone();
                let confirmed = self.js.request(&reply, body).0;
                format!("{:?}", confirmed.status())
            }
            Step::Forget(consumer) => {
                self.deliveries.remove(consumer);
                String::new()
            }
        }
    }

    fn pull(
        &mut self,
        stream: &str,
        consumer: &str,
        fields: &Map<String, Value>,
        shows_pin: bool,
    ) -> String {
        let mut fields = fields.clone();
        if shows_pin && let Some(pin) = self.pins.get(consumer) {
            fields.insert("id".to_owned(), json!(pin));
        }
        let batch = fields["batch"].as_u64().expect("a number");
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        self.js
            .publish(&subject, &[], &Value::Object(fields).to_string());
        let mut shown = String::new();
        for _ in 0..batch {
            let message = self.js.raw().message();
            if let Some(status) = message.status() {
                let left = message.header("Nats-Pending-Messages");
                let bytes = message.header("Nats-Pending-Bytes");
                write!(shown, "{status} {left:?} {bytes:?}").expect("memory");
                break;
            }
            let reply = message.reply.clone().expect("an ack reply");
            let tokens: Vec<&str> = reply.split('.').collect();
            // All but the time.
            let (before, after) = (&tokens[..7], &tokens[8..]);
            let mut headers = String::from_utf8_lossy(&message.headers).into_owned();
            if let Some(pin) = message.header("Nats-Pin-Id") {
                headers = headers.replace(&pin, "PIN");
                self.pins.insert(consumer.to_owned(), pin);
            }
            let text = message.text();
            writeln!(
                shown,
                "{} {before:?} {after:?} {headers:?} {text}",
                message.subject
            )
            .expect("memory");
            self.deliveries
                .entry(consumer.to_owned())
                .or_default()
                .push(reply);
        }
        shown
    }
}

/// An answer without times and names that are drawn.
fn normal(answer: &Value) -> String {
    let mut answer = answer.clone();
    clean(&mut answer);
    answer.to_string()
}

fn clean(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for key in [
                "created",
                "ts",
                "last_active",
                "_nats.level",
                "_nats.ver",
                "time",
            ] {
                fields.remove(key);
            }
            for key in ["pinned_client_id", "pause_remaining"] {
                if let Some(there) = fields.get_mut(key) {
                    *there = json!("there");
                }
            }
            if let Some(pinned) = fields.get_mut("pinned_ts")
                && *pinned != "0001-01-01T00:00:00Z"
            {
                *pinned = json!("there");
            }
            for field in fields.values_mut() {
                clean(field);
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(clean),
        _ => {}
    }
}

/// One round: a stream, and steps drawn from the seed.
fn compare(seed: u64, twins: &mut [Twin; 2]) {
    let generator = Generator(SeededEntropy::new(seed));
    let stream = format!("T{seed}");
    let config = json!({"name": stream, "subjects": [format!("{stream}.>")], "storage": generator.pick(&["file", "memory"])});
    let mut steps = vec![Step::Call(
        format!("STREAM.CREATE.{stream}"),
        config.to_string(),
    )];
    while steps.len() < STEPS {
        steps.extend(generator.steps(&stream));
    }
    let [ours, theirs] = twins;
    for twin in [&mut *ours, &mut *theirs] {
        twin.deliveries.clear();
        twin.pins.clear();
    }
    let mut done = Vec::new();
    for step in &steps {
        let expected = theirs.take(&stream, step);
        let found = ours.take(&stream, step);
        done.push(step);
        if found != expected && !matches!(step, Step::Call(call, _) if call.starts_with("STREAM."))
        {
            let last: Vec<String> = done
                .iter()
                .rev()
                .take(SHOWN)
                .rev()
                .map(|step| format!("{step:?}"))
                .collect();
            panic!(
                "seed {seed}, after\n{}\nnats-server says\n{expected}\nthis server says\n{found}",
                last.join("\n")
            );
        }
    }
}

#[test]
fn consumers_answer_as_those_of_nats_server() {
    let Some(reference) = reference() else {
        return;
    };
    let config = "jetstream: { enabled: true, store_dir: \"{dir}/store\" }\n";
    let mut twins = [
        Twin::new(ServerProcess::start_jetstream()),
        Twin::new(ServerProcess::start_with(&reference, config, &[])),
    ];
    let first = number("EVERJET_TWINS_SEED", 1);
    for seed in first..first + number("EVERJET_TWINS_ROUNDS", ROUNDS) {
        compare(seed, &mut twins);
    }
}
