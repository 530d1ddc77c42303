//! Java's names of protocols and cipher suites, and what of them exists here.
//!
//! rustls has TLS 1.2 and 1.3, and only suites with forward secrecy and authenticated encryption. A name that Java does
//! not know is a slip; one that Java knows and rustls cannot do is dropped with a warning, and if none is left the
//! setting is an error.

use rustls::CipherSuite;

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Protocol {
    /// Java's name.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tls12 => "TLSv1.2",
            Protocol::Tls13 => "TLSv1.3",
        }
    }
}

/// What a list of names comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen<T> {
    /// At least one, each once, in the order of the list.
    pub usable: Vec<T>,
    /// Names that Java knows and that have no effect here.
    pub dropped: Vec<String>,
}

const PROTOCOLS: [(&str, Protocol); 2] =
    [("TLSv1.2", Protocol::Tls12), ("TLSv1.3", Protocol::Tls13)];

/// Old versions, which nothing negotiates any more: JDK 11 and later disable them too
/// (`jdk.tls.disabledAlgorithms`).
const OLD_PROTOCOLS: [&str; 5] = ["SSLv2Hello", "SSLv2", "SSLv3", "TLSv1", "TLSv1.1"];

/// Reads the words of `ssl.enabledProtocols`; the error is a clause.
pub fn protocols<'a>(words: impl Iterator<Item = &'a str>) -> Result<Chosen<Protocol>, String> {
    choose(words, &PROTOCOLS, |word| OLD_PROTOCOLS.contains(&word)).map_err(|problem| match problem {
        Unusable::Unknown(word) => {
            format!("{word:?} is no protocol of Java's; there are TLSv1.2 and TLSv1.3")
        }
        Unusable::NoneLeft => "only versions before TLSv1.2 are named, which are broken and do not exist here, nor in \
                               Java since 11; name TLSv1.2, TLSv1.3 or both"
            .to_owned(),
    })
}

/// The protocols that `ssl.protocol` stands for; the error is a clause.
// ZooKeeper: SSLContext.getInstance(name) is made for the version and the older ones.
pub fn protocol_context(name: &str) -> Result<Vec<Protocol>, String> {
    match name {
        "TLSv1.3" | "TLS" | "SSL" | "Default" => Ok(vec![Protocol::Tls13, Protocol::Tls12]),
        "TLSv1.2" => Ok(vec![Protocol::Tls12]),
        _ => protocols([name].into_iter()).map(|chosen| chosen.usable),
    }
}

const SUITES: [(&str, CipherSuite); 9] = [
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// Reads the words of `ssl.ciphersuites`; the error is a clause.
pub fn cipher_suites<'a>(
    words: impl Iterator<Item = &'a str>,
) -> Result<Chosen<CipherSuite>, String> {
    choose(words, &SUITES, is_java_suite).map_err(|problem| match problem {
        Unusable::Unknown(word) => {
            format!("{word:?} is no cipher suite of Java's; an example is {}", SUITES[1].0)
        }
        Unusable::NoneLeft => {
            let names = SUITES.map(|(name, _)| name).join(", ");
            format!("none of the suites exists here; these do: {names}")
        }
    })
}

/// Java's name of a suite that exists here.
pub fn suite_name(suite: CipherSuite) -> &'static str {
    SUITES.iter().find(|(_, it)| *it == suite).map_or("unknown", |(name, _)| name)
}

