//! The data of a packet, by its type.

use super::*;

impl Packet {
    fn wrong(&self) -> PacketError {
        PacketError::Data(self.kind)
    }

    /// FOLLOWERINFO, OBSERVERINFO: the learner's id and more; `None`: a very old server sends nothing.
    ///
    /// # Errors
    /// The data has a length that no release sends.
    pub fn learner_info(&self) -> Result<Option<LearnerInfo>, PacketError> {
        match self.data.as_deref() {
            None => Ok(None),
            Some(data) => LearnerInfo::from_bytes(data).map(Some).map_err(|_| self.wrong()),
        }
    }

    /// ACKEPOCH: the epoch that the learner has followed last, or that it must not be counted (-1).
    ///
    /// # Errors
    /// The data has no epoch.
    pub fn epoch_ack(&self) -> Result<EpochAck, PacketError> {
        match self.data.as_deref().and_then(|data| i32_at(data, 0)) {
            Some(-1) => Ok(EpochAck::DoesNotCount),
            Some(epoch @ 0..) => Ok(EpochAck::Counts(Epoch(i64::from(epoch)))),
            Some(_) | None => Err(self.wrong()),
        }
    }

    /// The bytes after the number in LEADERINFO and ACKEPOCH; `None`: the other side is Apache ZooKeeper.
    fn behind_number(&self) -> Option<&[u8]> {
        self.data.as_deref()?.get(NUMBER_BYTES..)?.strip_prefix(MARKS_KNOWN)
    }

    /// LEADERINFO: whether the leader compares histories, and lets learners follow that it cannot count.
    pub fn knows_marks(&self) -> bool {
        self.behind_number().is_some()
    }

    /// The first LEADERINFO: the origin of the leader's history, if the leader knows it.
    // ZooKeeper: Learner.registerWithLeader reads the number in front alone.
    pub fn origin(&self) -> Option<Origin> {
        Origin::of_mark(&Mark::decode(self.behind_number()?)?)
    }

    /// ACKEPOCH: the marks of the learner's history; `None`: the learner is Apache ZooKeeper.
    ///
    /// # Errors
    /// They are malformed, or too many.
    pub fn marks(&self) -> Result<Option<Marks>, PacketError> {
        let Some(bytes) = self.behind_number() else { return Ok(None) };
        Marks::decode(bytes).map(Some).ok_or_else(|| self.wrong())
    }

    /// LEADERINFO in the place of the leader's choice: the learner has another history. The leader's mark at the point
    /// where they differ.
    pub fn other_history(&self) -> Option<Mark> {
        (self.kind == packet::LEADERINFO).then(|| self.behind_number().and_then(Mark::decode))?
    }

    /// SNAP: the digest of the tree that follows, which is then exactly the tree at the packet's zxid. `None`: the
    /// tree may be ahead of that zxid, as a tree of Apache ZooKeeper is.
    // ZooKeeper: Learner.syncWithLeader reads no data of SNAP.
    pub fn tree_digest(&self) -> Option<i64> {
        let bytes = self.data.as_deref()?.strip_prefix(MARKS_KNOWN)?;
        Some(i64::from_be_bytes(bytes.try_into().ok()?))
    }

    /// COMMITANDACTIVATE, INFORMANDACTIVATE: the next leader, and the bytes after its id.
    ///
    /// # Errors
    /// The data is too short.
    pub fn designated_leader(&self) -> Result<(ServerId, Bytes), PacketError> {
        let data = self.data.as_ref().filter(|data| data.len() >= 8).ok_or_else(|| self.wrong())?;
        let leader = Decoder::new(data).i64().expect("the length was checked");
        let rest = data.slice(8..);
        assert_eq!(rest.len() + 8, data.len(), "a server's id has eight bytes");
        Ok((ServerId(leader), rest))
    }

    /// PROPOSAL, INFORM: the transaction, which has the packet's zxid.
    ///
    /// # Errors
    /// The data is not a transaction, or one with another zxid.
    pub fn txn(&self) -> Result<Txn, PacketError> {
        let data = self.data.as_ref().ok_or_else(|| self.wrong())?;
        let txn = Txn::parse(data).map_err(|_| self.wrong())?;
        if txn.zxid() == self.zxid { Ok(txn) } else { Err(self.wrong()) }
    }

    /// REVALIDATE from a learner: a session and its timeout in ms.
    ///
    /// # Errors
    /// The data is too short.
    pub fn session_and_timeout(&self) -> Result<(SessionId, i32), PacketError> {
        let mut input = Decoder::new(self.data.as_deref().unwrap_or_default());
        let read = input.i64().and_then(|session| Ok((SessionId(session), input.i32()?)));
        read.map_err(|_| self.wrong())
    }

    /// REVALIDATE: the tenure at the end. From a learner it means that the connection is not new, and the session only
    /// to be kept. `None`: there is no tenure, as from Apache ZooKeeper.
    // ZooKeeper: Learner.revalidate and Leader.revalidateSession read no further.
    pub fn tenure(&self, from_leader: bool) -> Option<Tenure> {
        let before = if from_leader { ANSWERED_BYTES } else { ASKED_BYTES };
        let bytes = self.data.as_deref()?.get(before..)?;
        let mut input = Decoder::new(bytes);
        let since = Zxid(input.i64().ok()?);
        let turn = input.i64().ok()?.cast_unsigned();
        Some(Tenure { since, turn })
    }

    /// REVALIDATE from the leader: a session, and whether it is alive.
    ///
    /// # Errors
    /// The data is too short.
    pub fn session_and_validity(&self) -> Result<(SessionId, bool), PacketError> {
        let mut input = Decoder::new(self.data.as_deref().unwrap_or_default());
        let read = input.i64().and_then(|session| Ok((SessionId(session), input.take(1)?[0] != 0)));
        read.map_err(|_| self.wrong())
    }

    /// PING from a learner: the sessions that were heard, with their timeouts in ms.
    ///
    /// # Errors
    /// The last session is not whole.
    pub fn touched(&self) -> Result<impl Iterator<Item = (SessionId, i32)> + '_, PacketError> {
        let (items, rest) = self.data.as_deref().unwrap_or_default().as_chunks::<12>();
        if !rest.is_empty() {
            return Err(self.wrong());
        }
        Ok(items.iter().map(|item| {
            let mut input = Decoder::new(item);
            let session = input.i64().expect("an item has twelve bytes");
            (SessionId(session), input.i32().expect("an item has twelve bytes"))
        }))
    }

    /// REQUEST of a sync, and SYNC: whether it is a [fence](put_fence), or the answer to one.
    pub fn is_fence(&self) -> bool {
        self.zxid.0 == FENCE
    }

    /// REQUEST: which servers know the session, as the learner says.
    pub fn session_scope(&self) -> SessionScope {
        match self.zxid.0 {
            LOCAL_SESSION => SessionScope::Local,
            GLOBAL_SESSION => SessionScope::Global,
            _ => SessionScope::Unsaid,
        }
    }

    /// REQUEST: session, cxid, number of the operation, and its body.
    ///
    /// # Errors
    /// The data is too short.
    pub fn request(&self) -> Result<(SessionId, i32, i32, Bytes), PacketError> {
        let data = self.data.as_ref().filter(|data| data.len() >= 16);
        let data = data.ok_or_else(|| self.wrong())?;
        let mut input = Decoder::new(data);
        let long_enough = "the length was checked";
        let session = SessionId(input.i64().expect(long_enough));
        let cxid = input.i32().expect(long_enough);
        let op = input.i32().expect(long_enough);
        Ok((session, cxid, op, data.slice(16..)))
    }
}
