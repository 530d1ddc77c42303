//! A client gives up a server and goes on at another one. The requests that it sent on its old connection take
//! effect before those that it sends on the new one, or never (ZOOKEEPER-417).

use super::cluster::Cluster;
use super::forwarding::{become_, connect, follower, following, inbound, told, zxid};
use super::harness::{Client, create, set_data};
use super::questions::ask;
use crate::proto::request::RequestBody;
use crate::proto::{OpCode, Stat};
use crate::quorum::PeerOptions;
use crate::replica::ReplicaOptions;
use crate::session::Tenure;
use crate::zab::{Inbound, Standing};

fn data_of(cluster: &mut Cluster, at: i64, path: &str) -> Vec<u8> {
    cluster.server(at).replica.database().node(path).unwrap().data().unwrap().to_vec()
}

/// The leader, and two servers that follow it.
fn two_followers(cluster: &Cluster) -> (i64, i64, i64) {
    let leader = cluster.leader().unwrap();
    let mut followers = cluster.servers.keys().copied().filter(|id| *id != leader);
    (leader, followers.next().unwrap(), followers.next().unwrap())
}

fn next_leader(cluster: &mut Cluster, without: i64) {
    cluster.until("the others have a leader", |cluster| {
        let mut others = cluster.servers.iter().filter(|(id, _)| **id != without);
        others.any(|(id, server)| {
            cluster.is_up(*id)
                && server.replica.mode() == "leader"
                && server.replica.service.ensemble.serves()
        })
    });
}

#[test]
fn a_write_that_waited_for_the_same_leader_overtakes_nothing() {
    let mut cluster = Cluster::new(3);
    let (leader, f, g) = two_followers(&cluster);
    let old = cluster.connect(f);
    assert_eq!(cluster.call(f, &old, 1, OpCode::Create, &create("/x", b"", 0)).err, 0);
    cluster.cut_off(f);
    cluster.quiet();
    cluster.send(f, &old, 2, OpCode::SetData, &set_data("/x", b"old", -1));
    // The client hears nothing and gives up server F, which does not notice the end of the connection.
    let new = cluster.reopen(g, &old);
    assert_eq!(cluster.call(g, &new, 3, OpCode::SetData, &set_data("/x", b"new", -1)).err, 0);
    cluster.join(f);
    cluster.until("F is back", Cluster::all_serve);
    cluster.advance_ms(500);
    assert_eq!(data_of(&mut cluster, leader, "/x"), b"new");
    assert!(cluster.server(f).is_closed(old.conn));
    assert_eq!(cluster.call(g, &new, 4, OpCode::SetData, &set_data("/x", b"newer", -1)).err, 0);
}

#[test]
fn a_write_that_is_passed_on_again_to_the_next_leader_overtakes_nothing() {
    let mut cluster = Cluster::new(5);
    let (leader, f, g) = two_followers(&cluster);
    let old = cluster.connect(f);
    assert_eq!(cluster.call(f, &old, 1, OpCode::Create, &create("/x", b"", 0)).err, 0);
    // Server F passes the write on, but the bytes do not reach the leader.
    cluster.send(f, &old, 2, OpCode::SetData, &set_data("/x", b"old", -1));
    cluster.server(f).links.clear();
    cluster.cut_off(f);
    let new = cluster.reopen(g, &old);
    assert_eq!(cluster.call(g, &new, 3, OpCode::SetData, &set_data("/x", b"new", -1)).err, 0);
    cluster.kill(leader);
    next_leader(&mut cluster, f);
    cluster.join(f);
    cluster.until("F is back", Cluster::all_serve);
    cluster.advance_ms(500);
    let now = cluster.leader().unwrap();
    assert_eq!(data_of(&mut cluster, now, "/x"), b"new");
    assert!(cluster.server(f).is_closed(old.conn));
    assert_eq!(cluster.call(g, &new, 4, OpCode::SetData, &set_data("/x", b"newer", -1)).err, 0);
}

/// Two connections of one session are parked. The later one keeps the session, whichever server is back first.
#[test]
fn an_idle_connection_takes_no_session_from_a_later_one() {
    for observers in [0, 1] {
        let (options, peer) = (ReplicaOptions::default(), PeerOptions::default());
        let mut cluster = Cluster::with(5, observers, &options, &peer);
        let (leader, f, g) = two_followers(&cluster);
        let old = cluster.connect(f);
        assert_eq!(cluster.call(f, &old, 1, OpCode::Create, &create("/x", b"", 0)).err, 0);
        let new = cluster.reopen(g, &old);
        cluster.kill(leader);
        cluster.cut_off(g);
        next_leader(&mut cluster, g);
        cluster.advance_ms(100);
        cluster.join(g);
        cluster.until("G is back", Cluster::all_serve);
        cluster.advance_ms(100);
        assert!(!cluster.server(g).is_closed(new.conn), "it goes on through the loss of a leader");
        let reply = cluster.call(g, &new, 2, OpCode::SetData, &set_data("/x", b"new", -1));
        assert_eq!(reply.err, 0);
        cluster.send(f, &old, 3, OpCode::SetData, &set_data("/x", b"stray", -1));
        cluster.advance_ms(100);
        assert!(cluster.server(f).is_closed(old.conn));
        assert_eq!(data_of(&mut cluster, g, "/x"), b"new");
    }
}

