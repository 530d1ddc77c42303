//! How a learner gets the leader's history: the difference, or a place in the queue for the whole tree.

use super::*;

/// The packets that follow a learner's history: the proposals that are not committed (to followers), and NEWLEADER.
pub trait Tail {
    /// Writes the packets.
    fn write(&self, of: TailFor, out: &mut BytesMut);

    /// Why a learner cannot get these packets now.
    fn refusal(&self, _of: TailFor) -> Option<&'static str> {
        None
    }
}

/// The kind of learner for which a tail is written.
#[derive(Clone, Copy, Debug)]
pub struct TailFor {
    /// Whether the learner observes.
    pub is_observer: bool,
    /// Whether the learner speaks the protocol from before servers agreed on epochs.
    pub is_old: bool,
    /// Whether the learner is a Ringkeeper, which distinguishes active and proposed configurations.
    pub knows_marks: bool,
}

impl TailFor {
    fn of(handler: &Handler) -> TailFor {
        let Handler { is_observer, is_old, knows_marks, .. } = *handler;
        TailFor { is_observer, is_old, knows_marks }
    }
}

impl Learners {
    /// Brings a learner up to date whose history ends at `peer`.
    pub fn begin_sync(
        &mut self,
        link: LinkId,
        peer: Zxid,
        history: &History<'_>,
        tail: &impl Tail,
    ) {
        if self.refuse_tail(link, tail) {
            return;
        }
        // It was sent away a moment ago.
        let Some(handler) = self.handlers.get_mut(&link) else { return };
        assert!(
            matches!(handler.stage, HandlerStage::EpochQuorum { .. } | HandlerStage::AckEpoch),
            "it has accepted the epoch: {:?}",
            handler.stage
        );
        assert!(handler.sync_kind.is_none(), "a learner is brought up to date once");
        let plan = history.choose(peer, handler.marks.as_ref());
        if !matches!(plan, Plan::ReadLog) {
            // The marks were compared with all transactions in memory.
            handler.marks = None;
        }
        match plan {
            Plan::Stream(stream) => {
                if self.admit(link, SyncKind::Diff) {
                    self.shut(link);
                    self.go_live(link, tail);
                    self.stream(link, peer, stream);
                }
            }
            Plan::ReadLog => {
                if !self.admit(link, SyncKind::Diff) {
                    return;
                }
                let id = self.numbers.next();
                self.log_reads.push(LogRead { id, from: peer, to: history.log.last() });
                let before = self.memories.insert(id, history.log.clone());
                assert!(before.is_none(), "the name of a wish is given once");
                self.shut(link);
                self.go_live(link, tail);
                self.set_stage(link, HandlerStage::LogRead { id, last: peer });
            }
            Plan::Snapshot => self.wait_for_snapshot(link, peer),
        }
    }

    /// The log's files were read; `None`: the transactions are not there.
    pub fn handle_log_read(&mut self, now: MonoUs, id: u64, txns: Option<Vec<Txn>>) {
        // The learner that it was for has gone, or it is the answer to another leader.
        let Some(memory) = self.memories.remove(&id) else { return };
        let found = self.handlers.values().find_map(|handler| match handler.stage {
            HandlerStage::LogRead { id: own, last } if own == id => Some((handler.link, last)),
            _ => None,
        });
        let (link, peer) = found.expect("a memory goes with its learner");
        if let Some(handler) = self.handlers.get_mut(&link) {
            handler.heard_at = now;
        }
        // The files may show a difference that lies before the transactions in memory.
        let marks = self.handlers.get_mut(&link).expect("it was found").marks.take();
        let marks = marks.as_ref();
        let differs = |txn: &Txn| {
            let (theirs, ours) = (marks?.at(txn.zxid())?, Mark::of(txn));
            theirs.contradicts(&ours).then_some((theirs, ours))
        };
        if let Some((theirs, ours)) = txns.iter().flatten().find_map(differs) {
            return self.refuse_other_history(now, link, theirs, ours);
        }
        match txns.and_then(|txns| choose_from_files(txns, &memory, peer, marks)) {
            Some(stream) => self.stream(link, peer, stream),
            None => {
                if let Some(handler) = self.handlers.get_mut(&link) {
                    handler.outbox.forget();
                    handler.sync_kind = None;
                }
                self.wait_for_snapshot(link, peer);
            }
        }
    }

