//! Who may do what, and how clients prove who they are.

use std::collections::BTreeSet;

use super::{LoginsBetween, Sasl};

/// Access control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// Whether ACLs are ignored. Default: false. Key `skipACL` (yes, no).
    pub skip_acl: bool,
    /// Whether the scheme `digest` exists. Default: true. Key
    /// `DigestAuthenticationProvider.enabled`.
    pub digest_enabled: bool,
    /// The hash of `digest` ids. Default: SHA-1. Key `DigestAuthenticationProvider.digestAlg`.
    pub digest_algorithm: DigestAlgorithm,
    /// The super user's digest id, `super:base64(hash("super:password"))`. Default: none.
    /// Key `DigestAuthenticationProvider.superDigest`.
    pub super_digest: Option<String>,
    /// Whether the scheme `ensemble` exists. Default: false. Key `authProvider.N` with the class
    /// `org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider`.
    pub ensemble_auth_enabled: bool,
    /// Whether the scheme `x509` exists: clients are known by their certificates. Default: whether a port takes TLS. Key
    /// `authProvider.N` with the class `org.apache.zookeeper.server.auth.X509AuthenticationProvider`.
    pub x509_enabled: bool,
    /// Whether the scheme `key` exists. Default: false. Key `authProvider.N` with the class
    /// `org.apache.zookeeper.server.auth.KeyAuthenticationProvider`.
    pub key_auth_enabled: bool,
    /// SASL of clients.
    pub sasl: Sasl,
    /// SASL between servers.
    pub logins_between: LoginsBetween,
    /// Names by which clients may call this ensemble; `None`: any. Default: none.
    /// Key `ensembleAuthName` (comma list).
    pub ensemble_auth_names: Option<BTreeSet<String>>,
    /// Schemes of which a client must have presented an identity before the server executes anything but `auth`
    /// for it. Default: none. Keys `enforce.auth.enabled`, `enforce.auth.schemes`, `sessionRequireClientSASLAuth`.
    pub enforced_auth_schemes: Vec<String>,
    /// Whether a member of an ensemble refuses a write without permission of its own client before the write
    /// gets a zxid. Default: false. Key `enableEagerACLCheck`.
    pub eager_acl_check: bool,
}

/// Hashes for `digest` ids: the ones of Java that are built in here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DigestAlgorithm {
    /// SHA-1, as every ZooKeeper has by default.
    #[default]
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA-512/224.
    Sha512Of224,
    /// SHA-512/256.
    Sha512Of256,
    /// SHA3-224.
    Sha3Of224,
    /// SHA3-256.
    Sha3Of256,
    /// SHA3-384.
    Sha3Of384,
    /// SHA3-512.
    Sha3Of512,
}

impl DigestAlgorithm {
    /// Every algorithm with Java's name for it.
    pub const ALL: [(&'static str, DigestAlgorithm); 11] = [
        ("SHA1", DigestAlgorithm::Sha1),
        ("SHA-224", DigestAlgorithm::Sha224),
        ("SHA-256", DigestAlgorithm::Sha256),
        ("SHA-384", DigestAlgorithm::Sha384),
        ("SHA-512", DigestAlgorithm::Sha512),
        ("SHA-512/224", DigestAlgorithm::Sha512Of224),
        ("SHA-512/256", DigestAlgorithm::Sha512Of256),
        ("SHA3-224", DigestAlgorithm::Sha3Of224),
        ("SHA3-256", DigestAlgorithm::Sha3Of256),
        ("SHA3-384", DigestAlgorithm::Sha3Of384),
        ("SHA3-512", DigestAlgorithm::Sha3Of512),
    ];

    /// The algorithm with Java's name, in either case; SHA-1 has three names.
    pub fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("SHA") || name.eq_ignore_ascii_case("SHA-1") {
            return Some(DigestAlgorithm::Sha1);
        }
        Self::ALL
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|&(_, algorithm)| algorithm)
    }

    /// Java's name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|&&(_, a)| a == self).map_or("SHA1", |&(name, _)| name)
    }
}

impl Default for Security {
    fn default() -> Self {
        Self {
            skip_acl: false,
            enforced_auth_schemes: Vec::new(),
            eager_acl_check: false,
            digest_enabled: true,
            digest_algorithm: DigestAlgorithm::Sha1,
            super_digest: None,
            ensemble_auth_enabled: false,
            x509_enabled: false,
            key_auth_enabled: false,
            sasl: Sasl::default(),
            logins_between: LoginsBetween::default(),
            ensemble_auth_names: None,
        }
    }
}
