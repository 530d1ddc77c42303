//! Two histories in one ensemble, which are never mixed, whichever servers start first.

use super::server::Server;
use super::servers::Ensemble;
use super::*;

fn contents(server: &Server) -> Vec<i32> {
    server.state.applied.iter().map(|(_, content)| *content).collect()
}

/// Five servers go through some epochs; then four of them begin anew.
fn four_of_five_begin_anew(seed: u64) -> Ensemble {
    some_of_five_begin_anew(seed, 4)
}

/// Five servers go through some epochs; then `anew` of them begin anew.
fn some_of_five_begin_anew(seed: u64, anew: usize) -> Ensemble {
    let mut it = Ensemble::new(seed, 5, 0);
    for _ in 0..3 {
        it.start_all();
        it.run_until(10_000, "served by all", |it| it.servers.iter().all(Server::serves));
        it.write();
        it.run_ms(100);
        (0..5).for_each(|at| it.crash(at));
    }
    for at in 0..anew {
        it.servers[at].wipe();
    }
    it.forget_history();
    it
}

/// The first `first` servers serve and write by themselves, and then all servers start.
fn serve_then_start_all(it: &mut Ensemble, first: usize) {
    (0..first).for_each(|at| it.start(at));
    it.run_until(10_000, "served by some", |it| it.servers[..first].iter().all(Server::serves));
    it.write();
    it.run_ms(100);
    (0..first).for_each(|at| it.crash(at));
    it.start_all();
}

/// ZooKeeper's QuorumZxidSyncTest, testBehindLeader.
#[test]
fn who_has_followed_a_later_epoch_is_kept_out_by_an_ensemble_that_works() {
    let mut it = four_of_five_begin_anew(21);
    (0..4).for_each(|at| it.start(at));
    it.run_until(10_000, "served by four", |it| it.servers[..4].iter().all(Server::serves));
    it.write();
    it.run_ms(100);
    let leader = it.leader();
    it.start(4);
    it.run_ms(10_000);
    assert_eq!(it.leader(), leader, "the leader keeps the lead");
    assert_eq!(it.reigns.iter().filter(|at| Some(**at) == leader).count(), it.reigns[3..].len());
    assert!(it.servers[..4].iter().all(Server::serves) && !it.servers[4].serves());
    it.write();
    it.run_ms(100);
    for at in 0..4 {
        assert_eq!(contents(&it.servers[at]), [4, 5], "server {}", at + 1);
    }
    assert_eq!(contents(&it.servers[4]), [1, 2, 3]);
    // An operator does what the log of that server suggests.
    it.crash(4);
    it.servers[4].wipe();
    it.recover();
}

/// As above, but all five servers start again. The fifth server has followed the latest epoch, so it is elected, but
/// no server with another history takes over its history.
#[test]
fn who_leads_with_another_history_gets_no_quorum() {
    let mut it = four_of_five_begin_anew(22);
    serve_then_start_all(&mut it, 4);
    it.run_ms(10_000);
    // No server has mixed the two histories.
    for at in 0..4 {
        assert_eq!(contents(&it.servers[at]), [4], "server {}", at + 1);
    }
    assert!(!it.servers[4].serves());
    it.crash(4);
    it.run_until(10_000, "served by four", |it| it.servers[..4].iter().all(Server::serves));
    it.servers[4].wipe();
    it.recover();
}

fn the_fifth_is_kept_out_of_a_start_of_all(it: &mut Ensemble) {
    let before = contents(&it.servers[0]);
    (0..4).for_each(|at| it.crash(at));
    it.start_all();
    it.run_ms(10_000);
    for at in 0..4 {
        assert_eq!(contents(&it.servers[at]), before, "server {}", at + 1);
    }
    assert!(!it.servers[4].serves());
}

/// The new history is far longer than the old one, so few of its zxids are in the old one.
#[test]
fn who_leads_with_a_short_history_gets_no_quorum_of_a_long_one() {
    let mut it = four_of_five_begin_anew(25);
    it.options.commit_log_txns = 500;
    (0..4).for_each(|at| it.start(at));
    it.run_until(10_000, "served by four", |it| it.servers[..4].iter().all(Server::serves));
    for _ in 0..310 {
        it.write();
        it.run_ms(10);
    }
    it.run_ms(100);
    the_fifth_is_kept_out_of_a_start_of_all(&mut it);
}

/// A server avoids a leader that it cannot follow, each time for longer. The three servers meet the other two one
/// after the other, and must avoid both at the same time.
#[test]
fn two_of_a_later_epoch_keep_three_of_another_history_from_leading_for_a_while_only() {
    for seed in 30..40 {
        let mut it = some_of_five_begin_anew(seed, 3);
        serve_then_start_all(&mut it, 3);
        it.run_until(40_000, "served by three", |it| it.servers[..3].iter().all(Server::serves));
        assert!(!it.servers[3].serves() && !it.servers[4].serves(), "seed {seed}");
    }
}

