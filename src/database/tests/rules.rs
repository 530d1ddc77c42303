//! The effects of single transactions on the database.

use super::*;
use crate::database::{NodeKind, ReapRules};
use crate::error::ErrorCode;

#[test]
fn an_empty_tree_is_zookeepers() {
    let run = Run::new();
    assert_eq!(run.database.digest(), 1_371_985_504);
    assert_eq!(run.database.node_count(), 5);
    assert_eq!(run.database.approximate_data_size(), 44);
    assert_eq!(run.database.node("/").unwrap().stat().cversion, -1);
    assert_eq!(run.database.node("").unwrap().path(), "/");
    assert_eq!(run.children("/zookeeper"), ["config", "quota"]);
    let config = run.database.node("/zookeeper/config").unwrap();
    assert_eq!(config.acl().iter().map(|entry| entry.perms).collect::<Vec<_>>(), [1]);
    assert_eq!(config.data(), Some(&[][..]));
}

#[test]
fn a_create_shows_in_the_node_and_its_parent() {
    let mut run = Run::new();
    let Applied::Create { stat } = run.create("/a", "hello") else { panic!("a create") };
    assert_eq!((stat.czxid, stat.mzxid, stat.pzxid), (Zxid(1), Zxid(1), Zxid(1)));
    assert_eq!((stat.ctime, stat.mtime, stat.version), (1001, 1001, 0));
    assert_eq!((stat.data_length, stat.num_children), (5, 0));
    let root = run.database.node("/").unwrap().stat();
    assert_eq!((root.cversion, root.num_children, root.pzxid), (0, 2, Zxid(1)));
}

#[test]
fn a_delete_counts_in_the_parents_visible_version_only() {
    let mut run = Run::new();
    run.create("/p", "");
    run.create("/p/a", "");
    assert_eq!(run.database.node("/p").unwrap().stat().cversion, 1);
    run.delete("/p/a");
    let node = run.database.node("/p").unwrap();
    assert_eq!(node.stat().cversion, 2);
    assert_eq!(node.stat_persisted().cversion, 1);
    assert_eq!(node.stat().pzxid, Zxid(3));
}

#[test]
fn setting_data_leaves_the_parent_alone_and_setting_an_acl_leaves_the_times() {
    let mut run = Run::new();
    run.create("/p", "");
    let parent = run.database.node("/").unwrap().stat();
    let Applied::SetData { stat } = run.set("/p", "xyz", 1) else { panic!("a set") };
    assert_eq!((stat.version, stat.mzxid, stat.mtime, stat.data_length), (1, Zxid(2), 1002, 3));
    let Applied::SetAcl { stat } = run.set_acl("/p", &[(1, "ip", "1.2.3.4")], 1) else {
        panic!("a set")
    };
    assert_eq!((stat.aversion, stat.mzxid, stat.mtime, stat.pzxid), (1, Zxid(2), 1002, Zxid(1)));
    assert_eq!(run.database.node("/").unwrap().stat(), parent);
}

#[test]
fn a_failed_multi_changes_nothing_and_tells_which_part_failed() {
    let mut run = Run::new();
    let acl = open_acl();
    let create = |path| (OpCode::Create, create_body(path, None, acl.as_vector(), false));
    let digest = run.database.digest();
    let applied = run.multi(&[
        create("/a"),
        (OpCode::Error, TxnBody::Error { err: ErrorCode::NoNode.code() }),
        create("/b"),
        (OpCode::Error, TxnBody::Error { err: ErrorCode::RuntimeInconsistency.code() }),
    ]);
    let errors = [0, -101, -2, -2].map(Applied::Error);
    assert_eq!(applied, Applied::Multi(errors.to_vec()));
    assert_eq!(run.database.digest(), digest);
    assert_eq!(run.database.last_processed(), Zxid(1));
}

#[test]
fn the_parts_of_a_multi_see_each_other_and_share_a_zxid() {
    let mut run = Run::new();
    let acl = open_acl();
    let applied = run.multi(&[
        (OpCode::Create, create_body("/a", None, acl.as_vector(), false)),
        (OpCode::Create2, create_body("/a/b", None, acl.as_vector(), false)),
        (OpCode::SetData, set_body("/a/b", Some(b"x"), 1)),
        (OpCode::Delete, delete_body("/a/b")),
        (
            OpCode::Check,
            TxnBody::Check(crate::proto::txn::CheckVersionTxn { path: Some("/a"), version: 0 }),
        ),
    ]);
    let Applied::Multi(parts) = applied else { panic!("a multi") };
    assert!(matches!(parts[0], Applied::Create { .. }));
    assert!(matches!(parts[1], Applied::Create { .. }));
    assert!(matches!(parts[2], Applied::SetData { .. }));
    assert_eq!(parts[3..], [Applied::Delete, Applied::Check]);
    let stat = run.database.node("/a").unwrap().stat();
    assert_eq!((stat.czxid, stat.pzxid, stat.cversion), (Zxid(1), Zxid(1), 2));
}

