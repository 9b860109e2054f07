//! What a word without quotes means: a boolean, a number, a date, or itself.

use everjet_values::Timestamp;

use crate::Kind;

/// Multipliers of numbers: the short form counts in thousands, the long forms in 1,024s.
const SUFFIXES: [(&str, u32, u64); 6] = [
    ("k", 1, 1 << 10),
    ("m", 2, 1 << 20),
    ("g", 3, 1 << 30),
    ("t", 4, 1 << 40),
    ("p", 5, 1 << 50),
    ("e", 6, 1 << 60),
];

/// What `word` means.
///
/// # Errors
/// A whole number that does not fit 64 bits.
pub(crate) fn classify(word: &str) -> Result<Kind, String> {
    if let Some(value) = boolean(word) {
        return Ok(Kind::Bool(value));
    }
    if let Some(number) = integer(word) {
        return number
            .map(Kind::Integer)
            .ok_or_else(|| format!("number {word} is out of range"));
    }
    if let Some(value) = float(word) {
        return Ok(Kind::Float(value));
    }
    if let Some(time) = date(word) {
        return Ok(Kind::Date(time));
    }
    Ok(Kind::Text(word.to_owned()))
}

fn boolean(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A whole number with or without suffix; the inner `None` when it does not fit.
fn integer(word: &str) -> Option<Option<i64>> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, suffix) = digits.split_at(length);
    if digits.is_empty() {
        return None;
    }
    let scale = multiplier(suffix)?;
    let magnitude = digits
        .parse::<i128>()
        .ok()
        .and_then(|number| number.checked_mul(scale));
    let sign = if word.starts_with('-') { -1 } else { 1 };
    Some(magnitude.and_then(|number| i64::try_from(sign * number).ok()))
}

fn multiplier(suffix: &str) -> Option<i128> {
    if suffix.is_empty() {
        return Some(1);
    }
    let suffix = suffix.to_ascii_lowercase();
    SUFFIXES.iter().find_map(
        |(letter, power, binary)| match suffix.strip_prefix(letter)? {
            "" => Some(1_000_i128.pow(*power)),
            "b" | "i" | "ib" => Some(i128::from(*binary)),
            _ => None,
        },
    )
}

/// Digits, a point, digits.
fn float(word: &str) -> Option<f64> {
    let (whole, fraction) = word.strip_prefix('-').unwrap_or(word).split_once('.')?;
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(whole) && is_number(fraction)).then(|| word.parse().ok())?
}

/// `2016-05-04T18:53:41Z` and nothing else.
fn date(word: &str) -> Option<Timestamp> {
    (word.len() == 20 && word.ends_with('Z'))
        .then(|| Timestamp::parse(word).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_what_they_mean_to_nats_server() {
        for (word, expected) in [
            ("true", Kind::Bool(true)),
            ("Yes", Kind::Bool(true)),
            ("ON", Kind::Bool(true)),
            ("false", Kind::Bool(false)),
            ("no", Kind::Bool(false)),
            ("off", Kind::Bool(false)),
            ("0", Kind::Integer(0)),
            ("-1", Kind::Integer(-1)),
            ("9223372036854775807", Kind::Integer(i64::MAX)),
            ("1k", Kind::Integer(1_000)),
            ("1K", Kind::Integer(1_000)),
            ("1kb", Kind::Integer(1_024)),
            ("1KiB", Kind::Integer(1_024)),
            ("1ki", Kind::Integer(1_024)),
            ("2m", Kind::Integer(2_000_000)),
            ("2MB", Kind::Integer(2 << 20)),
            ("3g", Kind::Integer(3_000_000_000)),
            ("3gib", Kind::Integer(3 << 30)),
            ("1t", Kind::Integer(1_000_000_000_000)),
            ("1TB", Kind::Integer(1 << 40)),
            ("1p", Kind::Integer(1_000_000_000_000_000)),
            ("1PiB", Kind::Integer(1 << 50)),
            ("1e", Kind::Integer(1_000_000_000_000_000_000)),
            ("1EB", Kind::Integer(1 << 60)),
            ("-2k", Kind::Integer(-2_000)),
            ("1.5", Kind::Float(1.5)),
            ("-0.25", Kind::Float(-0.25)),
            (
                "2016-05-04T18:53:41Z",
                Kind::Date(Timestamp::from_nanos(1_462_388_021_000_000_000)),
            ),
        ] {
            assert_eq!(classify(word), Ok(expected), "{word}");
        }
        for word in [
            "x",
            "1zb",
            "1.5mb",
            "0x10",
            "1_000",
            "+5",
            "12ab",
            "-x",
            "-",
            "1.2.3.4",
            "1.",
            ".5",
            "5s",
            "2016-05-04",
            "2016-02-30T18:53:41Z",
            "127.0.0.1:4222",
            "truex",
            "k",
        ] {
            assert_eq!(classify(word), Ok(Kind::Text(word.to_owned())), "{word}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        for word in ["9223372036854775808", "8EB", "99999999999999999999", "10e"] {
            assert_eq!(
                classify(word),
                Err(format!("number {word} is out of range"))
            );
        }
    }
}
