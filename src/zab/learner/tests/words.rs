//! The packets of a conversation in words: what a leader says, and what a learner says to it.

use std::cell::RefCell;
use std::fmt::Write as _;

use crate::acl::Identity;
use crate::id::{Epoch, ServerId, SessionId, Zxid};
use crate::proto::OpCode;
use crate::proto::quorum::{PROTOCOL_VERSION, packet};
use crate::proto::txn::{SetDataTxn, Txn, TxnBody, TxnHeader};
use crate::session::Tenure;
use crate::zab::learner::Learner;
use crate::zab::packets::{
    Packet, PacketReader, put_bare, put_commit_and_activate, put_data, put_fence_answer,
    put_inform_and_activate, put_leader_info, put_left_out, put_other_history, put_revalidated,
    put_snap, put_txn,
};
use crate::zab::tests::{TREE_END, bytes_of, config, kind_of, name_of, shown, txn, zxid};
use crate::zab::{EpochAck, Mark, Origin, PassedRequest, SessionScope};

/// Reads the packets that a learner sends to its leader.
pub(super) struct Ear(PacketReader);

impl Default for Ear {
    fn default() -> Self {
        Ear(PacketReader::new(1 << 24))
    }
}

impl Ear {
    /// The packets in these bytes, each in words.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Vec<String> {
        self.0.push(bytes);
        let mut lines = Vec::new();
        while let Some(packet) = self.0.next().unwrap() {
            lines.push(describe(&packet));
        }
        assert_eq!(self.0.buffered(), 0, "a learner says whole packets");
        lines
    }
}

pub(super) fn session(word: &str) -> SessionId {
    SessionId(word.parse().unwrap())
}

fn server(word: &str) -> ServerId {
    ServerId(word.parse().unwrap())
}

/// A packet of a learner in words.
fn describe(packet: &Packet) -> String {
    let mut line = name_of(packet.kind).to_owned();
    match packet.kind {
        packet::FOLLOWERINFO | packet::OBSERVERINFO => {
            let info = packet.learner_info().unwrap().unwrap();
            let (accepted, version) = (packet.zxid.epoch(), info.config_version.unwrap());
            let _ = write!(line, " of server {} accepted={accepted}", info.server_id);
            let _ = write!(line, " version={version:x}");
        }
        packet::ACKEPOCH => {
            let ack = match packet.epoch_ack().unwrap() {
                EpochAck::Counts(epoch) => format!("counts with epoch {epoch}"),
                EpochAck::DoesNotCount => "does not count".to_owned(),
            };
            let _ = write!(line, " {} {ack}", shown(packet.zxid));
            if let Some(marks) = packet.marks().unwrap() {
                let zxids = RefCell::new(Vec::new());
                // `difference` asks for each mark.
                let difference = marks.difference(|zxid| {
                    zxids.borrow_mut().push(shown(zxid));
                    None
                });
                assert_eq!(difference, None);
                let zxids = zxids.take();
                match zxids.is_empty() {
                    true => line.push_str(", no marks"),
                    false => line.push_str(&[", marks ", &zxids.join(" ")].concat()),
                }
            }
        }
        packet::PING => {
            let _ = write!(line, " {}", shown(packet.zxid));
            for (session, timeout_ms) in packet.touched().unwrap() {
                let _ = write!(line, " {session} {timeout_ms}");
            }
        }
        packet::REVALIDATE => {
            let (session, timeout_ms) = packet.session_and_timeout().unwrap();
            let _ = write!(line, " {session} {timeout_ms}");
            if let Some(Tenure { since, turn }) = packet.tenure(false) {
                let _ = write!(line, " kept since {} turn {turn}", shown(since));
            }
        }
        packet::REQUEST => {
            let (session, cxid, op, body) = packet.request().unwrap();
            let (scope, body) = (packet.session_scope(), String::from_utf8_lossy(&body));
            let schemes: Vec<_> = packet.authinfo.iter().map(|id| id.scheme.to_string()).collect();
            let _ = write!(line, " session {session} {scope:?} cxid {cxid} op {op} {body:?}");
            let _ = write!(line, " from {schemes:?}");
        }
        _ => {
            assert!(packet.data.is_none(), "{line} has data");
            let _ = write!(line, " {}", shown(packet.zxid));
        }
    }
    line
}

