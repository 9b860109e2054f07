//! Small files with a checksum, replaced atomically: definitions of streams and consumers, snapshots, the manifest.
//!
//! A file is one line and a body:
//!
//! ```text
//! <magic> <version> <length of the body in bytes> <checksum as 8 hexadecimal digits>\n
//! <body>
//! ```
//!
//! The checksum is the CRC-32C of the line up to and without the blank before the checksum, followed by the body.

use std::io;
use std::path::Path;

use crate::checksum::crc32c_parts;
use crate::disk::{Disk, read_file, write_file_atomically};
use crate::fault::{Attempt, Fault};

const VERSION: u32 = 1;

/// Puts `body` under `path`: after a crash or power loss the file holds either its old content or all of the new.
/// `magic` says what the file is: a short word without blanks.
///
/// # Errors
/// What the disk says; the old content is still there then.
pub fn write_checked_file(
    disk: &dyn Disk,
    path: &Path,
    magic: &str,
    body: &[u8],
) -> Result<(), Fault> {
    let mut bytes = first_fields(magic, body.len()).into_bytes();
    let checksum = crc32c_parts(&[&bytes, body]);
    bytes.extend_from_slice(format!(" {checksum:08x}\n").as_bytes());
    bytes.extend_from_slice(body);
    write_file_atomically(disk, path, &bytes).map_err(Fault::write(path))
}

/// Reads the body of a file written by [`write_checked_file`]; `None` when there is no such file.
///
/// # Errors
/// [`Fault::Damaged`] when the content fails its check, [`Fault::NewerFormat`], or what the disk says.
pub fn read_checked_file(
    disk: &dyn Disk,
    path: &Path,
    magic: &str,
) -> Result<Option<Vec<u8>>, Fault> {
    let mut bytes = match read_file(disk, path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Fault::io(Attempt::Read, path, error)),
    };
    let start = body_start(&bytes, magic, path)?;
    Ok(Some(bytes.split_off(start)))
}

fn first_fields(magic: &str, length: usize) -> String {
    format!("{magic} {VERSION} {length}")
}

/// Checks the file and returns where its body starts.
fn body_start(bytes: &[u8], magic: &str, path: &Path) -> Result<usize, Fault> {
    let damaged = |what| Fault::damaged(path, what);
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or_else(|| damaged("no first line"))?;
    let (line, body) = (&bytes[..end], &bytes[end + 1..]);
    let line = str::from_utf8(line).map_err(|_| damaged("the first line is not text"))?;
    let (fields, checksum) = line
        .rsplit_once(' ')
        .ok_or_else(|| damaged("the first line is cut"))?;
    // The text must be exactly what is written: a flipped bit must not turn `a` into an equally good `A`.
    if checksum != format!("{:08x}", crc32c_parts(&[fields.as_bytes(), body])) {
        return Err(damaged("the checksum does not match"));
    }
    if fields == first_fields(magic, body.len()) {
        return Ok(end + 1);
    }
    let version = fields
        .split(' ')
        .nth(1)
        .and_then(|version| version.parse().ok());
    match version {
        Some(version) if version > VERSION && fields.starts_with(magic) => {
            Err(Fault::NewerFormat {
                path: path.to_owned(),
                version,
                supported: VERSION,
            })
        }
        _ => Err(Fault::damaged(path, format!("this is no {magic} file"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::OpenMode;
    use crate::sim_disk::SimDisk;

    const PATH: &str = "/meta.json";

    fn written(body: &[u8]) -> SimDisk {
        let disk = SimDisk::new();
        write_checked_file(&disk, Path::new(PATH), "everjet-test", body).unwrap();
        disk
    }

    fn read(disk: &SimDisk) -> Result<Option<Vec<u8>>, Fault> {
        read_checked_file(disk, Path::new(PATH), "everjet-test")
    }

    #[test]
    fn the_body_comes_back() {
        for body in [&b""[..], b"{}", b"two\nlines\n", &[0, 255]] {
            assert_eq!(read(&written(body)).unwrap().unwrap(), body);
        }
        assert_eq!(
            read_file(&written(b"{}"), Path::new(PATH)).unwrap(),
            b"everjet-test 1 2 254bceac\n{}"
        );
        assert!(read(&SimDisk::new()).unwrap().is_none());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let length = read_file(&written(b"{\"a\":1}"), Path::new(PATH))
            .unwrap()
            .len() as u64;
        for bit in 0..length * 8 {
            let disk = written(b"{\"a\":1}");
            disk.flip_bit(Path::new(PATH), bit);
            assert!(
                matches!(read(&disk), Err(Fault::Damaged { .. })),
                "bit {bit}"
            );
        }
        for cut in 0..length {
            let disk = written(b"{\"a\":1}");
            disk.truncate(Path::new(PATH), cut);
            assert!(
                matches!(read(&disk), Err(Fault::Damaged { .. })),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn other_files_and_newer_formats_are_told_apart() {
        let check = |fields: &str, expected: &str| {
            let disk = SimDisk::new();
            let checksum = crc32c_parts(&[fields.as_bytes(), b"{}"]);
            let file = disk.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
            file.write_all_at(format!("{fields} {checksum:08x}\n{{}}").as_bytes(), 0)
                .unwrap();
            let fault = read(&disk).unwrap_err().to_string();
            assert!(fault.starts_with(expected), "{fault}");
        };
        check(
            "everjet-test 2 2",
            "/meta.json has format version 2, this server reads up to 1",
        );
        check(
            "everjet-other 1 2",
            "damaged /meta.json: this is no everjet-test file",
        );
    }

    #[test]
    fn a_power_cut_leaves_the_old_or_the_new_content() {
        let base = written(b"old");
        let mut operation = 1;
        loop {
            let disk = base.kill();
            disk.fail_at(operation, crate::sim_disk::SimFault::Cut);
            let outcome = write_checked_file(&disk, Path::new(PATH), "everjet-test", b"newer");
            for seed in 0..50 {
                let found = read(&disk.crash(seed)).unwrap().unwrap();
                let allowed: &[&[u8]] = if outcome.is_ok() {
                    &[b"newer"]
                } else {
                    &[b"old", b"newer"]
                };
                assert!(
                    allowed.contains(&&found[..]),
                    "operation {operation}, seed {seed}"
                );
            }
            if outcome.is_ok() {
                break;
            }
            operation += 1;
        }
        assert!(operation > 4, "the write has several steps");
    }
}
