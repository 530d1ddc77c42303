//! Whether a certificate names a host: the hosts of the `server.N` lines, or the address of a client.
//!
//! The rules are those of ZooKeeper's `ZKHostnameVerifier`: the alternative names decide if there are any of kind DNS or
//! IP address, otherwise the last common name; `*` stands for a part of one label. No name is looked up: a certificate
//! is compared with what the configuration says, or with the address itself.

use std::net::IpAddr;

use super::certificate::Certificate;
use super::der::{Der, Malformed, implicit};
use super::x500;

/// Names that a certificate has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    dns: Vec<String>,
    addresses: Vec<IpAddr>,
    /// Counts only if the others are empty.
    common_name: Option<String>,
}

impl Names {
    /// Reads the names of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Result<Names, Malformed> {
        let certificate = Certificate::parse(certificate)?;
        let mut names = Names { dns: Vec::new(), addresses: Vec::new(), common_name: None };
        let mut alternatives = Der::new(certificate.extensions.names);
        while !alternatives.is_empty() {
            let name = alternatives.any()?;
            if name.tag == implicit(2) {
                names.dns.push(String::from_utf8_lossy(name.content).to_ascii_lowercase());
            } else if name.tag == implicit(7) {
                names.addresses.extend(address(name.content));
            }
        }
        if names.dns.is_empty() && names.addresses.is_empty() {
            names.common_name = x500::common_names(certificate.subject)?.pop();
        }
        Ok(names)
    }

    /// Whether the certificate is for this host: a name, or an address as text, in brackets or not.
    pub fn include(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            let named = self.common_name.as_ref().and_then(|name| name.parse::<IpAddr>().ok());
            return self
                .addresses
                .iter()
                .chain(&named)
                .any(|it| it.to_canonical() == address.to_canonical());
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        self.dns
            .iter()
            .chain(&self.common_name)
            .any(|name| matches(&host, &name.to_ascii_lowercase()))
    }

    /// All of them as text, for a line of the log.
    pub fn shown(&self) -> Vec<String> {
        let addresses = self.addresses.iter().map(IpAddr::to_string);
        self.dns.iter().cloned().chain(addresses).chain(self.common_name.clone()).collect()
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

// ZooKeeper: ZKHostnameVerifier.matchIdentityStrict; the star stands for letters without a dot.
fn matches(host: &str, name: &str) -> bool {
    let Some((before, after)) = name.split_once('*') else { return host == name };
    // ZooKeeper lets a bare `*` stand for every host without a dot. A star that is followed by nothing names nobody.
    if !after.starts_with('.') || after.len() < 2 {
        return false;
    }
    let middle = host.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    middle.is_some_and(|middle| !middle.is_empty() && !middle.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(alternatives: &[&str], common_name: &str) -> Names {
        let alternatives: Vec<String> = alternatives.iter().map(|it| (*it).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(alternatives).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        let key = rcgen::KeyPair::generate().unwrap();
        Names::of(params.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn the_alternative_names_decide() {
        let names = names(&["zk1.example.com", "*.ring.example.com", "10.1.2.3", "fd00::1"], "zk9");
        for host in [
            "zk1.example.com",
            "ZK1.Example.COM",
            "zk1.example.com.",
            "zk2.ring.example.com",
            "10.1.2.3",
            "fd00::1",
            "[fd00:0:0::1]",
            "::ffff:10.1.2.3",
        ] {
            assert!(names.include(host), "{host}");
        }
        for host in [
            "zk9",
            "example.com",
            "ring.example.com",
            ".ring.example.com",
            "a.b.ring.example.com",
            "10.1.2.4",
            "fd00::2",
            "",
        ] {
            assert!(!names.include(host), "{host}");
        }
        assert_eq!(names.shown().join(" "), "zk1.example.com *.ring.example.com 10.1.2.3 fd00::1");
    }

    #[test]
    fn the_common_name_counts_only_by_itself() {
        assert!(names(&[], "zk1").include("zk1"));
        assert!(names(&[], "10.0.0.1").include("10.0.0.1"));
        assert!(!names(&["zk2"], "zk1").include("zk1"));
        assert!(!names(&[], "*").include("zk1"));
        assert_eq!(names(&[], "zk1").shown(), ["zk1"]);
    }
}
