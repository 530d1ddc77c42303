//! Links that this server has opened (`SaslQuorumAuthLearner`; `QuorumCnxManager.startConnection` and
//! `Learner.connectToLeader`, which call it).

use std::net::SocketAddr;

use bytes::Bytes;

use super::{Effect, Gate, LoginBytes};
use crate::limits::LOGINS_OPENED_MAX;
use crate::link::{LinkEvent, LinkId, LinkLogin, LinkOp};
use crate::sasl::Step;
use crate::sasl::between::{Ask, OpenedLogin, Progress, Refusal};
use crate::time::MonoUs;

/// A link whose login is not over.
#[derive(Debug)]
pub(super) struct Opened {
    remote: SocketAddr,
    is_election: bool,
    /// When it is given up.
    pub(super) until: MonoUs,
    /// `None`: the election has not sent its handshake yet.
    login: Option<OpenedLogin>,
    /// What the election wants of the network once the login is over, in order.
    ///
    /// Invariant: bounded, because the election sends a vote only while little is unsent.
    waiting: Vec<LinkOp>,
    /// Whether the election has closed the link behind its handshake: the other server is to connect back, and would
    /// not without the login.
    is_left: bool,
    /// Whether the event that has connected the link is being handled.
    is_new: bool,
    pub(super) sent: LoginBytes,
}

impl Opened {
    /// Checks how the fields are related.
    pub(super) fn check(&self) {
        assert!(self.is_election || self.login.is_some(), "a learner's login begins at once");
        assert!(self.is_election || self.waiting.is_empty(), "only the election speaks before");
        assert!(self.login.is_some() || self.waiting.is_empty(), "the handshake goes first");
        assert!(!self.is_left || self.is_election, "only the election leaves a link");
    }
}

