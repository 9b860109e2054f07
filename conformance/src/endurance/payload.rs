//! Payloads that tell where they belong and whether they are whole.

/// Filler behind the label, so that a message spans more than a disk's sector.
const FILLER_BYTES: u64 = 700;

/// The payload that belongs to a label: the label, a blank, and a filler that follows from it.
pub(super) fn of(label: &str) -> Vec<u8> {
    let mut bytes = format!("{label} ").into_bytes();
    let seed = hash(label.as_bytes());
    let mut state = seed | 1;
    for _ in 0..seed % FILLER_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.push(b'a' + (state % 26) as u8);
    }
    bytes
}

/// The label of a payload that is whole.
pub(super) fn label(payload: &[u8]) -> Option<&str> {
    let end = payload.iter().position(|&byte| byte == b' ')?;
    let label = std::str::from_utf8(&payload[..end]).ok()?;
    (of(label) == payload).then_some(label)
}

/// FNV-1a.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_or_cut_payload_has_no_label() {
        // Long enough to have a filler.
        let whole = (0..20)
            .map(|number| of(&format!("LOG/1/0/{number}")))
            .find(|payload| payload.len() > 100)
            .expect("most have one");
        assert!(label(&whole).is_some_and(|label| label.starts_with("LOG/1/0/")));
        assert_eq!(label(&whole[..whole.len() - 1]), None);
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert_eq!(label(&changed), None, "byte {at}");
        }
    }
}
