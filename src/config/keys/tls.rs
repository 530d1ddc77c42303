//! Rows about TLS: the keys of `X509Util` for clients (`ssl.*`) and for servers (`ssl.quorum.*`), the ports that take
//! TLS, and who is who by a certificate.
//!
//! [`super::super::tls`] reads the values of one side together. What Ringkeeper does not do is refused where somebody
//! relies on it: a class in the place of the stores, questions to a server about revoked certificates.

use super::super::settings::{ClientAuth, Config, Password, StoreAt, TlsSide};
use super::super::value::{Kind, Value};
use super::row::narrow;
use super::{Acted, Fate, Key, Place, Set, Theme, fine, port, prop_int_or};

const fn acted(get: fn(&Config) -> String, about: &'static str) -> Fate {
    Fate::Acted(Acted { set: Set::Together, get, about, verdict: fine })
}

const fn property(name: &'static str, kind: Kind, fate: Fate) -> Key {
    Key::new(Theme::Security, Place::Property, name, kind, fate)
}

const fn file(name: &'static str, kind: Kind, fate: Fate) -> Key {
    Key::new(Theme::Security, Place::File, name, kind, fate)
}

const fn refused(
    name: &'static str,
    kind: Kind,
    why: &'static str,
    harmless: fn(&Value) -> bool,
) -> Key {
    property(name, kind, Fate::Refused { why, harmless })
}

fn is_false(value: &Value) -> bool {
    *value == Value::Bool(false)
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Text(text) if text.is_empty())
}

const NO_CLASS: &str = "no class can be loaded here, and without it the connections would use other certificates than \
     its own; name them with keyStore.location and trustStore.location";

const NO_OCSP: &str = "Java asks about each certificate at the address that it names, while a connection waits; that \
     is not built yet, and without it revoked certificates would pass. Set it to false, and name a file with lists of \
     revoked certificates (ringkeeper.ssl.crl.location, ringkeeper.ssl.quorum.crl.location)";

fn location(store: Option<&StoreAt>) -> String {
    store.map(|it| it.path.display().to_string()).unwrap_or_default()
}

/// Whether there is a password in the configuration, which is not shown.
fn given(store: Option<&StoreAt>) -> String {
    match store.map(|it| &it.password) {
        Some(Password::Given(_)) => "(hidden)".to_owned(),
        Some(Password::File(_) | Password::None) | None => String::new(),
    }
}

fn password_path(store: Option<&StoreAt>) -> String {
    match store.map(|it| &it.password) {
        Some(Password::File(path)) => path.display().to_string(),
        Some(Password::Given(_) | Password::None) | None => String::new(),
    }
}

fn kind_of(store: Option<&StoreAt>) -> String {
    store.map(|it| it.kind.name()).unwrap_or_default().to_owned()
}

fn protocols(side: &TlsSide) -> String {
    side.protocols.iter().map(|it| it.name()).collect::<Vec<_>>().join(",")
}

fn suites(side: &TlsSide) -> String {
    let names = side.cipher_suites.iter().flatten().map(|it| crate::tls::names::suite_name(*it));
    names.collect::<Vec<_>>().join(",")
}

fn client_auth(side: &TlsSide) -> String {
    match side.client_auth {
        ClientAuth::None => "none",
        ClientAuth::Want => "want",
        ClientAuth::Need => "need",
    }
    .to_owned()
}

