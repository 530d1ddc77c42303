//! What the ports of the clients speak: plain frames, TLS, or both; and how many TLS handshakes there are.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;

use crate::limits;

/// What clients speak on one listening socket.
#[derive(Clone, Debug)]
pub enum Door {
    /// Frames.
    Plain,
    /// Frames in TLS (`secureClientPort`).
    Secure(Arc<TlsPort>),
    /// Either, as their first byte says (`client.portUnification`).
    Either(Arc<TlsPort>),
}

impl Door {
    /// How it greets clients with TLS, if it does.
    pub(super) fn tls(&self) -> Option<&TlsPort> {
        match self {
            Door::Plain => None,
            Door::Secure(port) | Door::Either(port) => Some(port),
        }
    }

    /// Counts a new connection; false: it is refused. After true the caller must let the connection
    /// [`Handshakes::end`], or [`Door::leave`].
    pub(super) fn enter(&self) -> bool {
        self.tls().is_none_or(|port| port.handshakes.enter())
    }

    /// Uncounts a connection that did not come about.
    pub(super) fn leave(&self) {
        if let Some(port) = self.tls() {
            port.handshakes.end(false, false);
        }
    }
}

/// Says who owns a certificate that comes from an address; an error is the reason for which he may not connect.
type Owner = dyn Fn(&[u8], IpAddr) -> Result<String, String> + Send + Sync;

/// Checks a certificate with those of its issuers; an error is the reason.
type CheckAgain = dyn Fn(&[CertificateDer<'_>]) -> Result<(), String> + Send + Sync;

/// How the ports with TLS greet their clients; the same for all session cores.
pub struct TlsPort {
    /// Gives the certificate and the rules for a new connection: they change when their files do.
    pub settings: Box<dyn Fn() -> Arc<ServerConfig> + Send + Sync>,
    /// The subject of a certificate (DER) in the form of RFC 2253, if its owner may connect from this address; otherwise
    /// why not, as a clause about the client.
    pub owner: Box<Owner>,
    /// Checks again, under the rules for a new connection, the certificate that a client has shown in an earlier session,
    /// with those of its issuers; an error is the reason, for the log. A handshake that resumes a session checks none,
    /// and brings new tickets: one whose certificate has expired since could go on for ever.
    pub check_again: Box<CheckAgain>,
    /// How long a client may say nothing (`ssl.handshakeDetectionTimeoutMillis`).
    pub detection: Duration,
    /// The handshakes of the process.
    pub handshakes: Handshakes,
}

impl fmt::Debug for TlsPort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TlsPort({:?})", self.handshakes)
    }
}

/// Counts the TLS handshakes of the process. Clones are handles on the same counts.
#[derive(Clone, Debug, Default)]
pub struct Handshakes {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// `netty.server.outstandingHandshake.limit`.
    outstanding_max: Option<u32>,
    /// Connections whose handshake is not over, whether or not it has begun.
    outstanding: AtomicU32,
    /// Those whose handshake has begun.
    under_way: AtomicU32,
    exceeded: AtomicU64,
    failed: AtomicU64,
}

impl Handshakes {
    /// No handshakes, and a bound on those that are outstanding.
    pub fn new(outstanding_max: Option<u32>) -> Handshakes {
        Handshakes { shared: Arc::new(Shared { outstanding_max, ..Shared::default() }) }
    }

    /// Counts a new connection; false: there are too many, and it is refused. After true the caller must call
    /// [`Handshakes::end`].
    // ZooKeeper: NettyServerCnxnFactory.channelActive counts every connection of a port with both kinds, before it knows
    // whether TLS is spoken.
    pub(super) fn enter(&self) -> bool {
        let before = self.shared.outstanding.fetch_add(1, Ordering::Relaxed);
        let may = self.shared.outstanding_max.is_none_or(|most| before < most);
        if !may {
            self.shared.outstanding.fetch_sub(1, Ordering::Relaxed);
            self.shared.exceeded.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// Counts a handshake that begins; false: there are too many under way, and it begins later.
    pub(super) fn try_begin(&self) -> bool {
        let before = self.shared.under_way.fetch_add(1, Ordering::Relaxed);
        let may = before < limits::HANDSHAKES_UNDER_WAY_MAX;
        if !may {
            self.shared.under_way.fetch_sub(1, Ordering::Relaxed);
        }
        may
    }

    /// Whether no further handshake may begin.
    pub(super) fn are_crowded(&self) -> bool {
        self.shared.under_way.load(Ordering::Relaxed) >= limits::HANDSHAKES_UNDER_WAY_MAX
    }

    /// A connection is known, or gone.
    pub(super) fn end(&self, had_begun: bool, has_failed: bool) {
        self.shared.outstanding.fetch_sub(1, Ordering::Relaxed);
        self.shared.under_way.fetch_sub(had_begun.into(), Ordering::Relaxed);
        self.shared.failed.fetch_add(has_failed.into(), Ordering::Relaxed);
    }

    /// Connections whose handshake is not over (`outstanding_tls_handshake`).
    pub fn outstanding(&self) -> u32 {
        self.shared.outstanding.load(Ordering::Relaxed)
    }

    /// Connections refused because there were too many of those (`tls_handshake_exceeded`).
    pub fn exceeded(&self) -> u64 {
        self.shared.exceeded.load(Ordering::Relaxed)
    }

    /// Handshakes that failed (`unsuccessful_handshake`).
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_counts_all_that_are_not_over_and_a_handshake_that_waits_is_not_under_way() {
        let handshakes = Handshakes::new(Some(2));
        assert!(handshakes.enter() && handshakes.enter());
        assert!(!handshakes.enter());
        assert_eq!((handshakes.outstanding(), handshakes.exceeded()), (2, 1));
        assert!(handshakes.try_begin());
        handshakes.end(true, true);
        handshakes.end(false, false);
        assert_eq!((handshakes.outstanding(), handshakes.failed()), (0, 1));
        assert!(handshakes.enter());
        let begun = (0..).take_while(|_| handshakes.try_begin()).count();
        assert_eq!(begun, limits::HANDSHAKES_UNDER_WAY_MAX as usize);
        assert!(handshakes.are_crowded());
        handshakes.end(true, true);
        assert!(!handshakes.are_crowded());
    }
}
