//! Random transactions that fit, compared with the model.

use proptest::prelude::*;

use super::model::Model;
use super::{acl_of, create_body, delete_body, multi_parts, set_body};
use crate::acl::AclId;
use crate::database::{Database, DatabaseBuilder, DatabaseOptions};
use crate::id::{SessionId, Zxid};
use crate::jute::{Jute, VectorBuf};
use crate::proto::data::AclEntry;
use crate::proto::opcode::OpCode;
use crate::proto::txn::{
    CheckVersionTxn, CreateContainerTxn, CreateTtlTxn, SetAclTxn, Txn, TxnBody, TxnHeader,
};

/// One draw: the operation, its path and its data.
pub type Draw = (u8, u8, u8, u8);

pub fn draws(count: usize) -> impl Strategy<Value = Vec<Draw>> {
    proptest::collection::vec(any::<Draw>(), 1..count)
}

pub fn options() -> DatabaseOptions {
    DatabaseOptions { extended_types: true, hash_seed: 3, ..DatabaseOptions::default() }
}

/// An ACL, most often the open one.
fn drawn_acl(draw: u8) -> VectorBuf<AclEntry<'static>> {
    match draw % 8 {
        0 => acl_of(&[(i32::from(draw), "digest", "a:b")]),
        1 => acl_of(&[(1, "world", "anyone"), (31, "ip", "10.0.0.0/8")]),
        _ => acl_of(&[(31, "world", "anyone")]),
    }
}

fn drawn_data(draw: u8) -> Option<Vec<u8>> {
    (!draw.is_multiple_of(7)).then(|| vec![draw; usize::from(draw % 40)])
}

/// A transaction that fits the model, made of a draw. It carries the versions of parents, as those of
/// `processor::Prep` do. With `listed`, closed sessions always name their nodes. Without the names, a fuzzy snapshot
/// that lacks such a node leaves the pzxid of its parent behind, in ZooKeeper as here.
pub fn txn_for(model: &Model, zxid: i64, draw: Draw, listed: bool) -> Txn {
    let (what, wherever, with, who) = draw;
    let session = 0x10 + i64::from(who % 3);
    let header = |op| TxnHeader {
        client_id: SessionId(session),
        cxid: 0,
        zxid: Zxid(zxid),
        time: zxid * 10,
        op,
    };
    let ours: Vec<&String> =
        model.nodes.keys().filter(|path| !path.starts_with("/zookeeper")).collect();
    let path = ours[usize::from(wherever) % ours.len()].as_str();
    let node = &model.nodes[path];
    let data = drawn_data(with);
    let acl = drawn_acl(with);
    let name =
        if path == "/" { format!("/n{}", with % 12) } else { format!("{path}/n{}", with % 12) };
    let can_create =
        node.stat.ephemeral_owner <= 0 && !model.nodes.contains_key(&name) && name.len() < 14;
    let parent_cversion = node.stat.cversion + 1;
    let error = || Txn::new(header(OpCode::Error), &TxnBody::Error { err: -101 }, None);
    match what % 16 {
        0..=6 if can_create => {
            let TxnBody::Create(mut create) =
                create_body(&name, data.as_deref(), acl.as_vector(), what % 16 > 4)
            else {
                unreachable!("create_body makes a create")
            };
            create.parent_cversion = parent_cversion;
            let op = if what < 128 { OpCode::Create } else { OpCode::Create2 };
            Txn::new(header(op), &TxnBody::Create(create), None)
        }
        7 if can_create => {
            let acl = acl.as_vector();
            let data = data.as_deref();
            let path = Some(name.as_str());
            let create = CreateContainerTxn { path, data, acl, parent_cversion };
            Txn::new(header(OpCode::CreateContainer), &TxnBody::CreateContainer(create), None)
        }
        8 if can_create => {
            let acl = acl.as_vector();
            let data = data.as_deref();
            let path = Some(name.as_str());
            let create = CreateTtlTxn { path, data, acl, parent_cversion, ttl: 500 };
            Txn::new(header(OpCode::CreateTtl), &TxnBody::CreateTtl(create), None)
        }
        9 | 10 if path != "/" && model.children(path).is_empty() => {
            Txn::new(header(OpCode::Delete), &delete_body(path), None)
        }
        11 | 12 => {
            let body = set_body(path, data.as_deref(), node.stat.version + 1);
            Txn::new(header(OpCode::SetData), &body, None)
        }
        13 => {
            let acl = acl.as_vector();
            let txn = SetAclTxn { path: Some(path), acl, version: node.stat.aversion + 1 };
            Txn::new(header(OpCode::SetAcl), &TxnBody::SetAcl(txn), None)
        }
        14 if who.is_multiple_of(2) => {
            let mut list = VectorBuf::<Option<&str>>::default();
            let owned = model.owned(session);
            for path in &owned {
                list.push(&Some(path.as_str()));
            }
            let paths = (listed || !with.is_multiple_of(4)).then(|| list.as_vector());
            Txn::new(header(OpCode::CloseSession), &TxnBody::CloseSession { paths }, None)
        }
        14 => {
            let body = TxnBody::CreateSession { timeout_ms: i32::from(with) };
            Txn::new(header(OpCode::CreateSession), &body, None)
        }
        15 => {
            let check = CheckVersionTxn { path: Some(path), version: node.stat.version };
            let mut parts = vec![
                (OpCode::Check, TxnBody::Check(check)),
                (OpCode::SetData, set_body(path, data.as_deref(), node.stat.version + 1)),
                (OpCode::SetData, set_body(path, Some(b"twice"), node.stat.version + 2)),
            ];
            if with.is_multiple_of(3) {
                parts.push((OpCode::Error, TxnBody::Error { err: -110 }));
            }
            let list = multi_parts(&parts);
            Txn::new(header(OpCode::Multi), &TxnBody::Multi(list.as_vector()), None)
        }
        _ => error(),
    }
}

