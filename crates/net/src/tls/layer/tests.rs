//! A client of rustls against the layer, in memory.

use std::io::{Read, Write};
use std::sync::Arc;

use everjet_config::TlsOptions;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::*;
use crate::tls::FirstByte;
use crate::tls::tests::Pki;

/// Plain bytes that are asked for at a time, and bytes that come from the wire at a time.
#[derive(Clone, Copy)]
struct Steps {
    plain: usize,
    wire: usize,
}

const WHOLE: Steps = Steps {
    plain: 64 * 1024,
    wire: 64 * 1024,
};

struct Pair<L> {
    client: ClientConnection,
    layer: L,
    received: Vec<u8>,
    client_received: Vec<u8>,
    /// Whether the server has said that it is done.
    client_ended: bool,
    steps: Steps,
}

fn context(pki: &Pki) -> TlsContext {
    load(&pki.options("localhost"))
}

fn load(options: &TlsOptions) -> TlsContext {
    TlsContext::load(options).expect("the files are right")
}

fn pair(pki: &Pki, context: &TlsContext, steps: Steps) -> Pair<TlsLayer> {
    let layer = TlsLayer::new(context, true).expect("a layer");
    over(pki.client(), layer, steps)
}

fn over<L: Layer>(config: ClientConfig, layer: L, steps: Steps) -> Pair<L> {
    let name = ServerName::try_from("localhost").expect("a name");
    Pair {
        client: ClientConnection::new(Arc::new(config), name).expect("a client"),
        layer,
        received: Vec::new(),
        client_received: Vec::new(),
        client_ended: false,
        steps,
    }
}

impl<L: Layer> Pair<L> {
    /// Gives the layer what the client wrote, piece by piece, and the client what the layer answered, until nobody has anything to say.
    fn exchange(&mut self) -> Result<(), CloseReason> {
        loop {
            let mut wire = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut wire).expect("memory");
            }
            if wire.is_empty() {
                return Ok(());
            }
            for piece in wire.chunks(self.steps.wire) {
                self.feed(piece)?;
            }
        }
    }

    fn feed(&mut self, mut wire: &[u8]) -> Result<(), CloseReason> {
        loop {
            let (mut plain, mut answer) = (Vec::new(), Vec::new());
            let result = self
                .layer
                .decode(&mut wire, &mut plain, self.steps.plain, &mut answer);
            self.received.extend_from_slice(&plain);
            self.give_client(&answer);
            result?;
            if plain.len() < self.steps.plain {
                assert!(wire.is_empty());
                return Ok(());
            }
        }
    }

    fn give_client(&mut self, mut wire: &[u8]) {
        while !wire.is_empty() {
            self.client.read_tls(&mut wire).expect("memory");
            if self.client.process_new_packets().is_err() {
                // What the client thinks of it shows in what it sends, and when it is asked again.
                return;
            }
            let end = self.client.reader().read_to_end(&mut self.client_received);
            self.client_ended |= end.is_ok();
        }
    }

    fn shaken(mut self) -> Self {
        assert!(!self.layer.is_ready());
        self.exchange().expect("a handshake");
        assert!(self.layer.is_ready() && !self.client.is_handshaking());
        self
    }

    fn client_sends(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.client.writer().write(bytes).expect("memory");
            bytes = &bytes[taken..];
            self.exchange().expect("data");
        }
    }

    fn client_gets(&mut self, count: usize) -> Vec<u8> {
        assert_eq!(self.client_received.len(), count);
        std::mem::take(&mut self.client_received)
    }
}

fn numbered(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index % 251) as u8).collect()
}

