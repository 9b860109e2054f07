//! Templates in message bodies and header values: `{{Count}}`, `{{Random 10 20}}` and their like.

use std::hash::{BuildHasher, Hasher, RandomState};

use everjet_values::{Entropy, SeededEntropy, Timestamp, token};

use crate::forms::now;

/// A text with places to fill in for each message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Count,
    TimeStamp,
    Unix,
    UnixNano,
    Time,
    Id,
    Random { min: usize, max: usize },
    Request,
}

/// The most characters that one `Random` yields.
const RANDOM_MAX: usize = 16 << 20;

/// What fills the places of one message.
pub(crate) struct Filling<'a> {
    /// The number of the message, from 1.
    pub(crate) count: u64,
    /// The body of the request that is answered; empty when there is none.
    pub(crate) request: &'a str,
    /// The time of the message.
    pub(crate) now: Timestamp,
}

impl<'a> Filling<'a> {
    /// The filling of message number `count`, now.
    pub(crate) fn new(count: u64, request: &'a str) -> Self {
        Self {
            count,
            request,
            now: now(),
        }
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A text that names the expression which is not understood.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (expression, next) = after
                .split_once("}}")
                .ok_or_else(|| "\"{{\" is not closed".to_owned())?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(parse_part(expression)?);
            rest = next;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// A text without places to fill in, whatever it contains.
    pub(crate) fn literal(text: &str) -> Self {
        Self(vec![Part::Text(text.to_owned())])
    }

    /// The text for one message.
    pub(crate) fn expand(&self, filling: &Filling<'_>, entropy: &dyn Entropy) -> String {
        let mut text = String::new();
        for part in &self.0 {
            let seconds = filling.now.as_nanos().div_euclid(1_000_000_000);
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Count => text.push_str(&filling.count.to_string()),
                Part::TimeStamp => {
                    text.push_str(&Timestamp::from_nanos(seconds * 1_000_000_000).to_string());
                }
                Part::Unix => text.push_str(&seconds.to_string()),
                Part::UnixNano => text.push_str(&filling.now.as_nanos().to_string()),
                Part::Time => text.push_str(&kitchen_time(seconds)),
                Part::Id => text.push_str(&token(entropy, 22)),
                Part::Random { min, max } => {
                    let span = u64::try_from(max - min).unwrap_or(u64::MAX - 1);
                    let more = entropy.next_u64() % (span + 1);
                    let length = min + usize::try_from(more).unwrap_or(0);
                    text.push_str(&token(entropy, length));
                }
                Part::Request => text.push_str(filling.request),
            }
        }
        text
    }
}

/// Entropy for names and random bodies; not for secrets.
pub(crate) fn entropy() -> SeededEntropy {
    SeededEntropy::new(RandomState::new().build_hasher().finish())
}

/// A time of the day as on a kitchen clock, `3:04PM`, in UTC.
fn kitchen_time(seconds: i64) -> String {
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute) = (of_day / 3_600, of_day / 60 % 60);
    let half = if hour < 12 { "AM" } else { "PM" };
    let hour = match hour % 12 {
        0 => 12,
        hour => hour,
    };
    format!("{hour}:{minute:02}{half}")
}

fn parse_part(expression: &str) -> Result<Part, String> {
    let unknown = || format!("template {{{{{expression}}}}} is not understood");
    let words: Vec<&str> = expression
        .split(|c: char| c.is_whitespace() || c == ',' || c == '(' || c == ')')
        .filter(|word| !word.is_empty())
        .collect();
    match words.as_slice() {
        ["Count"] => Ok(Part::Count),
        ["TimeStamp"] => Ok(Part::TimeStamp),
        ["Unix"] => Ok(Part::Unix),
        ["UnixNano"] => Ok(Part::UnixNano),
        ["Time"] => Ok(Part::Time),
        ["ID"] => Ok(Part::Id),
        ["Request"] => Ok(Part::Request),
        ["Random", min, max] => {
            let min: usize = min.parse().map_err(|_| unknown())?;
            let max: usize = max.parse().map_err(|_| unknown())?;
            if min > max || max > RANDOM_MAX {
                return Err(unknown());
            }
            Ok(Part::Random { min, max })
        }
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, expected: &str) {
        let filling = Filling {
            count: 3,
            request: "ping",
            now: Timestamp::from_nanos(1_795_195_616_500_000_000),
        };
        let expanded = Template::parse(template)
            .expect(template)
            .expand(&filling, &SeededEntropy::new(1));
        assert_eq!(expanded, expected, "{template}");
    }

    #[test]
    fn places_are_filled_in() {
        check("plain", "plain");
        check("", "");
        check("#{{Count}}, {{ Count }}", "#3, 3");
        check("{{Unix}}", "1795195616");
        check("{{UnixNano}}", "1795195616500000000");
        check("{{TimeStamp}}", "2026-11-20T17:26:56Z");
        check("{{Time}}", "5:26PM");
        check("re: {{Request}}!", "re: ping!");
        check(r#"{"id": {"a": 1}}"#, r#"{"id": {"a": 1}}"#);
    }

    #[test]
    fn random_and_id_have_the_asked_length() {
        let entropy = SeededEntropy::new(1);
        for _ in 0..50 {
            let text = Template::parse("{{Random 2 5}}")
                .expect("valid")
                .expand(&Filling::new(1, ""), &entropy);
            assert!((2..=5).contains(&text.len()), "{text}");
        }
        let id = Template::parse("{{ID}}")
            .expect("valid")
            .expand(&Filling::new(1, ""), &entropy);
        assert_eq!(id.len(), 22);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for text in [
            "{{Nope}}",
            "{{Count",
            "{{Random 5}}",
            "{{Random 5 2}}",
            "{{Random 1 99999999999}}",
            "{{}}",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
