//! Snapshots of ZooKeeper's kind, written while the tree changed, with the log replayed afterwards.

use proptest::prelude::*;

use super::model::Model;
use super::random::{Draw, draws, options, txn_for};
use super::{Run, create_body, delete_body, header, open_acl, set_body, with_digest};
use crate::acl::{AclId, Schemes};
use crate::database::{Database, DatabaseBuilder, DatabaseOptions, LoadError};
use crate::id::{SessionId, Zxid};
use crate::jute::Jute;
use crate::proto::data::{AclVector, StatPersisted};
use crate::proto::opcode::OpCode;
use crate::proto::txn::{DIGEST_VERSION, Txn, TxnBody};
use crate::tree::ttl_owner;

/// Writes a snapshot as ZooKeeper does: sessions and ACLs first, then node by node in depth-first order, each with
/// its state at that moment, while transactions go on.
struct FuzzyWriter {
    database: Database,
    model: Model,
    zxid: i64,
    draws: std::vec::IntoIter<Draw>,
    pace: usize,
    log: Vec<Txn>,
    builder: DatabaseBuilder,
}

impl FuzzyWriter {
    fn step(&mut self) {
        for draw in self.draws.by_ref().take(self.pace) {
            self.zxid += 1;
            let txn = txn_for(&self.model, self.zxid, draw, true);
            self.database.apply(&txn, &mut Vec::new());
            self.model.apply(txn.header(), &txn.body());
            self.log.push(with_digest(&txn, self.database.digest()));
        }
    }