/// The keys that both sides have: the prefix, the field of `Config::tls`, and the default of
/// `clientHostnameVerification` with what it does.
macro_rules! side {
    ($prefix:literal, $side:ident, $default:literal, $names_clients:literal) => {
        [
            property(
                concat!($prefix, "keyStore.location"),
                Kind::Text,
                acted(
                    |c| location(c.tls.$side.key_store.as_ref()),
                    "the file with the private key and its certificates: PEM, PKCS#12 or JKS",
                ),
            ),
            property(
                concat!($prefix, "keyStore.password"),
                Kind::Text,
                acted(|c| given(c.tls.$side.key_store.as_ref()), "what opens the key store and its private key"),
            )
            .secret(),
            property(
                concat!($prefix, "keyStore.passwordPath"),
                Kind::Text,
                acted(|c| password_path(c.tls.$side.key_store.as_ref()), "the file whose first line is that password; it counts before the key"),
            ),
            property(
                concat!($prefix, "keyStore.type"),
                Kind::Text,
                acted(|c| kind_of(c.tls.$side.key_store.as_ref()), "PEM, PKCS12 or JKS; without it the file's extension decides"),
            ),
            property(
                concat!($prefix, "trustStore.location"),
                Kind::Text,
                acted(
                    |c| location(c.tls.$side.trust_store.as_ref()),
                    "the file with the certificates of trusted issuers, or of single peers",
                ),
            ),
            property(
                concat!($prefix, "trustStore.password"),
                Kind::Text,
                acted(|c| given(c.tls.$side.trust_store.as_ref()), "what opens the trust store"),
            )
            .secret(),
            property(
                concat!($prefix, "trustStore.passwordPath"),
                Kind::Text,
                acted(|c| password_path(c.tls.$side.trust_store.as_ref()), "the file whose first line is that password; it counts before the key"),
            ),
            property(
                concat!($prefix, "trustStore.type"),
                Kind::Text,
                acted(|c| kind_of(c.tls.$side.trust_store.as_ref()), "PEM, PKCS12 or JKS; without it the file's extension decides"),
            ),
            property(
                concat!($prefix, "protocol"),
                Kind::Text,
                acted(
                    |c| c.tls.$side.protocols.first().map_or("", |it| it.name()).to_owned(),
                    "the newest protocol: TLSv1.3, which allows 1.2 too, or TLSv1.2",
                ),
            )
            .default("TLSv1.3"),
            property(
                concat!($prefix, "enabledProtocols"),
                Kind::List,
                acted(
                    |c| protocols(&c.tls.$side),
                    "the protocols that are negotiated, instead of those that protocol allows: TLSv1.2, TLSv1.3",
                ),
            )
            .default("TLSv1.3,TLSv1.2"),
            property(
                concat!($prefix, "ciphersuites"),
                Kind::List,
                acted(
                    |c| suites(&c.tls.$side),
                    "the cipher suites by Java's names, in the order of preference; without it all that exist here. \
                     There are none with CBC, and none without forward secrecy",
                ),
            ),
            property(
                concat!($prefix, "clientAuth"),
                Kind::Choice(&["need", "want", "none"]),
                acted(
                    |c| client_auth(&c.tls.$side),
                    "whether whoever connects must show a certificate that the trust store vouches for (need), may \
                     (want), or is not asked (none)",
                ),
            )
            .default("need"),
            property(
                concat!($prefix, "hostnameVerification"),
                Kind::Bool,
                acted(
                    |c| c.tls.$side.hostname_verification.to_string(),
                    "whether a certificate must name its host; false also switches clientHostnameVerification off",
                ),
            )
            .default("true"),
            property(
                concat!($prefix, "clientHostnameVerification"),
                Kind::Bool,
                acted(|c| c.tls.$side.client_hostname_verification.to_string(), $names_clients),
            )
            .default($default),
            property(
                concat!($prefix, "handshakeDetectionTimeoutMillis"),
                prop_int_or(1, 5000),
                Fate::Acted(Acted {
                    set: Set::Int(|c, value| c.tls.$side.handshake_detection_timeout_ms = narrow(value)),
                    get: |c| c.tls.$side.handshake_detection_timeout_ms.to_string(),
                    about: "how long a connection may take until it shows whether it begins with TLS",
                    verdict: fine,
                }),
            )
            .default("5000")
            .unit("ms"),
            refused(concat!($prefix, "context.supplier.class"), Kind::Text, NO_CLASS, is_empty),
            property(
                concat!($prefix, "crl"),
                Kind::Bool,
                acted(
                    |c| c.tls.$side.demands_revocation_list.to_string(),
                    concat!(
                        "whether a certificate is refused if no list in ringkeeper.",
                        $prefix,
                        "crl.location tells about it; true needs that file, and no list is fetched from the network"
                    ),
                ),
            )
            .default("false"),
            Key::new(
                Theme::Security,
                Place::Own,
                concat!("ringkeeper.", $prefix, "crl.location"),
                Kind::Path,
                acted(
                    |c| {
                        let lists = c.tls.$side.revocation_lists.as_ref();
                        lists.map(|path| path.display().to_string()).unwrap_or_default()
                    },
                    "file with lists of revoked certificates, PEM or DER; it is read again when the stores are",
                ),
            ),
            refused(concat!($prefix, "ocsp"), Kind::Bool, NO_OCSP, is_false).default("false"),
        ]
    };
}

