//! Which executables the suites run.

use std::env;
use std::path::PathBuf;

/// The server under test: `EVERJET_SERVER_BIN`, else `nats-server` in the build folder of this test.
///
/// # Panics
/// When there is no such file: a suite that cannot find its server has not passed.
#[must_use]
pub fn server() -> PathBuf {
    find("EVERJET_SERVER_BIN", "nats-server", "everjet-server")
}

/// The command line tool under test: `EVERJET_CLI_BIN`, else `nats` in the build folder of this test.
///
/// # Panics
/// When there is no such file.
#[must_use]
pub fn cli() -> PathBuf {
    find("EVERJET_CLI_BIN", "nats", "everjet-cli")
}

/// Whether the server under test is the reference, nats-server (`EVERJET_REFERENCE=1`).
///
/// Tests ask only where docs/differences.md lists a deliberate difference.
#[must_use]
pub fn is_reference() -> bool {
    env::var("EVERJET_REFERENCE").is_ok_and(|value| value == "1")
}

/// The folder with the official clients of other languages: `EVERJET_CLIENTS_DIR`, else `clients` in the target folder.
///
/// `.ci/run` fills it: `venv/` with nats-py, `node_modules/` with the npm packages.
#[must_use]
pub fn clients() -> PathBuf {
    match env::var_os("EVERJET_CLIENTS_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => build_folder().join("../clients"),
    }
}

fn find(variable: &str, name: &str, package: &str) -> PathBuf {
    let path = match env::var_os(variable) {
        Some(path) => PathBuf::from(path),
        None => build_folder().join(name),
    };
    assert!(
        path.is_file(),
        "no executable at {}; build it with `cargo build -p {package}` or name one in {variable}",
        path.display()
    );
    path
}

/// `target/<profile>`: test executables lie in its folder `deps`.
fn build_folder() -> PathBuf {
    let test = env::current_exe().expect("a running test has an executable");
    let deps = test.parent().expect("an executable lies in a folder");
    deps.parent().unwrap_or(deps).to_path_buf()
}
