//! Values that nobody may see: texts of the JAAS file, the key of the nonces, and the nonces of logins under way.
//!
//! Their `Debug` output hides them, so that no struct that holds one can print it by accident.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, Zeroizing};

use crate::limits::SASL_NONCE_BYTES;

/// A text that may be a password. Its memory is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Box<str>>);

impl Secret {
    /// Hides a text.
    pub fn new(text: &str) -> Secret {
        Secret(Zeroizing::new(text.into()))
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// 32 bytes from the generator of the operating system. Whoever does not know them cannot foresee a nonce. They are
/// overwritten when they are dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct NonceKey([u8; 32]);

impl NonceKey {
    /// A key of these bytes, which must come from a generator that nobody can foresee.
    pub const fn new(bytes: [u8; 32]) -> NonceKey {
        NonceKey(bytes)
    }
}

impl Drop for NonceKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The text by which a server knows that a token answers its own challenge, and not one of an earlier login: 40
/// base64 characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Nonce(Box<str>);

impl Nonce {
    /// The nonce of given random bytes.
    pub fn new(bytes: &[u8; SASL_NONCE_BYTES]) -> Nonce {
        Nonce(STANDARD.encode(bytes).into())
    }

    /// A nonce that a golden conversation names; its characters need no escape in a quoted text.
    #[cfg(test)]
    pub(crate) fn of_test(text: &str) -> Nonce {
        Nonce(text.into())
    }

    /// Its characters.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The nonces that follow from a key: the hash of the key and of a number that never comes back.
///
/// Invariant: a server has one, and so never gives two logins the same nonce.
#[derive(Clone, Debug)]
pub struct Nonces {
    key: NonceKey,
    drawn: u64,
}

impl Nonces {
    /// The nonces of this key.
    pub const fn new(key: NonceKey) -> Nonces {
        Nonces { key, drawn: 0 }
    }

    /// A nonce that was never given before.
    pub fn draw(&mut self) -> Nonce {
        self.drawn += 1;
        let mut hash = Sha512::new();
        hash.update(b"ringkeeper sasl nonce");
        hash.update(self.key.0);
        hash.update(self.drawn.to_be_bytes());
        let hash = hash.finalize();
        let (bytes, _) = hash.split_first_chunk().expect("64 bytes begin with 30");
        Nonce::new(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nothing_of_a_secret_is_printed() {
        let key = NonceKey::new([7; 32]);
        let nonce = Nonces::new(key.clone()).draw();
        let text = format!("{:?} {key:?} {nonce:?}", Secret::new("password"));
        assert_eq!(text, "(hidden) (hidden) (hidden)");
        assert_eq!(Secret::new("password").reveal(), "password");
    }

    #[test]
    fn nonces_differ_from_each_other_and_by_their_key() {
        let draw = |byte| {
            let mut nonces = Nonces::new(NonceKey::new([byte; 32]));
            (0..1000).map(|_| nonces.draw().text().to_owned()).collect::<HashSet<_>>()
        };
        let (one, other) = (draw(1), draw(2));
        assert_eq!(one.len(), 1000);
        assert!(one.is_disjoint(&other));
        assert_eq!(one, draw(1));
        let is_base64 = |nonce: &String| {
            nonce.len() == 40
                && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
        };
        assert!(one.iter().all(is_base64));
    }
}
