//! Lists of revoked certificates (RFC 5280): read from a file of the operator, and asked about each certificate.
//!
//! Nothing is fetched. webpki asks the lists about the chains that it builds; [`Revocations::names`] answers for what
//! webpki does not look at, which are the certificates of the trust store themselves, and leaves of version 1. The
//! rule that is easy to break: a list may only ever refuse. One whose signature cannot be checked, because its issuer
//! does not stand in the trust store, counts against the certificates of the store, for the operator wrote it into
//! the file.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateDer;
use webpki::{
    CertRevocationList, OwnedCertRevocationList, RevocationOptions, RevocationOptionsBuilder,
    UnknownStatusPolicy,
};

use super::certificate::{CRL_SIGN, Certificate, time};
use super::der::{Der, GENERALIZED_TIME, INTEGER, SEQUENCE, UTC_TIME};
use super::stores::{StoreProblem, pem};
use super::x500;
use crate::limits::REVOCATION_LISTS_MAX;

/// The lists of one file.
#[derive(Debug)]
pub struct Revocations {
    lists: Vec<List>,
    /// The lists that webpki gets, as indexes: those of one choice after the other, as long as a signature does not
    /// fit. Of the lists of an issuer, webpki takes the first one; where two issuers have the same name, that may be
    /// the wrong one. At least one choice, none empty.
    choices: Vec<Vec<usize>>,
    /// Whether a certificate is refused if no list tells about it.
    demands_list: bool,
}

/// One list.
#[derive(Debug)]
struct List {
    list: CertRevocationList<'static>,
    /// When it was made, and when its issuer promises the next one: seconds since 1970.
    made: i64,
    due: i64,
    /// The certificate of the trust store whose key has signed it.
    signer: Option<usize>,
}

/// What a line of the log says about a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListInUse {
    /// The name of its issuer, see [`x500::rfc2253`].
    pub issuer: String,
    /// The second for which its issuer promises the next one, since 1970.
    pub due: i64,
}

/// A list as views of its bytes; webpki reads the rest.
struct Parts<'a> {
    signed: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    issuer: &'a [u8],
    made: i64,
    due: Option<i64>,
    is_version_1: bool,
}

impl<'a> Parts<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, super::der::Malformed> {
        let mut list = Der::new(bytes).sequence()?;
        let signed = list.element(SEQUENCE)?;
        let algorithm = list.take(SEQUENCE)?;
        let signature = list.bits()?;
        let mut fields = Der::new(signed.content);
        let is_version_1 = fields.optional(INTEGER)?.is_none();
        fields.take(SEQUENCE)?;
        let issuer = fields.take(SEQUENCE)?;
        let made = time(&mut fields)?;
        let has_due =
            fields.next_tag().is_some_and(|tag| [UTC_TIME, GENERALIZED_TIME].contains(&tag));
        let due = if has_due { Some(time(&mut fields)?) } else { None };
        let signed = signed.whole;
        Ok(Self { signed, algorithm, signature, issuer, made, due, is_version_1 })
    }
}

