//! The writers of packets.

use super::*;

fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("a packet's data is far below 2 GiB")
}

/// Writes a packet whose data is these two pieces, one after the other.
fn put_parts(out: &mut impl BufMut, kind: i32, zxid: Zxid, parts: [&[u8]; 2]) {
    out.put_i32(kind);
    out.put_i64(zxid.0);
    out.put_i32(length(parts[0].len() + parts[1].len()));
    out.put_slice(parts[0]);
    out.put_slice(parts[1]);
    out.put_i32(-1);
}

/// Writes a packet without data: ACK, COMMIT, DIFF, TRUNC, SNAP, UPTODATE, SYNC, a leader's PING.
pub fn put_bare(out: &mut impl BufMut, kind: i32, zxid: Zxid) {
    out.put_i32(kind);
    out.put_i64(zxid.0);
    out.put_i32(-1);
    out.put_i32(-1);
}

/// Writes a packet with data.
pub fn put_data(out: &mut impl BufMut, kind: i32, zxid: Zxid, data: &[u8]) {
    put_parts(out, kind, zxid, [data, &[]]);
}

/// Writes a transaction: PROPOSAL or INFORM.
pub fn put_txn(out: &mut impl BufMut, kind: i32, txn: &Txn) {
    put_data(out, kind, txn.zxid(), txn.bytes());
}

/// Writes COMMITANDACTIVATE.
pub fn put_commit_and_activate(out: &mut impl BufMut, zxid: Zxid, leader: ServerId) {
    put_data(out, packet::COMMITANDACTIVATE, zxid, &leader.0.to_be_bytes());
}

/// Writes INFORMANDACTIVATE.
pub fn put_inform_and_activate(out: &mut impl BufMut, txn: &Txn, leader: ServerId) {
    let parts = [&leader.0.to_be_bytes()[..], txn.bytes()];
    put_parts(out, packet::INFORMANDACTIVATE, txn.zxid(), parts);
}

/// Writes FOLLOWERINFO or OBSERVERINFO.
pub fn put_learner_info(
    out: &mut impl BufMut,
    kind: i32,
    accepted: Epoch,
    server: ServerId,
    config_version: i64,
) {
    let info = LearnerInfo {
        server_id: server,
        protocol_version: Some(PROTOCOL_VERSION),
        config_version: Some(config_version),
    };
    put_data(out, kind, Zxid::new(accepted, 0), &info.to_bytes());
}

/// Writes LEADERINFO with the origin of the leader's history.
pub fn put_leader_info(out: &mut impl BufMut, epoch: Epoch, origin: Option<Origin>) {
    put_leader_info_and(out, epoch, origin.map(Origin::mark));
}

/// Writes the packet that [`Packet::other_history`] reads. Only for a learner that has sent marks.
pub fn put_other_history(out: &mut impl BufMut, epoch: Epoch, leaders: Mark) {
    put_leader_info_and(out, epoch, Some(leaders));
}

fn put_leader_info_and(out: &mut impl BufMut, epoch: Epoch, mark: Option<Mark>) {
    let mut data = PROTOCOL_VERSION.to_be_bytes().to_vec();
    assert_eq!(data.len(), NUMBER_BYTES, "the other side reads on behind the number");
    data.extend_from_slice(MARKS_KNOWN);
    if let Some(mark) = mark {
        mark.encode(&mut data);
    }
    put_data(out, packet::LEADERINFO, Zxid::new(epoch, 0), &data);
}

/// Writes SNAP with the digest that [`Packet::tree_digest`] reads. Only for a learner that has sent marks.
pub fn put_snap(out: &mut impl BufMut, zxid: Zxid, digest: i64) {
    put_parts(out, packet::SNAP, zxid, [MARKS_KNOWN, &digest.to_be_bytes()]);
}

/// Writes ACKEPOCH. `marks`: only for a leader that knows them.
///
/// # Panics
/// If the epoch is negative, which would mean something else.
pub fn put_ack_epoch(out: &mut impl BufMut, last: Zxid, ack: EpochAck, marks: Option<&Marks>) {
    let number = match ack {
        EpochAck::Counts(epoch) => {
            assert!(epoch >= Epoch::ZERO, "epoch {epoch} would say: do not count me");
            i32::try_from(epoch.0).expect("an epoch has 32 bits")
        }
        EpochAck::DoesNotCount => -1,
    };
    let mut data = number.to_be_bytes().to_vec();
    assert_eq!(data.len(), NUMBER_BYTES, "the other side reads on behind the number");
    if let Some(marks) = marks {
        data.extend_from_slice(MARKS_KNOWN);
        marks.encode(&mut data);
    }
    put_data(out, packet::ACKEPOCH, last, &data);
}

