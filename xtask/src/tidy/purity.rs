//! Layers 0 and 1 do no I/O, start no threads and read no clock, outside their tests.

use super::layers::layer;
use super::source::Tree;

/// Names that do not belong there, and what to use instead.
const NAMES: [(&str, &str); 13] = [
    ("std::fs", "files are reached through `Disk`"),
    ("std::process", "drivers start processes"),
    (
        "std::env",
        "the server hands in what it needs of the environment",
    ),
    ("TcpStream", "drivers own sockets"),
    ("TcpListener", "drivers own sockets"),
    ("UdpSocket", "drivers own sockets"),
    ("UnixStream", "drivers own sockets"),
    ("ToSocketAddrs", "drivers resolve names"),
    ("Instant::now", "time is an argument"),
    ("SystemTime::now", "time is an argument"),
    ("thread::spawn", "drivers own threads"),
    ("thread::sleep", "drivers own threads"),
    ("println!", "machines return what happened, drivers log it"),
];

/// Checks the sources of the crates of layers 0 and 1.
pub(crate) fn check(tree: &Tree, problems: &mut Vec<String>) {
    for file in tree.rust("crates/") {
        let mut parts = file.path.split('/').skip(1);
        let (Some(name), Some("src")) = (parts.next(), parts.next()) else {
            continue;
        };
        if layer(name).is_none_or(|layer| layer > 1)
            || file.path.ends_with("tests.rs")
            || file.path.contains("/tests/")
        {
            continue;
        }
        for (line, code) in product_lines(&file.text) {
            for (banned, instead) in NAMES {
                if code.contains(banned) {
                    problems.push(format!(
                        "{}:{line}: {banned} in layer 0 or 1: {instead}",
                        file.path
                    ));
                }
            }
        }
    }
}

/// Lines outside comments and test modules, with their number. rustfmt puts the closing brace of a module at the margin.
fn product_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut armed = false;
    let mut in_tests = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if in_tests {
            in_tests = line != "}";
            return None;
        }
        if line == "#[cfg(test)]" {
            armed = true;
            return None;
        }
        in_tests = armed && line.ends_with('{');
        armed = armed && line.starts_with("#[");
        if in_tests {
            return None;
        }
        let code = line.split("//").next().unwrap_or_default();
        Some((index + 1, code))
    })
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
    fn names_of_io_are_found_in_the_low_layers_only() {
        let line = "fn f() {\n    let now = Instant::now();\n}\n";
        check_file(
            "crates/store/src/a.rs",
            line,
            Some("store/src/a.rs:2: Instant::now"),
        );
        check_file("crates/net/src/a.rs", line, None);
        check_file("crates/store/tests/a.rs", line, None);
        check_file("crates/store/src/a/tests.rs", line, None);
    }

    #[test]
    fn comments_and_test_modules_do_not_count() {
        check_file(
            "crates/api/src/a.rs",
            "// Instant::now is not used.\n",
            None,
        );
        let tested = "#[cfg(test)]\nmod tests {\n    fn f() { std::fs::read(\"x\"); }\n}\n";
        check_file("crates/api/src/a.rs", tested, None);
        let after = format!("{tested}\nfn g() {{ std::fs::read(\"x\"); }}\n");
        check_file(
            "crates/api/src/a.rs",
            &after,
            Some("api/src/a.rs:6: std::fs"),
        );
        let file = "#[cfg(test)]\nmod tests;\nuse std::fs;\n";
        check_file("crates/api/src/a.rs", file, Some("api/src/a.rs:3: std::fs"));
    }
}