/// Two followers, and a client of the first one whose write with xid 2 is proposed and not committed
/// yet: the disks of both stand still.
fn a_write_is_proposed() -> (Cluster, i64, i64, Client) {
    let mut cluster = Cluster::new(3);
    let (_, f, g) = two_followers(&cluster);
    let old = cluster.connect(f);
    assert_eq!(cluster.call(f, &old, 1, OpCode::Create, &create("/x", b"", 0)).err, 0);
    cluster.stalled.extend([f, g]);
    cluster.send(f, &old, 2, OpCode::SetData, &set_data("/x", b"old", -1));
    cluster.quiet();
    (cluster, f, g, old)
}

/// Some clients count their requests from 1 again on every connection (kazoo does).
#[test]
fn a_write_of_an_earlier_connection_with_the_same_xid_is_not_taken_for_the_later_one() {
    let (mut cluster, _, g, old) = a_write_is_proposed();
    let new = cluster.reopen(g, &old);
    cluster.send(g, &new, 2, OpCode::SetData, &set_data("/x", b"new", -1));
    cluster.quiet();
    cluster.stalled.clear();
    cluster.quiet();
    let replies = cluster.server(g).replies(new.conn);
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert_eq!((replies[0].xid, replies[0].err), (2, 0));
    assert_eq!(replies[0].decode::<Stat>().version, 2, "it is the reply of the later write");
    assert!(!cluster.server(g).is_closed(new.conn));
    assert_eq!(data_of(&mut cluster, g, "/x"), b"new");
}

/// The same where the client comes back to the server that it left.
#[test]
fn a_write_of_an_earlier_connection_to_the_same_server_with_the_same_xid_is_nobodys() {
    let (mut cluster, f, _, old) = a_write_is_proposed();
    cluster.server(f).close(old.conn);
    let new = cluster.reopen(f, &old);
    cluster.send(f, &new, 2, OpCode::SetData, &set_data("/x", b"new", -1));
    cluster.quiet();
    cluster.stalled.clear();
    cluster.quiet();
    let replies = cluster.server(f).replies(new.conn);
    let versions: Vec<i32> = replies.iter().map(|reply| reply.decode::<Stat>().version).collect();
    assert_eq!(versions, [2]);
    assert_eq!(data_of(&mut cluster, f, "/x"), b"new");
}

/// To the leader, a follower and the observers that learn from it are one server. The follower therefore closes a
/// connection whose client has taken up its session at such an observer.
#[test]
fn a_follower_lets_go_whom_an_observer_of_its_own_has() {
    let mut harness = follower();
    let old = connect(&mut harness, zxid(1, 1));
    become_(&mut harness, Standing::Looking);
    harness.send(old.conn, 2, OpCode::SetData, &set_data("/", b"old", -1));
    become_(&mut harness, following(2));
    let session = old.session;
    assert_eq!(told(&mut harness), [format!("keep {session} 10000")]);
    inbound(&mut harness, Inbound::TakenUpAtObserver { session });
    assert!(harness.is_closed(old.conn));
    let tenure = Some(Tenure { since: zxid(1, 1), turn: 0 });
    inbound(&mut harness, Inbound::Revalidated { session, valid: true, tenure });
    assert_eq!(told(&mut harness), [] as [&str; 0], "its write is not passed on");
    // The same holds for a new connection.
    let asking = ask(&mut harness, &old);
    inbound(&mut harness, Inbound::TakenUpAtObserver { session });
    assert!(harness.is_closed(asking));
    inbound(&mut harness, Inbound::Revalidated { session, valid: true, tenure });
    assert!(!harness.has_received(asking));
}

/// A question about a session that waited long takes no session from a connection that the client has made
/// meanwhile, at whichever server.
#[test]
fn a_question_that_waits_behind_another_takes_no_session_from_a_later_connection() {
    for goes_to_the_leader in [false, true] {
        let mut cluster = Cluster::new(3);
        let (leader, f, g) = two_followers(&cluster);
        let at = if goes_to_the_leader { leader } else { g };
        let (ending, old) = (cluster.connect(f), cluster.connect(g));
        assert_eq!(cluster.call(g, &old, 1, OpCode::Create, &create("/x", b"", 0)).err, 0);
        cluster.stalled.extend([f, g]);
        cluster.send(f, &ending, 9, OpCode::CloseSession, &RequestBody::Empty);
        cluster.quiet();
        let behind = ask(cluster.server(f), &ending);
        cluster.quiet();
        let early = Client { conn: ask(cluster.server(f), &old), ..old };
        cluster.send(f, &early, 2, OpCode::SetData, &set_data("/x", b"early", -1));
        cluster.quiet();
        assert!(!cluster.server(f).has_received(early.conn), "its question waits");
        let new = cluster.reopen(at, &old);
        cluster.send(at, &new, 3, OpCode::SetData, &set_data("/x", b"new", -1));
        cluster.quiet();
        cluster.stalled.clear();
        cluster.advance_ms(100);
        assert!(cluster.server(f).is_closed(behind), "its session is over");
        let replies = cluster.server(at).replies(new.conn);
        assert_eq!(replies.iter().map(|r| (r.xid, r.err)).collect::<Vec<_>>(), [(3, 0)]);
        assert_eq!(data_of(&mut cluster, leader, "/x"), b"new");
        let reply = cluster.call(at, &new, 4, OpCode::SetData, &set_data("/x", b"newer", -1));
        assert_eq!(reply.err, 0);
        assert!(cluster.server(f).is_closed(early.conn));
    }
}
