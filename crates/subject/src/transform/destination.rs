//! The tokens of a destination, parsed.

use super::error::{TransformError, TransformFault};
use super::function::{self, Function};
use super::piece::{Cut, Piece};
use crate::filter::tokens;

/// Where the `*` of a source are.
pub(super) struct Wildcards {
    /// Token index of each `*`.
    tokens: Vec<usize>,
    /// Whether there is no wildcard at all, `>` included.
    is_literal: bool,
}

impl Wildcards {
    pub(super) fn of(source: &[u8]) -> Self {
        let at = |wanted: &'static [u8]| {
            let indexes = tokens(source).enumerate();
            indexes.filter_map(move |(index, token)| (token == wanted).then_some(index))
        };
        let stars: Vec<usize> = at(b"*").collect();
        Self {
            is_literal: stars.is_empty() && at(b">").next().is_none(),
            tokens: stars,
        }
    }

    /// The token index of the `index`th `*`, counted from 1; everything below is the first token of the subject.
    fn token(&self, token: &[u8], index: i64) -> Result<usize, TransformError> {
        if self.is_literal {
            return Err(TransformError::at(TransformFault::IndexOutOfRange, token));
        }
        let Some(before) = index.checked_sub(1).filter(|before| *before >= 0) else {
            return Ok(0);
        };
        usize::try_from(before)
            .ok()
            .and_then(|before| self.tokens.get(before).copied())
            .ok_or_else(|| TransformError::out_of_range(token, index))
    }
}

/// What mappings are refused for before anything else: empty tokens, tokens behind `>`, unknown functions, and blanks outside
/// of functions.
pub(super) fn check_mapping(destination: &[u8]) -> Result<(), TransformError> {
    let mut at_end = false;
    for token in tokens(destination) {
        if token.is_empty() || at_end {
            return Err(TransformError::at(
                TransformFault::InvalidDestination,
                token,
            ));
        }
        at_end = token == b">";
        if function::is_braced(token) {
            if function::find(token).is_none() {
                return Err(TransformError::at(TransformFault::UnknownFunction, token));
            }
        } else if token.iter().any(|byte| b" \t\n\r\x0c".contains(byte)) {
            return Err(TransformError::at(TransformFault::InvalidDestination, b""));
        }
    }
    Ok(())
}

/// What one token of a destination does.
pub(super) fn parse_token(token: &[u8], wildcards: &Wildcards) -> Result<Piece, TransformError> {
    if let Some(index) = token.strip_prefix(b"$") {
        // Subjects that begin with a dollar, such as $KV, are no mistake.
        return match integer(index) {
            Some(index) => Ok(Piece::Token(wildcards.token(token, index)?)),
            None => Ok(Piece::Literal(token.into())),
        };
    }
    if !function::is_braced(token) {
        return Ok(Piece::Literal(token.into()));
    }
    let fault = |fault| TransformError::at(fault, token);
    let Some((function, arguments)) = function::find(token) else {
        return Err(fault(TransformFault::UnknownFunction));
    };
    match function {
        Function::Wildcard => match arguments[..] {
            [b""] => Err(fault(TransformFault::NotEnoughArguments)),
            [index] => Ok(Piece::Token(
                wildcards.token(token, argument(token, index)?)?,
            )),
            _ => Err(fault(TransformFault::TooManyArguments)),
        },
        Function::Partition => partition(token, &arguments, wildcards),
        Function::Random => match arguments[..] {
            // Two arguments are "not enough" in nats-server too.
            [ceiling] => Ok(Piece::Random {
                ceiling: low_bits(bounded(token, ceiling)?)
                    .cast_signed()
                    .unsigned_abs(),
            }),
            _ => Err(fault(TransformFault::NotEnoughArguments)),
        },
        Function::Split => {
            let [index, delimiter] = two(token, &arguments)?;
            let index = argument(token, index)?;
            if delimiter.contains(&b' ') {
                return Err(fault(TransformFault::InvalidArgument));
            }
            Ok(Piece::Split {
                token: wildcards.token(token, index)?,
                delimiter: delimiter.into(),
            })
        }
        Function::SplitFromLeft => cut(Cut::SplitFromLeft, token, &arguments, wildcards),
        Function::SplitFromRight => cut(Cut::SplitFromRight, token, &arguments, wildcards),
        Function::SliceFromLeft => cut(Cut::SliceFromLeft, token, &arguments, wildcards),
        Function::SliceFromRight => cut(Cut::SliceFromRight, token, &arguments, wildcards),
        Function::Left => cut(Cut::Left, token, &arguments, wildcards),
        Function::Right => cut(Cut::Right, token, &arguments, wildcards),
    }
}

fn partition(
    token: &[u8],
    arguments: &[&[u8]],
    wildcards: &Wildcards,
) -> Result<Piece, TransformError> {
    let (buckets, indexes) = arguments.split_first().expect("there is at least one");
    let buckets = low_bits(bounded(token, buckets)?);
    let indexes = indexes.iter().map(|index| argument(token, index));
    let indexes = indexes.collect::<Result<Vec<i64>, _>>()?;
    if wildcards.is_literal {
        // There is only one subject; nats-server does not look at the indexes.
        return Ok(Piece::Partition {
            buckets,
            tokens: Box::default(),
        });
    }
    let tokens = indexes
        .into_iter()
        .map(|index| wildcards.token(token, index));
    Ok(Piece::Partition {
        buckets,
        tokens: tokens.collect::<Result<_, _>>()?,
    })
}

/// A function of a wildcard and a number of bytes.
fn cut(
    cut: Cut,
    token: &[u8],
    arguments: &[&[u8]],
    wildcards: &Wildcards,
) -> Result<Piece, TransformError> {
    let [index, size] = two(token, arguments)?;
    let index = argument(token, index)?;
    let size = i32::try_from(argument(token, size)?)
        .map_err(|_| TransformError::at(TransformFault::InvalidArgument, token))?;
    let source = wildcards.token(token, index)?;
    Ok(match usize::try_from(size) {
        Ok(size) if size > 0 => Piece::Cut {
            cut,
            token: source,
            size,
        },
        _ => Piece::Token(source),
    })
}

fn two<'t>(token: &[u8], arguments: &[&'t [u8]]) -> Result<[&'t [u8]; 2], TransformError> {
    arguments.try_into().map_err(|_| {
        TransformError::at(
            if arguments.len() < 2 {
                TransformFault::NotEnoughArguments
            } else {
                TransformFault::TooManyArguments
            },
            token,
        )
    })
}

/// An argument that is a number.
fn argument(token: &[u8], text: &[u8]) -> Result<i64, TransformError> {
    let start = text.iter().position(|byte| *byte != b' ').unwrap_or(0);
    let end = text
        .iter()
        .rposition(|byte| *byte != b' ')
        .map_or(0, |last| last + 1);
    let trimmed = text.get(start..end).unwrap_or_default();
    integer(trimmed).ok_or_else(|| TransformError::at(TransformFault::InvalidArgument, token))
}

/// A number of partitions or a ceiling: at most 2^31 - 1.
fn bounded(token: &[u8], text: &[u8]) -> Result<i64, TransformError> {
    argument(token, text).and_then(|value| {
        if value > i64::from(i32::MAX) {
            Err(TransformError::at(TransformFault::InvalidArgument, token))
        } else {
            Ok(value)
        }
    })
}

/// Decimal digits, possibly with a sign.
fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The low 32 bits, which is what nats-server keeps of a number of partitions.
fn low_bits(value: i64) -> u32 {
    u32::try_from(value.rem_euclid(1 << 32)).expect("below 2^32")
}
