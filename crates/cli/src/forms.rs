//! Values as people write them on the command line, and as they are shown back.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::{HeaderName, HeaderValue};
use everjet_values::{Timestamp, format_size, parse_long_duration, parse_size};

use crate::failure::Failure;

/// Reads a duration such as `500ms`, `1h30m` or `7d`.
///
/// # Errors
/// A text that says what to write instead.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_long_duration(text).map_err(|error| error.to_string())
}

/// Reads an age in nanoseconds: a duration, or `0` or a negative number for unlimited (0).
///
/// # Errors
/// A text that says what to write instead.
pub(crate) fn age(text: &str) -> Result<i64, String> {
    if text.parse::<i64>().is_ok_and(|number| number <= 0) {
        return Ok(0);
    }
    duration(text).map(nanos)
}

/// Reads a limit in bytes: a size, or a negative number for unlimited (-1).
///
/// # Errors
/// A text that says what to write instead.
pub(crate) fn byte_limit(text: &str) -> Result<i64, String> {
    if text.parse::<i64>().is_ok_and(|number| number < 0) {
        return Ok(-1);
    }
    let bytes = parse_size(text).map_err(|error| error.to_string())?;
    i64::try_from(bytes).map_err(|error| error.to_string())
}

/// Reads the largest size of a message: as [`byte_limit`], and not above 2,147,483,647.
///
/// # Errors
/// A text that says what to write instead.
pub(crate) fn message_size(text: &str) -> Result<i64, String> {
    let bytes = byte_limit(text)?;
    if bytes > i64::from(i32::MAX) {
        return Err(format!(
            "size {text:?} is above the largest possible message size of 2147483647 bytes"
        ));
    }
    Ok(bytes)
}

/// Reads `file`, `f`, `memory` or `m`.
///
/// # Errors
/// A text that names the values.
pub(crate) fn storage(text: &str) -> Result<String, String> {
    match text {
        "file" | "f" => Ok("file".to_owned()),
        "memory" | "m" => Ok("memory".to_owned()),
        _ => Err(format!("storage {text:?} is not one of file, f, memory, m")),
    }
}

/// Reads `KEY=VALUE`.
///
/// # Errors
/// A text that shows the form.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not of the form KEY=VALUE")),
    }
}

/// Reads a header `Key:Value`; one blank after the colon is not part of the value.
///
/// # Errors
/// A text that shows the form.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((key, value)) if !key.is_empty() => Ok((
            key.to_owned(),
            value.strip_prefix(' ').unwrap_or(value).to_owned(),
        )),
        _ => Err(format!("header {text:?} is not of the form Key:Value")),
    }
}

/// The headers of a message to send; `None` when there are none.
///
/// # Errors
/// [`Failure::Usage`] for a name or value that cannot be sent.
pub(crate) fn header_map(headers: &[(String, String)]) -> Result<Option<HeaderMap>, Failure> {
    let mut map = HeaderMap::new();
    for (key, value) in headers {
        let name: HeaderName = key
            .parse()
            .map_err(|_| Failure::usage(format!("{key:?} cannot be the name of a header")))?;
        let value: HeaderValue = value.parse().map_err(|_| {
            Failure::usage(format!("the value of header {key} contains a line break"))
        })?;
        map.append(name, value);
    }
    Ok((!map.is_empty()).then_some(map))
}

/// Reads a subject that messages can be published to: no wildcards, no blanks, no empty token.
///
/// # Errors
/// A text that says what is wrong.
pub(crate) fn literal_subject(text: &str) -> Result<String, String> {
    let subject = any_subject(text)?;
    if subject.split('.').any(|token| token == "*" || token == ">") {
        return Err(format!(
            "subject {text:?} has a wildcard; messages go to one subject"
        ));
    }
    Ok(subject)
}

/// Reads a subject, wildcards allowed.
///
/// # Errors
/// A text that says what is wrong.
pub(crate) fn any_subject(text: &str) -> Result<String, String> {
    let blank = text
        .chars()
        .any(|c| c.is_ascii_whitespace() || c.is_control());
    let tail = text.split_once('>').is_some_and(|(before, after)| {
        !after.is_empty() && (before.is_empty() || before.ends_with('.')) && after.starts_with('.')
    });
    if text.is_empty() || blank || text.split('.').any(str::is_empty) || tail {
        return Err(format!("{text:?} is not a valid subject"));
    }
    Ok(text.to_owned())
}