#[test]
fn a_closed_session_takes_its_nodes_with_it() {
    let mut run = Run::new();
    run.apply(OpCode::CreateSession, &TxnBody::CreateSession { timeout_ms: 4000 });
    assert_eq!(run.database.session_timeout(SessionId(SESSION)), Some(4000));
    for path in ["/a", "/b", "/c"] {
        run.create_ephemeral(path);
    }
    assert_eq!(run.database.node("/a").unwrap().stat().ephemeral_owner, SESSION);
    assert_eq!(run.database.ephemerals_count(), 3);
    // The list names two nodes, and one that is gone; the tree itself knows of the third node.
    assert_eq!(run.close_session(Some(&["/b", "/gone", "/a"])), Applied::CloseSession);
    assert_eq!(run.children("/"), ["zookeeper"]);
    assert_eq!(run.database.ephemerals_count(), 0);
    assert_eq!(run.database.sessions_count(), 0);
    assert_eq!(run.database.node("/").unwrap().stat().pzxid, Zxid(5));
}

#[test]
fn a_closed_session_of_an_old_log_is_known_by_the_tree() {
    let mut run = Run::new();
    run.create_ephemeral("/a");
    run.create_ephemeral("/b");
    run.close_session(None);
    assert_eq!(run.children("/"), ["zookeeper"]);
}

#[test]
fn containers_go_after_their_last_child_and_not_before_their_first() {
    let mut run = Run::new();
    run.create_container("/c");
    assert_eq!(run.database.node("/c").unwrap().stat().ephemeral_owner, 0);
    assert_eq!(run.database.node("/c").unwrap().kind(), NodeKind::Container);
    let never = ReapRules { never_used_ms_max: 0 };
    let soon = ReapRules { never_used_ms_max: 10 };
    assert!(run.database.reap_candidates(1_000_000, never, 9).is_empty());
    assert!(run.database.reap_candidates(1011, soon, 9).is_empty());
    assert_eq!(run.database.reap_candidates(1012, soon, 9), ["/c"]);
    run.create("/c/x", "");
    assert!(run.database.reap_candidates(1_000_000, soon, 9).is_empty());
    run.delete("/c/x");
    assert_eq!(run.database.reap_candidates(0, never, 9), ["/c"]);
    run.apply(OpCode::DeleteContainer, &delete_body("/c"));
    assert!(run.database.reap_candidates(0, never, 9).is_empty());
}

#[test]
fn a_ttl_node_goes_when_it_was_idle_and_childless_for_its_time() {
    let options = DatabaseOptions { extended_types: true, ..DatabaseOptions::default() };
    let mut run = Run::with(options);
    run.create_ttl("/t", 500);
    assert_eq!(run.database.node("/t").unwrap().stat().ephemeral_owner, 0);
    assert_eq!(run.database.node("/t").unwrap().kind(), NodeKind::Ttl { ttl_ms: 500 });
    let rules = ReapRules::default();
    assert!(run.database.reap_candidates(1501, rules, 9).is_empty());
    assert_eq!(run.database.reap_candidates(1502, rules, 9), ["/t"]);
    assert!(run.database.reap_candidates(1502, rules, 0).is_empty());
    run.set("/t", "touched", 1);
    assert!(run.database.reap_candidates(1502, rules, 9).is_empty());
    run.create("/t/x", "");
    assert!(run.database.reap_candidates(9999, rules, 9).is_empty());
}

#[test]
fn without_extended_types_a_ttl_owner_is_a_session() {
    let mut run = Run::new();
    run.create_ttl("/t", 500);
    let owner = run.database.node("/t").unwrap().stat().ephemeral_owner;
    assert_eq!(owner, 0xff00_0000_0000_01f4_u64.cast_signed());
    assert_eq!(run.database.ephemerals_count(), 1);
}

#[test]
fn a_parents_version_is_the_given_one_and_stops_at_the_end_of_numbers() {
    let mut run = Run::new();
    let acl = open_acl();
    let mut create = |path: &str, parent_cversion| {
        let (path, acl) = (Some(path), acl.as_vector());
        let txn = CreateTxn { path, data: None, acl, ephemeral: false, parent_cversion };
        run.apply(OpCode::Create, &TxnBody::Create(txn));
        let stat = run.database.node("/").unwrap().stat_persisted();
        (stat.cversion, stat.pzxid.0)
    };
    assert_eq!(create("/a", i32::MAX), (i32::MAX, 1));
    assert_eq!(create("/b", i32::MIN), (i32::MAX, 1));
    assert_eq!(create("/c", -1), (i32::MAX, 1));
}

