//! Durations as Go and the command line write them.

use std::fmt;
use std::time::Duration;

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
const DAY: u64 = 86_400_000_000_000;
const LONG_UNITS: [(&str, u64); 7] = [
    ("d", DAY),
    ("D", DAY),
    ("w", 7 * DAY),
    ("W", 7 * DAY),
    ("M", 30 * DAY),
    ("y", 365 * DAY),
    ("Y", 365 * DAY),
];

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// Nothing was written.
    Empty,
    /// A number stands without its unit.
    NoUnit(String),
    /// The unit is none of those known.
    UnknownUnit(String),
    /// A number was expected.
    NotANumber(String),
    /// More than 292 years.
    TooLong(String),
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a duration is missing; write it like 30s, 5m or 1h30m"),
            Self::NoUnit(text) => write!(
                f,
                "duration {text:?} has no unit; write it like 30s, 5m or 1h30m"
            ),
            Self::UnknownUnit(text) => write!(
                f,
                "duration {text:?} has an unknown unit; known are ns, us, ms, s, m, h"
            ),
            Self::NotANumber(text) => {
                write!(f, "duration {text:?} is not a number with a unit, like 30s")
            }
            Self::TooLong(text) => write!(f, "duration {text:?} is longer than 292 years"),
        }
    }
}

impl std::error::Error for DurationError {}

/// Reads a Go duration: `500ms`, `1.5h`, `1h30m`, `0`.
///
/// # Errors
/// A [`DurationError`] that says which rule the text breaks. Negative durations are [`DurationError::NotANumber`].
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    parse_with(text, &[])
}

/// Reads a Go duration with days (`d`), weeks (`w`), months of 30 days (`M`) and years of 365 days (`y`) beside its
/// units: `7d`, `1d12h`, `0.5d`.
///
/// # Errors
/// As [`parse_duration`].
pub fn parse_long_duration(text: &str) -> Result<Duration, DurationError> {
    parse_with(text, &LONG_UNITS)
}

fn parse_with(text: &str, more_units: &[(&str, u64)]) -> Result<Duration, DurationError> {
    let mut rest: &str = &text.chars().filter(|c| *c != ' ').collect::<String>();
    if rest.is_empty() {
        return Err(DurationError::Empty);
    }
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let digits = rest
            .bytes()
            .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
            .count();
        let (number, after) = rest.split_at(digits);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(DurationError::NotANumber(text.to_owned()));
        }
        let unit_len = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_len);
        if unit.is_empty() {
            return Err(DurationError::NoUnit(text.to_owned()));
        }
        let scale = UNITS
            .iter()
            .chain(more_units)
            .find(|(name, _)| *name == unit)
            .map(|(_, scale)| u128::from(*scale))
            .ok_or_else(|| DurationError::UnknownUnit(text.to_owned()))?;
        total = scaled(whole, fraction, scale)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| DurationError::TooLong(text.to_owned()))?;
        rest = next;
    }
    u64::try_from(total)
        .ok()
        .filter(|nanos| i64::try_from(*nanos).is_ok())
        .map(Duration::from_nanos)
        .ok_or_else(|| DurationError::TooLong(text.to_owned()))
}

/// `whole.fraction` units in nanoseconds; `None` when it is too large.
fn scaled(whole: &str, fraction: &str, scale: u128) -> Option<u128> {
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let fraction: String = fraction.chars().take(18).collect();
    let part = if fraction.is_empty() {
        0
    } else {
        fraction.parse::<u128>().ok()? * scale / 10u128.pow(u32::try_from(fraction.len()).ok()?)
    };
    whole.checked_mul(scale)?.checked_add(part)
}

/// Writes a duration as Go does: `1m0s`, `1.5s`, `168h0m0s`, `0s`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}\u{b5}s", decimal(nanos, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(nanos, 1_000_000)),
        _ => {
            let (minutes, of_minute) = (nanos / 60_000_000_000, nanos % 60_000_000_000);
            let seconds = decimal(of_minute, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// `value / unit` without trailing zeros.
fn decimal(value: u128, unit: u128) -> String {
    let fraction = value % unit;
    if fraction == 0 {
        return (value / unit).to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{}.{}", value / unit, digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_read_and_write() {
        for (text, nanos, shown) in [
            ("0", 0, "0s"),
            ("1ns", 1, "1ns"),
            ("1.5us", 1_500, "1.5\u{b5}s"),
            ("500ms", 500_000_000, "500ms"),
            ("30s", 30_000_000_000, "30s"),
            ("1m", 60_000_000_000, "1m0s"),
            ("1.5h", 5_400_000_000_000, "1h30m0s"),
            ("1h30m0.25s", 5_400_250_000_000, "1h30m0.25s"),
            ("168h", 604_800_000_000_000, "168h0m0s"),
        ] {
            let parsed = parse_duration(text).expect(text);
            assert_eq!(parsed, Duration::from_nanos(nanos), "{text}");
            assert_eq!(format_duration(parsed), shown, "{text}");
        }
    }

    #[test]
    fn long_durations_add_days_weeks_months_and_years() {
        let day = Duration::from_secs(86_400);
        for (text, expected) in [
            ("7d", day * 7),
            ("7D", day * 7),
            ("1w", day * 7),
            ("1M", day * 30),
            ("1y", day * 365),
            ("0.5d", day / 2),
            ("1d12h30m", day + day / 2 + Duration::from_secs(1800)),
            ("1d 2h", day + Duration::from_secs(7200)),
        ] {
            assert_eq!(parse_long_duration(text), Ok(expected), "{text}");
        }
        assert!(parse_duration("7d").is_err());
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        for (text, error) in [
            ("", DurationError::Empty),
            ("90", DurationError::NoUnit("90".into())),
            ("1h30", DurationError::NoUnit("1h30".into())),
            ("7days", DurationError::UnknownUnit("7days".into())),
            ("forever", DurationError::NotANumber("forever".into())),
            ("days=7d", DurationError::NotANumber("days=7d".into())),
            ("-1s", DurationError::NotANumber("-1s".into())),
            ("1.2.3s", DurationError::NotANumber("1.2.3s".into())),
            ("300y", DurationError::TooLong("300y".into())),
            (
                "99999999999999999999999999999999999999999y",
                DurationError::TooLong("99999999999999999999999999999999999999999y".into()),
            ),
            // 2^128 - 1 and one more: each part fits what the sum does not.
            (
                "340282366920938463463374607431768211455ns1ns",
                DurationError::TooLong("340282366920938463463374607431768211455ns1ns".into()),
            ),
        ] {
            assert_eq!(parse_long_duration(text), Err(error), "{text}");
        }
    }
}