/// Splits comma or blank separated lists, as `--subjects` takes them.
pub(crate) fn list(texts: &[String]) -> Vec<String> {
    texts
        .iter()
        .flat_map(|text| text.split([',', ' ']))
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A duration in the nanoseconds of the JetStream API.
pub(crate) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Shows an age given in nanoseconds with days: `7d0h0m0s`, `2m0s`, `unlimited` for none.
pub(crate) fn show_age(nanos: i64) -> String {
    match u64::try_from(nanos) {
        Ok(0) | Err(_) => "unlimited".to_owned(),
        Ok(nanos) => show_duration(Duration::from_nanos(nanos)),
    }
}

/// Shows a duration with days: `7d0h0m0s`, `2m0s`, `1.5s`.
pub(crate) fn show_duration(duration: Duration) -> String {
    const DAY: u64 = 86_400;
    let days = duration.as_secs() / DAY;
    if days == 0 {
        return everjet_values::format_duration(duration);
    }
    let rest = duration - Duration::from_secs(days * DAY);
    let (minutes, seconds) = (rest.as_secs() / 60, rest.as_secs() % 60);
    format!("{days}d{}h{}m{seconds}s", minutes / 60, minutes % 60)
}

/// Shows how long ago something happened, with two units at most: `4m7s`, `25.77s`.
pub(crate) fn show_ago(ago: Duration) -> String {
    let seconds = ago.as_secs();
    match seconds {
        0..60 => format!("{}.{:02}s", seconds, ago.subsec_millis() / 10),
        60..3_600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Shows a number with thousands commas.
pub(crate) fn show_number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    if number < 0 {
        shown.insert(0, '-');
    }
    shown
}

/// Shows a limit that is a count; below 1 is `unlimited`.
pub(crate) fn show_limit(limit: i64) -> String {
    if limit <= 0 {
        return "unlimited".to_owned();
    }
    show_number(limit)
}

/// Shows a limit in bytes; below 1 is `unlimited`.
pub(crate) fn show_byte_limit(limit: i64) -> String {
    match u64::try_from(limit) {
        Ok(0) | Err(_) => "unlimited".to_owned(),
        Ok(bytes) => format_size(bytes),
    }
}

/// Shows a time of the JetStream API to the second, in UTC and saying so; `never` when it was never set.
pub(crate) fn show_time(text: &str) -> String {
    match Timestamp::parse(text) {
        Ok(time) if time.is_unset() => "never".to_owned(),
        Ok(time) => {
            let shown = time.to_string();
            let second = shown.get(..19).unwrap_or(&shown);
            format!("{} UTC", second.replace('T', " "))
        }
        Err(_) => text.to_owned(),
    }
}

/// The current time of this machine.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_nanos(nanos(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_durations_or_unlimited() {
        for (text, expected) in [
            ("7d", Ok(604_800_000_000_000)),
            ("1h30m", Ok(5_400_000_000_000)),
            ("0", Ok(0)),
            ("-1", Ok(0)),
        ] {
            assert_eq!(age(text), expected, "{text}");
        }
        for text in ["90", "forever", "7days", "1h30", ""] {
            assert!(age(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_1024_based_and_negative_is_unlimited() {
        for (text, expected) in [
            ("1MB", 1_048_576),
            ("1m", 1_048_576),
            ("1024", 1024),
            ("-1", -1),
            ("-7", -1),
            ("5000000000", 5_000_000_000),
        ] {
            assert_eq!(byte_limit(text), Ok(expected), "{text}");
        }
        assert!(byte_limit("1.5MB").is_err());
        assert_eq!(message_size("1MB"), Ok(1_048_576));
        assert!(message_size("2G").is_err());
    }

    #[test]
    fn storage_has_two_values_and_their_letters() {
        assert_eq!(storage("f").as_deref(), Ok("file"));
        assert_eq!(storage("memory").as_deref(), Ok("memory"));
        assert!(storage("File").is_err());
    }

    #[test]
    fn headers_split_at_the_first_colon() {
        for (text, key, value) in [
            ("A:b", "A", "b"),
            ("A: b", "A", "b"),
            ("A:", "A", ""),
            ("Time:10:30", "Time", "10:30"),
        ] {
            assert_eq!(header(text), Ok((key.to_owned(), value.to_owned())));
        }
        assert!(header("nothing").is_err());
        assert!(header(":x").is_err());
    }

    #[test]
    fn subjects_to_publish_on_have_no_wildcards() {
        for text in ["order.new", "a", "$SYS.x", "a.b>c", "a.*b"] {
            assert_eq!(literal_subject(text).as_deref(), Ok(text));
        }
        for text in [
            "", ".", "a.", ".a", "a..b", "a b", "a.*", ">", "a.>", "a\nb",
        ] {
            assert!(literal_subject(text).is_err(), "{text:?}");
        }
        assert!(any_subject("a.>").is_ok());
        assert!(any_subject("a.>.b").is_err());
    }

    #[test]
    fn lists_split_at_commas_and_blanks() {
        let given = ["a,b".to_owned(), "c d".to_owned(), "e".to_owned()];
        assert_eq!(list(&given), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn values_are_shown_for_people() {
        assert_eq!(show_age(604_800_000_000_000), "7d0h0m0s");
        assert_eq!(show_age(120_000_000_000), "2m0s");
        assert_eq!(show_age(0), "unlimited");
        assert_eq!(show_number(57_000), "57,000");
        assert_eq!(show_number(-1_234_567), "-1,234,567");
        assert_eq!(show_number(999), "999");
        assert_eq!(show_limit(-1), "unlimited");
        assert_eq!(show_byte_limit(1 << 20), "1.0 MiB");
        assert_eq!(show_ago(Duration::from_millis(25_770)), "25.77s");
        assert_eq!(show_ago(Duration::from_secs(247)), "4m7s");
        assert_eq!(
            show_time("2026-11-20T17:45:07.123456Z"),
            "2026-11-20 17:45:07 UTC"
        );
        assert_eq!(show_time("0001-01-01T00:00:00Z"), "never");
    }
}