impl Revocations {
    /// Reads the lists of a file, in PEM or DER. `store`: the certificates of the trust store.
    ///
    /// # Errors
    /// A clause about the file: it holds no list, a list that cannot be used, or one that its issuer has not signed.
    pub fn read(
        bytes: &[u8],
        store: &[CertificateDer<'_>],
        algorithms: &WebPkiSupportedAlgorithms,
        demands_list: bool,
    ) -> Result<Self, String> {
        let lists = split(bytes).map_err(|problem| problem.to_string())?;
        if lists.is_empty() {
            return Err("it holds no list of revoked certificates (-----BEGIN X509 CRL-----); openssl ca -gencrl makes \
                        one, also where none is revoked"
                .to_owned());
        }
        if lists.len() > REVOCATION_LISTS_MAX {
            return Err(format!("it holds more than {REVOCATION_LISTS_MAX} lists"));
        }
        let store: Vec<Option<Certificate<'_>>> =
            store.iter().map(|it| Certificate::parse(it).ok()).collect();
        let mut read = Vec::with_capacity(lists.len());
        for (index, bytes) in lists.iter().enumerate() {
            let list = List::read(bytes, &store, algorithms)
                .map_err(|clause| format!("its list {} {clause}", index + 1))?;
            read.push(list);
        }
        let choices = choices(&read);
        Ok(Self { lists: read, choices, demands_list })
    }

    /// Asks webpki with each choice of lists, until the signatures of the lists fit.
    pub fn ask<T>(
        &self,
        mut verify: impl FnMut(RevocationOptions<'_>) -> Result<T, webpki::Error>,
    ) -> Result<T, webpki::Error> {
        use webpki::Error::{
            InvalidCrlSignatureForPublicKey, UnsupportedCrlSignatureAlgorithmForPublicKeyContext,
        };
        let policy = match self.demands_list {
            true => UnknownStatusPolicy::Deny,
            false => UnknownStatusPolicy::Allow,
        };
        let mut last = webpki::Error::UnknownRevocationStatus;
        for choice in &self.choices {
            let lists: Vec<_> = choice.iter().map(|index| &self.lists[*index].list).collect();
            let options = RevocationOptionsBuilder::new(&lists).map_err(|_| last.clone())?;
            match verify(options.with_status_policy(policy).build()) {
                Err(
                    error @ (InvalidCrlSignatureForPublicKey
                    | UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_)),
                ) => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    /// Whether a list of the certificate's issuer names it.
    pub fn names(&self, certificate: &Certificate<'_>) -> bool {
        self.of(certificate).any(|it| !matches!(it.list.find_serial(certificate.serial), Ok(None)))
    }

    /// Whether a certificate is refused because there is no list of its issuer.
    pub fn misses_list_of(&self, certificate: &Certificate<'_>) -> bool {
        self.demands_list && self.of(certificate).next().is_none()
    }

    /// Whether there is a list of this issuer. `name`: the content of its name.
    pub fn has_list_of(&self, name: &[u8]) -> bool {
        self.lists.iter().any(|it| it.list.issuer() == name)
    }

    /// The lists that count.
    pub fn in_use(&self) -> Vec<ListInUse> {
        let mut counted: Vec<usize> = self.choices.concat();
        counted.sort_unstable();
        counted.dedup();
        let lists = counted.iter().map(|index| &self.lists[*index]);
        let issuer = |it: &List| x500::rfc2253(it.list.issuer()).unwrap_or_default();
        lists.map(|it| ListInUse { issuer: issuer(it), due: it.due }).collect()
    }

    fn of<'a>(&'a self, certificate: &'a Certificate<'_>) -> impl Iterator<Item = &'a List> {
        let counts = |index: &usize| self.choices.iter().any(|choice| choice.contains(index));
        let lists = self.lists.iter().enumerate().filter(move |(index, _)| counts(index));
        lists.map(|(_, list)| list).filter(|it| it.list.issuer() == certificate.issuer)
    }
}

impl List {
    fn read(
        bytes: &[u8],
        store: &[Option<Certificate<'_>>],
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<Self, String> {
        let parts = Parts::parse(bytes).map_err(|error| format!("cannot be read: {error}"))?;
        if parts.is_version_1 {
            return Err("is of version 1; write it anew with version 2 (openssl ca does so with crlnumber or \
                        crl_extensions in its configuration)"
                .to_owned());
        }
        let due = parts.due.ok_or("does not say when the next one is due (nextUpdate)")?;
        let signer = signer(&parts, store, algorithms)?;
        let list = OwnedCertRevocationList::from_der(bytes).map_err(|error| match error {
            webpki::Error::UnsupportedDeltaCrl => {
                "tells only what has changed (a delta list); name a whole one".to_owned()
            }
            webpki::Error::UnsupportedIndirectCrl => {
                "tells about certificates of other issuers (an indirect list), which is not read here".to_owned()
            }
            other => format!("cannot be read: {other}"),
        })?;
        Ok(Self { list: list.into(), made: parts.made, due, signer })
    }
}

/// The certificate of the trust store whose key has signed the list; `None`: no issuer of this name stands there.
fn signer(
    parts: &Parts<'_>,
    store: &[Option<Certificate<'_>>],
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<Option<usize>, String> {
    let mut issuers = 0;
    for (index, issuer) in store.iter().enumerate() {
        // One that is no authority's signs nothing; its name may be anything.
        let Some(issuer) = issuer.as_ref().filter(|it| {
            it.subject == parts.issuer && (it.version < 3 || it.extensions.is_authority)
        }) else {
            continue;
        };
        issuers += 1;
        let Ok((algorithm, key)) = issuer.key_parts() else { continue };
        let is_signed = algorithms.all.iter().any(|it| {
            it.public_key_alg_id().as_ref() == algorithm
                && it.signature_alg_id().as_ref() == parts.algorithm
                && it.verify_signature(key, parts.signed, parts.signature).is_ok()
        });
        if is_signed && issuer.extensions.key_usage.is_some_and(|usage| usage & CRL_SIGN == 0) {
            return Err("is of an issuer whose certificate does not allow it to sign lists (keyUsage without cRLSign)"
                .to_owned());
        }
        if is_signed {
            return Ok(Some(index));
        }
    }
    if issuers > 0 {
        let name = x500::rfc2253(parts.issuer).unwrap_or_default();
        return Err(format!(
            "is not signed with the key of {name}, as it stands in the trust store"
        ));
    }
    Ok(None)
}

/// For each issuer and each part of its certificates the newest list of each signer, one signer in each choice.
fn choices(lists: &[List]) -> Vec<Vec<usize>> {
    let scope = |it: &List| {
        (it.list.issuer().to_vec(), it.list.issuing_distribution_point().map(<[u8]>::to_vec))
    };
    let mut newest_first: Vec<usize> = (0..lists.len()).collect();
    newest_first.sort_by_key(|index| std::cmp::Reverse(lists[*index].made));
    // For each scope one list of each signer.
    let mut scopes: Vec<Vec<usize>> = Vec::new();
    for index in newest_first {
        let list = &lists[index];
        match scopes.iter_mut().find(|known| scope(&lists[known[0]]) == scope(list)) {
            Some(known) if known.iter().any(|it| lists[*it].signer == list.signer) => {}
            Some(known) => known.push(index),
            None => scopes.push(vec![index]),
        }
    }
    let most = scopes.iter().map(Vec::len).max().unwrap_or(0);
    let nth = |at: usize| scopes.iter().map(move |of| of[at.min(of.len() - 1)]).collect();
    (0..most).map(nth).collect()
}

/// The lists of a file, in DER.
fn split(bytes: &[u8]) -> Result<Vec<Vec<u8>>, StoreProblem> {
    if bytes.first() != Some(&SEQUENCE) {
        return pem::revocation_lists(bytes);
    }
    let (mut lists, mut der) = (Vec::new(), Der::new(bytes));
    while !der.is_empty() {
        lists.push(der.element(SEQUENCE)?.whole.to_vec());
    }
    Ok(lists)
}