#[test]
fn bytes_pass_both_ways_whatever_the_pieces() {
    let pki = Pki::new();
    let context = context(&pki);
    for steps in [
        WHOLE,
        Steps { plain: 1, wire: 1 },
        Steps {
            plain: 1000,
            wire: 7,
        },
        Steps {
            plain: 5,
            wire: 100_000,
        },
    ] {
        let mut pair = pair(&pki, &context, steps).shaken();
        let outcome = pair.layer.take_handshake();
        assert!(
            matches!(outcome, Some(Handshake::Done { version: "1.3", .. })),
            "{outcome:?}"
        );
        assert_eq!(pair.layer.take_handshake(), None);
        let bytes = numbered(100_000);
        pair.client_sends(&bytes);
        assert!(pair.received == bytes);
        // Nothing is held for a connection that waits.
        assert_eq!(pair.layer.incoming.capacity(), 0);
        for size in [1, 16_384, 16_385, 40_000] {
            let mut wire = Vec::new();
            pair.layer.encode(&bytes[..size], &mut wire);
            pair.give_client(&wire);
            assert!(pair.client_gets(size) == bytes[..size]);
        }
    }
}

#[test]
fn tls_12_passes_too() {
    let pki = Pki::new();
    let config = pki.client();
    let mut old = ClientConfig::builder_with_provider(config.crypto_provider().clone())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("a version")
        .with_root_certificates(pki.roots())
        .with_no_client_auth();
    old.resumption = rustls::client::Resumption::disabled();
    let layer = TlsLayer::new(&context(&pki), true).expect("a layer");
    let mut pair = over(old, layer, WHOLE).shaken();
    assert_eq!(
        pair.layer.take_handshake(),
        Some(Handshake::Done {
            version: "1.2",
            suite: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
        })
    );
    pair.client_sends(b"ping");
    assert_eq!(pair.received, b"ping");
    let mut wire = Vec::new();
    pair.layer.encode(b"pong", &mut wire);
    pair.give_client(&wire);
    assert_eq!(pair.client_gets(4), b"pong");
}

#[test]
fn both_sides_say_when_they_are_done() {
    let pki = Pki::new();
    let context = context(&pki);
    let mut ours = pair(&pki, &context, WHOLE).shaken();
    let mut wire = Vec::new();
    ours.layer.finish(CloseReason::ServerShutdown, &mut wire);
    ours.give_client(&wire);
    assert!(ours.client_ended);

    let mut theirs = pair(&pki, &context, WHOLE).shaken();
    theirs.client.writer().write_all(b"last").expect("memory");
    theirs.client.send_close_notify();
    assert_eq!(theirs.exchange(), Err(CloseReason::ClientClosed));
    assert_eq!(theirs.received, b"last");
}

#[test]
fn a_peer_without_tls_is_told_in_the_text_protocol() {
    let pki = Pki::new();
    let context = context(&pki);
    for (speaks_text, expected) in [
        (true, &b"-ERR 'Secure Connection - TLS Required'\r\n"[..]),
        (false, b""),
    ] {
        let mut layer = TlsLayer::new(&context, speaks_text).expect("a layer");
        let (mut plain, mut answer) = (Vec::new(), Vec::new());
        let result = layer.decode(&mut &b"PING\r\n"[..], &mut plain, 100, &mut answer);
        assert_eq!(result, Err(CloseReason::TlsHandshakeFailure));
        assert_eq!((&plain[..], &answer[..]), (&b""[..], expected));
        let outcome = layer.take_handshake();
        assert!(matches!(
            outcome,
            Some(Handshake::Failed { is_probe: true, .. })
        ));
    }
}

#[test]
fn a_broken_handshake_gets_its_alert_and_its_reason() {
    let pki = Pki::new();
    let options = TlsOptions {
        min_version: everjet_config::TlsVersion::V1_3,
        ..pki.options("localhost")
    };
    let old = ClientConfig::builder_with_provider(pki.client().crypto_provider().clone())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("a version")
        .with_root_certificates(pki.roots())
        .with_no_client_auth();
    let layer = TlsLayer::new(&load(&options), true).expect("a layer");
    let mut pair = over(old, layer, WHOLE);
    assert_eq!(pair.exchange(), Err(CloseReason::TlsHandshakeFailure));
    let Some(Handshake::Failed { is_probe, error }) = pair.layer.take_handshake() else {
        panic!("no outcome");
    };
    assert!(!is_probe && !error.is_empty());
    let told = pair.client.process_new_packets().expect_err("an alert");
    assert_eq!(
        told,
        rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion)
    );
}

