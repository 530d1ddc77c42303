//! How a server that comes back gets what it lacks: the missing transactions or a cut, as long as its history and
//! the leader's provably have a point in common, and the whole tree only where nothing proves that.

use super::cluster::Cluster;
use super::harness::create;
use crate::proto::OpCode;
use crate::quorum::PeerOptions;
use crate::replica::ReplicaOptions;

fn write(cluster: &mut Cluster, at: i64, paths: &[&str]) {
    let client = cluster.connect(at);
    for (xid, path) in (1..).zip(paths) {
        let reply = cluster.call(at, &client, xid, OpCode::Create, &create(path, b"", 0));
        assert_eq!(reply.err, 0);
    }
}

fn way(cluster: &Cluster, id: i64) -> &'static str {
    let peer = cluster.servers[&id].replica.peer();
    peer.as_member().unwrap().facts().sync_mode.expect("it follows")
}

fn comes_back(cluster: &mut Cluster, id: i64) -> &'static str {
    cluster.start(id);
    cluster.settle_equal();
    way(cluster, id)
}

fn ensemble(digest: bool, peer: &PeerOptions) -> (Cluster, i64, i64) {
    let options = ReplicaOptions { digest, ..ReplicaOptions::default() };
    let mut cluster = Cluster::with(3, 0, &options, peer);
    let (leader, follower) = (cluster.leader().unwrap(), cluster.follower());
    write(&mut cluster, leader, &["/a", "/b", "/c"]);
    cluster.settle_equal();
    (cluster, leader, follower)
}

#[test]
fn who_was_away_for_a_while_gets_what_is_missing() {
    for digest in [true, false] {
        let (mut cluster, leader, follower) = ensemble(digest, &PeerOptions::default());
        cluster.kill(follower);
        assert_eq!(comes_back(&mut cluster, follower), "DIFF", "nothing is missing");
        cluster.kill(follower);
        write(&mut cluster, leader, &["/d", "/e"]);
        assert_eq!(comes_back(&mut cluster, follower), "DIFF");
        // All three servers were down.
        (1..=3).for_each(|id| cluster.kill(id));
        (1..=3).for_each(|id| cluster.start(id));
        cluster.until("there is a leader", |cluster| {
            cluster.leader().is_some() && cluster.all_serve()
        });
        let leader = cluster.leader().unwrap();
        let mut followers = (1..=3).filter(|id| *id != leader);
        assert!(followers.all(|id| way(&cluster, id) == "DIFF"));
    }
}

#[test]
fn what_nobody_else_has_is_cut_off() {
    for digest in [true, false] {
        let (mut cluster, leader, _) = ensemble(digest, &PeerOptions::default());
        let client = cluster.connect(leader);
        cluster.settle_equal();
        cluster.cut_off(leader);
        cluster.send(leader, &client, 9, OpCode::Create, &create("/lost", b"", 0));
        cluster.server(leader).settle();
        cluster.kill(leader);
        cluster.until("the others have a leader", |cluster| {
            cluster.leader().is_some() && cluster.all_serve()
        });
        cluster.join(leader);
        assert_eq!(comes_back(&mut cluster, leader), "TRUNC");
        assert!(cluster.server(leader).replica.database().node("/lost").is_none());
    }
}

#[test]
fn whoever_got_the_whole_tree_knows_where_it_stands() {
    // A leader that may not read its log files, and keeps three transactions in memory.
    let peer = PeerOptions { commit_log_txns: 3, sync_from_log: false, ..PeerOptions::default() };
    let (mut cluster, leader, follower) = ensemble(true, &peer);
    cluster.kill(follower);
    write(&mut cluster, leader, &["/1", "/2", "/3", "/4", "/5", "/6"]);
    assert_eq!(comes_back(&mut cluster, follower), "SNAP");
    // First the same process connects again.
    cluster.cut_off(follower);
    cluster.until("it has noticed", |cluster| {
        !cluster.servers[&follower].replica.service.ensemble.serves()
    });
    cluster.join(follower);
    cluster.settle_equal();
    assert_eq!(way(&cluster, follower), "DIFF");
    // Then the server's next process connects, whose log is empty behind its snapshot.
    cluster.kill(follower);
    assert_eq!(comes_back(&mut cluster, follower), "DIFF");
}
