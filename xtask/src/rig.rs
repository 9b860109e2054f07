//! Power cuts and soaks: builds the rig of conformance/rig, and the server unless another is named, and runs it.

use std::path::Path;

use crate::clients::target;
use crate::process::cargo;

/// Runs a command of the rig. The server is ours, built for release, unless `--server` names another.
///
/// # Errors
/// Something cannot be built, or what the rig found.
pub(crate) fn run(root: &Path, command: &str, arguments: &[&str]) -> Result<(), String> {
    let mut build = cargo(root);
    build.args(["build", "--release", "--quiet", "-p", "everjet-rig"]);
    let folder = target(root).join("release");
    let mut rig = std::process::Command::new(folder.join("everjet-rig"));
    rig.arg(command).args(arguments);
    if !arguments.contains(&"--server") {
        build.args(["-p", "everjet-server"]);
        rig.arg("--server").arg(folder.join("nats-server"));
    }
    crate::process::run(&mut build)?;
    crate::process::run(&mut rig)
}
