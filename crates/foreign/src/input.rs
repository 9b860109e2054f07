//! Reading numbers from the front of bytes.

/// What is left to read. Every method returns `None` when the bytes end too early or hold something else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.take(4)?.first_chunk()?))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.take(8)?.first_chunk()?))
    }

    /// An unsigned number of at most ten bytes, seven bits each, lowest first.
    pub(crate) fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0;
        for at in 0..10 {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7F);
            if at == 9 && part > 1 {
                return None;
            }
            value |= part << (7 * at);
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A signed number: sign in the lowest bit.
    pub(crate) fn varint(&mut self) -> Option<i64> {
        let value = self.uvarint()?;
        let half = (value >> 1).cast_signed();
        Some(if value & 1 == 0 { half } else { !half })
    }

    /// A number of things that take at least `bytes_min` bytes each, so that it cannot make anybody reserve more than there is.
    pub(crate) fn count(&mut self, bytes_min: usize) -> Option<usize> {
        let count = usize::try_from(self.uvarint()?).ok()?;
        (count <= self.0.len() / bytes_min.max(1)).then_some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_writes_them() {
        let check = |bytes: &[u8], unsigned: Option<u64>, signed: Option<i64>| {
            assert_eq!(Input(bytes).uvarint(), unsigned, "{bytes:?}");
            assert_eq!(Input(bytes).varint(), signed, "{bytes:?}");
        };
        check(&[0], Some(0), Some(0));
        check(&[1], Some(1), Some(-1));
        check(&[0x7F], Some(127), Some(-64));
        check(&[0x80, 1], Some(128), Some(64));
        check(&[0xFF; 9], None, None);
        check(
            &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1],
            Some(u64::MAX),
            Some(i64::MIN),
        );
        check(
            &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2],
            None,
            None,
        );
    }
}
