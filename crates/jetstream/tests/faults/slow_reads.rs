//! A disk that does not answer reads keeps nobody waiting but those who want what is on it.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::client::{Client, PULL};
use crate::disk::Gate;
use crate::rig::{Rig, consumer_config, eventually, publish, wait_until};
use crate::seams::error_of;

/// Messages that are on disk only when the tests begin.
const OLD: u64 = 300;

/// A server that was started again, and whose disk keeps all who read segments waiting until the gate opens.
struct Slow {
    rig: Rig,
    client: Client,
    /// When the hundredth message was stored.
    time_of_100: Value,
    gate: Arc<Gate>,
    /// Reads that wait or waited.
    waiting: Arc<AtomicUsize>,
    /// The threads that read.
    threads: Arc<Mutex<Vec<String>>>,
}

impl Slow {
    /// The stream `S` has [`OLD`] messages on `s.old`.
    fn new() -> Self {
        let mut rig = Rig::new();
        let config =
            json!({ "name": "S", "subjects": ["s.>"], "storage": "file", "allow_direct": true });
        let created = rig.ask("$JS.API.STREAM.CREATE.S", config.to_string());
        assert_eq!(error_of(&created), None, "{created}");
        for number in 1..OLD {
            rig.publish("s.old", json!({ "n": number }).to_string().as_bytes());
        }
        rig.store("s.old", json!({ "n": OLD }).to_string());
        let get = json!({ "seq": 100 }).to_string();
        let time_of_100 = rig.ask("$JS.API.STREAM.MSG.GET.S", get)["message"]["time"].take();
        rig.stop();
        let rig = rig.started_again();
        let client = Client::of(&rig);
        let gate = Arc::new(Gate::default());
        let waiting = Arc::new(AtomicUsize::new(0));
        let threads = Arc::new(Mutex::new(Vec::new()));
        let (here, count, names) = (
            Arc::clone(&gate),
            Arc::clone(&waiting),
            Arc::clone(&threads),
        );
        rig.faults.set_reads(move |path| {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("the test").to_owned();
            // These read in the background, and nobody waits for them.
            let is_apart = ["scrub", "compactor"].contains(&&*name);
            if !is_apart && path.extension().is_some_and(|kind| kind == "seg") {
                names.lock().unwrap().push(name);
                count.fetch_add(1, Ordering::SeqCst);
                here.pass();
            }
            Ok(())
        });
        Self {
            rig,
            client,
            time_of_100,
            gate,
            waiting,
            threads,
        }
    }

    fn wait_for_a_read(&self) {
        wait_until("a read", || self.waiting.load(Ordering::SeqCst) > 0);
    }

    /// The answer to a request that is there when the request was sent; unless somebody else works for the stream or the API at
    /// that moment, so it is asked again.
    fn at_once(&mut self, subject: &str, body: &str) -> Value {
        eventually("an answer at once", || {
            let reply = self.rig.send(subject, body);
            let early = self.rig.inbox.first(&reply);
            self.rig.answer(&reply);
            early
        })
    }

    fn add_consumer(&mut self, name: &str, filter: &str) {
        let mut body: Value = serde_json::from_str(&consumer_config(name, "explicit")).unwrap();
        body["config"]["filter_subject"] = json!(filter);
        let subject = format!("$JS.API.CONSUMER.CREATE.S.{name}");
        let created = self.rig.ask(&subject, body.to_string());
        assert_eq!(error_of(&created), None, "{created}");
    }

    fn pull(&mut self, consumer: &str, batch: u64) {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.S.{consumer}");
        let body = json!({ "batch": batch }).to_string();
        let Rig { turn, account, .. } = &mut self.rig;
        publish(turn, account, &subject, PULL, body.as_bytes());
        turn.flush();
    }

    /// The bodies of the messages on a subject that came.
    fn delivered(&self, subject: &str) -> Vec<u64> {
        let number = |body: String| {
            let body: Value = serde_json::from_str(&body).unwrap();
            body["n"].as_u64().unwrap()
        };
        let bodies = self.client.bodies(subject).into_iter();
        bodies.map(number).collect()
    }

