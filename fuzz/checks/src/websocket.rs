//! What a WebSocket client sends: the upgrade request and the frames behind it.

use everjet_websocket::{
    Cause, Decoder, End, Origin, OriginRules, Step, Upgrade, UpgradeRules, Violation,
};

use crate::input::{Input, pieces};

/// DEFLATE makes at most 1032 bytes of one.
const INFLATED_PER_BYTE: usize = 1032;

/// What frames carried, what was answered, and how they ended.
type Outcome = (Vec<u8>, Vec<u8>, Option<End>);

/// However frames are cut and however little room there is at a time, they carry the same bytes, are answered the same and end for
/// the same reason; there is never more than there is room for, and never more than compression can stand for.
///
/// The first two bytes choose compression, bounds, room and cuts.
pub fn check_websocket(data: &[u8]) {
    let mut input = Input::new(data);
    let mut choice = input.byte();
    let compression = Input::choose(&mut choice, [true, false]);
    let inflated_max = Input::choose(&mut choice, [1 << 20, 4096, 64, 0]);
    let room = Input::choose(&mut choice, [1 << 16, 1000, 7, 1]);
    let seed = u64::from(input.byte());
    let bytes = input.rest();
    let decoder = || Decoder::new(compression, inflated_max);
    let whole = decode(decoder(), &[bytes], 1 << 16);
    let cut = decode(decoder(), &pieces(bytes, seed), room);
    let (plain, answers, end) = whole;
    // Where a compressed message breaks off, is corrupt or too large, it depends on the room how much of it was passed on, and what
    // shows first. What was passed on is the same.
    let is_vague = compression && [&end, &cut.2].into_iter().any(is_vague);
    assert!(cut.2 == end || is_vague, "{end:?} and {:?}", cut.2);
    let common = plain.len().min(cut.0.len());
    assert_eq!(plain[..common], cut.0[..common]);
    assert!(cut.1 == answers || is_vague);
    let is_waiting = compression && end.is_some() && cut.0.len() < plain.len();
    assert!(cut.0.len() == plain.len() || is_vague || is_waiting);
    assert!(plain.len() <= INFLATED_PER_BYTE * (bytes.len() + 4));
    assert!(compression || plain.len() <= bytes.len());
    // A pong is as long as its ping without the mask.
    assert!(answers.len() <= bytes.len());
    if let Some(end) = end {
        assert!(end.close.len() <= 127);
        assert!(matches!(end.cause, Cause::Closed | Cause::TooLarge) || !end.close.is_empty());
    }
}

/// Whether it may have ended in the midst of a compressed message.
fn is_vague(end: &Option<End>) -> bool {
    end.as_ref().is_none_or(|end| {
        matches!(
            end.cause,
            Cause::TooLarge | Cause::Violation(Violation::Deflate)
        )
    })
}

fn decode(mut decoder: Decoder, pieces: &[&[u8]], room: usize) -> Outcome {
    let (mut all, mut answers) = (Vec::new(), Vec::new());
    let mut plain = Vec::new();
    for piece in pieces {
        let mut wire = *piece;
        loop {
            plain.clear();
            let result = decoder.decode(&mut wire, &mut plain, room, &mut answers);
            assert!(plain.len() <= room);
            all.extend_from_slice(&plain);
            if let Err(end) = result {
                return (all, answers, Some(end));
            }
            if plain.len() < room {
                assert!(wire.is_empty());
                break;
            }
        }
    }
    (all, answers, None)
}

/// However a request is cut, it is answered the same, once, and nothing behind it is taken; it is gathered to a bound only.
///
/// The first two bytes choose rules and cuts.
pub fn check_upgrade(data: &[u8]) {
    let mut input = Input::new(data);
    let mut choice = input.byte();
    let origin = Origin::parse("https://example.com").expect("an origin");
    let rules = UpgradeRules {
        origins: OriginRules {
            same_origin: Input::choose(&mut choice, [false, true]),
            allowed: vec![origin; usize::from(Input::choose(&mut choice, [false, true]))],
        },
        tls: Input::choose(&mut choice, [false, true]),
        compression: Input::choose(&mut choice, [true, false]),
        ..UpgradeRules::default()
    };
    let seed = u64::from(input.byte());
    let bytes = input.rest();
    let whole = upgrade(&rules, &[bytes]);
    assert_eq!(upgrade(&rules, &pieces(bytes, seed)), whole);
    let (step, answer, taken) = whole;
    match step {
        Step::Incomplete => assert!(answer.is_empty() && taken == bytes.len()),
        Step::Accepted(_) => assert!(answer.starts_with(b"HTTP/1.1 101 ")),
        Step::Refused(_) => assert!(answer.starts_with(b"HTTP/1.1 ")),
    }
    assert!(answer.ends_with(b"\r\n\r\n") || !answer.starts_with(b"HTTP/1.1 101 "));
    assert!(answer.len() <= 1024);
}

/// What came of it, the answer, and how many bytes were the request's. A request that is refused ends the connection: what was taken
/// of it then depends on the cuts and is not told.
fn upgrade(rules: &UpgradeRules, pieces: &[&[u8]]) -> (Step, Vec<u8>, usize) {
    let mut upgrade = Upgrade::default();
    let mut answer = Vec::new();
    let mut taken = 0;
    for piece in pieces {
        let mut wire = *piece;
        let step = upgrade.step(&mut wire, rules, &mut answer);
        taken += piece.len() - wire.len();
        match step {
            Step::Incomplete => assert!(wire.is_empty()),
            Step::Accepted(_) => return (step, answer, taken),
            Step::Refused(_) => return (step, answer, 0),
        }
    }
    (Step::Incomplete, answer, taken)
}
