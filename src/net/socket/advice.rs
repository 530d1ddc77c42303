//! What a failed TLS session tells the operator: the reason, and what to do about it.

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use super::Fault;

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Other {
    /// A client of ZooKeeper.
    Client,
    /// A server that connects to this one.
    Caller,
    /// A server to which this one connects.
    Called,
}

/// The reason and the advice.
pub(super) fn fault(error: &Error, other: Other) -> Fault {
    let advice = match other {
        Other::Client => to_clients(error),
        Other::Caller | Other::Called => between_servers(error, other),
    };
    // rustls shows what our own verifier says in the form for programmers: `Other(OtherError(Clause("…")))`.
    match error {
        Error::InvalidCertificate(CertificateError::Other(clause)) => {
            Fault(format!("invalid peer certificate: {}{advice}", clause.0))
        }
        _ => Fault(format!("{error}{advice}")),
    }
}

fn is_about_versions(error: &Error) -> bool {
    matches!(
        error,
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) | Error::AlertReceived(AlertDescription::ProtocolVersion)
    )
}

fn to_clients(error: &Error) -> &'static str {
    if is_about_versions(error) {
        // ZooKeeper: 3.9 takes TLS 1.3 alone from clients, and 3.8 offers TLS 1.2 alone.
        return ". Both sides need a common version of TLS: by default clients of ZooKeeper 3.8 have 1.2 alone, and \
                servers of 3.9 take 1.3 alone (ssl.enabledProtocols, ssl.protocol)";
    }
    // Before it looks at the versions, rustls looks for this extension, which came with TLS 1.2.
    if let Error::PeerIncompatible(PeerIncompatible::SignatureAlgorithmsExtensionRequired) = error {
        return ". It offers TLS 1.1 or older, or signatures with SHA-1 alone, which are broken and do not exist here. \
                Both sides need TLS 1.2 or 1.3 (ssl.enabledProtocols, ssl.protocol)";
    }
    match error {
        Error::NoCertificatesPresented => {
            ". Clients must show a certificate here: give this one a key store, or set ssl.clientAuth=none"
        }
        Error::InvalidCertificate(about) => match about {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                ". No certificate of ssl.trustStore.location has issued that of the client: add its issuer there, unless \
                 it is a stranger"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ". The client needs a new certificate, unless the clock of one of the two machines is wrong"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ". Compare the clocks of the two machines"
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                ". If the certificate of a client has an extended key usage, then clientAuth must be in it"
            }
            _ => "",
        },
        _ => "",
    }
}

fn between_servers(error: &Error, other: Other) -> &'static str {
    match error {
        error if is_about_versions(error) => {
            ". Both servers need a common version of TLS (ssl.quorum.enabledProtocols, ssl.quorum.protocol)"
        }
        Error::InvalidCertificate(about) => match about {
            // An authority that was made anew has the name of the one before.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                ". No certificate of ssl.quorum.trustStore.location has issued the certificate of the other server: add \
                 its issuer there, unless it is a stranger"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ". The certificate of the other server has expired: give that server a new one, and compare the clocks"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ". The certificate of the other server is not valid yet: compare the clocks of the two machines"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ". The certificate of a server must name the host that its server.N line has: issue it anew with that \
                 name, or change the line. ssl.quorum.hostnameVerification=false accepts any name, and then any server \
                 with a certificate of the same issuer passes for any other"
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                ". The certificate of a server must be for both sides of TLS: if it has an extended key usage, then both \
                 serverAuth and clientAuth"
            }
            _ => "",
        },
        Error::NoCertificatesPresented => {
            ". A server must show a certificate: set its ssl.quorum.keyStore.location, or ssl.quorum.clientAuth=none here"
        }
        Error::AlertReceived(alert) if is_about_certificates(*alert) => {
            ". The other server refuses the certificate of this one: its log says why. Its trust store needs the issuer \
             of this certificate, and the certificate the host of this server's server.N line"
        }
        Error::InvalidMessage(_) if other == Other::Called => {
            ". It answers without TLS: set sslQuorum=true there, or portUnification=true while the servers are switched \
             one by one"
        }
        _ => "",
    }
}

fn is_about_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
    )
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use rustls::OtherError;

    use super::*;

    #[test]
    fn what_our_own_check_of_a_certificate_says_is_a_sentence_in_the_log() {
        let refused =
            CertificateError::Other(OtherError(Arc::new(io::Error::other("it is revoked"))));
        for other in [Other::Client, Other::Caller, Other::Called] {
            assert_eq!(
                fault(&refused.clone().into(), other).0,
                "invalid peer certificate: it is revoked"
            );
        }
    }

    #[test]
    fn a_refused_client_is_told_of_with_the_way_out() {
        for (error, way_out) in [
            (Error::NoCertificatesPresented, "ssl.clientAuth=none"),
            (CertificateError::UnknownIssuer.into(), "ssl.trustStore.location"),
            (CertificateError::Expired.into(), "clock"),
            (CertificateError::InvalidPurpose.into(), "clientAuth"),
        ] {
            let said = fault(&error, Other::Client).0;
            assert!(said.contains(way_out), "{said}");
            assert!(!said.contains("server.N"), "{said}");
        }
    }
}
