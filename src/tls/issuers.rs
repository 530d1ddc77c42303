//! Which of the certificates that a peer sends along are those of real issuers.
//!
//! webpki looks for a path from the certificate of a peer to the trust store through all that the peer sends, by their
//! names, and checks signatures at the end of a path alone. Through fifteen certificates that all have one name, which
//! cost a stranger nothing, there are millions of paths: webpki gives up after two hundred thousand, most of a second
//! later, and the thread that did it has served nobody meanwhile. So here the signatures come first, from the trust
//! store downwards. The rule that is easy to break: webpki gets only certificates for which an authority of the trust
//! store answers, directly or through others; a stranger has none of these.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateDer;

use super::certificate::Certificate;

/// Whether the owner of `issuer` has signed `certificate`. Names are not compared.
pub(super) fn has_signed(
    algorithms: &WebPkiSupportedAlgorithms,
    issuer: &Certificate<'_>,
    certificate: &Certificate<'_>,
) -> bool {
    let Ok((algorithm, key)) = issuer.key_parts() else { return false };
    algorithms.all.iter().any(|it| {
        it.public_key_alg_id().as_ref() == algorithm
            && it.signature_alg_id().as_ref() == certificate.algorithm
            && it.verify_signature(key, certificate.signed, certificate.signature).is_ok()
    })
}

/// Of the certificates that a peer has sent along, those that one of the `authorities` has signed, or an authority
/// among them that is answered for in this way. Whether they are valid now, and may issue what they have issued, is not
/// asked.
///
/// Checks a signature only where the names of issuer and subject fit, and each of an authority at most once for each
/// certificate: what nobody answers for costs nothing more.
pub(super) fn answered_for<'c>(
    algorithms: &WebPkiSupportedAlgorithms,
    authorities: &[Certificate<'_>],
    sent: &'c [CertificateDer<'c>],
) -> Vec<CertificateDer<'c>> {
    let parsed = |bytes: &'c CertificateDer<'c>| Some((Certificate::parse(bytes).ok()?, bytes));
    let mut open: Vec<(Certificate<'c>, &CertificateDer<'c>)> =
        sent.iter().filter_map(parsed).collect();
    let mut found: Vec<CertificateDer<'c>> = Vec::new();
    let take = |issuer: &Certificate<'_>, open: &mut Vec<(Certificate<'c>, _)>| {
        let is_issued = |it: &(Certificate<'c>, &CertificateDer<'c>)| {
            it.0.issuer == issuer.subject && has_signed(algorithms, issuer, &it.0)
        };
        open.extract_if(.., |it| is_issued(it)).collect::<Vec<_>>()
    };
    let mut issuers = Vec::new();
    for authority in authorities {
        issuers.extend(take(authority, &mut open));
    }
    while let Some((issuer, bytes)) = issuers.pop() {
        issuers.extend(take(&issuer, &mut open));
        found.push(CertificateDer::from(&bytes[..]));
    }
    found
}
