//! A file system of our own whose power can be cut.
//!
//! A sparse image with ext4 behind a loop device, mounted in a mount namespace of this process, so that no other process keeps it alive.
//! The cut is the request by which the file system's own tests shut it down without flushing its log: from then on nothing is written,
//! and after unmounting and mounting again there is what the kernel had written and what was synced. A disk that loses or reorders what its own
//! cache holds is not part of this; the simulated disk is.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::ioctl::{Setter, ioctl, opcode};

/// Sparse: what is not written takes no room.
const IMAGE_BYTES: u64 = 3 << 30;
/// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, u32)`.
const SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: neither data nor the log is written.
const WITHOUT_LOG_FLUSH: u32 = 2;

/// Marks the process that [`in_own_namespace`] has started.
const INSIDE: &str = "EVERJET_RIG_INSIDE";

/// Runs the program again in a mount namespace of its own; that run's outcome. `None` for the run that has one.
///
/// # Errors
/// What is missing: root, the tools, or what they say.
pub(crate) fn in_own_namespace() -> Result<Option<Result<(), String>>, String> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(None);
    }
    if !rustix::process::geteuid().is_root() {
        return Err(
            "this needs root: it mounts a file system of its own and shuts it down; run it with sudo"
                .to_owned(),
        );
    }
    let program =
        std::env::current_exe().map_err(|error| format!("our own executable: {error}"))?;
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .status()
        .map_err(|error| format!("unshare (util-linux): {error}"))?;
    Ok(Some(match status.success() {
        true => Ok(()),
        false => Err(format!("in a mount namespace of its own: {status}")),
    }))
}

/// The file system. Dropping it unmounts it and removes the image.
pub(crate) struct Volume {
    folder: tempfile::TempDir,
    is_mounted: bool,
}

impl Volume {
    /// An empty one, mounted.
    ///
    /// # Errors
    /// What a tool says.
    pub(crate) fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("a folder: {error}"))?;
        let mut volume = Self {
            folder,
            is_mounted: false,
        };
        let image = File::create(volume.image()).map_err(|error| format!("an image: {error}"))?;
        image
            .set_len(IMAGE_BYTES)
            .map_err(|error| format!("an image: {error}"))?;
        std::fs::create_dir(volume.path()).map_err(|error| format!("a folder: {error}"))?;
        run(Command::new("mkfs.ext4").arg("-qF").arg(volume.image()))?;
        volume.mount()?;
        Ok(volume)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Cuts the power: nothing is written from now on.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn cut(&self) -> Result<(), String> {
        let root = File::open(self.path()).map_err(|error| format!("the mount: {error}"))?;
        // SAFETY: the request reads one u32 through the pointer, which is what `Setter` passes, and changes no memory of ours.
        let cut = unsafe { ioctl(&root, Setter::<SHUTDOWN, u32>::new(WITHOUT_LOG_FLUSH)) };
        cut.map_err(|error| format!("shutting the file system down: {error}"))
    }

    /// Unmounts what was cut and mounts what is left of it. Nobody may use it meanwhile.
    ///
    /// # Errors
    /// What a tool says.
    pub(crate) fn power_on(&mut self) -> Result<(), String> {
        run(Command::new("umount").arg(self.path()))?;
        self.is_mounted = false;
        self.mount()
    }

    fn mount(&mut self) -> Result<(), String> {
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", "loop"])
            .arg(self.image())
            .arg(self.path()))?;
        self.is_mounted = true;
        Ok(())
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.is_mounted {
            drop(run(Command::new("umount").arg("-l").arg(self.path())));
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}
