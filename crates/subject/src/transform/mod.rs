//! From one subject to another: what mappings, stream transforms, republish and imports have in common (ADR-30).

mod destination;
mod error;
mod function;
mod piece;
mod places;

use destination::{Wildcards, parse_token};
use piece::Piece;
use places::Places;

pub use error::{TransformError, TransformFault};

use crate::filter::tokens;

/// A source filter and a destination, compiled once: a subject that the source matches becomes the destination, whose tokens
/// may take over tokens of the subject, split or cut them, hash them or draw a number.
///
/// | destination token | becomes |
/// | --- | --- |
/// | `$n`, `{{wildcard(n)}}` | what the nth `*` of the source stands for |
/// | `{{partition(n,i,j,…)}}` | FNV-1a (32 bits) of the tokens of those wildcards, one behind the other, modulo n |
/// | `{{partition(n)}}` | the same of the whole subject |
/// | `{{random(n)}}` | a number below n |
/// | `{{split(i,-)}}` | the token as several, at each `-` |
/// | `{{splitfromleft(i,n)}}`, `{{splitfromright(i,n)}}` | the token as two, n bytes from that end |
/// | `{{slicefromleft(i,n)}}`, `{{slicefromright(i,n)}}` | the token as many of n bytes, counted from that end |
/// | `{{left(i,n)}}`, `{{right(i,n)}}` | n bytes of the token at that end |
/// | `>` as the last one | what `>` of the source stands for |
/// | anything else | itself |
///
/// The first letter of each word of a function's name may be upper case, and there may be blanks around name and numbers.
/// A count of zero, below zero or not below the token's length leaves the token whole; a wildcard index below 1 stands for
/// the first token of the subject; a modulus of zero gives 0. Bytes are cut without regard to UTF-8. All of this is what
/// nats-server does (`tests/transforms/values.txt`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectTransform {
    source: Box<[u8]>,
    destination: Box<[u8]>,
    /// The destination's tokens but for a closing `>`.
    pieces: Box<[Piece]>,
    /// Whether both end in `>`.
    takes_rest: bool,
}

impl SubjectTransform {
    /// As a stream's republish takes it: blanks are bytes like others. An empty `source` means `>`.
    ///
    /// nats-server takes an empty destination for "no transform" in some places; there the caller sees to it, here it is invalid.
    ///
    /// # Errors
    /// What is wrong with the destination, or that one of both is no subject.
    pub fn new(source: &[u8], destination: &[u8]) -> Result<Self, TransformError> {
        let source = if source.is_empty() { b">" } else { source };
        let from = shape(source).ok_or_else(TransformError::invalid_subject)?;
        let to = shape(destination).ok_or_else(TransformError::invalid_subject)?;
        if to.wildcards > 0 || from.has_rest != to.has_rest {
            return Err(TransformError::invalid_subject());
        }
        let wildcards = Wildcards::of(source);
        let mut pieces = tokens(destination)
            .map(|token| parse_token(token, &wildcards))
            .collect::<Result<Vec<_>, _>>()?;
        if to.has_rest {
            pieces.pop();
        }
        Ok(Self {
            source: source.into(),
            destination: destination.into(),
            pieces: pieces.into(),
            takes_rest: to.has_rest,
        })
    }

    /// As account mappings and the transforms of streams, mirrors and sources take it: as [`Self::new`], without blanks but
    /// inside functions.
    ///
    /// # Errors
    /// What is wrong with the destination, or that one of both is no subject.
    pub fn mapping(source: &[u8], destination: &[u8]) -> Result<Self, TransformError> {
        destination::check_mapping(destination)?;
        Self::new(source, destination)
    }

