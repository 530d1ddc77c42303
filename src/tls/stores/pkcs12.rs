//! PKCS#12 (RFC 7292), as `keytool` and OpenSSL write it: one password, DER, X.509 certificates.
//!
//! Own code, because the crate `p12-keystore` 0.3 follows issuers in a circle without end and hashes a password as
//! often as the file says, and stands on unreleased crates. Not read: BER with indefinite lengths (old browsers), a
//! MAC by PBMAC1, encryption by public key.

use hmac::{Mac, SimpleHmac};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha1::Sha1;
use sha2::digest::core_api::BlockSizeUser;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use super::pbe::{self, Effort};
use super::{KeyEntry, StoreProblem};
use crate::limits::{CHAIN_CERTIFICATES_MAX, STORE_CERTIFICATES_MAX};
use crate::tls::certificate::Certificate;
use crate::tls::der::{Der, INTEGER, OBJECT_ID, OCTET_STRING, SEQUENCE, SET, explicit, implicit};

// Object identifiers, as the content bytes of their elements.
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const ENCRYPTED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x06];
const BAGS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01];
const LOCAL_KEY_ID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x15];
const X509_CERTIFICATE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];
/// 2.16.840.1.113894.746875.1.1, by which Java marks the certificates of a trust store.
const TRUSTED_KEY_USAGE: &[u8] =
    &[0x60, 0x86, 0x48, 0x01, 0x86, 0xf9, 0x66, 0xad, 0xca, 0x7b, 0x01, 0x01];
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
const SHA2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];

/// What a file holds.
#[derive(Default)]
struct Contents {
    keys: Vec<Key>,
    certificates: Vec<Certified>,
}

struct Key {
    key: PrivateKeyDer<'static>,
    id: Option<Vec<u8>>,
}

struct Certified {
    certificate: CertificateDer<'static>,
    id: Option<Vec<u8>>,
    is_marked_trusted: bool,
}

/// Reads the first private key with its chain.
pub fn key_entry(bytes: &[u8], password: &str) -> Result<KeyEntry, StoreProblem> {
    let Contents { mut keys, certificates } = contents(bytes, password)?;
    if keys.is_empty() {
        return Err(StoreProblem::NoKey);
    }
    let Key { key, id } = keys.remove(0);
    let own = |it: &&Certified| id.is_some() && it.id == id;
    // Some programs write no identifiers where there is one key only.
    let first = certificates.iter().find(own).or_else(|| certificates.first());
    let leaf = first.ok_or(StoreProblem::NoCertificate)?.certificate.clone();
    let certificates: Vec<_> = certificates.into_iter().map(|it| it.certificate).collect();
    Ok(KeyEntry { chain: chain_of(leaf, &certificates)?, key, others: keys.len() })
}

/// Reads the certificates that Java marks as trusted; if none is marked and there is no key, as in a file that OpenSSL
/// wrote, all of them.
// ZooKeeper: Java takes only marked ones, and then fails because there is none.
pub fn trusted(bytes: &[u8], password: &str) -> Result<Vec<CertificateDer<'static>>, StoreProblem> {
    let Contents { keys, certificates } = contents(bytes, password)?;
    let any_is_marked = certificates.iter().any(|it| it.is_marked_trusted);
    let counts = |it: &Certified| it.is_marked_trusted || (!any_is_marked && keys.is_empty());
    Ok(certificates.into_iter().filter(counts).map(|it| it.certificate).collect())
}

/// The certificates from `leaf` to a root, each followed by its issuer's, as far as the file has them.
pub(super) fn chain_of(
    leaf: CertificateDer<'static>,
    certificates: &[CertificateDer<'static>],
) -> Result<Vec<CertificateDer<'static>>, StoreProblem> {
    let mut chain = vec![leaf];
    // A circle of issuers ends here.
    while chain.len() < CHAIN_CERTIFICATES_MAX {
        let last = Certificate::parse(&chain[chain.len() - 1])?;
        if last.is_self_issued() {
            break;
        }
        let issuer = certificates.iter().find(|other| {
            Certificate::parse(other).is_ok_and(|other| other.subject == last.issuer)
        });
        match issuer {
            Some(issuer) if !chain.contains(issuer) => chain.push(issuer.clone()),
            Some(_) | None => break,
        }
    }
    Ok(chain)
}

fn contents(bytes: &[u8], password: &str) -> Result<Contents, StoreProblem> {
    let mut effort = Effort::of_a_file();
    let mut outer = Der::new(bytes);
    let mut pfx = outer.sequence()?;
    if pfx.number()? != 3 {
        return Err(StoreProblem::Unsupported("a version of PKCS#12 other than 3"));
    }
    let mut auth_safe = pfx.sequence()?;
    if auth_safe.take(OBJECT_ID)? != DATA {
        return Err(StoreProblem::Unsupported("a signature in place of a password"));
    }
    let safes = Der::new(auth_safe.take(explicit(0))?).take(OCTET_STRING)?;
    if !pfx.is_empty() {
        check_mac(pfx.sequence()?, safes, password, &mut effort)?;
    }
    let mut contents = Contents::default();
    let mut safes = Der::new(Der::new(safes).take(SEQUENCE)?);
    while !safes.is_empty() {
        let mut safe = safes.sequence()?;
        let kind = safe.take(OBJECT_ID)?;
        let content = safe.take(explicit(0))?;
        if kind == DATA {
            contents.add(Der::new(content).take(OCTET_STRING)?, password, &mut effort)?;
        } else if kind == ENCRYPTED_DATA {
            let mut data = Der::new(content).sequence()?;
            data.number()?;
            let mut info = data.sequence()?;
            info.take(OBJECT_ID)?;
            let algorithm = info.take(SEQUENCE)?;
            let secret = info.take(implicit(0))?;
            let plain = pbe::decrypt(algorithm, secret, password, &mut effort)?;
            if Der::new(&plain).take(SEQUENCE).is_err() {
                return Err(StoreProblem::WrongPassword);
            }
            contents.add(&plain, password, &mut effort)?;
        } else {
            return Err(StoreProblem::Unsupported("encryption by a public key"));
        }
    }
    Ok(contents)
}