/// The new history has grown past what memory holds, so the servers remember no common zxid. Only the origins of the
/// two histories tell them apart.
#[test]
fn histories_that_remember_no_common_zxid_are_told_apart_by_their_origin() {
    let mut it = four_of_five_begin_anew(27);
    (0..4).for_each(|at| it.start(at));
    it.run_until(10_000, "served by four", |it| it.servers[..4].iter().all(Server::serves));
    for _ in 0..4 * it.options.commit_log_txns {
        it.write();
        it.run_ms(10);
    }
    it.run_ms(100);
    let origins: Vec<_> = it.servers.iter().map(|server| server.disk.epochs.origin).collect();
    assert!(origins[0].is_some() && origins[4].is_some() && origins[0] != origins[4]);
    assert!(origins[..4].iter().all(|origin| *origin == origins[0]));
    the_fifth_is_kept_out_of_a_start_of_all(&mut it);
}

/// Two of three servers share a history. The third one has a vote, and cannot follow the leader that it elects.
#[test]
fn who_can_follow_nobody_keeps_nobody_from_leading() {
    let mut it = Ensemble::new(26, 3, 0);
    let long = [(1, 1), (1, 2), (3, 1), (3, 2)];
    for (at, base, log) in [(0, 0, &long[..3]), (1, 100, &long[..2]), (2, 0, &long[..])] {
        let zxids = log.iter().map(|(epoch, counter)| Zxid::new(Epoch(*epoch), *counter));
        let disk = &mut it.servers[at].disk;
        disk.log = (1..).zip(zxids).map(|(n, zxid)| txn(zxid, base + n)).collect();
        let epoch = Epoch(log.last().unwrap().0);
        disk.epochs = Epochs::new(epoch, epoch);
    }
    it.start(0);
    it.start(1);
    it.run_ms(200);
    it.start(2);
    it.run_until(10_000, "served by two", |it| it.servers[0].serves() && it.servers[2].serves());
    assert!(!it.servers[1].serves());
}

/// The zxids and the epochs of both histories are equal; only the transactions differ.
#[test]
fn who_has_the_same_zxids_of_another_history_gets_no_difference() {
    let mut it = Ensemble::new(23, 3, 0);
    let zxid = |counter| Zxid::new(Epoch(1), counter);
    for at in 0..3 {
        let base = if at == 2 { 100 } else { 0 };
        let disk = &mut it.servers[at].disk;
        disk.log = (1..4).map(|n| txn(zxid(n), base + i32::try_from(n).unwrap())).collect();
        disk.epochs = Epochs::new(Epoch(1), Epoch(1));
    }
    it.start(0);
    it.start(1);
    it.run_until(10_000, "served by two", |it| it.servers[..2].iter().all(Server::serves));
    it.start(2);
    it.run_ms(5_000);
    assert!(it.leader().is_some() && !it.servers[2].serves());
    it.write();
    it.run_ms(100);
    assert_eq!(contents(&it.servers[0])[..3], [1, 2, 3]);
    assert_eq!(contents(&it.servers[0]), contents(&it.servers[1]));
    assert_eq!(contents(&it.servers[2]), [101, 102, 103]);
}

/// A server has promised to follow a leader of a later epoch, which got no further. The promise neither keeps the
/// server out nor takes the lead from the leader that the others have found.
#[test]
fn who_has_only_accepted_a_later_epoch_follows_without_a_vote() {
    let mut it = Ensemble::new(24, 3, 0);
    it.start(0);
    it.start(1);
    it.run_until(10_000, "served by two", |it| it.servers[..2].iter().all(Server::serves));
    it.write();
    it.run_ms(100);
    let leader = it.leader();
    it.servers[2].disk.epochs = Epochs::new(Epoch(9), Epoch(0));
    it.start(2);
    it.run_until(2_000, "served by all", |it| it.servers.iter().all(Server::serves));
    assert_eq!(it.leader(), leader);
    // The leader does not count the server for a quorum.
    let other = (0..2).find(|at| Some(*at) != leader).unwrap();
    it.crash(other);
    let committed = it.committed.len();
    it.write();
    it.run_ms(50);
    assert_eq!(it.committed.len(), committed);
    // The next leader counts the server, in a later epoch than the server had accepted.
    it.run_until(5_000, "led again", |it| it.leader().is_some() && it.reigns.len() > 1);
    it.run_until(5_000, "committed", |it| it.committed.len() > committed);
    assert_eq!(it.servers[2].disk.epochs.current, Epoch(10));
    it.recover();
}
