//! One publisher that waits for each acknowledgement; beside it, if asked for, what the disk alone takes.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use everjet_conformance::ServerProcess;

use super::pipe::acknowledgement_lines;
use crate::connection::{open, read, write};
use crate::figure::Figure;
use crate::machine::cpu_time;
use crate::outcome::{Load, Outcome};
use crate::rows::PAYLOAD;
use crate::statistics::Latencies;
use crate::stream_load::create_stream;

/// Slices of a run; the disk alone has as many, in turns.
const SLICES: u32 = 4;
const WARM_UP: Duration = Duration::from_millis(200);
/// What one bare write has: a sector, as little as a disk takes.
const BARE_BYTES: usize = 512;
/// The file that is written bare: filled with zeros and synced before, so that a sync has no metadata to write.
const BARE_FILE_BYTES: usize = 16 << 20;

/// Whoever waits for the page cache only.
pub(crate) fn lazy(server: &ServerProcess, length: Duration) -> Outcome {
    create_stream(server, "file");
    let mut publisher = Publisher::open(server);
    let mut latencies = Latencies::default();
    publisher.publish_for(WARM_UP, &mut Latencies::default());
    let load = publisher.measure(server, length, &mut latencies);
    Outcome::from(load).with(Figure::P50, latencies.percentile_us(50.0))
}

/// Whoever waits for stable storage, in turns with bare writes and syncs on the same disk.
pub(crate) fn durable(server: &ServerProcess, length: Duration) -> Outcome {
    create_stream(server, "file");
    let mut publisher = Publisher::open(server);
    let mut disk = Bare::create(&server.directory().join("bare"));
    let (mut latencies, mut bare) = (Latencies::default(), Latencies::default());
    publisher.publish_for(WARM_UP, &mut Latencies::default());
    let mut load = Load::default();
    for _ in 0..SLICES {
        load += publisher.measure(server, length / SLICES, &mut latencies);
        disk.sync_for(length / SLICES, &mut bare);
    }
    let (p50, bare) = (latencies.percentile_us(50.0), bare.percentile_us(50.0));
    Outcome::from(load)
        .with(Figure::P50, p50)
        .with(Figure::BareP50, bare)
        .with(Figure::AboveBare, p50 - bare)
}

struct Publisher {
    stream: TcpStream,
    message: Vec<u8>,
    buffer: Vec<u8>,
}

impl Publisher {
    fn open(server: &ServerProcess) -> Self {
        let payload = "x".repeat(PAYLOAD);
        let message = format!("PUB bench.js _INBOX.ack {PAYLOAD}\r\n{payload}\r\n");
        Self {
            stream: open(server, "SUB _INBOX.ack 1\r\n"),
            message: message.into_bytes(),
            buffer: vec![0; 4_096],
        }
    }

    fn measure(
        &mut self,
        server: &ServerProcess,
        length: Duration,
        latencies: &mut Latencies,
    ) -> Load {
        let pid = server.pid().expect("the server is running");
        let (start, cpu, before) = (Instant::now(), cpu_time(pid), latencies.len());
        self.publish_for(length, latencies);
        Load {
            messages: (latencies.len() - before) as u64,
            elapsed: start.elapsed(),
            cpu: cpu_time(pid).saturating_sub(cpu),
        }
    }

    fn publish_for(&mut self, length: Duration, latencies: &mut Latencies) {
        repeat(length, latencies, || {
            write(&mut self.stream, &self.message);
            let mut lines = 0;
            while lines < 2 {
                let count = read(&mut self.stream, &mut self.buffer);
                lines += acknowledgement_lines(&self.buffer[..count]);
            }
        });
    }
}

/// A file that is written a sector at a time.
struct Bare {
    file: File,
    next: usize,
}

impl Bare {
    fn create(path: &Path) -> Self {
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(path);
        let mut file = file.expect("the directory is writable");
        file.write_all(&vec![0; BARE_FILE_BYTES])
            .and_then(|()| file.sync_data())
            .expect("the disk has room");
        Self { file, next: 0 }
    }

    fn sync_for(&mut self, length: Duration, latencies: &mut Latencies) {
        repeat(length, latencies, || {
            self.file
                .write_all_at(&[b'x'; BARE_BYTES], self.next as u64)
                .and_then(|()| self.file.sync_data())
                .expect("the disk takes what is there already");
            self.next = (self.next + BARE_BYTES) % BARE_FILE_BYTES;
        });
    }
}

fn repeat(length: Duration, latencies: &mut Latencies, mut once: impl FnMut()) {
    let start = Instant::now();
    let mut before = start;
    while before - start < length {
        once();
        let now = Instant::now();
        latencies.record(now - before);
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_alone_is_written_in_a_circle() {
        let path = std::env::temp_dir().join(format!("everjet-bench-bare-{}", std::process::id()));
        let mut bare = Bare::create(&path);
        bare.next = BARE_FILE_BYTES - BARE_BYTES;
        let mut latencies = Latencies::default();
        bare.sync_for(Duration::from_nanos(1), &mut latencies);
        let length = std::fs::metadata(&path).map(|data| data.len());
        let _ = std::fs::remove_file(&path);
        assert_eq!((latencies.len(), bare.next), (1, 0));
        assert_eq!(length.ok(), Some(BARE_FILE_BYTES as u64));
    }
}
