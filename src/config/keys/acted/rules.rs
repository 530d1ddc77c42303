//! Rows of the keys about permissions, nodes and four-letter words.
//!
//! These rows change what requests mean, so all servers of an ensemble should have the same values: a leader decides
//! by its own, and what it decides is applied by all.
//!
//! ```text
//! who may do something          skipACL, enableEagerACLCheck
//! who somebody is               DigestAuthenticationProvider.*, ensembleAuthName
//! which nodes there are         extendedTypesEnabled, emulate353TTLNodes, enforceQuota, znode.container.*
//! what operators may ask        4lw.commands.whitelist
//! ```

use std::collections::BTreeSet;

use super::super::row::*;
use super::super::{Acted, Fate, Key, Set, Theme, fine, prop_int, prop_long};
use crate::config::settings::{DigestAlgorithm, Whitelist};
use crate::config::value::Kind;

pub(in crate::config::keys) static KEYS: &[Key] = &[
    // Security.
    // ZooKeeper: ZooKeeperServer compares with the word "yes". Here: ReplicaOptions, and from there PrepOptions.
    prop(Theme::Security, "skipACL", Kind::YesNo, "no", yes_no!(security.skip_acl))
        .about("ignore ACLs")
        .verdict(skip_acl),
    // ZooKeeper: DigestAuthenticationProvider. Here: acl::AuthenticationOptions and PrepOptions. Without it no client
    // gets an identity of digest, so an ACL that names one grants it to nobody.
    prop(
        Theme::Security,
        "DigestAuthenticationProvider.enabled",
        Kind::Bool,
        "true",
        plain!(Bool, security.digest_enabled),
    )
    .about("allow the scheme digest"),
    // ZooKeeper: DigestAuthenticationProvider takes any name that Java's MessageDigest knows. Here: server::options
    // refuses those that acl::DigestAlgorithm does not have.
    prop(
        Theme::Security,
        "DigestAuthenticationProvider.digestAlg",
        Kind::Choice(DIGEST_NAMES),
        "SHA1",
        Fate::Acted(Acted {
            set: Set::Text(|c, v| {
                c.security.digest_algorithm = DigestAlgorithm::from_name(v).unwrap_or_default();
            }),
            get: |c| c.security.digest_algorithm.name().to_owned(),
            about: "hash of the scheme digest",
            verdict: fine,
        }),
    ),
    // ZooKeeper: DigestAuthenticationProvider. Here: acl::AuthenticationOptions. Secret: it is a hash of a password.
    prop(
        Theme::Security,
        "DigestAuthenticationProvider.superDigest",
        Kind::Text,
        "",
        Fate::Acted(Acted {
            set: Set::Text(|c, v| c.security.super_digest = (!v.is_empty()).then(|| v.to_owned())),
            get: |c| c.security.super_digest.clone().unwrap_or_default(),
            about: "digest id of the super user, super:hash",
            verdict: fine,
        }),
    )
    .secret(),
    // ZooKeeper: EnsembleAuthenticationProvider. Here: acl::AuthenticationOptions, if the provider is configured.
    prop(
        Theme::Security,
        "ensembleAuthName",
        Kind::List,
        "",
        Fate::Acted(Acted {
            set: Set::List(|c, v| {
                c.security.ensemble_auth_names = Some(v.iter().cloned().collect::<BTreeSet<_>>());
            }),
            get: |c| {
                let names = c.security.ensemble_auth_names.iter().flatten();
                names.cloned().collect::<Vec<_>>().join(",")
            },
            about: "names by which clients may call this ensemble, with authProvider.N \
             = …EnsembleAuthenticationProvider",
            verdict: fine,
        }),
    ),
    // ZooKeeper: ZooKeeperServer. Here: ReplicaOptions.
    prop(
        Theme::Security,
        "enableEagerACLCheck",
        Kind::Bool,
        "false",
        plain!(Bool, security.eager_acl_check),
    )
    .about(
        "a member of an ensemble refuses a write without permission before the write gets a \
         zxid; a standalone server does not, as in ZooKeeper",
    ),
    // Nodes.
    // ZooKeeper: EphemeralType. Here: DatabaseOptions, because it changes what a stored owner means.
    prop(
        Theme::Nodes,
        "extendedTypesEnabled",
        Kind::Bool,
        "false",
        plain!(Bool, nodes.extended_types_enabled),
    )
    .about("TTL nodes"),
    // ZooKeeper: EphemeralType. Here: DatabaseOptions.
    prop(
        Theme::Nodes,
        "emulate353TTLNodes",
        Kind::Bool,
        "false",
        plain!(Bool, nodes.emulate_353_ttl_nodes),
    )
    .about("recognise TTL nodes of 3.5.3"),
    // ZooKeeper: ZooKeeperServer.checkQuota. Here: processor::PrepOptions.
    prop(Theme::Nodes, "enforceQuota", Kind::Bool, "false", plain!(Bool, nodes.enforce_quota))
        .about("enforce hard quotas"),
    // ZooKeeper: ContainerManager reads these three, without the prefix. Here: ReplicaOptions, for replica::reap.
    bare(
        Theme::Nodes,
        "znode.container.checkIntervalMs",
        prop_int(1),
        "60000",
        number!(nodes.container_check_interval_ms),
    )
    .about("time between two searches for empty containers and expired TTL nodes")
    .unit("ms"),
    // The pace of deletions, so that a large crowd of empty containers does not keep clients waiting.
    bare(
        Theme::Nodes,
        "znode.container.maxPerMinute",
        prop_int(1),
        "10000",
        number!(nodes.container_max_per_minute),
    )
    .about("largest number of such nodes deleted per minute"),
    // ZooKeeper: 3.10 has a default of five minutes, 3.9 has none.
    bare(
        Theme::Nodes,
        "znode.container.maxNeverUsedIntervalMs",
        prop_long(0),
        "0",
        optional!(nodes.container_max_never_used_interval_ms, 0, 1),
    )
    .about("delete a container that never had a child; 0: never")
    .unit("ms"),
    // Admin.
    // ZooKeeper: FourLetterCommands.isEnabled. Here: admin::Desk.
    prop(
        Theme::Admin,
        "4lw.commands.whitelist",
        Kind::List,
        "srvr",
        Fate::Acted(Acted {
            set: Set::List(set_whitelist),
            get: |c| match &c.admin.four_letter_words {
                Whitelist::All => "*".to_owned(),
                Whitelist::Only(words) => words.iter().cloned().collect::<Vec<_>>().join(","),
            },
            about: "four-letter words that are answered; srvr always is, * means all",
            verdict: whitelist,
        }),
    ),
];
