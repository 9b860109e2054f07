//! What receivers get. An operation is a delivery.

use std::hint::black_box;

use everjet_routing::{Account, Origin, Turn};
use everjet_wire::{Limits, decode_plain_publish, put_hmsg, put_msg};

use crate::Case;
use crate::sink::{message, subscribe};

/// Messages in a round.
const ROUND: usize = 100;
const ROUNDS: u64 = 200;
const SUBJECT: &str = "orders.eu.1234";
const HEADERS: &[u8] = b"NATS/1.0\r\nNats-Msg-Id: 0123456789\r\n\r\n";

pub(crate) const CASES: [Case; 9] = [
    case("render-msg-16", 1, || rendered(&[b'x'; 16], b"")),
    case("render-msg-128", 1, || rendered(&[b'x'; 128], b"")),
    case("render-hmsg-128", 1, || rendered(&[b'x'; 128], HEADERS)),
    // The whole way from a decoded publish to the bytes of the receivers: remembered match, staging, one flush a round.
    case("deliver-1to1-128", 1, || delivered(1)),
    case("deliver-1to10-128", 10, || delivered(10)),
    // The same for what a client publishes, from the bytes that were read: decoded too.
    case("forward-1to1-128", 1, || forwarded(1)),
    case("forward-1to10-128", 10, || forwarded(10)),
    // What a stream answers: all to one inbox, or each to another one below it.
    case("answer-one-inbox", 1, || answered(false)),
    case("answer-inboxes", 1, || answered(true)),
];

const fn case(name: &'static str, receivers: u64, prepare: fn() -> Box<dyn FnMut()>) -> Case {
    Case {
        name,
        rounds: ROUNDS,
        operations: ROUND as u64 * receivers,
        prepare,
    }
}

fn rendered(payload: &'static [u8], headers: &'static [u8]) -> Box<dyn FnMut()> {
    let mut out = Vec::with_capacity(64 << 10);
    Box::new(move || {
        for _ in 0..ROUND {
            let subject = black_box(SUBJECT.as_bytes());
            if headers.is_empty() {
                put_msg(&mut out, subject, b"1", b"", payload);
            } else {
                put_hmsg(&mut out, subject, b"1", b"", headers, payload);
            }
        }
        black_box(out.as_slice());
        out.clear();
    })
}

fn delivered(receivers: usize) -> Box<dyn FnMut()> {
    let account = Account::new("$G");
    for receiver in 0..receivers {
        subscribe(&account, receiver as u64, SUBJECT);
    }
    let mut turn = Turn::new(1);
    Box::new(move || {
        for _ in 0..ROUND {
            let message = message(black_box(SUBJECT), &[b'x'; 128]);
            assert_eq!(turn.publish(&account, Origin::SERVER, &message), receivers);
        }
        turn.flush();
    })
}

fn answered(distinct: bool) -> Box<dyn FnMut()> {
    let account = Account::new("$G");
    subscribe(&account, 1, "_INBOX.kQ8vZ2.*");
    let number = |number: usize| if distinct { number } else { 0 };
    let inboxes = (0..ROUND).map(|at| format!("_INBOX.kQ8vZ2.{:06}", number(at)));
    let inboxes: Vec<String> = inboxes.collect();
    let mut turn = Turn::new(1);
    Box::new(move || {
        for inbox in &inboxes {
            let message = message(black_box(inbox), b"{\"stream\":\"ORDERS\", \"seq\":123456}");
            assert_eq!(turn.publish(&account, Origin::SERVER, &message), 1);
        }
        turn.flush();
    })
}

fn forwarded(receivers: usize) -> Box<dyn FnMut()> {
    let account = Account::new("$G");
    for receiver in 0..receivers {
        subscribe(&account, receiver as u64, SUBJECT);
    }
    let mut turn = Turn::new(1);
    let frame = format!("PUB {SUBJECT} 128\r\n{}\r\n", "x".repeat(128)).into_bytes();
    let limits = Limits::default();
    Box::new(move || {
        for _ in 0..ROUND {
            let plain = decode_plain_publish(black_box(&frame), &limits).expect("a plain one");
            let staged = turn.publish_as_is(&account, Origin::SERVER, &plain.message, plain.rest);
            assert_eq!(staged, receivers);
        }
        turn.flush();
    })
}