/// A database and its model after the drawn transactions, and the zxid of the last one.
fn grown(draws: Vec<Draw>) -> (Database, Model, i64) {
    let mut database = Database::new(options());
    let mut model = Model::of(&database);
    let mut zxid = 0;
    for draw in draws {
        zxid += 1;
        let txn = txn_for(&model, zxid, draw, false);
        database.apply(&txn, &mut Vec::new());
        model.apply(txn.header(), &txn.body());
    }
    (database, model, zxid)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_tree_is_what_the_naive_model_is(draws in draws(200)) {
        let mut database = Database::new(options());
        let mut model = Model::of(&database);
        for (zxid, draw) in (1..).zip(draws) {
            let txn = txn_for(&model, zxid, draw, false);
            database.apply(&txn, &mut Vec::new());
            model.apply(txn.header(), &txn.body());
        }
        model.check(&database);
    }

    #[test]
    fn a_snapshot_is_the_state_at_its_beginning_whatever_comes_between(
        before in draws(150),
        during in draws(150),
        slice in 1usize..20,
        pace in 1usize..8,
    ) {
        let (mut database, mut model, mut zxid) = grown(before);
        let frozen = model.clone();
        let head = database.snapshot_begin();
        prop_assert_eq!(head.digest, frozen.digest());
        prop_assert_eq!(head.zxid, Zxid(zxid));
        let acl_of = |id| match head.acls.iter().find(|(known, _)| *known == id) {
            Some((_, list)) => list.encoded().to_vec(),
            None => acl_of(&[(31, "world", "anyone")]).as_vector::<AclEntry<'_>>().to_bytes(),
        };
        let mut seen = Model { sessions: frozen.sessions.clone(), ..Model::default() };
        let mut during = during.into_iter();
        loop {
            let mut take = |node: crate::database::SnapshotNode<'_>| {
                seen.take(&node, acl_of(node.acl));
            };
            let more = database.snapshot_next(slice, &mut take);
            if !more {
                break;
            }
            for draw in during.by_ref().take(pace) {
                zxid += 1;
                let txn = txn_for(&model, zxid, draw, false);
                database.apply(&txn, &mut Vec::new());
                model.apply(txn.header(), &txn.body());
            }
        }
        database.snapshot_end();
        prop_assert_eq!(seen.digest(), head.digest);
        prop_assert_eq!(seen, frozen);
        model.check(&database);
    }

    #[test]
    fn what_lies_below_is_counted_whatever_happens_and_after_a_restart(
        before in draws(150),
        after in draws(150),
        tolerated in draws(40),
    ) {
        let (database, mut model, mut zxid) = grown(before);
        let mut builder = DatabaseBuilder::new(options());
        for node in database.node("/").unwrap().subtree() {
            let path = if node.path() == "/" { "" } else { node.path() };
            builder.node(path, node.data(), AclId::OPEN, node.stat_persisted()).unwrap();
        }
        let mut database = builder.finish(Zxid(zxid)).unwrap();
        let check = |database: &Database| {
            let walked = Model::of(database);
            for node in database.node("/").unwrap().subtree() {
                let counted = (node.descendants_count(), node.descendants_bytes());
                assert_eq!(counted, walked.below(node.path()), "{}", node.path());
            }
        };
        check(&database);
        for draw in after {
            zxid += 1;
            let txn = txn_for(&model, zxid, draw, true);
            database.apply(&txn, &mut Vec::new());
            model.apply(txn.header(), &txn.body());
        }
        check(&database);
        // Deletes of whole subtrees, and creates of existing nodes.
        let other = model.clone();
        for draw in tolerated {
            zxid += 1;
            let mut txn = txn_for(&other, zxid, draw, true);
            let paths: Vec<&String> = other.nodes.keys().filter(|path| path.len() > 1).collect();
            let path = paths[usize::from(draw.1) % paths.len()];
            if draw.0 % 2 == 0 && !path.starts_with("/zookeeper") {
                let header = TxnHeader { op: OpCode::Delete, ..*txn.header() };
                txn = Txn::new(header, &delete_body(path), None);
            }
            database.apply_in_replay(&txn);
        }
        check(&database);
    }
}
