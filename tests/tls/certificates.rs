//! Certificates in PEM files: of an authority that everybody trusts, and of one that nobody does.

use std::fs;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    DistinguishedName, DnType, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber, date_time_ymd,
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
    ours: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    pub fn new() -> Certificates {
        let folder = tempfile::tempdir().unwrap();
        let ours = authority(&folder, OURS);
        let certificates = Certificates { folder, ours };
        let ours = &certificates.ours;
        let others = authority(&certificates.folder, OTHERS);
        for name in ["server", "alice", "bob", "root"] {
            certificates.leaf(name, (2020, 2090), HERE, ours);
        }
        certificates.leaf("late", (2019, 2021), HERE, ours);
        certificates.leaf("early", (2080, 2090), HERE, ours);
        certificates.leaf("elsewhere", (2020, 2090), &["elsewhere.example"], ours);
        certificates.leaf("stranger", (2020, 2090), HERE, &others);
        certificates
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes `revoked.pem`, the list of our authority with these.
    pub fn revoke(&self, names: &[&str]) -> PathBuf {
        let revoked = names.iter().map(|name| RevokedCertParams {
            serial_number: serial(name),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.path("revoked.pem");
        fs::write(&path, list.signed_by(&self.ours).unwrap().pem().unwrap()).unwrap();
        path
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
        params.serial_number = Some(serial(name));
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let certificate = params.signed_by(&key, by).unwrap();
        let both = format!("{}{}", key.serialize_pem(), certificate.pem());
        fs::write(self.path(&format!("{name}.pem")), both).unwrap();
    }
}

fn authority(folder: &TempDir, name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(folder.path().join(format!("{name}.pem")), issuer.pem()).unwrap();
    issuer
}

/// The serial number of the certificate with this name.
fn serial(name: &str) -> SerialNumber {
    SerialNumber::from_slice(name.as_bytes())
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::OrganizationName, "Ringkeeper");
    distinguished.push(DnType::CommonName, name);
    distinguished
}
