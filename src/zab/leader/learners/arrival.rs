//! Learners that connect, say who they are, and go.

use super::*;

impl Learners {
    pub fn accept(
        &mut self,
        now: MonoUs,
        link: LinkId,
        (remote, may_be): (SocketAddr, Option<&[ServerId]>),
        deadline: u64,
    ) {
        if self.handlers.len() >= LEARNERS_MAX {
            // A host that does not even give an id shall not keep servers out that do.
            let stranger = self.at_stage(HandlerStage::Info).min_by_key(|handler| handler.since);
            match stranger.map(|handler| handler.link) {
                Some(stranger) => self.refuse(stranger, "others wait for its place"),
                None => {
                    warn!(%remote, "no more learners: there are {LEARNERS_MAX}");
                    self.ops.push(LinkOp::Close { link });
                    return;
                }
            }
        }
        let may_be = may_be.map(<[ServerId]>::to_vec);
        let before = self.handlers.insert(link, Handler::new(link, remote, may_be, now, deadline));
        assert!(before.is_none(), "a link is accepted once");
        assert!(self.handlers.len() <= LEARNERS_MAX, "their number has a bound");
    }

    /// Whether a learner may have the id that it has given. If its address forbids that, it is sent away.
    pub fn check_name(
        &mut self,
        now: MonoUs,
        link: LinkId,
        server: ServerId,
        is_member: bool,
    ) -> bool {
        // It was sent away a moment ago.
        let Some(handler) = self.handlers.get_mut(&link) else { return false };
        handler.is_member = is_member;
        if !is_member || !is_forged(handler.may_be.as_deref(), server) {
            return true;
        }
        let text = forgery(handler.remote, server);
        self.keep_out(now, link, server, kept_out::Reason::Forged, &text);
        false
    }

    /// The members have changed, and with them those that have the address of this link.
    pub fn identify(
        &mut self,
        now: MonoUs,
        link: LinkId,
        may_be: &[ServerId],
        is_member: impl Fn(ServerId) -> bool,
    ) {
        // The network speaks of every link that it has, also of one that is about to be closed.
        let Some(handler) = self.handlers.get_mut(&link) else { return };
        handler.may_be = Some(may_be.to_vec());
        let server = handler.server;
        if handler.is_known() {
            self.check_name(now, link, server, is_member(server));
        }
    }

    /// The other side or the network has closed the link.
    pub fn forget(&mut self, link: LinkId, reason: &str) {
        if let Some(handler) = self.handlers.remove(&link) {
            if handler.is_known() {
                if handler.stage.has_history() {
                    // It has served clients, or was about to.
                    tracing::warn!("lost {}: {reason}; its own log says more", handler.name());
                } else {
                    let is_quiet = self.kept_out.holds(handler.server);
                    info_unless!(is_quiet, "lost {}: {reason}", handler.name());
                }
            }
            self.release(&handler);
        }
    }

    /// Closes the link of a learner.
    pub fn refuse(&mut self, link: LinkId, reason: &str) {
        if let Some(handler) = self.handlers.get(&link) {
            warn!("closing the connection of {}: {reason}", handler.name());
            self.close(link);
        }
    }

    pub(super) fn close(&mut self, link: LinkId) {
        if let Some(handler) = self.handlers.remove(&link) {
            self.ops.push(LinkOp::Close { link });
            self.release(&handler);
        }
    }

