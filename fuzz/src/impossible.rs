//! Folders whose every record is whole and whose trees no server makes: snapshots with any owners, versions, parents
//! and sessions, and logs that delete nodes that do not exist. Recovery refuses such a folder, or a server starts on
//! it, serves clients that meet those nodes, lets its sessions expire, and starts again on what it has written.

use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::io::Place;
use ringkeeper::jute::{Jute, VectorBuf};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::data::{AclEntry, AclVector, Id, StatPersisted};
use ringkeeper::proto::txn::{
    CreateContainerTxn, CreateTtlTxn, CreateTxn, DeleteTxn, SetAclTxn, SetDataTxn, Txn, TxnBody,
    TxnHeader,
};

use super::client::World;
use super::disk::place_number;
use super::requests::PATHS;
use super::script::Script;

/// The input is a script: a snapshot, a log, and the commands of clients.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let choices = script.byte();
    let mut files = Vec::new();
    let zxid = zxid(&mut script);
    if !script.one_in(4) {
        let name = format!("snapshot.{:x}", zxid.max(0));
        files.push((Place::Snapshots, name, snapshot(&mut script)));
    }
    if script.one_in(2) {
        files.push((Place::Logs, format!("log.{:x}", zxid.max(0) + 1), log(&mut script, zxid)));
    }
    let files = files.into_iter().map(|(place, name, file)| ((place_number(place), name), file));
    if let Some(world) = World::on(choices, files.collect()) {
        world.play(&mut script);
    }
}

/// A number: one at the end of a range, or a small one.
fn long(script: &mut Script<'_>) -> i64 {
    const ENDS: [i64; 10] = [
        i64::MIN,
        i64::MIN + 1,
        -1,
        0,
        i64::MAX,
        i64::MAX - 1,
        1 << 32,
        0xffff_ffff,
        // The ephemeral owner of a TTL node, now and in ZooKeeper before 3.5.3.
        -0x0100_0000_0000_0000,
        i64::MIN | 1000,
    ];
    match script.byte() {
        byte if usize::from(byte) < ENDS.len() => ENDS[usize::from(byte)],
        byte => i64::from(byte % 8),
    }
}

fn int(script: &mut Script<'_>) -> i32 {
    match script.byte() {
        0 => i32::MAX,
        1 => i32::MIN,
        2 => -1,
        byte => i32::from(byte % 8),
    }
}

fn zxid(script: &mut Script<'_>) -> i64 {
    match script.byte() {
        0 => 0x1_0000_0000,
        1 => 0x2_ffff_fffd,
        2 => i64::MAX - 3,
        byte => i64::from(byte),
    }
}

fn path(script: &mut Script<'_>) -> &'static str {
    PATHS[script.below(PATHS.len())]
}

fn data<'a>(script: &mut Script<'a>) -> Option<&'a [u8]> {
    match script.byte() {
        0 => None,
        1 => Some(b"count=1,bytes=5;byteHardLimit=5;countHardLimit=1"),
        2 => Some(b"count=-9223372036854775808,bytes=9223372036854775807"),
        3 => Some(b"server.1=a:1:2:participant;3\nversion=ffffffffffffffff"),
        length => Some(&[b'd'; 64][..usize::from(length) % 64]),
    }
}

fn acl(script: &mut Script<'_>) -> VectorBuf<AclEntry<'static>> {
    const PEOPLE: [(&str, &str); 5] =
        [("world", "anyone"), ("auth", ""), ("digest", "u"), ("ip", "::1/300"), ("", "")];
    let mut acl = VectorBuf::default();
    for _ in 0..script.below(3) {
        let (scheme, id) = PEOPLE[script.below(PEOPLE.len())];
        acl.push(&AclEntry { perms: int(script), id: Id { scheme: Some(scheme), id: Some(id) } });
    }
    acl
}

/// A whole snapshot of version 2 with a right checksum and any content.
fn snapshot(script: &mut Script<'_>) -> Vec<u8> {
    let mut bytes = b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff".to_vec();
    let sessions = script.below(5);
    length(sessions).encode(&mut bytes);
    for _ in 0..sessions {
        long(script).encode(&mut bytes);
        (int(script).saturating_mul(500)).encode(&mut bytes);
    }
    let acls = script.below(4);
    length(acls).encode(&mut bytes);
    for key in 0..acls {
        let key = if script.one_in(8) { long(script) } else { i64::from(length(key)) + 1 };
        key.encode(&mut bytes);
        let entries = acl(script);
        let entries: AclVector<'_> = entries.as_vector();
        entries.encode(&mut bytes);
    }
    let mut node = |path: &str, script: &mut Script<'_>| {
        Some(path).encode(&mut bytes);
        data(script).encode(&mut bytes);
        let key =
            if script.one_in(8) { long(script) } else { i64::from(length(script.below(acls + 1))) };
        (if key == 0 { -1 } else { key }).encode(&mut bytes);
        let owner = if script.one_in(2) { 0 } else { long(script) };
        let stat = StatPersisted {
            czxid: Zxid(long(script)),
            mzxid: Zxid(long(script)),
            ctime: long(script),
            mtime: long(script),
            version: int(script),
            cversion: int(script),
            aversion: int(script),
            ephemeral_owner: owner,
            pzxid: Zxid(long(script)),
        };
        bytes.extend_from_slice(&stat.to_bytes());
    };
    if !script.one_in(16) {
        node("", script);
    }
    for _ in 0..script.below(12) {
        node(path(script), script);
    }
    Some("/").encode(&mut bytes);
    let sum = u64::from(adler32(&bytes));
    bytes.extend_from_slice(&sum.to_be_bytes());
    Some("/").encode(&mut bytes);
    bytes
}

