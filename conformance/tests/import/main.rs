//! `nats-server import-store`: nats-server 2.15.1 makes a store, stops or is killed, and Everjet answers from the import what
//! nats-server answered.
//!
//! Needs the nats-server that `cargo xtask clients` installs; without it, nothing is tested, and the test says so.

mod backup;
mod everything;
mod store;

use std::path::PathBuf;
use std::process::{Command, Output};

use everjet_conformance::{JetStream, ServerProcess, executable};
use tempfile::TempDir;

use everything::{Everything, read_everything};

/// How nats-server is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Clean,
    Killed,
}

/// The reference, when it is installed and not what is tested.
fn reference() -> Option<PathBuf> {
    let path = executable::clients().join("venv/bin/nats-server");
    if executable::is_reference() || !path.is_file() {
        eprintln!(
            "NOT RUN: the import is of a store of nats-server into Everjet; there is no {}, or it is what is tested",
            path.display()
        );
        return None;
    }
    Some(path)
}

/// Runs `import-store` of the server under test.
fn import_store(source: &ServerProcess, target: &TempDir, arguments: &[&str]) -> Output {
    Command::new(executable::server())
        .arg("import-store")
        .args(arguments)
        .arg("--store_dir")
        .arg(target.path())
        .arg(source.store())
        .output()
        .expect("the server under test runs")
}

/// Everjet on a directory.
fn everjet(directory: &TempDir) -> ServerProcess {
    let directory = directory.path().display();
    ServerProcess::start(&format!("jetstream: {{ store_dir: \"{directory}\" }}\n"))
}

/// Compares what both answer. Streams that Everjet does not have yet must have been refused by the name of what is missing.
#[track_caller]
fn compare(before: &Everything, after: &Everything, said: &str, js: &mut JetStream) {
    for (name, expected) in before {
        if let Some(found) = after.get(name) {
            assert_eq!(found.info, expected.info, "{name}");
            assert_eq!(found.messages.len(), expected.messages.len(), "{name}");
            for (found, expected) in found.messages.iter().zip(&expected.messages) {
                assert_eq!(found, expected, "{name}");
            }
            assert_eq!(found.consumers, expected.consumers, "{name}");
            continue;
        }
        let body = expected.info["config"].to_string();
        let answer = js.api(&format!("STREAM.CREATE.{name}"), &body);
        let why = answer["error"]["description"].as_str();
        let why = why.unwrap_or_else(|| panic!("{name} could have been imported: {said}"));
        let line = format!("{name}: refused: its configuration cannot be taken: {why}");
        assert!(said.contains(&line), "{name}: {why}: {said}");
    }
    assert!(after.keys().all(|name| before.contains_key(name)));
}

/// Fills nats-server with everything, ends it, imports, and compares.
fn check(jetstream: &str, end: End) {
    let Some(reference) = reference() else { return };
    let config = format!("jetstream: {{ store_dir: \"{{dir}}/store\" {jetstream} }}\n");
    let mut source = ServerProcess::start_with(&reference, &config, &[]);
    let mut js = JetStream::connect(&source);
    store::fill(&mut js);
    let mut before = read_everything(&mut js);
    drop(js);
    let target = tempfile::tempdir().expect("a temporary directory can be made");
    let key = target.path().join("key");
    std::fs::write(&key, "a key at rest\n").expect("a new directory is writable");
    let key = format!("--key-file={}", key.display());
    let arguments = [key.as_str()];
    let output;
    match end {
        End::Clean => {
            source.terminate();
            output = import_store(&source, &target, &arguments);
        }
        End::Killed => {
            source.kill();
            output = import_store(&source, &target, &arguments);
            // A crash loses what was not written, first of all the states of consumers: what counts is what nats-server itself
            // still knows.
            source.start_again();
            before = read_everything(&mut JetStream::connect(&source));
        }
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.stderr.is_empty(), "{output:?}");
    assert!(said.contains("; 0 places damaged"), "{said}");
    let server = everjet(&target);
    let mut js = JetStream::connect(&server);
    let after = read_everything(&mut js);
    for name in [
        "FILE", "HISTORY", "BIG", "PACKED", "GAPS", "EMPTY", "LIMITED",
    ] {
        assert!(after.contains_key(name), "{name}: {said}");
    }
    compare(&before, &after, &said, &mut js);
    // The store is one like any other: it takes messages, and is the same after a crash.
    let last = after["FILE"].info["state"]["last_seq"]
        .as_u64()
        .expect("a number");
    assert_eq!(js.store("file.more", "more"), last + 1);
}

