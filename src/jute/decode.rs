//! Reading jute from a slice that may hold anything.

use super::{Jute, Sink};

/// Why bytes do not decode to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends inside a value.
    #[error("truncated: {wanted} bytes wanted at offset {offset}, {left} left")]
    Truncated {
        /// Where the value begins.
        offset: usize,
        /// Its length.
        wanted: usize,
        /// Bytes that the input still holds.
        left: usize,
    },
    /// A length or count below -1.
    #[error("negative length {length} at offset {offset}")]
    NegativeLength {
        /// Offset of the length.
        offset: usize,
        /// The length itself.
        length: i32,
    },
    /// A value that is not valid for its field.
    #[error("{what} may not be {value} (offset {offset})")]
    BadValue {
        /// The field.
        what: &'static str,
        /// Its value.
        value: i64,
        /// Its offset.
        offset: usize,
    },
}

/// A cursor over input. Cheap to copy: a copy is a bookmark.
#[derive(Clone, Copy, Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Decoder { bytes, offset: 0 }
    }

    /// Takes the next `length` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.offset..];
        if rest.len() < length {
            return Err(DecodeError::Truncated {
                offset: self.offset,
                wanted: length,
                left: rest.len(),
            });
        }
        self.offset += length;
        Ok(&rest[..length])
    }

    #[inline]
    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("take returned as many bytes as asked for"))
    }

    /// Reads a 4-byte integer.
    ///
    /// # Errors
    /// The input is too short.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.take_array()?))
    }

    /// Reads an 8-byte integer.
    ///
    /// # Errors
    /// The input is too short.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.take_array()?))
    }

    /// Reads a length or count: `None` for -1.
    ///
    /// # Errors
    /// The input is too short, or the length is below -1.
    #[inline]
    pub fn length(&mut self) -> Result<Option<usize>, DecodeError> {
        let offset = self.offset;
        match self.i32()? {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) => Ok(Some(length)),
                Err(_) => Err(DecodeError::NegativeLength { offset, length }),
            },
        }
    }

    /// Bytes not yet read.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.offset..]
    }

    /// How many bytes were read.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Whether all bytes were read.
    pub const fn is_empty(&self) -> bool {
        self.offset == self.bytes.len()
    }

    /// The bytes between an earlier bookmark and here.
    pub fn since(&self, bookmark: &Decoder<'a>) -> &'a [u8] {
        &self.bytes[bookmark.offset..self.offset]
    }
}

impl<'a> Jute<'a> for bool {
    #[inline]
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        // ZooKeeper: DataInput.readBoolean takes every byte but 0 for true.
        Ok(input.take(1)?[0] != 0)
    }

    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        out.put(&[u8::from(*self)]);
    }
}

impl<'a> Jute<'a> for i32 {
    #[inline]
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        input.i32()
    }

    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        out.put(&self.to_be_bytes());
    }
}

impl<'a> Jute<'a> for i64 {
    #[inline]
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        input.i64()
    }

    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        out.put(&self.to_be_bytes());
    }
}

impl<'a> Jute<'a> for Option<&'a [u8]> {
    #[inline]
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        match input.length()? {
            None => Ok(None),
            Some(length) => input.take(length).map(Some),
        }
    }

    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        match self {
            None => (-1i32).encode(out),
            Some(bytes) => out.put_with_length(bytes),
        }
    }
}

/// A string that is not UTF-8 decodes to this text, which no path may contain.
///
/// Java replaces each malformed part with this character, and the string then fails the checks of
/// its use (a path: bad arguments). Replacing the whole string lets the decoder borrow.
const MALFORMED: &str = "\u{fffd}";

impl<'a> Jute<'a> for Option<&'a str> {
    #[inline]
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let bytes = <Option<&'a [u8]>>::decode(input)?;
        Ok(bytes.map(|bytes| std::str::from_utf8(bytes).unwrap_or(MALFORMED)))
    }

    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        self.map(str::as_bytes).encode(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_the_input_does_not_hold_is_refused_before_anything_is_taken() {
        let mut input = Decoder::new(&[0x7f, 0xff, 0xff, 0xff, 1, 2]);
        let got = <Option<&[u8]>>::decode(&mut input);
        assert_eq!(got, Err(DecodeError::Truncated { offset: 4, wanted: 0x7fff_ffff, left: 2 }));
    }

    #[test]
    fn null_and_empty_are_different() {
        assert_eq!(<Option<&[u8]>>::from_bytes(&[255; 4]), Ok(None));
        assert_eq!(<Option<&[u8]>>::from_bytes(&[0; 4]), Ok(Some(&[][..])));
        assert_eq!(
            <Option<&[u8]>>::from_bytes(&[255, 255, 255, 254]),
            Err(DecodeError::NegativeLength { offset: 0, length: -2 })
        );
    }

    #[test]
    fn malformed_text_becomes_the_one_character_that_no_path_may_hold() {
        assert_eq!(<Option<&str>>::from_bytes(&[0, 0, 0, 2, b'/', 0xff]), Ok(Some("\u{fffd}")));
    }
}
