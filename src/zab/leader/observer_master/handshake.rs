//! The handshake with an observer, in the words of a leader, until the observer is up to date.

use super::*;

/// The packets that follow the history from an observer master.
pub(super) struct MasterTail {
    /// The zxid of NEWLEADER.
    new_leader: Zxid,
    /// The active configuration.
    config: String,
}

impl Tail for MasterTail {
    fn write(&self, _of: TailFor, out: &mut BytesMut) {
        put_data(out, packet::NEWLEADER, self.new_leader, self.config.as_bytes());
    }
}

impl ObserverMaster {
    pub(super) fn on_info(
        &mut self,
        link: LinkId,
        packet: &Packet,
        view: MasterView<'_>,
    ) -> Result<(), Refusal> {
        let stage = self.learners.handlers[&link].stage;
        assert_eq!(stage, HandlerStage::Info, "it is the first packet");
        if packet.kind != packet::OBSERVERINFO {
            return Err(format!("only observers learn from a follower: type {}", packet.kind));
        }
        let info = packet.learner_info().map_err(text)?;
        let Some(info) = info.filter(|info| info.protocol_version.is_some()) else {
            return Err("it is older than observers that learn from followers".to_owned());
        };
        let is_member = view.config.members.contains_key(&info.server_id);
        if !self.learners.check_name(self.now, link, info.server_id, is_member) {
            return Ok(());
        }
        if info.config_version.is_some_and(|theirs| view.config.is_behind(theirs)) {
            return Err("it has a later configuration".to_owned());
        }
        let handler = self.learners.handlers.get_mut(&link).expect("its packet was just read");
        handler.server = info.server_id;
        handler.is_observer = true;
        handler.reader.set_data_bytes_max(self.options.packet_bytes_max);
        handler.enter(HandlerStage::AckEpoch);
        assert!(handler.is_observer, "only observers learn from a follower");
        let is_quiet = self.learners.kept_out.holds(handler.server);
        info_unless!(is_quiet, "{} has come", handler.name());
        let epoch = self.epoch;
        self.learners.put(link, |out| put_leader_info(out, epoch, view.origin));
        Ok(())
    }

    pub(super) fn on_ack_epoch(
        &mut self,
        link: LinkId,
        packet: &Packet,
        view: MasterView<'_>,
    ) -> Result<(), Refusal> {
        if packet.kind != packet::ACKEPOCH {
            return Err(format!("ACKEPOCH was due, and a packet of type {} came", packet.kind));
        }
        packet.epoch_ack().map_err(text)?;
        let history = self.history(view);
        if !self.learners.compare_history(self.now, link, self.epoch, packet, &history)? {
            return Ok(());
        }
        if !self.learners.take_over(self.now, link) {
            return Ok(());
        }
        let tail = self.tail(view);
        self.learners.begin_sync(link, packet.zxid, &history, &tail);
        Ok(())
    }

    pub(super) fn on_new_leader_ack(
        &mut self,
        link: LinkId,
        packet: &Packet,
    ) -> Result<(), Refusal> {
        if packet.kind != packet::ACK {
            return Err(format!("ACK was due, and a packet of type {} came", packet.kind));
        }
        self.learners.put(link, |out| put_bare(out, packet::UPTODATE, Zxid::NONE));
        let handler = self.learners.handlers.get_mut(&link).expect("its packet was just read");
        assert!(handler.sync_kind.is_some(), "it has got a history");
        handler.sync_kind = None;
        handler.enter(HandlerStage::Broadcast);
        info!("{} is up to date", handler.name());
        self.learners.kept_out.forget(handler.server);
        Ok(())
    }

    pub(super) fn history<'a>(&self, view: MasterView<'a>) -> History<'a> {
        super::super::history(&self.options, view.log, view.committed, view.origin)
    }

    pub(super) fn tail(&self, view: MasterView<'_>) -> MasterTail {
        MasterTail { new_leader: Zxid::new(self.epoch, 0), config: view.config.to_text() }
    }
}
