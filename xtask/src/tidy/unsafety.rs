//! Unsafe code lives in two crates and the power rig, and every block says why it holds.

use super::source::Tree;

/// The crates that may hold unsafe code.
const ALLOWED: [&str; 3] = ["crates/net/", "crates/jetstream/", "conformance/rig/"];
/// Lines above an unsafe block in which its reason must stand.
const REASON_WITHIN: usize = 6;

/// Checks the roots of all crates, and unsafe blocks.
pub(crate) fn check(tree: &Tree, problems: &mut Vec<String>) {
    for file in tree.rust("") {
        let allowed = ALLOWED.iter().any(|folder| file.path.starts_with(folder));
        let library = file.path.ends_with("src/lib.rs");
        // A binary beside a library is a root of its own.
        let program = file.path.ends_with("src/main.rs");
        if (library || program) && !allowed && !file.text.contains("\n#![forbid(unsafe_code)]\n") {
            problems.push(format!("{}: #![forbid(unsafe_code)] is missing", file.path));
        }
        if allowed {
            reasons(&file.path, &file.text, problems);
        }
    }
}

fn reasons(path: &str, text: &str, problems: &mut Vec<String>) {
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        if !code.contains("unsafe {") && !code.contains("unsafe impl") {
            continue;
        }
        let from = index.saturating_sub(REASON_WITHIN);
        if !lines[from..=index]
            .iter()
            .any(|line| line.contains("SAFETY:"))
        {
            problems.push(format!(
                "{path}:{}: an unsafe block without a SAFETY comment",
                index + 1
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_file(path: &str, text: &str, expected: Option<&str>) {
        let mut problems = Vec::new();
        check(&Tree::of(&[(path, text)]), &mut problems);
        match expected {
            None => assert_eq!(problems, Vec::<String>::new()),
            Some(text) => assert!(
                problems.len() == 1 && problems[0].contains(text),
                "{problems:?}"
            ),
        }
    }

    #[test]
    fn roots_forbid_unsafe_code_except_where_it_is_needed() {
        check_file(
            "crates/api/src/lib.rs",
            "//! Api.\n#![forbid(unsafe_code)]\n",
            None,
        );
        check_file("crates/api/src/lib.rs", "//! Api.\n", Some("is missing"));
        check_file("crates/cli/src/main.rs", "//! Cli.\n", Some("is missing"));
        check_file("crates/net/src/lib.rs", "//! Net.\n", None);
        check_file("crates/api/src/other.rs", "", None);
    }

    #[test]
    fn an_unsafe_block_says_why() {
        check_file(
            "crates/net/src/a.rs",
            "// SAFETY: because.\nunsafe { x() };\n",
            None,
        );
        check_file(
            "crates/net/src/a.rs",
            "unsafe { x() };\n",
            Some("net/src/a.rs:1: an unsafe block"),
        );
    }
}