pub(super) static CLIENT_KEYS: &[Key] = &side!(
    "ssl.",
    client,
    "false",
    "whether the certificate of a client must name the address from which it connects"
);
pub(super) static QUORUM_KEYS: &[Key] = &side!(
    "ssl.quorum.",
    quorum,
    "true",
    "whether the certificate of a server that connects must name the host of a server.N line, or its own address"
);

fn is_x509(value: &Value) -> bool {
    matches!(value, Value::Text(name) if name.is_empty() || name == "x509")
}

pub(super) static KEYS: &[Key] = &[
    refused(
        "ssl.authProvider",
        Kind::Text,
        "no class can be loaded here, and the only provider that knows certificates is x509; remove the line",
        is_x509,
    )
    .default("x509"),
    refused(
        "ssl.allowReverseDnsLookup",
        Kind::Bool,
        "the name of a client's address is not looked up, which is not built yet because it would hold up other \
         clients; set it to false",
        is_false,
    )
    .default("false"),
    property(
        "ssl.quorum.allowReverseDnsLookup",
        Kind::Bool,
        Fate::Meaningless("certificates of servers are compared with the server.N lines, without DNS"),
    )
    .default("true"),
    property(
        "ssl.sslProvider",
        Kind::Text,
        Fate::Meaningless("there is one implementation of TLS here, that of rustls and aws-lc"),
    )
    .default("JDK"),
    // ZooKeeper: NettyServerCnxnFactory.
    property(
        "client.certReload",
        Kind::Bool,
        Fate::Acted(Acted {
            set: Set::Bool(|c, value| c.tls.client_cert_reload = value),
            get: |c| c.tls.client_cert_reload.to_string(),
            about: "whether new files of the stores for clients are taken without a restart",
            verdict: fine,
        }),
    )
    .default("false"),
    // ZooKeeper: QuorumPeerConfig.parseProperties reads this one and the ports.
    file(
        "sslQuorumReloadCertFiles",
        Kind::Bool,
        Fate::Acted(Acted {
            set: Set::Bool(|c, value| c.tls.quorum_cert_reload = value),
            get: |c| c.tls.quorum_cert_reload.to_string(),
            about: "whether new files of the stores between servers are taken without a restart",
            verdict: fine,
        }),
    )
    .default("false"),
    property(
        "client.portUnification",
        Kind::Bool,
        Fate::Acted(Acted {
            set: Set::Bool(|c, value| c.tls.client_port_unification = value),
            get: |c| c.tls.client_port_unification.to_string(),
            about: "whether clientPort takes TLS as well as plain connections",
            verdict: fine,
        }),
    )
    .default("false"),
    file(
        "secureClientPort",
        port(),
        acted(
            |c| c.tls.secure_client.as_ref().map(|it| it.port.to_string()).unwrap_or_default(),
            "the port for clients that use TLS",
        ),
    ),
    file(
        "secureClientPortAddress",
        Kind::Text,
        acted(
            |c| c.tls.secure_client.as_ref().map(|it| it.host.to_string()).unwrap_or_default(),
            "the address of that port; without it every address",
        ),
    ),
    // ZooKeeper: X509AuthenticationProvider; the owner gets an identity of the scheme super beside that of x509.
    property(
        "X509AuthenticationProvider.superUser",
        Kind::Text,
        Fate::Acted(Acted {
            set: Set::Text(|c, name| {
                c.tls.x509_super_user = (!name.is_empty()).then(|| name.to_owned());
            }),
            get: |c| c.tls.x509_super_user.clone().unwrap_or_default(),
            about: "the name of a certificate whose owner may do everything, as Java writes it (RFC 2253)",
            verdict: fine,
        }),
    ),
    // ZooKeeper: Leader.createServerSocket, QuorumCnxManager.Listener and ObserverMaster.start read it with sslQuorum.
    file(
        "portUnification",
        Kind::Bool,
        Fate::Acted(Acted {
            set: Set::Bool(|c, value| c.tls.quorum_port_unification = value),
            get: |c| c.tls.quorum_port_unification.to_string(),
            about: "whether other servers may connect with TLS and without it",
            verdict: fine,
        }),
    )
    .default("false"),
    file(
        "sslQuorum",
        Kind::Bool,
        Fate::Acted(Acted {
            set: Set::Bool(|c, value| c.tls.quorum_uses_tls = value),
            get: |c| c.tls.quorum_uses_tls.to_string(),
            about: "whether servers use TLS among themselves",
            verdict: fine,
        }),
    )
    .default("false"),
];