    fn wait_for_snapshot(&mut self, link: LinkId, peer: Zxid) {
        if self.admit(link, SyncKind::Snapshot) {
            info!("{} has {peer} and gets the whole tree", self.handlers[&link].name());
            self.set_stage(link, HandlerStage::Snapshot);
        }
    }

    fn stream(&mut self, link: LinkId, peer: Zxid, stream: Stream) {
        assert!(matches!(stream.kind, packet::DIFF | packet::TRUNC), "type {}", stream.kind);
        let end = if stream.kind == packet::DIFF { peer } else { stream.zxid };
        let first = stream.history.front().map(Txn::zxid);
        assert!(first.is_none_or(|first| first > end), "it has everything up to {end}");
        self.syncs.1 += 1;
        let handler = self.handlers.get_mut(&link).expect("it has just got a place");
        assert_eq!(handler.sync_kind, Some(SyncKind::Diff), "it was admitted");
        let kind = if stream.kind == packet::DIFF { "DIFF" } else { "TRUNC" };
        let (name, txns) = (handler.name(), stream.history.len());
        info!("{name} has {peer} and gets {kind} {} and {txns} transactions", stream.zxid);
        let mut op = BytesMut::new();
        put_bare(&mut op, stream.kind, stream.zxid);
        handler.outbox.put_ahead(op.freeze());
        handler.outbox.open(stream.history);
        handler.enter(HandlerStage::NewLeaderAck);
    }

    /// Takes one of the places for synchronisations. Observers are refused if there is none left; strangers get at most
    /// half of the places.
    fn admit(&mut self, link: LinkId, kind: SyncKind) -> bool {
        let running = self.syncs_running(kind);
        let synced = self.handlers.values().filter(|handler| handler.sync_kind == Some(kind));
        let strangers = synced.filter(|handler| !handler.is_member).count();
        let max = match kind {
            SyncKind::Snapshot => self.options.concurrent_syncs_max.0,
            SyncKind::Diff => self.options.concurrent_syncs_max.1,
        };
        let handler = self.handlers.get_mut(&link).expect("it is about to get the history");
        assert!(handler.sync_kind.is_none(), "a learner has one place");
        let is_full = match handler.is_member {
            true => handler.is_observer && running >= max,
            false => strangers >= max.div_ceil(2) || running >= max,
        };
        if is_full {
            self.refuse(link, "too many learners are being synchronised already");
            return false;
        }
        handler.sync_kind = Some(kind);
        true
    }

    pub fn syncs_running(&self, kind: SyncKind) -> usize {
        self.handlers.values().filter(|handler| handler.sync_kind == Some(kind)).count()
    }

    pub(super) fn shut(&mut self, link: LinkId) {
        self.outbox(link).shut();
    }

    /// Writes the proposals that are not committed and NEWLEADER; all broadcasts follow.
    pub(super) fn go_live(&mut self, link: LinkId, tail: &impl Tail) {
        let handler = self.handlers.get_mut(&link).expect("the learner is there");
        let shared = if handler.is_observer { self.observers.len() } else { self.followers.len() };
        let of = TailFor::of(handler);
        handler.outbox.put(shared, |out| tail.write(of, out));
        handler.outbox.go_live(shared);
        match handler.is_observer {
            true => self.has_observers = true,
            false => self.has_followers = true,
        }
    }

    /// Sends a learner away that cannot get the packets after its history. Whether it was sent away.
    pub(super) fn refuse_tail(&mut self, link: LinkId, tail: &impl Tail) -> bool {
        let of = self.handlers.get(&link).map(TailFor::of);
        let reason = of.and_then(|of| tail.refusal(of));
        if let Some(reason) = reason {
            self.refuse(link, reason);
        }
        reason.is_some()
    }

    fn outbox(&mut self, link: LinkId) -> &mut Outbox {
        &mut self.handlers.get_mut(&link).expect("the learner is there").outbox
    }

    fn set_stage(&mut self, link: LinkId, stage: HandlerStage) {
        self.handlers.get_mut(&link).expect("the learner is there").enter(stage);
    }
}
