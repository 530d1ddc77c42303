//! Authentication of a connection: `digest`, `ip`, `x509` and the name of the ensemble.
//!
//! ```text
//! scheme     credentials              identities
//! digest     user:password            digest, user:base64(hash of user:password); and super, if it is superDigest
//! ip         none                     ip, the address of the client
//! x509       the certificate of TLS   x509, its subject; and super, if it is the super user's
//! ensemble   a name, or nothing       none: it only ends connections to another ensemble
//! ```
//! This module only adds identities. Passwords are not kept: a client shows that it can make a hash, and ACLs contain
//! hashes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Digest;

use crate::acl::ip;
use crate::acl::list::Identity;
use crate::acl::schemes::Schemes;
use crate::limits;

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

    /// The hash of a text, as ACLs have it.
    fn base64_of(self, text: &[u8]) -> String {
        match self {
            DigestAlgorithm::Sha1 => STANDARD.encode(hash::<sha1::Sha1>(text)),
            DigestAlgorithm::Sha256 => STANDARD.encode(hash::<sha2::Sha256>(text)),
            DigestAlgorithm::Sha512 => STANDARD.encode(hash::<sha2::Sha512>(text)),
            DigestAlgorithm::Sha3_256 => STANDARD.encode(hash::<sha3::Sha3_256>(text)),
            DigestAlgorithm::Sha3_512 => STANDARD.encode(hash::<sha3::Sha3_512>(text)),
        }
    }
}

/// The hash of the text as Java reads it, with a replacement character for each malformed part. That text, which
/// might be three times as long, is never built.
fn hash<D: Digest>(text: &[u8]) -> impl AsRef<[u8]> + use<D> {
    let mut hash = D::new();
    for chunk in text.utf8_chunks() {
        hash.update(chunk.valid());
        if !chunk.invalid().is_empty() {
            hash.update(char::REPLACEMENT_CHARACTER.encode_utf8(&mut [0; 4]));
        }
    }
    hash.finalize()
}

/// The name of a `digest` identity: `user:` and the base64 of the hash of `user:password`.
pub fn digest_of(algorithm: DigestAlgorithm, user_password: impl AsRef<[u8]>) -> String {
    let user_password = user_password.as_ref();
    let user = user_password.split(|byte| *byte == b':').next().unwrap_or_default();
    format!("{}:{}", String::from_utf8_lossy(user), algorithm.base64_of(user_password))
}

/// Whether a connection with these identities may have one more.
fn has_room(shown: &[Identity], more: &Identity) -> bool {
    let bytes = shown.iter().chain([more]).map(Identity::bytes).sum::<usize>();
    shown.len() < limits::IDENTITIES_MAX && bytes <= limits::IDENTITIES_BYTES_MAX
}

/// Adds new identities to those that a connection presented before. They are a set, as in ZooKeeper.
///
/// # Errors
/// There would be too many identities, or too many bytes of them; some of the new ones may have been
/// added.
pub fn add_identities(shown: &mut Vec<Identity>, more: Vec<Identity>) -> Result<(), AuthFailed> {
    for identity in more {
        if shown.contains(&identity) {
            continue;
        }
        if !has_room(shown, &identity) {
            return Err(AuthFailed::TooMuch);
        }
        shown.push(identity);
    }
    Ok(())
}

/// The identity that every connection has from its address.
pub fn ip_identity(address: IpAddr) -> Identity {
    Identity::new("ip", &ip::host_text(address))
}

/// The configuration of authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthenticationOptions {
    /// The schemes that exist.
    pub schemes: Rc<Schemes>,
    /// `zookeeper.DigestAuthenticationProvider.digestAlg`.
    pub digest_algorithm: DigestAlgorithm,
    /// `zookeeper.DigestAuthenticationProvider.superDigest`: the digest identity that may do
    /// everything.
    pub super_digest: Option<String>,
    /// `zookeeper.ensembleAuthName`, split at commas; without names, any name is accepted. `None`: the
    /// scheme `ensemble` is unknown.
    pub ensemble_names: Option<BTreeSet<String>>,
    /// `zookeeper.X509AuthenticationProvider.superUser`: the subject of the certificate whose client may do everything.
    pub x509_super_user: Option<String>,
}