    /// Everything that needs no old message works.
    fn check_that_the_rest_works(&mut self) {
        let rig = &mut self.rig;
        let sequence = rig.store("s.new", json!({ "n": 1 }).to_string());
        assert_eq!(rig.subject_of(sequence), Ok("s.new".to_owned()));
        assert_eq!(rig.state()["last_seq"], sequence);
        self.add_consumer("recent", "s.new");
        self.pull("recent", 1);
        wait_until("a delivery", || !self.delivered("s.new").is_empty());
        // That of a message which was not delivered is answered as well; an acknowledgement goes the same way.
        let ack = format!("$JS.ACK.S.recent.1.{sequence}.1.0.0");
        self.rig.ask(&ack, "");
        let info = self.rig.ask("$JS.API.CONSUMER.INFO.S.recent", "");
        assert_eq!(info["ack_floor"]["stream_seq"], sequence, "{info}");
    }

    /// Opens the gate; nobody who must not wait has read.
    fn go_on(&self) {
        self.gate.open();
        let threads = self.threads.lock().unwrap();
        let may_wait = |name: &String| name == "api" || name.starts_with("reader-");
        assert!(threads.iter().all(may_wait), "{threads:?}");
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.gate.open();
    }
}

#[test]
fn deliveries_of_old_messages_keep_nobody_waiting() {
    let mut slow = Slow::new();
    slow.add_consumer("old", "s.old");
    slow.pull("old", OLD);
    slow.wait_for_a_read();
    slow.check_that_the_rest_works();
    assert_eq!(slow.delivered("s.old"), Vec::<u64>::new());
    slow.go_on();
    wait_until("the old messages", || {
        slow.delivered("s.old").len() as u64 == OLD
    });
    assert_eq!(slow.delivered("s.old"), (1..=OLD).collect::<Vec<_>>());
    // One block, and the first message by itself: nobody knew yet that the others would follow.
    assert!(slow.waiting.load(Ordering::SeqCst) <= 3);
}

#[test]
fn many_consumers_of_old_messages_each_get_all_of_them() {
    let mut slow = Slow::new();
    for number in 0..10 {
        slow.add_consumer(&format!("old-{number}"), "s.old");
        slow.pull(&format!("old-{number}"), OLD);
    }
    slow.wait_for_a_read();
    slow.check_that_the_rest_works();
    slow.go_on();
    wait_until("the old messages", || {
        slow.delivered("s.old").len() as u64 == 10 * OLD
    });
}

#[test]
fn requests_for_old_messages_keep_nobody_waiting() {
    let mut slow = Slow::new();
    let body = json!({ "seq": 5 }).to_string();
    let direct = slow.rig.send("$JS.API.DIRECT.GET.S", &body);
    let get = slow.rig.send("$JS.API.STREAM.MSG.GET.S", &body);
    wait_until("both reads", || slow.waiting.load(Ordering::SeqCst) == 2);
    slow.check_that_the_rest_works();
    assert_eq!(slow.rig.stream_names(), json!(["S"]), "and the API answers");
    assert_eq!(slow.rig.inbox.first(&direct), None);
    slow.go_on();
    assert_eq!(slow.rig.answer(&direct)["n"], 5);
    assert_eq!(slow.rig.answer(&get)["message"]["seq"], 5);
}

#[test]
fn who_asks_for_a_message_answers_it_when_that_takes_no_waiting() {
    let mut slow = Slow::new();
    // Recent ones are in memory, and whoever publishes answers at once: there is nothing to wait for.
    let sequence = slow.rig.store("s.new", json!({ "n": 7 }).to_string());
    let of_sequence = json!({ "seq": sequence }).to_string();
    let of_subject = json!({ "last_by_subj": "s.new" }).to_string();
    for (subject, body) in [
        ("$JS.API.DIRECT.GET.S", &of_sequence),
        ("$JS.API.DIRECT.GET.S", &of_subject),
        ("$JS.API.DIRECT.GET.S.s.new", &String::new()),
    ] {
        assert_eq!(slow.at_once(subject, body), json!({ "n": 7 }), "{body}");
    }
    for body in [&of_sequence, &of_subject] {
        let answer = slow.at_once("$JS.API.STREAM.MSG.GET.S", body);
        assert_eq!(answer["message"]["seq"], sequence, "{body}");
    }
    assert_eq!(slow.waiting.load(Ordering::SeqCst), 0, "nobody read");
}

#[test]
fn more_gets_than_readers_are_all_answered() {
    let mut slow = Slow::new();
    let replies: Vec<_> = (1..=OLD)
        .map(|sequence| {
            let body = json!({ "seq": sequence }).to_string();
            slow.rig.send("$JS.API.DIRECT.GET.S", body)
        })
        .collect();
    slow.wait_for_a_read();
    slow.check_that_the_rest_works();
    slow.go_on();
    for (reply, number) in replies.iter().zip(1..) {
        assert_eq!(slow.rig.answer(reply)["n"], number);
    }
}

