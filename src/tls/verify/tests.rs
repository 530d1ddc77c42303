//! What a peer can make of the certificates that it sends.

use std::cell::Cell;

use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};

use super::*;

thread_local! {
    /// Signatures that this thread has checked.
    static CHECKED: Cell<usize> = const { Cell::new(0) };
}

/// ECDSA on P-256, which counts.
#[derive(Debug)]
struct Counting;

impl SignatureVerificationAlgorithm for Counting {
    fn verify_signature(&self, key: &[u8], of: &[u8], it: &[u8]) -> Result<(), InvalidSignature> {
        CHECKED.set(CHECKED.get() + 1);
        webpki::aws_lc_rs::ECDSA_P256_SHA256.verify_signature(key, of, it)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        webpki::aws_lc_rs::ECDSA_P256_SHA256.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        webpki::aws_lc_rs::ECDSA_P256_SHA256.signature_alg_id()
    }
}

fn params(name: &str, is_authority: bool) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    if is_authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

fn authority(name: &str) -> (CertificateDer<'static>, Issuer<'static, KeyPair>) {
    let (params, key) = (params(name, true), KeyPair::generate().unwrap());
    (params.self_signed(&key).unwrap().der().clone(), Issuer::new(params, key))
}

/// The certificate of an authority of this name, and the authority.
fn authority_under(
    name: &str,
    issuer: &Issuer<'static, KeyPair>,
) -> (CertificateDer<'static>, Issuer<'static, KeyPair>) {
    let (params, key) = (params(name, true), KeyPair::generate().unwrap());
    (params.signed_by(&key, issuer).unwrap().der().clone(), Issuer::new(params, key))
}

fn leaf(issuer: &Issuer<'static, KeyPair>) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    params("a peer", false).signed_by(&key, issuer).unwrap().der().clone()
}

fn trust(all: Vec<CertificateDer<'static>>) -> Trust {
    static COUNTING: &[&dyn SignatureVerificationAlgorithm] = &[&Counting];
    let mut provider = default_provider();
    provider.signature_verification_algorithms.all = COUNTING;
    Trust::new(all, &provider, None).unwrap()
}

fn check(
    trust: &Trust,
    leaf: &CertificateDer<'_>,
    sent: &[CertificateDer<'_>],
) -> Result<(), Error> {
    CHECKED.set(0);
    trust.check(leaf, sent, UnixTime::now(), Purpose::Client)
}

#[test]
fn a_stranger_whose_issuers_all_have_one_name_costs_a_signature_for_each_at_most() {
    let (root, _) = authority("the authority");
    let trust = trust(vec![root]);
    let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
    // Webpki would look at two hundred thousand paths through these, before it gives up.
    let (own, issuer) = authority("a name");
    let mut sent: Vec<CertificateDer<'static>> =
        (2..CHAIN_CERTIFICATES_MAX).map(|_| authority("a name").0).collect();
    sent.push(own);
    assert_eq!(check(&trust, &leaf(&issuer), &sent), Err(unknown.clone()));
    assert_eq!(CHECKED.get(), 0, "none of them names the authority");
    // And here at each of them whose issuer could be the authority, again and again.
    let (_, forged) = authority("the authority");
    let mut issuer = None;
    let sent: Vec<CertificateDer<'static>> = (1..CHAIN_CERTIFICATES_MAX)
        .map(|number| {
            let (certificate, of_it) = if number % 2 == 0 {
                authority("a name")
            } else {
                authority_under("a name", &forged)
            };
            issuer = Some(of_it);
            certificate
        })
        .collect();
    assert_eq!(check(&trust, &leaf(&issuer.unwrap()), &sent), Err(unknown));
    assert!(CHECKED.get() <= sent.len(), "{}", CHECKED.get());
}

#[test]
fn issuers_are_found_in_any_order_among_others() {
    let (root, top) = authority("the authority");
    let trust = trust(vec![root.clone()]);
    let (middle_certificate, middle) = authority_under("the middle", &top);
    let (low_certificate, low) = authority_under("the lowest", &middle);
    let (stranger, _) = authority("the middle");
    let leaf = leaf(&low);
    for sent in [
        vec![low_certificate.clone(), middle_certificate.clone()],
        vec![stranger, low_certificate.clone(), root, middle_certificate],
    ] {
        assert_eq!(check(&trust, &leaf, &sent), Ok(()));
    }
    let unknown = CertificateError::UnknownIssuer.into();
    assert_eq!(check(&trust, &leaf, &[low_certificate]), Err(unknown));
}

#[test]
fn the_owner_of_a_trusted_certificate_gives_itself_no_other_names() {
    let key = KeyPair::generate().unwrap();
    let with = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "zk1");
        params.self_signed(&key).unwrap().der().clone()
    };
    let trust = trust(vec![with(&["zk1"])]);
    assert_eq!(check(&trust, &with(&["zk1"]), &[]), Ok(()), "the same names, made anew");
    for names in [&["zk2"][..], &["zk1", "zk2"], &["zk1", "10.0.0.2"], &[]] {
        let unknown = CertificateError::UnknownIssuer.into();
        assert_eq!(check(&trust, &with(names), &[]), Err(unknown), "{names:?}");
    }
}

#[test]
fn an_authority_with_name_constraints_issues_nothing_that_webpki_does_not_check() {
    let mut constrained = params("the authority", true);
    let subtrees = vec![rcgen::GeneralSubtree::DnsName("example.com".into())];
    constrained.name_constraints = Some(rcgen::NameConstraints {
        permitted_subtrees: subtrees,
        excluded_subtrees: Vec::new(),
    });
    let key = KeyPair::generate().unwrap();
    let root = constrained.self_signed(&key).unwrap().der().clone();
    let issuer = Issuer::new(constrained, key);
    // Some tools write the extension without its mark as a critical one.
    let critical = [&[6, 3, 0x55, 0x1d, 30, 1, 1, 0xff][..]];
    let at = root.windows(8).position(|part| part == critical[0]).expect("rcgen marks it");
    let mut weak = root.to_vec();
    weak[at + 7] = 0;
    let trust = trust(vec![weak.into()]);
    let own = KeyPair::generate().unwrap();
    let odd = params("a peer", true).signed_by(&own, &issuer).unwrap().der().clone();
    assert!(check(&trust, &odd, &[]).is_err());
}

#[test]
fn a_chain_that_would_not_fit_into_a_ticket_is_refused_whoever_issued_it() {
    let (root, issuer) = authority("the authority");
    let trust = trust(vec![root]);
    let signed = |filler: usize| {
        let mut params = params("a peer", false);
        // An extension of nobody's, which is not critical.
        let filled = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 1, 1], vec![4; filler]);
        params.custom_extensions.push(filled);
        params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone()
    };
    assert_eq!(check(&trust, &signed(CHAIN_BYTES_MAX / 2), &[]), Ok(()));
    let long = signed(CHAIN_BYTES_MAX);
    assert!(check(&trust, &long, &[]).unwrap_err().to_string().contains("too long"));
    let (half, other) = (signed(CHAIN_BYTES_MAX / 2), signed(CHAIN_BYTES_MAX / 2));
    assert!(check(&trust, &half, &[other]).unwrap_err().to_string().contains("too long"));
}