#[test]
fn a_plain_store_comes_over() {
    check("", End::Clean);
}

#[test]
fn a_plain_store_comes_over_after_kill_9() {
    check("", End::Killed);
}

#[test]
fn a_store_encrypted_with_chacha_comes_over() {
    check(", key: \"a key at rest\", cipher: chacha", End::Clean);
}

#[test]
fn a_store_encrypted_with_aes_comes_over_after_kill_9() {
    check(", key: \"a key at rest\", cipher: aes", End::Killed);
}

#[test]
fn a_store_encrypted_with_aes_comes_over() {
    check(", key: \"a key at rest\", cipher: aes", End::Clean);
}

#[test]
fn an_imported_stream_outlives_kill_9_of_everjet() {
    let Some(reference) = reference() else { return };
    let config = "jetstream: { store_dir: \"{dir}/store\" }\n";
    let mut source = ServerProcess::start_with(&reference, config, &[]);
    store::fill(&mut JetStream::connect(&source));
    source.terminate();
    let target = tempfile::tempdir().expect("a temporary directory can be made");
    import_store(&source, &target, &[]);
    let mut server = everjet(&target);
    let mut js = JetStream::connect(&server);
    let before = read_everything(&mut js);
    assert_eq!(
        js.request("file.more", "more").json()["error"],
        serde_json::Value::Null
    );
    drop(js);
    server.kill();
    server.start_again();
    let mut js = JetStream::connect(&server);
    let mut after = read_everything(&mut js);
    let more = after.get_mut("FILE").expect("it was there").messages.pop();
    assert_eq!(
        more.expect("it was stored")["message"]["subject"],
        "file.more"
    );
    assert_eq!(before["FILE"].messages, after["FILE"].messages);
    assert_eq!(before["GAPS"].messages, after["GAPS"].messages);
}

#[test]
fn one_account_of_several_comes_over() {
    let Some(reference) = reference() else { return };
    let config = |user: &str| {
        format!(
            "jetstream: {{ store_dir: \"{{dir}}/store\" }}\nno_auth_user: {user}\n\
             accounts: {{ A: {{ jetstream: enabled, users: [{{user: a, password: a}}] }}, \
             B: {{ jetstream: enabled, users: [{{user: b, password: b}}] }} }}\n"
        )
    };
    let mut source = ServerProcess::start_with(&reference, &config("a"), &[]);
    let stream = r#"{"name":"S","subjects":["s.>"]}"#;
    let mut js = JetStream::connect(&source);
    js.create_stream("S", stream);
    js.store("s.a", "of account A");
    let before = read_everything(&mut js);
    drop(js);
    source.terminate();
    let file = source.directory().join("nats-server.conf");
    let directory = source.directory().display().to_string();
    std::fs::write(file, config("b").replace("{dir}", &directory)).expect("writable");
    source.start_again();
    let mut js = JetStream::connect(&source);
    js.create_stream("S", stream);
    js.store("s.b", "of account B");
    drop(js);
    source.terminate();

    let target = tempfile::tempdir().expect("a temporary directory can be made");
    let refused = import_store(&source, &target, &[]);
    let said = String::from_utf8_lossy(&refused.stdout);
    assert!(
        !refused.status.success() && said.contains("imported 0 streams"),
        "{said}"
    );
    for account in ["A", "B"] {
        assert!(
            said.contains(&format!("stream {account}/S: refused: ")),
            "{said}"
        );
    }
    let arguments = ["--account", "A", "--into-account", "$G"];
    let taken = import_store(&source, &target, &arguments);
    assert!(taken.status.success(), "{taken:?}");
    let server = everjet(&target);
    assert_eq!(read_everything(&mut JetStream::connect(&server)), before);
    // Everjet has the directory now.
    let second = import_store(&source, &target, &arguments);
    let stderr = String::from_utf8_lossy(&second.stderr);
    assert!(
        !second.status.success() && stderr.contains("in use by another server"),
        "{stderr}"
    );
}
