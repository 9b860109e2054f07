use super::*;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame: the first byte, and the payload, masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_header(&mut bytes, OpCode::Binary, true, false, payload.len());
    bytes[0] = first;
    bytes[1] |= 0x80;
    bytes.extend_from_slice(&KEY);
    let masked = payload
        .iter()
        .enumerate()
        .map(|(at, byte)| byte ^ KEY[at % 4]);
    bytes.extend(masked);
    bytes
}

/// A compressed message's payload, as `flush` ends it; a sync flush is cut by its tail.
fn deflated(plain: &[u8], flush: flate2::FlushCompress) -> Vec<u8> {
    let mut compress = flate2::Compress::new(flate2::Compression::fast(), false);
    let mut bytes = Vec::with_capacity(plain.len() + 100);
    compress.compress_vec(plain, &mut bytes, flush).unwrap();
    match bytes.strip_suffix(&[0, 0, 0xff, 0xff]) {
        Some(cut) => cut.to_vec(),
        None => bytes,
    }
}

fn compressed(plain: &[u8]) -> Vec<u8> {
    deflated(plain, flate2::FlushCompress::Sync)
}

/// What comes of `wire` fed in pieces of `size` bytes, taken out in steps of `plain_max`.
/// The close frame counts as the last answer.
fn run(wire: &[u8], size: usize, plain_max: usize) -> (Vec<u8>, Vec<u8>, Result<(), Cause>) {
    let mut decoder = Decoder::new(true, 10_000);
    let (mut all, mut answer) = (Vec::new(), Vec::new());
    for mut piece in wire.chunks(size) {
        loop {
            let mut plain = Vec::new();
            let result = decoder.decode(&mut piece, &mut plain, plain_max, &mut answer);
            assert!(plain.len() <= plain_max);
            all.extend_from_slice(&plain);
            if let Err(End { cause, close }) = result {
                return (all, [answer, close].concat(), Err(cause));
            }
            if plain.len() < plain_max {
                assert!(piece.is_empty());
                break;
            }
        }
    }
    (all, answer, Ok(()))
}

/// Checks what comes of `wire`, at every split of it and with any room.
#[track_caller]
fn check(wire: &[u8], plain: &[u8], answer: &[u8], result: Result<(), Cause>) {
    let step = (wire.len() / 50).max(1);
    for size in (1..=wire.len()).step_by(step) {
        for plain_max in [1, 2, 7, 64, 100_000] {
            let (got, answered, ended) = run(wire, size, plain_max);
            assert_eq!(ended, result, "pieces of {size}, room {plain_max}");
            assert_eq!(answered, answer, "pieces of {size}, room {plain_max}");
            assert!(got == plain, "pieces of {size}, room {plain_max}: {got:?}");
        }
    }
}

#[track_caller]
fn check_violation(wire: &[u8], violation: Violation, code: u16) {
    let mut answer = Vec::new();
    put_close(&mut answer, violation.status(), &violation.to_string());
    assert_eq!(violation.status().code(), code);
    // What comes behind it does not count.
    let wire = [wire, &frame(0x82, b"behind")].concat();
    check(&wire, b"", &answer, Err(Cause::Violation(violation)));
}

