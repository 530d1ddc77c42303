//! Clients of several servers that are one ensemble.

use super::cluster::Cluster;
use super::harness::{create, path, set_data, watch};
use crate::proto::OpCode;
use crate::proto::request::RequestBody;
use crate::quorum::PeerOptions;
use crate::replica::ReplicaOptions;

const PING: i32 = -2;

fn fill(cluster: &mut Cluster, at: i64, nodes: std::ops::Range<u32>) {
    let client = cluster.connect(at);
    for node in nodes {
        let reply =
            cluster.call(at, &client, 1, OpCode::Create, &create(&format!("/n{node}"), b"x", 0));
        assert_eq!(reply.err, 0);
    }
    cluster.call(at, &client, 2, OpCode::CloseSession, &RequestBody::Empty);
}

#[test]
fn a_write_on_a_follower_is_read_there_and_seen_everywhere() {
    let mut cluster = Cluster::new(3);
    let (leader, follower) = (cluster.leader().unwrap(), cluster.follower());
    let watcher = cluster.connect(leader);
    cluster.call(leader, &watcher, 1, OpCode::Exists, &watch("/a", true));
    let client = cluster.connect(follower);
    cluster.send(follower, &client, 1, OpCode::Create, &create("/a", b"one", 0));
    cluster.send(follower, &client, 2, OpCode::GetData, &watch("/a", false));
    cluster.quiet();
    assert_eq!(cluster.server(follower).errors(client.conn), [(1, 0), (2, 0)]);
    let events = cluster.server(leader).replies(watcher.conn);
    assert_eq!(events[0].event(), (1, "/a".to_owned()));
    cluster.advance_ms(500);
    cluster.settle_equal();
}

#[test]
fn a_sync_on_a_follower_shows_what_was_written_elsewhere_before() {
    let mut cluster = Cluster::new(3);
    let (leader, follower) = (cluster.leader().unwrap(), cluster.follower());
    let writer = cluster.connect(leader);
    let reader = cluster.connect(follower);
    assert_eq!(cluster.call(leader, &writer, 1, OpCode::Create, &create("/a", b"", 0)).err, 0);
    assert_eq!(cluster.call(follower, &reader, 1, OpCode::Sync, &path("/a")).err, 0);
    assert_eq!(cluster.call(follower, &reader, 2, OpCode::Exists, &watch("/a", false)).err, 0);
}

#[test]
fn ephemeral_nodes_go_with_their_session_wherever_it_lived() {
    let mut cluster = Cluster::new(3);
    let (leader, follower) = (cluster.leader().unwrap(), cluster.follower());
    let client = cluster.connect(follower);
    let kept = cluster.connect(follower);
    cluster.call(follower, &client, 1, OpCode::Create, &create("/gone", b"", 1));
    cluster.call(follower, &kept, 1, OpCode::Create, &create("/kept", b"", 1));
    for _ in 0..15 {
        cluster.call(follower, &kept, PING, OpCode::Ping, &RequestBody::Empty);
        cluster.advance_ms(1000);
    }
    let database = cluster.server(leader).replica.database();
    assert!(database.node("/gone").is_none(), "nothing was heard of its session");
    assert!(database.node("/kept").is_some(), "its learner has told the leader of it");
    assert!(cluster.server(follower).is_closed(client.conn));
    cluster.settle_equal();
}

#[test]
fn a_session_moves_with_its_ephemeral_nodes_and_its_old_server_may_write_no_more() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.leader().unwrap();
    let followers: Vec<i64> = (1..=3).filter(|id| *id != leader).collect();
    let old = cluster.connect(followers[0]);
    cluster.call(followers[0], &old, 1, OpCode::Create, &create("/e", b"", 1));
    for at in [followers[1], leader] {
        let new = cluster.reopen(at, &old);
        assert_eq!(new.session, old.session);
        assert_eq!(cluster.call(at, &new, 2, OpCode::SetData, &set_data("/e", b"2", -1)).err, 0);
    }
    cluster.send(followers[0], &old, 3, OpCode::SetData, &set_data("/e", b"3", -1));
    cluster.quiet();
    assert!(cluster.server(followers[0]).is_closed(old.conn), "SESSIONMOVED ends the connection");
    let data = cluster.server(leader).replica.database().node("/e").unwrap().data().unwrap();
    assert_eq!(data, b"2");
}

#[test]
fn connections_outlive_the_leader_they_have_lost() {
    let mut cluster = Cluster::new(3);
    let (leader, follower) = (cluster.leader().unwrap(), cluster.follower());
    let client = cluster.connect(follower);
    cluster.call(follower, &client, 1, OpCode::Create, &create("/a", b"", 1));
    cluster.kill(leader);
    cluster.until("the loss is noticed", |c| c.leader().is_none());
    let reply = cluster.call(follower, &client, 2, OpCode::SetData, &set_data("/a", b"1", -1));
    assert_eq!(reply.err, 0, "the write has waited for the next leader");
    assert!(cluster.leader().is_some());
    cluster.start(leader);
    cluster.until("it is back", Cluster::all_serve);
    cluster.settle_equal();
}

