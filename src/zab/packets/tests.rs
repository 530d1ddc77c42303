//! Streams of packets: the reader gives the packets that were written, and refuses bytes that are none.

use super::*;
use crate::proto::quorum::{ElectionHandshake, QuorumPacket};

const MAX: usize = 1000;

fn all(reader: &mut PacketReader) -> Result<Vec<Packet>, PacketError> {
    let mut packets = Vec::new();
    while let Some(packet) = reader.next()? {
        packets.push(packet);
    }
    Ok(packets)
}

fn stream() -> Vec<u8> {
    let mut out = Vec::new();
    put_learner_info(&mut out, packet::FOLLOWERINFO, Epoch(3), ServerId(2), 9);
    put_ack_epoch(&mut out, Zxid(7), EpochAck::DoesNotCount, None);
    put_bare(&mut out, packet::ACK, Zxid(8));
    let identities = [Identity::new("digest", "a:b"), Identity::new("ip", "")];
    put_request(
        &mut out,
        &PassedRequest {
            session: SessionId(5),
            scope: SessionScope::Unsaid,
            cxid: 4,
            op: 1,
            body: b"body",
            identities: &identities,
        },
    );
    put_touched(&mut out, Zxid(9), [(SessionId(1), 10), (SessionId(2), 20)].into_iter());
    out
}

#[test]
fn a_tenure_follows_where_apache_zookeeper_reads_no_further() {
    let mut out = Vec::new();
    let tenures = [None, Some(Tenure { since: Zxid(0x5_0000_0007), turn: 3 })];
    for tenure in tenures {
        put_revalidate(&mut out, SessionId(8), 4000, tenure);
        put_revalidated(&mut out, SessionId(8), true, tenure);
    }
    let mut reader = PacketReader::new(MAX);
    reader.push(&out);
    for tenure in tenures {
        let asked = reader.next().unwrap().unwrap();
        assert_eq!(asked.session_and_timeout().unwrap(), (SessionId(8), 4000));
        assert_eq!(asked.tenure(false), tenure);
        let answered = reader.next().unwrap().unwrap();
        assert_eq!(answered.session_and_validity().unwrap(), (SessionId(8), true));
        assert_eq!(answered.tenure(true), tenure);
    }
}

#[test]
fn a_tree_comes_with_its_digest_where_apache_zookeeper_reads_none() {
    let mut out = Vec::new();
    put_snap(&mut out, Zxid(9), -5);
    put_bare(&mut out, packet::SNAP, Zxid(9));
    put_data(&mut out, packet::SNAP, Zxid(9), b"RKm1\x00\x00\x00");
    put_data(&mut out, packet::SNAP, Zxid(9), &[0; 12]);
    let mut reader = PacketReader::new(MAX);
    reader.push(&out);
    let packets = all(&mut reader).unwrap();
    let digests: Vec<_> = packets.iter().map(Packet::tree_digest).collect();
    assert_eq!(digests, [Some(-5), None, None, None]);
    assert!(packets.iter().all(|packet| packet.zxid == Zxid(9)));
}

#[test]
fn a_stream_may_come_in_pieces_of_any_length() {
    let stream = stream();
    let mut whole = PacketReader::new(MAX);
    whole.push(&stream);
    let expected = all(&mut whole).unwrap();
    assert_eq!(expected.len(), 5);
    for length in 1..stream.len() {
        let mut reader = PacketReader::new(MAX);
        let mut got = Vec::new();
        for piece in stream.chunks(length) {
            reader.push(piece);
            got.extend(all(&mut reader).unwrap());
        }
        assert_eq!(got, expected, "pieces of {length}");
        assert_eq!(reader.buffered(), 0);
    }
}

#[test]
fn what_is_read_is_what_was_written() {
    let mut reader = PacketReader::new(MAX);
    reader.push(&stream());
    let packets = all(&mut reader).unwrap();
    let info = packets[0].learner_info().unwrap().unwrap();
    assert_eq!((info.server_id, info.config_version), (ServerId(2), Some(9)));
    assert_eq!(packets[0].zxid, Zxid(0x3_0000_0000));
    assert_eq!(packets[1].epoch_ack(), Ok(EpochAck::DoesNotCount));
    let (session, cxid, op, body) = packets[3].request().unwrap();
    assert_eq!((session, cxid, op, &body[..]), (SessionId(5), 4, 1, &b"body"[..]));
    assert_eq!(packets[3].authinfo[0], Identity::new("digest", "a:b"));
    assert_eq!((packets[3].zxid, packets[3].session_scope()), (Zxid(-1), SessionScope::Unsaid));
    let touched: Vec<_> = packets[4].touched().unwrap().collect();
    assert_eq!(touched, [(SessionId(1), 10), (SessionId(2), 20)]);
}