#[test]
fn the_digest_of_each_128th_zxid_is_kept() {
    let mut run = Run::new();
    run.create("/a", "");
    let mut digests = Vec::new();
    for _ in 0..300 {
        run.apply(OpCode::Error, &TxnBody::Error { err: -1 });
    }
    digests.extend(run.database.digest_log());
    let digest = run.database.digest();
    assert_eq!(digests, [(Zxid(128), digest), (Zxid(256), digest)]);
}

#[test]
fn an_error_may_have_the_zxid_of_the_one_before_it() {
    let mut run = Run::new();
    run.create("/a", "");
    let error = Txn::new(header(1, OpCode::Error), &TxnBody::Error { err: -5 }, None);
    assert_eq!(run.database.apply(&error, &mut Vec::new()), Applied::Error(-5));
    assert_eq!(run.database.last_processed(), Zxid(1));
}

#[test]
fn a_digest_that_differs_is_counted_and_not_fatal() {
    let mut run = Run::new();
    let body = TxnBody::Error { err: -5 };
    let good = Txn::new(header(1, OpCode::Error), &body, None);
    let good = with_digest(&good, run.database.digest());
    run.database.apply(&good, &mut Vec::new());
    assert_eq!(run.database.digest_mismatches(), 0);
    let bad = with_digest(&Txn::new(header(2, OpCode::Error), &body, None), 5);
    run.database.apply(&bad, &mut Vec::new());
    assert_eq!(run.database.digest_mismatches(), 1);
    assert_eq!(run.database.digest_mismatch_last(), Some(Zxid(2)));
}

#[test]
fn nodes_that_digests_leave_out_do_not_count() {
    let mut run = Run::new();
    run.create("/zookeeper/quota/x", "data");
    let root = run.database.node("/zookeeper/quota/x").unwrap();
    assert_eq!(root.digest(), 0);
    assert_eq!(run.database.digest(), 1_371_985_504);
    run.create("/zookeeperx", "data");
    assert_ne!(run.database.digest(), 1_371_985_504);
}

#[test]
fn with_digests_off_there_is_none() {
    let options = DatabaseOptions { digest_enabled: false, ..DatabaseOptions::default() };
    let mut run = Run::with(options);
    run.create("/a", "");
    run.set("/a", "x", 1);
    run.delete("/a");
    assert_eq!(run.database.digest(), 0);
}

#[test]
fn children_and_descendants_are_counted() {
    let mut run = Run::new();
    for path in ["/a", "/a/b", "/a/c", "/a/b/d", "/ab"] {
        run.create(path, "");
    }
    assert_eq!(run.children("/a"), ["b", "c"]);
    assert_eq!(run.database.node("/a").unwrap().descendants_count(), 3);
    assert_eq!(run.database.node("/a/b/d").unwrap().descendants_count(), 0);
    assert_eq!(run.database.node("/").unwrap().descendants_count(), 8);
    assert_eq!(run.children("/"), ["a", "ab", "zookeeper"]);
}

#[test]
fn the_digests_in_a_java_servers_log_are_ours() {
    // Entries of a log of Apache ZooKeeper: create session, create /from-fake, create session,
    // create /obs, an error; each but the last with the digest that Java computed.
    const LOG: [&str; 5] = [
        "0300001234560000000000000000000100000001000001a1f81bb904fffffff6\
         00001f40000000020000000051c6d660",
        "0300001234560000000000010000000100000002000001a1f81bb909000000010000000a2f66726f6d2d66616b\
         650000000568656c6c6f000000010000001f00000005776f726c6400000006616e796f6e650000000001000000\
         0200000001b726362d",
        "0100001cdeb90000000000000000000400000001000001a1f81c9a65fffffff6\
         000027100000000200000001b726362d",
        "0100001cdeb90000000000010000000400000002000001a1f81c9a7200000001000000042f6f62730000000131\
         000000010000001f00000005776f726c6400000006616e796f6e6500000000020000000200000001cde32e62",
        "0100001d63000000000000010000000500000002000001a1f81d1eaaffffffffffffff92",
    ];
    let mut run = Run::new();
    let mut digests = Vec::new();
    for entry in LOG {
        let bytes: Vec<u8> = entry
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let txn = Txn::parse(&bytes.into()).unwrap();
        run.database.apply(&txn, &mut Vec::new());
        if let Some(expected) = txn.digest_after() {
            assert_eq!(expected.tree_digest, run.database.digest(), "{:?}", txn.zxid());
            digests.push(expected.tree_digest);
        }
    }
    assert_eq!(digests, [1_371_985_504, 7_367_702_061, 7_367_702_061, 7_749_185_122]);
    assert_eq!(run.database.digest_mismatches(), 0);
    assert_eq!(run.database.sessions_count(), 2);
}
