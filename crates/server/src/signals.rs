//! Sending a signal to a running server: `nats-server --signal ldm=<pid or pid file>`.

use std::path::Path;

use everjet_config::{SignalCommand, SignalRequest};
use rustix::process::{Pid, Signal, kill_process};

/// The name of the process that is looked for when no process id is given.
const PROCESS: &str = "nats-server";

/// Sends the signal.
///
/// # Errors
/// Why it was not sent, or not to all, as nats-server words it.
pub(crate) fn send(request: &SignalRequest) -> Result<(), String> {
    let file = std::fs::read_to_string(&request.target);
    let target = file.as_deref().unwrap_or(&request.target).trim();
    let pids = match target.strip_suffix('*') {
        None if !target.is_empty() => vec![pid_of(target)?],
        beginning => chosen(running()?, beginning)?,
    };
    let signal = match request.command {
        SignalCommand::LameDuck => Signal::USR2,
        SignalCommand::Stop => Signal::KILL,
        SignalCommand::Quit => Signal::INT,
        SignalCommand::Terminate => Signal::TERM,
        SignalCommand::Reopen => Signal::USR1,
        SignalCommand::Reload => Signal::HUP,
    };
    let mut failures = String::new();
    for pid in pids {
        if let Err(error) = kill_process(pid, signal) {
            let (name, number) = (request.command.name(), pid.as_raw_nonzero());
            failures.push_str(&format!("\nsignal {name:?} {number}: {error}"));
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures)
    }
}

/// A process id from text. Zero and below would mean groups of processes.
fn pid_of(text: &str) -> Result<Pid, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number
        .and_then(Pid::from_raw)
        .ok_or_else(|| format!("invalid pid: {text}"))
}

/// Of the servers that run, those whose process id begins so; without a beginning, the only one.
fn chosen(running: Vec<Pid>, beginning: Option<&str>) -> Result<Vec<Pid>, String> {
    if running.is_empty() {
        return Err(format!("no {PROCESS} processes running"));
    }
    let number = |pid: &Pid| pid.as_raw_nonzero().to_string();
    let Some(beginning) = beginning else {
        if let [_] = running[..] {
            return Ok(running);
        }
        let numbers: Vec<String> = running.iter().map(number).collect();
        return Err(format!(
            "multiple {PROCESS} processes running:\n{}",
            numbers.join("\n")
        ));
    };
    if !beginning.is_empty() {
        pid_of(beginning)?;
    }
    let mut running = running;
    running.retain(|pid| number(pid).starts_with(beginning));
    Ok(running)
}

/// The servers that run, this process left out.
fn running() -> Result<Vec<Pid>, String> {
    let unknown = |_| "unable to resolve pid, try providing one".to_owned();
    let own = std::process::id().to_string();
    let mut pids = Vec::new();
    for entry in Path::new("/proc").read_dir().map_err(unknown)? {
        let entry = entry.map_err(unknown)?;
        let name = entry.file_name();
        let Some(pid) = name.to_str().filter(|name| *name != own) else {
            continue;
        };
        let Ok(pid) = pid_of(pid) else { continue };
        // A process may end between these lines; then it is none of those that run.
        let command = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if command.trim_end() == PROCESS {
            pids.push(pid);
        }
    }
    pids.sort_by_key(|pid| pid.as_raw_nonzero());
    Ok(pids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(running: &[&str], beginning: Option<&str>, expected: Result<&[&str], &str>) {
        let pids = |texts: &[&str]| -> Vec<Pid> {
            let pids = texts.iter().map(|text| pid_of(text).expect("a pid"));
            pids.collect()
        };
        let expected = expected.map(pids).map_err(str::to_owned);
        assert_eq!(chosen(pids(running), beginning), expected);
    }

    #[test]
    fn servers_are_chosen_by_the_beginning_of_their_pid() {
        check(&["17"], None, Ok(&["17"]));
        check(&["17", "170", "25"], Some("17"), Ok(&["17", "170"]));
        check(&["17", "25"], Some(""), Ok(&["17", "25"]));
        check(&["17"], Some("2"), Ok(&[]));
        check(&[], None, Err("no nats-server processes running"));
        check(
            &["17", "25"],
            None,
            Err("multiple nats-server processes running:\n17\n25"),
        );
        check(&["17"], Some("x"), Err("invalid pid: x"));
    }

    #[test]
    fn only_single_processes_are_signalled() {
        for text in ["0", "-1", "x", "", "99999999999"] {
            assert!(pid_of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_process_that_does_not_run_is_named() {
        // Above the largest process id of Linux.
        let request = SignalRequest {
            command: SignalCommand::LameDuck,
            target: "4194305".to_owned(),
        };
        let failure = send(&request).expect_err("no such process");
        assert!(
            failure.starts_with("\nsignal \"ldm\" 4194305: "),
            "{failure}"
        );
    }
}
