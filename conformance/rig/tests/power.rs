//! A few power cuts, where the machine lets us mount a file system and shut it down.

use std::process::Command;

use everjet_conformance::executable;

#[test]
fn nothing_acknowledged_is_lost_by_a_power_cut() {
    let rig = env!("CARGO_BIN_EXE_everjet-rig");
    let possible = Command::new(rig)
        .arg("possible")
        .output()
        .expect("our own program");
    if !possible.status.success() {
        let reason = String::from_utf8_lossy(&possible.stderr);
        println!("SKIPPED: no power can be cut here: {}", reason.trim());
        return;
    }
    let output = Command::new(rig)
        .arg("power")
        .arg("--server")
        .arg(executable::server())
        .args(["--cuts", "3", "--seconds", "2"])
        .output()
        .expect("our own program");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    println!("{said}");
    assert!(output.status.success() && said.contains("3 cuts on"));
}
