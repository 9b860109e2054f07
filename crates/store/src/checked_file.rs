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
//!
//! On a disk with keys the body is sealed: the magic gets `-sealed` behind it, and the body is a [`Stamp`], the encrypted
//! body and its tag, bound to the magic. The checksum is outside, so that damage is told without the key.

use std::io;
use std::path::Path;

use crate::checksum::crc32c_parts;
use crate::disk::{Disk, read_file, write_file_atomically};
use crate::fault::{Attempt, Fault};
use crate::seal::{STAMP_BYTES, Stamp, TAG_BYTES};

const VERSION: u32 = 1;
const SEALED: &str = "-sealed";

/// Puts `body` under `path`, sealed when the disk has keys: after a crash or power loss the file holds either its old content
/// or all of the new. `magic` says what the file is: a short word without blanks.
///
/// # Errors
/// What the disk says; the old content is still there then.
pub fn write_checked_file(
    disk: &dyn Disk,
    path: &Path,
    magic: &str,
    body: &[u8],
) -> Result<(), Fault> {
    let Some(keys) = disk.keys() else {
        return write_plain_checked_file(disk, path, magic, body);
    };
    let mut sealed = Vec::with_capacity(STAMP_BYTES + body.len() + TAG_BYTES);
    sealed.extend_from_slice(&[0; STAMP_BYTES]);
    sealed.extend_from_slice(body);
    let (stamp, tag) = keys.seal(magic.as_bytes(), &mut sealed[STAMP_BYTES..]);
    sealed[..STAMP_BYTES].copy_from_slice(&stamp.encode());
    sealed.extend_from_slice(&tag);
    write_plain_checked_file(disk, path, &format!("{magic}{SEALED}"), &sealed)
}

/// [`write_checked_file`] without sealing, whatever the disk says.
pub(crate) fn write_plain_checked_file(
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

/// Reads the body of a file written by [`write_checked_file`]; `None` when there is no such file. A body that is not sealed is
/// taken from any disk: the file may be older than the keys.
///
/// # Errors
/// [`Fault::Damaged`] when the content fails its check or no key of the store opens it, [`Fault::Sealed`] when there are no
/// keys, [`Fault::NewerFormat`], or what the disk says.
pub fn read_checked_file(
    disk: &dyn Disk,
    path: &Path,
    magic: &str,
) -> Result<Option<Vec<u8>>, Fault> {
    Ok(read_either(disk, path, magic)?.map(|(body, _)| body))
}

/// Whether `path` holds this body, sealed exactly if the disk has keys: writing it again would change nothing.
#[must_use]
pub fn holds_checked_file(disk: &dyn Disk, path: &Path, magic: &str, body: &[u8]) -> bool {
    let found = read_either(disk, path, magic).ok().flatten();
    found.is_some_and(|(found, sealed)| found == body && sealed == disk.keys().is_some())
}

/// Reads the body of a file that is never sealed; `None` when there is no such file.
pub(crate) fn read_plain_checked_file(
    disk: &dyn Disk,
    path: &Path,
    magic: &str,
) -> Result<Option<Vec<u8>>, Fault> {
    let Some(mut bytes) = read_bytes(disk, path)? else {
        return Ok(None);
    };
    let start = body_start(&bytes, magic, path)?;
    Ok(Some(bytes.split_off(start)))
}

/// Whether there is a file at `path` that says that it is sealed.
pub(crate) fn is_sealed_file(disk: &dyn Disk, path: &Path) -> Result<bool, Fault> {
    Ok(read_bytes(disk, path)?.is_some_and(|bytes| says_sealed(&bytes)))
}

/// The body, and whether it was sealed.
fn read_either(
    disk: &dyn Disk,
    path: &Path,
    magic: &str,
) -> Result<Option<(Vec<u8>, bool)>, Fault> {
    let Some(mut bytes) = read_bytes(disk, path)? else {
        return Ok(None);
    };
    if !says_sealed(&bytes) {
        let start = body_start(&bytes, magic, path)?;
        return Ok(Some((bytes.split_off(start), false)));
    }
    let start = body_start(&bytes, &format!("{magic}{SEALED}"), path)?;
    let keys = disk.keys().ok_or_else(|| Fault::Sealed {
        path: path.to_owned(),
    })?;
    let body = bytes
        .get_mut(start..)
        .and_then(<[u8]>::split_first_chunk_mut::<STAMP_BYTES>)
        .and_then(|(stamp, sealed)| {
            keys.open(&Stamp::decode(stamp)?, magic.as_bytes(), sealed)
                .map(|body| body.to_vec())
        });
    match body {
        Some(body) => Ok(Some((body, true))),
        None => Err(Fault::damaged(path, "no key of this store decrypts it")),
    }
}

fn read_bytes(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, Fault> {
    match read_file(disk, path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault::io(Attempt::Read, path, error)),
    }
}

fn says_sealed(bytes: &[u8]) -> bool {
    let magic = bytes.split(|byte| *byte == b' ').next();
    magic.is_some_and(|magic| magic.ends_with(SEALED.as_bytes()))
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
    fn a_sealed_body_comes_back_with_its_keys_only() {
        let disk = SimDisk::new();
        let sealed = crate::seal::testing::sealed_disk(&disk, 1, 1);
        let path = Path::new(PATH);
        for body in [&b""[..], b"{\"subject\":\"marker\"}"] {
            write_checked_file(&*sealed, path, "everjet-test", body).unwrap();
            let bytes = read_file(&disk, path).unwrap();
            assert!(bytes.starts_with(b"everjet-test-sealed 1 "));
            assert!(!bytes.windows(6).any(|part| part == b"marker"));
            let found = read_checked_file(&*sealed, path, "everjet-test").unwrap();
            assert_eq!(found.unwrap(), body);
            assert!(holds_checked_file(&*sealed, path, "everjet-test", body));
        }
        assert!(matches!(read(&disk), Err(Fault::Sealed { .. })));
        let other = crate::seal::testing::sealed_disk(&SimDisk::new(), 2, 1);
        let bytes = read_file(&disk, path).unwrap();
        write_file_atomically(&*other, path, &bytes).unwrap();
        let fault = read_checked_file(&*other, path, "everjet-test").unwrap_err();
        assert!(matches!(fault, Fault::Damaged { .. }), "{fault}");
        for bit in 0..bytes.len() as u64 * 8 {
            disk.flip_bit(path, bit);
            let fault = read_checked_file(&*sealed, path, "everjet-test").unwrap_err();
            assert!(matches!(fault, Fault::Damaged { .. }), "bit {bit}: {fault}");
            disk.flip_bit(path, bit);
        }
    }

    #[test]
    fn a_file_older_than_the_keys_is_read_and_known_to_be_in_the_open() {
        let disk = written(b"old");
        let sealed = crate::seal::testing::sealed_disk(&disk, 1, 1);
        let path = Path::new(PATH);
        let found = read_checked_file(&*sealed, path, "everjet-test").unwrap();
        assert_eq!(found.unwrap(), b"old");
        assert!(holds_checked_file(&disk, path, "everjet-test", b"old"));
        assert!(!holds_checked_file(&*sealed, path, "everjet-test", b"old"));
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
