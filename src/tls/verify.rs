//! Whose certificate is accepted: the trust store, as Java's PKIX validator takes it, and webpki for everything that is
//! built on it.
//!
//! A certificate of the trust store can do two things. It is accepted itself, when a peer shows it (or one with the same
//! subject, key and names), even if it is an authority's, as `keytool -genkeypair -ext bc=ca:true` and
//! `openssl req -x509` make them. And it can issue others, if it is an authority's. The rule that is easy to break: a
//! certificate that is no authority's never becomes an anchor of webpki, which would let its owner issue certificates
//! for any name.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{
    CertificateDer, ServerName, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerMisbehaved,
    SignatureScheme,
};

use super::certificate::{Certificate, DIGITAL_SIGNATURE, KEY_CERT_SIGN};
use super::hostname::Names;
use super::issuers;
use super::revocation::{ListInUse, Revocations};
use super::x500;
use crate::limits::{CHAIN_BYTES_MAX, CHAIN_CERTIFICATES_MAX, ISSUER_HINTS_BYTES_MAX};

/// What a peer does with its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Server,
    Client,
}

impl Purpose {
    /// `id-kp-serverAuth`, `id-kp-clientAuth`: the content of the object identifier.
    fn id(self) -> &'static [u8] {
        match self {
            Purpose::Server => &[0x2b, 6, 1, 5, 5, 7, 3, 1],
            Purpose::Client => &[0x2b, 6, 1, 5, 5, 7, 3, 2],
        }
    }
}

/// `anyExtendedKeyUsage`.
const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];

/// The certificates of a trust store.
pub struct Trust {
    /// Those that no list of revoked certificates names.
    all: Vec<CertificateDer<'static>>,
    /// The others, so that the log can say why they are refused.
    revoked: Vec<CertificateDer<'static>>,
    /// Those of `all` that may issue others.
    anchors: Vec<TrustAnchor<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    /// The subjects of `all`, so that a peer finds the certificate that will do.
    hints: Vec<DistinguishedName>,
    revocations: Option<Revocations>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({} certificates, {} of authorities)", self.all.len(), self.anchors.len())
    }
}

impl Trust {
    /// Takes the certificates of a trust store; one that cannot be read is an error, its index in the store.
    pub fn new(
        store: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
        revocations: Option<Revocations>,
    ) -> Result<Self, usize> {
        let (mut anchors, mut hints) = (Vec::new(), Vec::new());
        let (mut all, mut revoked) = (Vec::new(), Vec::new());
        for (index, bytes) in store.into_iter().enumerate() {
            let certificate = Certificate::parse(&bytes).map_err(|_| index)?;
            if revocations.as_ref().is_some_and(|it| it.names(&certificate)) {
                revoked.push(bytes);
                continue;
            }
            if may_issue(&certificate) {
                let anchor = webpki::anchor_from_trusted_cert(&bytes).map_err(|_| index)?;
                anchors.push(anchor.to_owned());
            }
            hints.push(DistinguishedName::in_sequence(certificate.subject));
            all.push(bytes);
        }
        // Too many do not fit into a message; without any, a peer chooses by itself.
        if hints.iter().map(|hint| hint.as_ref().len() + 2).sum::<usize>() > ISSUER_HINTS_BYTES_MAX
        {
            hints.clear();
        }
        let algorithms = provider.signature_verification_algorithms;
        Ok(Self { all, revoked, anchors, algorithms, hints, revocations })
    }

    /// What an operator should know about the lists of revoked certificates, as sentences.
    pub fn remarks(&self) -> Vec<String> {
        let Some(revocations) = &self.revocations else { return Vec::new() };
        let subject =
            |certificate: &Certificate<'_>| x500::rfc2253(certificate.subject).unwrap_or_default();
        let revoked = self.revoked.iter().filter_map(|it| Certificate::parse(it).ok()).map(|it| {
            format!(
                "{} stands in the trust store and is revoked, so it counts no more",
                subject(&it)
            )
        });
        let issuers = self.all.iter().filter_map(|it| Certificate::parse(it).ok());
        let unlisted =
            issuers.filter(|it| may_issue(it) && !revocations.has_list_of(it.subject)).map(|it| {
                format!("there is no list of the certificates that {} has revoked", subject(&it))
            });
        revoked.chain(unlisted).collect()
    }