#[test]
fn writes_go_on_exactly_once_over_many_elections() {
    let mut cluster = Cluster::new(3);
    let mut version = 0;
    let first = cluster.follower();
    let mut client = cluster.connect(first);
    cluster.call(first, &client, 1, OpCode::Create, &create("/a", b"", 0));
    for round in 0..6 {
        // The client stays at one server, while the leaders among the others are killed one after the other.
        let Some(leader) = cluster.leader() else { panic!("round {round}") };
        for _ in 0..3 {
            cluster.send(first, &client, 5, OpCode::SetData, &set_data("/a", b"1", -1));
        }
        if leader == first {
            cluster.quiet();
        } else {
            cluster.kill(leader);
            cluster.until("the others go on", |c| c.leader().is_some() && c.all_serve());
            cluster.advance_ms(100);
        }
        let replies = cluster.server(first).errors(client.conn);
        let closed = cluster.server(first).is_closed(client.conn);
        let node = cluster.server(first).replica.database().node("/a").unwrap();
        let written = node.stat().version - version;
        version += written;
        if closed {
            // The follower lost the leader before it saw proposals of these writes.
            assert!(leader != first && (0..=3).contains(&written), "round {round}");
            client = cluster.reopen(first, &client);
        } else {
            assert_eq!((replies, written), (vec![(5, 0); 3], 3), "round {round}");
        }
        if leader != first {
            cluster.start(leader);
        }
        cluster.until("all are back", Cluster::all_serve);
    }
    cluster.settle_equal();
}

#[test]
fn what_a_deposed_leader_logged_alone_is_cut_off() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.leader().unwrap();
    fill(&mut cluster, leader, 0..5);
    let client = cluster.connect(leader);
    cluster.cut_off(leader);
    for xid in 1..4 {
        let name = format!("/lost{xid}");
        cluster.send(leader, &client, xid, OpCode::Create, &create(&name, b"", 0));
    }
    cluster.until("the others have a leader", |c| {
        c.servers.iter().any(|(id, s)| {
            *id != leader && s.replica.mode() == "leader" && s.replica.service.ensemble.serves()
        })
    });
    assert_eq!(cluster.server(leader).replies(client.conn), [], "nothing was acknowledged");
    let other = (1..=3).find(|id| *id != leader && cluster.servers[id].replica.mode() == "leader");
    fill(&mut cluster, other.unwrap(), 10..12);
    cluster.join(leader);
    cluster.until("it is back", Cluster::all_serve);
    cluster.advance_ms(500);
    cluster.settle_equal();
    assert!(cluster.server(leader).replica.database().node("/lost1").is_none());
    cluster.kill(leader);
    cluster.start(leader);
    cluster.until("it is back again", Cluster::all_serve);
    cluster.settle_equal();
}

#[test]
fn learners_far_behind_get_the_whole_tree() {
    let peer = PeerOptions { commit_log_txns: 5, sync_from_log: false, ..PeerOptions::default() };
    let mut cluster = Cluster::with(3, 0, &ReplicaOptions::default(), &peer);
    let follower = cluster.follower();
    cluster.kill(follower);
    cluster.until("there is a leader", |c| c.leader().is_some() && c.all_serve());
    let leader = cluster.leader().unwrap();
    fill(&mut cluster, leader, 0..40);
    cluster.start(follower);
    cluster.until("it is back", Cluster::all_serve);
    cluster.advance_ms(200);
    cluster.settle_equal();
    fill(&mut cluster, follower, 40..50);
    // The follower's folder is whole: a restart finds everything.
    cluster.kill(follower);
    cluster.start(follower);
    assert!(cluster.server(follower).replica.database().node("/n39").is_some());
    cluster.until("it is back again", Cluster::all_serve);
    cluster.settle_equal();
}

#[test]
fn observers_serve_as_followers_do() {
    let options = ReplicaOptions::default();
    let mut cluster = Cluster::with(3, 1, &options, &PeerOptions::default());
    assert_eq!(cluster.server(4).replica.mode(), "observer");
    let client = cluster.connect(4);
    assert_eq!(cluster.call(4, &client, 1, OpCode::Create, &create("/a", b"", 1)).err, 0);
    assert_eq!(cluster.call(4, &client, 2, OpCode::Sync, &path("/a")).err, 0);
    cluster.call(4, &client, 3, OpCode::CloseSession, &RequestBody::Empty);
    cluster.advance_ms(200);
    cluster.settle_equal();
    assert!(cluster.server(1).replica.database().node("/a").is_none());
}

