//! The requests of observers, which are passed on to the leader in order, and not too many at once.

use super::*;

/// A sync that the leader has still to answer.
#[derive(Debug)]
pub(super) enum Sync {
    /// A sync of a client of this server.
    Own,
    /// A sync of an observer's client.
    Observer(LinkId),
    /// A fence, for a leader that takes it for a sync.
    Fence(Fence),
}

/// The number of packets that are taken from one observer before the next observer is listened to.
const PACKETS_AT_ONCE: usize = 8;

impl ObserverMaster {
    /// Whether no more should be read from this link for now, until the leader has handled earlier requests of
    /// observers.
    pub fn has_enough_of(&self, link: LinkId) -> bool {
        // A link that is gone brings nothing more.
        let Some(handler) = self.learners.handlers.get(&link) else { return false };
        self.fenced_syncs.contains(&link)
            || self.under_way.holds(link, handler.is_member)
            || self.asks_too_much(link)
    }

    /// Whether this observer's next question about a session has to wait, because so many are open.
    fn asks_too_much(&self, link: LinkId) -> bool {
        let own = self.questions.get(&link).copied().unwrap_or(0);
        let all = self.questions_of_all;
        assert!(own <= all, "an observer's questions are among those of all");
        all >= OBSERVERS_QUESTIONS_MAX
            || own >= OBSERVER_QUESTIONS_MAX
            || (all >= OBSERVERS_QUESTIONS_MAX / 4 && own >= OBSERVER_QUESTIONS_MAX / 10)
    }

    /// This server passes a sync of its own on to the leader.
    pub fn own_sync(&mut self) {
        self.syncs.push_back(Sync::Own);
    }

    /// The leader has answered the oldest sync. True: the sync is this server's own.
    pub fn sync_done(&mut self) -> bool {
        let link = match self.syncs.pop_front() {
            None | Some(Sync::Own) => return true,
            Some(Sync::Fence(fence)) => {
                self.pass(&fence);
                return false;
            }
            Some(Sync::Observer(link)) => link,
        };
        if let Some(handler) = self.learners.handlers.get_mut(&link) {
            assert!(handler.syncs_pending > 0, "a sync that waits was counted");
            handler.syncs_pending -= 1;
        }
        self.learners.put(link, |out| put_bare(out, packet::SYNC, Zxid::ZERO));
        false
    }

    /// The leader has answered the oldest fence.
    pub fn fence_done(&mut self) {
        match self.fences.pop_front() {
            Some((fence, syncs)) => {
                for sync in syncs {
                    self.pass_sync_on(sync);
                }
                self.pass(&fence);
            }
            None => warn!("the leader answers a fence that was not sent"),
        }
    }

    /// The leader has handled everything before a fence: the links that were held go on, until they are held again.
    fn pass(&mut self, fence: &Fence) {
        self.under_way.remove(fence);
        self.go_on();
    }

    /// Listens to the links that were held, to each a little in turn.
    pub(super) fn go_on(&mut self) {
        let mut took_any = true;
        while take(&mut took_any) {
            for _ in 0..self.held.len() {
                let link = self.held.pop_front().expect("as many as there were");
                took_any |= self.listen(link);
            }
        }
    }

    pub(super) fn listens_to_requests(&self, link: LinkId) -> bool {
        self.learners.handlers.get(&link).is_some_and(|it| it.stage == HandlerStage::Broadcast)
    }

    /// Takes a few packets of an observer that is up to date, unless it is held. Whether there were any.
    fn listen(&mut self, link: LinkId) -> bool {
        let mut took_any = false;
        for _ in 0..PACKETS_AT_ONCE {
            if self.has_enough_of(link) {
                break;
            }
            // The observer has sent no more, or has gone.
            let Some((stage, packet)) = self.learners.next_packet(link) else { return took_any };
            assert_eq!(
                stage,
                HandlerStage::Broadcast,
                "only an observer that is up to date is held"
            );
            took_any = true;
            if let Err(reason) = self.on_packet(link, &packet) {
                self.learners.refuse(link, &reason);
            }
        }
        self.held.push_back(link);
        took_any
    }

