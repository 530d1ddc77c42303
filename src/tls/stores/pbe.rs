//! Encryption with a password, as PKCS#8 keys and PKCS#12 files use it: PBES2, and the older schemes of PKCS#12 and
//! PKCS#5.
//!
//! It decrypts only. Whoever wrote a file chose the number of iterations, so [`PBE_ITERATIONS_MAX`] bounds it. A wrong
//! password is found by the padding alone; the caller must check that what comes out has the right structure.

use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipher, BlockDecryptMut, InnerIvInit, KeyInit, KeyIvInit};
use des::{Des, TdesEde3};
use md5::Md5;
use rc2::Rc2;
use sha1::Sha1;
use sha2::digest::core_api::BlockSizeUser;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use super::StoreProblem;
use crate::limits::PBE_ITERATIONS_MAX;
use crate::tls::der::{Der, INTEGER, Malformed, OBJECT_ID, OCTET_STRING, SEQUENCE};

/// Bytes that were decrypted; they are overwritten when they are no longer needed.
pub type Plain = Zeroizing<Vec<u8>>;

// Object identifiers, as the content bytes of their elements.
const PKCS5: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05];
const PKCS12_PBE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01];
const DIGESTS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02];
const CIPHERS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x03];
const AES: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];

/// Decrypts the content of an `EncryptedPrivateKeyInfo` (PKCS#8): the algorithm, then an octet string.
pub fn decrypt_key(
    bytes: &[u8],
    password: &str,
    effort: &mut Effort,
) -> Result<Plain, StoreProblem> {
    let mut der = Der::new(bytes);
    let mut info = der.sequence()?;
    der.end()?;
    let algorithm = info.take(SEQUENCE)?;
    decrypt(algorithm, info.take(OCTET_STRING)?, password, effort)
}

/// Decrypts with the algorithm of an `AlgorithmIdentifier`, whose content `algorithm` is.
pub fn decrypt(
    algorithm: &[u8],
    secret: &[u8],
    password: &str,
    effort: &mut Effort,
) -> Result<Plain, StoreProblem> {
    let mut der = Der::new(algorithm);
    let id = der.take(OBJECT_ID)?;
    if let Some(&[number]) = id.strip_prefix(PKCS12_PBE) {
        let (salt, iterations) = salted(der, effort)?;
        let material =
            |purpose, length| pkcs12_key::<Sha1>(&bmp(password), salt, iterations, purpose, length);
        return match number {
            3 => cbc::<TdesEde3>(&material(KEY, 24), &material(IV, 8), secret),
            5 => rc2(&material(KEY, 16), &material(IV, 8), secret),
            6 => rc2(&material(KEY, 5), &material(IV, 8), secret),
            1 | 2 => Err(StoreProblem::cipher("RC4")),
            4 => Err(StoreProblem::cipher("triple DES with two keys")),
            _ => Err(StoreProblem::cipher("an unknown scheme of PKCS#12")),
        };
    }
    match id.strip_prefix(PKCS5) {
        Some(&[13]) => pbes2(der, secret, password, effort),
        Some(&[number @ (3 | 6 | 10 | 11)]) => {
            let (salt, iterations) = salted(der, effort)?;
            let key = if number < 10 {
                pbkdf1::<Md5>(password, salt, iterations)
            } else {
                pbkdf1::<Sha1>(password, salt, iterations)
            };
            match number {
                3 | 10 => cbc::<Des>(&key[..8], &key[8..16], secret),
                _ => rc2(&key[..8], &key[8..16], secret),
            }
        }
        _ => Err(StoreProblem::cipher("an unknown scheme")),
    }
}

/// The parameters of all older schemes: salt and iterations.
fn salted<'a>(mut der: Der<'a>, effort: &mut Effort) -> Result<(&'a [u8], u32), StoreProblem> {
    let mut parameters = der.sequence()?;
    let salt = parameters.take(OCTET_STRING)?;
    Ok((salt, effort.spend(parameters.number()?)?))
}

/// The iterations that one file may still ask for.
#[derive(Debug)]
pub struct Effort {
    iterations_left: u32,
}

impl Effort {
    /// All that a file may ask for.
    pub fn of_a_file() -> Self {
        Self { iterations_left: PBE_ITERATIONS_MAX }
    }

    /// Returns the number of iterations that a file asks for, if this server is willing to do so many.
    pub fn spend(&mut self, iterations: u32) -> Result<u32, StoreProblem> {
        if iterations == 0 {
            return Err(StoreProblem::from(Malformed::Shape));
        }
        let left = self.iterations_left.checked_sub(iterations);
        self.iterations_left = left.ok_or(StoreProblem::Iterations)?;
        Ok(iterations)
    }
}

