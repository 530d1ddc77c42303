//! Rows about SASL, authentication providers, and the schemes that a client must have.

use super::super::value::{Kind, Value};
use super::row::plain;
use super::{Acted, Fate, Key, Place, Set, Theme, Verdict, any_int, fine, prop_long};

/// Why nothing renews a ticket.
const TICKETS: &str =
    "the keys are in a key table, and the library gets a ticket when it needs one";
const CANONICAL: &str =
    "no name is looked up for Kerberos: write canonical names in server.N lines";
const LOGIN_THREADS: &str = "a login between servers waits on no thread";

/// The classes that this server knows by name.
pub(in crate::config) const ENSEMBLE_PROVIDER: &str =
    "org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider";
pub(in crate::config) const KEY_PROVIDER: &str =
    "org.apache.zookeeper.server.auth.KeyAuthenticationProvider";
pub(in crate::config) const SASL_PROVIDER: &str =
    "org.apache.zookeeper.server.auth.SASLAuthenticationProvider";
pub(in crate::config) const X509_PROVIDER: &str =
    "org.apache.zookeeper.server.auth.X509AuthenticationProvider";

/// A row of a system property that may also stand in the file.
const fn of_property(name: &'static str, kind: Kind, fate: Fate) -> Key {
    Key::new(Theme::Security, Place::Property, name, kind, fate)
}

/// A row about the tickets of Kerberos.
const fn of_tickets(name: &'static str, kind: Kind) -> Key {
    of_property(name, kind, Fate::Meaningless(TICKETS))
}

/// A row about logins of servers at each other, which ZooKeeper reads from the file alone.
const fn of_quorum(name: &'static str, kind: Kind, fate: Fate) -> Key {
    Key::new(Theme::Security, Place::File, name, kind, fate)
}

/// Of `authProvider.N`: which scheme the class adds. None is refused: an unknown scheme grants nothing, so the
/// server is not less protected than its file says.
fn provider(value: &Value) -> Verdict {
    let Value::Text(class) = value else { return Verdict::Fine };
    match class.as_str() {
        ENSEMBLE_PROVIDER
        | KEY_PROVIDER
        | SASL_PROVIDER
        | X509_PROVIDER
        | "org.apache.zookeeper.server.auth.DigestAuthenticationProvider"
        | "org.apache.zookeeper.server.auth.IPAuthenticationProvider" => Verdict::Fine,
        // ZooKeeper: ProviderRegistry.addOrUpdateProvider logs a warning for a class that it cannot load and
        // continues; the scheme stays unknown, and an unknown scheme grants nothing.
        _ => Verdict::Warn(
            "NO CLASS CAN BE LOADED HERE, so the scheme of this one is unknown, as with ZooKeeper \
             where the class is missing: no client can authenticate with it, an ACL that names it is \
             refused when it is set, and one that is already in the data grants no access"
                .into(),
        ),
    }
}

