//! Running other programs.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Whether a program can be started at all.
pub(crate) fn exists(program: &str) -> bool {
    let probe = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success())
}

/// The cargo that runs us, in the workspace.
pub(crate) fn cargo(root: &Path) -> Command {
    let program = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let mut command = Command::new(program);
    command.current_dir(root);
    command
}

/// What a command prints on both outputs, errors last.
///
/// # Errors
/// It cannot be started, or it fails.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let text = describe(command);
    let output = command
        .output()
        .map_err(|error| format!("{text}: {error}"))?;
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    match output.status.success() {
        true => Ok(printed),
        false => Err(format!("{text}: {}\n{printed}", output.status)),
    }
}

/// Runs a command with our own input and output.
///
/// # Errors
/// It cannot be started, or it fails.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let text = describe(command);
    eprintln!("+ {text}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{text}: {status}")),
        Err(error) => Err(format!("{text}: {error}")),
    }
}

/// As [`run`], and hands every line of both outputs to `line` besides showing it.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_watched(command: &mut Command, mut line: impl FnMut(&str)) -> Result<(), String> {
    let text = describe(command);
    eprintln!("+ {text}");
    // One pipe for both, so that they stay in order.
    let (reader, writer) = std::io::pipe().map_err(|error| format!("a pipe: {error}"))?;
    let second = writer
        .try_clone()
        .map_err(|error| format!("a pipe: {error}"))?;
    command.stdout(writer).stderr(second);
    let mut child = command
        .spawn()
        .map_err(|error| format!("{text}: {error}"))?;
    // The command holds the writing ends; without them the pipe ends with the child.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    for output in BufReader::new(reader).lines().map_while(Result::ok) {
        println!("{output}");
        line(&output);
    }
    let status = child.wait().map_err(|error| format!("{text}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{text}: {status}"))
    }
}

fn describe(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