/// Why an auth request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthFailed {
    /// Unknown scheme or no credentials: answer with `AuthFailed`, then close.
    #[error("the scheme is unknown, or there is no proof")]
    Refused,
    /// More identities than a connection may have, or longer ones: handled like `Refused`.
    // ZooKeeper: ServerCnxn.addAuthInfo sets no bound.
    #[error(
        "more than {} identities, or {} bytes of them",
        limits::IDENTITIES_MAX,
        limits::IDENTITIES_BYTES_MAX
    )]
    TooMuch,
    /// The client wants another ensemble: close at once, so that it tries its next server.
    #[error("it looks for another ensemble")]
    WrongEnsemble,
}

/// What the name is for which a client looks, if it may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnsembleName {
    /// One of this ensemble.
    Ours,
    /// The client gives none, or none is configured.
    NotCompared,
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

    /// The options that it was made with.
    pub fn options(&self) -> &AuthenticationOptions {
        &self.options
    }

    /// The identities of a client whose certificate was verified when it connected. `subject`: its subject in the form
    /// of RFC 2253. Empty if the scheme is unknown.
    // ZooKeeper: X509AuthenticationProvider.handleAuthentication.
    pub fn identities_of(&self, subject: &str) -> Vec<Identity> {
        if !self.options.schemes.x509 {
            return Vec::new();
        }
        let own = Identity::new("x509", subject);
        match self.options.x509_super_user.as_deref() == Some(subject) {
            true => vec![Identity::new("super", subject), own],
            false => vec![own],
        }
    }

    /// The identities that an auth request adds to its connection; for `ensemble` there are none.
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
            Some("digest") if self.options.schemes.digest => {
                let auth = auth.ok_or(AuthFailed::Refused)?;
                let user_bytes = auth.iter().position(|byte| *byte == b':').unwrap_or(auth.len());
                // The user's name is a part of the identity, and is bounded before a copy of it is made.
                if user_bytes > limits::IDENTITIES_BYTES_MAX {
                    return Err(AuthFailed::TooMuch);
                }
                let name = digest_of(self.options.digest_algorithm, auth);
                let mut identities = Vec::with_capacity(2);
                if self.options.super_digest.as_deref() == Some(name.as_str()) {
                    identities.push(Identity::new("super", ""));
                }
                identities.push(Identity::new("digest", &name));
                Ok(identities)
            }
            Some("ip") => Ok(vec![ip_identity(remote)]),
            Some("ensemble") => self.compare_ensemble(auth).map(|_| Vec::new()),
            _ => Err(AuthFailed::Refused),
        }
    }

    /// Compares the name of the ensemble for which a client looks with the names of this one.
    ///
    /// # Errors
    /// The scheme is unknown, or the client looks for another ensemble; the connection is to be closed.
    // ZooKeeper: EnsembleAuthenticationProvider.handleAuthentication accepts every client if no names are configured.
    pub fn compare_ensemble(&self, auth: Option<&[u8]>) -> Result<EnsembleName, AuthFailed> {
        let names = self.options.ensemble_names.as_ref().ok_or(AuthFailed::Refused)?;
        let name = auth.unwrap_or_default();
        if name.is_empty() || names.is_empty() {
            return Ok(EnsembleName::NotCompared);
        }
        match std::str::from_utf8(name).is_ok_and(|name| names.contains(name)) {
            true => Ok(EnsembleName::Ours),
            false => Err(AuthFailed::WrongEnsemble),
        }
    }

    /// The identity that an auth request of the scheme `key` adds. `key`: the data of the node `/key`.
    ///
    /// # Errors
    /// The scheme is unknown, or what the client gives is no multiple of the key; the connection is to be closed.
    // ZooKeeper: KeyAuthenticationProvider, an example of a provider. Without a key everybody passes, and the name is
    // always empty.
    pub fn authenticate_by_key(
        &self,
        auth: Option<&[u8]>,
        key: Option<&[u8]>,
    ) -> Result<Vec<Identity>, AuthFailed> {
        let auth = auth.filter(|_| self.options.schemes.key).ok_or(AuthFailed::Refused)?;
        let number =
            |bytes| std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<i32>().ok());
        let passes = match key.map(|key| (number(auth), number(key))) {
            None | Some((Some(_), Some(0))) => true,
            Some((Some(auth), Some(key))) => auth.wrapping_rem(key) == 0,
            Some(_) => false,
        };
        if passes { Ok(vec![Identity::new("key", "")]) } else { Err(AuthFailed::Refused) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMOTE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn the_digest_of_a_user_is_the_documented_one() {
        // The example of ZooKeeper's administrator's guide.
        assert_eq!(
            digest_of(DigestAlgorithm::Sha1, "super:test"),
            "super:D/InIHSb7yEEbrWz8b9l71RjZJU="
        );
        assert_eq!(
            digest_of(DigestAlgorithm::Sha256, "super:test"),
            "super:wjySwxg860UATFtciuZ1lpzrCHrPeov6SPu/ZD56uig="
        );
    }

    #[test]
    fn every_algorithm_has_a_name_and_a_length() {
        for (name, length) in
            [("SHA1", 28), ("SHA-256", 44), ("sha-512", 88), ("SHA3-256", 44), ("SHA3-512", 88)]
        {
            let algorithm = DigestAlgorithm::from_name(name).unwrap();
            assert_eq!(digest_of(algorithm, "u:p").len(), 2 + length, "{name}");
        }
        assert_eq!(DigestAlgorithm::from_name("MD4"), None);
    }

    #[test]
    fn a_certificate_gives_its_subject_and_the_configured_one_everything() {
        let options = AuthenticationOptions {
            schemes: Rc::new(Schemes { x509: true, ..Schemes::default() }),
            x509_super_user: Some("CN=root".into()),
            ..AuthenticationOptions::default()
        };
        let authentication = Authentication::new(options);
        assert_eq!(authentication.identities_of("CN=a"), [Identity::new("x509", "CN=a")]);
        let root = [Identity::new("super", "CN=root"), Identity::new("x509", "CN=root")];
        assert_eq!(authentication.identities_of("CN=root"), root);
        assert!(Authentication::default().identities_of("CN=a").is_empty());
    }

    #[test]
    fn the_super_digest_adds_the_super_identity() {
        let super_digest = Some(digest_of(DigestAlgorithm::Sha1, "super:test"));
        let options = AuthenticationOptions { super_digest, ..AuthenticationOptions::default() };
        let authentication = Authentication::new(options);
        let got = authentication.authenticate(Some("digest"), Some(b"super:test"), REMOTE).unwrap();
        assert_eq!(got[0], Identity::new("super", ""));
        assert_eq!(got[1], Identity::new("digest", "super:D/InIHSb7yEEbrWz8b9l71RjZJU="));
        let got = authentication.authenticate(Some("digest"), Some(b"a:b"), REMOTE).unwrap();
        assert_eq!(got.len(), 1);
    }

    #[test]
    fn what_is_no_text_counts_as_java_reads_it_and_no_more_of_it_than_is_kept_is_made() {
        let authentication = Authentication::default();
        let prove = |proof: &[u8]| authentication.authenticate(Some("digest"), Some(proof), REMOTE);
        let text = String::from_utf8_lossy(b"a\xff\xc3:\xe2\x82p\xf0").into_owned();
        let expected = digest_of(DigestAlgorithm::Sha1, &text);
        assert!(expected.starts_with("a\u{fffd}\u{fffd}:"));
        let proved = prove(b"a\xff\xc3:\xe2\x82p\xf0").unwrap();
        assert_eq!(proved, [Identity::new("digest", &expected)]);
        let user = vec![0xff; limits::IDENTITIES_BYTES_MAX];
        assert_eq!(prove(&[&user[..], b"x:p"].concat()), Err(AuthFailed::TooMuch));
        let mut shown = vec![ip_identity(REMOTE)];
        let tripled = prove(&[&user[..user.len() / 2], b":p"].concat()).unwrap();
        assert_eq!(add_identities(&mut shown, tripled), Err(AuthFailed::TooMuch));
        let password = vec![b'p'; 1 << 20];
        let proved = prove(&[b"a:", &password[..]].concat()).unwrap();
        assert_eq!(add_identities(&mut shown, proved), Ok(()), "a password is not kept");
    }

    #[test]
    fn a_connection_shows_no_more_than_it_may_and_the_same_as_often_as_it_likes() {
        let mut shown = vec![ip_identity(REMOTE)];
        let user = |number: usize| vec![Identity::new("digest", &format!("{number}:x"))];
        for number in 1..limits::IDENTITIES_MAX {
            assert_eq!(add_identities(&mut shown, user(number)), Ok(()));
        }
        assert_eq!(add_identities(&mut shown, user(7)), Ok(()));
        assert_eq!(add_identities(&mut shown, user(0)), Err(AuthFailed::TooMuch));
        let mut shown = vec![ip_identity(REMOTE)];
        let room = limits::IDENTITIES_BYTES_MAX - "ip127.0.0.1digest".len();
        let name = |bytes: usize| vec![Identity::new("digest", &"n".repeat(bytes))];
        assert_eq!(add_identities(&mut shown, name(room + 1)), Err(AuthFailed::TooMuch));
        assert_eq!(add_identities(&mut shown, name(room)), Ok(()));
        assert_eq!(add_identities(&mut shown, name(0)), Err(AuthFailed::TooMuch));
    }

    #[test]
    fn what_is_unknown_or_missing_is_refused() {
        let authentication = Authentication::default();
        for scheme in [None, Some("nosuch"), Some("sasl"), Some("world"), Some("ensemble")] {
            let got = authentication.authenticate(scheme, Some(b"x"), REMOTE);
            assert_eq!(got, Err(AuthFailed::Refused), "{scheme:?}");
        }
        let got = authentication.authenticate(Some("digest"), None, REMOTE);
        assert_eq!(got, Err(AuthFailed::Refused));
        let schemes = Rc::new(Schemes { digest: false, ..Schemes::default() });
        let off = AuthenticationOptions { schemes, ..Default::default() };
        let got = Authentication::new(off).authenticate(Some("digest"), Some(b"a:b"), REMOTE);
        assert_eq!(got, Err(AuthFailed::Refused));
    }

    #[test]
    fn a_multiple_of_the_key_opens() {
        let with = |schemes| {
            let schemes = Rc::new(schemes);
            Authentication::new(AuthenticationOptions { schemes, ..Default::default() })
        };
        let authentication = with(Schemes { key: true, ..Schemes::default() });
        let passes = |auth: &str, key: Option<&str>| {
            let (auth, key) = (auth.as_bytes(), key.map(str::as_bytes));
            match authentication.authenticate_by_key(Some(auth), key) {
                Ok(identities) => identities == [Identity::new("key", "")],
                Err(_) => false,
            }
        };
        assert!(passes("anything", None), "there is no key yet");
        for (auth, key) in
            [("25", "5"), ("-10", "+5"), ("7", "0"), ("0", "5"), ("-2147483648", "-1")]
        {
            assert!(passes(auth, Some(key)), "{auth:?} {key:?}");
        }
        for (auth, key) in
            [("26", "5"), ("x", "5"), ("5", "x"), ("", "5"), ("5", ""), ("5 ", "5"), ("x", "0")]
        {
            assert!(!passes(auth, Some(key)), "{auth:?} {key:?}");
        }
        assert_eq!(authentication.authenticate_by_key(None, None), Err(AuthFailed::Refused));
        let closed = with(Schemes::default()).authenticate_by_key(Some(b"1"), None);
        assert_eq!(closed, Err(AuthFailed::Refused));
    }

    #[test]
    fn an_address_shows_itself() {
        let got = Authentication::default().authenticate(Some("ip"), None, REMOTE).unwrap();
        assert_eq!(got, [Identity::new("ip", "127.0.0.1")]);
    }

    #[test]
    fn the_wrong_ensemble_is_told_apart() {
        let ensemble_names = Some(["one".to_owned(), "two".to_owned()].into());
        let options = AuthenticationOptions { ensemble_names, ..Default::default() };
        let authentication = Authentication::new(options);
        for name in [Some(&b"one"[..]), Some(b"two"), Some(b""), None] {
            assert_eq!(authentication.authenticate(Some("ensemble"), name, REMOTE), Ok(vec![]));
        }
        let got = authentication.authenticate(Some("ensemble"), Some(b"three"), REMOTE);
        assert_eq!(got, Err(AuthFailed::WrongEnsemble));
        let options =
            AuthenticationOptions { ensemble_names: Some([].into()), ..Default::default() };
        let authentication = Authentication::new(options);
        let got = authentication.authenticate(Some("ensemble"), Some(b"three"), REMOTE);
        assert_eq!(got, Ok(vec![]), "no name is set");
    }
}
