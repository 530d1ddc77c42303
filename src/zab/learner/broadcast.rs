//! After UPTODATE: what a leader tells those who follow or observe it (`Follower.processPacket`,
//! `Observer.processPacket`).

use super::*;

impl Learner {
    pub(super) fn on_broadcast(
        &mut self,
        packet: &Packet,
        lasting: &mut Lasting,
    ) -> Result<(), Left> {
        let is_follower = self.target.kind == LearnerKind::Follower;
        match packet.kind {
            packet::PROPOSAL if is_follower => self.on_proposal(packet, lasting),
            packet::COMMIT | packet::COMMITANDACTIVATE if is_follower => {
                self.on_commit(packet, lasting)
            }
            packet::INFORM | packet::INFORMANDACTIVATE if !is_follower => {
                self.on_inform(packet, lasting)
            }
            packet::PING => {
                lasting.ready.inbound(Inbound::Ping { zxid: packet.zxid });
                Ok(())
            }
            packet::REVALIDATE => {
                let (session, valid) = packet.session_and_validity()?;
                let tenure = packet.tenure(true).filter(|_| self.knows_marks);
                if !valid && tenure.is_some() {
                    lasting.ready.inbound(Inbound::LeftOut { session });
                    return Ok(());
                }
                let observers = lasting.observers.as_mut();
                if observers.is_none_or(|observers| observers.revalidated(session, valid, tenure)) {
                    lasting.ready.inbound(Inbound::Revalidated { session, valid, tenure });
                }
                Ok(())
            }
            packet::SYNC if packet.is_fence() => {
                if let Some(observers) = &mut lasting.observers {
                    observers.fence_done();
                }
                Ok(())
            }
            packet::SYNC => {
                let observers = lasting.observers.as_mut();
                if observers.is_none_or(|observers| observers.sync_done()) {
                    lasting.ready.inbound(Inbound::SyncDone);
                }
                Ok(())
            }
            other => {
                // ZooKeeper: followers and observers log what they do not expect here.
                tracing::warn!(packet = name(other), zxid = %packet.zxid, "not expected: ignored");
                Ok(())
            }
        }
    }
}
