//! DIGEST-MD5 (RFC 2831) as ZooKeeper's servers and clients speak it, which take it from the JDK: one realm, no
//! protection of what follows (`qop=auth`), a new nonce for each login.
//!
//! The mechanism is weak by the measures of today: whoever reads a login can try passwords against it. It belongs
//! on links that are encrypted, or trusted.

mod client;
mod server;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use md5::{Digest, Md5};

use super::jaas::Section;

pub use client::ClientExchange;
pub use server::ServerExchange;

/// What logs in where: the parts of `digest-uri`, and the realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// The protocol.
    protocol: &'static str,
    /// The server's name, which is the realm too.
    realm: &'static str,
}

impl Service {
    /// Clients log in at a server.
    // ZooKeeper: ZooKeeperSaslServer.createSaslServer and SecurityUtils.createSaslClient.
    pub const CLIENTS: Service = Service { protocol: "zookeeper", realm: "zk-sasl-md5" };

    /// Servers log in at servers.
    // ZooKeeper: QuorumAuth.QUORUM_SERVER_PROTOCOL_NAME and QUORUM_SERVER_SASL_DIGEST.
    pub const SERVERS: Service =
        Service { protocol: "zookeeper-quorum", realm: "zk-quorum-sasl-md5" };

    fn digest_uri(self) -> String {
        format!("{}/{}", self.protocol, self.realm)
    }
}

/// The hash of a user's name, realm and password. Whoever has it can log in, but does not learn the password.
#[derive(Clone, Copy, PartialEq, Eq)]
struct UserHash([u8; 16]);

impl UserHash {
    fn new(service: Service, name: &str, password: &str) -> UserHash {
        let parts = [name, service.realm, password].map(latin1_or_utf8);
        UserHash(md5_of(&[&parts[0], b":", &parts[1], b":", &parts[2]]))
    }
}

impl fmt::Debug for UserHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The users that may log in. Their passwords are not kept, only the hashes that the mechanism needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    service: Service,
    hashes: BTreeMap<String, UserHash>,
}

impl Users {
    /// The users of a section of the JAAS file: each option `user_NAME="password"` of each of its modules. A later
    /// one replaces an earlier one of the same name.
    // ZooKeeper: ServerCnxnFactory.getDigestMd5Credentials.
    pub fn of_section(service: Service, section: &Section) -> Users {
        let mut users = Users { service, hashes: BTreeMap::new() };
        for (option, password) in section.options() {
            if let Some(name) = option.strip_prefix("user_") {
                users.set(name, password.reveal());
            }
        }
        users
    }

    /// Gives a user that exists another password. Whether the user exists.
    pub fn replace(&mut self, name: &str, password: &str) -> bool {
        let exists = self.hashes.contains_key(name);
        if exists {
            self.set(name, password);
        }
        exists
    }

    /// Where they log in.
    pub fn service(&self) -> Service {
        self.service
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.hashes.len()
    }

    fn set(&mut self, name: &str, password: &str) {
        self.hashes.insert(name.to_owned(), UserHash::new(self.service, name, password));
    }

    fn get(&self, name: &str) -> Option<UserHash> {
        self.hashes.get(name).copied()
    }
}

/// What both sides hash of one login.
struct Login<'a> {
    user: UserHash,
    nonce: &'a [u8],
    cnonce: &'a [u8],
    digest_uri: &'a [u8],
    authzid: Option<&'a [u8]>,
}

impl Login<'_> {
    /// The client's proof, 32 hexadecimal digits.
    fn response(&self) -> [u8; 32] {
        self.proof(b"AUTHENTICATE:")
    }

    /// The server's proof, 32 hexadecimal digits.
    fn rspauth(&self) -> [u8; 32] {
        self.proof(b":")
    }

    fn proof(&self, role: &[u8]) -> [u8; 32] {
        let (separator, authzid): (&[u8], &[u8]) = match self.authzid {
            Some(authzid) => (b":", authzid),
            None => (b"", b""),
        };
        let a1 = md5_of(&[&self.user.0, b":", self.nonce, b":", self.cnonce, separator, authzid]);
        let a2 = md5_of(&[role, self.digest_uri]);
        let (nonce, cnonce) = (self.nonce, self.cnonce);
        // A nonce counts one login, so its count is always 1.
        let parts: [&[u8]; 7] = [&hex(a1), b":", nonce, b":00000001:", cnonce, b":auth:", &hex(a2)];
        hex(md5_of(&parts))
    }
}

