//! Links that others have opened (`SaslQuorumAuthServer`; `QuorumCnxManager.handleConnection` and `LearnerHandler`,
//! which call it).

use std::net::SocketAddr;

use super::{Effect, Gate, LoginBytes};
use crate::election::{Opening, opening};
use crate::id::ServerId;
use crate::limits::{LOGIN_SILENCE_MS, LOGINS_ACCEPTED_MAX};
use crate::link::{LinkEvent, LinkId, LinkLogin, LinkOp, Port};
use crate::sasl::between::{AcceptedLogin, Ask, Progress, Refusal};
use crate::sasl::{Failure, Step};
use crate::time::MonoUs;

/// A link whose login is not over.
#[derive(Debug)]
pub(super) struct Accepted {
    port: Port,
    remote: SocketAddr,
    /// The members that have this address; `None`: addresses are not checked.
    may_be: Option<Vec<ServerId>>,
    /// When it is refused, or passes because it has been silent.
    pub(super) until: MonoUs,
    /// The handshake of an election connection, as far as it has come; empty on the other ports.
    handshake: Vec<u8>,
    /// Whether the login may begin.
    has_handshake: bool,
    login: AcceptedLogin,
    pub(super) sent: LoginBytes,
}

impl Accepted {
    fn is_stranger(&self) -> bool {
        self.may_be.as_ref().is_some_and(Vec::is_empty)
    }
}

impl Gate {
    pub(super) fn on_accepted(
        &mut self,
        now: MonoUs,
        link: LinkId,
        port: Port,
        (remote, may_be): (SocketAddr, Option<&[ServerId]>),
    ) {
        if self.accepted.len() >= LOGINS_ACCEPTED_MAX {
            // A server logs in at once, so the link that waits longest is the least likely to be one's; those of
            // strangers go before those of members.
            let oldest = self.accepted.iter().find(|(_, it)| it.is_stranger());
            let oldest = oldest.or_else(|| self.accepted.iter().next()).map(|(link, _)| *link);
            self.refuse_accepted(now, oldest.expect("there are some"), Refusal::Crowded);
        }
        let is_election = port == Port::Election;
        let accepted = Accepted {
            port,
            remote,
            may_be: may_be.map(<[ServerId]>::to_vec),
            until: now.plus_ms(self.timeout_ms(is_election)),
            handshake: Vec::new(),
            has_handshake: !is_election,
            login: AcceptedLogin::new(self.nonces.draw()),
            sent: LoginBytes::default(),
        };
        let before = self.accepted.insert(link, accepted);
        assert!(before.is_none(), "a link is accepted once");
    }

    /// An event of a link that is in `accepted`.
    pub(super) fn on_accepted_event(&mut self, now: MonoUs, link: LinkId, event: LinkEvent<'_>) {
        match event {
            LinkEvent::Identified { may_be, .. } => {
                let accepted = self.accepted.get_mut(&link).expect("it is there");
                accepted.may_be = Some(may_be.to_vec());
            }
            LinkEvent::Received { bytes, .. } => self.on_accepted_bytes(now, link, bytes),
            LinkEvent::Closed { reason, .. } => self.on_accepted_closed(now, link, reason),
            LinkEvent::Accepted { .. } | LinkEvent::Connected { .. } | LinkEvent::Sent { .. } => {
                unreachable!("the gate has handled it")
            }
        }
    }

    fn on_accepted_bytes(&mut self, now: MonoUs, link: LinkId, bytes: &[u8]) {
        let accepted = self.accepted.get_mut(&link).expect("it is there");
        let rest;
        let mut bytes = bytes;
        if !accepted.has_handshake {
            accepted.handshake.extend_from_slice(bytes);
            match opening(&accepted.handshake) {
                Opening::Partial => return,
                // The election knows how to refuse it, and what to say.
                Opening::None => return self.pass_accepted(link, &[], None),
                Opening::Handshake(length) => {
                    rest = accepted.handshake.split_off(length);
                    accepted.has_handshake = true;
                    if !self.how.is_demanded {
                        accepted.until = accepted.until.min(now.plus_ms(LOGIN_SILENCE_MS));
                    }
                }
            }
            bytes = &rest;
        }
        if bytes.is_empty() {
            return;
        }
        let was_silent = accepted.login.is_silent();
        let mut answer = Vec::new();
        let progress = accepted.login.handle(&self.how, bytes, &mut answer);
        Self::send(&mut self.effects, link, answer, &mut accepted.sent);
        let is_under_way = matches!(progress, Progress::Pending | Progress::Asks(_));
        if is_under_way && was_silent && accepted.port == Port::Election {
            // It has shown that it logs in, and gets the time for that.
            accepted.until = now.plus_ms(self.election_ms);
        }
        self.on_accepted_progress(now, link, progress);
    }

