//! Rows about TLS.
//!
//! None of these parts is built. A key that only *sets them up* (a key store) is ignored with a line: connections
//! that would have been protected fail, and none is less protected. A key that *switches them on* (a port, a
//! requirement) is refused: its operator has clients or servers that rely on it.
//!
//! ```text
//! sets up       ssl.keyStore.location                 Unbuilt: a line at start-up
//! switches on   sslQuorum, secureClientPort           Refused, unless the value says no
//! ```

use super::super::value::{Kind, Value};
use super::{Fate, Key, Place, Theme, port, prop_int};

// Each text continues "not built yet: ".
const TLS: &str = "TLS, so connections are not encrypted";
const X509: &str = "TLS, so no client has a certificate here";

/// A row that sets up TLS.
const fn tls(name: &'static str, kind: Kind) -> Key {
    Key::new(Theme::Security, Place::Property, name, kind, Fate::Unbuilt(TLS))
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

/// Harmless for nothing: the key alone asks.
fn never(_: &Value) -> bool {
    false
}

/// The keys of `X509Util`, for clients and for servers.
// A table of suffixes, because every one of them exists twice.
macro_rules! x509 {
    ($($suffix:literal: $kind:expr),+ $(,)?) => {
        &[
            $(
                tls(concat!("ssl.", $suffix), $kind),
                tls(concat!("ssl.quorum.", $suffix), $kind),
            )+
        ]
    };
}

/// Each suffix makes two rows: `ssl.SUFFIX` for clients (`ClientX509Util`) and `ssl.quorum.SUFFIX` for servers
/// (`QuorumX509Util`).
pub(super) static X509_KEYS: &[Key] = x509! {
    "protocol": Kind::Text,
    "enabledProtocols": Kind::Text,
    "ciphersuites": Kind::Text,
    "keyStore.location": Kind::Text,
    "keyStore.passwordPath": Kind::Text,
    "keyStore.type": Kind::Text,
    "trustStore.location": Kind::Text,
    "trustStore.passwordPath": Kind::Text,
    "trustStore.type": Kind::Text,
    "context.supplier.class": Kind::Text,
    "hostnameVerification": Kind::Bool,
    "clientHostnameVerification": Kind::Bool,
    "allowReverseDnsLookup": Kind::Bool,
    "crl": Kind::Bool,
    "ocsp": Kind::Bool,
    "clientAuth": Kind::Choice(&["need", "want", "none"]),
    "handshakeDetectionTimeoutMillis": prop_int(1),
};

pub(super) static KEYS: &[Key] = &[
    // The four passwords of X509Util, apart from the table above because they are secret.
    tls("ssl.keyStore.password", Kind::Text).secret(),
    tls("ssl.quorum.keyStore.password", Kind::Text).secret(),
    tls("ssl.trustStore.password", Kind::Text).secret(),
    tls("ssl.quorum.trustStore.password", Kind::Text).secret(),
    // ZooKeeper: ClientX509Util has these two for clients only.
    tls("ssl.authProvider", Kind::Text).default("x509"),
    tls("ssl.sslProvider", Kind::Text).default("JDK"),
    // ZooKeeper: X509Util.
    tls("fips-mode", Kind::Bool).default("true"),
    // ZooKeeper: NettyServerCnxnFactory.
    tls("client.certReload", Kind::Bool).default("false"),
    // ZooKeeper: NettyServerCnxnFactory accepts TLS and plain clients on one port.
    refused(
        Place::Property,
        "client.portUnification",
        Kind::Bool,
        "TLS is not built yet, so clients that use it on this port could not connect; set it to \
         false if none does, or put a TLS proxy in front of clientPort",
        is_false,
    )
    .default("false"),
    // ZooKeeper: QuorumPeerConfig.parseProperties; the same for the ports between servers.
    refused(
        Place::File,
        "portUnification",
        Kind::Bool,
        "TLS between servers is not built yet, so servers that use it could not reach this one; set \
         it to false if none does",
        is_false,
    )
    .default("false"),
    Key::new(
        Theme::Security,
        Place::File,
        "sslQuorumReloadCertFiles",
        Kind::Bool,
        Fate::Unbuilt(TLS),
    )
    .default("false"),
    // ZooKeeper: QuorumPeerConfig.parseProperties.
    refused(
        Place::File,
        "sslQuorum",
        Kind::Bool,
        "TLS between servers is not built yet, and without it their connections would not be \
         encrypted; set it to false to accept that",
        is_false,
    )
    .default("false"),
    // ZooKeeper: QuorumPeerConfig.parseProperties. No value is harmless: whoever sets it has clients that use it.
    refused(
        Place::File,
        "secureClientPort",
        port(),
        "TLS is not built yet, and a port for it would not be secure; \
             remove the line, or put a TLS proxy in front of clientPort",
        never,
    ),
    refused(
        Place::File,
        "secureClientPortAddress",
        Kind::Text,
        "TLS is not built yet, and a port for it would not be secure; \
             remove the line, or put a TLS proxy in front of clientPort",
        never,
    ),
    // ZooKeeper: ProviderRegistry.initialize.
    // ZooKeeper: X509AuthenticationProvider.
    Key::new(
        Theme::Security,
        Place::Property,
        "X509AuthenticationProvider.superUser",
        Kind::Text,
        Fate::Unbuilt(X509),
    ),
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
