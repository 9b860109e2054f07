//! The simulated disk itself: a check on the checker.

use super::*;
use crate::disk::read_file;

fn put(disk: &SimDisk, path: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = disk.open(Path::new(path), OpenMode::CreateNew).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

fn content(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    read_file(disk, Path::new(path)).ok()
}

/// All outcomes of many power cuts, sorted and without repetition.
fn outcomes<T: Ord>(disk: &SimDisk, look: impl Fn(&SimDisk) -> T) -> Vec<T> {
    let mut seen: Vec<T> = (0..200).map(|seed| look(&disk.crash(seed))).collect();
    seen.sort();
    seen.dedup();
    seen
}

#[test]
fn an_unsynced_name_may_vanish_and_a_synced_one_may_not() {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/d")).unwrap();
    put(&disk, "/d/f", b"x").sync().unwrap();
    let there = |disk: &SimDisk| content(disk, "/d/f");
    assert_eq!(outcomes(&disk, there), [None, Some(b"x".to_vec())]);
    disk.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(outcomes(&disk, there), [Some(b"x".to_vec())]);
}

#[test]
fn unsynced_sectors_survive_in_any_combination() {
    let disk = SimDisk::new();
    let file = put(&disk, "/f", &[0; 1024]);
    file.sync().unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    file.write_all_at(&[1; 1024], 0).unwrap();
    file.write_all_at(&[2; 512], 0).unwrap();
    let seen = outcomes(&disk, |disk| {
        let bytes = content(disk, "/f").unwrap();
        (bytes[0], bytes[511], bytes[512])
    });
    for whole in [
        (0, 0, 0),
        (1, 1, 0),
        (2, 2, 0),
        (0, 0, 1),
        (1, 1, 1),
        (2, 2, 1),
    ] {
        assert!(seen.contains(&whole), "{whole:?} is possible");
    }
    assert!(
        seen.contains(&(2, 1, 1)) || seen.contains(&(2, 0, 1)),
        "torn within a sector"
    );
    file.sync().unwrap();
    assert_eq!(
        outcomes(&disk, |disk| content(disk, "/f").unwrap()[511..513]
            .to_vec()),
        [[2, 1]]
    );
}

#[test]
fn a_rename_is_old_or_new_and_never_both_or_neither() {
    let disk = SimDisk::new();
    put(&disk, "/new", b"new").sync().unwrap();
    put(&disk, "/old", b"old").sync().unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk.rename(Path::new("/new"), Path::new("/old")).unwrap();
    let seen = outcomes(&disk, |disk| {
        (content(disk, "/old").unwrap(), content(disk, "/new"))
    });
    assert_eq!(
        seen,
        [
            (b"new".to_vec(), None),
            (b"old".to_vec(), Some(b"new".to_vec()))
        ]
    );
}

#[test]
fn a_failed_sync_is_not_repaired_by_a_second_one() {
    let disk = SimDisk::new();
    let file = put(&disk, "/f", b"a");
    file.sync().unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    file.write_all_at(b"b", 0).unwrap();
    disk.fail_at(disk.operations() + 1, SimFault::Eio);
    file.sync().unwrap_err();
    file.sync().unwrap();
    assert_eq!(
        content(&disk, "/f").unwrap(),
        b"b",
        "the cache still has it"
    );
    assert_eq!(outcomes(&disk, |disk| content(disk, "/f").unwrap()), [b"a"]);
}

#[test]
fn after_a_cut_nothing_works_until_the_next_start() {
    let disk = SimDisk::new();
    let file = put(&disk, "/f", b"a");
    disk.fail_at(disk.operations() + 2, SimFault::Cut);
    file.sync().unwrap();
    file.write_all_at(b"b", 0).unwrap_err();
    assert!(disk.is_cut());
    file.sync().unwrap_err();
    file.read_at(&mut [0], 0).unwrap_err();
    disk.open(Path::new("/f"), OpenMode::Read).err().unwrap();
    assert!(content(&disk.kill(), "/f").is_some());
}

#[test]
fn a_killed_process_leaves_everything_and_nothing_durable() {
    let disk = SimDisk::new();
    put(&disk, "/f", b"a");
    let killed = disk.kill();
    assert_eq!(content(&killed, "/f").unwrap(), b"a");
    assert!(outcomes(&killed, |disk| content(disk, "/f")).contains(&None));
}

#[test]
fn a_full_disk_takes_what_fits() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(10));
    let file = put(&disk, "/f", b"12345678");
    let error = file.write_all_at(b"abcd", 8).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.free_bytes(Path::new("/")).unwrap(), 0);
    file.write_all_at(b"x", 0).unwrap();
    disk.set_capacity(None);
    file.write_all_at(b"abcd", 8).unwrap();
    assert_eq!(content(&disk, "/f").unwrap(), b"x2345678abcd");
}

#[test]
fn one_lock_one_holder() {
    let disk = SimDisk::new();
    let held = disk.lock(Path::new("/lock")).unwrap();
    assert_eq!(
        disk.lock(Path::new("/lock")).err().unwrap().kind(),
        io::ErrorKind::WouldBlock
    );
    drop(held);
    disk.lock(Path::new("/lock")).unwrap();
}

#[test]
fn zeroed_bytes_are_zero_before_and_after_a_power_cut() {
    let disk = SimDisk::new();
    put(&disk, "/f", b"12345678").sync().unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk.zero(Path::new("/f"), 6, 10);
    disk.zero(Path::new("/f"), 1, 2);
    assert_eq!(content(&disk, "/f").unwrap(), b"1\0\x00456\0\0");
    assert_eq!(
        outcomes(&disk, |disk| content(disk, "/f")),
        [Some(b"1\0\x00456\0\0".to_vec())]
    );
}

#[test]
fn an_older_removal_does_not_undo_a_durable_creation() {
    let disk = SimDisk::new();
    let folder = Path::new("/d");
    disk.create_dir_all(folder).unwrap();
    disk.remove_dir_all(folder).unwrap();
    disk.create_dir_all(folder).unwrap();
    assert_eq!(outcomes(&disk, |disk| disk.list(folder).is_ok()), [true]);
}
