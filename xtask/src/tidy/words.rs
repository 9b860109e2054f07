//! Texts that belong to one machine and not into a repository.

use super::source::Tree;

/// Paths of people's machines, and hosts of package registries: which of them answers is a matter of everyone's own settings.
/// Written in two halves, so that this file does not hold them.
const WORDS: [&str; 11] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/tmp", "/t/"),
    concat!("/tmp", "/brief"),
    concat!("registry.", "npmjs.org"),
    concat!("registry.", "yarnpkg.com"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("static.", "crates.io"),
];

/// Checks every text file.
pub(crate) fn check(tree: &Tree, problems: &mut Vec<String>) {
    for file in &tree.files {
        for (index, line) in file.text.lines().enumerate() {
            for word in WORDS {
                if line.contains(word) {
                    problems.push(format!(
                        "{}:{}: {word} does not belong into the repository",
                        file.path,
                        index + 1
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_one_machine_are_found_in_any_file() {
        let mut problems = Vec::new();
        let text = format!("fine\nsee {}x\n", WORDS[0]);
        check(
            &Tree::of(&[("docs/a.md", &text), ("b.rs", "a network/thing")]),
            &mut problems,
        );
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("docs/a.md:2: "), "{problems:?}");
    }
}
