//! Core messages on one subject.

use std::time::{Duration, Instant};

use everjet_conformance::ServerProcess;

use crate::connection::{open, round_trip, write};
use crate::machine::cpu_time;
use crate::outcome::{Load, Outcome};
use crate::traffic::{Plan, Receivers, WARM_UP};

/// One publisher, nobody listens. Counts messages the server has read.
pub(crate) fn publish_only(server: &ServerProcess, length: Duration, payload: usize) -> Outcome {
    let pid = server.pid().expect("the server is running");
    let mut stream = open(server, "");
    let plan = Plan::one_subject(1, 0, payload);
    let chunk = &plan.chunks[0];
    let warm = Instant::now();
    while warm.elapsed() < WARM_UP {
        write(&mut stream, &chunk.bytes);
    }
    round_trip(&mut stream);
    let (start, cpu) = (Instant::now(), cpu_time(pid));
    let mut messages = 0;
    while start.elapsed() < length {
        write(&mut stream, &chunk.bytes);
        messages += chunk.messages;
    }
    round_trip(&mut stream);
    let load = Load {
        messages,
        elapsed: start.elapsed(),
        cpu: cpu_time(pid).saturating_sub(cpu),
    };
    load.into()
}

/// Publishers to one subject, and subscribers that each get everything. Counts deliveries.
pub(crate) fn one_subject(
    server: &ServerProcess,
    length: Duration,
    publishers: usize,
    subscribers: usize,
    payload: usize,
) -> Outcome {
    let plan = Plan::one_subject(publishers, subscribers, payload);
    plan.measure(server, length).into()
}

/// Publishers to one subject, and one queue group. Counts messages.
pub(crate) fn queue_group(
    server: &ServerProcess,
    length: Duration,
    publishers: usize,
    members: usize,
    payload: usize,
) -> Outcome {
    queue_plan(publishers, members, payload)
        .measure(server, length)
        .into()
}

fn queue_plan(publishers: usize, members: usize, payload: usize) -> Plan {
    // As with one subscriber, except that it is one of several.
    Plan {
        subscribers: vec!["SUB bench.core workers 1\r\n".to_owned(); members],
        receivers: Receivers::Shared,
        ..Plan::one_subject(publishers, 1, payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_group_takes_each_message_once() {
        let plan = queue_plan(4, 4, 128);
        assert_eq!((plan.publishers, plan.subscribers.len()), (4, 4));
        assert_eq!(plan.chunks[0].deliveries, plan.chunks[0].messages);
    }
}
