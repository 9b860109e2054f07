//! A full disk: a small file system in memory, where the machine lets us mount one.

use std::process::Command;

use everjet_conformance::{JetStream, ServerProcess};

use crate::shell::{ADD, ok};

/// Room for the journal's files, for the filler and a little more.
const SIZE: &str = "size=448m";

struct Mount {
    folder: tempfile::TempDir,
}

impl Mount {
    fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, "everjet-test"])
            .arg(folder.path())
            .output();
        match output {
            Ok(output) if output.status.success() => Ok(Self { folder }),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.folder.path())
            .status();
    }
}

/// What another program takes of the disk, and gives back in the end: more than the journal can hold.
const FILLER: usize = 224 * 1_024 * 1_024;

/// Fills the disk through the stream; returns the last acknowledged sequence and the refusal.
#[track_caller]
fn fill(js: &mut JetStream) -> (u64, serde_json::Value) {
    let body = "x".repeat(512 * 1_024);
    let mut stored = 0;
    loop {
        let answer = js.request("order.new", &body).json();
        match answer["seq"].as_u64() {
            Some(sequence) if sequence > 0 => stored = sequence,
            _ => return (stored, answer),
        }
        assert!(stored < 2_000, "the disk never fills");
    }
}

/// Publishes until that succeeds.
#[track_caller]
fn expect_publishing_resumes(js: &mut JetStream) {
    let mut answer = serde_json::Value::Null;
    for _ in 0..400 {
        answer = js.request("order.new", "small").json();
        if answer["error"].is_null() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("there is room again, and still: {answer}");
}

fn mount() -> Option<Mount> {
    let mount = Mount::new();
    if let Err(reason) = &mount {
        println!("SKIPPED: no file system of our own can be mounted: {reason}");
    }
    mount.ok()
}

#[track_caller]
fn start(mount: &Mount) -> ServerProcess {
    let store = mount.folder.path().display();
    let server = ServerProcess::start(&format!(
        "jetstream: {{ enabled: true, store_dir: \"{store}/jetstream_data\" }}\n"
    ));
    ok(&server, ADD);
    server
}

#[test]
fn a_full_disk_is_answered_and_nothing_is_lost() {
    let Some(mount) = mount() else {
        return;
    };
    let filler = mount.folder.path().join("filler");
    std::fs::write(&filler, vec![1; FILLER]).expect("there is room yet");
    let mut server = start(&mount);
    let mut js = JetStream::connect(&server);
    let (stored, refused) = fill(&mut js);
    assert!(stored > 0, "nothing could be stored: {refused}");
    assert!(
        refused["error"]["err_code"].is_u64() && refused["error"]["description"].is_string(),
        "{refused}"
    );
    // Reading goes on.
    let first = js.api("STREAM.MSG.GET.ORDERS", r#"{"seq":1}"#);
    assert_eq!(first["message"]["seq"], 1, "{first}");

    // Nothing that was acknowledged is lost by a restart with a disk that is still full.
    server.kill();
    server.start_again();
    let mut js = JetStream::connect(&server);
    let state = js.api("STREAM.INFO.ORDERS", "")["state"].clone();
    assert!(
        state["last_seq"]
            .as_u64()
            .is_some_and(|last| last >= stored),
        "{stored} were acknowledged: {state}"
    );
    let last = js.api("STREAM.MSG.GET.ORDERS", &format!("{{\"seq\":{stored}}}"));
    assert_eq!(last["message"]["seq"], stored, "{}", last["error"]);

    // With room again, publishing resumes by itself.
    std::fs::remove_file(&filler).expect("our own file");
    expect_publishing_resumes(&mut js);
}

#[test]
fn a_purge_of_a_full_disk_makes_room() {
    let Some(mount) = mount() else {
        return;
    };
    let server = start(&mount);
    let mut js = JetStream::connect(&server);
    let (stored, _) = fill(&mut js);
    let purged = js.api("STREAM.PURGE.ORDERS", "");
    assert_eq!(
        (&purged["success"], &purged["purged"]),
        (&true.into(), &stored.into()),
        "{purged}"
    );
    expect_publishing_resumes(&mut js);
}
