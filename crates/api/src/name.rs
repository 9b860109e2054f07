//! Which names streams and consumers may have.

use crate::{ApiError, ErrorCode};

/// Longest name of a stream or consumer, in bytes. Names are also names of folders.
pub const NAME_LEN_MAX: usize = 255;

/// Whether `name` can be the name of a stream: 1 to 255 bytes, and no white space, control character, `.`, `*`, `>`,
/// `/` or `\`.
#[must_use]
pub fn is_valid_stream_name(name: &str) -> bool {
    is_valid(name)
}

/// Whether `name` can be the name of a consumer; the rules are those of streams.
#[must_use]
pub fn is_valid_consumer_name(name: &str) -> bool {
    is_valid(name)
}

/// Refuses a name that no stream can have.
///
/// # Errors
/// [`ErrorCode::StreamNameContainsPathSeparators`], or [`ErrorCode::StreamInvalidConfig`] with the rule it breaks.
pub fn check_stream_name(name: &str) -> Result<(), ApiError> {
    if name.len() > NAME_LEN_MAX {
        return Err(ErrorCode::StreamInvalidConfig.because(format_args!(
            "stream name is too long, maximum allowed is {NAME_LEN_MAX}"
        )));
    }
    if name.contains(['/', '\\']) {
        return Err(ErrorCode::StreamNameContainsPathSeparators.error());
    }
    if is_valid(name) {
        return Ok(());
    }
    Err(ErrorCode::StreamInvalidConfig
        .because("stream name is required and can not contain '.', '*', '>', '\\', '/'"))
}

/// Refuses a name that no consumer can have.
///
/// # Errors
/// [`ErrorCode::ConsumerNameTooLong`], [`ErrorCode::ConsumerNameContainsPathSeparators`] or
/// [`ErrorCode::StreamInvalidConfig`].
pub fn check_consumer_name(name: &str) -> Result<(), ApiError> {
    if name.len() > NAME_LEN_MAX {
        return Err(ErrorCode::ConsumerNameTooLong
            .error()
            .with("max", NAME_LEN_MAX));
    }
    if name.contains(['/', '\\']) {
        return Err(ErrorCode::ConsumerNameContainsPathSeparators.error());
    }
    if is_valid(name) {
        return Ok(());
    }
    Err(ErrorCode::StreamInvalidConfig
        .because("consumer name can not contain '.', '*', '>', '\\', '/'"))
}

fn is_valid(name: &str) -> bool {
    (1..=NAME_LEN_MAX).contains(&name.len())
        && !name.contains(|c: char| {
            c.is_whitespace() || c.is_control() || matches!(c, '.' | '*' | '>' | '/' | '\\')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens_and_folders() {
        for name in [
            "ORDERS",
            "a",
            "with-dash_1",
            "caf\u{e9}",
            "$x@y:z",
            &"n".repeat(255),
        ] {
            assert!(is_valid_stream_name(name), "{name}");
            assert_eq!(check_stream_name(name), Ok(()));
            assert_eq!(check_consumer_name(name), Ok(()));
        }
    }

    #[test]
    fn each_bad_name_gets_the_answer_of_nats_server() {
        use ErrorCode as Code;
        let long = "n".repeat(256);
        for (name, stream, consumer) in [
            ("", Code::StreamInvalidConfig, Code::StreamInvalidConfig),
            ("a b", Code::StreamInvalidConfig, Code::StreamInvalidConfig),
            ("a\tb", Code::StreamInvalidConfig, Code::StreamInvalidConfig),
            (
                "a\u{1}",
                Code::StreamInvalidConfig,
                Code::StreamInvalidConfig,
            ),
            (
                "a\u{a0}",
                Code::StreamInvalidConfig,
                Code::StreamInvalidConfig,
            ),
            ("..", Code::StreamInvalidConfig, Code::StreamInvalidConfig),
            ("a.b", Code::StreamInvalidConfig, Code::StreamInvalidConfig),
            ("a*", Code::StreamInvalidConfig, Code::StreamInvalidConfig),
            (">", Code::StreamInvalidConfig, Code::StreamInvalidConfig),
            (
                "../a",
                Code::StreamNameContainsPathSeparators,
                Code::ConsumerNameContainsPathSeparators,
            ),
            (
                "a\\b",
                Code::StreamNameContainsPathSeparators,
                Code::ConsumerNameContainsPathSeparators,
            ),
            (&long, Code::StreamInvalidConfig, Code::ConsumerNameTooLong),
        ] {
            assert!(
                !is_valid_stream_name(name) && !is_valid_consumer_name(name),
                "{name:?}"
            );
            assert_eq!(
                check_stream_name(name).map_err(|e| e.err_code),
                Err(stream.err_code()),
                "{name:?}"
            );
            assert_eq!(
                check_consumer_name(name).map_err(|e| e.err_code),
                Err(consumer.err_code()),
                "{name:?}"
            );
        }
    }

    #[test]
    fn texts_name_the_characters() {
        assert_eq!(
            check_stream_name("a.b").map_err(|error| error.description),
            Err("stream name is required and can not contain '.', '*', '>', '\\', '/'".into())
        );
        assert_eq!(
            check_stream_name(&"n".repeat(256)).map_err(|error| error.description),
            Err("stream name is too long, maximum allowed is 255".into())
        );
        assert_eq!(
            check_consumer_name(&"n".repeat(256)).map_err(|error| error.description),
            Err("consumer name is too long, maximum allowed is 255".into())
        );
    }
}
