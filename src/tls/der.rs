//! A reader of DER, the form of certificates, keys and PKCS#12 files: it walks over borrowed bytes and copies none.
//!
//! It is not a general ASN.1 library: tags of one byte, definite lengths of up to four bytes, and nothing recursive, so
//! nested input costs nothing. The rule that is easy to break: a caller that expects nothing more calls
//! [`Der::end`], because a reader by itself ignores what follows.

use std::fmt;

/// The tag of a truth value: one byte, 0 for false.
pub const BOOLEAN: u8 = 0x01;
/// The tag of a number: big-endian, in two's complement.
pub const INTEGER: u8 = 0x02;
/// The tag of bits: a byte with the number of unused ones, then bytes.
pub const BIT_STRING: u8 = 0x03;
/// The tag of bytes.
pub const OCTET_STRING: u8 = 0x04;
/// The tag of an object identifier: numbers in base 128, the first two in one.
pub const OBJECT_ID: u8 = 0x06;
/// The tag of a time with a year of two digits.
pub const UTC_TIME: u8 = 0x17;
/// The tag of a time with a year of four digits.
pub const GENERALIZED_TIME: u8 = 0x18;
/// The tag of elements in an order.
pub const SEQUENCE: u8 = 0x30;
/// The tag of elements without an order.
pub const SET: u8 = 0x31;

/// The tag of a context-specific element that holds other elements.
pub const fn explicit(number: u8) -> u8 {
    0xa0 | number
}

/// The tag of a context-specific element that holds bytes.
pub const fn implicit(number: u8) -> u8 {
    0x80 | number
}

/// Why bytes are not what a caller expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes end too early, or an element is not the expected one.
    Shape,
    /// A length is not given in advance: the bytes are BER, and only DER is read here.
    Indefinite,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Shape => "its structure is broken",
            Malformed::Indefinite => {
                "it is written with indefinite lengths (BER), and only DER is read here"
            }
        })
    }
}

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its kind.
    pub tag: u8,
    /// The bytes after tag and length.
    pub content: &'a [u8],
    /// All bytes, tag and length included.
    pub whole: &'a [u8],
}

/// Elements that follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Der<'a> {
    rest: &'a [u8],
}

impl<'a> Der<'a> {
    /// A reader at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes the next element, whatever it is.
    pub fn any(&mut self) -> Result<Element<'a>, Malformed> {
        let (&tag, after_tag) = self.rest.split_first().ok_or(Malformed::Shape)?;
        // A tag of several bytes stands in none of the formats that are read here.
        if tag & 0x1f == 0x1f {
            return Err(Malformed::Shape);
        }
        let (&first, after_length) = after_tag.split_first().ok_or(Malformed::Shape)?;
        let (length, body) = match first {
            0..=0x7f => (usize::from(first), after_length),
            0x80 => return Err(Malformed::Indefinite),
            0x81..=0x84 => {
                let digits = usize::from(first & 0x7f);
                let bytes = after_length.get(..digits).ok_or(Malformed::Shape)?;
                let length = bytes.iter().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
                // DER has one form of each length: the shortest.
                if length < 0x80 || bytes[0] == 0 {
                    return Err(Malformed::Shape);
                }
                (usize::try_from(length).map_err(|_| Malformed::Shape)?, &after_length[digits..])
            }
            _ => return Err(Malformed::Shape),
        };
        let content = body.get(..length).ok_or(Malformed::Shape)?;
        let (whole, rest) = self.rest.split_at(self.rest.len() - body.len() + length);
        self.rest = rest;
        Ok(Element { tag, content, whole })
    }

    /// Takes the next element, which must have this tag, and returns its content.
    pub fn take(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        self.element(tag).map(|element| element.content)
    }

    /// The same with tag and length.
    pub fn element(&mut self, tag: u8) -> Result<Element<'a>, Malformed> {
        let element = self.any()?;
        if element.tag == tag { Ok(element) } else { Err(Malformed::Shape) }
    }

    /// Takes the next element if it has this tag.
    pub fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.rest.first() == Some(&tag) { self.take(tag).map(Some) } else { Ok(None) }
    }

    /// Takes a SEQUENCE, whose elements the new reader takes.
    pub fn sequence(&mut self) -> Result<Der<'a>, Malformed> {
        self.take(SEQUENCE).map(Der::new)
    }

    /// Takes an INTEGER that is neither negative nor larger than a `u32`.
    pub fn number(&mut self) -> Result<u32, Malformed> {
        let bytes = self.take(INTEGER)?;
        let (first, rest) = bytes.split_first().ok_or(Malformed::Shape)?;
        if *first >= 0x80 || rest.len() > 4 || (rest.len() == 4 && *first != 0) {
            return Err(Malformed::Shape);
        }
        Ok(bytes.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
    }

    /// Takes a BIT STRING of whole bytes.
    pub fn bits(&mut self) -> Result<&'a [u8], Malformed> {
        match self.take(BIT_STRING)?.split_first() {
            Some((0, bytes)) => Ok(bytes),
            _ => Err(Malformed::Shape),
        }
    }

    /// Ends the reading; anything left is an error.
    pub fn end(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Shape) }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next element.
    pub fn next_tag(&self) -> Option<u8> {
        self.rest.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_taken_one_after_the_other() {
        let mut der = Der::new(&[0x30, 3, 2, 1, 5, 4, 0]);
        let mut inner = der.sequence().unwrap();
        assert_eq!(inner.number(), Ok(5));
        assert!(inner.end().is_ok());
        assert_eq!(der.optional(SEQUENCE), Ok(None));
        assert_eq!(der.any().unwrap(), Element { tag: 4, content: &[], whole: &[4, 0] });
        assert!(der.is_empty());
    }

    #[test]
    fn what_is_not_der_is_an_error() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 1],
            &[0x30, 0x81, 0x7f],
            &[0x30, 0x82, 0, 0x80],
            &[0x30, 0x85, 0, 0, 0, 0, 1],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0],
            &[0x3f, 0x81, 1, 0],
        ] {
            assert_eq!(Der::new(bytes).any(), Err(Malformed::Shape), "{bytes:?}");
        }
        assert_eq!(Der::new(&[0x30, 0x80, 0, 0]).any(), Err(Malformed::Indefinite));
        for bytes in [&[2, 0][..], &[2, 1, 0x80], &[2, 5, 1, 0, 0, 0, 0]] {
            assert_eq!(Der::new(bytes).number(), Err(Malformed::Shape), "{bytes:?}");
        }
        assert_eq!(Der::new(&[2, 5, 0, 0xff, 0xff, 0xff, 0xff]).number(), Ok(u32::MAX));
    }
}
