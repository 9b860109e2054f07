//! Who may depend on whom. Down is free, sideways is listed here, up does not exist.

use super::source::Tree;

/// Every crate of crates/ and its layer.
pub(crate) const LAYERS: [(&str, u8); 23] = [
    ("values", 0),
    ("subject", 0),
    ("wire", 0),
    ("api", 0),
    ("config", 0),
    ("websocket", 0),
    ("auth", 1),
    ("routing", 1),
    ("conn", 1),
    ("mqtt", 1),
    ("store", 1),
    ("foreign", 1),
    ("consumer", 1),
    ("stream", 1),
    ("replication", 1),
    ("net", 2),
    ("jetstream", 2),
    ("cluster", 2),
    ("monitor", 2),
    ("server", 3),
    ("cli", 3),
    ("testkit", 4),
    ("simulation", 4),
];

/// Edges within a layer. `values` is the floor of layer 0 and free for all.
const SIDEWAYS: [(&str, &str); 8] = [
    // API subjects and stream configurations are checked as subjects.
    ("api", "subject"),
    // Subjects in a configuration are checked where they stand.
    ("config", "subject"),
    // Allowed origins are read once, by who compares them.
    ("config", "websocket"),
    // A consumer reads what a stream stores.
    ("consumer", "store"),
    // A stream owns its store and its consumers.
    ("stream", "store"),
    ("stream", "consumer"),
    // The simulator runs on the simulated disk.
    ("simulation", "testkit"),
    // Both drive server processes.
    ("bench", "conformance"),
];

/// External crates that do I/O: not below layer 2.
const IO_CRATES: [&str; 7] = [
    "async-nats",
    "mio",
    "rustix",
    "signal-hook",
    "socket2",
    "tokio",
    "tempfile",
];

/// The layer of a crate by its name without prefix.
pub(crate) fn layer(name: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, layer)| *layer)
}

/// Checks every manifest of crates/.
pub(crate) fn check(tree: &Tree, problems: &mut Vec<String>) {
    for file in &tree.files {
        let Some(name) = file
            .path
            .strip_prefix("crates/")
            .and_then(|path| path.strip_suffix("/Cargo.toml"))
        else {
            continue;
        };
        let Some(own) = layer(name) else {
            problems.push(format!(
                "{}: crate {name} has no layer; give it one in xtask/src/tidy/layers.rs",
                file.path
            ));
            continue;
        };
        for (line, dependency) in dependencies(&file.text) {
            if let Some(problem) = edge(name, own, dependency) {
                problems.push(format!("{}:{line}: {problem}", file.path));
            }
        }
    }
}

fn edge(name: &str, own: u8, dependency: &str) -> Option<String> {
    let Some(ours) = dependency.strip_prefix("everjet-") else {
        let banned = own < 2 && IO_CRATES.contains(&dependency);
        return banned.then(|| format!("layer {own} does no I/O, {dependency} does"));
    };
    let Some(other) = layer(ours) else {
        return Some(format!("{dependency} has no layer"));
    };
    if other > own {
        return Some(format!(
            "{name} is layer {own} and may not use {ours} of layer {other}"
        ));
    }
    let listed = ours == "values" || SIDEWAYS.contains(&(name, ours));
    (other == own && !listed)
        .then(|| format!("{name} and {ours} share layer {own}, and the edge is not listed"))
}

/// Names in `[dependencies]` and its target-specific forms, with their line. Development dependencies are tests and free.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            let header = line.trim_matches(['[', ']']);
            inside = header == "dependencies"
                || (header.starts_with("target.") && header.ends_with(".dependencies"));
        } else if inside && !line.starts_with('#') {
            let end = line.find(['.', ' ', '=']).unwrap_or(0);
            if end > 0 {
                found.push((index + 1, &line[..end]));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_edge(name: &str, dependency: &str, expected: Option<&str>) {
        let manifest =
            format!("[package]\nname = \"x\"\n[dependencies]\n{dependency}.workspace = true\n");
        let path = format!("crates/{name}/Cargo.toml");
        let mut problems = Vec::new();
        check(&Tree::of(&[(&path, &manifest)]), &mut problems);
        match expected {
            None => assert_eq!(problems, Vec::<String>::new()),
            Some(text) => assert!(
                problems.len() == 1 && problems[0].contains(text),
                "{problems:?}"
            ),
        }
    }

    #[test]
    fn down_is_free() {
        check_edge("stream", "everjet-api", None);
        check_edge("net", "everjet-wire", None);
        check_edge("server", "tokio", None);
        check_edge("store", "crc-fast", None);
    }

    #[test]
    fn sideways_is_listed() {
        check_edge("api", "everjet-subject", None);
        check_edge("subject", "everjet-values", None);
        check_edge("subject", "everjet-api", Some("share layer 0"));
        check_edge("net", "everjet-jetstream", Some("share layer 2"));
    }

    #[test]
    fn up_does_not_exist() {
        check_edge(
            "wire",
            "everjet-routing",
            Some("may not use routing of layer 1"),
        );
        check_edge(
            "jetstream",
            "everjet-testkit",
            Some("may not use testkit of layer 4"),
        );
    }

    #[test]
    fn layers_0_and_1_use_no_crate_that_does_io() {
        check_edge("store", "tokio", Some("does no I/O"));
        check_edge("wire", "mio", Some("does no I/O"));
    }

    #[test]
    fn a_new_crate_needs_a_layer() {
        check_edge("surprise", "memchr", Some("has no layer"));
    }

    #[test]
    fn development_dependencies_are_free() {
        let manifest = "[dependencies]\n# everjet-net\nmemchr = \"2\"\n\n[dev-dependencies]\neverjet-testkit.workspace = true\n";
        assert_eq!(dependencies(manifest), [(3, "memchr")]);
    }
}
