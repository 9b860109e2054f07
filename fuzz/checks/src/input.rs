//! Choices out of the bytes of a fuzzer.

use everjet_values::{Entropy, SeededEntropy};

/// Takes bytes off the front of an input; what is not there reads as zero, so that every input is a legal one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *byte
    }

    /// One of `choices` by the lowest bits of `bits`, which are shifted away.
    pub(crate) fn choose<T: Copy, const N: usize>(bits: &mut u8, choices: [T; N]) -> T {
        assert!(N.is_power_of_two() && N < 256);
        let choice = choices[usize::from(*bits) % N];
        *bits >>= N.ilog2();
        choice
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Cuts `bytes` into pieces of random lengths, short ones mostly; never an empty one.
pub(crate) fn pieces(bytes: &[u8], seed: u64) -> Vec<&[u8]> {
    let random = SeededEntropy::new(seed);
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let draw = random.next_u64();
        let longest = [1, 2, 7, 64, 600][(draw % 5) as usize];
        let length = 1 + usize::try_from(draw >> 32).expect("32 bits") % longest;
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
