//! `enableEagerACLCheck`: a write that a client may not do takes no zxid, whichever server the client asks.

use super::cluster::Cluster;
use super::harness::*;
use crate::error::ErrorCode;
use crate::jute::Jute;
use crate::proto::OpCode;
use crate::proto::data::{AclVector, perms};
use crate::proto::request::{AuthPacket, RequestBody, SetAclRequest};
use crate::quorum::PeerOptions;
use crate::replica::ReplicaOptions;

fn auth(password: &[u8]) -> RequestBody<'_> {
    RequestBody::Auth(AuthPacket { packet_type: 0, scheme: Some("digest"), auth: Some(password) })
}

fn set_acl<'a>(path: &'a str, acl: &'a [u8]) -> RequestBody<'a> {
    let acl = AclVector::from_bytes(acl).unwrap();
    RequestBody::SetAcl(SetAclRequest { path: Some(path), acl, version: -1 })
}

fn cluster(eager_acl_check: bool) -> Cluster {
    let options = ReplicaOptions { eager_acl_check, ..ReplicaOptions::default() };
    Cluster::with(3, 1, &options, &PeerOptions::default())
}

/// The newest zxid of the whole ensemble.
fn newest(cluster: &mut Cluster) -> i64 {
    cluster.settle_equal();
    cluster.servers.values().map(Harness::last_zxid).max().unwrap()
}

#[test]
fn a_write_without_permission_takes_no_zxid_on_leader_follower_and_observer() {
    let (all, read) = (acl(&[(perms::ALL, "auth", "")]), world(perms::READ));
    let unknown = acl(&[(perms::ALL, "nosuch", "x")]);
    let (no_auth, invalid) = (ErrorCode::NoAuth, ErrorCode::InvalidAcl);
    let refused = [
        (OpCode::Create, create("/foo/new", b"", 0), no_auth),
        (OpCode::Create2, create("/foo/new", b"", 0), no_auth),
        (OpCode::Delete, delete("/foo/bar", -1), no_auth),
        (OpCode::SetData, set_data("/foo", b"", -1), no_auth),
        (OpCode::SetAcl, set_acl("/foo", &read), no_auth),
        (OpCode::Create, create_with("/new", &unknown), invalid),
        (OpCode::SetAcl, set_acl("/open", &unknown), invalid),
    ];
    // The requests of a client that has not authenticated.
    let of_nobody = [
        (OpCode::Create, create_with("/acltest", &all), invalid),
        (OpCode::SetAcl, set_acl("/open", &all), invalid),
    ];
    for eager in [true, false] {
        let mut cluster = cluster(eager);
        let (leader, follower) = (cluster.leader().unwrap(), cluster.follower());
        let owner = cluster.connect(leader);
        cluster.call(leader, &owner, -4, OpCode::Auth, &auth(b"ann:one"));
        for body in
            [create_with("/foo", &all), create_with("/foo/bar", &all), create("/open", b"", 0)]
        {
            assert_eq!(cluster.call(leader, &owner, 1, OpCode::Create, &body).err, 0);
        }
        for at in [leader, follower, 4] {
            let (other, nobody) = (cluster.connect(at), cluster.connect(at));
            cluster.call(at, &other, -4, OpCode::Auth, &auth(b"bob:two"));
            let of_other = refused.iter().map(|wish| (&other, wish));
            for (client, (op, body, error)) in
                of_other.chain(of_nobody.iter().map(|wish| (&nobody, wish)))
            {
                let before = newest(&mut cluster);
                let reply = cluster.call(at, client, 7, *op, body);
                assert_eq!(cluster.server(at).replica.requests_outstanding(), 0);
                assert_eq!((reply.xid, reply.err), (7, error.code()), "{op:?} at {at}");
                let after = newest(&mut cluster);
                if eager {
                    assert_eq!((after, reply.zxid), (before, 0), "{op:?} at {at}");
                } else {
                    assert_eq!((after, reply.zxid), (before + 1, before + 1), "{op:?} at {at}");
                }
            }
        }
    }
}

#[test]
fn what_may_be_written_or_is_not_known_here_goes_its_way() {
    let mut cluster = cluster(true);
    let all = acl(&[(perms::ALL, "auth", "")]);
    let mut cxid = 0;
    for at in 1..=4 {
        let client = cluster.connect(at);
        cluster.call(at, &client, -4, OpCode::Auth, &auth(b"ann:one"));
        let (node, child) = (format!("/node-{at}"), format!("/node-{at}/child"));
        let wishes = [
            (OpCode::Create, create_with(&node, &all), 0),
            (OpCode::Create2, create_with(&child, &all), 0),
            (OpCode::SetData, set_data(&node, b"x", -1), 0),
            (OpCode::Delete, delete(&child, -1), 0),
            (OpCode::SetAcl, set_acl(&node, &all), 0),
            (OpCode::Create, create("/no/parent", b"", 0), ErrorCode::NoNode.code()),
            (OpCode::SetData, set_data("/none", b"", -1), ErrorCode::NoNode.code()),
            (OpCode::Delete, delete("/zookeeper", -1), ErrorCode::BadArguments.code()),
        ];
        for (op, body, expected) in wishes {
            cxid += 1;
            let before = newest(&mut cluster);
            assert_eq!(cluster.call(at, &client, cxid, op, &body).err, expected, "{op:?} at {at}");
            assert_eq!(newest(&mut cluster), before + 1, "{op:?} at {at}");
        }
    }
}

#[test]
fn a_server_on_its_own_gives_every_refused_write_a_zxid() {
    // ZooKeeper: only the processors of a quorum's servers call authWriteRequest.
    let mut harness =
        Harness::with(ReplicaOptions { eager_acl_check: true, ..ReplicaOptions::default() });
    let client = harness.connect();
    let closed = world(perms::READ);
    assert_eq!(harness.call(client.conn, 1, OpCode::Create, &create_with("/a", &closed)).err, 0);
    let before = harness.last_zxid();
    let reply = harness.call(client.conn, 2, OpCode::SetData, &set_data("/a", b"", -1));
    assert_eq!((reply.err, reply.zxid), (ErrorCode::NoAuth.code(), before + 1));
}

#[test]
fn a_refusal_waits_for_its_turn() {
    let mut cluster = cluster(true);
    let closed = world(perms::READ);
    let follower = cluster.follower();
    let client = cluster.connect(follower);
    let body = create_with("/a", &closed);
    assert_eq!(cluster.call(follower, &client, 1, OpCode::Create, &body).err, 0);
    cluster.send(follower, &client, 2, OpCode::Create, &create("/b", b"", 0));
    cluster.send(follower, &client, 3, OpCode::SetData, &set_data("/a", b"", -1));
    cluster.settle_equal();
    let errors = cluster.server(follower).errors(client.conn);
    assert_eq!(errors, [(2, 0), (3, ErrorCode::NoAuth.code())]);
}
