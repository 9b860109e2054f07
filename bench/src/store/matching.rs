//! A consumer whose filter takes one in 100 k messages.

use std::time::{Duration, Instant};

use everjet_conformance::{JetStream, ServerProcess};

use super::data::{Data, TENTHS};
use super::site::Site;
use crate::connection::{open, read, write};
use crate::figure::Figure;
use crate::frames::{self, Frame};
use crate::machine::cpu_time_of_threads;
use crate::outcome::{Load, Outcome};

/// Consumers a run at most, each with a filter of its own.
const CONSUMERS: u64 = 10;
/// No further consumer after this time.
const LONG_ENOUGH: Duration = Duration::from_secs(8);
/// Messages on each subject.
const EACH: u64 = 10;

/// Pull consumers read all their messages, one consumer after the other; creating them does not count. Counts messages.
pub(crate) fn next_match(site: &mut Site<'_>) -> Outcome {
    let set = site.set(Data::Distinct);
    let server = site.take_running(Data::Distinct);
    let mut js = JetStream::connect(&server);
    let groups = set.subjects / TENTHS;
    let mut load = Load::default();
    let start = Instant::now();
    for number in 0..CONSUMERS.min(groups) {
        // The groups are far apart, and not those a restart has published to first.
        let group = (number * groups / CONSUMERS + groups / 3) % groups;
        let name = format!("match{number}");
        js.create_consumer(
            "DISTINCT",
            &name,
            &format!(r#""filter_subject":"distinct.{group:06}.*","ack_policy":"none""#),
        );
        load += pull(&server, &name, TENTHS * EACH);
        let answer = js.api(&format!("CONSUMER.DELETE.DISTINCT.{name}"), "");
        assert!(answer["error"].is_null(), "{answer}");
        if start.elapsed() > LONG_ENOUGH {
            break;
        }
    }
    site.keep(Data::Distinct, server);
    let each = load.elapsed.as_secs_f64() * 1e6 / (load.messages as f64).max(1.0);
    Outcome::default()
        .with(Figure::TimeEach, each)
        .with(Figure::Cpu, load.cpu_each_us())
}

/// From one request for `count` messages to the last of them.
fn pull(server: &ServerProcess, consumer: &str, count: u64) -> Load {
    let pid = server.pid().expect("the server is running");
    let mut stream = open(server, "SUB _INBOX.pull 1\r\n");
    let body = format!("{{\"batch\":{count},\"expires\":60000000000}}");
    let request = format!(
        "PUB $JS.API.CONSUMER.MSG.NEXT.DISTINCT.{consumer} _INBOX.pull {}\r\n{body}\r\n",
        body.len()
    );
    let mut buffer = vec![0; 64 << 10];
    let (mut kept, mut received) = (0, 0);
    let (start, cpu) = (Instant::now(), cpu_time_of_threads(pid));
    write(&mut stream, request.as_bytes());
    while received < count {
        let end = kept + read(&mut stream, &mut buffer[kept..]);
        let mut at = 0;
        while let Some((frame, used)) = frames::next(&buffer[at..end]) {
            at += used;
            match frame {
                Frame::Ping => write(&mut stream, b"PONG\r\n"),
                Frame::Message { subject, body, .. } => {
                    assert!(
                        subject.starts_with(b"distinct."),
                        "a status: {}",
                        String::from_utf8_lossy(body)
                    );
                    received += 1;
                }
            }
        }
        buffer.copy_within(at..end, 0);
        kept = end - at;
    }
    Load {
        messages: received,
        elapsed: start.elapsed(),
        cpu: cpu_time_of_threads(pid).saturating_sub(cpu),
    }
}