pub(super) static KEYS: &[Key] = &[
    Key::new(
        Theme::Security,
        Place::Bare,
        "java.security.auth.login.config",
        Kind::Text,
        Fate::Acted(Acted {
            set: Set::Text(|c, v| {
                c.security.sasl.login_config = (!v.is_empty()).then(|| v.to_owned());
            }),
            get: |c| c.security.sasl.login_config.clone().unwrap_or_default(),
            about: "the JAAS file, whose section Server says how clients log in by SASL: the users and passwords of \
                    DIGEST-MD5, or the principal and the key table of this server for Kerberos, which the program \
                    must have been built with (feature gssapi)",
            verdict: fine,
        }),
    ),
    of_property(
        "sasl.serverconfig",
        Kind::Text,
        Fate::Acted(Acted {
            set: Set::Text(|c, v| c.security.sasl.server_section = v.to_owned()),
            get: |c| c.security.sasl.server_section.clone(),
            about: "the section of the JAAS file that is for clients",
            verdict: fine,
        }),
    )
    .default("Server"),
    // ZooKeeper: AuthenticationHelper reads this one and the next two. config::sasl stores them, because none means
    // anything without the others and without the providers.
    of_property(
        "sessionRequireClientSASLAuth",
        Kind::Bool,
        Fate::Acted(Acted {
            set: Set::Together,
            get: |c| (c.security.enforced_auth_schemes == ["sasl"]).to_string(),
            about: "whether a client must have logged in by SASL; it replaces enforce.auth.schemes",
            verdict: fine,
        }),
    )
    .default("false"),
    of_property(
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
    of_property(
        "enforce.auth.schemes",
        Kind::List,
        Fate::Acted(Acted {
            set: Set::Together,
            get: |c| c.security.enforced_auth_schemes.join(","),
            about: "the schemes of which enforce.auth.enabled demands one: digest, ip, key, sasl, x509; ensemble \
                    alone is refused, because it gives no client an identity",
            verdict: fine,
        }),
    ),
    // A family: any text may follow the dot. The classes that are known make their schemes known.
    of_property(
        "authProvider.*",
        Kind::Text,
        Fate::Acted(Acted {
            set: Set::Together,
            get: |c| {
                let security = &c.security;
                let classes = [
                    (security.ensemble_auth_enabled, ENSEMBLE_PROVIDER),
                    (security.key_auth_enabled, KEY_PROVIDER),
                    (security.sasl.scheme_enabled, SASL_PROVIDER),
                    (security.x509_enabled, X509_PROVIDER),
                ];
                let known = classes.iter().filter(|(enabled, _)| *enabled);
                known.map(|(_, class)| *class).collect::<Vec<_>>().join(",")
            },
            about: "the classes EnsembleAuthenticationProvider, KeyAuthenticationProvider, \
                    SASLAuthenticationProvider and X509AuthenticationProvider add the schemes ensemble, key, \
                    sasl and x509; digest and ip need no class, nor does x509 where a port takes TLS; the \
                    scheme of any other class stays unknown, and no client can authenticate with it",
            verdict: provider,
        }),
    ),
    // ZooKeeper: ZooKeeperServer.isSaslSuperUser; any property that begins with `superUser.` names one more.
    of_property(
        "superUser",
        Kind::Text,
        Fate::Acted(Acted {
            set: Set::Together,
            get: |c| c.security.sasl.super_users.iter().cloned().collect::<Vec<_>>().join(","),
            about: "a user of SASL that may do everything",
            verdict: fine,
        }),
    ),
    of_property(
        "superUser.*",
        Kind::Text,
        Fate::Acted(Acted {
            set: Set::Together,
            get: |c| c.security.sasl.super_users.iter().cloned().collect::<Vec<_>>().join(","),
            about: "further users like superUser",
            verdict: fine,
        }),
    ),
    of_property(
        "SASLAuthenticationProvider.superPassword",
        Kind::Text,
        Fate::Acted(Acted {
            set: Set::Together,
            get: |c| match c.settings.contains_key("SASLAuthenticationProvider.superPassword") {
                true => "(hidden)".to_owned(),
                false => String::new(),
            },
            about: "the password of the user super, in place of that in the JAAS file, which must have this \
                    user",
            verdict: fine,
        }),
    )
    .secret(),
    of_property(
        "allowSaslFailedClients",
        Kind::Bool,
        plain!(Bool, security.sasl.allow_failed_clients),
    )
    .default("false")
    .about(
        "a client whose login has failed stays connected, without an identity; the third failed login of a connection \
         closes it",
    ),
    of_property(
        "letAnySaslUserDoX",
        Kind::Text,
        Fate::Acted(Acted {
            set: Set::Text(|c, v| c.security.sasl.any_user = (!v.is_empty()).then(|| v.to_owned())),
            get: |c| c.security.sasl.any_user.clone().unwrap_or_default(),
            about: "the name that stands for every user of the scheme sasl in an ACL",
            verdict: fine,
        }),
    ),
    // ZooKeeper: X509Util.getFipsMode. There it also switches ZKTrustManager off; here TLS is the same.
    of_property("fips-mode", Kind::Bool, plain!(Bool, security.sasl.digest_md5_forbidden))
        .default("false")
        .about(
            "true forbids DIGEST-MD5: with a JAAS file that asks for it, the server does not start. The default differs \
             from Apache ZooKeeper's, which is true and makes 3.9.6 refuse DIGEST-MD5: a server that takes the place \
             of an older one must not lose its users; a warning says so. TLS is the same with it and without",
        ),
    // ZooKeeper: SaslServerCallbackHandler and KerberosName.
    of_property(
        "kerberos.removeHostFromPrincipal",
        Kind::Bool,
        plain!(Bool, security.sasl.names.remove_host),
    )
    .default("false")
    .about("the identity of a client that has logged in as user/host@REALM lacks the host"),
    of_property(
        "kerberos.removeRealmFromPrincipal",
        Kind::Bool,
        plain!(Bool, security.sasl.names.remove_realm),
    )
    .default("false")
    .about("the identity of a client that has logged in as user@REALM lacks the realm"),
    of_property(
        "security.auth_to_local",
        Kind::Text,
        Fate::Acted(Acted {
            set: Set::Together,
            get: |c| c.security.sasl.names.rules.text().to_owned(),
            about: "rules that shorten the first part of a principal's name",
            verdict: fine,
        }),
    )
    .default("DEFAULT"),
    // ZooKeeper: QuorumPeer, Login and KerberosName.
    of_property("kerberos.canonicalizeHostNames", Kind::Bool, Fate::Meaningless(CANONICAL))
        .default("false"),
    of_tickets("kerberos.minReLoginTimeMs", prop_long(0)).default("60000").unit("ms"),
    of_property(
        "requireKerberosConfig",
        Kind::Bool,
        plain!(Bool, security.sasl.default_realm_required),
    )
    .default("false")
    .about("with a JAAS file, the server does not start unless krb5.conf names a default realm"),
    of_tickets("kinit", Kind::Text).default("/usr/bin/kinit"),
    // ZooKeeper: QuorumAuth and QuorumPeerConfig; config::logins_between reads the sections.
    of_quorum(
        "quorum.auth.enableSasl",
        Kind::Bool,
        plain!(Bool, security.logins_between.is_enabled),
    )
    .default("false")
    .about("other servers can log in at this one by SASL (DIGEST-MD5 or Kerberos)"),
    of_quorum(
        "quorum.auth.serverRequireSasl",
        Kind::Bool,
        plain!(Bool, security.logins_between.is_demanded),
    )
    .default("false")
    .about("a server that has not logged in is refused on the ports between servers"),
    of_quorum(
        "quorum.auth.learnerRequireSasl",
        Kind::Bool,
        plain!(Bool, security.logins_between.logs_in),
    )
    .default("false")
    .about(
        "this server logs in at each server that it connects to, and talks to none that has not proved that it knows \
         the password",
    ),
    of_quorum(
        "quorum.auth.kerberos.servicePrincipal",
        Kind::Text,
        Fate::Acted(Acted {
            set: Set::Text(|c, v| v.clone_into(&mut c.security.logins_between.service_principal)),
            get: |c| c.security.logins_between.service_principal.clone(),
            about: "the principal of the servers at which this one logs in by Kerberos: service/host, where the host \
                    _HOST stands for the host in the server.N line of each",
            verdict: fine,
        }),
    )
    .default("zkquorum/localhost"),
    of_quorum(
        "quorum.auth.learner.saslLoginContext",
        Kind::Text,
        Fate::Acted(Acted {
            set: Set::Text(|c, v| v.clone_into(&mut c.security.logins_between.learner_section)),
            get: |c| c.security.logins_between.learner_section.clone(),
            about: "the section of the JAAS file with the name and the password of this server",
            verdict: fine,
        }),
    )
    .default("QuorumLearner"),
    of_quorum(
        "quorum.auth.server.saslLoginContext",
        Kind::Text,
        Fate::Acted(Acted {
            set: Set::Text(|c, v| v.clone_into(&mut c.security.logins_between.server_section)),
            get: |c| c.security.logins_between.server_section.clone(),
            about: "the section of the JAAS file that lists who may log in as a server",
            verdict: fine,
        }),
    )
    .default("QuorumServer"),
    of_quorum("quorum.cnxn.threads.size", any_int(), Fate::Meaningless(LOGIN_THREADS))
        .default("20"),
];
