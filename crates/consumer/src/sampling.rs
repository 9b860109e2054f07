//! Which acknowledgements are sampled (`sample_freq`).

use std::num::IntErrorKind;

use everjet_api::{ApiError, ErrorCode};
use everjet_values::ConsumerSequence;

/// Checks a `sample_freq`.
///
/// # Errors
/// [`ErrorCode::ConsumerInvalidSampling`] with the text of nats-server.
pub(crate) fn check(text: &str) -> Result<(), ApiError> {
    let refuse = |why: &str| Err(ErrorCode::ConsumerInvalidSampling.because(why));
    match parse(text) {
        Ok(share) if share < 0 => refuse("<nil>"),
        Ok(_) => Ok(()),
        Err(why) => refuse(&why),
    }
}

/// Whether the acknowledgement of this delivery is sampled. Deliveries are spread evenly, and the same one is always answered in the
/// same way.
#[must_use]
pub fn is_sampled(sample_freq: &str, delivery: ConsumerSequence) -> bool {
    let share = parse(sample_freq)
        .ok()
        .and_then(|share| u64::try_from(share).ok());
    let spread = delivery.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    spread % 100 < share.unwrap_or(0)
}

/// The number of percent: the sign may be left out, and so may the whole.
fn parse(text: &str) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let number = text.strip_suffix('%').unwrap_or(text);
    number.parse().map_err(|error: std::num::ParseIntError| {
        let what = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {number:?}: {what}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept() {
        for (text, least, most) in [
            ("", 0, 0),
            ("0", 0, 0),
            ("1%", 50, 150),
            ("30%", 2_800, 3_200),
            ("30", 2_800, 3_200),
            ("100%", 10_000, 10_000),
            ("1000", 10_000, 10_000),
        ] {
            let sampled = (1..=10_000)
                .filter(|delivery| is_sampled(text, ConsumerSequence(*delivery)))
                .count();
            assert!((least..=most).contains(&sampled), "{text}: {sampled}");
        }
    }
}
