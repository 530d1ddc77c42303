//! Names of Kerberos principals, and what a client is called here that has logged in under one (`KerberosName`,
//! `SaslServerCallbackHandler`).
//!
//! Users of DIGEST-MD5 go through the same rules: a name without an `@` stays as it is.

mod rules;

use crate::limits::SHORT_NAME_BYTES_MAX;

pub use rules::{RuleError, Rules};

/// A name in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrincipalName<'a> {
    /// What stands first, such as the user.
    service: &'a str,
    /// What stands between a slash and the `@`.
    host: Option<&'a str>,
    /// What stands behind the `@`. `None`: the name is no principal, and any text is one.
    realm: Option<&'a str>,
}

impl<'a> PrincipalName<'a> {
    /// The parts of `service@REALM` or `service/host@REALM`, or a text without `@`. `None`: another text with `@`.
    // ZooKeeper: KerberosName's constructor, by which SASLAuthenticationProvider.isValid judges an id.
    pub fn parse(name: &'a str) -> Option<PrincipalName<'a>> {
        let Some((principal, realm)) = name.split_once('@') else {
            return Some(PrincipalName { service: name, host: None, realm: None });
        };
        let (service, host) = match principal.split_once('/') {
            Some((service, host)) => (service, Some(host)),
            None => (principal, None),
        };
        let is_whole = !host.is_some_and(|host| host.contains('/')) && !realm.contains(['/', '@']);
        is_whole.then_some(PrincipalName { service, host, realm: Some(realm) })
    }

    /// What stands between a slash and the `@`.
    pub fn host(&self) -> Option<&'a str> {
        self.host
    }
}

/// What a client is called that has logged in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameRules {
    /// How a principal's name becomes a short one (`security.auth_to_local`).
    pub rules: Rules,
    /// Whether the host is left out (`kerberos.removeHostFromPrincipal`).
    pub remove_host: bool,
    /// Whether the realm is left out (`kerberos.removeRealmFromPrincipal`).
    pub remove_realm: bool,
}

impl NameRules {
    /// The id within the scheme `sasl` of a client that has logged in under this name. `None`: the name is
    /// malformed.
    // ZooKeeper: SaslServerCallbackHandler.handleAuthorizeCallback. If no rule fits, it sets no name, and the JDK
    // takes the one that the client asked for. Here the client keeps the name that it has proved.
    pub fn id_of(&self, name: &str) -> Option<String> {
        let parts = PrincipalName::parse(name)?;
        let Some(mut id) = self.rules.short_name(&parts) else { return Some(name.to_owned()) };
        assert!(id.len() <= SHORT_NAME_BYTES_MAX.max(name.len()), "a short name is short");
        for (sign, part, removed) in
            [('/', parts.host, self.remove_host), ('@', parts.realm, self.remove_realm)]
        {
            if let Some(part) = part.filter(|_| !removed) {
                id.push(sign);
                id.push_str(part);
            }
        }
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_up_to_three_parts() {
        let parts = |name| PrincipalName::parse(name).map(|it| (it.service, it.host, it.realm));
        assert_eq!(parts("bob"), Some(("bob", None, None)));
        assert_eq!(parts(""), Some(("", None, None)));
        assert_eq!(parts("a/b/c"), Some(("a/b/c", None, None)));
        assert_eq!(parts("bob@R"), Some(("bob", None, Some("R"))));
        assert_eq!(parts("zk/h.x@R"), Some(("zk", Some("h.x"), Some("R"))));
        assert_eq!(parts("/@"), Some(("", Some(""), Some(""))));
        for malformed in ["a@b@c", "a/b/c@R", "a@b/c", "@@"] {
            assert_eq!(parts(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn host_and_realm_are_kept_unless_they_are_removed() {
        let id = |remove_host, remove_realm, name| {
            let rules = Rules::parse("DEFAULT", "R").unwrap();
            NameRules { rules, remove_host, remove_realm }.id_of(name).unwrap()
        };
        assert_eq!(id(false, false, "zk/h@R"), "zk/h@R");
        assert_eq!(id(true, false, "zk/h@R"), "zk@R");
        assert_eq!(id(false, true, "zk/h@R"), "zk/h");
        assert_eq!(id(true, true, "zk/h@R"), "zk");
        assert_eq!(id(true, true, "bob"), "bob");
        assert_eq!(id(true, true, "a/b"), "a/b", "it is no principal");
    }

    #[test]
    fn a_name_that_no_rule_fits_is_kept_whole() {
        let names = NameRules { remove_host: true, remove_realm: true, ..NameRules::default() };
        assert_eq!(names.id_of("zk/h@OTHER").unwrap(), "zk/h@OTHER");
        assert_eq!(names.id_of("a@b@c"), None);
    }

    #[test]
    fn a_rule_changes_the_first_part_alone() {
        let rules = Rules::parse("RULE:[2:$1](zk)s/.*/zookeeper/ DEFAULT", "R").unwrap();
        let names = NameRules { rules, ..NameRules::default() };
        assert_eq!(names.id_of("zk/h@R").unwrap(), "zookeeper/h@R");
        assert_eq!(names.id_of("bob@R").unwrap(), "bob@R");
    }
}
