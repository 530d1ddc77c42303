//! How a connection shows who it is: `digest`, `ip` and the name of the ensemble.

use std::collections::BTreeSet;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Digest;

use crate::acl::ip;
use crate::acl::list::Identity;

/// The hash of `digest` identities (`zookeeper.DigestAuthenticationProvider.digestAlg`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DigestAlgorithm {
    /// ZooKeeper's default.
    #[default]
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// SHA3-256.
    Sha3_256,
    /// SHA3-512.
    Sha3_512,
}

impl DigestAlgorithm {
    /// The algorithm with this name in the configuration, as Java's `MessageDigest` knows it.
    pub fn from_name(name: &str) -> Option<DigestAlgorithm> {
        Some(match name.to_ascii_uppercase().as_str() {
            "SHA1" | "SHA-1" | "SHA" => DigestAlgorithm::Sha1,
            "SHA-256" => DigestAlgorithm::Sha256,
            "SHA-512" => DigestAlgorithm::Sha512,
            "SHA3-256" => DigestAlgorithm::Sha3_256,
            "SHA3-512" => DigestAlgorithm::Sha3_512,
            _ => return None,
        })
    }

    fn base64_of(self, text: &[u8]) -> String {
        match self {
            DigestAlgorithm::Sha1 => STANDARD.encode(sha1::Sha1::digest(text)),
            DigestAlgorithm::Sha256 => STANDARD.encode(sha2::Sha256::digest(text)),
            DigestAlgorithm::Sha512 => STANDARD.encode(sha2::Sha512::digest(text)),
            DigestAlgorithm::Sha3_256 => STANDARD.encode(sha3::Sha3_256::digest(text)),
            DigestAlgorithm::Sha3_512 => STANDARD.encode(sha3::Sha3_512::digest(text)),
        }
    }
}

/// The name of a `digest` identity: `user:` and the base64 of the hash of `user:password`.
pub fn digest_of(algorithm: DigestAlgorithm, user_password: &str) -> String {
    let user = user_password.split(':').next().unwrap_or_default();
    format!("{user}:{}", algorithm.base64_of(user_password.as_bytes()))
}

/// The identity that every connection has by its address.
pub fn ip_identity(address: IpAddr) -> Identity {
    Identity::new("ip", &ip::host_text(address))
}

/// What the configuration says about identities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticationOptions {
    /// `zookeeper.DigestAuthenticationProvider.enabled`.
    pub digest_enabled: bool,
    /// `zookeeper.DigestAuthenticationProvider.digestAlg`.
    pub digest_algorithm: DigestAlgorithm,
    /// `zookeeper.DigestAuthenticationProvider.superDigest`: the digest identity that may do all.
    pub super_digest: Option<String>,
    /// `zookeeper.ensembleAuthName`, split at commas; `None`: the scheme `ensemble` is unknown.
    pub ensemble_names: Option<BTreeSet<String>>,
}

impl Default for AuthenticationOptions {
    fn default() -> Self {
        AuthenticationOptions {
            digest_enabled: true,
            digest_algorithm: DigestAlgorithm::default(),
            super_digest: None,
            ensemble_names: None,
        }
    }
}

/// Why an auth request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthFailed {
    /// Unknown scheme or no credentials: answer with `AuthFailed`, then close.
    Refused,
    /// Another ensemble is wanted: close at once, so that the client tries its next server.
    WrongEnsemble,
}

/// Turns credentials into identities.
#[derive(Clone, Debug, Default)]
pub struct Authentication {
    options: AuthenticationOptions,
}

impl Authentication {
    /// With these options.
    pub fn new(options: AuthenticationOptions) -> Authentication {
        Authentication { options }
    }

    /// What it was made with.
    pub fn options(&self) -> &AuthenticationOptions {
        &self.options
    }

    /// The identities that an auth request adds to its connection; none is fine for `ensemble`.
    ///
    /// # Errors
    /// The scheme is unknown or the credentials do not hold; the connection is to be closed.
    pub fn authenticate(
        &self,
        scheme: Option<&str>,
        auth: Option<&[u8]>,
        remote: IpAddr,
    ) -> Result<Vec<Identity>, AuthFailed> {
        match scheme {
            Some("digest") if self.options.digest_enabled => {
                let auth = String::from_utf8_lossy(auth.ok_or(AuthFailed::Refused)?);
                let name = digest_of(self.options.digest_algorithm, &auth);
                let mut identities = Vec::with_capacity(2);
                if self.options.super_digest.as_deref() == Some(name.as_str()) {
                    identities.push(Identity::new("super", ""));
                }
                identities.push(Identity::new("digest", &name));
                Ok(identities)
            }
            Some("ip") => Ok(vec![ip_identity(remote)]),
            Some("ensemble") => {
                let Some(names) = &self.options.ensemble_names else {
                    return Err(AuthFailed::Refused);
                };
                let name = String::from_utf8_lossy(auth.unwrap_or_default());
                if name.is_empty() || names.contains(&*name) {
                    Ok(Vec::new())
                } else {
                    Err(AuthFailed::WrongEnsemble)
                }
            }
            _ => Err(AuthFailed::Refused),
        }
    }
}
