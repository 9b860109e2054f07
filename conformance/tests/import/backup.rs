//! Backups of one server that the other one restores.

use std::path::Path;

use everjet_conformance::{JetStream, ServerProcess, back_up, executable, restore};
use serde_json::{Value, json};

use super::everything::{Everything, read_everything};
use super::{reference, store};

fn start(server: &Path) -> (ServerProcess, JetStream) {
    let server =
        ServerProcess::start_with(server, "jetstream: { store_dir: \"{dir}/store\" }\n", &[]);
    let js = JetStream::connect(&server);
    (server, js)
}

/// Everything that a restored stream has of the one it was: it is created anew.
fn comparable(js: &mut JetStream) -> Everything {
    let mut everything = read_everything(js);
    for stream in everything.values_mut() {
        let forget = |value: &mut Value| {
            if let Some(fields) = value.as_object_mut() {
                fields.remove("created");
            }
        };
        forget(&mut stream.info);
        stream.consumers.iter_mut().for_each(forget);
    }
    everything
}

/// Restores backups of all streams of `from` in `to`, and returns which.
fn move_over(from: &mut JetStream, to: &mut JetStream, names: &[String]) -> Vec<String> {
    let mut moved = Vec::new();
    for name in names {
        let backup = back_up(from, name, &json!({}));
        let config = &backup.answer["config"];
        let created = to.api(&format!("STREAM.CREATE.{name}"), &config.to_string());
        if !created["error"].is_null() {
            // This server does not have such streams yet.
            continue;
        }
        assert_eq!(
            to.api(&format!("STREAM.DELETE.{name}"), "")["success"],
            true
        );
        let restored = restore(to, config, &backup.data(), 64 << 10);
        assert!(restored["error"].is_null(), "{name}: {restored}");
        moved.push(name.clone());
    }
    moved
}

#[test]
fn backups_of_nats_server_are_restored_and_the_other_way_round() {
    let Some(reference) = reference() else { return };
    let (_first, mut theirs) = start(&reference);
    store::fill(&mut theirs);
    let before = comparable(&mut theirs);
    let names: Vec<String> = before.keys().cloned().collect();

    let (_second, mut ours) = start(&executable::server());
    let moved = move_over(&mut theirs, &mut ours, &names);
    for name in [
        "FILE", "HISTORY", "BIG", "PACKED", "GAPS", "EMPTY", "LIMITED",
    ] {
        assert!(moved.iter().any(|moved| moved == name), "{name}");
    }
    let here = comparable(&mut ours);
    for name in &moved {
        assert_eq!(here[name], before[name], "{name} from nats-server");
    }

    let (_third, mut again) = start(&reference);
    assert_eq!(move_over(&mut ours, &mut again, &moved), moved);
    let mut there = comparable(&mut again);
    for name in &moved {
        let (there, before) = (there.get_mut(name).expect("it was moved"), &before[name]);
        // nats-server forgets when the last message came, if that is gone, and begins a stream that never had one with message 1.
        there.info["state"]["last_ts"] = before.info["state"]["last_ts"].clone();
        if before.info["state"]["last_seq"] == 0 {
            assert_eq!(there.info["state"]["messages"], 0);
            continue;
        }
        assert_eq!(there, before, "{name} back in nats-server");
    }
}
