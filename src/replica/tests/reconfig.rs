//! A client changes the ensemble: one server by itself, and whole ensembles.

use super::cluster::{Cluster, config_text};
use super::harness::{Client, Harness, Reply, create, watch};
use crate::error::ErrorCode;
use crate::id::ServerId;
use crate::jute::Jute;
use crate::proto::OpCode;
use crate::proto::request::{ReconfigRequest, RequestBody};
use crate::proto::response::GetDataResponse;
use crate::quorum::Config;
use crate::quorum::PeerOptions;
use crate::replica::ReplicaOptions;

const CONFIG: &str = "/zookeeper/config";

/// Server 1, which leads as the only voter of its ensemble.
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
        // Only one of the two voters would be there.
        ("server.2=zk2:2888:3888;2181", -1, ErrorCode::NewConfigNoQuorum),
    ] {
        assert_eq!(reconfig(&mut h, &client, joining, expected).err, error.code(), "{joining}");
    }
    assert_eq!(config(&h), before);
    assert_eq!(reconfig(&mut h, &client, "server.2=zk2:2888:3888:observer;2181", -1).err, 0);
}

/// What once went wrong:
///
/// 1. The leader accepted the line of a client's reconfig.
/// 2. The leader could not read back the text that it wrote of it, and its process ended.
/// 3. The client repeated the reconfig at the next leader.
#[test]
fn a_change_that_nobody_could_read_is_refused_and_the_leader_lives() {
    let mut h = voter();
    let client = h.connect();
    for joining in [
        r"server.9=\:2888:3888:observer;2181",
        r"server.9=z:2888:3888:observer;\:2181",
        &format!("server.9=[::1%{}]:1:2:observer;2181", "z".repeat(250)),
    ] {
        let reply = reconfig(&mut h, &client, joining, -1);
        assert_eq!(reply.err, ErrorCode::BadArguments.code(), "{joining}");
    }
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

// ---- with several servers

fn ensemble(observers: i64) -> Cluster {
    let options = ReplicaOptions { reconfig: true, skip_acl: true, ..ReplicaOptions::default() };
    let peer = PeerOptions { reconfig: true, ..PeerOptions::default() };
    Cluster::with(3, observers, &options, &peer)
}

/// Asks server `at` for a change, and gives the configuration that the change makes.
fn change(cluster: &mut Cluster, at: i64, joining: Option<&str>, leaving: Option<&str>) -> Config {
    let client = cluster.connect(at);
    let body = RequestBody::Reconfig(ReconfigRequest {
        joining_servers: joining,
        leaving_servers: leaving,
        new_members: None,
        cur_config_id: -1,
    });
    let reply = cluster.call(at, &client, 7, OpCode::Reconfig, &body);
    assert_eq!(reply.err, 0);
    let data: GetDataResponse<'_> = reply.decode();
    let config = Config::from_bytes(data.data.unwrap()).unwrap();
    assert_eq!(config.version, reply.zxid);
    config
}

fn all_know(cluster: &Cluster, wanted: &Config) -> bool {
    cluster.servers.iter().filter(|(id, _)| cluster.is_up(**id)).all(|(_, server)| {
        let is_shown = config(server) == *wanted;
        is_shown && server.replica.peer().config().is_some_and(|config| **config == *wanted)
    })
}

fn writes(cluster: &mut Cluster, at: i64, path: &str) {
    let client = cluster.connect(at);
    let reply = cluster.call(at, &client, 1, OpCode::Create, &create(path, b"", 0));
    assert_eq!(reply.err, 0);
}

#[test]
fn an_observer_becomes_a_voter_and_the_leader_may_leave() {
    let mut cluster = ensemble(1);
    let (leader, follower) = (cluster.leader().unwrap(), cluster.follower());
    let voter = "server.4=127.0.0.1:2004:3004:participant;5004";
    let config = change(&mut cluster, follower, Some(voter), None);
    cluster.until("all know that 4 votes", |c| all_know(c, &config) && c.all_serve());
    assert!(config.is_voter(ServerId(4)));
    writes(&mut cluster, 4, "/a");

    let config = change(&mut cluster, follower, None, Some(&leader.to_string()));
    assert!(!config.members.contains_key(&ServerId(leader)));
    // The removed leader hands over, and asks to follow without a vote.
    cluster.until("another one leads", |c| {
        let others_serve =
            c.servers.iter().all(|(id, s)| *id == leader || s.replica.service.ensemble.serves());
        c.leader().is_some_and(|other| other != leader) && others_serve
    });
    cluster.kill(leader);
    cluster.until("the others go on", |c| {
        c.leader().is_some() && all_know(c, &config) && c.all_serve()
    });
    writes(&mut cluster, follower, "/b");
    // Two servers are a quorum of the three voters now; of the four voters before they were none.
    let other = (1..=3).find(|id| ![leader, follower].contains(id)).unwrap();
    cluster.kill(other);
    cluster.until("two go on", |c| c.leader().is_some() && c.all_serve());
    writes(&mut cluster, 4, "/c");
}

#[test]
fn a_new_server_learns_from_the_leader_before_it_is_added() {
    let mut cluster = ensemble(0);
    let follower = cluster.follower();
    writes(&mut cluster, follower, "/a");
    let options = ReplicaOptions {
        reconfig: true,
        skip_acl: true,
        server_id: ServerId(4),
        tick_ms: 1000,
        ..ReplicaOptions::default()
    };
    let peer =
        PeerOptions { me: ServerId(4), reconfig: true, tick_ms: 1000, ..PeerOptions::default() };
    let with_itself = Config::parse(&config_text(4, 0)).unwrap();
    cluster.servers.insert(4, Harness::member(options, peer, with_itself));
    cluster.until("server 4 serves", Cluster::all_serve);
    assert!(cluster.server(4).replica.database().node("/a").is_some());

    let voter = "server.4=127.0.0.1:2004:3004:participant;5004";
    let config = change(&mut cluster, follower, Some(voter), None);
    cluster.until("all know that 4 votes", |c| all_know(c, &config) && c.all_serve());
    let leader = cluster.leader().unwrap();
    cluster.kill(leader);
    cluster.until("three go on", |c| c.leader().is_some() && c.all_serve());
    writes(&mut cluster, 4, "/b");
}

#[test]
fn a_server_that_was_away_hears_of_the_change_when_it_is_back() {
    let mut cluster = ensemble(0);
    let (leader, away) = (cluster.leader().unwrap(), cluster.follower());
    cluster.kill(away);
    let observer = "server.9=127.0.0.1:2009:3009:observer;5009";
    let config = change(&mut cluster, leader, Some(observer), None);
    cluster.start(away);
    cluster.until("it knows", |c| all_know(c, &config) && c.all_serve());
    writes(&mut cluster, away, "/a");
    cluster.settle_equal();
}

#[test]
fn an_observer_without_a_log_that_becomes_a_voter_logs_what_it_acknowledges() {
    let options = ReplicaOptions {
        reconfig: true,
        skip_acl: true,
        sync_enabled: false,
        ..ReplicaOptions::default()
    };
    let peer = PeerOptions { reconfig: true, ..PeerOptions::default() };
    let mut cluster = Cluster::with(3, 1, &options, &peer);
    let (leader, follower) = (cluster.leader().unwrap(), cluster.follower());
    let voter = "server.4=127.0.0.1:2004:3004:participant;5004";
    let config = change(&mut cluster, leader, Some(voter), None);
    cluster.until("all know that 4 votes", |c| all_know(c, &config) && c.all_serve());
    let config = change(&mut cluster, leader, None, Some(&follower.to_string()));
    cluster.until("all know", |c| all_know(c, &config) && c.all_serve());
    let other = (1..=3).find(|id| ![leader, follower].contains(id)).unwrap();
    cluster.kill(follower);
    cluster.kill(other);
    cluster.advance_ms(200);
    // The voters are the leader, server `other`, which is down, and server 4, so a write needs the acknowledgement
    // of 4.
    writes(&mut cluster, leader, "/acknowledged");
    let four = cluster.server(4);
    four.crash();
    assert!(four.replica.database().node("/acknowledged").is_some(), "its log has it");
}
