//! Sizes in bytes as the command line writes them.

use std::fmt;

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SizeError {
    /// Nothing was written.
    Empty,
    /// Not a whole number followed by a known suffix.
    Malformed(String),
    /// More than 2^63-1 bytes.
    TooLarge(String),
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a size is missing; write it like 1024, 512KB or 1GiB"),
            Self::Malformed(text) => {
                write!(
                    f,
                    "size {text:?} is not a whole number with one of B, K, KB, KiB, M, MB, MiB, G, GB, GiB, T, TB, TiB"
                )
            }
            Self::TooLarge(text) => write!(f, "size {text:?} is larger than 8 EiB"),
        }
    }
}

impl std::error::Error for SizeError {}

/// Reads a size: a whole number and an optional suffix in any case, always 1024-based (`1MB` is 1,048,576), as the
/// official command line tool reads it.
///
/// # Errors
/// A [`SizeError`] that says what to write instead.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    if text.is_empty() {
        return Err(SizeError::Empty);
    }
    let scale: u64 = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(SizeError::Malformed(text.to_owned())),
    };
    if number.is_empty() {
        return Err(SizeError::Malformed(text.to_owned()));
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(scale))
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| SizeError::TooLarge(text.to_owned()))
}

/// Writes a size for people: `346 B`, `1.0 MiB`, `12 GiB`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = "KiB";
    let mut tenths = u128::from(bytes) * 10 / 1024;
    for next in ["MiB", "GiB", "TiB", "PiB", "EiB"] {
        if tenths < 10_240 {
            break;
        }
        unit = next;
        tenths /= 1024;
    }
    if tenths < 100 {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    } else {
        format!("{} {unit}", tenths / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_1024_based_in_any_case() {
        for (text, bytes) in [
            ("1024", 1024),
            ("128B", 128),
            ("1K", 1 << 10),
            ("1KB", 1 << 10),
            ("1kib", 1 << 10),
            ("1m", 1 << 20),
            ("1MB", 1 << 20),
            ("5000000000", 5_000_000_000),
            ("2G", 2 << 30),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["1.5MB", "1 MB", "1PB", "unlimited", "MB", "-1"] {
            assert_eq!(
                parse_size(text),
                Err(SizeError::Malformed(text.to_owned())),
                "{text}"
            );
        }
        assert_eq!(parse_size(""), Err(SizeError::Empty));
        assert_eq!(
            parse_size("9999999999T"),
            Err(SizeError::TooLarge("9999999999T".into()))
        );
    }

    #[test]
    fn sizes_are_shown_for_people() {
        for (bytes, shown) in [
            (0, "0 B"),
            (346, "346 B"),
            (1024, "1.0 KiB"),
            (1 << 20, "1.0 MiB"),
            (9_856_614, "9.3 MiB"),
            (12 << 30, "12 GiB"),
        ] {
            assert_eq!(format_size(bytes), shown);
        }
    }
}
