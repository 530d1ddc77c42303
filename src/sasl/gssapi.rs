//! Kerberos as a SASL mechanism (GSSAPI, RFC 4752): as whom this server accepts clients, and what the two sides agree
//! on once the client is known.
//!
//! ```text
//! client ── token of GSS-API ──▶ server     until the two have a context (usually once)
//! client ◀─ token of GSS-API ─── server
//! client ── (empty) ───────────▶ server
//! client ◀─ wrapped [`OFFER`] ── server     what protects the session: nothing
//! client ── wrapped choice ────▶ server     read by [`check_choice`]
//! client ◀─ (null) ───────────── server
//! ```
//! Between servers, the server that connects is the client.
//!
//! The tokens of GSS-API need a key table and the replay cache, so the edge checks them ([`Step::Passed`]); this
//! module has the parts that need neither. The rule that is easy to break: a client is called what its ticket says,
//! and never what it asks to be called.
//!
//! [`Step::Passed`]: super::Step::Passed

use super::Failure;

/// As whom this server accepts clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptor {
    /// The principal of this server, `service/host` or `service/host@REALM`.
    pub principal: String,
    /// The file with its keys. `None`: the machine's (`default_keytab_name` in krb5.conf).
    pub keytab: Option<String>,
}

/// The layer that leaves the session as it is, as a bit of the mask of layers.
const NO_LAYER: u8 = 1;

/// What the server offers to the client: one byte with the mask of the layers that it knows, and three with the longest
/// wrapped message that it takes, big-endian.
// ZooKeeper: it sets no properties of SASL, so the JDK's GssKrb5Server offers no layer, and names 65536 all the same.
pub const OFFER: [u8; 4] = [NO_LAYER, 1, 0, 0];

/// Checks what the client has chosen: one byte with a layer, three with the longest message that it takes, and the name
/// that it asks to act as, which is returned.
///
/// # Errors
/// It is too short, or asks for a layer that was not offered.
// ZooKeeper: SaslServerCallbackHandler.handleAuthorizeCallback grants any name that a client asks for, and then calls
// the client by the name of its ticket.
pub fn check_choice(choice: &[u8]) -> Result<&[u8], Failure> {
    match choice {
        [layer, _, _, _, name @ ..] if layer & NO_LAYER != 0 => Ok(name),
        [_, _, _, _, ..] => Err(Failure::Layer),
        _ => Err(Failure::Malformed),
    }
}

/// What a client chooses: no layer, and its own name.
pub const CHOICE: [u8; 4] = [NO_LAYER, 0, 0, 0];

/// Checks what a server has offered.
///
/// # Errors
/// It is malformed, or the session would have to have a layer.
pub fn check_offer(offer: &[u8]) -> Result<(), Failure> {
    match offer {
        [layers, _, _, _] if layers & NO_LAYER != 0 => Ok(()),
        [_, _, _, _] => Err(Failure::Layer),
        _ => Err(Failure::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_choose_no_layer_and_any_name() {
        for choice in [&[1, 0, 0, 0][..], &[1, 1, 0, 0, b'b'], &[7, 255, 255, 255]] {
            assert_eq!(check_choice(choice), Ok(&choice[4..]), "{choice:?}");
        }
        for choice in [&[2, 0, 0, 0][..], &[4, 1, 0, 0, b'b'], &[0, 0, 0, 0]] {
            assert_eq!(check_choice(choice), Err(Failure::Layer), "{choice:?}");
        }
        for choice in [&[][..], &[1], &[1, 0, 0]] {
            assert_eq!(check_choice(choice), Err(Failure::Malformed), "{choice:?}");
        }
        assert_eq!((check_offer(&OFFER), check_choice(&CHOICE)), (Ok(()), Ok(&[][..])));
        assert_eq!(check_offer(&[6, 0, 0, 0]), Err(Failure::Layer));
        assert_eq!(check_offer(b""), Err(Failure::Malformed));
    }
}
