//! The clients of a load: started together, ended by the end of their connections.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::consume::CONSUMER;
use super::ledger::{Facts, Keeps, Ledger, Presence};
use super::publish::Publisher;
use super::{chores, consume};
use crate::{JetStream, ServerProcess};

/// How hard the clients work.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// What a publisher sleeps whenever half of its window has been acknowledged, and who does chores after each of them.
    pub pause: Duration,
    /// Messages that a publisher has under way.
    pub window: usize,
}

/// A stream of the load.
struct Plan {
    name: &'static str,
    prefix: &'static str,
    config: &'static str,
    keeps: Keeps,
    keys: u16,
    publishers: u64,
    is_consumed: bool,
}

pub(super) const RING: u64 = 2_000;
/// The stream for deletions and purges.
pub(super) const SCRAP: &str = "SCRAP";

const PLANS: [Plan; 5] = [
    Plan {
        name: "LOG",
        prefix: "log",
        config: "",
        keeps: Keeps::All,
        keys: 50,
        publishers: 2,
        is_consumed: true,
    },
    Plan {
        name: "KV",
        prefix: "kv",
        config: r#","max_msgs_per_subject":1"#,
        keeps: Keeps::Latest,
        keys: 500,
        publishers: 1,
        is_consumed: false,
    },
    Plan {
        name: "RING",
        prefix: "ring",
        config: r#","max_msgs":2000"#,
        keeps: Keeps::Newest(RING),
        keys: 10,
        publishers: 1,
        is_consumed: false,
    },
    Plan {
        name: "JOBS",
        prefix: "jobs",
        config: r#","retention":"workqueue""#,
        keeps: Keeps::Unconsumed,
        keys: 10,
        publishers: 1,
        is_consumed: true,
    },
    Plan {
        name: SCRAP,
        prefix: "scrap",
        config: "",
        keeps: Keeps::All,
        keys: 5,
        publishers: 0,
        is_consumed: false,
    },
];

/// Running clients.
pub struct Load {
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Creates the streams and consumers, and enters them in the ledger. A stream of a kind that the server says it does not have yet
    /// is left out, and named.
    ///
    /// # Panics
    /// When the server refuses one for another reason.
    #[track_caller]
    pub fn create(server: &ServerProcess, ledger: &Ledger) -> Vec<&'static str> {
        let mut left_out = Vec::new();
        let mut js = JetStream::connect(server);
        for plan in &PLANS {
            let Plan {
                name,
                prefix,
                config,
                ..
            } = plan;
            let body = format!(r#"{{"name":"{name}","subjects":["{prefix}.*"]{config}}}"#);
            let answer = js.api(&format!("STREAM.CREATE.{name}"), &body);
            let error = answer["error"]["description"].as_str();
            if error.is_some_and(|error| error.contains("is not supported by this version")) {
                left_out.push(plan.name);
                continue;
            }
            assert_eq!(error, None, "{name}");
            let facts = Facts::new(plan.keeps, Presence::Sure, ledger.next_incarnation());
            ledger.streams().insert((*name).to_owned(), facts);
            if plan.is_consumed {
                js.create_consumer(
                    name,
                    CONSUMER,
                    r#""ack_policy":"explicit","max_ack_pending":1000,"ack_wait":1000000000"#,
                );
            }
        }
        left_out
    }

    /// Starts the clients; `round` tells their messages from those of earlier rounds.
    #[must_use]
    pub fn start(server: &ServerProcess, ledger: &Arc<Ledger>, round: u64, pace: Pace) -> Self {
        let port = server.port();
        let mut clients = Vec::new();
        for (index, plan) in PLANS.iter().enumerate() {
            if !ledger.streams().contains_key(plan.name) {
                continue;
            }
            for publisher in 0..plan.publishers {
                let publisher = Publisher {
                    number: round * 100 + index as u64 * 10 + publisher,
                    stream: plan.name,
                    prefix: plan.prefix,
                    keys: plan.keys,
                    window: pace.window,
                    pace,
                };
                let ledger = Arc::clone(ledger);
                clients.push(thread::spawn(move || publisher.run(port, &ledger)));
            }
            if plan.is_consumed {
                let (stream, ledger) = (plan.name, Arc::clone(ledger));
                clients.push(thread::spawn(move || {
                    consume::run(port, stream, round, &ledger);
                }));
            }
        }
        let ledger = Arc::clone(ledger);
        clients.push(thread::spawn(move || {
            chores::run(port, round, pace, &ledger);
        }));
        Self { clients }
    }

    /// Whether no client is left.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.clients.iter().all(JoinHandle::is_finished)
    }

    /// Waits until all clients have seen the end of their connections: the server is gone.
    ///
    /// # Panics
    /// When one of them did.
    pub fn join(self) {
        for client in self.clients {
            client.join().expect("a client panicked");
        }
    }
}
