//! `nats-server check`: verifies a store directory that no server uses, explains what is wrong, and brings what is readable into a
//! copy.

mod arguments;

use std::process::ExitCode;
use std::sync::Arc;

use everjet_jetstream::{
    CheckReport, CheckedStream, Finding, OsDisk, RepairReport, Severity, StorageOptions,
    check_store, repair_store,
};
use everjet_store::{Cipher, Disk};
use everjet_values::Entropy;

use self::arguments::{Arguments, Asked, USAGE};
use crate::cli::{say_stderr, say_stdout};
use crate::key_file;
use crate::seams::OsEntropy;

/// Every byte is as it was written.
const SOUND: u8 = 0;
/// Something is not.
const DAMAGED: u8 = 1;
/// Nothing can be said.
const UNCHECKED: u8 = 2;
/// Findings that are shown one by one; a JSON report has all.
const SHOWN_MAX: usize = 200;

/// Runs the command; `args` is what follows its name.
pub(crate) fn run(args: &[String]) -> ExitCode {
    let arguments = match arguments::parse(args) {
        Ok(Asked::Check(arguments)) => arguments,
        Ok(Asked::Help) => {
            say_stdout(USAGE);
            return ExitCode::SUCCESS;
        }
        Err(text) => return fail(&text),
    };
    match check(&arguments) {
        Ok(status) => ExitCode::from(status),
        Err(text) => fail(&text),
    }
}

fn fail(text: &str) -> ExitCode {
    say_stderr(&format!("nats-server check: {text}"));
    ExitCode::from(UNCHECKED)
}

/// Does what `arguments` ask for and returns the exit status; the error is why that was not possible.
fn check(arguments: &Arguments) -> Result<u8, String> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let key_file = arguments.key_file.as_ref();
    let mut options = StorageOptions {
        encryption: key_file
            .map(|path| key_file::encryption(path, Cipher::default()))
            .transpose()?,
        ..StorageOptions::default()
    };
    let report = check_store(&disk, &arguments.dir, &options).map_err(|error| error.to_string())?;
    if !arguments.json {
        say_report(&report);
    }
    let repaired = match &arguments.repair {
        None => None,
        Some(copy) => {
            options.journal.salt = OsEntropy.next_u64();
            let repaired = repair_store(&disk, &arguments.dir, copy, &options)
                .map_err(|error| format!("cannot repair: {error}"))?;
            Some(repaired)
        }
    };
    if arguments.json {
        say_json(&report, repaired.as_ref());
    } else if let Some(repaired) = &repaired {
        say_repaired(repaired);
    }
    Ok(if report.is_sound() { SOUND } else { DAMAGED })
}

fn say(line: &str) {
    say_stdout(&format!("{line}\n"));
}

fn say_report(report: &CheckReport) {
    for finding in report.findings.iter().take(SHOWN_MAX) {
        for line in lines_of(finding) {
            say(&line);
        }
    }
    if let Some(more) = report.findings.len().checked_sub(SHOWN_MAX)
        && more > 0
    {
        say(&format!("and {more} more findings; --json shows all"));
    }
    for stream in &report.streams {
        say(&line_of(stream));
    }
    let count = |severity| {
        let findings = report.findings.iter();
        findings
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let verified = format!(
        "{} segments ({} bytes) verified",
        report.segments, report.bytes
    );
    say(
        &match (count(Severity::Loss), count(Severity::Repairable)) {
            (0, 0) => format!("sound: {verified}"),
            (lost, repairable) => format!(
                "damaged: {verified}; {lost} places with loss, {repairable} that the server puts right by itself"
            ),
        },
    );
}

/// A finding as a person reads it.
fn lines_of(finding: &Finding) -> Vec<String> {
    let word = match finding.severity {
        Severity::Note => "note",
        Severity::Repairable => "damage without loss",
        Severity::Loss => "loss",
    };
    let mut lines = vec![format!("{word}: {finding}")];
    if !finding
        .to_string()
        .contains(&*finding.file.to_string_lossy())
    {
        lines.push(format!("  in {}", finding.file.display()));
    }
    if !finding.advice.is_empty() {
        lines.push(format!("  what to do: {}", finding.advice));
    }
    lines
}

fn line_of(stream: &CheckedStream) -> String {
    let lost = match stream.lost.len() {
        0 => String::new(),
        lost => format!(", {lost} unreadable"),
    };
    format!(
        "stream {}/{}: {} messages, sequences {} to {}{lost}, {} consumers",
        stream.account,
        stream.name,
        stream.messages,
        stream.first_sequence,
        stream.last_sequence,
        stream.consumers
    )
}

fn say_repaired(report: &RepairReport) {
    for stream in &report.streams {
        say(&format!(
            "repaired: stream {}/{}: {} messages and {} consumers brought over, {} messages could not be read",
            stream.account, stream.name, stream.messages, stream.consumers, stream.unreadable
        ));
    }
    for (stream, why) in &report.left_out {
        say(&format!("left out: stream {stream}: {why}"));
    }
}

fn say_json(report: &CheckReport, repaired: Option<&RepairReport>) {
    let mut document = serde_json::json!(report);
    document["sound"] = report.is_sound().into();
    if let Some(repaired) = repaired {
        document["repaired"] = serde_json::json!(repaired);
    }
    say(&document.to_string());
}