    /// The lists of revoked certificates that count.
    pub fn lists(&self) -> Vec<ListInUse> {
        self.revocations.as_ref().map(Revocations::in_use).unwrap_or_default()
    }

    /// Checks the certificate of a client, or of a server that has connected.
    ///
    /// # Errors
    /// The reason for which it is refused.
    pub fn check_client(
        &self,
        bytes: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        self.check(bytes, intermediates, now, Purpose::Client)
    }

    fn check(
        &self,
        bytes: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        purpose: Purpose,
    ) -> Result<(), Error> {
        if intermediates.len() >= CHAIN_CERTIFICATES_MAX {
            return Err(refused("it comes with too many certificates of issuers"));
        }
        let sent_bytes = bytes.len() + intermediates.iter().map(|sent| sent.len()).sum::<usize>();
        if sent_bytes > CHAIN_BYTES_MAX {
            return Err(refused("it is too long, together with the certificates of its issuers"));
        }
        let leaf = Certificate::parse(bytes).map_err(|_| CertificateError::BadEncoding)?;
        check_time(&leaf, now)?;
        check_purpose(&leaf, purpose)?;
        if leaf.extensions.has_unknown_critical {
            return Err(CertificateError::UnhandledCriticalExtension.into());
        }
        // Java: PKIXValidator.engineValidate accepts it without a look at its dates; here they count.
        let names_leaf = self.revocations.as_ref().is_some_and(|lists| lists.names(&leaf));
        if !names_leaf && self.all.iter().any(|trusted| is_same(&leaf, bytes, trusted)) {
            return Ok(());
        }
        // The owner of a revoked one can make others with its subject and its key.
        if self.revoked.iter().any(|trusted| is_same(&leaf, bytes, trusted)) {
            return Err(refused(REVOKED));
        }
        if leaf.version < 3 || leaf.extensions.is_authority {
            return self.check_odd_leaf(&leaf);
        }
        let end = webpki::EndEntityCert::try_from(bytes).map_err(refusal)?;
        let issuers = self.answered_for(intermediates);
        let verify = |lists: Option<webpki::RevocationOptions<'_>>| {
            let usage = AnyOrThis(purpose);
            let (algorithms, anchors) = (self.algorithms.all, &self.anchors);
            end.verify_for_usage(algorithms, anchors, &issuers, now, usage, lists, None).map(|_| ())
        };
        let verified = match &self.revocations {
            None => verify(None),
            Some(revocations) => revocations.ask(|lists| verify(Some(lists))),
        };
        verified.map_err(|error| match error {
            webpki::Error::CertRevoked if names_leaf => refused(REVOKED),
            error => refusal(error),
        })
    }

    /// Of the certificates that a peer sends along, those of real issuers.
    fn answered_for<'c>(&self, sent: &'c [CertificateDer<'c>]) -> Vec<CertificateDer<'c>> {
        if sent.is_empty() {
            return Vec::new();
        }
        let authorities = self.all.iter().filter_map(|it| Certificate::parse(it).ok());
        let authorities: Vec<_> = authorities.filter(may_issue).collect();
        issuers::answered_for(&self.algorithms, &authorities, sent)
    }

    /// A certificate of version 1, and one of an authority that is used like a client's: webpki knows neither form at
    /// the end of a chain, Java both. Here its issuer must stand in the trust store.
    fn check_odd_leaf(&self, leaf: &Certificate<'_>) -> Result<(), Error> {
        let mut names_match = false;
        for trusted in &self.all {
            let Ok(issuer) = Certificate::parse(trusted) else { continue };
            // Only webpki can apply a name constraint.
            if issuer.subject != leaf.issuer
                || !may_issue(&issuer)
                || issuer.extensions.has_unknown_critical
                || issuer.extensions.has_name_constraints
            {
                continue;
            }
            names_match = true;
            if issuers::has_signed(&self.algorithms, &issuer, leaf) {
                return self.check_revocation(leaf);
            }
        }
        if names_match {
            return Err(CertificateError::BadSignature.into());
        }
        Err(refused(if leaf.version < 3 {
            "it is of version 1 and its issuer does not stand in the trust store; add the issuer, or issue it anew with \
             version 3"
        } else {
            "it is an authority's (CA:TRUE) and neither it nor its issuer stands in the trust store; add it there, or \
             issue it anew with CA:FALSE"
        }))
    }

    /// Asks the lists of an issuer that stands in the trust store.
    fn check_revocation(&self, leaf: &Certificate<'_>) -> Result<(), Error> {
        match &self.revocations {
            Some(revocations) if revocations.names(leaf) => Err(refused(REVOKED)),
            Some(revocations) if revocations.misses_list_of(leaf) => Err(refused(UNKNOWN_STATUS)),
            Some(_) | None => Ok(()),
        }
    }

    fn check_tls12_signature(
        &self,
        message: &[u8],
        bytes: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let leaf = Certificate::parse(bytes).map_err(|_| CertificateError::BadEncoding)?;
        if leaf.version == 3 {
            return verify_tls12_signature(message, bytes, signed, &self.algorithms);
        }
        let (algorithm, key) = leaf.key_parts().map_err(|_| CertificateError::BadEncoding)?;
        let candidates =
            self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let (_, candidates) =
            candidates.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        let is_right = candidates.iter().any(|it| {
            it.public_key_alg_id().as_ref() == algorithm
                && it.verify_signature(key, message, signed.signature()).is_ok()
        });
        if is_right {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn check_tls13_signature(
        &self,
        message: &[u8],
        bytes: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let leaf = Certificate::parse(bytes).map_err(|_| CertificateError::BadEncoding)?;
        if leaf.version == 3 {
            return verify_tls13_signature(message, bytes, signed, &self.algorithms);
        }
        let key = SubjectPublicKeyInfoDer::from(leaf.key);
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }
}

/// Whether a certificate of the trust store may issue others.
// Java: PKIXValidator.verifyTrustAnchor; certificates before version 3 cannot say, and may.
fn may_issue(certificate: &Certificate<'_>) -> bool {
    let extensions = &certificate.extensions;
    certificate.version < 3
        || (extensions.is_authority
            && extensions.key_usage.is_none_or(|usage| usage & KEY_CERT_SIGN != 0))
}

// Java: PKIXValidator.isTrusted; the same subject and key count as the same certificate. Here the alternative names must
// be the same as well: whoever has the key can sign a certificate with any names, and they decide for whom the owner
// passes.
fn is_same(
    leaf: &Certificate<'_>,
    bytes: &CertificateDer<'_>,
    trusted: &CertificateDer<'_>,
) -> bool {
    bytes == trusted
        || Certificate::parse(trusted).is_ok_and(|trusted| {
            trusted.subject == leaf.subject
                && trusted.key == leaf.key
                && trusted.extensions.names == leaf.extensions.names
        })
}

fn check_time(leaf: &Certificate<'_>, now: UnixTime) -> Result<(), Error> {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let at = |seconds: i64| {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            u64::try_from(seconds).unwrap_or(0),
        ))
    };
    if seconds < leaf.not_before {
        let not_before = at(leaf.not_before);
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    if seconds > leaf.not_after {
        let not_after = at(leaf.not_after);
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    Ok(())
}

// Java: EndEntityChecker.checkTLSClient and checkTLSServer.
fn check_purpose(leaf: &Certificate<'_>, purpose: Purpose) -> Result<(), Error> {
    let fits =
        |purposes: &Vec<&[u8]>| purposes.iter().any(|id| *id == purpose.id() || *id == ANY_PURPOSE);
    if !leaf.extensions.purposes.as_ref().is_none_or(fits) {
        return Err(CertificateError::InvalidPurpose.into());
    }
    if leaf.extensions.key_usage.is_some_and(|usage| usage & DIGITAL_SIGNATURE == 0) {
        return Err(refused("its key usage does not include digitalSignature"));
    }
    Ok(())
}

/// The rule of webpki for the purposes of issuers and leaf: absent, the one, or any.
struct AnyOrThis(Purpose);

impl webpki::ExtendedKeyUsageValidator for AnyOrThis {
    fn validate(&self, purposes: webpki::KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let mut present = Vec::new();
        for purpose in purposes {
            let purpose = purpose?;
            if [self.0.id(), ANY_PURPOSE].iter().any(|id| purpose == webpki::KeyPurposeId::new(id))
            {
                return Ok(());
            }
            present.push(purpose.to_decoded_oid());
        }
        if present.is_empty() {
            return Ok(());
        }
        let required = match self.0 {
            Purpose::Server => webpki::KeyUsage::server_auth(),
            Purpose::Client => webpki::KeyUsage::client_auth(),
        };
        Err(webpki::Error::RequiredEkuNotFoundContext(webpki::RequiredEkuNotFoundContext {
            required,
            present,
        }))
    }
}

// The alert for these clauses is certificate_unknown, so the other side learns nothing from it.
const REVOKED: &str = "it is revoked: a list of its issuer (crl.location) names its serial number";
const ISSUER_REVOKED: &str = "the certificate of one of its issuers is revoked (crl.location)";
const UNKNOWN_STATUS: &str = "no list in the file of crl.location tells whether it, or one of its issuers, is revoked, \
     and crl=true demands that";

/// An error that consists of a clause about a certificate.
fn refused(clause: &'static str) -> Error {
    CertificateError::Other(OtherError(Arc::new(Clause(clause)))).into()
}

#[derive(Debug)]
struct Clause(&'static str);

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Clause {}

fn refusal(error: webpki::Error) -> Error {
    use webpki::Error as Webpki;
    let certificate = match error {
        Webpki::BadDer | Webpki::BadDerTime | Webpki::TrailingData(_) => {
            CertificateError::BadEncoding
        }
        Webpki::CertExpired { time, not_after } => {
            CertificateError::ExpiredContext { time, not_after }
        }
        Webpki::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        // The leaf's own revocation has its own words.
        Webpki::CertRevoked => return refused(ISSUER_REVOKED),
        Webpki::UnknownRevocationStatus => return refused(UNKNOWN_STATUS),
        Webpki::InvalidCrlSignatureForPublicKey => {
            return refused(
                "the list of revoked certificates with the name of its issuer has another signature",
            );
        }
        Webpki::IssuerNotCrlSigner => {
            return refused(
                "there is a list of revoked certificates of its issuer, whose certificate does not allow it to sign \
                 lists (keyUsage without cRLSign)",
            );
        }
        Webpki::UnknownIssuer => CertificateError::UnknownIssuer,
        Webpki::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        Webpki::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        Webpki::UnsupportedCriticalExtension => CertificateError::UnhandledCriticalExtension,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    certificate.into()
}

/// Checks the certificates of clients, and of servers that connect to this one.
#[derive(Debug)]
pub struct OfClients {
    trust: Arc<Trust>,
    is_needed: bool,
}

impl OfClients {
    /// `is_needed`: whether a client without a certificate is refused.
    pub fn new(trust: Arc<Trust>, is_needed: bool) -> Self {
        Self { trust, is_needed }
    }
}

impl ClientCertVerifier for OfClients {
    fn client_auth_mandatory(&self) -> bool {
        self.is_needed
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.trust.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.trust.check_client(end_entity, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.check_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.check_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }
}

/// Checks the certificates of servers to which this one connects.
#[derive(Debug)]
pub struct OfServers {
    trust: Arc<Trust>,
    checks_names: bool,
}

impl OfServers {
    /// `checks_names`: whether the certificate must name the host that was connected to, as the `server.N` line
    /// writes it.
    pub fn new(trust: Arc<Trust>, checks_names: bool) -> Self {
        Self { trust, checks_names }
    }
}

impl ServerCertVerifier for OfServers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.trust.check(end_entity, intermediates, now, Purpose::Server)?;
        if self.checks_names {
            let names = Names::of(end_entity).map_err(|_| CertificateError::BadEncoding)?;
            if !names.include(&server_name.to_str()) {
                let (expected, presented) = (server_name.to_owned(), names.shown());
                return Err(CertificateError::NotValidForNameContext { expected, presented }.into());
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.check_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.check_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