/// Whether Java's provider of TLS has a suite of this name, now or in a release since Java 8.
fn is_java_suite(word: &str) -> bool {
    const EXCHANGES: [&str; 16] = [
        "RSA",
        "DHE_RSA",
        "DHE_DSS",
        "DH_RSA",
        "DH_DSS",
        "DH_anon",
        "ECDH_RSA",
        "ECDH_ECDSA",
        "ECDH_anon",
        "ECDHE_RSA",
        "ECDHE_ECDSA",
        "KRB5",
        "KRB5_EXPORT",
        "RSA_EXPORT",
        "DHE_RSA_EXPORT",
        "DHE_DSS_EXPORT",
    ];
    const CIPHERS: [&str; 19] = [
        "AES_128_CBC_SHA",
        "AES_256_CBC_SHA",
        "AES_128_CBC_SHA256",
        "AES_256_CBC_SHA256",
        "AES_256_CBC_SHA384",
        "AES_128_GCM_SHA256",
        "AES_256_GCM_SHA384",
        "CHACHA20_POLY1305_SHA256",
        "3DES_EDE_CBC_SHA",
        "DES_CBC_SHA",
        "RC4_128_SHA",
        "RC4_128_MD5",
        "NULL_SHA",
        "NULL_SHA256",
        "NULL_MD5",
        "DES40_CBC_SHA",
        "RC4_40_MD5",
        "3DES_EDE_CBC_MD5",
        "DES_CBC_MD5",
    ];
    if word == "TLS_EMPTY_RENEGOTIATION_INFO_SCSV" {
        return true;
    }
    let Some(name) = word.strip_prefix("TLS_").or_else(|| word.strip_prefix("SSL_")) else {
        return false;
    };
    name.split_once("_WITH_").is_some_and(|(exchange, cipher)| {
        EXCHANGES.contains(&exchange) && CIPHERS.contains(&cipher)
    })
}

enum Unusable {
    Unknown(String),
    NoneLeft,
}

fn choose<'a, T: Copy + PartialEq>(
    words: impl Iterator<Item = &'a str>,
    known: &[(&str, T)],
    is_of_java: impl Fn(&str) -> bool,
) -> Result<Chosen<T>, Unusable> {
    let mut chosen = Chosen { usable: Vec::new(), dropped: Vec::new() };
    for word in words.map(str::trim).filter(|word| !word.is_empty()) {
        match known.iter().find(|(name, _)| *name == word) {
            Some((_, found)) if chosen.usable.contains(found) => {}
            Some((_, found)) => chosen.usable.push(*found),
            None if is_of_java(word) => chosen.dropped.push(word.to_owned()),
            None => return Err(Unusable::Unknown(word.to_owned())),
        }
    }
    if chosen.usable.is_empty() { Err(Unusable::NoneLeft) } else { Ok(chosen) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suites(list: &str) -> Result<Chosen<CipherSuite>, String> {
        cipher_suites(list.split(','))
    }

    #[test]
    fn protocols_have_java_s_names() {
        let of = |list: &'static str| protocols(list.split(','));
        assert_eq!(of("TLSv1.3, TLSv1.2").unwrap().usable, [Protocol::Tls13, Protocol::Tls12]);
        let mixed = of("TLSv1,TLSv1.1,TLSv1.2").unwrap();
        assert_eq!((mixed.usable, mixed.dropped.len()), (vec![Protocol::Tls12], 2));
        assert!(of("TLSv1.1").unwrap_err().contains("broken"));
        assert!(of("").unwrap_err().contains("name TLSv1.2"));
        assert!(of("tlsv1.2").unwrap_err().contains("no protocol"));
        assert_eq!(protocol_context("TLSv1.3").unwrap(), [Protocol::Tls13, Protocol::Tls12]);
        assert_eq!(protocol_context("TLSv1.2").unwrap(), [Protocol::Tls12]);
        assert!(protocol_context("SSLv3").is_err());
    }

    #[test]
    fn suites_have_java_s_names_and_those_without_counterpart_are_dropped() {
        let chosen =
            suites("TLS_AES_128_GCM_SHA256,TLS_RSA_WITH_AES_128_CBC_SHA,TLS_AES_128_GCM_SHA256")
                .unwrap();
        assert_eq!(chosen.usable, [CipherSuite::TLS13_AES_128_GCM_SHA256]);
        assert_eq!(chosen.dropped, ["TLS_RSA_WITH_AES_128_CBC_SHA"]);
        assert!(
            suites("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256")
                .unwrap_err()
                .contains("none of the suites")
        );
        assert!(suites("ECDHE-RSA-AES128-GCM-SHA256").unwrap_err().contains("no cipher suite"));
        assert!(
            suites("SSL_RSA_WITH_3DES_EDE_CBC_SHA").unwrap_err().contains("none of the suites")
        );
    }
}