/// Writes the bytes of a leader's packet, from its words:
///
/// ```text
/// LEADERINFO 2:0 [zookeeper | origin=7 | has 1:2=9]   of Apache ZooKeeper; where its history began; what it has at 1:2
/// SNAP 1:9 [digest=7]  tree WORD  tree-end WORD
/// PROPOSAL 2:1 [config 1,2,3/4]  COMMITANDACTIVATE 2:1 3  INFORMANDACTIVATE 2:1 3 1,2,3/4
/// NEWLEADER 2:0 [1,2,3/4@100000000]
/// REVALIDATE 7 alive [since 1:1 turn 2] | dead | left-out  SYNC [fence]
/// begin PACKET  end PACKET                            the first ten bytes of a packet, and the rest
/// bytes HEX  data KIND HEX                            whatever somebody sends
/// ```
pub(super) fn put(out: &mut Vec<u8>, words: &[&str]) {
    match *words {
        ["LEADERINFO", at, ref rest @ ..] => put_info(out, zxid(at).epoch(), rest),
        ["SNAP", at, digest] => {
            let digest = digest.strip_prefix("digest=").unwrap();
            put_snap(out, zxid(at), digest.parse().unwrap());
        }
        ["tree", piece] => out.extend_from_slice(piece.as_bytes()),
        ["tree-end", piece] => out.extend([piece.as_bytes(), TREE_END].concat()),
        ["PROPOSAL", at] => put_txn(out, packet::PROPOSAL, &txn(zxid(at))),
        ["PROPOSAL", at, "config", to] => put_txn(out, packet::PROPOSAL, &reconfig(at, to)),
        ["INFORM", at] => put_txn(out, packet::INFORM, &txn(zxid(at))),
        ["COMMITANDACTIVATE", at, leader] => {
            put_commit_and_activate(out, zxid(at), server(leader));
        }
        ["INFORMANDACTIVATE", at, leader, to] => {
            put_inform_and_activate(out, &reconfig(at, to), server(leader));
        }
        ["NEWLEADER", at, active] => {
            put_data(out, packet::NEWLEADER, zxid(at), config(active).to_text().as_bytes());
        }
        ["REVALIDATE", of, "left-out"] => put_left_out(out, session(of)),
        ["REVALIDATE", of, word] => put_revalidated(out, session(of), word == "alive", None),
        ["REVALIDATE", of, word, "since", at, "turn", turn] => {
            let tenure = Tenure { since: zxid(at), turn: turn.parse().unwrap() };
            put_revalidated(out, session(of), word == "alive", Some(tenure));
        }
        ["SYNC", "fence"] => put_fence_answer(out),
        ["SYNC"] => put_bare(out, packet::SYNC, Zxid::ZERO),
        ["begin", ref rest @ ..] => out.extend_from_slice(&whole(rest)[..10]),
        ["end", ref rest @ ..] => out.extend_from_slice(&whole(rest)[10..]),
        ["bytes", hex] => out.extend(bytes_of(hex)),
        ["data", kind, at, hex] => {
            put_data(out, kind_of(kind).unwrap(), zxid(at), &bytes_of(hex));
        }
        [kind, at] if kind_of(kind).is_some() => put_bare(out, kind_of(kind).unwrap(), zxid(at)),
        _ => panic!("unknown packet {words:?}"),
    }
}

fn whole(words: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, words);
    bytes
}

fn put_info(out: &mut Vec<u8>, epoch: Epoch, rest: &[&str]) {
    match *rest {
        [] => put_leader_info(out, epoch, None),
        ["zookeeper"] => {
            let version = PROTOCOL_VERSION.to_be_bytes();
            put_data(out, packet::LEADERINFO, Zxid::new(epoch, 0), &version);
        }
        // `1:2=9`: a transaction of the 9th millisecond; `0:0=7`: the history began with 7.
        ["has", mark] => {
            let (at, time) = mark.split_once('=').unwrap();
            let (zxid, time) = (zxid(at), time.parse().unwrap());
            let mark = match zxid {
                Zxid::ZERO => Origin(time).mark(),
                _ => Mark { zxid, txn: Some((SessionId(0), time)), digest: None },
            };
            put_other_history(out, epoch, mark);
        }
        [origin] => {
            let origin = origin.strip_prefix("origin=").unwrap().parse().unwrap();
            put_leader_info(out, epoch, Some(Origin(origin)));
        }
        _ => panic!("unknown words of LEADERINFO: {rest:?}"),
    }
}

/// A reconfiguration, which makes a configuration of its own zxid.
fn reconfig(at: &str, to: &str) -> Txn {
    let zxid = zxid(at);
    let mut to = config(to);
    to.version = zxid.0;
    let header =
        TxnHeader { client_id: SessionId(1), cxid: 0, zxid, time: 0, op: OpCode::Reconfig };
    let text = to.to_text();
    let (path, data) = (Some("/zookeeper/config"), Some(text.as_bytes()));
    Txn::new(header, &TxnBody::SetData(SetDataTxn { path, data, version: -1 }), None)
}

/// What the replica of a learner wants of the leader.
pub(super) fn ask(learner: &mut Learner, words: &[&str]) {
    match *words {
        ["REQUEST", of, scope, cxid, op, body, ref schemes @ ..] => {
            let identities: Vec<_> =
                schemes.iter().map(|scheme| Identity::new(scheme, "me")).collect();
            let scope = match scope {
                "local" => SessionScope::Local,
                "global" => SessionScope::Global,
                _ => panic!("unknown scope {scope}"),
            };
            let (cxid, op) = (cxid.parse().unwrap(), op.parse().unwrap());
            let (session, body, identities) = (session(of), body.as_bytes(), &identities[..]);
            learner.forward(&PassedRequest { session, scope, cxid, op, body, identities });
        }
        ["REVALIDATE", of] => learner.revalidate(session(of), 4000, None),
        ["REVALIDATE", of, "kept", "since", at, "turn", turn] => {
            let tenure = Tenure { since: zxid(at), turn: turn.parse().unwrap() };
            learner.revalidate(session(of), 4000, Some(tenure));
        }
        _ => panic!("nobody asks for {words:?}"),
    }
}
