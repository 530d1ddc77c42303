//! PEM: sections of base64 between `-----BEGIN label-----` and `-----END label-----`, with any text around them.
//!
//! Keys are read as PKCS#8, encrypted or not, as PKCS#1 (`RSA PRIVATE KEY`) and as SEC1 (`EC PRIVATE KEY`). ZooKeeper's
//! `PemReader` knows PKCS#8 alone, and encrypted only by PBES1. Not read: keys that OpenSSL encrypts inside the PEM
//! form (`Proc-Type: 4,ENCRYPTED`), whose key comes from one round of MD5.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::pbe::{self, Effort};
use super::{KeyEntry, StoreProblem};
use crate::limits::STORE_CERTIFICATES_MAX;
use crate::tls::der::{Der, SEQUENCE};

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

// Some programs leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// One section, decoded.
struct Section {
    label: String,
    bytes: Zeroizing<Vec<u8>>,
}

/// Reads the first private key and all certificates, whose first must be the key's own.
// ZooKeeper: PemReader.loadKeyStore, with the same file for both.
pub fn key_entry(bytes: &[u8], password: &str) -> Result<KeyEntry, StoreProblem> {
    let sections = sections(bytes)?;
    let mut keys = sections.iter().filter(|section| section.label.ends_with("PRIVATE KEY"));
    let first = keys.next().ok_or(StoreProblem::NoKey)?;
    let key = private_key(first, password)?;
    let others = keys.count();
    let chain = certificates(&sections)?;
    if chain.is_empty() {
        return Err(StoreProblem::NoCertificate);
    }
    Ok(KeyEntry { chain, key, others })
}

/// Reads all certificates.
pub fn trusted(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, StoreProblem> {
    certificates(&sections(bytes)?)
}

/// Reads the lists of revoked certificates, in DER.
pub fn revocation_lists(bytes: &[u8]) -> Result<Vec<Vec<u8>>, StoreProblem> {
    let lists = sections(bytes)?.into_iter().filter(|section| section.label == "X509 CRL");
    Ok(lists.map(|section| section.bytes.to_vec()).collect())
}

fn private_key(section: &Section, password: &str) -> Result<PrivateKeyDer<'static>, StoreProblem> {
    let bytes = section.bytes.to_vec();
    // What is no sequence is no key; more than that the provider finds out.
    Der::new(&bytes).take(SEQUENCE)?;
    match section.label.as_str() {
        "PRIVATE KEY" => Ok(PrivatePkcs8KeyDer::from(bytes).into()),
        "RSA PRIVATE KEY" => Ok(PrivateKeyDer::Pkcs1(bytes.into())),
        "EC PRIVATE KEY" => Ok(PrivateKeyDer::Sec1(bytes.into())),
        "ENCRYPTED PRIVATE KEY" if password.is_empty() => Err(StoreProblem::PasswordMissing),
        "ENCRYPTED PRIVATE KEY" => {
            let plain = pbe::decrypt_key(&bytes, password, &mut Effort::of_a_file())?;
            // Wrong passwords sometimes leave a right padding.
            if Der::new(&plain).take(SEQUENCE).is_err() {
                return Err(StoreProblem::WrongPassword);
            }
            Ok(PrivatePkcs8KeyDer::from(plain.to_vec()).into())
        }
        _ => Err(StoreProblem::Other(
            "its private key is of a kind that TLS does not use here; RSA, ECDSA and Ed25519 keys are",
        )),
    }
}

fn certificates(sections: &[Section]) -> Result<Vec<CertificateDer<'static>>, StoreProblem> {
    // "TRUSTED CERTIFICATE" is OpenSSL's, with its own remarks behind the certificate; "X509 CERTIFICATE" is old.
    let labels = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];
    let mut found = Vec::new();
    for section in sections.iter().filter(|section| labels.contains(&section.label.as_str())) {
        let certificate = Der::new(&section.bytes).element(SEQUENCE)?;
        if found.len() == STORE_CERTIFICATES_MAX {
            return Err(StoreProblem::Other("it holds more certificates than any server needs"));
        }
        found.push(CertificateDer::from(certificate.whole.to_vec()));
    }
    Ok(found)
}

fn sections(bytes: &[u8]) -> Result<Vec<Section>, StoreProblem> {
    // Text around the sections may be in any encoding.
    let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
    let mut sections = Vec::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(BEGIN) {
        let after = &rest[at + BEGIN.len()..];
        let Some((label, body)) = after.split_once(DASHES) else { break };
        let end = format!("-----END {label}{DASHES}");
        let Some((body, behind)) = body.split_once(&end) else {
            return Err(StoreProblem::Other(
                "a section begins with -----BEGIN and does not end; the file was cut off",
            ));
        };
        rest = behind;
        if body.contains("Proc-Type:") {
            return Err(StoreProblem::Other(
                "its key is encrypted in OpenSSL's old form (Proc-Type: 4,ENCRYPTED); convert it with openssl pkcs8 \
                 -topk8",
            ));
        }
        let digits: Zeroizing<Vec<u8>> =
            Zeroizing::new(body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
        let bytes = BASE64.decode(&digits).map(Zeroizing::new).map_err(|_| {
            StoreProblem::Other("a section is no base64; the file was damaged or is not PEM")
        })?;
        sections.push(Section { label: label.trim().to_owned(), bytes });
    }
    Ok(sections)
}
