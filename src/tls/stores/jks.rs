//! JKS, Java's first form of a key store: `sun.security.provider.JavaKeyStore`.
//!
//! Layout, big-endian: magic `feedfeed`, version (1 or 2), number of entries, the entries, SHA-1 of the password,
//! `Mighty Aphrodite` and all bytes before it. An entry is a tag (1 key, 2 certificate), an alias, the date, and then
//! its certificate, or its key and the certificates of its chain. A key is encrypted by XOR with a stream of SHA-1
//! hashes of the password; this is Java's scheme and protects nothing that file permissions do not.

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::{KeyEntry, StoreProblem};
use crate::limits::{CHAIN_CERTIFICATES_MAX, STORE_CERTIFICATES_MAX};
use crate::tls::der::{Der, Malformed, OBJECT_ID, OCTET_STRING, SEQUENCE};

/// The first bytes of a file.
pub const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
/// Those of a JCEKS file, which is not read.
pub const JCEKS_MAGIC: [u8; 4] = [0xce, 0xce, 0xce, 0xce];

const WHITENER: &[u8] = b"Mighty Aphrodite";
const HASH_BYTES: usize = 20;
/// 1.3.6.1.4.1.42.2.17.1.1, the scheme of the keys.
const KEY_PROTECTOR: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01];

enum Entry<'a> {
    Key { protected: &'a [u8], chain: Vec<CertificateDer<'static>> },
    Certificate(CertificateDer<'static>),
}

/// Reads the first private key with its chain.
pub fn key_entry(bytes: &[u8], password: &str) -> Result<KeyEntry, StoreProblem> {
    let password = utf16(password);
    let mut keys = entries(bytes, &password)?.into_iter().filter_map(|entry| match entry {
        Entry::Key { protected, chain } => Some((protected, chain)),
        Entry::Certificate(_) => None,
    });
    let (protected, chain) = keys.next().ok_or(StoreProblem::NoKey)?;
    if chain.is_empty() {
        return Err(StoreProblem::NoCertificate);
    }
    let plain = unprotect(protected, &password)?;
    let key = PrivatePkcs8KeyDer::from(plain.to_vec()).into();
    Ok(KeyEntry { chain, key, others: keys.count() })
}

/// Reads the certificates that stand by themselves.
pub fn trusted(bytes: &[u8], password: &str) -> Result<Vec<CertificateDer<'static>>, StoreProblem> {
    let entries = entries(bytes, &utf16(password))?.into_iter();
    Ok(entries
        .filter_map(|entry| match entry {
            Entry::Certificate(certificate) => Some(certificate),
            Entry::Key { .. } => None,
        })
        .collect())
}

fn entries<'a>(bytes: &'a [u8], password: &[u8]) -> Result<Vec<Entry<'a>>, StoreProblem> {
    if bytes.starts_with(&JCEKS_MAGIC) {
        return Err(StoreProblem::Unsupported("the form JCEKS"));
    }
    let (body, hash) =
        bytes.split_last_chunk::<HASH_BYTES>().ok_or(StoreProblem::Malformed(Malformed::Shape))?;
    let mut reader = Reader { rest: body };
    if reader.array()? != MAGIC {
        return Err(Malformed::Shape.into());
    }
    let version = reader.number()?;
    if !matches!(version, 1 | 2) {
        return Err(StoreProblem::Unsupported("an unknown version of the form JKS"));
    }
    let computed = Sha1::new().chain_update(password).chain_update(WHITENER).chain_update(body);
    if computed.finalize()[..] != hash[..] {
        return Err(StoreProblem::WrongPassword);
    }
    let count = reader.number()?;
    let mut entries = Vec::new();
    let mut certificates = 0;
    for _ in 0..count {
        let tag = reader.number()?;
        // Alias and date have no effect here.
        reader.text()?;
        reader.array::<8>()?;
        let entry = match tag {
            1 => {
                let protected = reader.bytes()?;
                let links = reader.number()?;
                if links > u32::try_from(CHAIN_CERTIFICATES_MAX).unwrap_or(u32::MAX) {
                    return Err(StoreProblem::Other("a chain in it has too many certificates"));
                }
                let chain =
                    (0..links).map(|_| reader.certificate(version)).collect::<Result<_, _>>()?;
                Entry::Key { protected, chain }
            }
            2 => Entry::Certificate(reader.certificate(version)?),
            _ => return Err(Malformed::Shape.into()),
        };
        certificates += match &entry {
            Entry::Key { chain, .. } => chain.len(),
            Entry::Certificate(_) => 1,
        };
        if certificates > STORE_CERTIFICATES_MAX {
            return Err(StoreProblem::Other("it holds more certificates than any server needs"));
        }
        entries.push(entry);
    }
    if reader.rest.is_empty() { Ok(entries) } else { Err(Malformed::Shape.into()) }
}

/// Decrypts a key: 20 bytes of salt, the key under the stream, and SHA-1 of password and key.
// Java: sun.security.provider.KeyProtector.recover.
fn unprotect(protected: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreProblem> {
    let mut der = Der::new(protected);
    let mut info = der.sequence()?;
    let scheme = info.sequence()?.take(OBJECT_ID)?;
    if scheme != KEY_PROTECTOR {
        return Err(StoreProblem::Unsupported("an unknown encryption of its key"));
    }
    let secret = info.take(OCTET_STRING)?;
    let (salt, secret) = secret
        .split_first_chunk::<HASH_BYTES>()
        .ok_or(StoreProblem::Malformed(Malformed::Shape))?;
    let (secret, check) =
        secret.split_last_chunk::<HASH_BYTES>().ok_or(StoreProblem::Malformed(Malformed::Shape))?;
    let mut plain = Zeroizing::new(secret.to_vec());
    let mut stream = *salt;
    for part in plain.chunks_mut(HASH_BYTES) {
        stream = Sha1::new().chain_update(password).chain_update(stream).finalize().into();
        part.iter_mut().zip(stream).for_each(|(byte, key)| *byte ^= key);
    }
    let computed = Sha1::new().chain_update(password).chain_update(&plain[..]).finalize();
    if computed[..] != check[..] {
        return Err(StoreProblem::WrongPassword);
    }
    Der::new(&plain).take(SEQUENCE)?;
    Ok(plain)
}

fn utf16(password: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(password.encode_utf16().flat_map(u16::to_be_bytes).collect())
}

/// `java.io.DataInputStream`, of which each method checks the length before it reads.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Shape)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed::Shape)
    }

    fn number(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// Bytes behind their length of four bytes.
    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed::Shape)?;
        self.take(length)
    }

    /// `readUTF`: bytes behind their length of two bytes.
    fn text(&mut self) -> Result<&'a [u8], Malformed> {
        let length = u16::from_be_bytes(self.array()?);
        self.take(usize::from(length))
    }

    fn certificate(&mut self, version: u32) -> Result<CertificateDer<'static>, StoreProblem> {
        if version == 2 && self.text()? != b"X.509" {
            return Err(StoreProblem::Unsupported("certificates of another kind than X.509"));
        }
        let bytes = self.bytes()?;
        Der::new(bytes).take(SEQUENCE)?;
        Ok(CertificateDer::from(bytes.to_vec()))
    }
}