    fn write(&mut self, path: &str) {
        let Some(node) = self.database.node(path) else { return };
        let mut children: Vec<String> = node.children().map(str::to_owned).collect();
        children.sort_unstable();
        let data = node.data().map(<[u8]>::to_vec);
        let (acl, stat) = (node.acl_id(), node.stat_persisted());
        let in_file = if path == "/" { "" } else { path };
        self.builder.node(in_file, data.as_deref(), acl, stat).unwrap();
        for child in children {
            self.step();
            self.write(&format!("{in_file}/{child}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_fuzzy_snapshot_and_its_log_give_the_state_that_was(
        before in draws(120),
        during in draws(120),
        pace in 1usize..6,
    ) {
        let mut database = Database::new(options());
        let mut model = Model::of(&database);
        let mut zxid = 0;
        for draw in before {
            zxid += 1;
            let txn = txn_for(&model, zxid, draw, true);
            database.apply(&txn, &mut Vec::new());
            model.apply(txn.header(), &txn.body());
        }
        let mut builder = DatabaseBuilder::new(options());
        for (id, timeout_ms) in database.sessions() {
            builder.session(id, timeout_ms);
        }
        let head = database.snapshot_begin();
        for (id, list) in &head.acls {
            builder.acl(*id, list.vector());
        }
        database.snapshot_end();
        let begun = Zxid(zxid);
        let draws = during.into_iter();
        let log = Vec::new();
        let mut writer = FuzzyWriter { database, model, zxid, draws, pace, log, builder };
        writer.write("/");
        let promised = writer.database.digest();
        let reached = writer.database.last_processed();
        writer.pace = usize::MAX;
        writer.step();
        writer.builder.digest(reached, DIGEST_VERSION, promised);
        let mut loaded = writer.builder.finish(begun).unwrap();
        for txn in &writer.log {
            loaded.apply_in_replay(txn);
        }
        writer.model.check(&loaded);
        prop_assert_eq!(loaded.digest_mismatches(), 0);
        prop_assert_eq!(loaded.last_processed(), writer.database.last_processed());
    }

    #[test]
    fn nothing_in_a_snapshot_or_a_log_makes_the_tree_panic(
        nodes in proptest::collection::vec(("[/a-b]{0,6}", any::<i64>(), -2i64..4), 0..30),
        txns in proptest::collection::vec(("[/a-b]{0,6}", 0u8..9, any::<i64>()), 0..60),
    ) {
        let mut builder = DatabaseBuilder::new(options());
        builder.acl(AclId(1), AclVector::EMPTY);
        builder.acl(AclId(1), AclVector::NULL);
        let stat = StatPersisted::default();
        builder.node("", None, AclId(7), stat).unwrap();
        for (path, owner, acl) in &nodes {
            let stat = StatPersisted { ephemeral_owner: *owner, ..stat };
            // The builder may take the node or refuse it; both are right here.
            let _ = builder.node(path, Some(b"x"), AclId(*acl), stat);
        }
        // The builder refuses a tree that no server writes. Every other tree must survive every log.
        let Ok(mut database) = builder.finish(Zxid(5)) else { return Ok(()) };
        let acl = open_acl();
        for (zxid, (path, what, number)) in (6..).zip(&txns) {
            let version = i32::try_from(*number & 0xffff).unwrap();
            let (op, body) = match what {
                0..=2 => {
                    let create = create_body(path, None, acl.as_vector(), number % 2 == 0);
                    (OpCode::Create, create)
                }
                3 => (OpCode::Delete, delete_body(path)),
                4 => (OpCode::SetData, set_body(path, None, version)),
                5 => (OpCode::CloseSession, TxnBody::CloseSession { paths: None }),
                6 => {
                    let txn = crate::proto::txn::CreateTtlTxn {
                        path: Some(path),
                        data: None,
                        acl: AclVector::NULL,
                        parent_cversion: version,
                        ttl: *number,
                    };
                    (OpCode::CreateTtl, TxnBody::CreateTtl(txn))
                }
                7 => {
                    let txn = crate::proto::txn::SetAclTxn {
                        path: Some(path),
                        acl: AclVector::NULL,
                        version,
                    };
                    (OpCode::SetAcl, TxnBody::SetAcl(txn))
                }
                _ => (OpCode::Error, TxnBody::Error { err: version }),
            };
            database.apply_in_replay(&Txn::new(header(zxid, op), &body, None));
        }
        database.remove_orphaned_ephemerals();
        let digest = Model::of(&database).digest();
        prop_assert_eq!(database.digest(), digest);
        prop_assert_eq!(database.ephemerals_count(), 0);
    }
}

fn loaded_from(nodes: &[(&str, Option<&[u8]>, i64)]) -> Result<Database, LoadError> {
    let mut builder = DatabaseBuilder::new(options());
    for &(path, data, owner) in nodes {
        let stat = StatPersisted { ephemeral_owner: owner, ..StatPersisted::default() };
        builder.node(path, data, AclId::OPEN, stat)?;
    }
    builder.finish(Zxid(9))
}

#[test]
fn a_snapshot_that_is_no_tree_is_refused_with_the_path() {
    let text = |nodes: &[(&str, Option<&[u8]>, i64)]| loaded_from(nodes).unwrap_err().to_string();
    assert_eq!(text(&[]), "there is no node");
    assert_eq!(text(&[("/a", None, 0)]), "the first node is \"/a\", not the root");
    assert_eq!(
        text(&[("", None, 0), ("", None, 0)]),
        "\"/\" occurs twice, and it is unknown which of the two is right"
    );
    assert_eq!(text(&[("", None, 0), ("/a/b", None, 0)]), "\"/a/b\" has no parent before it");
    assert_eq!(
        text(&[("", None, 0), ("/a", None, 0), ("/a", None, 0)]),
        "\"/a\" occurs twice, and it is unknown which of the two is right"
    );
    for path in ["a", "/", "/a/", "a/b"] {
        let error = loaded_from(&[("", None, 0), (path, None, 0)]).unwrap_err();
        assert_eq!(error, LoadError::BadPath { path: path.to_owned() }, "{path}");
    }
}

#[test]
fn ephemeral_nodes_are_leaves_and_nothing_that_every_server_needs() {
    let below = loaded_from(&[("", None, 0), ("/e", None, 7), ("/e/c", None, 0)]).unwrap_err();
    assert_eq!(below, LoadError::BelowEphemeral { path: "/e".to_owned(), owner: 7 });
    assert!(!below.to_string().contains("extendedTypes"));
    assert_eq!(
        loaded_from(&[("", None, 7)]).unwrap_err(),
        LoadError::Goes { path: "/".to_owned(), owner: 7 }
    );
    for path in ["/zookeeper", "/zookeeper/quota"] {
        let nodes = [("", None, 0), ("/zookeeper", None, 0), ("/zookeeper/quota", None, 0)];
        let nodes = nodes.map(|(at, data, owner)| (at, data, if at == path { 7 } else { owner }));
        let goes = LoadError::Goes { path: path.to_owned(), owner: 7 };
        assert_eq!(loaded_from(&nodes).unwrap_err(), goes);
    }
}

#[test]
fn a_node_with_a_time_to_live_has_children_where_extended_types_are_on_and_a_hint_where_not() {
    let ttl = ttl_owner(1000).unwrap();
    for extended_types in [true, false] {
        let options = DatabaseOptions { extended_types, ..options() };
        let mut builder = DatabaseBuilder::new(options);
        for (path, owner) in [("", 0), ("/t", ttl), ("/t/c", 0)] {
            let stat = StatPersisted { ephemeral_owner: owner, ..StatPersisted::default() };
            builder.node(path, None, AclId::OPEN, stat).unwrap();
        }
        match builder.finish(Zxid(9)) {
            Ok(_) => assert!(extended_types),
            Err(error) => {
                assert!(!extended_types);
                assert!(
                    error.to_string().contains("zookeeper.extendedTypesEnabled=true"),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn a_log_that_takes_the_configuration_away_or_puts_nodes_below_ephemerals_stops_nobody() {
    let mut database = loaded_from(&[("", None, 0), ("/e", None, 7)]).unwrap();
    let acl = open_acl();
    let below = create_body("/e/c", None, acl.as_vector(), false);
    database.apply_in_replay(&Txn::new(header(10, OpCode::Create), &below, None));
    assert_eq!(database.take_misplaced().as_deref(), Some("/e/c"));
    let gone = delete_body("/zookeeper/config");
    database.apply_in_replay(&Txn::new(header(11, OpCode::Delete), &gone, None));
    database.set_config("server.1=a:1:2", Zxid(1), 5);
    assert!(database.node("/zookeeper/config").is_none());
    database.check_ephemerals().unwrap();
}

#[test]
fn built_in_nodes_that_a_snapshot_lacks_are_added() {
    let database = loaded_from(&[("", None, 0), ("/zookeeper", Some(b"x"), 0)]).unwrap();
    assert_eq!(database.node("/zookeeper").unwrap().data(), Some(&b"x"[..]));
    assert_eq!(database.node("/zookeeper/config").unwrap().stat().aversion, -1);
    assert_eq!(database.node("/zookeeper/quota").unwrap().acl_id(), AclId::OPEN);
}

#[test]
fn null_and_empty_data_survive() {
    let database = loaded_from(&[("", None, 0), ("/e", Some(b""), 0), ("/n", None, 0)]).unwrap();
    assert_eq!(database.node("/").unwrap().data(), None);
    assert_eq!(database.node("/e").unwrap().data(), Some(&[][..]));
    assert_eq!(database.node("/n").unwrap().data(), None);
}

#[test]
fn ephemerals_of_sessions_that_are_gone_are_removed_after_replay() {
    let mut builder = DatabaseBuilder::new(options());
    builder.session(SessionId(2), 1000);
    for (path, owner) in [("", 0), ("/dead", 1), ("/dead2", 1), ("/alive", 2), ("/stays", 0)] {
        let stat = StatPersisted { ephemeral_owner: owner, ..StatPersisted::default() };
        builder.node(path, None, AclId::OPEN, stat).unwrap();
    }
    let mut database = builder.finish(Zxid(9)).unwrap();
    assert_eq!(database.remove_orphaned_ephemerals(), 2);
    assert!(database.node("/dead").is_none());
    assert!(database.node("/alive").is_some());
    assert!(database.node("/stays").is_some());
    assert_eq!(database.node("/").unwrap().stat().pzxid, Zxid(9));
}

#[test]
fn an_acl_that_a_snapshot_does_not_define_gives_nothing_until_the_log_says_better() {
    let mut builder = DatabaseBuilder::new(options());
    builder.acl(AclId(3), open_acl().as_vector());
    let stat = StatPersisted::default();
    builder.node("", None, AclId(3), stat).unwrap();
    builder.node("/a", None, AclId(8), stat).unwrap();
    let mut database = builder.finish(Zxid(1)).unwrap();
    let list = database.node("/a").unwrap().acl_list().clone();
    assert!(!list.permits(31, &[], &Schemes::USUAL));
    assert_eq!(database.node("/a").unwrap().acl_id(), AclId(8));
    let acl = open_acl();
    let body = create_body("/a", None, acl.as_vector(), false);
    database.apply_in_replay(&Txn::new(header(2, OpCode::Create), &body, None));
    assert_eq!(database.node("/a").unwrap().acl_id(), AclId(3));
    let list = super::acl_of(&[(1, "world", "anyone")]);
    let body = create_body("/b", None, list.as_vector(), false);
    database.apply_in_replay(&Txn::new(header(3, OpCode::Create), &body, None));
    assert_eq!(database.node("/b").unwrap().acl_id(), AclId(9), "ids are never used again");
}

#[test]
fn a_create_of_a_node_that_is_there_still_mends_the_parents_version() {
    let mut database = loaded_from(&[("", None, 0), ("/p", None, 0), ("/p/c", None, 0)]).unwrap();
    for (zxid, op) in [(10, OpCode::Create), (11, OpCode::Create2)] {
        let acl = open_acl();
        let TxnBody::Create(mut create) = create_body("/p/c", None, acl.as_vector(), false) else {
            unreachable!("create_body makes a create")
        };
        create.parent_cversion = i32::try_from(zxid).unwrap();
        database.apply_in_replay(&Txn::new(header(zxid, op), &TxnBody::Create(create), None));
        let stat = database.node("/p").unwrap().stat_persisted();
        assert_eq!(i64::from(stat.cversion), zxid);
        assert_eq!(stat.pzxid, Zxid(zxid));
    }
}

#[test]
fn a_delete_of_a_node_that_is_gone_still_moves_the_parents_pzxid_but_never_back() {
    let mut database = loaded_from(&[("", None, 0), ("/p", None, 0)]).unwrap();
    let delete = |zxid| Txn::new(header(zxid, OpCode::Delete), &delete_body("/p/c"), None);
    database.apply_in_replay(&delete(20));
    assert_eq!(database.node("/p").unwrap().stat().pzxid, Zxid(20));
    assert_eq!(database.last_processed(), Zxid(20));
    database.apply_in_replay(&delete(15));
    assert_eq!(database.last_processed(), Zxid(20), "older transactions are ignored");
    assert_eq!(database.node("/p").unwrap().stat().pzxid, Zxid(20));
}

#[test]
fn digests_are_not_compared_before_a_fuzzy_snapshot_ends() {
    let mut run = Run::new();
    run.create("/a", "1");
    let exact = run.database.digest();
    let mut builder = DatabaseBuilder::new(options());
    for node in run.database.node("/").unwrap().subtree() {
        let path = if node.path() == "/" { "" } else { node.path() };
        builder.node(path, node.data(), AclId::OPEN, node.stat_persisted()).unwrap();
    }
    builder.digest(Zxid(1), DIGEST_VERSION, exact);
    let mut database = builder.finish(Zxid(0)).unwrap();
    let acl = open_acl();
    let TxnBody::Create(mut create) = create_body("/a", Some(b"1"), acl.as_vector(), false) else {
        unreachable!("create_body makes a create")
    };
    create.parent_cversion = 1;
    let create = Txn::new(header(1, OpCode::Create), &TxnBody::Create(create), None);
    let wrong = with_digest(&create, 1);
    database.apply_in_replay(&wrong);
    assert_eq!(database.digest_mismatches(), 0, "the promise was kept, the txn's is not asked");
    let body = set_body("/a", None, 1);
    database.apply_in_replay(&with_digest(&Txn::new(header(2, OpCode::SetData), &body, None), 1));
    assert_eq!(database.digest_mismatches(), 1);
    assert_eq!(database.digest_mismatch_last(), Some(Zxid(2)));
}

#[test]
fn an_encoded_acl_of_the_snapshot_is_what_the_node_answers() {
    let acl = open_acl();
    let mut builder = DatabaseBuilder::new(options());
    builder.acl(AclId(1), acl.as_vector());
    builder.node("", None, AclId(1), StatPersisted::default()).unwrap();
    let database = builder.finish(Zxid(0)).unwrap();
    let bytes = database.node("/").unwrap().acl().to_bytes();
    assert_eq!(bytes, acl.as_vector::<crate::proto::data::AclEntry<'_>>().to_bytes());
}
