//! Rows about SASL and authentication providers.
//!
//! None of these parts is built. A key that only *sets them up* (a principal) is ignored
//! with a line: connections that would have been protected fail, and none is less protected. A key that
//! *switches them on* (a requirement, a JAAS file) is refused: its operator has clients or
//! servers that rely on it.
//!
//! ```text
//! sets up       kerberos.*                        Unbuilt: a line at start-up
//! switches on   quorum.auth.enableSasl            Refused, unless the value says no
//! exists here   authProvider.*, enforce.auth.*    Acted, each value with a verdict
//! ```

use super::super::value::{Kind, Value};
use super::{Acted, Fate, Key, Place, Set, Theme, Verdict, any_int, fine, prop_long};

// Each text continues "not built yet: ".
// `kerberos.*` and the like: without the handshake none of them is reached.
const SASL: &str = "SASL, so clients cannot authenticate with it";
const QUORUM_SASL: &str = "SASL between servers";

/// A row that sets up SASL for clients.
const fn sasl(name: &'static str, kind: Kind) -> Key {
    Key::new(Theme::Security, Place::Property, name, kind, Fate::Unbuilt(SASL))
}

/// A row that asks for protection that does not exist here. `why` is a sentence that says what to do, and `harmless`
/// accepts the values that ask for nothing.
const fn refused(
    place: Place,
    name: &'static str,
    kind: Kind,
    why: &'static str,
    harmless: fn(&Value) -> bool,
) -> Key {
    Key::new(Theme::Security, place, name, kind, Fate::Refused { why, harmless })
}

/// Harmless for a switch.
fn is_false(value: &Value) -> bool {
    *value == Value::Bool(false)
}

/// Harmless for a name.
fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Text(text) if text.is_empty())
}

/// The class that adds the scheme `ensemble`.
pub(in crate::config) const ENSEMBLE_PROVIDER: &str =
    "org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider";

/// The class that adds the scheme `x509`.
pub(in crate::config) const X509_PROVIDER: &str =
    "org.apache.zookeeper.server.auth.X509AuthenticationProvider";

/// Of `authProvider.N`: which scheme the class would add. None is refused: an unknown scheme grants nothing, so the
/// server is not less protected than its file says.
fn provider(value: &Value) -> Verdict {
    // ZooKeeper's own classes, by their full names; a class of the same name elsewhere is another class.
    const PACKAGE: &str = "org.apache.zookeeper.server.auth.";
    let Value::Text(class) = value else { return Verdict::Fine };
    match class.strip_prefix(PACKAGE) {
        Some(
            "EnsembleAuthenticationProvider"
            | "DigestAuthenticationProvider"
            | "IPAuthenticationProvider"
            | "X509AuthenticationProvider",
        ) => Verdict::Fine,
        Some("SASLAuthenticationProvider") => {
            Verdict::Warn("SASL is not built yet: no client can authenticate with it".into())
        }
        Some("KeyAuthenticationProvider") => Verdict::Warn(
            "the scheme auth-key is not built: no client can authenticate with it".into(),
        ),
        // ZooKeeper: ProviderRegistry.addOrUpdateProvider logs a warning for a class that it cannot load
        // and continues; the scheme stays unknown, and an unknown scheme grants nothing.
        _ => Verdict::Warn(
            "NO CLASS CAN BE LOADED HERE, so the scheme of this one is unknown, as with ZooKeeper \
             where the class is missing: no client can authenticate with it, an ACL that names it is \
             refused when it is set, and one that is already in the data grants no access"
                .into(),
        ),
    }
}

/// The schemes that exist here and that enforce.auth.schemes may name.
const ENFORCEABLE: [&str; 5] = ["", "digest", "ip", "x509", "ensemble"];

/// Of `enforce.auth.schemes`: a scheme that does not exist here would lock all clients out, so it is refused.
fn enforced_schemes(value: &Value) -> Verdict {
    let Value::List(words) = value else { return Verdict::Fine };
    // An empty word, as between two commas, enforces nothing.
    match words.iter().find(|word| !ENFORCEABLE.contains(&word.as_str())) {
        Some(word) => Verdict::Refused(
            format!(
                "{word:?} is not built, so clients that must use it could not connect; there are \
                 digest, ip, x509 and ensemble"
            )
            .into(),
        ),
        None => Verdict::Fine,
    }
}

