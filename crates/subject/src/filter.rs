//! The rules for one subject or filter, and for two of them.

/// Whether `filter` may be subscribed to: not empty, no empty token, no white space, and `>` only as the last token.
#[must_use]
pub fn is_valid_filter(filter: &[u8]) -> bool {
    !has_whitespace(filter) && is_well_formed(filter) && {
        let mut seen_full = false;
        tokens(filter).all(|token| {
            let valid = !seen_full;
            seen_full = token == b">";
            valid
        })
    }
}

/// Whether `subject` names one subject: a valid filter without wildcard tokens.
#[must_use]
pub fn is_valid_literal(subject: &[u8]) -> bool {
    is_well_formed(subject) && !has_whitespace(subject) && !has_wildcards(subject)
}

/// Whether any token of `filter` is `*` or `>`.
#[must_use]
pub fn has_wildcards(filter: &[u8]) -> bool {
    tokens(filter).any(|token| token == b"*" || token == b">")
}

/// Whether a message on `subject` goes to a subscription of `filter`.
///
/// A subject with an empty token (`a..b`, `.a`, `a.`) matches nothing, not even `>`, as in nats-server. Wildcard tokens
/// in the subject are ordinary tokens.
#[must_use]
pub fn matches(filter: &[u8], subject: &[u8]) -> bool {
    // What most filters are: the subject itself, or the tokens that it begins with.
    if filter == subject {
        return is_well_formed(subject);
    }
    if let Some(start) = filter.strip_suffix(b".>")
        && let Some(tail) = subject.strip_prefix(start)
        && tail.len() > 1
        && tail.first() == Some(&b'.')
    {
        return is_well_formed(subject);
    }
    let mut filter = Rest::of(filter);
    let mut subject = Rest::of(subject);
    loop {
        if filter.is_full_wildcard() {
            return subject.0.is_some_and(is_well_formed);
        }
        match (filter.next(), subject.next()) {
            (Some(wanted), Some(token)) => {
                if token.is_empty() || (wanted != token && wanted != b"*") {
                    return false;
                }
            }
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// Whether every subject that `sub` matches is also matched by `sup`. Both are valid filters.
#[must_use]
pub fn is_subset(sub: &[u8], sup: &[u8]) -> bool {
    let mut sub = Rest::of(sub);
    let mut sup = Rest::of(sup);
    loop {
        if sup.is_full_wildcard() {
            return sub.0.is_some();
        }
        if sub.is_full_wildcard() {
            return false;
        }
        match (sub.next(), sup.next()) {
            (Some(inner), Some(outer)) => {
                if inner != outer && outer != b"*" {
                    return false;
                }
            }
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// Whether some subject is matched by both filters. Both are valid filters.
#[must_use]
pub fn collides(a: &[u8], b: &[u8]) -> bool {
    let mut a = Rest::of(a);
    let mut b = Rest::of(b);
    loop {
        if a.is_full_wildcard() {
            return b.0.is_some();
        }
        if b.is_full_wildcard() {
            return a.0.is_some();
        }
        match (a.next(), b.next()) {
            (Some(one), Some(other)) => {
                if one != other && one != b"*" && other != b"*" {
                    return false;
                }
            }
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// The tokens of a subject or filter in order; the empty subject has one, empty, token.
pub fn tokens(subject: &[u8]) -> impl Iterator<Item = &[u8]> {
    Rest::of(subject)
}

/// Whether `subject` has at least one token and none is empty. Written without branches so that it compiles to vector
/// instructions: it runs for every published message.
pub(crate) fn is_well_formed(subject: &[u8]) -> bool {
    let (Some(first), Some(last)) = (subject.first(), subject.last()) else {
        return false;
    };
    let doubled = subject
        .iter()
        .zip(subject.iter().skip(1))
        .fold(false, |found, (a, b)| found | ((*a == b'.') & (*b == b'.')));
    !doubled && *first != b'.' && *last != b'.'
}

/// The first token of `rest`, and what follows its dot if it has one.
pub(crate) fn split_token(rest: &[u8]) -> (&[u8], Option<&[u8]>) {
    match rest.iter().position(|byte| *byte == b'.') {
        Some(dot) => {
            let (token, after) = rest.split_at(dot);
            (token, after.get(1..))
        }
        None => (rest, None),
    }
}

fn has_whitespace(subject: &[u8]) -> bool {
    subject
        .iter()
        .any(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0C))
}

/// The tokens of a subject that were not looked at yet; nothing after the last.
struct Rest<'a>(Option<&'a [u8]>);

impl<'a> Rest<'a> {
    fn of(subject: &'a [u8]) -> Self {
        Self(Some(subject))
    }

    /// Whether all that is left is a `>` token.
    fn is_full_wildcard(&self) -> bool {
        self.0 == Some(b">")
    }
}

impl<'a> Iterator for Rest<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (token, rest) = split_token(self.0?);
        self.0 = rest;
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn filters_and_literals_follow_the_token_rules() {
        // subject, valid filter, valid literal, has wildcards
        for (subject, filter, literal, wildcards) in [
            (&b"foo"[..], true, true, false),
            (b"foo.bar.baz", true, true, false),
            (b"f\x00o.\xff", true, true, false),
            (b"foo*", true, true, false),
            (b"foo.*bar.>x", true, true, false),
            (b"foo.**", true, true, false),
            (b"foo.>>", true, true, false),
            (b"*", true, false, true),
            (b">", true, false, true),
            (b"foo.*.bar", true, false, true),
            (b"foo.*.*.>", true, false, true),
            (b">.foo", false, false, true),
            (b"foo.>.bar", false, false, true),
            (b">.>", false, false, true),
            (b"", false, false, false),
            (b".", false, false, false),
            (b".foo", false, false, false),
            (b"foo.", false, false, false),
            (b"foo..bar", false, false, false),
            (b"foo. bar", false, false, false),
            (b"foo\tbar", false, false, false),
            (b"foo\r", false, false, false),
            (b"foo\nbar", false, false, false),
            (b"foo\x0cbar", false, false, false),
        ] {
            assert_eq!(is_valid_filter(subject), filter, "{}", text(subject));
            assert_eq!(is_valid_literal(subject), literal, "{}", text(subject));
            assert_eq!(has_wildcards(subject), wildcards, "{}", text(subject));
        }
    }

    #[test]
    fn a_subject_matches_by_tokens() {
        for (filter, subject, expected) in [
            ("foo", "foo", true),
            ("foo", "Foo", false),
            ("foo", "foo.bar", false),
            ("foo.bar", "foo", false),
            ("foo.bar", "foo.bar", true),
            ("*", "foo", true),
            ("*", "foo.bar", false),
            ("foo.*", "foo.bar", true),
            ("foo.*", "foo", false),
            ("*.bar", "foo.bar", true),
            ("*.bar", "foo.baz", false),
            ("foo.*.baz", "foo.bar.baz", true),
            (">", "foo", true),
            (">", "foo.bar.baz", true),
            ("foo.>", "foo", false),
            ("foo.>", "foo.bar", true),
            ("foo.>", "foo.bar.baz", true),
            ("foo.>", "fo.bar", false),
            ("foo.*.>", "foo.bar", false),
            ("foo.*.>", "foo.bar.baz.x", true),
            ("foo*", "foobar", false),
            ("foo*", "foo*", true),
            ("foo.>x", "foo.bar", false),
            ("foo.*", "foo.*", true),
            ("foo.*", "foo.>", true),
            ("foo.bar", "foo.*", false),
            ("foo.>", "foo.>", true),
            ("foo.>", "foo.", false),
            ("foo.>", "foo..bar", false),
            ("foo..>", "foo..bar", false),
            (".>", ".foo", false),
            ("foo..bar", "foo..bar", false),
            ("", "", false),
            (">", "foo..bar", false),
            (">", ".foo", false),
            (">", "foo.", false),
            (">", "", false),
            ("*", "", false),
            ("foo.*", "foo.", false),
            ("foo.*.bar", "foo..bar", false),
            ("foo.>", "foo.bar..baz", false),
            ("foo..bar", "foo..bar", false),
            ("", "", false),
        ] {
            let found = matches(filter.as_bytes(), subject.as_bytes());
            assert_eq!(found, expected, "{filter} on {subject}");
        }
    }

    #[test]
    fn subset_and_collision_of_two_filters() {
        // a, b, a inside b, b inside a, collide
        for (a, b, inside, contains, collide) in [
            ("foo", "foo", true, true, true),
            ("foo", "bar", false, false, false),
            ("foo", "*", true, false, true),
            ("foo", ">", true, false, true),
            ("*", ">", true, false, true),
            ("*", "*", true, true, true),
            (">", ">", true, true, true),
            ("foo.*", "foo.bar", false, true, true),
            ("foo.*", "foo.>", true, false, true),
            ("foo.*", "*.bar", false, false, true),
            ("foo.*", "bar.*", false, false, false),
            ("foo.>", "foo", false, false, false),
            ("foo.>", "*.bar", false, false, true),
            ("foo.>", "*.bar.*", false, false, true),
            ("foo.>", "*", false, false, false),
            ("foo.bar.>", "foo.*", false, false, false),
            ("foo.bar.>", "foo.>", true, false, true),
            ("foo.*.>", "foo.>", true, false, true),
            ("*.>", ">", true, false, true),
            ("foo.*.baz", "foo.bar.*", false, false, true),
            ("foo.*.baz", "foo.bar.x", false, false, false),
            ("foo.*", "foo.*.*", false, false, false),
        ] {
            let (first, second) = (a.as_bytes(), b.as_bytes());
            assert_eq!(is_subset(first, second), inside, "{a} inside {b}");
            assert_eq!(is_subset(second, first), contains, "{b} inside {a}");
            assert_eq!(collides(first, second), collide, "{a} and {b}");
            assert_eq!(collides(second, first), collide, "{b} and {a}");
        }
    }

    #[test]
    fn tokens_come_in_order() {
        for (subject, expected) in [
            ("foo", vec!["foo"]),
            ("foo.bar.>", vec!["foo", "bar", ">"]),
            ("a..", vec!["a", "", ""]),
            ("", vec![""]),
        ] {
            let found: Vec<&[u8]> = tokens(subject.as_bytes()).collect();
            let expected: Vec<&[u8]> = expected.into_iter().map(str::as_bytes).collect();
            assert_eq!(found, expected, "{subject}");
        }
    }

    /// All sequences of one to three of the given tokens.
    fn combinations(alphabet: &[&str]) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let mut longest: Vec<String> = alphabet.iter().map(|&token| token.to_owned()).collect();
        for _ in 0..3 {
            all.extend(longest.iter().cloned());
            longest = longest
                .iter()
                .flat_map(|head| alphabet.iter().map(move |token| format!("{head}.{token}")))
                .collect();
        }
        all
    }

    #[test]
    fn subset_and_collision_agree_with_the_subjects_that_match() {
        // `z` occurs in no filter, so each pair of different filters over two tokens is told apart by some subject
        // of up to four tokens.
        let mut subjects = combinations(&["a", "b", "z"]);
        let longer: Vec<String> = subjects.iter().map(|head| format!("{head}.z")).collect();
        subjects.extend(longer);
        let filters: Vec<String> = combinations(&["a", "b", "*", ">"])
            .into_iter()
            .filter(|filter| is_valid_filter(filter.as_bytes()))
            .collect();
        let rows: Vec<Vec<bool>> = filters
            .iter()
            .map(|filter| {
                subjects
                    .iter()
                    .map(|subject| matches(filter.as_bytes(), subject.as_bytes()))
                    .collect()
            })
            .collect();
        for (a, in_a) in filters.iter().zip(&rows) {
            for (b, in_b) in filters.iter().zip(&rows) {
                let pairs = || in_a.iter().copied().zip(in_b.iter().copied());
                let inside = pairs().all(|(a, b)| !a || b);
                let shared = pairs().any(|(a, b)| a && b);
                assert_eq!(is_subset(a.as_bytes(), b.as_bytes()), inside, "{a} in {b}");
                assert_eq!(collides(a.as_bytes(), b.as_bytes()), shared, "{a}, {b}");
            }
        }
    }
}