    fn on_packet(&mut self, link: LinkId, packet: &Packet) -> Result<(), Refusal> {
        let handler = self.learners.handlers.get_mut(&link).expect("its packet was just read");
        assert_eq!(
            handler.stage,
            HandlerStage::Broadcast,
            "only an observer that is up to date sends this"
        );
        match packet.kind {
            // The ACK of UPTODATE: observers acknowledge nothing else.
            packet::ACK => {}
            packet::PING => {
                for (session, timeout_ms) in packet.touched().map_err(text)? {
                    self.inbound.push(Inbound::Touch { session, timeout_ms });
                }
            }
            packet::REVALIDATE => {
                let (session, timeout_ms) = packet.session_and_timeout().map_err(text)?;
                let observer = Some((link, handler.server, timeout_ms));
                self.revalidations.push_back(Revalidation { observer, session });
                self.questions_of_all += 1;
                *self.questions.entry(link).or_default() += 1;
                self.inbound.push(Inbound::TakenUpAtObserver { session });
                self.upstream.push(Upstream::Revalidate(session, timeout_ms));
            }
            packet::REQUEST => {
                let (session, cxid, op, body) = packet.request().map_err(text)?;
                handler.requests += 1;
                if op == OpCode::Sync.number() {
                    handler.syncs_pending += 1;
                    if handler.syncs_pending > LEARNER_SYNCS_MAX {
                        return Err("too many of its syncs wait for the leader".to_owned());
                    }
                }
                let held_by = self.holders.get(&session);
                let is_sync = op == OpCode::Sync.number();
                // A sync changes nothing, and the leader answers syncs in their order, so it is passed on anyway.
                if !is_sync && held_by.is_some_and(|holder| *holder != Some(handler.server)) {
                    // The client's old connection ends when its observer hears where the session is.
                    // ZooKeeper: ObserverMaster passes it on, and the leader carries it out behind later ones.
                    debug!(%session, cxid, "a request of a connection that its client has left");
                    if packet.session_scope() != SessionScope::Unsaid {
                        self.learners.put(link, |out| put_left_out(out, session));
                    }
                    return Ok(());
                }
                let scope = packet.session_scope();
                // A sync needs no permission.
                let identities = if is_sync { Vec::new() } else { packet.authinfo.clone() };
                let server = handler.server;
                let request =
                    ForwardedRequest { link, server, session, scope, cxid, op, body, identities };
                if is_sync && scope == SessionScope::Unsaid && self.answers_fences {
                    self.order_sync(request);
                } else if is_sync {
                    self.pass_sync_on(request);
                } else {
                    self.pass_on(request);
                }
            }
            kind => warn!("{} sent a packet of type {kind}: ignored", handler.name()),
        }
        Ok(())
    }

    fn pass_on(&mut self, request: ForwardedRequest) {
        let (link, session) = (request.link, request.session);
        let is_member = self.learners.handlers.get(&link).is_some_and(|it| it.is_member);
        let is_sync = request.op == OpCode::Sync.number();
        let bytes = request.body.len() + acl::bytes_of(&request.identities);
        let fence = self.under_way.add(link, is_member, (!is_sync).then_some(bytes));
        self.upstream.push(Upstream::Request(request));
        // Too few requests have come since the last fence.
        let Some(fence) = fence else { return };
        assert!(self.under_way.is_fenced(), "a fence is behind everything");
        if self.answers_fences {
            self.fences.push_back((fence, Vec::new()));
        } else {
            self.syncs.push_back(Sync::Fence(fence));
        }
        self.upstream.push(Upstream::Fence(session));
    }

    fn pass_sync_on(&mut self, sync: ForwardedRequest) {
        assert_eq!(sync.op, OpCode::Sync.number(), "only syncs are answered so");
        self.fenced_syncs.remove(&sync.link);
        self.syncs.push_back(Sync::Observer(sync.link));
        // The sync has waited for the earlier requests of its observer.
        let scope = if self.answers_fences { SessionScope::Global } else { sync.scope };
        self.pass_on(ForwardedRequest { scope, ..sync });
    }

    /// Keeps a sync of an Apache ZooKeeper observer behind the earlier requests of its session, because that observer
    /// does not. If the leader did so, the syncs of this server's own clients would wait there, too, because the
    /// leader answers syncs in their order:
    ///
    /// 1. A client of an observer sends many requests and then a sync, which the leader answers after the requests.
    /// 2. A client of this server sends a sync. The leader has its answer, but keeps it until it has answered the first
    ///    sync.
    ///
    /// So the sync waits here until the leader has handled the earlier requests. Later packets of the observer wait
    /// behind the sync: the observer expects its commits and the answers to its syncs in the order of its requests
    /// (`CommitProcessor.queuedWriteRequests`).
    fn order_sync(&mut self, sync: ForwardedRequest) {
        let link = sync.link;
        assert!(self.answers_fences, "any other leader takes a fence for a sync");
        if self.under_way.has_no_writes_of(link) {
            return self.pass_sync_on(sync);
        }
        assert!(
            self.fenced_syncs.insert(link),
            "nothing is taken from a link with a sync that waits"
        );
        if self.fences.is_empty() || !self.under_way.is_fenced() {
            let fence = self.under_way.fence();
            self.fences.push_back((fence, Vec::new()));
            self.upstream.push(Upstream::Fence(sync.session));
        }
        let (_, syncs) = self.fences.back_mut().expect("there is one now");
        syncs.push(sync);
    }
}
