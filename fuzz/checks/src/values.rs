//! Durations, sizes and times as text.

use everjet_values::{
    Timestamp, format_duration, format_size, parse_duration, parse_long_duration, parse_size,
};

/// Any text is read or refused; what is written for a value that was read is read as that value again.
pub fn check_values(data: &[u8]) {
    let text = &String::from_utf8_lossy(data);
    if let Ok(duration) = parse_duration(text) {
        assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        assert_eq!(parse_long_duration(text), Ok(duration));
    }
    if let Ok(duration) = parse_long_duration(text) {
        assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }
    if let Ok(size) = parse_size(text) {
        assert!(!format_size(size).is_empty());
    }
    if let Ok(time) = Timestamp::parse(text) {
        assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
    }
}
