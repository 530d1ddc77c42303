//! Lists of revoked certificates: whom they keep out, in whole handshakes in memory, and which of them are refused.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};

use super::tests::{Authority, HOST, handshake, load, side};
use super::*;

/// A list that revokes these, made in one year and due in another, in PEM.
fn list(issuer: &Issuer<'_, KeyPair>, serials: &[u64], (made, due): (i32, i32)) -> String {
    let revoked = |serial: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2020, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(made, 1, 1),
        next_update: date_time_ymd(due, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(issuer).unwrap().pem().unwrap()
}

const NOW: (i32, i32) = (2021, 2090);

fn numbered(serial: u64) -> impl FnOnce(&mut CertificateParams) {
    move |params| params.serial_number = Some(SerialNumber::from(serial))
}

impl Authority {
    /// A side with a certificate of this serial number, and a file of lists.
    fn numbered_side(&self, name: &str, serial: u64, lists: &str) -> TlsSide {
        let path = self.folder.path().join("revoked.pem");
        fs::write(&path, lists).unwrap();
        TlsSide { revocation_lists: Some(path), ..self.side(self.issue(name, numbered(serial))) }
    }
}

fn refusal(client: &TlsContext, server: &TlsContext) -> String {
    handshake(client, server, HOST).expect_err("a revoked certificate was accepted")
}

fn broken(side: &TlsSide) -> String {
    TlsContext::load(side).expect_err("a list that cannot be used was accepted").to_string()
}

#[test]
fn a_revoked_certificate_is_refused_by_both_ends_and_the_alert_does_not_say_why() {
    let authority = Authority::new();
    let lists = list(&authority.issuer, &[7, 300], NOW);
    let good = load(&authority.numbered_side("good", 6, &lists));
    let bad = load(&authority.side(authority.issue("bad", numbered(7))));
    handshake(&good, &good, HOST).unwrap();
    let refused = refusal(&bad, &good);
    assert!(refused.contains("server: ") && refused.contains("it is revoked"), "{refused}");
    let refused = refusal(&good, &bad);
    assert!(refused.contains("client: ") && refused.contains("it is revoked"), "{refused}");
    let error = rustls::Error::InvalidCertificate(rustls::CertificateError::Other(
        rustls::OtherError(Arc::new(io::Error::other("as verify says it"))),
    ));
    let rustls::Error::InvalidCertificate(error) = error else { unreachable!("made above") };
    let alert = rustls::AlertDescription::from(error);
    assert_eq!(alert, rustls::AlertDescription::CertificateUnknown);
}

#[test]
fn new_lists_count_after_the_next_reading_and_broken_ones_leave_the_old() {
    let authority = Authority::new();
    let lists = list(&authority.issuer, &[7], NOW);
    let good_side = authority.numbered_side("good", 6, &lists);
    let mut good = load(&good_side);
    let other = load(&authority.side(authority.issue("other", numbered(8))));
    handshake(&other, &good, HOST).unwrap();
    let path = good_side.revocation_lists.clone().unwrap();
    fs::write(&path, &lists[..lists.len() / 2]).unwrap();
    let Reload::Broken(error) = good.reload(&good_side) else { panic!("half a list was taken") };
    let begin = format!("ringkeeper.ssl.quorum.crl.location: {}: ", path.display());
    assert!(error.to_string().starts_with(&begin), "{error}");
    fs::write(&path, list(&authority.issuer, &[7, 8], NOW)).unwrap();
    let Reload::Changed(good) = good.reload(&good_side) else { panic!("no new list was taken") };
    assert!(refusal(&other, &good).contains("it is revoked"));
}

#[test]
fn a_certificate_of_the_trust_store_is_refused_if_it_is_revoked_and_so_is_a_copy_of_it() {
    let authority = Authority::new();
    let folder = authority.folder.path();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([HOST.to_owned()]).unwrap();
    numbered(7)(&mut params);
    params.distinguished_name.push(DnType::CommonName, "pinned");
    let pinned = params.signed_by(&key, &authority.issuer).unwrap();
    numbered(9)(&mut params);
    let copy = params.self_signed(&key).unwrap();
    let write = |name: &str, certificate: &rcgen::Certificate| -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, certificate.pem() + &key.serialize_pem()).unwrap();
        path
    };
    let (pinned_at, copy_at) = (write("pinned.pem", &pinned), write("copy.pem", &copy));
    // The store has the certificate, and not its issuer: the signature of the list cannot be checked.
    let own = authority.issue("own", numbered(6));
    let own_certificate = fs::read_to_string(&own).unwrap();
    let store = folder.join("store.pem");
    fs::write(&store, pinned.pem() + &own_certificate).unwrap();
    let mut of_store = side(own, store.clone());
    for at in [&pinned_at, &copy_at] {
        handshake(&load(&side(at.clone(), store.clone())), &load(&of_store), HOST).unwrap();
    }
    let path = folder.join("revoked.pem");
    fs::write(&path, list(&authority.issuer, &[7], NOW)).unwrap();
    of_store.revocation_lists = Some(path);
    let context = load(&of_store);
    assert!(context.warnings.iter().any(|it| it.contains("is revoked, so it counts no more")));
    for at in [&pinned_at, &copy_at] {
        let said = refusal(&load(&side(at.clone(), store.clone())), &context);
        assert!(said.contains("server: ") && said.contains("it is revoked"), "{said}");
    }
}

