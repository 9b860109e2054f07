use super::*;
use crate::disk::{OpenMode, read_file};
use crate::seal::testing::encryption;
use crate::sim_disk::{SimDisk, SimFault};

const DIR: &str = "/store";

fn store() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new(DIR)).unwrap();
    disk
}

fn with_previous(key: &str, previous: &str, seed: u64) -> Encryption {
    Encryption {
        previous: Some(StoreKey::new(previous.as_bytes())),
        ..encryption(key, seed)
    }
}

type Opened = Result<Option<OpenedKeyring>, KeyringError>;

fn open(disk: &SimDisk, encryption: &Encryption) -> Opened {
    open_keyring(disk, Path::new(DIR), Some(encryption))
}

fn noted(opened: Opened) -> Option<KeyringNote> {
    opened.unwrap().unwrap().note
}

/// What `keys` sealed, to be opened later.
fn sealed(opened: Opened) -> (crate::seal::Stamp, Vec<u8>) {
    let keys = opened.unwrap().unwrap().keys;
    let mut bytes = b"text".to_vec();
    let (stamp, tag) = keys.seal(b"", &mut bytes);
    bytes.extend(tag);
    (stamp, bytes)
}

fn opens(opened: Opened, sealed: &(crate::seal::Stamp, Vec<u8>)) -> bool {
    let keys = opened.unwrap().unwrap().keys;
    keys.open(&sealed.0, b"", &mut sealed.1.clone()).is_some()
}

fn content(disk: &SimDisk) -> Vec<Vec<u8>> {
    let read = |name: &&str| read_file(disk, &Path::new(DIR).join(name)).unwrap();
    SLOTS.iter().map(read).collect()
}

#[test]
fn a_keyring_is_made_once_and_opens_with_its_key_only() {
    let disk = store();
    let none = open_keyring(&disk, Path::new(DIR), None).unwrap();
    assert!(none.is_none() && disk.list_files().is_empty());
    assert_eq!(
        noted(open(&disk, &encryption("k", 1))),
        Some(KeyringNote::Created)
    );
    let made = content(&disk);
    assert_eq!(noted(open(&disk, &encryption("k", 2))), None);
    assert!(matches!(
        open(&disk, &encryption("x", 3)),
        Err(KeyringError::WrongKey(_))
    ));
    let missing = open_keyring(&disk, Path::new(DIR), None);
    assert!(matches!(missing, Err(KeyringError::KeyMissing(_))));
    let both_wrong = with_previous("x", "y", 4);
    assert!(matches!(
        open(&disk, &both_wrong),
        Err(KeyringError::WrongKey(_))
    ));
    assert_eq!(content(&disk), made, "nothing was changed");
}

#[test]
fn after_a_change_of_key_the_new_one_alone_opens_old_and_new_data() {
    let disk = store();
    let old = sealed(open(&disk, &encryption("old", 1)));
    let changed = open(&disk, &with_previous("new", "old", 2));
    assert_eq!(noted(changed), Some(KeyringNote::KeyChanged));
    let new = sealed(open(&disk, &encryption("new", 3)));
    assert!(opens(open(&disk, &encryption("new", 4)), &old));
    assert!(opens(open(&disk, &encryption("new", 5)), &new));
    assert!(matches!(
        open(&disk, &encryption("old", 6)),
        Err(KeyringError::WrongKey(_))
    ));
    assert_eq!(
        noted(open(&disk, &with_previous("new", "old", 7))),
        None,
        "a previous key that is still configured changes nothing"
    );
}

#[test]
fn what_is_sealed_after_a_change_of_key_has_a_new_data_key() {
    let disk = store();
    let before = store();
    open(&disk, &encryption("old", 1)).unwrap();
    for name in SLOTS {
        let path = Path::new(DIR).join(name);
        let bytes = read_file(&disk, &path).unwrap();
        crate::disk::write_file_atomically(&before, &path, &bytes).unwrap();
    }
    let new = sealed(open(&disk, &with_previous("new", "old", 2)));
    assert!(
        !opens(open(&before, &encryption("old", 3)), &new),
        "who has the old key and an old copy of the keyring"
    );
}

