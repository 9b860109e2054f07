//! A full disk: a small file system in memory, where the machine lets us mount one.

use std::process::Command;

use everjet_conformance::{JetStream, ServerProcess};

use crate::shell::{ADD, ok};

/// Room for the journal's files and a little more.
const SIZE: &str = "size=208m";

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

#[test]
fn a_full_disk_is_answered_and_nothing_is_lost() {
    let mount = match Mount::new() {
        Ok(mount) => mount,
        Err(reason) => {
            println!("SKIPPED: no file system of our own can be mounted: {reason}");
            return;
        }
    };
    let store = mount.folder.path().display();
    let mut server = ServerProcess::start(&format!(
        "jetstream: {{ enabled: true, store_dir: \"{store}/jetstream_data\" }}\n"
    ));
    ok(&server, ADD);
    let mut js = JetStream::connect(&server);
    let body = "x".repeat(512 * 1_024);
    let mut stored = 0;
    let refused = loop {
        let answer = js.request("order.new", &body).json();
        match answer["seq"].as_u64() {
            Some(sequence) if sequence > 0 => stored = sequence,
            _ => break answer,
        }
        assert!(stored < 2_000, "the disk never fills");
    };
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
    assert_eq!(js.api("STREAM.PURGE.ORDERS", "")["success"], true);
    js.wait_until("publishing resumes", |js| {
        js.request("order.new", "small").json()["error"].is_null()
    });
}
