//! `{{name(arguments)}}` in a token of a destination.
//!
//! nats-server searches tokens with regular expressions that are not anchored, so a function may have text around it inside
//! of the braces; it is found here under the same conditions.

/// The functions, in the order in which they are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Wildcard,
    Partition,
    SplitFromLeft,
    SplitFromRight,
    SliceFromLeft,
    SliceFromRight,
    Right,
    Left,
    Split,
    Random,
}

/// Names; a capital stands for a letter in either case.
const NAMES: [(Function, &[u8]); 10] = [
    (Function::Wildcard, b"Wildcard"),
    (Function::Partition, b"Partition"),
    (Function::SplitFromLeft, b"SplitFromLeft"),
    (Function::SplitFromRight, b"SplitFromRight"),
    (Function::SliceFromLeft, b"SliceFromLeft"),
    (Function::SliceFromRight, b"SliceFromRight"),
    (Function::Right, b"Right"),
    (Function::Left, b"Left"),
    (Function::Split, b"Split"),
    (Function::Random, b"Random"),
];

/// Whether a token is written as a function, known or not.
pub(super) fn is_braced(token: &[u8]) -> bool {
    token.len() > 4 && token.starts_with(b"{{") && token.ends_with(b"}}")
}

/// The function a braced token calls, and its arguments: at least one, which may be empty.
pub(super) fn find(token: &[u8]) -> Option<(Function, Vec<&[u8]>)> {
    NAMES.iter().find_map(|(function, name)| {
        let text = arguments(token, name)?;
        let mut arguments = text.split(|byte| *byte == b',');
        let first = arguments.next()?;
        let others = arguments.map(skip_blanks);
        Some((*function, std::iter::once(first).chain(others).collect()))
    })
}

/// Whether the token stands for what a `*` of the source stands for: `$1` or `{{wildcard(1)}}`.
pub(super) fn is_wildcard(token: &[u8]) -> bool {
    token.first() == Some(&b'$')
        || find(token).is_some_and(|(found, _)| found == Function::Wildcard)
}

/// The text between the parentheses of the first call of `name` in the token.
fn arguments<'t>(token: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    let starts = 0..token.len();
    starts
        .filter_map(|start| token.get(start..)?.strip_prefix(b"{{"))
        .find_map(|inside| {
            let behind = strip_name(skip_blanks(inside), name)?;
            closed(skip_blanks(behind).strip_prefix(b"(")?)
        })
}

/// What follows the name.
fn strip_name<'t>(text: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    let (start, behind) = text.split_at_checked(name.len())?;
    let fits = |(written, wanted): (&u8, &u8)| {
        written == wanted
            || (wanted.is_ascii_uppercase() && *written == wanted.to_ascii_lowercase())
    };
    start.iter().zip(name).all(fits).then_some(behind)
}

/// The text up to the last `)` that only blanks separate from `}}`, without line ends.
fn closed(text: &[u8]) -> Option<&[u8]> {
    let line = text.split(|byte| *byte == b'\n').next()?;
    let ends = (0..line.len()).rev();
    ends.filter_map(|end| {
        let behind = text.get(end..)?.strip_prefix(b")")?;
        skip_blanks(behind).starts_with(b"}}").then_some(end)
    })
    .next()
    .and_then(|end| text.get(..end))
}

fn skip_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r' | 0x0C, rest @ ..] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_with_their_arguments() {
        for (token, expected) in [
            ("{{wildcard(1)}}", Some((Function::Wildcard, vec!["1"]))),
            (
                "{{ Wildcard ( 1 ) }}",
                Some((Function::Wildcard, vec![" 1 "])),
            ),
            ("{{wildcard()}}", Some((Function::Wildcard, vec![""]))),
            (
                "{{partition(3, 1,2 )}}",
                Some((Function::Partition, vec!["3", "1", "2 "])),
            ),
            (
                "{{splitFromleft(1,2)}}",
                Some((Function::SplitFromLeft, vec!["1", "2"])),
            ),
            ("{{split(1,))}}", Some((Function::Split, vec!["1", ")"]))),
            ("{{x{{left(1,2)}}", Some((Function::Left, vec!["1", "2"]))),
            ("{{right(1,2)}}x}}", Some((Function::Right, vec!["1", "2"]))),
            ("{{random(1,)}}", Some((Function::Random, vec!["1", ""]))),
            ("{{split(1,\n)}}", None),
            ("{{WILDCARD(1)}}", None),
            ("{{sPlit(1,-)}}", None),
            ("{{split}}", None),
            ("{{split(1,-)x}}", None),
            ("{{split(1,-}}", None),
            ("{{foo(1)}}", None),
        ] {
            let found = find(token.as_bytes()).map(|(function, arguments)| {
                let text = |argument: &[u8]| String::from_utf8_lossy(argument).into_owned();
                (
                    function,
                    arguments.into_iter().map(text).collect::<Vec<_>>(),
                )
            });
            let expected = expected.map(|(function, arguments)| {
                (function, arguments.into_iter().map(str::to_owned).collect())
            });
            assert_eq!(found, expected, "{token}");
        }
    }
}