/// Writes REVALIDATE from a learner. `kept`: the connection is not new. Only for a leader that keeps tenures, because
/// any other would let the session move.
pub fn put_revalidate(
    out: &mut impl BufMut,
    session: SessionId,
    timeout_ms: i32,
    kept: Option<Tenure>,
) {
    let mut data = [0; ASKED_BYTES + TENURE_BYTES];
    data[..8].copy_from_slice(&session.0.to_be_bytes());
    data[8..ASKED_BYTES].copy_from_slice(&timeout_ms.to_be_bytes());
    put_with_tenure(out, &mut data, ASKED_BYTES, kept);
}

/// Writes REVALIDATE from a leader.
pub fn put_revalidated(
    out: &mut impl BufMut,
    session: SessionId,
    valid: bool,
    tenure: Option<Tenure>,
) {
    let mut data = [0; ANSWERED_BYTES + TENURE_BYTES];
    data[..8].copy_from_slice(&session.0.to_be_bytes());
    data[8] = u8::from(valid);
    put_with_tenure(out, &mut data, ANSWERED_BYTES, tenure);
}

/// Writes, for an observer that is a Ringkeeper, that a request of this session was not passed on, because the session
/// is at another server. The packet is a REVALIDATE that says no and has a tenure, which no answer to a question has.
pub fn put_left_out(out: &mut impl BufMut, session: SessionId) {
    put_revalidated(out, session, false, Some(Tenure { since: Zxid::ZERO, turn: 0 }));
}

fn put_with_tenure(out: &mut impl BufMut, data: &mut [u8], before: usize, tenure: Option<Tenure>) {
    assert_eq!(data.len(), before + TENURE_BYTES, "there is room for a tenure, and no more");
    let mut bytes = before;
    if let Some(Tenure { since, turn }) = tenure {
        data[before..before + 8].copy_from_slice(&since.0.to_be_bytes());
        data[before + 8..].copy_from_slice(&turn.to_be_bytes());
        bytes = data.len();
    }
    put_data(out, packet::REVALIDATE, Zxid::NONE, &data[..bytes]);
}

/// The length of a session in the answer to PING.
pub const TOUCH_BYTES: usize = 8 + 4;

/// Writes PING from a learner. The data is never null, because ZooKeeper's leader would drop the learner.
pub fn put_touched(
    out: &mut impl BufMut,
    zxid: Zxid,
    touched: impl Iterator<Item = (SessionId, i32)>,
) {
    let mut data = Vec::new();
    for (session, timeout_ms) in touched {
        data.put_i64(session.0);
        data.put_i32(timeout_ms);
    }
    assert!(data.len().is_multiple_of(TOUCH_BYTES), "the other side reads items of one length");
    put_data(out, packet::PING, zxid, &data);
}

/// Writes a fence: a sync of the learner itself. A leader that is a Ringkeeper answers it with [`put_fence_answer`] as
/// soon as it has proposed or refused everything that the link has brought before; it may answer later syncs first.
/// Any other leader takes it for a sync of this session.
pub fn put_fence(out: &mut impl BufMut, session: SessionId) {
    const ROOT: &[u8] = b"\0\0\0\x01/";
    put_request_of(out, FENCE, session, 0, OpCode::Sync.number(), ROOT, &[]);
}

/// Writes SYNC as the answer to a fence.
pub fn put_fence_answer(out: &mut impl BufMut) {
    put_bare(out, packet::SYNC, Zxid(FENCE));
}

/// Writes REQUEST. The knowledge of the session stands in the place of the zxid, where Apache ZooKeeper always sends
/// -1 and its leaders read nothing.
pub fn put_request(out: &mut impl BufMut, request: &PassedRequest<'_>) {
    let PassedRequest { session, scope, cxid, op, body, identities } = *request;
    let scope = match scope {
        SessionScope::Unsaid => Zxid::NONE.0,
        SessionScope::Local => LOCAL_SESSION,
        SessionScope::Global => GLOBAL_SESSION,
    };
    put_request_of(out, scope, session, cxid, op, body, identities);
}

fn put_request_of(
    out: &mut impl BufMut,
    scope: i64,
    session: SessionId,
    cxid: i32,
    op: i32,
    body: &[u8],
    identities: &[Identity],
) {
    out.put_i32(packet::REQUEST);
    out.put_i64(scope);
    out.put_i32(length(16 + body.len()));
    out.put_i64(session.0);
    out.put_i32(cxid);
    out.put_i32(op);
    out.put_slice(body);
    out.put_i32(length(identities.len()));
    for identity in identities {
        out.put_slice(&identity.as_id().to_bytes());
    }
}
