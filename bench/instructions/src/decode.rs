//! The decoder. Every round decodes one buffer to its end; an operation is a frame.

use std::hint::black_box;

use everjet_wire::{Decoded, Limits, decode};

use crate::Case;

/// Frames in a buffer.
const FRAMES: usize = 64;
const ROUNDS: u64 = 400;
const HEADERS: &str = "NATS/1.0\r\nNats-Msg-Id: 0123456789\r\n\r\n";

pub(crate) const CASES: [Case; 6] = [
    case("decode-pub-16", || whole(publish(16).repeat(FRAMES))),
    case("decode-pub-128", || whole(publish(128).repeat(FRAMES))),
    case("decode-hpub-128", || {
        whole(publish_headers(128).repeat(FRAMES))
    }),
    case("decode-sub", || whole(SUBSCRIBE.repeat(FRAMES))),
    // A publish with a reply, a subscription, its end, headers and a keep-alive, over and over.
    case("decode-mixed", || {
        let frames = [
            "PUB orders.eu.1234 _INBOX.abcdefghij.1 5\r\nhello\r\n".to_owned(),
            SUBSCRIBE.to_owned(),
            "UNSUB 17 1\r\n".to_owned(),
            publish_headers(16),
            "PING\r\n".to_owned(),
            publish(16),
            "UNSUB 18\r\n".to_owned(),
            "PONG\r\n".to_owned(),
        ];
        whole(frames.concat().repeat(FRAMES / frames.len()))
    }),
    // The worst that a sender can do: every byte arrives alone, and the decoder is asked after each.
    Case {
        name: "decode-split-pub-16",
        rounds: ROUNDS,
        operations: 1,
        prepare: split,
    },
];

const SUBSCRIBE: &str = "SUB orders.*.new workers 17\r\n";

const fn case(name: &'static str, prepare: fn() -> Box<dyn FnMut()>) -> Case {
    Case {
        name,
        rounds: ROUNDS,
        operations: FRAMES as u64,
        prepare,
    }
}

fn publish(payload: usize) -> String {
    format!(
        "PUB orders.eu.1234 {payload}\r\n{}\r\n",
        "x".repeat(payload)
    )
}

fn publish_headers(payload: usize) -> String {
    let (headers, total) = (HEADERS.len(), HEADERS.len() + payload);
    let payload = "x".repeat(payload);
    format!("HPUB orders.eu.1234 {headers} {total}\r\n{HEADERS}{payload}\r\n")
}

fn limits() -> Limits {
    Limits {
        headers: true,
        ..Limits::default()
    }
}

fn whole(buffer: String) -> Box<dyn FnMut()> {
    let limits = limits();
    Box::new(move || {
        let mut rest = black_box(buffer.as_bytes());
        while !rest.is_empty() {
            let Ok(Decoded::Frame { frame, used }) = decode(rest, &limits) else {
                panic!("the frames are whole and valid");
            };
            black_box(frame);
            rest = &rest[used..];
        }
    })
}

fn split() -> Box<dyn FnMut()> {
    let frame = publish(16);
    let limits = limits();
    Box::new(move || {
        let bytes = black_box(frame.as_bytes());
        for known in 1..=bytes.len() {
            match decode(&bytes[..known], &limits) {
                Ok(Decoded::Frame { .. }) => assert_eq!(known, bytes.len()),
                Ok(Decoded::Incomplete { .. }) => assert!(known < bytes.len()),
                Err(error) => panic!("{error:?}"),
            }
        }
    })
}
