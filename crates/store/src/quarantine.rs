//! The place for files that failed a check: nothing is deleted or overwritten because it looks wrong.

use std::io;
use std::path::{Path, PathBuf};

use crate::checksum::crc32c;
use crate::disk::{Disk, OpenMode, read_exact_at};
use crate::fault::Fault;

/// Longest name before numbers and positions are added: file systems take 255 bytes.
const NAME_BYTES_MAX: usize = 180;

/// Moves the file at `path` into the folder `quarantine` (created when missing) and returns its new path: the old one with
/// `~` between its parts and a number behind. The move is durable when this returns.
///
/// # Errors
/// What the disk says.
pub fn quarantine_file(disk: &dyn Disk, quarantine: &Path, path: &Path) -> Result<PathBuf, Fault> {
    let target = free_name(disk, quarantine, &kept_name(quarantine, path))?;
    disk.rename(path, &target).map_err(Fault::rename(&target))?;
    disk.sync_dir(quarantine).map_err(Fault::sync(quarantine))?;
    if let Some(dir) = path.parent() {
        disk.sync_dir(dir).map_err(Fault::sync(dir))?;
    }
    Ok(target)
}

/// Copies `length` bytes at `offset` of the file at `path` into the folder `quarantine` (created when missing) and returns the
/// path of the copy, whose name says where the bytes were. A copy made before is not made again.
///
/// # Errors
/// What the disk says.
pub fn quarantine_bytes(
    disk: &dyn Disk,
    quarantine: &Path,
    path: &Path,
    offset: u64,
    length: u64,
) -> Result<PathBuf, Fault> {
    let name = kept_name(quarantine, path);
    let target = quarantine.join(format!("{name}.{offset}-{}", offset.saturating_add(length)));
    disk.create_dir_all(quarantine)
        .map_err(Fault::create(quarantine))?;
    match disk.open(&target, OpenMode::Read) {
        Ok(_) => return Ok(target),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Fault::open(&target)(error)),
    }
    let file = disk.open(path, OpenMode::Read).map_err(Fault::open(path))?;
    let held = file.len().map_err(Fault::read(path))?;
    let length = length.min(held.saturating_sub(offset));
    let mut bytes = vec![0; usize::try_from(length).expect("parts of files fit into memory")];
    read_exact_at(&*file, &mut bytes, offset).map_err(Fault::read(path))?;
    crate::disk::write_file_atomically(disk, &target, &bytes).map_err(Fault::write(&target))?;
    Ok(target)
}

/// The name under which a file is kept: its path under the folder that `quarantine` is in, with `~` between the parts, so that it
/// says where the file was. Of a path that is too long for a name the end stays, behind a checksum of all of it.
fn kept_name(quarantine: &Path, path: &Path) -> String {
    let root = quarantine.parent().unwrap_or(quarantine);
    let parts: Vec<_> = path
        .strip_prefix(root)
        .unwrap_or(path)
        .iter()
        .map(|part| part.to_string_lossy())
        .collect();
    let name = parts.join("~").replace('/', "");
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    let mut at = name.len() - NAME_BYTES_MAX;
    while !name.is_char_boundary(at) {
        at += 1;
    }
    let end = name.get(at..).unwrap_or_default();
    format!("{:08x}~{end}", crc32c(name.as_bytes()))
}

fn free_name(disk: &dyn Disk, quarantine: &Path, name: &str) -> Result<PathBuf, Fault> {
    disk.create_dir_all(quarantine)
        .map_err(Fault::create(quarantine))?;
    let taken = disk.list(quarantine).map_err(Fault::open(quarantine))?;
    let is_taken = |candidate: &str| taken.iter().any(|entry| entry.name == candidate);
    let free = (1u64..)
        .map(|number| format!("{name}.{number}"))
        .find(|name| !is_taken(name));
    Ok(quarantine.join(free.expect("a folder does not hold 2^64 names")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::read_file;
    use crate::sim_disk::SimDisk;

    #[test]
    fn files_of_the_same_name_are_all_kept() {
        let disk = SimDisk::new();
        let quarantine = Path::new("/quarantine");
        for number in 1..=2u8 {
            let file = disk.open(Path::new("/x"), OpenMode::CreateNew).unwrap();
            file.write_all_at(&[number], 0).unwrap();
            file.sync().unwrap();
            let moved = quarantine_file(&disk, quarantine, Path::new("/x")).unwrap();
            assert_eq!(moved, quarantine.join(format!("x.{number}")));
        }
        let disk = disk.crash(0);
        assert_eq!(read_file(&disk, Path::new("/quarantine/x.1")).unwrap(), [1]);
        assert_eq!(read_file(&disk, Path::new("/quarantine/x.2")).unwrap(), [2]);
    }

    #[test]
    fn names_say_where_a_file_was() {
        let check = |path: &str, expected: &str| {
            assert_eq!(
                kept_name(Path::new("/s/quarantine"), Path::new(path)),
                expected
            );
        };
        check("/s/manifest.a", "manifest.a");
        check("/s/$G/streams/S/1.seg", "$G~streams~S~1.seg");
        check("/s/$G/streams/T/1.seg", "$G~streams~T~1.seg");
        let long = |stream: char| {
            let stream = stream.to_string().repeat(200);
            kept_name(
                Path::new("/s/quarantine"),
                &Path::new("/s").join(stream).join("c.state"),
            )
        };
        assert!(long('a').len() <= 200 && long('a').ends_with("~c.state"));
        assert_ne!(long('a'), long('b'));
    }

    #[test]
    fn copied_bytes_say_where_they_were() {
        let disk = SimDisk::new();
        let file = disk.open(Path::new("/x"), OpenMode::CreateNew).unwrap();
        file.write_all_at(b"0123456789", 0).unwrap();
        let copy = quarantine_bytes(&disk, Path::new("/q"), Path::new("/x"), 3, 4).unwrap();
        assert_eq!(copy, Path::new("/q/x.3-7"));
        assert_eq!(read_file(&disk, &copy).unwrap(), b"3456");
        file.write_all_at(b"##########", 0).unwrap();
        quarantine_bytes(&disk, Path::new("/q"), Path::new("/x"), 3, 4).unwrap();
        assert_eq!(
            read_file(&disk, &copy).unwrap(),
            b"3456",
            "the first copy stays"
        );
    }
}