/// An authority that another one has certified with this serial number, and a file of a certificate that it issued,
/// with the chain.
fn intermediate(authority: &Authority, serial: u64) -> (Issuer<'static, KeyPair>, PathBuf) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "between");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    numbered(serial)(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    let issuer = Issuer::new(params, key);
    let mut leaf = CertificateParams::new([HOST.to_owned()]).unwrap();
    numbered(1)(&mut leaf);
    let key = KeyPair::generate().unwrap();
    let path = authority.folder.path().join("leaf.pem");
    let chain = leaf.signed_by(&key, &issuer).unwrap().pem() + &certificate.pem();
    fs::write(&path, chain + &key.serialize_pem()).unwrap();
    (issuer, path)
}

#[test]
fn a_revoked_issuer_takes_its_certificates_with_it() {
    let authority = Authority::new();
    let (_, leaf) = intermediate(&authority, 300);
    let leaf = load(&authority.side(leaf));
    let lists = list(&authority.issuer, &[7, 300], NOW);
    let server = load(&authority.numbered_side("server", 6, &lists));
    let said = refusal(&leaf, &server);
    assert!(said.contains("one of its issuers is revoked"), "{said}");
}

#[test]
fn a_certificate_without_a_list_is_accepted_unless_crl_is_true() {
    let authority = Authority::new();
    let (between, leaf) = intermediate(&authority, 301);
    let leaf = load(&authority.side(leaf));
    let of_authority = list(&authority.issuer, &[7], NOW);
    let mut server = authority.numbered_side("server", 6, &of_authority);
    handshake(&leaf, &load(&server), HOST).unwrap();
    server.demands_revocation_list = true;
    let said = refusal(&leaf, &load(&server));
    assert!(said.contains("no list") && said.contains("crl=true"), "{said}");
    let both = of_authority + &list(&between, &[2], NOW);
    let mut server = authority.numbered_side("server", 6, &both);
    server.demands_revocation_list = true;
    let server = load(&server);
    assert_eq!(server.lists.len(), 2);
    handshake(&leaf, &server, HOST).unwrap();
    // An authority of the trust store without a list is a warning.
    let mut other = authority.numbered_side("server", 6, &list(&between, &[2], NOW));
    other.demands_revocation_list = false;
    let warnings = load(&other).warnings;
    assert!(warnings.iter().any(|it| it.contains("there is no list")), "{warnings:?}");
}

