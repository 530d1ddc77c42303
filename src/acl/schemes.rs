//! Which schemes of identities exist on a server, and the schemes whose names match if they are equal.

use crate::acl::list::Who;

/// A scheme whose identity has the bits of the entries with the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Named {
    Digest,
    Key,
    Sasl,
    X509,
}

impl Named {
    /// The scheme of this name, if it is one of these.
    pub fn of(scheme: &str) -> Option<Named> {
        match scheme {
            "digest" => Some(Named::Digest),
            "key" => Some(Named::Key),
            "sasl" => Some(Named::Sasl),
            "x509" => Some(Named::X509),
            _ => None,
        }
    }
}

/// The schemes of a server, besides `world`, `auth` and `ip`, which every server has.
///
/// An ACL with another scheme is refused when it is set, and grants nothing where it stands already.
// ZooKeeper: ProviderRegistry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schemes {
    /// Whether `digest` exists (`DigestAuthenticationProvider.enabled`).
    pub digest: bool,
    /// Whether `key` exists (`authProvider.N`, class `KeyAuthenticationProvider`).
    pub key: bool,
    /// Whether `sasl` exists (`authProvider.N`, class `SASLAuthenticationProvider`).
    pub sasl: bool,
    /// Whether `x509` exists: clients are known by their certificates.
    pub x509: bool,
    /// An entry of `sasl` with this name is for every identity of `sasl` (`letAnySaslUserDoX`).
    pub(crate) any_sasl_user: Option<Name>,
}

/// A name with its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    text: Box<str>,
    hash: u64,
}

impl Schemes {
    /// Those that ZooKeeper has without any setting.
    pub const USUAL: Schemes =
        Schemes { digest: true, key: false, sasl: false, x509: false, any_sasl_user: None };

    /// These schemes, with the name in an ACL that stands for every user of `sasl`.
    pub fn with_any_sasl_user(self, name: Option<&str>) -> Schemes {
        let any_sasl_user =
            name.map(|name| Name { text: name.into(), hash: Who::hash_of(name.as_bytes()) });
        Schemes { any_sasl_user, ..self }
    }

    pub(super) fn has(&self, scheme: Named) -> bool {
        match scheme {
            Named::Digest => self.digest,
            Named::Key => self.key,
            Named::Sasl => self.sasl,
            Named::X509 => self.x509,
        }
    }

    /// The name that stands for every user of `sasl`, with its hash.
    pub(super) fn any_sasl_user(&self) -> Option<(&str, u64)> {
        self.any_sasl_user.as_ref().map(|name| (&*name.text, name.hash))
    }
}

impl Default for Schemes {
    fn default() -> Self {
        Schemes::USUAL
    }
}
