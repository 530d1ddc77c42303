//! Certificates for servers, in the forms that servers read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use tempfile::TempDir;

/// The years in which a certificate is valid.
pub type Years = (i32, i32);

pub const NOW: Years = (2020, 2090);
pub const PAST: Years = (2019, 2021);
pub const FUTURE: Years = (2080, 2090);

/// Opens the PKCS#12 files.
pub const PASSWORD: &str = "secret-of-the-test";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Pem,
    Pkcs12,
}

/// An authority, with a folder for what it issues.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let pem = folder.path().join("trust.pem");
        fs::write(&pem, issuer.pem()).unwrap();
        let store = folder.path().join("trust.p12");
        // OpenSSL's own form of a store without keys is none that Java takes certificates from.
        run(Command::new("keytool")
            .args(["-importcert", "-noprompt", "-alias", "authority", "-storetype", "PKCS12"])
            .args(["-storepass", PASSWORD, "-file"])
            .arg(pem)
            .arg("-keystore")
            .arg(store));
        Authority { issuer, folder }
    }

    /// The file with this authority's certificate.
    pub fn trusted(&self, form: Form) -> PathBuf {
        self.folder.path().join(match form {
            Form::Pem => "trust.pem",
            Form::Pkcs12 => "trust.p12",
        })
    }

    /// The file of a certificate for this host.
    pub fn path(&self, host: &str, years: Years, form: Form) -> PathBuf {
        let extension = match form {
            Form::Pem => "pem",
            Form::Pkcs12 => "p12",
        };
        self.folder.path().join(format!("{host}-{}.{extension}", years.0))
    }

    /// Makes a key and its certificate with this serial number; returns their file.
    pub fn issue_numbered(&self, serial: u64, host: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{serial}.pem"));
        let (key, mut params) = (KeyPair::generate().unwrap(), of(host, NOW));
        params.serial_number = Some(SerialNumber::from(serial));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(&path, key.serialize_pem() + &certificate.pem()).unwrap();
        path
    }

    /// Writes the list of revoked certificates with these; returns its file.
    pub fn revoke(&self, serials: &[u64]) -> PathBuf {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
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
        let path = self.folder.path().join("revoked.pem");
        fs::write(&path, list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
        path
    }

    /// Makes a key and its certificate for this host; returns their file.
    pub fn issue(&self, host: &str, years: Years, form: Form) -> PathBuf {
        let path = self.path(host, years, form);
        let (key, params) = (KeyPair::generate().unwrap(), of(host, years));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let both = format!("{}{}", key.serialize_pem(), certificate.pem());
        match form {
            Form::Pem => fs::write(&path, both).unwrap(),
            Form::Pkcs12 => self.pack(&both, &path),
        }
        path
    }

    fn pack(&self, pem: &str, path: &Path) {
        let source = self.folder.path().join("source.pem");
        fs::write(&source, pem).unwrap();
        let password = format!("pass:{PASSWORD}");
        run(Command::new("openssl")
            .args(["pkcs12", "-export", "-name", "server", "-passout", &password, "-in"])
            .arg(source)
            .arg("-out")
            .arg(path));
    }
}

fn of(host: &str, years: Years) -> CertificateParams {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, host);
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    params
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