#[test]
fn examples_of_the_standard() {
    let hello = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(frame(0x81, b"Hello"), hello);
    check(&hello, b"Hello", b"", Ok(()));
    let ping = [
        0x89, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    check(&ping, b"", &[0x8a, 5, b'H', b'e', b'l', b'l', b'o'], Ok(()));
    // RFC 7692, 7.2.3.1 to 7.2.3.5: one block, no compression, a last block, two blocks.
    for payload in [
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
        &[
            0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
        ],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[
            0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
        ],
    ] {
        check(&frame(0xc1, payload), b"Hello", b"", Ok(()));
    }
    // 7.2.3.6: an empty message.
    check(&frame(0xc1, &[0]), b"", b"", Ok(()));
}

#[test]
fn frames_of_any_size_carry_what_they_carry() {
    for size in [0, 1, 125, 126, 1000, 65_536] {
        let payload: Vec<u8> = (0..=255).cycle().take(size).collect();
        let wire = [frame(0x82, &payload), frame(0x81, b"next")].concat();
        let expected = [&payload[..], b"next"].concat();
        for pieces in [1000, 1001, wire.len()] {
            assert_eq!(run(&wire, pieces, 16 * 1024).0, expected, "{size}");
        }
    }
}

#[test]
fn lengths_need_not_be_minimal() {
    let mut wire = vec![0x82, 0xfe, 0, 2];
    wire.extend_from_slice(&frame(0x82, b"ab")[2..]);
    check(&wire, b"ab", b"", Ok(()));
}

#[test]
fn control_frames_come_between_fragments() {
    let wire = [
        frame(0x02, b"ab"),
        frame(0x89, b"p"),
        frame(0x00, b""),
        frame(0x8a, b"unasked"),
        frame(0x80, b"cd"),
        frame(0x82, b"ef"),
    ];
    check(&wire.concat(), b"abcdef", &[0x8a, 1, b'p'], Ok(()));
}

#[test]
fn compressed_messages_mix_with_plain_ones() {
    let text = b"PUB subject 5\r\nhello\r\n".repeat(20);
    let payload = compressed(&text);
    let (first, rest) = payload.split_at(payload.len() / 2);
    let wire = [
        frame(0xc2, &compressed(b"one ")),
        frame(0x82, b"two "),
        frame(0x42, first),
        frame(0x89, b""),
        frame(0x00, rest),
        frame(0x80, b""),
        frame(0x82, b" end"),
    ];
    let plain = [&b"one two "[..], &text, b" end"].concat();
    check(&wire.concat(), &plain, &[0x8a, 0], Ok(()));
}

#[test]
fn a_compressor_may_end_its_stream() {
    let finished = deflated(b"text", flate2::FlushCompress::Finish);
    let wire = [frame(0xc2, &finished), frame(0x82, b"next")].concat();
    check(&wire, b"textnext", b"", Ok(()));
    // A last block without compression whose end is the tail that is not sent.
    let wire = [frame(0xc2, &[0x01]), frame(0x82, b"next")].concat();
    check(&wire, b"next", b"", Ok(()));
}

#[test]
fn compressed_messages_that_are_none_end_the_connection() {
    let deflate = Violation::Deflate;
    check_violation(&frame(0xc2, &[0xff; 4]), deflate, 1007);
    check_violation(&frame(0xc2, b""), deflate, 1007);
    let finished = deflated(b"", flate2::FlushCompress::Finish);
    let more = [&finished[..], b"more"].concat();
    check_violation(&frame(0xc2, &more), deflate, 1007);
}

#[test]
fn a_compressed_message_that_was_cut_ends_the_connection() {
    let text = b"a text that is long enough to lose its end";
    let payload = compressed(text);
    for size in 1..payload.len() {
        let (plain, _, result) = run(&frame(0xc2, &payload[..size]), 100, 1000);
        // A cut in the padding behind the last symbol loses nothing.
        let lost = plain != text;
        let cut = Err(Cause::Violation(Violation::Deflate));
        assert!(!lost || result == cut, "cut at {size}: {result:?}");
    }
}

#[test]
fn a_bomb_ends_at_its_bound() {
    let bomb = frame(0xc2, &compressed(&vec![b'a'; 5_000_000]));
    assert!(bomb.len() < 50_000);
    for plain_max in [100, 16_384] {
        let (plain, answer, result) = run(&bomb, 4096, plain_max);
        assert_eq!(result, Err(Cause::TooLarge));
        assert!(plain.len() <= 10_000 + plain_max && answer.is_empty());
    }
    // The bound is for one message.
    let message = frame(0xc2, &compressed(&[b'a'; 10_000]));
    let (plain, _, result) = run(&message.repeat(3), 4096, 1000);
    assert_eq!((plain.len(), result), (30_000, Ok(())));
}

#[test]
fn violations_are_answered() {
    let check = |wire: &[u8], violation| check_violation(wire, violation, 1002);
    check(&frame(0xa2, b"a"), Violation::ReservedBits);
    check(&frame(0x92, b"a"), Violation::ReservedBits);
    check(&[0x82, 1, b'a'], Violation::NotMasked);
    for code in (3..=7).chain(11..=15) {
        check(&frame(0x80 | code, b"a"), Violation::UnknownOpCode(code));
    }
    check(&frame(0x89, &[0; 126]), Violation::ControlTooLong);
    check(&frame(0x09, b"a"), Violation::ControlFragmented);
    check(&frame(0xc9, b"a"), Violation::ControlCompressed);
    check(&frame(0x80, b"a"), Violation::Continuation);
    let empty = frame(0x02, b"");
    let new = [&empty[..], &frame(0x82, b"a")].concat();
    check(&new, Violation::MessageNotFinished);
    let again = [&empty[..], &frame(0xc0, b"a")].concat();
    check(&again, Violation::Continuation);
    check(
        &[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
        Violation::LengthTooLarge,
    );
}

#[test]
fn compression_must_be_agreed_on() {
    let mut decoder = Decoder::new(false, 10_000);
    let wire = frame(0xc2, &compressed(b"a"));
    let (mut plain, mut answer) = (Vec::new(), Vec::new());
    let result = decoder.decode(&mut &wire[..], &mut plain, 100, &mut answer);
    let cause = result.map_err(|end| end.cause);
    assert_eq!(cause, Err(Cause::Violation(Violation::NotNegotiated)));
}

#[test]
fn a_close_is_answered_in_kind() {
    let check_close = |payload: &[u8], answer: &[u8]| {
        let wire = [frame(0x82, b"before"), frame(0x88, payload)].concat();
        check(&wire, b"before", answer, Err(Cause::Closed));
    };
    check_close(b"", &[0x88, 0]);
    check_close(b"\x03\xe8", b"\x88\x02\x03\xe8");
    check_close(b"\x03\xe8bye", b"\x88\x05\x03\xe8bye");
    check_close(b"\x0f\xa0", b"\x88\x02\x0f\xa0");
    let mut invalid = Vec::new();
    put_close(
        &mut invalid,
        CloseStatus::INVALID_DATA,
        "invalid utf8 body in close frame",
    );
    check_close(b"\x03\xe8\xff", &invalid);
    check_violation(&frame(0x88, b"\x03"), Violation::CloseOfOneByte, 1002);
    let no_status = Violation::CloseStatus(1005);
    check_violation(&frame(0x88, b"\x03\xed"), no_status, 1002);
}

#[test]
fn an_announced_length_takes_no_memory() {
    let mut decoder = Decoder::new(true, 10_000);
    let mut wire = vec![0x82, 0xff, 0x7f];
    wire.extend_from_slice(&[0xff; 7]);
    wire.extend_from_slice(&[0; 4]);
    wire.extend_from_slice(b"begin");
    let mut plain = Vec::new();
    let result = decoder.decode(&mut &wire[..], &mut plain, 1000, &mut Vec::new());
    assert_eq!((result, &plain[..]), (Ok(()), &b"begin"[..]));
    assert!(plain.capacity() <= 1000 && decoder.inflater.is_none());
}

#[test]
fn between_messages_nothing_is_owned() {
    let mut decoder = Decoder::new(true, 10_000);
    let wire = [frame(0xc2, &compressed(b"text")), frame(0x89, b"ping")].concat();
    let mut plain = Vec::new();
    let _ = decoder.decode(&mut &wire[..], &mut plain, 1000, &mut Vec::new());
    assert_eq!(plain, b"text");
    assert!(decoder.inflater.is_none() && matches!(decoder.state, State::Header(_, 0)));
}
