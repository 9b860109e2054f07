//! The machine of a client connection, fed with what the decoder makes of bytes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use everjet_conn::{
    Action, Client, ClientLimits, CloseReason, Credentials, Peer, ServerFacts, Subscriptions,
};
use everjet_values::Timestamp;
use everjet_wire::{Decoded, ServerInfo, decode};

use crate::input::{Input, pieces};

const START: Timestamp = Timestamp::from_nanos(1_000_000_000_000);

/// However the bytes are cut, the machine answers the same and asks its driver for the same; it never says much more than
/// it was told, and asks for nothing that its limits forbid, whenever its timers fire.
///
/// The first two bytes choose limits, credentials, cuts and times.
pub fn check_client(data: &[u8]) {
    let mut input = Input::new(data);
    let limits = limits(input.byte());
    let seed = u64::from(input.byte());
    let bytes = input.rest();
    let whole = run(&limits, &[bytes], Duration::ZERO);
    let cut = pieces(bytes, seed);
    assert_eq!(run(&limits, &cut, Duration::ZERO), whole);
    run(&limits, &cut, Duration::from_secs(seed));
}

fn limits(mut choice: u8) -> ClientLimits {
    let credentials = [None, Some("s3cret"), None, None];
    ClientLimits {
        control_line_max: Input::choose(&mut choice, [4096, 128]),
        payload_max: Input::choose(&mut choice, [1 << 20, 8]),
        subscriptions_max: Input::choose(&mut choice, [0, 2]),
        subscription_tokens_max: Input::choose(&mut choice, [0, 3]),
        credentials: Input::choose(&mut choice, credentials)
            .map(|token| Credentials::Token(token.to_owned())),
        ..ClientLimits::default()
    }
}

/// The sids in use.
#[derive(Default)]
struct Known(BTreeSet<Vec<u8>>);

impl Subscriptions for Known {
    fn contains(&self, sid: &[u8]) -> bool {
        self.0.contains(sid)
    }

    fn reaches(&self, count: usize) -> bool {
        self.0.len() >= count
    }
}

/// What was answered and asked for, and how it ended.
type Outcome = (Vec<u8>, Vec<String>, Option<CloseReason>);

struct Session<'a> {
    limits: &'a ClientLimits,
    client: Client,
    known: Known,
    answers: Vec<u8>,
    actions: Vec<String>,
}

/// Feeds the pieces, with a timer after each when time passes between them.
fn run(limits: &ClientLimits, pieces: &[&[u8]], step: Duration) -> Outcome {
    let info = ServerInfo {
        headers: true,
        ..ServerInfo::default()
    };
    let account = "$G".to_owned();
    let facts = Arc::new(ServerFacts { info, account });
    let ip = Some("127.0.0.1".parse().expect("an address"));
    let peer = Peer { id: 5, ip };
    let mut session = Session {
        limits,
        client: Client::new(Arc::new(limits.clone()), facts, peer, START),
        known: Known::default(),
        answers: Vec::new(),
        actions: Vec::new(),
    };
    let mut now = START;
    let mut held = Vec::new();
    let mut received = 0;
    let mut closed = None;
    for piece in pieces {
        held.extend_from_slice(piece);
        received += piece.len();
        closed = session.take(now, &mut held);
        if closed.is_none() && !step.is_zero() {
            now = now.plus(step);
            if now >= session.client.next_timer() {
                let outcome = session.client.on_timer(now, &mut session.answers);
                closed = outcome.err().map(|close| close.reason);
                assert!(closed.is_some() || session.client.next_timer() > now);
            }
        }
        // INFO once, else a few bytes for each of the client's; timers add a PING each.
        let pings = if step.is_zero() { 0 } else { 6 * pieces.len() };
        assert!(session.answers.len() <= 1024 + pings + 16 * received);
        if closed.is_some() {
            break;
        }
    }
    (session.answers, session.actions, closed)
}

impl Session<'_> {
    /// Takes the frames off the front of `held`.
    fn take(&mut self, now: Timestamp, held: &mut Vec<u8>) -> Option<CloseReason> {
        self.client.on_data(now);
        let bytes = std::mem::take(held);
        let mut rest = &bytes[..];
        loop {
            match decode(rest, self.client.limits()) {
                Ok(Decoded::Incomplete { .. }) => {
                    *held = rest.to_vec();
                    return None;
                }
                Ok(Decoded::Frame { frame, used }) => {
                    rest = &rest[used..];
                    let outcome = self
                        .client
                        .on_frame(now, frame, &self.known, &mut self.answers);
                    match outcome {
                        Ok(action) => self.perform(&action),
                        Err(close) => return Some(close.reason),
                    }
                }
                Err(error) => {
                    let close = self.client.on_decode_error(error, &mut self.answers);
                    return Some(close.reason);
                }
            }
        }
    }

    fn perform(&mut self, action: &Action<'_>) {
        let is_let_in = self.limits.credentials.is_none() || self.client.identity().is_some();
        assert!(is_let_in || *action == Action::None);
        match *action {
            Action::Subscribe { filter, sid, .. } => {
                assert!(everjet_subject::is_valid_filter(filter));
                assert!(self.known.0.insert(sid.to_vec()), "the sid is in use");
                let most = self.limits.subscriptions_max;
                assert!(most == 0 || self.known.0.len() <= most);
                let tokens_max = self.limits.subscription_tokens_max;
                let tokens = everjet_subject::tokens(filter).count();
                assert!(tokens_max == 0 || tokens <= tokens_max);
            }
            Action::Unsubscribe { sid, max: None } => {
                self.known.0.remove(sid);
            }
            Action::Reconnected => self.known.0.clear(),
            Action::Publish(message) => {
                let size = message.headers.len() + message.payload.len();
                assert!(size <= self.limits.payload_max);
                assert!(message.headers.is_empty() || self.client.supports_headers());
            }
            Action::None | Action::Refused(_) | Action::Unsubscribe { .. } | Action::Connected => {}
        }
        self.actions.push(format!("{action:?}"));
    }
}