impl Gate {
    /// A link is connected: begins the login, or, on the election port, waits for the handshake, which the election
    /// sends when it gets the event.
    pub(super) fn on_connected<'e>(
        &mut self,
        now: MonoUs,
        link: LinkId,
        remote: SocketAddr,
        is_election: bool,
    ) -> Option<LinkEvent<'e>> {
        if self.opened.len() >= LOGINS_OPENED_MAX {
            let oldest = *self.opened.keys().next().expect("there are some");
            self.refuse_opened(now, oldest, Refusal::Crowded);
        }
        let opened = Opened {
            remote,
            is_election,
            until: now.plus_ms(self.timeout_ms(is_election)),
            login: None,
            waiting: Vec::new(),
            is_left: false,
            is_new: true,
            sent: LoginBytes::default(),
        };
        let before = self.opened.insert(link, opened);
        assert!(before.is_none(), "a link is connected once");
        if is_election {
            return Some(LinkEvent::Connected { link, remote });
        }
        let first = self.begin_login(link);
        self.effects.extend(first.map(Effect::Op));
        None
    }

    /// Begins the login on a link: what this server says first, unless the edge makes it.
    fn begin_login(&mut self, link: LinkId) -> Option<LinkOp> {
        let own = self.how.own.as_ref().expect("this server logs in");
        let (login, first) = OpenedLogin::begin(own, self.nonces.draw());
        let opened = self.opened.get_mut(&link).expect("it is there");
        opened.login = Some(login);
        opened.sent.add(first.len());
        let target = self.targets.remove(&link).unwrap_or_default();
        if let Some(service) = own.service_at(&target) {
            self.logins.push(LinkLogin::Begin { link, service });
        }
        (!first.is_empty()).then(|| LinkOp::Send { link, bytes: Bytes::from(first) })
    }

    /// Takes what the election wants of the network; what the network is to do at once goes to the end of `ops`. Its
    /// handshake leaves, and the login follows it; anything else for a link whose login is not over waits.
    pub(in crate::peer) fn filter(&mut self, op: LinkOp, ops: &mut Vec<LinkOp>) {
        let link = match &op {
            LinkOp::Send { link, .. } | LinkOp::Close { link } => *link,
            LinkOp::Listen { .. } | LinkOp::Members { .. } | LinkOp::Connect { .. } => {
                return ops.push(op);
            }
        };
        let Some(opened) = self.opened.get_mut(&link) else {
            return ops.push(op);
        };
        match op {
            LinkOp::Send { bytes, .. } if opened.login.is_none() => {
                opened.sent = LoginBytes::begin_after(bytes.len());
                ops.push(LinkOp::Send { link, bytes });
                ops.extend(self.begin_login(link));
            }
            LinkOp::Close { .. } if opened.login.is_some() && opened.is_new => {
                opened.is_left = true;
            }
            LinkOp::Close { .. } => {
                // Noted when it is handed out.
                self.opened.remove(&link);
                ops.push(op);
            }
            LinkOp::Send { .. } => opened.waiting.push(op),
            LinkOp::Listen { .. } | LinkOp::Members { .. } | LinkOp::Connect { .. } => {
                unreachable!("they are of no link whose login is under way")
            }
        }
    }

    /// The event that has connected a link is handled: if the election closes it from now on, it has no use for it.
    pub(in crate::peer) fn on_event_handled(&mut self, link: LinkId) {
        if let Some(opened) = self.opened.get_mut(&link) {
            opened.is_new = false;
        }
    }

    /// An event of a link that is in `opened`.
    pub(super) fn on_opened_event(&mut self, now: MonoUs, link: LinkId, event: LinkEvent<'_>) {
        match event {
            LinkEvent::Received { bytes, .. } => self.on_opened_bytes(now, link, bytes),
            LinkEvent::Closed { .. } => {
                let opened = self.opened.remove(&link).expect("it is there");
                self.forget(link);
                self.log_opened(now, opened.remote, opened.is_election, &Refusal::Closed);
                self.effects.push(Effect::Closed { link, reason: Refusal::Closed.to_string() });
            }
            // Only accepted links are identified.
            LinkEvent::Identified { .. } => {}
            LinkEvent::Accepted { .. } | LinkEvent::Connected { .. } | LinkEvent::Sent { .. } => {
                unreachable!("the gate has handled it")
            }
        }
    }

    fn on_opened_bytes(&mut self, now: MonoUs, link: LinkId, bytes: &[u8]) {
        let opened = self.opened.get_mut(&link).expect("it is there");
        // The side that connects speaks first.
        let Some(login) = &mut opened.login else {
            return self.refuse_opened(now, link, Refusal::NoPacket);
        };
        let mut answer = Vec::new();
        let progress = login.handle(bytes, &mut answer);
        Self::send(&mut self.effects, link, answer, &mut opened.sent);
        self.on_opened_progress(now, link, progress);
    }

    /// The edge has made a token.
    pub(super) fn on_opened_login(&mut self, now: MonoUs, link: LinkId, step: Step) {
        let opened = self.opened.get_mut(&link).expect("it is there");
        let login = opened.login.as_mut().expect("the edge was asked for it");
        let mut answer = Vec::new();
        let progress = login.answered(step, &mut answer);
        Self::send(&mut self.effects, link, answer, &mut opened.sent);
        self.on_opened_progress(now, link, progress);
    }

    fn on_opened_progress(&mut self, now: MonoUs, link: LinkId, progress: Progress) {
        match progress {
            Progress::Pending => {}
            Progress::Asks(Ask::Respond { token }) => {
                self.logins.push(LinkLogin::Respond { link, token });
            }
            Progress::Asks(Ask::Check { .. }) => {
                unreachable!("only the side that accepts checks")
            }
            Progress::Refused(refusal) => self.refuse_opened(now, link, refusal),
            Progress::Passed { rest, .. } => self.pass_opened(link, rest),
        }
    }

    pub(super) fn on_opened_timeout(&mut self, now: MonoUs) {
        let due: Vec<LinkId> =
            self.opened.iter().filter(|(_, it)| it.until <= now).map(|(link, _)| *link).collect();
        for link in due {
            let ms = self.timeout_ms(self.opened[&link].is_election);
            self.refuse_opened(now, link, Refusal::Late(ms));
        }
    }

    fn pass_opened(&mut self, link: LinkId, rest: Vec<u8>) {
        self.opened_counts.passed += 1;
        let opened = self.opened.remove(&link).expect("it is there");
        assert!(opened.login.is_some(), "a login that has not begun is not over");
        let Opened { remote, is_election, waiting, is_left, sent, .. } = opened;
        tracing::debug!(%remote, is_election, "logged in at another server");
        if is_left {
            self.effects.push(Effect::Op(LinkOp::Close { link }));
            return;
        }
        if !sent.is_empty() {
            self.sent.insert(link, sent);
        }
        self.effects.extend(waiting.into_iter().map(Effect::Op));
        if !is_election {
            self.effects.push(Effect::Connected { link, remote });
        }
        if !rest.is_empty() {
            self.effects.push(Effect::Received { link, bytes: rest });
        }
    }

    fn refuse_opened(&mut self, now: MonoUs, link: LinkId, refusal: Refusal) {
        let opened = self.opened.remove(&link).expect("it is there");
        self.log_opened(now, opened.remote, opened.is_election, &refusal);
        if !opened.is_left {
            let reason = refusal.to_string();
            self.effects.push(Effect::Closed { link, reason });
        }
        self.effects.push(Effect::Op(LinkOp::Close { link }));
    }
}
