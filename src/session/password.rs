//! Session passwords (`ZooKeeperServer.generatePasswd`).
//!
//! They must be the same on every server of an ensemble, Java's included: a session moves between
//! two servers only if both derive the same bytes. Their only secret is the session id: a client
//! that knows the id knows the password.

use crate::id::SessionId;
use crate::limits::PASSWORD_BYTES;

/// `ZooKeeperServer.superSecret`, the same in all installations.
const SECRET: i64 = 0xB341_5C00;

/// The multiplier of `java.util.Random`.
const MULTIPLIER: u64 = 0x5_DEEC_E66D;

/// `java.util.Random` keeps 48 bits.
const MASK: u64 = (1 << 48) - 1;

/// The password of a session: the result of `new Random(id ^ secret).nextBytes`.
pub fn password(id: SessionId) -> [u8; PASSWORD_BYTES] {
    let mut state = ((id.0 ^ SECRET).cast_unsigned() ^ MULTIPLIER) & MASK;
    let mut bytes = [0; PASSWORD_BYTES];
    for word in bytes.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        assert!(state <= MASK, "java.util.Random keeps 48 bits");
        // The high 32 of 48 bits, lowest byte first.
        let [_, _, high @ .., _, _] = state.to_be_bytes();
        for (to, from) in word.iter_mut().zip(high.iter().rev()) {
            *to = *from;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(id: i64) -> String {
        password(SessionId(id)).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn passwords_are_those_of_a_java_server() {
        assert_eq!(hex(0x0100_0000_0000_0001), "054cc74a37327db215e702e20c73f005");
        assert_eq!(hex(1), "054cc74a37327db215e702e20c73f005");
        assert_eq!(hex(0x1000_1234_5678_0000), "fae18b1fff04a3066806fbaee07225b6");
        assert_eq!(hex(i64::MAX), "20f62cb5648dc2d771471c8a2486a9ee");
    }
}
