//! The official clients of other languages: a Python environment and Node packages, pinned, under `<target>/clients`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::process::{exists, run};

/// A language whose official client runs against the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// nats-py, and the nats-server of the Python package index for comparisons.
    Python,
    /// The npm packages `@nats-io/jetstream` and `@nats-io/transport-node`.
    Node,
}

impl Language {
    /// All of them.
    pub(crate) const ALL: &'static [Self] = &[Self::Python, Self::Node];

    /// How tests that need it are named: `<prefix>_...`.
    pub(crate) fn test_prefix(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
        }
    }

    /// Whether the tools to install and run it are here.
    pub(crate) fn is_available(self) -> bool {
        match self {
            Self::Python => exists("python3"),
            Self::Node => exists("node") && exists("npm"),
        }
    }
}

/// Where the clients are installed.
pub(crate) fn folder(root: &Path) -> PathBuf {
    target(root).join("clients")
}

/// Cargo's target folder.
pub(crate) fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

/// Installs the clients of these languages, unless what is there was installed from the same pins.
///
/// # Errors
/// A package manager fails.
pub(crate) fn install(root: &Path, languages: &[Language]) -> Result<(), String> {
    let pins = root.join("conformance/clients");
    for language in languages {
        match language {
            Language::Python => python(&pins.join("python/requirements.txt"), &folder(root))?,
            Language::Node => node(&pins.join("node"), &folder(root))?,
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
