//! A client changes the ensemble.

use super::harness::{Client, Harness, Reply, watch};
use crate::error::ErrorCode;
use crate::id::ServerId;
use crate::jute::Jute;
use crate::peer::PeerOptions;
use crate::proto::OpCode;
use crate::proto::request::{ReconfigRequest, RequestBody};
use crate::proto::response::GetDataResponse;
use crate::quorum::Config;
use crate::replica::ReplicaOptions;

const CONFIG: &str = "/zookeeper/config";

/// Server 1, the only voter of its ensemble. It leads.
fn voter_with(reconfig: bool) -> Harness {
    let options = ReplicaOptions { reconfig, skip_acl: true, ..ReplicaOptions::default() };
    let (me, standalone_enabled) = (ServerId(1), false);
    let peer = PeerOptions { me, reconfig, standalone_enabled, ..PeerOptions::default() };
    let config = Config::parse("server.1=zk1:2888:3888;2181").unwrap();
    let mut harness = Harness::member(options, peer, config);
    harness.settle();
    harness.advance_ms(1);
    harness
}

fn voter() -> Harness {
    voter_with(true)
}

fn reconfig(h: &mut Harness, client: &Client, joining: &str, expected: i64) -> Reply {
    let body = RequestBody::Reconfig(ReconfigRequest {
        joining_servers: Some(joining),
        leaving_servers: None,
        new_members: None,
        cur_config_id: expected,
    });
    h.call(client.conn, 7, OpCode::Reconfig, &body)
}

fn config(h: &Harness) -> Config {
    Config::from_bytes(h.replica.database().node(CONFIG).unwrap().data().unwrap()).unwrap()
}

#[test]
fn the_first_leader_gives_the_configuration_its_version() {
    let h = voter();
    let config = config(&h);
    assert_eq!(
        config.to_text(),
        "server.1=zk1:2888:3888:participant;0.0.0.0:2181\nversion=100000000"
    );
    assert_eq!(h.replica.database().node(CONFIG).unwrap().stat().version, -1);
}

#[test]
fn a_change_is_answered_with_the_new_configuration_and_told_to_those_who_watch() {
    let mut h = voter();
    let client = h.connect();
    h.call(client.conn, 1, OpCode::GetData, &watch(CONFIG, true));
    let joining = "server.2=zk2:2888:3888:observer;2181";
    let body = RequestBody::Reconfig(ReconfigRequest {
        joining_servers: Some(joining),
        leaving_servers: None,
        new_members: None,
        cur_config_id: 0x1_0000_0000,
    });
    h.send(client.conn, 7, OpCode::Reconfig, &body);
    h.settle();
    let replies = h.replies(client.conn);
    assert_eq!(replies[0].event(), (3, CONFIG.to_owned()));
    let answer = &replies[1];
    assert_eq!((answer.xid, answer.err), (7, 0), "{replies:?}");
    let zxid = answer.zxid;
    let data: GetDataResponse<'_> = GetDataResponse::from_bytes(&answer.body).unwrap();
    let text = std::str::from_utf8(data.data.unwrap()).unwrap();
    assert_eq!(
        text,
        format!(
            "server.1=zk1:2888:3888:participant;0.0.0.0:2181\n\
             server.2=zk2:2888:3888:observer;0.0.0.0:2181\nversion={zxid:x}"
        )
    );
    assert_eq!((data.stat.version, data.stat.mzxid.0), (-1, zxid));
    let read = h.call(client.conn, 8, OpCode::GetData, &watch(CONFIG, false));
    assert_eq!(read.body, answer.body);
    assert_eq!(config(&h).version, zxid);
    assert_eq!(h.replica.peer().config().unwrap().version, zxid);
}

#[test]
fn a_change_that_is_refused_leaves_everything_as_it_is() {
    let mut h = voter();
    let client = h.connect();
    let before = config(&h);
    for (joining, expected, error) in [
        ("server.2=zk2:2888:3888;2181", 5, ErrorCode::BadVersion),
        ("server.2=zk2:2888:3888", -1, ErrorCode::BadArguments),
        ("server.x=zk2:2888:3888;2181", -1, ErrorCode::MarshallingError),
        // Of two voters only one is there.
        ("server.2=zk2:2888:3888;2181", -1, ErrorCode::NewConfigNoQuorum),
    ] {
        assert_eq!(reconfig(&mut h, &client, joining, expected).err, error.code(), "{joining}");
    }
    assert_eq!(config(&h), before);
    assert_eq!(reconfig(&mut h, &client, "server.2=zk2:2888:3888:observer;2181", -1).err, 0);
}

#[test]
fn where_it_is_switched_off_nobody_changes_anything() {
    let mut h = voter_with(false);
    let client = h.connect();
    let reply = reconfig(&mut h, &client, "server.2=zk2:2888:3888:observer;2181", -1);
    assert_eq!(reply.err, ErrorCode::ReconfigDisabled.code());
    assert_eq!(config(&h).version, 0, "a version comes with the first change that is possible");
}
