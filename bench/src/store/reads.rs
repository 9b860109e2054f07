//! The last message of a subject, by both ways of asking for it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use everjet_conformance::ServerProcess;
use memchr::memmem;
use rustix::fs::{Advice, fadvise};

use super::bucket::Randomly;
use super::data::{Data, Set};
use super::site::Site;
use crate::connection::{open, read, write};
use crate::frames::{self, Frame};
use crate::machine::cpu_time;
use crate::outcome::{Load, Outcome};

/// Requests under way.
const WINDOW: usize = 64;
const WARM_UP: Duration = Duration::from_millis(500);
/// Reads of a cold run at full scale: by number, since the more are read the warmer it is.
const COLD_READS: f64 = 20_000.0;

/// How to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// `$JS.API.DIRECT.GET.<stream>.<subject>`: the message as a message.
    Direct,
    /// `$JS.API.STREAM.MSG.GET.<stream>` with `last_by_subj`: the message as JSON.
    Api,
}

/// Random keys; the files are in the page cache, and the server has answered for a while.
pub(crate) fn warm(site: &mut Site<'_>, way: Way) -> Outcome {
    let server = site.take_running(Data::Bucket);
    for_each_file(server.directory(), &|mut file| {
        io::copy(&mut file.by_ref(), &mut io::sink()).map(drop)
    });
    let mut reader = Reader::open(&server, site.set(Data::Bucket), way);
    let start = Instant::now();
    reader.run(|_| start.elapsed() < WARM_UP);
    let start = Instant::now();
    let load = reader.measure(&server, |_| start.elapsed() < site.length);
    drop(reader);
    site.keep(Data::Bucket, server);
    load.into()
}

/// Random keys after a restart; the files are on the disk only.
pub(crate) fn cold(site: &mut Site<'_>, way: Way) -> Outcome {
    let server = site.take_running(Data::Bucket);
    for_each_file(server.directory(), &|file| {
        // Only what is clean can be dropped.
        file.sync_data()?;
        Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
    });
    let count = ((COLD_READS * site.scale) as u64).max(WINDOW as u64);
    let mut reader = Reader::open(&server, site.set(Data::Bucket), way);
    let load = reader.measure(&server, |reader| reader.answered < count);
    drop(reader);
    site.keep(Data::Bucket, server);
    load.into()
}

/// All files in and below a directory that are not sockets.
fn for_each_file(directory: &Path, each: &dyn Fn(File) -> io::Result<()>) {
    for entry in fs::read_dir(directory).expect("the store directory can be read") {
        let path = entry.expect("the store directory can be read").path();
        if path.is_dir() {
            for_each_file(&path, each);
        } else {
            // The server may remove one at any time.
            let _ = File::open(&path).and_then(each);
        }
    }
}

struct Reader {
    stream: TcpStream,
    set: Set,
    way: Way,
    numbers: Randomly,
    asked: u64,
    answered: u64,
    out: Vec<u8>,
    buffer: Vec<u8>,
    kept: usize,
}

impl Reader {
    fn open(server: &ServerProcess, set: Set, way: Way) -> Self {
        Self {
            stream: open(server, "SUB _INBOX.get 1\r\n"),
            set,
            way,
            numbers: Randomly::below(set.subjects),
            asked: 0,
            answered: 0,
            out: Vec::new(),
            buffer: vec![0; 256 << 10],
            kept: 0,
        }
    }

    fn measure(&mut self, server: &ServerProcess, more: impl Fn(&Self) -> bool) -> Load {
        let pid = server.pid().expect("the server is running");
        let (start, cpu, before) = (Instant::now(), cpu_time(pid), self.answered);
        self.run(more);
        Load {
            messages: self.answered - before,
            elapsed: start.elapsed(),
            cpu: cpu_time(pid).saturating_sub(cpu),
        }
    }

    /// Asks as long as `more` says so, and takes the answers to everything.
    fn run(&mut self, more: impl Fn(&Self) -> bool) {
        while more(self) {
            while self.asked - self.answered < WINDOW as u64 {
                let number = self.numbers.next();
                push_request(&mut self.out, &self.set, self.way, number);
                self.asked += 1;
            }
            self.exchange();
        }
        while self.answered < self.asked {
            self.exchange();
        }
    }

    /// Sends what is to be sent and takes what has come, something at least.
    fn exchange(&mut self) {
        write(&mut self.stream, &self.out);
        self.out.clear();
        let end = self.kept + read(&mut self.stream, &mut self.buffer[self.kept..]);
        let mut at = 0;
        while let Some((frame, used)) = frames::next(&self.buffer[at..end]) {
            at += used;
            match frame {
                Frame::Ping => self.out.extend_from_slice(b"PONG\r\n"),
                Frame::Message { body, .. } => {
                    assert!(
                        has_message(self.way, body),
                        "not found: {}",
                        String::from_utf8_lossy(body)
                    );
                    self.answered += 1;
                }
            }
        }
        self.buffer.copy_within(at..end, 0);
        self.kept = end - at;
    }
}

fn push_request(out: &mut Vec<u8>, set: &Set, way: Way, number: u64) {
    match way {
        Way::Direct => {
            out.extend_from_slice(b"PUB $JS.API.DIRECT.GET.KV_bench.");
            set.push_subject(out, number);
            out.extend_from_slice(b" _INBOX.get 0\r\n\r\n");
        }
        Way::Api => {
            let body = format!(r#"{{"last_by_subj":"{}"}}"#, set.subject(number));
            let size = body.len();
            let request =
                format!("PUB $JS.API.STREAM.MSG.GET.KV_bench _INBOX.get {size}\r\n{body}\r\n");
            out.extend_from_slice(request.as_bytes());
        }
    }
}

/// Whether an answer is a message, and not the news that there is none.
fn has_message(way: Way, body: &[u8]) -> bool {
    match way {
        Way::Direct => body.ends_with(b"xxx"),
        Way::Api => memmem::find(body, b"\"message\"").is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_ask_for_the_same() {
        fn check(way: Way, expected: &str) {
            let mut out = Vec::new();
            push_request(&mut out, &Set::new(Data::Bucket, 1.0), way, 17);
            assert_eq!(String::from_utf8(out).expect("ASCII"), expected);
        }
        check(
            Way::Direct,
            "PUB $JS.API.DIRECT.GET.KV_bench.$KV.bench.g7.0000000000000017 _INBOX.get 0\r\n\r\n",
        );
        check(
            Way::Api,
            "PUB $JS.API.STREAM.MSG.GET.KV_bench _INBOX.get 48\r\n{\"last_by_subj\":\"$KV.bench.g7.0000000000000017\"}\r\n",
        );
    }

    #[test]
    fn what_was_not_found_is_not_counted() {
        assert!(has_message(
            Way::Direct,
            b"NATS/1.0\r\nNats-Sequence: 1\r\n\r\nxxxx"
        ));
        assert!(!has_message(
            Way::Direct,
            b"NATS/1.0 404 Message Not Found\r\n\r\n"
        ));
        assert!(has_message(Way::Api, b"{\"message\":{\"seq\":1}}"));
        assert!(!has_message(Way::Api, b"{\"error\":{\"code\":404}}"));
    }
}