#[test]
fn altered_bytes_end_the_connection() {
    let pki = Pki::new();
    let mut pair = pair(&pki, &context(&pki), WHOLE).shaken();
    pair.client.writer().write_all(b"PING\r\n").expect("memory");
    let mut wire = Vec::new();
    pair.client.write_tls(&mut wire).expect("memory");
    *wire.last_mut().expect("a record") ^= 1;
    assert_eq!(pair.feed(&wire), Err(CloseReason::ReadError));
    assert_eq!(pair.received, b"");
}

#[test]
fn endless_handshakes_and_records_are_refused() {
    let pki = Pki::new();
    let context = context(&pki);
    let check = |wire: &[u8]| {
        let mut pair = pair(&pki, &context, WHOLE);
        assert_eq!(pair.feed(wire), Err(CloseReason::TlsHandshakeFailure));
    };
    // A message of 16 MiB, and a record longer than there are.
    let mut message = vec![0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    message.resize(5 + 0x4000, 0);
    check(&message);
    check(&[0x16, 3, 1, 0xff, 0xff]);
}

#[test]
fn changes_of_keys_are_answered_and_bounded() {
    let pki = Pki::new();
    let mut pair = pair(&pki, &context(&pki), WHOLE).shaken();
    for _ in 0..10 {
        pair.client.refresh_traffic_keys().expect("TLS 1.3");
        pair.client_sends(b"x");
        let mut wire = Vec::new();
        pair.layer.encode(b"y", &mut wire);
        pair.give_client(&wire);
        assert_eq!(pair.client_gets(1), b"y");
    }
    let refused = (0..1000).find_map(|_| {
        pair.client.refresh_traffic_keys().ok()?;
        pair.exchange().err()
    });
    assert_eq!(refused, Some(CloseReason::ReadError));
}

#[test]
fn bytes_that_come_while_something_is_written_are_kept() {
    let pki = Pki::new();
    let mut pair = pair(
        &pki,
        &context(&pki),
        Steps {
            plain: 1,
            wire: 1 << 20,
        },
    )
    .shaken();
    for text in ["one", "two", "three"] {
        pair.client
            .writer()
            .write_all(text.as_bytes())
            .expect("memory");
    }
    let mut wire = Vec::new();
    while pair.client.wants_write() {
        pair.client.write_tls(&mut wire).expect("memory");
    }
    // The owner takes one record; before it comes back another thread writes.
    let (mut plain, mut answer) = (Vec::new(), Vec::new());
    let taken = pair
        .layer
        .decode(&mut &wire[..], &mut plain, 1, &mut answer);
    assert_eq!((taken, &plain[..]), (Ok(()), &b"one"[..]));
    let mut out = Vec::new();
    pair.layer.encode(b"answer", &mut out);
    pair.give_client(&out);
    assert_eq!(pair.client_gets(6), b"answer");
    pair.feed(&[]).expect("the rest");
    assert_eq!(pair.received, b"twothree");
}

#[test]
fn the_first_byte_tells_whether_there_is_tls() {
    let pki = Pki::new();
    let context = context(&pki);
    let open = || {
        let tls = TlsLayer::new(&context, true).expect("a layer");
        FirstByte::Open(Box::new(tls))
    };
    let pair = over(pki.client(), open(), WHOLE).shaken();
    assert!(!pair.layer.is_transparent());

    let mut layer = open();
    let (mut plain, mut answer) = (Vec::new(), Vec::new());
    let mut wire = &b"PING\r\n"[..];
    assert!(!layer.is_ready() && !layer.is_transparent());
    layer
        .decode(&mut wire, &mut plain, 4, &mut answer)
        .expect("plain bytes");
    assert!(layer.is_ready() && layer.is_transparent());
    assert_eq!(
        (&plain[..], wire, &answer[..]),
        (&b"PING"[..], &b"\r\n"[..], &b""[..])
    );
}
