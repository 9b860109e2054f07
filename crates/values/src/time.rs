//! Points in time, and the clock as a seam.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z, the resolution of JetStream's message times.
///
/// [`Timestamp::UNSET`] is the time before all others; it reads and writes as `0001-01-01T00:00:00Z`, which is how
/// the JetStream API shows a time that was never set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Default for Timestamp {
    fn default() -> Self {
        Self::UNSET
    }
}

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const UNSET_TEXT: &str = "0001-01-01T00:00:00Z";

impl Timestamp {
    /// A time that was never set.
    pub const UNSET: Self = Self(i64::MIN);

    /// The time `nanos` nanoseconds after the Unix epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whether this is [`Timestamp::UNSET`].
    #[must_use]
    pub fn is_unset(self) -> bool {
        self == Self::UNSET
    }

    /// This time plus `duration`, or the last representable time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)),
        )
    }

    /// This time minus `duration`, or the first representable time.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)),
        )
    }

    /// How long after `earlier` this is; zero when it is not after.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC with as many fraction digits as needed, the form of Go's `RFC3339Nano`. Without an allocation: every
    /// message that is got carries one.
    #[must_use]
    pub fn text(self) -> TimeText {
        if self.is_unset() {
            return TimeText::unset();
        }
        let seconds = self.0.div_euclid(NANOS_PER_SECOND);
        let nanos = self.0.rem_euclid(NANOS_PER_SECOND);
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        let mut text = TimeText {
            bytes: TimeText::FORM,
            length: TimeText::FORM.len(),
        };
        // The years are those of 64 bits of nanoseconds: four digits.
        text.put(0, 4, year);
        text.put(5, 2, month);
        text.put(8, 2, day);
        text.put(11, 2, of_day / 3600);
        text.put(14, 2, of_day / 60 % 60);
        text.put(17, 2, of_day % 60);
        text.put(TimeText::FRACTION + 1, 9, nanos);
        let mut end = TimeText::FRACTION;
        if nanos > 0 {
            end = TimeText::FORM.len() - 1;
            while text.bytes[end - 1] == b'0' {
                end -= 1;
            }
        }
        text.bytes[end] = b'Z';
        text.length = end + 1;
        text
    }

    /// Reads RFC 3339, with any number of fraction digits (those past nanoseconds are dropped) and any offset.
    ///
    /// # Errors
    /// [`TimeError`] when the text is not such a time or is outside the years 1678-2261.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        if text == UNSET_TEXT {
            return Ok(Self::UNSET);
        }
        parse_rfc3339(text).ok_or_else(|| TimeError(text.to_owned()))
    }
}

/// A text that is not an RFC 3339 time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeError(String);

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a time; write it like 2026-01-31T15:04:05Z",
            self.0
        )
    }
}

impl std::error::Error for TimeError {}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with as many fraction digits as needed, the form of Go's `RFC3339Nano`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

/// A time as text, see [`Timestamp::text`].
#[derive(Clone, Copy, Debug)]
pub struct TimeText {
    bytes: [u8; TimeText::FORM.len()],
    length: usize,
}

impl TimeText {
    /// What the digits are written over.
    const FORM: [u8; 30] = *b"0000-00-00T00:00:00.000000000Z";
    /// Where the fraction begins, its point included.
    const FRACTION: usize = 19;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let text = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(text).expect("digits and marks are ASCII")
    }

    fn unset() -> Self {
        let mut bytes = Self::FORM;
        bytes[..UNSET_TEXT.len()].copy_from_slice(UNSET_TEXT.as_bytes());
        Self {
            bytes,
            length: UNSET_TEXT.len(),
        }
    }

    /// Writes a number that is not negative, in so many digits, from `at` on.
    fn put(&mut self, at: usize, digits: usize, mut number: i64) {
        for digit in self.bytes[at..at + digits].iter_mut().rev() {
            // What is left of a division by ten is a digit.
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
}

/// Year, month and day of a count of days since 1970-01-01 (proleptic Gregorian calendar).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse().ok())?
    };
    let mark = |at: usize, allowed: &[u8]| bytes.get(at).is_some_and(|byte| allowed.contains(byte));
    if !(mark(4, b"-") && mark(7, b"-") && mark(10, b"Tt ") && mark(13, b":") && mark(16, b":")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    // A date that does not come back as itself is one like 30 February.
    if !in_range || civil_from_days(days_from_civil(year, month, day)) != (year, month, day) {
        return None;
    }
    let rest = text.get(19..)?;
    let (nanos, zone) = match rest.strip_prefix('.') {
        Some(fraction) => {
            let end = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let digits: String = fraction
                .get(..end)?
                .chars()
                .chain("000000000".chars())
                .take(9)
                .collect();
            if end == 0 {
                return None;
            }
            (digits.parse::<i64>().ok()?, fraction.get(end..)?)
        }
        None => (0, rest),
    };
    let offset = match zone.as_bytes() {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let digit = |byte: &u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
            let minutes = (digit(h1)? * 10 + digit(h2)?) * 60 + digit(m1)? * 10 + digit(m2)?;
            if *sign == b'+' {
                minutes * 60
            } else {
                -minutes * 60
            }
        }
        _ => return None,
    };
    let seconds =
        days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    seconds
        .checked_mul(NANOS_PER_SECOND)?
        .checked_add(nanos)
        .map(Timestamp)
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text().as_str())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The seam through which time enters. A driver reads it once a turn and passes `now` on.
pub trait Clock: Send + Sync {
    /// The current time. Never smaller than a value returned before by the same clock.
    fn now(&self) -> Timestamp;
}

/// A clock that stands still until told to move. For tests and simulation.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.as_nanos()))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let nanos = i64::try_from(by.as_nanos()).expect("a test's step fits");
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, nanos: i64, shown: &str) {
        let parsed = Timestamp::parse(text).expect(text);
        assert_eq!(parsed.as_nanos(), nanos, "{text}");
        assert_eq!(parsed.to_string(), shown, "{text}");
    }

    #[test]
    fn times_read_and_write_as_rfc3339() {
        check("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z");
        check(
            "2026-11-20T17:26:56.5Z",
            1_795_195_616_500_000_000,
            "2026-11-20T17:26:56.5Z",
        );
        check(
            "2026-11-20T18:26:56.000000001+01:00",
            1_795_195_616_000_000_001,
            "2026-11-20T17:26:56.000000001Z",
        );
        check(
            "2000-02-29T23:59:59Z",
            951_868_799_000_000_000,
            "2000-02-29T23:59:59Z",
        );
        check(
            "1969-12-31T23:59:59.25Z",
            -750_000_000,
            "1969-12-31T23:59:59.25Z",
        );
        for (nanos, shown) in [
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
            (i64::MIN + 1, "1677-09-21T00:12:43.145224193Z"),
        ] {
            assert_eq!(Timestamp::from_nanos(nanos).to_string(), shown);
        }
        assert_eq!(Timestamp::parse(UNSET_TEXT), Ok(Timestamp::UNSET));
        assert_eq!(Timestamp::UNSET.to_string(), UNSET_TEXT);
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in [
            "",
            "now",
            "2026-02-30T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "9999-01-01T00:00:00Z",
            "2026-01-01T00:00:00+1:00",
            "２026-01-01T00:00:00Z",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }
}
