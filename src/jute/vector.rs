//! Vectors as views of their encoding.

use std::fmt;
use std::marker::PhantomData;

use super::{DecodeError, Decoder, Jute, Sink};

/// A nullable vector, walked once and kept as the bytes of its items.
///
/// Invariant: `items` holds exactly `count` whole items.
pub struct Vector<'a, T> {
    count: Option<usize>,
    items: &'a [u8],
    item: PhantomData<fn() -> T>,
}

impl<'a, T: Jute<'a>> Vector<'a, T> {
    /// The null vector (count -1).
    pub const NULL: Vector<'static, T> = Vector { count: None, items: &[], item: PhantomData };
    /// The vector of no items (count 0).
    pub const EMPTY: Vector<'static, T> = Vector { count: Some(0), items: &[], item: PhantomData };

    /// The vector in `bytes`, which was decoded once before: its items are not walked again.
    ///
    /// # Errors
    /// There is no count.
    pub fn decoded_before(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut input = Decoder::new(bytes);
        let count = input.length()?;
        Ok(Vector { count, items: input.rest(), item: PhantomData })
    }

    /// Number of items; 0 for null.
    pub fn len(&self) -> usize {
        self.count.unwrap_or(0)
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this is null rather than empty.
    pub fn is_null(&self) -> bool {
        self.count.is_none()
    }

    /// The encoded items, without the count. Equal bytes mean equal items.
    pub fn item_bytes(&self) -> &'a [u8] {
        self.items
    }

    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        let mut input = Decoder::new(self.items);
        (0..self.len()).map(move |_| {
            T::decode(&mut input).expect("every item was decoded when the vector was made")
        })
    }
}

impl<T> Clone for Vector<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Vector<'_, T> {}

impl<T> PartialEq for Vector<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.items == other.items
    }
}

impl<T> Eq for Vector<'_, T> {}

impl<'a, T: Jute<'a> + fmt::Debug> fmt::Debug for Vector<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_null() {
            f.write_str("null")
        } else {
            f.debug_list().entries(self.iter()).finish()
        }
    }
}

impl<'a, T: Jute<'a>> Jute<'a> for Vector<'a, T> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        // Null, which differs from empty.
        let Some(count) = input.length()? else { return Ok(Self::NULL) };
        let start = *input;
        for _ in 0..count {
            let before = input.offset();
            T::decode(input)?;
            assert!(input.offset() > before, "an item of no bytes would make the count unbounded");
        }
        Ok(Vector { count: Some(count), items: input.since(&start), item: PhantomData })
    }

    fn encode(&self, out: &mut impl Sink) {
        match self.count {
            None => (-1i32).encode(out),
            Some(count) => {
                out.put_length(count);
                out.put(self.items);
            }
        }
    }
}

/// A vector being built: the encoding of its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VectorBuf<T> {
    count: usize,
    items: Vec<u8>,
    item: PhantomData<fn() -> T>,
}

impl<T> Default for VectorBuf<T> {
    fn default() -> Self {
        VectorBuf { count: 0, items: Vec::new(), item: PhantomData }
    }
}

impl<T> VectorBuf<T> {
    /// Appends an item of the same record type, whatever it borrows from.
    pub fn push<'b, U: Jute<'b>>(&mut self, item: &U) {
        item.encode(&mut self.items);
        self.count += 1;
    }

    /// Bytes of the items so far.
    pub fn bytes(&self) -> usize {
        self.items.len()
    }

    /// Number of items so far.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// A view of what was built; its items are whole because `push` wrote them.
    pub fn as_vector<'a, U: Jute<'a>>(&'a self) -> Vector<'a, U> {
        let mut input = Decoder::new(&self.items);
        for _ in 0..self.count {
            U::decode(&mut input).expect("push wrote items of this type");
        }
        Vector { count: Some(self.count), items: &self.items, item: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_count_costs_no_more_than_the_input_holds() {
        let bytes = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1, b'a'];
        let got = Vector::<Option<&str>>::from_bytes(&bytes);
        assert!(matches!(got, Err(DecodeError::Truncated { offset: 9, .. })));
    }

    #[test]
    fn items_come_back_as_they_were_pushed() {
        let mut built = VectorBuf::<Option<&str>>::default();
        built.push(&Some("a"));
        built.push(&None::<&str>);
        let bytes = built.as_vector::<Option<&str>>().to_bytes();
        let read = Vector::<Option<&str>>::from_bytes(&bytes).unwrap();
        assert_eq!(read.iter().collect::<Vec<_>>(), [Some("a"), None]);
        assert!(Vector::<i32>::from_bytes(&[255; 4]).unwrap().is_null());
    }
}