fn pbes2(
    mut der: Der<'_>,
    secret: &[u8],
    password: &str,
    effort: &mut Effort,
) -> Result<Plain, StoreProblem> {
    let mut parameters = der.sequence()?;
    let mut derivation = parameters.sequence()?;
    let id = derivation.take(OBJECT_ID)?;
    if id.strip_prefix(PKCS5) != Some(&[12]) {
        return Err(StoreProblem::cipher("a key derivation other than PBKDF2, such as scrypt"));
    }
    let mut pbkdf2 = derivation.sequence()?;
    let salt = pbkdf2.take(OCTET_STRING)?;
    let iterations = effort.spend(pbkdf2.number()?)?;
    if pbkdf2.next_tag() == Some(INTEGER) {
        // The length of the key, which the cipher says as well.
        pbkdf2.number()?;
    }
    // Without a word it is HMAC with SHA-1.
    let hash = match pbkdf2.optional(SEQUENCE)? {
        Some(prf) => Der::new(prf).take(OBJECT_ID)?.strip_prefix(DIGESTS).unwrap_or_default(),
        None => &[7],
    };
    let mut scheme = parameters.sequence()?;
    let cipher = scheme.take(OBJECT_ID)?;
    let derive = |length: usize| -> Result<Zeroizing<Vec<u8>>, StoreProblem> {
        let mut key = Zeroizing::new(vec![0; length]);
        let password = password.as_bytes();
        match hash {
            [7] => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut key),
            [8] => pbkdf2::pbkdf2_hmac::<Sha224>(password, salt, iterations, &mut key),
            [9] => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut key),
            [10] => pbkdf2::pbkdf2_hmac::<Sha384>(password, salt, iterations, &mut key),
            [11] => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut key),
            _ => return Err(StoreProblem::cipher("an unknown hash")),
        }
        Ok(key)
    };
    if cipher.strip_prefix(CIPHERS) == Some(&[7]) {
        return cbc::<TdesEde3>(&derive(24)?, scheme.take(OCTET_STRING)?, secret);
    }
    match cipher.strip_prefix(AES) {
        Some(&[2]) => cbc::<Aes128>(&derive(16)?, scheme.take(OCTET_STRING)?, secret),
        Some(&[22]) => cbc::<Aes192>(&derive(24)?, scheme.take(OCTET_STRING)?, secret),
        Some(&[42]) => cbc::<Aes256>(&derive(32)?, scheme.take(OCTET_STRING)?, secret),
        _ => Err(StoreProblem::cipher("a cipher other than AES and triple DES in CBC mode")),
    }
}

fn cbc<C>(key: &[u8], iv: &[u8], secret: &[u8]) -> Result<Plain, StoreProblem>
where
    C: BlockCipher + BlockDecryptMut + KeyInit,
    Decryptor<C>: KeyIvInit + BlockDecryptMut,
{
    let cipher = Decryptor::<C>::new_from_slices(key, iv)
        .map_err(|_| StoreProblem::from(Malformed::Shape))?;
    unpadded(cipher, secret)
}

/// RC2 with a key whose every bit counts.
fn rc2(key: &[u8], iv: &[u8], secret: &[u8]) -> Result<Plain, StoreProblem> {
    let cipher =
        Decryptor::<Rc2>::inner_iv_slice_init(Rc2::new_with_eff_key_len(key, key.len() * 8), iv)
            .map_err(|_| StoreProblem::from(Malformed::Shape))?;
    unpadded(cipher, secret)
}

fn unpadded(cipher: impl BlockDecryptMut, secret: &[u8]) -> Result<Plain, StoreProblem> {
    let mut bytes = Zeroizing::new(secret.to_vec());
    let length = match cipher.decrypt_padded_mut::<Pkcs7>(&mut bytes) {
        Ok(plain) => plain.len(),
        Err(_) => return Err(StoreProblem::WrongPassword),
    };
    bytes.truncate(length);
    Ok(bytes)
}

/// PBKDF1 (RFC 8018, 5.1): at least 16 bytes, of which the schemes use 8 as the key and 8 as the first block.
fn pbkdf1<D: Digest>(password: &str, salt: &[u8], iterations: u32) -> Zeroizing<Vec<u8>> {
    let mut hash = D::new().chain_update(password.as_bytes()).chain_update(salt).finalize();
    for _ in 1..iterations {
        hash = D::digest(&hash);
    }
    Zeroizing::new(hash.to_vec())
}

// What the bytes of `pkcs12_key` are for (RFC 7292, B.3).
const KEY: u8 = 1;
const IV: u8 = 2;
/// The purpose of a MAC's key.
pub const MAC: u8 = 3;

/// A password as PKCS#12 hashes it: UTF-16, big-endian, with two zero bytes at the end.
pub fn bmp(password: &str) -> Zeroizing<Vec<u8>> {
    let units = password.encode_utf16().chain([0]);
    Zeroizing::new(units.flat_map(u16::to_be_bytes).collect())
}

/// The key derivation of PKCS#12 (RFC 7292, B.2). `length` bytes for `purpose`; `password` is what [`bmp`] returns.
pub fn pkcs12_key<D: Digest + BlockSizeUser>(
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    purpose: u8,
    length: usize,
) -> Zeroizing<Vec<u8>> {
    let block = D::block_size();
    let filled = |bytes: &[u8]| -> Vec<u8> {
        let length = bytes.len().div_ceil(block) * block;
        bytes.iter().copied().cycle().take(if bytes.is_empty() { 0 } else { length }).collect()
    };
    let diversifier = vec![purpose; block];
    let mut input = Zeroizing::new(filled(salt));
    input.extend(filled(password));
    let mut derived = Zeroizing::new(Vec::with_capacity(length + 64));
    while derived.len() < length {
        let mut hash = D::new().chain_update(&diversifier).chain_update(&input[..]).finalize();
        for _ in 1..iterations {
            hash = D::digest(&hash);
        }
        derived.extend_from_slice(&hash);
        // The next input: each block plus the hash, repeated to a block, plus one.
        let addend = filled(&hash);
        for part in input.chunks_mut(block) {
            let mut carry = 1_u16;
            for (byte, add) in part.iter_mut().zip(&addend).rev() {
                carry += u16::from(*byte) + u16::from(*add);
                *byte = carry.to_be_bytes()[1];
                carry >>= 8;
            }
        }
    }
    derived.truncate(length);
    derived
}
