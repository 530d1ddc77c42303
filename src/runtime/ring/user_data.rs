//! What an entry carries to its completions.

/// A value that fits into the 64 bits of user data. An entry carries it, and each completion of the entry brings it
/// back, so the owner of a ring knows which of its operations has completed.
///
/// Invariant: `from_word(value.to_word())` is the value.
pub trait UserData: Copy {
    /// The value as user data.
    fn to_word(self) -> u64;
    /// The reverse of [`UserData::to_word`].
    fn from_word(word: u64) -> Self;
}