    /// As imports take it, whose transforms must keep enough to be turned round: of the functions only `wildcard`, and as many
    /// of them as the source has `*`.
    ///
    /// # Errors
    /// As [`Self::new`], another function, or too few wildcards in the destination.
    pub fn strict(source: &[u8], destination: &[u8]) -> Result<Self, TransformError> {
        let transform = Self::new(source, destination)?;
        let mut taken = 0;
        for (piece, token) in transform.pieces.iter().zip(tokens(destination)) {
            match piece {
                Piece::Literal(_) => {}
                Piece::Token(_) if function::is_wildcard(token) => taken += 1,
                _ => {
                    return Err(TransformError::at(
                        TransformFault::NotSupportedForImport,
                        token,
                    ));
                }
            }
        }
        let wanted = tokens(&transform.source).filter(|token| *token == b"*");
        if taken < wanted.count() {
            let fault = TransformFault::NotAllWildcards;
            return Err(TransformError::at(fault, destination));
        }
        Ok(transform)
    }

    /// Appends what becomes of `subject` to `into` and returns true, or returns false when the source does not match it.
    ///
    /// `random` gives 32 uniform bits for each `random` function of the destination. Nothing is allocated but room in `into`.
    ///
    /// The source is matched as nats-server does it here, which differs from [`crate::matches`] for subjects that a subscriber
    /// could not name: `>` takes whatever is left, empty tokens too, and a token `>` of the subject is only taken by `>`. The
    /// outcome may hold empty tokens, when the subject does or a token consists of delimiters; it then matches nothing.
    pub fn apply(
        &self,
        subject: &[u8],
        mut random: impl FnMut() -> u32,
        into: &mut Vec<u8>,
    ) -> bool {
        let Some(places) = Places::find(&self.source, subject) else {
            return false;
        };
        for (index, piece) in self.pieces.iter().enumerate() {
            if index > 0 {
                into.push(b'.');
            }
            piece.append(subject, &places, &mut random, into);
        }
        if self.takes_rest {
            if !self.pieces.is_empty() {
                into.push(b'.');
            }
            into.extend_from_slice(places.rest(subject));
        }
        true
    }

    /// Whether [`Self::apply`] takes the subject.
    #[must_use]
    pub fn applies_to(&self, subject: &[u8]) -> bool {
        source_takes(&self.source, subject)
    }

    /// Whether a subject always becomes the same: no `random` in the destination.
    #[must_use]
    pub fn is_deterministic(&self) -> bool {
        let draws = |piece: &Piece| matches!(piece, Piece::Random { .. });
        !self.pieces.iter().any(draws)
    }

    /// The filter whose subjects it takes; `>` when none was given.
    #[must_use]
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// The destination as it was given.
    #[must_use]
    pub fn destination(&self) -> &[u8] {
        &self.destination
    }
}

/// The destination that keeps the subjects of a filter as they are: `foo.*.*` becomes `foo.$1.$2`.
#[must_use]
pub fn identity_destination(filter: &[u8]) -> Vec<u8> {
    let mut wildcards = 0;
    let mut destination = Vec::with_capacity(filter.len() + 8);
    for token in tokens(filter) {
        if token == b"*" {
            wildcards += 1;
            destination.extend_from_slice(format!("${wildcards}").as_bytes());
        } else {
            destination.extend_from_slice(token);
        }
        destination.push(b'.');
    }
    destination.pop();
    destination
}

/// Whether a transform with this source takes the subject.
pub(crate) fn source_takes(source: &[u8], subject: &[u8]) -> bool {
    Places::find(source, subject).is_some()
}

/// What is to know about a source or destination before its tokens are looked into.
struct Shape {
    wildcards: usize,
    has_rest: bool,
}

/// `None` when a token is empty or something follows `>`. Blanks are bytes like others.
fn shape(subject: &[u8]) -> Option<Shape> {
    let mut shape = Shape {
        wildcards: 0,
        has_rest: false,
    };
    for token in tokens(subject) {
        if token.is_empty() || shape.has_rest {
            return None;
        }
        shape.has_rest = token == b">";
        shape.wildcards += usize::from(token == b"*");
    }
    Some(shape)
}

#[cfg(test)]
mod tests;
