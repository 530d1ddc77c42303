//! How clients, and other servers, log in by SASL.

use std::collections::BTreeSet;

use crate::sasl::Mechanism;
use crate::sasl::between::Account;
use crate::sasl::kerberos::NameRules;

/// SASL of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sasl {
    /// The JAAS file as it was named. Default: none. Key `java.security.auth.login.config`, as a `-D` word.
    pub login_config: Option<String>,
    /// The section of the JAAS file that is for clients. Default: `Server`. Key `sasl.serverconfig`.
    pub server_section: String,
    /// How clients log in, and who may; `None`: they cannot. Default: none. The section of the JAAS file.
    pub mechanism: Option<Mechanism>,
    /// Whether DIGEST-MD5 is forbidden. Default: false. Key `fips-mode`.
    // ZooKeeper: 3.9 takes true for the default.
    pub digest_md5_forbidden: bool,
    /// Whether the scheme `sasl` exists in ACLs. Default: false. Key `authProvider.N` with the class
    /// `org.apache.zookeeper.server.auth.SASLAuthenticationProvider`.
    pub scheme_enabled: bool,
    /// What a client is called that has logged in. Keys `security.auth_to_local`,
    /// `kerberos.removeHostFromPrincipal`, `kerberos.removeRealmFromPrincipal`.
    pub names: NameRules,
    /// Whether krb5.conf must name a default realm. Default: false. Key `requireKerberosConfig`.
    pub default_realm_required: bool,
    /// Names whose clients may do everything. Default: none. Keys `superUser`, `superUser.*`.
    pub super_users: BTreeSet<String>,
    /// Whether a client whose login has failed stays connected, without an identity. Default: false. Key
    /// `allowSaslFailedClients`.
    pub allow_failed_clients: bool,
    /// The name that stands for every user of `sasl` in an ACL. Default: none. Key `letAnySaslUserDoX`.
    pub any_user: Option<String>,
}

impl Default for Sasl {
    fn default() -> Self {
        Self {
            login_config: None,
            server_section: "Server".to_owned(),
            mechanism: None,
            digest_md5_forbidden: false,
            scheme_enabled: false,
            names: NameRules::default(),
            default_realm_required: false,
            super_users: BTreeSet::new(),
            allow_failed_clients: false,
            any_user: None,
        }
    }
}

/// Logins of servers at each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginsBetween {
    /// Whether other servers can log in at this one. Default: false. Key `quorum.auth.enableSasl`.
    pub is_enabled: bool,
    /// Whether they must. Default: false. Key `quorum.auth.serverRequireSasl`.
    pub is_demanded: bool,
    /// Whether this server logs in at the others. Default: false. Key `quorum.auth.learnerRequireSasl`.
    pub logs_in: bool,
    /// The section of the JAAS file that lists who may log in. Default: `QuorumServer`. Key
    /// `quorum.auth.server.saslLoginContext`.
    pub server_section: String,
    /// The section of the JAAS file that has this server's name and password. Default: `QuorumLearner`. Key
    /// `quorum.auth.learner.saslLoginContext`.
    pub learner_section: String,
    /// The principal of the other servers, for logins by Kerberos. Default: `zkquorum/localhost`. Key
    /// `quorum.auth.kerberos.servicePrincipal`.
    pub service_principal: String,
    /// How other servers log in, and who may. Default: none. The first section.
    pub accepted: Option<Mechanism>,
    /// As whom this server logs in. Default: none. The second section.
    pub own: Option<Account>,
}

impl Default for LoginsBetween {
    fn default() -> Self {
        Self {
            is_enabled: false,
            is_demanded: false,
            logs_in: false,
            server_section: "QuorumServer".to_owned(),
            learner_section: "QuorumLearner".to_owned(),
            service_principal: "zkquorum/localhost".to_owned(),
            accepted: None,
            own: None,
        }
    }
}