#[test]
fn local_sessions_live_on_their_server_and_become_global_for_an_ephemeral_node() {
    let options = ReplicaOptions {
        local_sessions: true,
        local_sessions_upgrading: true,
        ..ReplicaOptions::default()
    };
    let mut cluster = Cluster::with(3, 0, &options, &PeerOptions::default());
    let leader = cluster.leader().unwrap();
    for at in 1..=3 {
        let client = cluster.connect(at);
        let name = format!("/p{at}");
        assert_eq!(cluster.call(at, &client, 1, OpCode::Create, &create(&name, b"", 0)).err, 0);
        assert_eq!(
            cluster.server(leader).replica.global_sessions_count(),
            usize::try_from(at - 1).unwrap()
        );
        let name = format!("/e{at}");
        assert_eq!(cluster.call(at, &client, 2, OpCode::Create, &create(&name, b"", 1)).err, 0);
        assert_eq!(
            cluster.server(leader).replica.global_sessions_count(),
            usize::try_from(at).unwrap()
        );
        assert_eq!(cluster.server(at).replica.local_sessions_count(), 0);
    }
}

#[test]
fn an_ensemble_that_was_stopped_comes_back_with_everything() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.leader().unwrap();
    fill(&mut cluster, leader, 0..20);
    let client = cluster.connect(2);
    cluster.call(2, &client, 1, OpCode::Create, &create("/e", b"", 1));
    for id in 1..=3 {
        cluster.kill(id);
    }
    for id in 1..=3 {
        cluster.start(id);
    }
    cluster.until("every server serves", Cluster::all_serve);
    cluster.settle_equal();
    let again = cluster.reopen(3, &client);
    assert_eq!(cluster.call(3, &again, 2, OpCode::Exists, &watch("/e", false)).err, 0);
}

/// Fills the disk of the leader, and watches the ensemble for three minutes. Gives the tenths of a second in which a
/// leader had room, all tenths of a second, and the story line by line.
fn full_disk_of_the_leader(small_files: bool) -> (usize, usize, Vec<String>) {
    let mut cluster = Cluster::new(3);
    let leader = cluster.leader().unwrap();
    let follower = cluster.follower();
    let client = cluster.connect(follower);
    cluster.call(follower, &client, 1, OpCode::Create, &create("/a", b"", 0));
    cluster.server(leader).disk_full = true;
    cluster.server(leader).files_full = small_files;
    let data = vec![b'x'; 900_000];
    for xid in 2..14 {
        cluster.send(follower, &client, xid, OpCode::SetData, &set_data("/a", &data, -1));
        cluster.quiet();
    }
    let mut lines = vec![format!(
        "leader {leader}, full: {}",
        cluster.server(leader).replica.service.pipeline.is_disk_full()
    )];
    let mut last = String::new();
    let (mut good, mut all) = (0, 0);
    let mut written = 0;
    for step in 0..1800 {
        cluster.advance_ms(100);
        all += 1;
        let now = match cluster.leader() {
            None => "nobody leads".to_owned(),
            Some(id) if cluster.servers[&id].replica.service.pipeline.is_disk_full() => {
                format!("{id} leads, its disk is full")
            }
            Some(id) => format!("{id} leads"),
        };
        if now != last {
            lines.push(format!("{}.{} s: {now}", step / 10, step % 10));
            last = now;
        }
        // Once a second, a client tries to begin a session at the follower, if that serves.
        if step % 10 == 0 {
            let at = follower;
            if cluster.servers[&at].replica.service.ensemble.serves() {
                let conn = cluster.server(at).open();
                cluster.server(at).send_connect(conn, super::harness::new_session());
                let mut done = false;
                for _ in 0..50 {
                    cluster.advance_ms(10);
                    if cluster.server(at).has_received(conn) {
                        done = true;
                        break;
                    }
                }
                written += usize::from(done);
                cluster.server(at).close(conn);
            }
        }
        good += usize::from(
            cluster
                .leader()
                .is_some_and(|id| !cluster.servers[&id].replica.service.pipeline.is_disk_full()),
        );
    }
    lines.push(format!("good for {good} of {all} tenths of a second, {written} new sessions"));
    (good, all, lines)
}

/// A leader whose disk is full gives up the lead, and is not elected again while its disk is full.
#[test]
fn a_leader_whose_disk_is_full_makes_way_and_stays_away() {
    for small_files in [false, true] {
        let (good, all, lines) = full_disk_of_the_leader(small_files);
        let story = format!("small files fail as well: {small_files}\n{}", lines.join("\n"));
        println!("{story}");
        assert!(good * 100 >= all * 94, "{story}");
    }
}
