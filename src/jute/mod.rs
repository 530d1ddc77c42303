//! Jute: ZooKeeper's big-endian record encoding (`BinaryInputArchive`, `BinaryOutputArchive`).
//!
//! | type | bytes |
//! |---|---|
//! | bool | 1 (0 or 1) |
//! | int, long | 4, 8, big-endian |
//! | ustring, buffer | int length (-1 = null), then the bytes |
//! | vector | int count (-1 = null), then the items |
//! | record | its fields in order, no framing |
//!
//! Decoding borrows: a string, a buffer and a vector are views of the input, and nothing is
//! allocated for a length that exceeds the input. The rule that is easy to break: decoding a
//! [`Vector`] walks all items once, so that its iterator may rely on every item being whole.

mod decode;
mod encode;
mod vector;

pub use decode::{DecodeError, Decoder};
pub use encode::{Bounded, Overrun, Sink, begin_frame, end_frame};
pub use vector::{Vector, VectorBuf};

/// A value with a jute encoding. Strings and buffers are nullable, as in Java.
pub trait Jute<'a>: Sized {
    /// Reads one value.
    ///
    /// # Errors
    /// The input is too short for it, or holds a length that makes no sense.
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError>;

    /// Appends the value.
    fn encode(&self, out: &mut impl Sink);

    /// Reads one value from the start of `bytes`; what follows it is ignored, as ZooKeeper does.
    ///
    /// # Errors
    /// As [`Jute::decode`].
    fn from_bytes(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::decode(&mut Decoder::new(bytes))
    }

    /// The encoding in a buffer of its own.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// Declares a record: a struct whose jute encoding is its fields in order.
#[macro_export]
macro_rules! jute_record {
    ($(#[$meta:meta])* pub struct $name:ident<$life:lifetime> { $($(#[$fmeta:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name<$life> { $($(#[$fmeta])* pub $field: $type,)* }
        impl<$life> $crate::jute::Jute<$life> for $name<$life> {
            fn decode(input: &mut $crate::jute::Decoder<$life>) -> Result<Self, $crate::jute::DecodeError> {
                $(let $field = <$type as $crate::jute::Jute<$life>>::decode(input)?;)*
                Ok($name { $($field),* })
            }
            fn encode(&self, out: &mut impl $crate::jute::Sink) {
                $($crate::jute::Jute::encode(&self.$field, out);)*
            }
        }
    };
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[$fmeta])* pub $field: $type,)* }
        impl<'a> $crate::jute::Jute<'a> for $name {
            fn decode(input: &mut $crate::jute::Decoder<'a>) -> Result<Self, $crate::jute::DecodeError> {
                $(let $field = <$type as $crate::jute::Jute<'a>>::decode(input)?;)*
                Ok($name { $($field),* })
            }
            fn encode(&self, out: &mut impl $crate::jute::Sink) {
                $($crate::jute::Jute::encode(&self.$field, out);)*
            }
        }
    };
}