impl Contents {
    /// Adds what a `SafeContents` holds.
    fn add(
        &mut self,
        safe: &[u8],
        password: &str,
        effort: &mut Effort,
    ) -> Result<(), StoreProblem> {
        let mut bags = Der::new(safe).sequence()?;
        while !bags.is_empty() {
            let mut bag = bags.sequence()?;
            let kind = bag.take(OBJECT_ID)?;
            let value = bag.take(explicit(0))?;
            let (id, is_marked_trusted) = attributes(bag)?;
            match kind.strip_prefix(BAGS) {
                Some(&[1]) => self.add_key(value.to_vec(), id)?,
                Some(&[2]) => {
                    let plain = pbe::decrypt_key(value, password, effort)?;
                    self.add_key(plain.to_vec(), id)?;
                }
                Some(&[3]) => {
                    let mut certificate = Der::new(value).sequence()?;
                    if certificate.take(OBJECT_ID)? != X509_CERTIFICATE {
                        return Err(StoreProblem::Unsupported(
                            "certificates of another kind than X.509",
                        ));
                    }
                    let bytes = Der::new(certificate.take(explicit(0))?).take(OCTET_STRING)?;
                    Der::new(bytes).take(SEQUENCE)?;
                    if self.certificates.len() == STORE_CERTIFICATES_MAX {
                        return Err(StoreProblem::Other(
                            "it holds more certificates than any server needs",
                        ));
                    }
                    let certificate = CertificateDer::from(bytes.to_vec());
                    self.certificates.push(Certified { certificate, id, is_marked_trusted });
                }
                // Revocation lists, secrets and nested bags, which neither side of TLS needs.
                _ => {}
            }
        }
        Ok(())
    }

    fn add_key(&mut self, bytes: Vec<u8>, id: Option<Vec<u8>>) -> Result<(), StoreProblem> {
        let bytes = Zeroizing::new(bytes);
        if Der::new(&bytes).take(SEQUENCE).is_err() {
            return Err(StoreProblem::WrongPassword);
        }
        self.keys.push(Key { key: PrivatePkcs8KeyDer::from(bytes.to_vec()).into(), id });
        Ok(())
    }
}

/// The identifier that connects a key with its certificate, and whether Java trusts the certificate.
fn attributes(mut bag: Der<'_>) -> Result<(Option<Vec<u8>>, bool), StoreProblem> {
    let (mut id, mut is_marked_trusted) = (None, false);
    let mut attributes = Der::new(bag.optional(SET)?.unwrap_or_default());
    while !attributes.is_empty() {
        let mut attribute = attributes.sequence()?;
        let kind = attribute.take(OBJECT_ID)?;
        let mut values = Der::new(attribute.take(SET)?);
        if kind == LOCAL_KEY_ID {
            id = Some(values.take(OCTET_STRING)?.to_vec());
        } else if kind == TRUSTED_KEY_USAGE {
            is_marked_trusted = true;
        }
    }
    Ok((id, is_marked_trusted))
}

/// Compares the hash at the end of a file, which depends on the password.
fn check_mac(
    mut mac: Der<'_>,
    safes: &[u8],
    password: &str,
    effort: &mut Effort,
) -> Result<(), StoreProblem> {
    let mut info = mac.sequence()?;
    let hash = info.sequence()?.take(OBJECT_ID)?;
    let expected = info.take(OCTET_STRING)?;
    let salt = mac.take(OCTET_STRING)?;
    let iterations = if mac.next_tag() == Some(INTEGER) { mac.number()? } else { 1 };
    let iterations = effort.spend(iterations)?;
    let given = pbe::bmp(password);
    // An empty password is two bytes of zero or nothing at all; programs differ.
    let nothing: &[u8] = &[];
    let forms = if password.is_empty() { vec![&given[..], nothing] } else { vec![&given[..]] };
    let fits = |form: &&[u8]| -> Result<bool, StoreProblem> {
        Ok(expected
            == match (hash, hash.strip_prefix(SHA2)) {
                (SHA1, _) => hmac::<Sha1>(form, salt, iterations, safes),
                (_, Some(&[1])) => hmac::<Sha256>(form, salt, iterations, safes),
                (_, Some(&[2])) => hmac::<Sha384>(form, salt, iterations, safes),
                (_, Some(&[3])) => hmac::<Sha512>(form, salt, iterations, safes),
                (_, Some(&[4])) => hmac::<Sha224>(form, salt, iterations, safes),
                _ => return Err(StoreProblem::Unsupported("an unknown MAC, such as PBMAC1")),
            })
    };
    for form in &forms {
        if fits(form)? {
            return Ok(());
        }
    }
    Err(StoreProblem::WrongPassword)
}

fn hmac<D: Digest + BlockSizeUser>(
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    data: &[u8],
) -> Vec<u8> {
    let length = <D as Digest>::output_size();
    let key = pbe::pkcs12_key::<D>(password, salt, iterations, pbe::MAC, length);
    let mut mac = SimpleHmac::<D>::new_from_slice(&key).expect("HMAC takes a key of any length");
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}
