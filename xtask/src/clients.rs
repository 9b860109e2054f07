//! The official clients of other languages: a Python environment and Node packages, pinned, under `<target>/clients`; and the browser
//! that one of them runs in, from the packages of the system.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::process::{exists, run};

/// What an official client runs on, against the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Platform {
    /// nats-py, and the nats-server of the Python package index for comparisons.
    Python,
    /// The npm packages `@nats-io/jetstream`, `@nats-io/nats-core` and `@nats-io/transport-node`.
    Node,
    /// A browser, for `@nats-io/nats-core` in a page.
    Chromium,
}

impl Platform {
    /// All of them.
    pub(crate) const ALL: &'static [Self] = &[Self::Python, Self::Node, Self::Chromium];

    /// How tests that need it are named: `<prefix>_...`.
    pub(crate) fn test_prefix(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
            Self::Chromium => "chromium",
        }
    }

    /// Whether the tools to install and run it are here.
    pub(crate) fn is_available(self) -> bool {
        match self {
            Self::Python => exists("python3"),
            Self::Node => exists("node") && exists("npm"),
            // Its page is made of Node's packages.
            Self::Chromium => exists("chromium") && Self::Node.is_available(),
        }
    }
}

/// Installs the browser with the system's package manager if it is not there and we may; whether it is there then is for
/// [`Platform::is_available`] to say.
pub(crate) fn provide_browser() {
    if exists("chromium") || !exists("apt-get") || !is_root() {
        return;
    }
    let mut install = Command::new("apt-get");
    install
        .args(["install", "--yes", "--quiet", "--no-install-recommends"])
        .arg("chromium")
        .env("DEBIAN_FRONTEND", "noninteractive");
    // The lists of packages may be old or missing, which is seen only when they are used.
    if run(&mut install).is_err()
        && run(Command::new("apt-get").args(["update", "--quiet"])).is_ok()
        && let Err(error) = run(&mut install)
    {
        eprintln!("{error}");
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Where the clients are installed.
pub(crate) fn folder(root: &Path) -> PathBuf {
    target(root).join("clients")
}

/// Cargo's target folder.
pub(crate) fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

/// Installs the clients of these platforms, unless what is there was installed from the same pins.
///
/// # Errors
/// A package manager fails.
pub(crate) fn install(root: &Path, platforms: &[Platform]) -> Result<(), String> {
    let pins = root.join("conformance/clients");
    for platform in platforms {
        match platform {
            Platform::Python => python(&pins.join("python/requirements.txt"), &folder(root))?,
            Platform::Node => node(&pins.join("node"), &folder(root))?,
            Platform::Chromium => {}
        }
    }
    Ok(())
}

fn python(requirements: &Path, folder: &Path) -> Result<(), String> {
    let venv = folder.join("venv");
    let stamp = venv.join("requirements.txt");
    if same(requirements, &stamp) {
        return Ok(());
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let pip = venv.join("bin/pip");
    run(Command::new(pip)
        .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(requirements))?;
    copy(requirements, &stamp)
}

fn node(pins: &Path, folder: &Path) -> Result<(), String> {
    let stamp = folder.join("node_modules/.installed-lock.json");
    let lock = pins.join("package-lock.json");
    if same(&lock, &stamp) {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for name in ["package.json", "package-lock.json"] {
        copy(&pins.join(name), &folder.join(name))?;
    }
    run(Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
        .current_dir(folder))?;
    copy(&lock, &stamp)
}

fn same(pins: &Path, stamp: &Path) -> bool {
    matches!((fs::read(pins), fs::read(stamp)), (Ok(pins), Ok(stamp)) if pins == stamp)
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to)
        .map(drop)
        .map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}
