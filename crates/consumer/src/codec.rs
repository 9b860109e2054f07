//! Compact numbers and bytes for journal records and snapshots.
//!
//! Integers are LEB128: seven bits a byte, least significant first, the top bit set while more follow. Byte strings
//! are their length and the bytes. Times are eight bytes, little-endian, nanoseconds since 1970.

use everjet_values::Timestamp;

/// The bytes end early, go on too long, or break a rule of what they encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Appends an integer, 1 to 10 bytes.
pub fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a time.
pub fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.extend_from_slice(&time.as_nanos().to_le_bytes());
}

/// Reads what the `put_` functions wrote.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// An integer.
    ///
    /// # Errors
    /// [`Malformed`] at the end of the bytes or when it does not fit 64 bits.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// An integer that counts things of at least `size_min` bytes each, so that a wrong count cannot ask for more
    /// memory than the bytes justify.
    ///
    /// # Errors
    /// [`Malformed`] when fewer bytes are left than that many things take.
    pub fn count(&mut self, size_min: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        let needed = count.checked_mul(size_min).ok_or(Malformed)?;
        if needed > self.0.len() {
            return Err(Malformed);
        }
        Ok(count)
    }

    /// A byte.
    ///
    /// # Errors
    /// [`Malformed`] at the end of the bytes.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let (byte, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*byte)
    }

    /// A length and the bytes.
    ///
    /// # Errors
    /// [`Malformed`] when fewer bytes are left.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.count(1)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A length and UTF-8 text.
    ///
    /// # Errors
    /// [`Malformed`] when it is not UTF-8 or fewer bytes are left.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    /// A time.
    ///
    /// # Errors
    /// [`Malformed`] at the end of the bytes.
    pub fn time(&mut self) -> Result<Timestamp, Malformed> {
        let (bytes, rest) = self.0.split_first_chunk::<8>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(Timestamp::from_nanos(i64::from_le_bytes(*bytes)))
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Whether everything was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes sure that everything was read.
    ///
    /// # Errors
    /// [`Malformed`] when bytes are left.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_read_again() {
        let numbers = [0, 1, 127, 128, 300, 1 << 32, u64::MAX - 1, u64::MAX];
        let mut out = Vec::new();
        for number in numbers {
            put_number(&mut out, number);
        }
        put_bytes(&mut out, b"orders");
        put_time(&mut out, Timestamp::from_nanos(-5));
        let mut reader = Reader::new(&out);
        for number in numbers {
            assert_eq!(reader.number(), Ok(number));
        }
        assert_eq!(reader.text(), Ok("orders"));
        assert_eq!(reader.time(), Ok(Timestamp::from_nanos(-5)));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn what_ends_early_or_is_too_large_is_malformed() {
        for bytes in [
            &b""[..],
            b"\x80",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert_eq!(Reader::new(bytes).number(), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(Reader::new(b"\x05abc").bytes(), Err(Malformed));
        assert_eq!(Reader::new(b"\x02\xff\xfe").text(), Err(Malformed));
        assert_eq!(Reader::new(b"\x7f").count(8), Err(Malformed));
        assert_eq!(Reader::new(b"1234567").time(), Err(Malformed));
        assert_eq!(Reader::new(b"1").finish(), Err(Malformed));
    }
}
