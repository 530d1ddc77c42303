//! Bytes on the quorum port: a stream of packets, and the content of packets.

use bytes::Bytes;
use ringkeeper::jute::{Decoder, Jute};
use ringkeeper::proto::quorum::{LearnerInfo, QuorumPacket, packet};
use ringkeeper::proto::txn::{Txn, TxnBody};

/// The first byte chooses whether the rest is a stream of packets or the content of one packet.
pub fn run(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    match choice % 3 {
        0 => stream(data),
        1 => transaction(data),
        _ => learner_info(data),
    }
}

fn stream(data: &[u8]) {
    let mut input = Decoder::new(data);
    while !input.is_empty() {
        let start = input.offset();
        let Some((packet, read, encoded)) = round_trip!(QuorumPacket<'_>, &mut input) else {
            return;
        };
        assert!(input.offset() > start, "a packet takes at least its type");
        assert_eq!(encoded, read, "a packet has one form");
        assert!(packet.authinfo.iter().count() == packet.authinfo.len());
        let content = packet.data.unwrap_or_default();
        match packet.packet_type {
            packet::PROPOSAL | packet::INFORM | packet::COMMITANDACTIVATE => transaction(content),
            packet::FOLLOWERINFO | packet::OBSERVERINFO => learner_info(content),
            _ => {}
        }
    }
}

fn learner_info(data: &[u8]) {
    let mut input = Decoder::new(data);
    let Some((_, read, encoded)) = round_trip!(LearnerInfo, &mut input) else { return };
    assert_eq!(encoded, read, "an introduction has one form");
}

/// A transaction must come back from its own bytes, and be readable to its last part.
pub fn transaction(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let Ok(txn) = Txn::parse(&bytes) else { return };
    assert!(bytes.starts_with(txn.bytes()));
    assert_eq!(Txn::parse(txn.bytes()).as_ref(), Ok(&txn), "not what was parsed");
    let body = txn.body();
    if let TxnBody::Multi(parts) = body {
        assert_eq!(TxnBody::parts(parts).count(), parts.len());
    }
    let made = Txn::new(*txn.header(), &body, txn.digest_after());
    let read = Txn::parse(made.bytes());
    assert_eq!(read.as_ref().map(Txn::header), Ok(txn.header()));
    let mut header = Vec::new();
    txn.header().encode(&mut header);
    assert!(txn.bytes().starts_with(&header));
}