    /// The edge has checked a token.
    pub(super) fn on_accepted_login(&mut self, now: MonoUs, link: LinkId, step: Step) {
        let refused = match &step {
            Step::Done { name, .. } if !self.is_of_ensemble(name) => {
                Some(Step::Failed(Failure::Host(name.clone())))
            }
            _ => None,
        };
        let accepted = self.accepted.get_mut(&link).expect("it is there");
        let mut answer = Vec::new();
        let progress = accepted.login.answered(&self.how, refused.unwrap_or(step), &mut answer);
        Self::send(&mut self.effects, link, answer, &mut accepted.sent);
        self.on_accepted_progress(now, link, progress);
    }

    fn on_accepted_progress(&mut self, now: MonoUs, link: LinkId, progress: Progress) {
        match progress {
            Progress::Pending => {}
            Progress::Asks(Ask::Check { is_first, token }) => {
                self.logins.push(LinkLogin::Check { link, is_first, token });
            }
            Progress::Asks(Ask::Respond { .. }) => {
                unreachable!("only the side that connects responds")
            }
            Progress::Passed { name, rest } => {
                if let Some(name) = name {
                    self.accepted_counts.passed += 1;
                    let accepted = &self.accepted[&link];
                    let (remote, port) = (accepted.remote, super::name(accepted.port));
                    tracing::info!(%remote, port, user = name, "a server has logged in");
                }
                self.pass_accepted(link, &rest, None);
            }
            Progress::Refused(refusal) => self.refuse_accepted(now, link, refusal),
        }
    }

    fn on_accepted_closed(&mut self, now: MonoUs, link: LinkId, reason: &str) {
        let accepted = &self.accepted[&link];
        if accepted.login.is_silent() {
            // ZooKeeper: a server with a smaller id sends its handshake and closes the connection, whose end is no
            // login: QuorumCnxManager.handleConnection goes on where none is demanded.
            if accepted.has_handshake && accepted.port == Port::Election {
                if !self.how.is_demanded {
                    return self.pass_accepted(link, &[], Some(reason));
                }
                let (remote, port) = (accepted.remote, accepted.port);
                self.log_accepted(now, remote, port, &Refusal::NoLogin);
            }
            self.accepted.remove(&link);
            return;
        }
        let (remote, port) = (accepted.remote, accepted.port);
        self.log_accepted(now, remote, port, &Refusal::Closed);
        self.accepted.remove(&link);
        self.forget(link);
    }

    pub(super) fn on_accepted_timeout(&mut self, now: MonoUs) {
        let due: Vec<LinkId> =
            self.accepted.iter().filter(|(_, it)| it.until <= now).map(|(link, _)| *link).collect();
        for link in due {
            let accepted = &self.accepted[&link];
            let is_election = accepted.port == Port::Election;
            if is_election
                && accepted.has_handshake
                && accepted.login.is_silent()
                && !self.how.is_demanded
            {
                self.pass_accepted(link, &[], None);
            } else {
                let ms = self.timeout_ms(is_election);
                self.refuse_accepted(now, link, Refusal::Late(ms));
            }
        }
    }

    /// Hands a link to its owner, with its handshake and the bytes behind the login. `closed`: why it has ended.
    fn pass_accepted(&mut self, link: LinkId, rest: &[u8], closed: Option<&str>) {
        let accepted = self.accepted.remove(&link).expect("it is there");
        let Accepted { port, remote, may_be, mut handshake, sent, .. } = accepted;
        assert!(port == Port::Election || handshake.is_empty(), "a learner has no handshake");
        if !sent.is_empty() {
            self.sent.insert(link, sent);
        }
        self.effects.push(Effect::Accepted { link, port, remote, may_be });
        handshake.extend_from_slice(rest);
        if !handshake.is_empty() {
            self.effects.push(Effect::Received { link, bytes: handshake });
        }
        if let Some(reason) = closed {
            self.sent.remove(&link);
            self.effects.push(Effect::Closed { link, reason: reason.to_owned() });
        }
    }

    fn refuse_accepted(&mut self, now: MonoUs, link: LinkId, refusal: Refusal) {
        let accepted = self.accepted.remove(&link).expect("it is there");
        self.log_accepted(now, accepted.remote, accepted.port, &refusal);
        self.effects.push(Effect::Op(LinkOp::Close { link }));
    }
}