#[test]
fn the_time_of_the_first_message_is_read_while_the_stream_goes_on() {
    let mut slow = Slow::new();
    // An erasure looks at what the file is made of, and would wait for the disk.
    let delete = json!({ "seq": 1, "no_erase": true }).to_string();
    let removed = slow.rig.ask("$JS.API.STREAM.MSG.DELETE.S", delete);
    assert_eq!(removed["success"], true, "{removed}");
    let info = slow.rig.send("$JS.API.STREAM.INFO.S", "");
    let list = slow.rig.send("$JS.API.STREAM.LIST", "");
    slow.wait_for_a_read();
    slow.rig.store("s.new", "{}");
    assert_eq!(slow.rig.stream_names(), json!(["S"]));
    slow.go_on();
    let shown = slow.rig.answer(&info)["state"]["first_ts"].take();
    let body = json!({ "seq": 2 }).to_string();
    let message = slow.rig.ask("$JS.API.STREAM.MSG.GET.S", body);
    assert_eq!(shown, message["message"]["time"]);
    assert_eq!(
        slow.rig.answer(&list)["streams"][0]["state"]["first_ts"],
        shown
    );
}

#[test]
fn a_consumer_from_a_time_on_is_created_while_the_stream_goes_on() {
    let mut slow = Slow::new();
    let config = json!({
        "name": "c", "durable_name": "c", "ack_policy": "explicit",
        "deliver_policy": "by_start_time", "opt_start_time": slow.time_of_100,
    });
    let create = json!({ "stream_name": "S", "config": config }).to_string();
    let reply = slow.rig.send("$JS.API.CONSUMER.CREATE.S.c", create);
    slow.wait_for_a_read();
    slow.rig.store("s.new", "{}");
    slow.go_on();
    let created = slow.rig.answer(&reply);
    let last_of_same_time = created["num_pending"].as_u64().unwrap();
    assert!(
        (OLD - 98..=OLD + 1).contains(&last_of_same_time),
        "{created}"
    );
    slow.pull("c", OLD);
    wait_until("its messages", || {
        slow.delivered("s.old").last() == Some(&OLD)
    });
    assert!(slow.delivered("s.old").contains(&100));
}

#[test]
fn old_messages_expire_while_the_stream_goes_on() {
    let mut slow = Slow::new();
    let config = json!({
        "name": "S", "subjects": ["s.>"], "storage": "file", "allow_direct": true,
        "max_age": 1_000_000_000, "duplicate_window": 100_000_000,
    });
    let updated = slow.rig.ask("$JS.API.STREAM.UPDATE.S", config.to_string());
    assert_eq!(error_of(&updated), None, "{updated}");
    // As long as there is one that stays, somebody has to look where those end that go.
    let waiting = Arc::clone(&slow.waiting);
    wait_until("a read", || {
        slow.rig.store("s.new", "{}");
        waiting.load(Ordering::SeqCst) > 0
    });
    let sequence = slow.rig.store("s.new", "{}");
    assert!(sequence > OLD);
    slow.go_on();
    let rig = &mut slow.rig;
    wait_until("the expiry of all", || rig.state()["messages"] == 0);
    assert_eq!(rig.log.errors(), Vec::<String>::new());
}

#[test]
fn a_disk_that_fails_for_a_while_costs_time_and_no_message() {
    let mut slow = Slow::new();
    slow.gate.open();
    let failures = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&failures);
    slow.rig.faults.set_reads(move |path: &Path| {
        let is_segment = path.extension().is_some_and(|kind| kind == "seg");
        if is_segment && counted.fetch_add(1, Ordering::SeqCst) < 2 {
            return Err(io::Error::other("input/output error"));
        }
        Ok(())
    });
    let get = slow.rig.subject_of(5);
    assert!(get.is_err(), "{get:?}");
    slow.add_consumer("old", "s.old");
    slow.pull("old", OLD);
    let delivered = eventually("the old messages", || {
        Some(slow.delivered("s.old")).filter(|all| all.len() as u64 == OLD)
    });
    assert_eq!(delivered, (1..=OLD).collect::<Vec<_>>());
    assert!(failures.load(Ordering::SeqCst) > 2);
}
