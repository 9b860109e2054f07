//! The masking of what clients send (RFC 6455, section 5.3).

/// A masking key, turned so that its first byte belongs to the next byte of the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mask([u8; 4]);

impl Mask {
    pub(crate) fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Undoes the masking of the next bytes of the payload, without moving on.
    pub(crate) fn apply(self, bytes: &mut [u8]) {
        let word = u64::from_ne_bytes(std::array::from_fn(|index| self.0[index % 4]));
        let (words, rest) = bytes.as_chunks_mut::<8>();
        for chunk in words {
            *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(self.0.into_iter().cycle()) {
            *byte ^= key;
        }
    }

    /// Moves on by as many bytes of the payload.
    pub(crate) fn advance(&mut self, count: usize) {
        self.0.rotate_left(count % 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_unmasked_as_the_whole_is() {
        let payload: Vec<u8> = (0..=255).cycle().take(301).collect();
        let key = [1, 20, 77, 255];
        let masked: Vec<u8> = payload
            .iter()
            .enumerate()
            .map(|(index, byte)| byte ^ key[index % 4])
            .collect();
        for size in 1..masked.len() {
            let mut mask = Mask::new(key);
            let mut bytes = masked.clone();
            for piece in bytes.chunks_mut(size) {
                mask.apply(piece);
                mask.advance(piece.len());
            }
            assert_eq!(bytes, payload, "pieces of {size}");
        }
    }
}
