//! What `--retention` says: a policy, or an age.
//!
//! `--retention days=7` means that messages are kept for seven days and then go: limits retention with a maximum age.

use std::str::FromStr;
use std::time::Duration;

use everjet_values::parse_long_duration;

use crate::forms::{nanos, show_age};

/// A value of `--retention`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retention {
    /// The policy in the words of the JetStream API.
    pub(crate) policy: &'static str,
    /// The maximum age in nanoseconds when the value is an age, and the text it was read from.
    age: Option<(i64, String)>,
}

impl Retention {
    /// The maximum age that this value and an explicit `--max-age` (nanoseconds, 0 for unlimited) ask for together;
    /// `None` when neither says anything.
    ///
    /// # Errors
    /// A text that names both when they differ.
    pub(crate) fn combine(&self, max_age: Option<i64>) -> Result<Option<i64>, String> {
        match (&self.age, max_age) {
            (Some((age, text)), Some(max_age)) if *age != max_age => Err(format!(
                "--retention {text} keeps messages for {}, but --max-age says {}; give one of them or make them equal",
                show_age(*age),
                show_age(max_age)
            )),
            (Some((age, _)), _) => Ok(Some(*age)),
            (None, max_age) => Ok(max_age),
        }
    }
}

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let policy = match text {
            "limits" => "limits",
            "interest" => "interest",
            "work" | "workq" | "workqueue" => "workqueue",
            _ => {
                let age = parse_age(text)?;
                return Ok(Self {
                    policy: "limits",
                    age: Some((age, text.to_owned())),
                });
            }
        };
        Ok(Self { policy, age: None })
    }
}

/// Reads `days=7`, `hours=12`, ... or `age=1d12h` into nanoseconds.
fn parse_age(text: &str) -> Result<i64, String> {
    let forms = || {
        format!(
            "retention {text:?} is not one of limits, interest, work, or an age like days=7, hours=12, age=1d12h"
        )
    };
    let (key, value) = text.split_once('=').ok_or_else(forms)?;
    let unit = match key {
        "age" => "",
        "second" | "seconds" => "s",
        "minute" | "minutes" => "m",
        "hour" | "hours" => "h",
        "day" | "days" => "d",
        "week" | "weeks" => "w",
        "month" | "months" => "M",
        "year" | "years" => "y",
        _ => return Err(forms()),
    };
    // With a unit in the name, the value is a number; `days=7d` would say it twice.
    if !unit.is_empty() && !value.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(format!(
            "retention {text:?} needs a plain number after {key}=, like {key}=7; a duration goes after age="
        ));
    }
    match parse_long_duration(&format!("{value}{unit}")) {
        Ok(Duration::ZERO) => Err(format!(
            "retention {text:?} would keep nothing; write limits to keep messages without an age limit"
        )),
        Ok(age) => Ok(nanos(age)),
        Err(error) => Err(format!("retention {text:?}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000_000;

    fn check(text: &str, policy: &str, age: Option<i64>) {
        let retention: Retention = text.parse().expect(text);
        assert_eq!(retention.policy, policy, "{text}");
        assert_eq!(retention.combine(None), Ok(age), "{text}");
    }

    #[test]
    fn policies_have_their_short_names() {
        check("limits", "limits", None);
        check("interest", "interest", None);
        check("work", "workqueue", None);
        check("workq", "workqueue", None);
        check("workqueue", "workqueue", None);
    }

    #[test]
    fn an_age_is_limits_retention_with_a_maximum_age() {
        check("days=7", "limits", Some(7 * DAY));
        check("day=1", "limits", Some(DAY));
        check("hours=12", "limits", Some(DAY / 2));
        check("minutes=90", "limits", Some(DAY / 16));
        check("seconds=1", "limits", Some(1_000_000_000));
        check("weeks=2", "limits", Some(14 * DAY));
        check("months=1", "limits", Some(30 * DAY));
        check("years=1", "limits", Some(365 * DAY));
        check("days=0.5", "limits", Some(DAY / 2));
        check("age=7d", "limits", Some(7 * DAY));
        check("age=1d12h", "limits", Some(DAY + DAY / 2));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "LIMITS",
            "7d",
            "days",
            "days=",
            "days=7d",
            "days=-1",
            "days=0",
            "age=7",
            "age=",
            "decades=1",
            "=7",
        ] {
            assert!(text.parse::<Retention>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_equal_maximum_age_agrees_and_a_different_one_is_named() {
        let week: Retention = "days=7".parse().expect("valid");
        assert_eq!(week.combine(Some(7 * DAY)), Ok(Some(7 * DAY)));
        let error = week.combine(Some(DAY)).expect_err("different");
        assert!(error.contains("--retention days=7"), "{error}");
        assert!(error.contains("--max-age says 1d0h0m0s"), "{error}");
        let limits: Retention = "limits".parse().expect("valid");
        assert_eq!(limits.combine(Some(DAY)), Ok(Some(DAY)));
        assert_eq!(limits.combine(None), Ok(None));
    }
}