pub(super) static KEYS: &[Key] = &[
    // ZooKeeper: AuthenticationHelper reads this one and the two enforce.auth keys.
    refused(
        Place::Property,
        "sessionRequireClientSASLAuth",
        Kind::Bool,
        "SASL is not built yet, and without it every client would be let \
             in; set it to false to accept that",
        is_false,
    )
    .default("false"),
    // Both are stored by config::finish: neither means anything without the other.
    Key::new(
        Theme::Security,
        Place::Property,
        "enforce.auth.enabled",
        Kind::Bool,
        Fate::Acted(Acted {
            set: Set::Together,
            get: |c| (!c.security.enforced_auth_schemes.is_empty()).to_string(),
            about: "whether a client must have authenticated by one of enforce.auth.schemes",
            verdict: fine,
        }),
    )
    .default("false"),
    Key::new(
        Theme::Security,
        Place::Property,
        "enforce.auth.schemes",
        Kind::List,
        Fate::Acted(Acted {
            set: Set::Together,
            get: |c| c.security.enforced_auth_schemes.join(","),
            about: "the schemes of which enforce.auth.enabled demands one: digest, ip, x509, ensemble",
            verdict: enforced_schemes,
        }),
    ),
    // ZooKeeper: QuorumAuth reads the three switches, QuorumPeerConfig.parseProperties copies them.
    refused(
        Place::File,
        "quorum.auth.enableSasl",
        Kind::Bool,
        "SASL between servers is not built yet, and without it any server \
             could join; set it to false to accept that",
        is_false,
    )
    .default("false"),
    // ZooKeeper: refused without enableSasl, and without the requirement for learners.
    refused(
        Place::File,
        "quorum.auth.serverRequireSasl",
        Kind::Bool,
        "SASL between servers is not built yet, and without it any server \
             could join; set it to false to accept that",
        is_false,
    )
    .default("false"),
    refused(
        Place::File,
        "quorum.auth.learnerRequireSasl",
        Kind::Bool,
        "SASL between servers is not built yet, and without it any server \
             could join; set it to false to accept that",
        is_false,
    )
    .default("false"),
    // ZooKeeper: ProviderRegistry.initialize.
    // A family: any text may follow the dot. The class of one of them makes the scheme ensemble known.
    Key::new(
        Theme::Security,
        Place::Property,
        "authProvider.*",
        Kind::Text,
        Fate::Acted(Acted {
            set: Set::Together,
            get: |c| {
                if c.security.ensemble_auth_enabled { ENSEMBLE_PROVIDER } else { "" }.to_owned()
            },
            about: "the class EnsembleAuthenticationProvider adds the scheme ensemble; digest, \
             ip and x509 need no class; SASL is not built yet; the scheme of any \
             other class stays unknown, and no client can authenticate with it",
            verdict: fine,
        }),
    )
    .verdict(provider),
    // ZooKeeper: QuorumAuth. These set up what the switches above ask for, and do nothing without them.
    Key::new(
        Theme::Security,
        Place::File,
        "quorum.auth.kerberos.servicePrincipal",
        Kind::Text,
        Fate::Unbuilt(QUORUM_SASL),
    )
    .default("zkquorum/localhost"),
    Key::new(
        Theme::Security,
        Place::File,
        "quorum.auth.learner.saslLoginContext",
        Kind::Text,
        Fate::Unbuilt(QUORUM_SASL),
    )
    .default("QuorumLearner"),
    Key::new(
        Theme::Security,
        Place::File,
        "quorum.auth.server.saslLoginContext",
        Kind::Text,
        Fate::Unbuilt(QUORUM_SASL),
    )
    .default("QuorumServer"),
    // ZooKeeper: the threads of SASL handshakes between servers.
    Key::new(
        Theme::Security,
        Place::File,
        "quorum.cnxn.threads.size",
        any_int(),
        Fate::Unbuilt(QUORUM_SASL),
    )
    .default("20"),
    // ZooKeeper: SaslServerCallbackHandler, SASLAuthenticationProvider, ZooKeeperServer and ZooKeeperSaslServer read
    // the next rows.
    sasl("SASLAuthenticationProvider.superPassword", Kind::Text).secret(),
    sasl("superUser", Kind::Text),
    // ZooKeeper: any property that begins so names one more super user.
    sasl("superUser.*", Kind::Text),
    sasl("allowSaslFailedClients", Kind::Bool).default("false"),
    sasl("letAnySaslUserDoX", Kind::Text),
    sasl("sasl.serverconfig", Kind::Text).default("Server"),
    // The JVM's own property, which names the JAAS file. An empty value names none.
    refused(
        Place::Bare,
        "java.security.auth.login.config",
        Kind::Text,
        "SASL is not built yet, and this key asks for it: clients could not authenticate with \
         SASL. Remove it if only clients on this machine need it (SERVER_JVMFLAGS and \
         JVMFLAGS are for the server, CLIENT_JVMFLAGS is for clients), or if no program \
         does",
        is_empty,
    ),
    // ZooKeeper: SaslServerCallbackHandler, QuorumPeer, Login and KerberosName read the next rows.
    sasl("kerberos.removeHostFromPrincipal", Kind::Bool).default("false"),
    sasl("kerberos.removeRealmFromPrincipal", Kind::Bool).default("false"),
    sasl("kerberos.canonicalizeHostNames", Kind::Bool).default("false"),
    sasl("kerberos.minReLoginTimeMs", prop_long(0)).default("60000").unit("ms"),
    sasl("requireKerberosConfig", Kind::Bool).default("false"),
    sasl("security.auth_to_local", Kind::Text).default("DEFAULT"),
    sasl("kinit", Kind::Text).default("/usr/bin/kinit"),
    // ZooKeeper: IPAuthenticationProvider.
    Key::new(
        Theme::Security,
        Place::Property,
        "IPAuthenticationProvider.usexforwardedfor",
        Kind::Bool,
        Fate::Unbuilt("the admin HTTP server, which alone reads it"),
    )
    .default("false"),
];