fn md5_of(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

fn hex(bytes: [u8; 16]) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (digits, byte) in text.chunks_exact_mut(2).zip(bytes) {
        digits[0] = DIGITS[usize::from(byte >> 4)];
        digits[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

/// A text as it is hashed: in ISO 8859-1 if that has all its letters, otherwise in UTF-8.
fn latin1_or_utf8(text: &str) -> Cow<'_, [u8]> {
    if text.is_ascii() {
        return text.as_bytes().into();
    }
    let latin1: Option<Vec<u8>> = text.chars().map(|letter| u8::try_from(letter).ok()).collect();
    latin1.map_or(text.as_bytes().into(), Cow::from)
}

/// Whether two texts are equal, in a time that depends on their lengths alone.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let different = one.iter().zip(other).fold(0, |bits, (one, other)| bits | (one ^ other));
    std::hint::black_box(different) == 0 && one.len() == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service, a nonce, a cnonce, the response, and the rspauth of RFC 2831, section 4.
    const EXAMPLES: [(Service, &str, &str, &str, &str); 2] = [
        (
            Service { protocol: "imap", realm: "elwood.innosoft.com" },
            "OA6MG9tEQGm2hh",
            "OA6MHXh6VqTrRk",
            "d388dad90d4bbd760a152321f2143af7",
            "ea40f60335c427b5527b84dbabcdfffd",
        ),
        (
            Service { protocol: "acap", realm: "elwood.innosoft.com" },
            "OA9BSXrbuRhWay",
            "OA9BSuZWMSpW8m",
            "6084c6db3fede7352c551284490fd0fc",
            "2f0b3d7c3c2e486600ef710726aa2eae",
        ),
    ];

    #[test]
    fn the_proofs_are_those_of_the_rfc() {
        for (service, nonce, cnonce, response, rspauth) in EXAMPLES {
            let digest_uri = service.digest_uri();
            let login = Login {
                user: UserHash::new(service, "chris", "secret"),
                nonce: nonce.as_bytes(),
                cnonce: cnonce.as_bytes(),
                digest_uri: digest_uri.as_bytes(),
                authzid: None,
            };
            assert_eq!(login.response(), response.as_bytes());
            assert_eq!(login.rspauth(), rspauth.as_bytes());
        }
    }

    #[test]
    fn texts_are_hashed_in_latin1_where_that_is_possible() {
        assert_eq!(*latin1_or_utf8("bob"), *b"bob");
        assert_eq!(*latin1_or_utf8("jürgen"), *b"j\xfcrgen");
        assert_eq!(*latin1_or_utf8("jürgen€"), *"jürgen€".as_bytes());
    }

    #[test]
    fn only_equal_texts_are_the_same() {
        assert!(is_same(b"", b"") && is_same(b"ab", b"ab"));
        for other in [&b"ac"[..], b"a", b"abc", b"", b"Ab"] {
            assert!(!is_same(b"ab", other), "{other:?}");
        }
    }

    #[test]
    fn users_show_neither_passwords_nor_hashes() {
        let mut users = Users { service: Service::CLIENTS, hashes: BTreeMap::new() };
        users.set("bob", "swordfish");
        let shown = format!("{users:?}");
        assert!(shown.contains("bob") && shown.contains("(hidden)"), "{shown}");
        assert!(!shown.contains("swordfish"));
        assert!(!users.replace("super", "x") && users.replace("bob", "y"));
        assert_eq!(users.count(), 1);
    }
}
