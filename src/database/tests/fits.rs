//! Transactions from a leader that do not fit the tree: `Database::fits` recognises them, and a tolerant database
//! skips them.

use super::*;

/// Each row says whether a transaction fits a tree with /a, /a/b and the ephemeral /e.
#[test]
fn what_does_not_fit_is_known_before_and_passed_over() {
    let acl = open_acl();
    let create = |path| create_body(path, None, acl.as_vector(), false);
    let ttl = |ttl| {
        let (path, data) = (Some("/ttl"), None);
        let txn = CreateTtlTxn { path, data, acl: acl.as_vector(), parent_cversion: -1, ttl };
        TxnBody::CreateTtl(txn)
    };
    let acl_of =
        |path| TxnBody::SetAcl(SetAclTxn { path: Some(path), acl: acl.as_vector(), version: 1 });
    let mut with_children = VectorBuf::<Option<&str>>::default();
    with_children.push(&Some("/a"));
    let mut gone = VectorBuf::<Option<&str>>::default();
    gone.push(&Some("/gone"));
    let multi = |parts: &[(OpCode, TxnBody<'_>)]| multi_parts(parts);
    let one_after_the_other = multi(&[
        (OpCode::Create, create("/m")),
        (OpCode::Create, create("/m/n")),
        (OpCode::SetData, set_body("/m/n", None, 1)),
        (OpCode::Delete, delete_body("/m/n")),
        (OpCode::Delete, delete_body("/m")),
        (OpCode::Delete, delete_body("/a/b")),
        (OpCode::Delete, delete_body("/a")),
        (OpCode::Create, create("/a")),
        (OpCode::Create, create("/a/b")),
    ]);
    let twice = multi(&[(OpCode::Create, create("/m")), (OpCode::Create, create("/m"))]);
    let too_early = multi(&[
        (OpCode::Create, create("/m")),
        (OpCode::Create, create("/m/n")),
        (OpCode::Delete, delete_body("/m")),
    ]);
    let failed = multi(&[
        (OpCode::Delete, delete_body("/gone")),
        (OpCode::Error, TxnBody::Error { err: -101 }),
    ]);
    let below_ephemeral = multi(&[
        (OpCode::Create, create_body("/m", None, acl.as_vector(), true)),
        (OpCode::Create, create("/m/n")),
    ]);
    let cases: [(bool, OpCode, TxnBody<'_>); 24] = [
        (true, OpCode::Create, create("/new")),
        (true, OpCode::Create, create("/a/new")),
        (false, OpCode::Create, create("/a")),
        (false, OpCode::Create, create("/gone/new")),
        (false, OpCode::Create, create("/")),
        (false, OpCode::Create, create("new")),
        (false, OpCode::Create, create("/e/below")),
        (true, OpCode::CreateTtl, ttl(1000)),
        (false, OpCode::CreateTtl, ttl(-1)),
        (true, OpCode::Delete, delete_body("/a/b")),
        (false, OpCode::Delete, delete_body("/a")),
        (false, OpCode::Delete, delete_body("/gone")),
        (false, OpCode::Delete, delete_body("/")),
        (true, OpCode::SetData, set_body("/", None, 1)),
        (false, OpCode::SetData, set_body("/gone", None, 1)),
        (true, OpCode::SetAcl, acl_of("/a")),
        (false, OpCode::SetAcl, acl_of("/gone")),
        (true, OpCode::CloseSession, TxnBody::CloseSession { paths: Some(gone.as_vector()) }),
        (
            false,
            OpCode::CloseSession,
            TxnBody::CloseSession { paths: Some(with_children.as_vector()) },
        ),
        (true, OpCode::Multi, TxnBody::Multi(one_after_the_other.as_vector())),
        (false, OpCode::Multi, TxnBody::Multi(twice.as_vector())),
        (false, OpCode::Multi, TxnBody::Multi(too_early.as_vector())),
        (false, OpCode::Multi, TxnBody::Multi(below_ephemeral.as_vector())),
        (true, OpCode::Multi, TxnBody::Multi(failed.as_vector())),
    ];
    for (fits, op, body) in cases {
        let mut run = Run::new();
        run.create("/a", "");
        run.create("/a/b", "");
        run.create_ephemeral("/e");
        let txn = Txn::new(header(4, op), &body, None);
        assert_eq!(run.database.fits(&txn), fits, "{body:?}");
        // A transaction that fits breaks no invariant, and one that does not is skipped.
        run.database.set_tolerant(!fits);
        run.database.apply(&txn, &mut run.fired);
        assert_eq!(run.database.last_processed(), Zxid(4));
        // The next start accepts the resulting tree.
        run.database.check_ephemerals().unwrap();
    }
}
