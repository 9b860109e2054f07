//! What one token of a destination becomes.

use super::places::Places;

/// One token of a destination. Tokens are named by their index in the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Itself.
    Literal(Box<[u8]>),
    /// A token as it is.
    Token(usize),
    /// A hash of some tokens, or of the whole subject if there are none, modulo `buckets`; 0 if that is 0.
    Partition { buckets: u32, tokens: Box<[usize]> },
    /// A number below the ceiling; 0 if that is 0.
    Random { ceiling: u32 },
    /// A token as the parts between delimiters; an empty delimiter stands between any two characters.
    Split { token: usize, delimiter: Box<[u8]> },
    /// A token cut after a number of bytes above 0.
    Cut { cut: Cut, token: usize, size: usize },
}

/// How a token is cut that is longer than the number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    SplitFromLeft,
    SplitFromRight,
    SliceFromLeft,
    SliceFromRight,
    Left,
    Right,
}

impl Piece {
    /// Appends what it becomes for a subject.
    pub(super) fn append(
        &self,
        subject: &[u8],
        places: &Places,
        random: &mut impl FnMut() -> u32,
        into: &mut Vec<u8>,
    ) {
        match self {
            Self::Literal(text) => into.extend_from_slice(text),
            Self::Token(token) => into.extend_from_slice(places.token(subject, *token)),
            Self::Partition { buckets, tokens } => {
                let hash = if tokens.is_empty() {
                    fnv1a(FNV_OFFSET, subject)
                } else {
                    tokens.iter().fold(FNV_OFFSET, |hash, token| {
                        fnv1a(hash, places.token(subject, *token))
                    })
                };
                append_decimal(hash.checked_rem(*buckets).unwrap_or(0), into);
            }
            Self::Random { ceiling } => {
                // The high half of the product is the number scaled into the range.
                let scaled = (u64::from(random()) * u64::from(*ceiling)) >> 32;
                append_decimal(u32::try_from(scaled).expect("below the ceiling"), into);
            }
            Self::Split { token, delimiter } => {
                append_split(places.token(subject, *token), delimiter, into);
            }
            Self::Cut { cut, token, size } => {
                append_cut(*cut, places.token(subject, *token), *size, into);
            }
        }
    }
}

const FNV_OFFSET: u32 = 0x811C_9DC5;
const FNV_PRIME: u32 = 0x0100_0193;

/// FNV-1a with 32 bits, going on from `hash`.
fn fnv1a(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(FNV_PRIME)
    })
}

fn append_decimal(number: u32, into: &mut Vec<u8>) {
    let mut divisor = 1;
    while number / divisor >= 10 {
        divisor *= 10;
    }
    while divisor > 0 {
        let digit = number / divisor % 10;
        into.push(b'0' + u8::try_from(digit).expect("a digit"));
        divisor /= 10;
    }
}

/// The parts between delimiters, empty ones left out. A token that begins with two delimiters keeps an empty token in front: so
/// does nats-server.
fn append_split(token: &[u8], delimiter: &[u8], into: &mut Vec<u8>) {
    if delimiter.is_empty() {
        return append_characters(token, into);
    }
    // No dot stands behind an empty first part.
    let mut separator: &[u8] = b"";
    let mut is_first = true;
    let mut rest = Some(token);
    while let Some(text) = rest {
        let found = text
            .windows(delimiter.len())
            .position(|window| window == delimiter);
        let part = found.and_then(|end| text.get(..end)).unwrap_or(text);
        rest = found.and_then(|end| text.get(end + delimiter.len()..));
        if !part.is_empty() {
            into.extend_from_slice(separator);
        }
        into.extend_from_slice(part);
        if !(is_first && part.is_empty()) {
            separator = b".";
        }
        is_first = false;
    }
}

/// Each character a token; bytes that are not UTF-8 count as one each.
fn append_characters(token: &[u8], into: &mut Vec<u8>) {
    let mut is_first = true;
    let mut append = |character: &[u8]| {
        if !is_first {
            into.push(b'.');
        }
        is_first = false;
        into.extend_from_slice(character);
    };
    for chunk in token.utf8_chunks() {
        for character in chunk.valid().chars() {
            append(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        for byte in chunk.invalid() {
            append(&[*byte]);
        }
    }
}

fn append_cut(cut: Cut, token: &[u8], size: usize, into: &mut Vec<u8>) {
    if size >= token.len() {
        into.extend_from_slice(token);
        return;
    }
    let from_left = token.split_at(size);
    let from_right = token.split_at(token.len() - size);
    match cut {
        Cut::Left => into.extend_from_slice(from_left.0),
        Cut::Right => into.extend_from_slice(from_right.1),
        Cut::SplitFromLeft => append_parts([from_left.0, from_left.1], into),
        Cut::SplitFromRight => append_parts([from_right.0, from_right.1], into),
        Cut::SliceFromLeft => append_parts(token.chunks(size), into),
        Cut::SliceFromRight => {
            let (short, whole) = token.split_at(token.len() % size);
            let short = Some(short).filter(|short| !short.is_empty());
            append_parts(short.into_iter().chain(whole.chunks(size)), into);
        }
    }
}

fn append_parts<'t>(parts: impl IntoIterator<Item = &'t [u8]>, into: &mut Vec<u8>) {
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            into.push(b'.');
        }
        into.extend_from_slice(part);
    }
}
