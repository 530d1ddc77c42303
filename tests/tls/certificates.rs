//! Certificates in PEM files: of an authority that everybody trusts, and of one that nobody does.

use std::fs;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

/// The file of the authority that signs everything but what a stranger has.
pub const OURS: &str = "authority";
/// The file of the other one.
pub const OTHERS: &str = "others";
/// How the clients of a test reach its server.
const HERE: &[&str] = &["localhost", "127.0.0.1"];

/// A folder with the files `server.pem`, `alice.pem`, `bob.pem`, `root.pem`, `late.pem` (expired), `early.pem` (not yet
/// valid), `elsewhere.pem` (for another host) and `stranger.pem` (of an authority that nobody trusts), each with its
/// private key, and the authorities'.
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    pub fn new() -> Certificates {
        let certificates = Certificates { folder: tempfile::tempdir().unwrap() };
        let (ours, others) = (certificates.authority(OURS), certificates.authority(OTHERS));
        for name in ["server", "alice", "bob", "root"] {
            certificates.leaf(name, (2020, 2090), HERE, &ours);
        }
        certificates.leaf("late", (2019, 2021), HERE, &ours);
        certificates.leaf("early", (2080, 2090), HERE, &ours);
        certificates.leaf("elsewhere", (2020, 2090), &["elsewhere.example"], &ours);
        certificates.leaf("stranger", (2020, 2090), HERE, &others);
        certificates
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn authority(&self, name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(self.path(&format!("{name}.pem")), issuer.pem()).unwrap();
        issuer
    }

    fn leaf(
        &self,
        name: &str,
        (from, to): (i32, i32),
        hosts: &[&str],
        by: &CertifiedIssuer<'static, KeyPair>,
    ) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = named(name);
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let certificate = params.signed_by(&key, by).unwrap();
        let both = format!("{}{}", key.serialize_pem(), certificate.pem());
        fs::write(self.path(&format!("{name}.pem")), both).unwrap();
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::OrganizationName, "Ringkeeper");
    distinguished.push(DnType::CommonName, name);
    distinguished
}