/// A log in ZooKeeper's format whose records say anything.
fn log(script: &mut Script<'_>, zxid: i64) -> Vec<u8> {
    let mut bytes = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec();
    let mut last = zxid;
    for _ in 0..script.below(12) {
        last = match script.byte() {
            0 => last,
            1 => last.wrapping_add(2),
            2 => (last & !0xffff_ffff).wrapping_add(0x1_0000_0001),
            3 => long(script),
            _ => last.wrapping_add(1),
        };
        let entry = txn(script, Zxid(last));
        let entry = entry.bytes();
        bytes.extend_from_slice(&u64::from(adler32(entry)).to_be_bytes());
        length(entry.len()).encode(&mut bytes);
        bytes.extend_from_slice(entry);
        bytes.push(0x42);
    }
    bytes
}

/// A transaction with a whole encoding and any content.
pub(super) fn txn(script: &mut Script<'_>, zxid: Zxid) -> Txn {
    let session = SessionId(long(script));
    let acl = acl(script);
    let acl: AclVector<'_> = acl.as_vector();
    let parent_cversion = int(script);
    let (path, data) = (Some(path(script)), data(script));
    let mut list: VectorBuf<Option<&'static str>> = VectorBuf::default();
    let (op, body) = match script.below(11) {
        0 | 1 => {
            let ephemeral = script.one_in(2);
            (
                OpCode::Create,
                TxnBody::Create(CreateTxn { path, data, acl, ephemeral, parent_cversion }),
            )
        }
        2 => {
            let txn = CreateContainerTxn { path, data, acl, parent_cversion };
            (OpCode::CreateContainer, TxnBody::CreateContainer(txn))
        }
        3 => {
            let txn = CreateTtlTxn { path, data, acl, parent_cversion, ttl: long(script) };
            (OpCode::CreateTtl, TxnBody::CreateTtl(txn))
        }
        4 => (OpCode::Delete, TxnBody::Delete(DeleteTxn { path: deleted(path) })),
        5 => (OpCode::DeleteContainer, TxnBody::Delete(DeleteTxn { path: deleted(path) })),
        6 => {
            let txn = SetDataTxn { path, data, version: int(script) };
            (OpCode::SetData, TxnBody::SetData(txn))
        }
        7 => (OpCode::SetAcl, TxnBody::SetAcl(SetAclTxn { path, acl, version: int(script) })),
        8 => {
            let body = TxnBody::CreateSession { timeout_ms: int(script).saturating_mul(500) };
            (OpCode::CreateSession, body)
        }
        9 => {
            for _ in 0..script.below(4) {
                list.push(&deleted(Some(PATHS[script.below(PATHS.len())])));
            }
            let paths = script.one_in(2).then(|| list.as_vector());
            (OpCode::CloseSession, TxnBody::CloseSession { paths })
        }
        _ => (OpCode::Error, TxnBody::Error { err: int(script) }),
    };
    let header = TxnHeader { client_id: session, cxid: int(script), zxid, time: long(script), op };
    Txn::new(header, &body, None)
}

/// A path that a deletion may name: not that of a node that every tree has, because a start creates those again, and
/// no digest foretells that.
fn deleted(path: Option<&'static str>) -> Option<&'static str> {
    path.filter(|path| !["/zookeeper", "/zookeeper/quota", "/zookeeper/config"].contains(path))
}

fn length(of: usize) -> i32 {
    i32::try_from(of).expect("everything here is short")
}

/// The Adler-32 checksum of RFC 1950, section 9.
fn adler32(bytes: &[u8]) -> u32 {
    let (low, high) = bytes.iter().fold((1_u32, 0_u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65521;
        (low, (high + low) % 65521)
    });
    high << 16 | low
}
