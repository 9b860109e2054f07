//! Files stay small: a ceiling, and a ratchet for those that were let through.

use super::source::Tree;

/// Lines a source file may have.
const CEILING: usize = 1_000;
/// How far below its entry a file may be before the entry must follow.
const SLACK: usize = 50;

/// Files above the ceiling and their size. An entry is lowered when its file shrinks and never raised.
pub(crate) const RATCHET: [(&str, usize); 0] = [];

/// Checks every Rust file.
pub(crate) fn check(tree: &Tree, ratchet: &[(&str, usize)], problems: &mut Vec<String>) {
    for file in tree.rust("") {
        let lines = file.text.lines().count();
        let entry = ratchet
            .iter()
            .find(|(path, _)| *path == file.path)
            .map(|(_, lines)| *lines);
        match entry {
            None if lines > CEILING => {
                problems.push(format!(
                    "{}: {lines} lines, the ceiling is {CEILING}; split it",
                    file.path
                ));
            }
            Some(most) if lines > most => {
                problems.push(format!(
                    "{}: {lines} lines, it may not grow past {most}; split it",
                    file.path
                ));
            }
            Some(most) if lines + SLACK < most => {
                problems.push(format!(
                    "{}: {lines} lines; lower its entry in the ratchet, which says {most}",
                    file.path
                ));
            }
            _ => {}
        }
    }
    for (path, _) in ratchet {
        if tree.get(path).is_none() {
            problems.push(format!("{path}: gone; remove its entry from the ratchet"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_size(lines: usize, ratchet: &[(&str, usize)], expected: Option<&str>) {
        let text = "x\n".repeat(lines);
        let mut problems = Vec::new();
        check(
            &Tree::of(&[("crates/a/src/b.rs", &text)]),
            ratchet,
            &mut problems,
        );
        match expected {
            None => assert_eq!(problems, Vec::<String>::new()),
            Some(text) => assert!(
                problems.iter().any(|problem| problem.contains(text)),
                "{problems:?}"
            ),
        }
    }

    #[test]
    fn the_ceiling_holds_and_the_ratchet_only_goes_down() {
        let entry = [("crates/a/src/b.rs", 1_200)];
        check_size(1_000, &[], None);
        check_size(1_001, &[], Some("the ceiling is 1000"));
        check_size(1_200, &entry, None);
        check_size(1_201, &entry, Some("may not grow past 1200"));
        check_size(1_100, &entry, Some("lower its entry"));
        check_size(10, &[("crates/gone.rs", 1_100)], Some("gone"));
    }
}