#[test]
fn the_written_form_is_that_of_the_record() {
    let mut out = Vec::new();
    put_bare(&mut out, packet::UPTODATE, Zxid::NONE);
    assert_eq!(out.len(), BARE_PACKET_BYTES);
    put_data(&mut out, packet::NEWLEADER, Zxid(1), b"version=0");
    let mut input = Decoder::new(&out);
    let first = QuorumPacket::decode(&mut input).unwrap();
    assert_eq!((first.packet_type, first.zxid), (packet::UPTODATE, Zxid::NONE));
    assert!(first.data.is_none() && first.authinfo.is_null());
    let second = QuorumPacket::decode(&mut input).unwrap();
    assert_eq!((second.data, input.is_empty()), (Some(&b"version=0"[..]), true));
}

#[test]
fn the_beginning_of_an_election_is_known_as_such() {
    let handshake = |version: i64| {
        let (server_id, addresses) = (ServerId(3), "127.0.0.1:3888");
        ElectionHandshake::Initial { version, server_id, addresses }.to_bytes()
    };
    for version in [ELECTION_PROTOCOL_V1, ELECTION_PROTOCOL_V2] {
        let bytes = handshake(version);
        let mut reader = PacketReader::new(MAX);
        reader.push(&bytes[..15]);
        assert_eq!(reader.next(), Ok(None));
        reader.push(&bytes[15..]);
        assert_eq!(reader.next(), Err(PacketError::Election(ServerId(3))));
    }
    let mut reader = PacketReader::new(MAX);
    reader.push(&handshake(-65534));
    assert_eq!(reader.next(), Err(PacketError::Type(-1)));
}

#[test]
fn what_is_no_packet_is_refused_before_it_is_kept() {
    let mut reader = PacketReader::new(MAX);
    reader.push(b"GET / HTTP/1.1\r\n");
    assert!(matches!(reader.next(), Err(PacketError::Type(_))));

    let mut reader = PacketReader::new(MAX);
    let mut head = Vec::new();
    head.put_i32(packet::REQUEST);
    head.put_i64(0);
    head.put_i32(1001);
    reader.push(&head);
    assert_eq!(reader.next(), Err(PacketError::DataLength { length: 1001, max: MAX }));

    for count in [-2, i32::MAX] {
        let mut reader = PacketReader::new(MAX);
        let mut bytes = Vec::new();
        put_bare(&mut bytes, packet::REQUEST, Zxid(0));
        bytes.truncate(HEAD_BYTES);
        bytes.put_i32(count);
        reader.push(&bytes);
        let mut answer = reader.next();
        // The reader refuses many small identities that are too long together.
        let items = [0u8; 8].repeat(1000);
        for _ in 0..AUTHINFO_BYTES_MAX / 8000 + 2 {
            if answer == Ok(None) {
                reader.push(&items);
                answer = reader.next();
            }
        }
        assert_eq!(answer, Err(PacketError::Authinfo));
    }
}

#[test]
fn the_rest_of_the_stream_can_be_read_by_somebody_else() {
    let mut out = Vec::new();
    put_bare(&mut out, packet::SNAP, Zxid(4));
    out.extend_from_slice(b"tree");
    let mut reader = PacketReader::new(MAX);
    reader.push(&out);
    assert_eq!(reader.next().unwrap().unwrap().kind, packet::SNAP);
    assert_eq!((reader.take_rest(), reader.buffered()), (b"tree".to_vec(), 0));
}

#[test]
fn data_of_a_wrong_length_is_an_error_for_every_type() {
    let short = |kind| Packet {
        kind,
        zxid: Zxid(1),
        data: Some(Bytes::from_static(&[1, 2, 3])),
        authinfo: vec![],
    };
    assert!(short(packet::FOLLOWERINFO).learner_info().is_err());
    assert!(short(packet::ACKEPOCH).epoch_ack().is_err());
    assert!(short(packet::COMMITANDACTIVATE).designated_leader().is_err());
    assert!(short(packet::PROPOSAL).txn().is_err());
    assert!(short(packet::REVALIDATE).session_and_timeout().is_err());
    assert!(short(packet::REVALIDATE).session_and_validity().is_err());
    assert!(short(packet::PING).touched().is_err());
    assert!(short(packet::REQUEST).request().is_err());
    let nothing = Packet { data: None, ..short(packet::PING) };
    assert_eq!(nothing.touched().unwrap().count(), 0);
}