    /// Whether a learner that is about to get the history over this link gets it. If so, its older links are closed:
    /// packets that still arrive over them may be from before, such as an acknowledgement, or a request of a client
    /// that has asked for more over the new link.
    ///
    /// The link itself may be the old one. A learner opens a link only after it has given up the link before, so that
    /// of two links the learner has left the one that was accepted first:
    ///
    /// 1. A learner sends ACKEPOCH, gives its connection up, connects again, and gets the history.
    /// 2. The ACKEPOCH of step 1 arrives late. It says nothing about what the learner has by now.
    ///
    /// A link over which the server was heard a moment ago stays. A connection that claims its id meanwhile is another
    /// server's, or the server has only just left and will try again. Otherwise two servers with one id, or a stranger,
    /// could take a follower from its leader as often as they like.
    // ZooKeeper keeps both. There a session's owner is the LearnerHandler, so that such a request is refused with
    // SESSIONMOVED.
    pub fn take_over(&mut self, now: MonoUs, link: LinkId) -> bool {
        // It was sent away a moment ago.
        let Some(handler) = self.handlers.get(&link) else { return false };
        assert!(handler.is_known(), "a learner has said who it is");
        assert!(!handler.outbox.is_live(), "it gets the history after this");
        let server = handler.server;
        let alive_ms = self.options.tick_ms;
        let living = self.of_server(server).find(|other| {
            // The younger links are dealt with below.
            other.link < link
                && other.stage == HandlerStage::Broadcast
                && now.since_us(other.heard_at) / 1000 < alive_ms
        });
        if let Some(living) = living {
            let text = format!(
                "server {server} is connected already, from {}, and answers: two servers may have the same \
                 myid, or somebody uses its name. If it has just left it gets in within a tick",
                living.remote
            );
            self.keep_out(now, link, server, kept_out::Reason::NameTaken, &text);
            return false;
        }
        let others: Vec<LinkId> = self
            .of_server(server)
            .filter(|other| other.link != link)
            .filter(|other| {
                other.stage != HandlerStage::Epoch && other.stage != HandlerStage::AckEpoch
            })
            .map(|other| other.link)
            .collect();
        let is_older = others.iter().any(|other| *other > link);
        let older = if is_older { vec![link] } else { others };
        for older in older {
            self.refuse(
                older,
                "it has connected anew (again and again: two servers may have the same myid)",
            );
        }
        !is_older
    }

    /// Whether a learner that sends ACKEPOCH has this server's history, as far as the transactions in memory tell. If
    /// not, it is told so and sent away.
    pub fn compare_history(
        &mut self,
        now: MonoUs,
        link: LinkId,
        epoch: Epoch,
        packet: &Packet,
        history: &History<'_>,
    ) -> Result<bool, String> {
        let handler = self.handlers.get_mut(&link).expect("its packet was just read");
        assert_eq!(handler.stage, HandlerStage::AckEpoch, "histories are compared at ACKEPOCH");
        assert!(handler.marks.is_none(), "a learner says once what it has");
        handler.marks = packet.marks().map_err(|error| error.to_string())?;
        handler.knows_marks = handler.marks.is_some();
        handler.epoch = epoch;
        let marks = handler.marks.as_ref();
        match marks.and_then(|marks| marks.difference(|zxid| history.mark(zxid))) {
            Some((theirs, ours)) => {
                self.refuse_other_history(now, link, theirs, ours);
                Ok(false)
            }
            None => Ok(true),
        }
    }

    pub(super) fn refuse_other_history(
        &mut self,
        now: MonoUs,
        link: LinkId,
        theirs: Mark,
        ours: Mark,
    ) {
        assert!(theirs.contradicts(&ours), "only another history is refused: {theirs}, {ours}");
        // It was sent away a moment ago.
        let Some(handler) = self.handlers.get(&link) else { return };
        assert!(handler.knows_marks, "{} reads what is sent now", handler.name());
        let mut bytes = BytesMut::new();
        put_other_history(&mut bytes, handler.epoch, ours);
        self.ops.push(LinkOp::Send { link, bytes: bytes.freeze() });
        let server = handler.server;
        let text = kept_out::leader_of_other_history(theirs, ours);
        self.keep_out(now, link, server, kept_out::Reason::OtherHistory, &text);
    }

    /// Closes the link of a server that is kept out, and logs it from time to time.
    pub fn keep_out(
        &mut self,
        now: MonoUs,
        link: LinkId,
        server: ServerId,
        reason: kept_out::Reason,
        text: &str,
    ) {
        if self.kept_out.is_due(now, server, reason) {
            self.refuse(link, text);
        } else {
            self.close(link);
        }
    }

    fn release(&mut self, handler: &Handler) {
        assert!(!self.handlers.contains_key(&handler.link), "it is a learner no more");
        if let HandlerStage::LogRead { id, .. } = handler.stage {
            self.memories.remove(&id);
        }
        if self.stalled.is_some_and(|(_, link, _)| link == handler.link) {
            self.stalled = None;
        }
    }

    /// Closes all links, after the bytes that wait for them.
    pub fn close_all(&mut self) {
        self.flush();
        for (link, _) in std::mem::take(&mut self.handlers) {
            self.ops.push(LinkOp::Close { link });
        }
        self.memories.clear();
        self.log_reads.clear();
    }
}