#[test]
fn either_file_is_enough_and_the_other_is_written_again() {
    for slot in SLOTS {
        let path = Path::new(DIR).join(slot);
        let harms: [&dyn Fn(&SimDisk); 3] = [
            &|disk| disk.remove_file(&path).unwrap(),
            &|disk| disk.flip_bit(&path, 700),
            &|disk| disk.truncate(&path, 20),
        ];
        for (at, harm) in harms.into_iter().enumerate() {
            let disk = store();
            let old = sealed(open(&disk, &encryption("k", 1)));
            harm(&disk);
            // Without the second one, and with nothing sealed yet, it is as a crash leaves it.
            let expected = match (slot == SLOTS[1], at) {
                (true, 0) => KeyringNote::Finished,
                _ => KeyringNote::Repaired,
            };
            assert_eq!(noted(open(&disk, &encryption("k", 2))), Some(expected));
            assert_eq!(noted(open(&disk, &encryption("k", 3))), None);
            assert!(opens(open(&disk, &encryption("k", 4)), &old));
        }
    }
}

#[test]
fn without_any_sound_file_nothing_is_made_anew() {
    let disk = store();
    open(&disk, &encryption("k", 1)).unwrap();
    for slot in SLOTS {
        disk.flip_bit(&Path::new(DIR).join(slot), 700);
    }
    let damaged = open(&disk, &encryption("k", 2));
    assert!(matches!(
        damaged,
        Err(KeyringError::Fault(Fault::Damaged { .. }))
    ));

    let disk = store();
    let manifest = Path::new("/store/manifest.b");
    let file = disk.open(manifest, OpenMode::CreateNew).unwrap();
    file.write_all_at(b"everjet-manifest-sealed 1 1", 0)
        .unwrap();
    let lost = open(&disk, &encryption("k", 1));
    assert!(matches!(
        lost,
        Err(KeyringError::Fault(Fault::Damaged { .. }))
    ));
    assert_eq!(disk.list_files(), [manifest]);
}

#[test]
fn a_power_cut_at_any_step_of_a_change_leaves_a_keyring_that_opens() {
    let base = store();
    let old = sealed(open(&base, &encryption("old", 1)));
    let mut operation = 1;
    loop {
        let disk = base.kill();
        disk.fail_at(operation, SimFault::Cut);
        let changed = open(&disk, &with_previous("new", "old", 2));
        let is_done = changed.is_ok();
        let new = is_done.then(|| sealed(changed));
        for seed in 0..20 {
            let disk = disk.crash(seed);
            let context = format!("operation {operation}, seed {seed}");
            assert!(
                opens(open(&disk, &with_previous("new", "old", 3)), &old),
                "{context}"
            );
            if let Some(new) = &new {
                assert!(opens(open(&disk, &encryption("new", 4)), new), "{context}");
            }
        }
        if is_done {
            break;
        }
        operation += 1;
    }
    assert!(operation > 8, "a change has many steps");
}

/// A process that is killed while it writes a keyring leaves names that a power cut can still take back, and the next start may find
/// nothing to do about them.
#[test]
fn what_a_start_seals_does_not_outlive_the_keyring_it_found() {
    let manifest = Path::new("/store/manifest.a");
    for operation in 1.. {
        let disk = store().kill();
        disk.fail_at(operation, SimFault::Cut);
        let is_done = open(&disk, &encryption("k", 1)).is_ok();
        let disk = disk.kill();
        let opened = open(&disk, &encryption("k", 2)).unwrap().unwrap();
        let sealing = crate::seal::SealedDisk::new(disk.shared(), opened.keys);
        disk.fail_at(disk.operations() + 5, SimFault::Cut);
        // Its name is given and not synced.
        let written =
            crate::checked_file::write_checked_file(&sealing, manifest, "everjet-manifest", b"{}");
        assert!(written.is_err() && disk.list_files().contains(&manifest.to_owned()));
        for seed in 0..50 {
            let note = noted(open(&disk.crash(seed), &encryption("k", 3)));
            assert!(
                matches!(note, None | Some(KeyringNote::Finished)),
                "operation {operation}, seed {seed}: {note:?}"
            );
        }
        if is_done {
            assert!(operation > 8, "two files take several steps each");
            break;
        }
    }
}

#[test]
fn hexadecimal_digits_come_back() {
    assert_eq!(
        from_hex(&to_hex(&[0, 0x1F, 0xFF])),
        Some(vec![0, 0x1F, 0xFF])
    );
    assert_eq!(from_hex("0"), None);
    assert_eq!(from_hex("0g"), None);
}
