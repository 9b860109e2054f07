//! Memory for the beginning of a frame whose rest has not come.

/// How many times as much memory as has come is held at most: growing by more than what came saves copies, and what is only
/// announced costs nothing.
const GROWTH: usize = 4;

/// Appends `bytes` to the beginning of a frame that takes `needed` bytes in all, or an unknown number (0).
///
/// The capacity stays within four times of what has come, and within the frame as soon as that is known: a peer that announces
/// a large payload and does not send it holds no memory for it.
pub(crate) fn gather(partial: &mut Vec<u8>, bytes: &[u8], needed: usize) {
    let length = partial.len() + bytes.len();
    if length > partial.capacity() {
        let wanted = (GROWTH * length).min(needed.max(length));
        partial.reserve_exact(wanted - partial.len());
    }
    partial.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gathers a frame in pieces of one size and returns how often its memory grew.
    fn check(needed: usize, piece: usize) -> usize {
        let mut partial = Vec::new();
        let mut grown = 0;
        while partial.len() < needed {
            let before = partial.capacity();
            let missing = needed - partial.len();
            gather(&mut partial, &vec![b'x'; piece.min(missing)], needed);
            grown += usize::from(partial.capacity() > before);
            assert!(
                partial.capacity() <= GROWTH * partial.len(),
                "{} bytes for {}",
                partial.capacity(),
                partial.len()
            );
            assert!(partial.capacity() <= needed);
        }
        grown
    }

    #[test]
    fn memory_follows_what_has_come_and_not_what_was_announced() {
        assert_eq!(check(1 << 20, 256 << 10), 1);
        assert_eq!(check(1 << 20, 64 << 10), 2);
        assert_eq!(check(1 << 20, 1), 10);
        assert_eq!(check(64 << 20, 1 << 20), 3);
        assert_eq!(check(20, 100), 1);
    }

    #[test]
    fn a_frame_of_unknown_length_gets_what_it_takes() {
        let mut partial = Vec::new();
        gather(&mut partial, &[b'x'; 20_000], 0);
        assert_eq!((partial.len(), partial.capacity()), (20_000, 20_000));
    }
}
