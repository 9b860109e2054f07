//! Numbers as they are in derived files: little-endian, one after the other.

/// What is left to read.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.take(4)?.first_chunk()?))
    }

    pub(super) fn wide(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.take(8)?.first_chunk()?))
    }

    pub(super) fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    pub(super) fn shorts(&mut self, count: usize) -> Option<Vec<u16>> {
        let (chunks, _) = self.take(count.checked_mul(2)?)?.as_chunks::<2>();
        Some(
            chunks
                .iter()
                .map(|chunk| u16::from_le_bytes(*chunk))
                .collect(),
        )
    }

    pub(super) fn numbers(&mut self, count: usize) -> Option<Vec<u32>> {
        let (chunks, _) = self.take(count.checked_mul(4)?)?.as_chunks::<4>();
        Some(
            chunks
                .iter()
                .map(|chunk| u32::from_le_bytes(*chunk))
                .collect(),
        )
    }

    pub(super) fn unsigned(&mut self, count: usize) -> Option<Vec<u64>> {
        let (chunks, _) = self.take(count.checked_mul(8)?)?.as_chunks::<8>();
        Some(
            chunks
                .iter()
                .map(|chunk| u64::from_le_bytes(*chunk))
                .collect(),
        )
    }

    pub(super) fn wides(&mut self, count: usize) -> Option<Vec<i64>> {
        let (chunks, _) = self.take(count.checked_mul(8)?)?.as_chunks::<8>();
        Some(
            chunks
                .iter()
                .map(|chunk| i64::from_le_bytes(*chunk))
                .collect(),
        )
    }
}

/// Appends numbers.
pub(super) fn put_numbers(numbers: &[u32], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 4 * numbers.len(), 0);
    let (places, _) = out
        .get_mut(start..)
        .expect("it was made above")
        .as_chunks_mut::<4>();
    for (place, number) in places.iter_mut().zip(numbers) {
        *place = number.to_le_bytes();
    }
}
