//! Whole numbers of any size in decimal, for counters: they come as text, are added once, and leave as text.

use std::cmp::Ordering;
use std::fmt;

/// A whole number of any size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decimal {
    is_negative: bool,
    /// Digits as ASCII, the most significant first and not zero; empty for zero, which is not negative.
    digits: Vec<u8>,
}

impl Decimal {
    /// Reads digits after a sign or none. `None` for anything else.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (is_negative, digits) = match text {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Some(Self::of(is_negative, digits))
    }

    /// The sum of both.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        if self.is_negative == other.is_negative {
            return Self::of(self.is_negative, &sum(&self.digits, &other.digits));
        }
        match compare(&self.digits, &other.digits) {
            Ordering::Equal => Self::default(),
            Ordering::Greater => {
                Self::of(self.is_negative, &difference(&self.digits, &other.digits))
            }
            Ordering::Less => Self::of(other.is_negative, &difference(&other.digits, &self.digits)),
        }
    }

    fn of(is_negative: bool, digits: &[u8]) -> Self {
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        let digits = digits.get(zeros..).unwrap_or_default();
        Self {
            is_negative: is_negative && !digits.is_empty(),
            digits: digits.to_vec(),
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        if self.is_negative {
            f.write_str("-")?;
        }
        f.write_str(std::str::from_utf8(&self.digits).map_err(|_| fmt::Error)?)
    }
}

/// Both without leading zeros.
fn compare(one: &[u8], other: &[u8]) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

fn sum(one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let mut digits: Vec<u8> = pairs(one, other)
        .map(|(one, other)| {
            let digit = one + other + carry;
            carry = digit / 10;
            b'0' + digit % 10
        })
        .collect();
    digits.push(b'0' + carry);
    digits.reverse();
    digits
}

/// `one` is not less than `other`.
fn difference(one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut digits: Vec<u8> = pairs(one, other)
        .map(|(one, other)| {
            let digit = 10 + one - other - borrow;
            borrow = u8::from(digit < 10);
            b'0' + digit % 10
        })
        .collect();
    digits.reverse();
    digits
}

/// The values of both numbers' digits, the least significant first.
fn pairs(one: &[u8], other: &[u8]) -> impl Iterator<Item = (u8, u8)> {
    let value = |digits: &[u8], place: usize| {
        let digit = digits.iter().rev().nth(place);
        digit.map_or(0, |digit| digit - b'0')
    };
    (0..one.len().max(other.len())).map(move |place| (value(one, place), value(other, place)))
}

#[cfg(test)]
mod tests {
    use everjet_values::{Entropy, SeededEntropy};

    use super::*;

    fn read(text: &str) -> Option<String> {
        Decimal::parse(text.as_bytes()).map(|number| number.to_string())
    }

    #[test]
    fn numbers_are_read_with_sign_and_zeros() {
        for (text, expected) in [
            ("0", Some("0")),
            ("-0", Some("0")),
            ("+0012", Some("12")),
            ("-007", Some("-7")),
            (
                "99999999999999999999999999",
                Some("99999999999999999999999999"),
            ),
            ("", None),
            ("-", None),
            ("1_0", None),
            ("1.5", None),
            (" 1", None),
            ("0x1", None),
            ("--1", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn sums_are_those_of_the_machine_and_go_beyond_it() {
        let entropy = SeededEntropy::new(5);
        for _ in 0..20_000 {
            let any = || {
                let bits = entropy.next_u64() % 63;
                i128::from(entropy.next_u64().cast_signed() >> bits)
            };
            let (one, other) = (any(), any());
            let number = |number: i128| Decimal::parse(number.to_string().as_bytes());
            let sum = number(one)
                .zip(number(other))
                .map(|(one, other)| one.plus(&other));
            assert_eq!(sum, number(one + other), "{one} + {other}");
        }
        let large = Decimal::parse(b"-99999999999999999999999999999999").expect("a number");
        let sum = large.plus(&Decimal::parse(b"12").expect("a number"));
        assert_eq!(sum.to_string(), "-99999999999999999999999999999987");
        let carried = large.plus(&Decimal::parse(b"-1").expect("a number"));
        assert_eq!(carried.to_string(), "-100000000000000000000000000000000");
    }
}