#[test]
fn a_list_stays_in_force_when_its_successor_is_due_and_the_newest_one_counts() {
    let authority = Authority::new();
    let bad = load(&authority.side(authority.issue("bad", numbered(7))));
    let good = authority.side(authority.issue("other", numbered(8)));
    let old = list(&authority.issuer, &[7], (2020, 2021));
    let server = load(&authority.numbered_side("server", 6, &old));
    assert_eq!(server.lists[0].due, 1_609_459_200);
    assert!(refusal(&bad, &server).contains("it is revoked"));
    handshake(&load(&good), &server, HOST).unwrap();
    let new = list(&authority.issuer, &[8], NOW);
    for lists in [old.clone() + &new, new + &old] {
        let server = load(&authority.numbered_side("server", 6, &lists));
        assert_eq!(server.lists.len(), 1);
        handshake(&bad, &server, HOST).unwrap();
        assert!(refusal(&load(&good), &server).contains("it is revoked"));
    }
}

#[test]
fn two_authorities_of_one_name_have_their_own_lists() {
    let (first, second) = (Authority::new(), Authority::new());
    for authority in [&first, &second] {
        fs::write(authority.trust(), first.pem.clone() + &second.pem).unwrap();
    }
    let lists = list(&first.issuer, &[7], (2021, 2090)) + &list(&second.issuer, &[8], (2022, 2090));
    let server = load(&first.numbered_side("server", 6, &lists));
    for (authority, serial, passes) in
        [(&first, 7, false), (&first, 8, true), (&second, 7, true), (&second, 8, false)]
    {
        let client = load(&authority.side(authority.issue("client", numbered(serial))));
        assert_eq!(handshake(&client, &server, HOST).is_ok(), passes, "{serial}");
    }
}

#[test]
fn a_leaf_of_an_authority_is_checked_like_others() {
    let authority = Authority::new();
    let lists = list(&authority.issuer, &[7], NOW);
    let server = load(&authority.numbered_side("server", 6, &lists));
    for (serial, passes) in [(7, false), (8, true)] {
        let path = authority.issue("odd", |params| {
            numbered(serial)(params);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        });
        let client = load(&authority.side(path));
        assert_eq!(handshake(&client, &server, HOST).is_ok(), passes, "{serial}");
    }
}

#[test]
fn lists_in_der_are_read_one_after_the_other() {
    let authority = Authority::new();
    let (between, _) = intermediate(&authority, 301);
    let der = |pem: String| stores::pem::revocation_lists(pem.as_bytes()).unwrap().concat();
    let lists = [der(list(&authority.issuer, &[7], NOW)), der(list(&between, &[2], NOW))].concat();
    let side = authority.numbered_side("server", 6, "");
    let path: &Path = side.revocation_lists.as_ref().unwrap();
    fs::write(path, &lists).unwrap();
    assert_eq!(load(&side).lists.len(), 2);
    fs::write(path, &lists[..lists.len() - 1]).unwrap();
    assert!(broken(&side).contains("structure is broken"));
}

#[test]
fn a_list_that_cannot_be_used_is_refused_with_the_way_out() {
    let (authority, other) = (Authority::new(), Authority::new());
    let good = list(&authority.issuer, &[7], NOW);
    for (lists, words) in [
        (String::new(), "holds no list"),
        (authority.pem.clone(), "holds no list"),
        // The other one has the same name and another key.
        (list(&other.issuer, &[7], NOW), "is not signed with the key of CN=an authority"),
        (good.replace("-----END", "-----"), "cut off"),
        (include_str!("../../../tests/golden/tls/revoked_version1.pem").to_owned(), "version 1"),
        (good.repeat(crate::limits::REVOCATION_LISTS_MAX + 1), "more than"),
    ] {
        let said = broken(&authority.numbered_side("server", 6, &lists));
        assert!(said.contains(words), "{words}: {said}");
    }
    let mut side = authority.numbered_side("server", 6, &good);
    side.revocation_lists = Some(authority.folder.path().join("absent.pem"));
    assert!(broken(&side).contains("cannot be read"));
}
