//! The packets of a conversation in words: what a leader says, and what a learner says to it.

use std::fmt::Write as _;

use crate::id::{Epoch, ServerId, SessionId, Zxid};
use crate::jute::Jute;
use crate::proto::quorum::{LearnerInfo, packet};
use crate::proto::txn::Txn;
use crate::quorum::Config;
use crate::zab::packets::{Packet, put_ack_epoch, put_bare, put_data, put_request, put_touched};
use crate::zab::tests::{bytes_of, name_of, shown, voters, zxid};
use crate::zab::{EpochAck, Mark, Marks, Origin, PassedRequest, SessionScope};

pub(super) fn describe(packet: &Packet) -> String {
    let mut line = format!("{} {}", name_of(packet.kind), shown(packet.zxid));
    match packet.kind {
        packet::LEADERINFO => {
            // ZooKeeper reads only the protocol version, the first four bytes.
            assert_eq!(packet.data.as_ref().unwrap()[..4], [0, 1, 0, 0]);
            assert!(packet.knows_marks());
            if let Some(mark) = packet.other_history() {
                let _ = write!(line, " at {} is {mark}", shown(mark.zxid));
            }
        }
        packet::NEWLEADER => match packet.data.as_deref() {
            None => line.push_str(" without a configuration"),
            Some(data) => {
                let config = Config::from_bytes(data).unwrap();
                let voters = voters(&config);
                let _ = write!(line, " version={:x} voters {voters}", config.version);
            }
        },
        packet::SNAP => {
            if let Some(digest) = packet.tree_digest() {
                let _ = write!(line, " digest {digest}");
            }
        }
        packet::PROPOSAL | packet::INFORM => {
            packet.txn().unwrap();
        }
        packet::COMMITANDACTIVATE => {
            let _ = write!(line, " leader {}", packet.designated_leader().unwrap().0);
        }
        packet::INFORMANDACTIVATE => {
            let (leader, rest) = packet.designated_leader().unwrap();
            let txn = Txn::parse(&rest).unwrap();
            let _ = write!(line, " leader {leader} txn {}", shown(txn.zxid()));
        }
        packet::REVALIDATE => {
            let (session, valid) = packet.session_and_validity().unwrap();
            let _ = write!(line, " {session} {}", if valid { "alive" } else { "dead" });
            if let Some(tenure) = packet.tenure(true).filter(|tenure| tenure.since > Zxid::ZERO) {
                let _ = write!(line, " since {}", shown(tenure.since));
            }
        }
        _ => assert!(packet.data.is_none(), "{line} has data"),
    }
    line
}

/// The bytes of a packet of a learner, from its words.
pub(super) fn packet_of(name: &str, kind: &str, rest: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    let server: i64 = name.trim_end_matches('\'').parse().unwrap_or(0);
    match (kind, rest) {
        ("FOLLOWERINFO" | "OBSERVERINFO", [at, rest @ ..]) => {
            let kind =
                if kind == "FOLLOWERINFO" { packet::FOLLOWERINFO } else { packet::OBSERVERINFO };
            let mut info = LearnerInfo {
                server_id: ServerId(server),
                protocol_version: Some(0x10000),
                config_version: Some(0),
            };
            match rest {
                [] => {}
                ["nobody"] => {
                    put_bare(&mut out, kind, zxid(at));
                    return out;
                }
                ["12"] => info.config_version = None,
                ["8"] => info.protocol_version = None,
                [version] => info.config_version = i64::from_str_radix(version, 16).ok(),
                _ => panic!("unknown info"),
            }
            put_data(&mut out, kind, zxid(at), &info.to_bytes());
        }
        ("ACKEPOCH", [last, current]) => {
            let current: i32 = current.parse().unwrap();
            put_data(&mut out, packet::ACKEPOCH, zxid(last), &current.to_be_bytes());
        }
        // `1:2=7`: at 1:2 there is a transaction of the 7th millisecond; `0:0=7`: the origin is 7.
        ("ACKEPOCH", [last, current, marks @ ..]) => {
            let current: i64 = current.parse().unwrap();
            let mark = |word: &&str| {
                let (at, time) = word.split_once('=').unwrap();
                let (zxid, time) = (zxid(at), time.parse().unwrap());
                match zxid {
                    Zxid::ZERO => Origin(time).mark(),
                    _ => Mark { zxid, txn: Some((SessionId(0), time)), digest: None },
                }
            };
            let marks = Marks::choose(marks.iter().rev().map(mark));
            let ack = match current {
                -1 => EpochAck::DoesNotCount,
                current => EpochAck::Counts(Epoch(current)),
            };
            put_ack_epoch(&mut out, zxid(last), ack, Some(&marks));
        }
        ("ACK", [at]) => put_bare(&mut out, packet::ACK, zxid(at)),
        ("REQUEST", [session, cxid, op, body, schemes @ ..]) => {
            let identities: Vec<_> =
                schemes.iter().map(|scheme| crate::acl::Identity::new(scheme, "me")).collect();
            let session = SessionId(session.parse().unwrap());
            let (cxid, op) = (cxid.parse().unwrap(), op.parse().unwrap());
            let (scope, body) = (SessionScope::Unsaid, body.as_bytes());
            let identities = &identities;
            let request = PassedRequest { session, scope, cxid, op, body, identities };
            put_request(&mut out, &request);
        }
        ("PING", sessions) => {
            let touched = sessions.iter().map(|s| (SessionId(s.parse().unwrap()), 4000));
            put_touched(&mut out, Zxid::ZERO, touched);
        }
        ("REVALIDATE", [session]) => {
            crate::zab::packets::put_revalidate(
                &mut out,
                SessionId(session.parse().unwrap()),
                4000,
                None,
            );
        }
        ("bytes", [hex]) => out.extend(bytes_of(hex)),
        ("type", [kind]) => put_bare(&mut out, kind.parse().unwrap(), Zxid::ZERO),
        _ => panic!("unknown packet {kind} {rest:?}"),
    }
    out
}
