//! Scenarios of a whole ensemble, each from a seed: elections, writes, crashes, observers, reconfigurations.

use super::server::{Incident, State};
use super::servers::Ensemble;
use super::*;
use crate::id::{Epoch, SessionId};
use crate::session::Tenure;
use crate::zab::{PassedRequest, SessionScope};

fn sync_of(session: SessionId) -> PassedRequest<'static> {
    PassedRequest {
        session,
        scope: SessionScope::Global,
        cxid: 1,
        op: OpCode::Sync.number(),
        body: b"",
        identities: &[],
    }
}

fn serving(seed: u64, voters: usize, observers: usize) -> Ensemble {
    let mut it = Ensemble::new(seed, voters, observers);
    it.start_all();
    it.run_until(10_000, "served by all", |it| it.servers.iter().all(|s| s.serves()));
    it
}

#[test]
fn three_servers_elect_one_and_agree() {
    let mut it = serving(1, 3, 0);
    assert_eq!(it.leader(), Some(2));
    assert!(it.now < 2_500_000, "it took until {}", it.now);
    for _ in 0..20 {
        it.write();
        it.run_ms(1);
    }
    it.recover();
    assert_eq!(it.committed.len(), 23);
}

#[test]
fn a_server_on_its_own_may_be_an_ensemble() {
    let mut it = serving(2, 1, 0);
    it.write();
    it.recover();
    it.crash(0);
    it.start(0);
    it.recover();
    assert_eq!(it.reigns, [0, 0]);
}

#[test]
fn observers_learn_and_do_not_decide() {
    let mut it = serving(3, 3, 2);
    it.write();
    it.crash(3);
    it.crash(4);
    it.write();
    it.run_ms(100);
    it.recover();
    // Observers make no quorum.
    it.crash(0);
    it.crash(1);
    it.run_until(5_000, "without a leader", |it| it.leader().is_none());
    it.run_ms(3_000);
    assert_eq!(it.leader(), None);
    it.recover();
}

#[test]
fn when_the_leader_is_gone_another_one_leads() {
    let mut it = serving(4, 3, 0);
    for _ in 0..10 {
        it.write();
    }
    let former = it.leader().unwrap();
    it.crash(former);
    let crashed_at = it.now;
    it.run_until(5_000, "led by another", |it| it.leader().is_some());
    assert!(it.now - crashed_at < 1_000_000, "it took {} us", it.now - crashed_at);
    for _ in 0..10 {
        it.write();
    }
    it.run_ms(100);
    it.recover();
    assert_ne!(it.leader(), Some(former));
}

#[test]
fn a_leader_that_loses_its_quorum_steps_down_and_what_it_proposed_alone_goes() {
    let mut it = serving(5, 3, 0);
    it.write();
    it.run_ms(50);
    let former = it.leader().unwrap();
    for at in (0..3).filter(|at| *at != former) {
        it.network.cut.insert((at.min(former), at.max(former)));
    }
    // Nobody hears of these.
    for _ in 0..4 {
        it.write();
    }
    it.run_until(5_000, "led by another", |it| it.leader().is_some_and(|at| at != former));
    it.write();
    it.run_ms(3_000);
    assert!(!it.servers[former].serves());
    it.recover();
}

#[test]
fn a_server_that_was_away_for_long_gets_the_whole_tree() {
    let mut it = serving(6, 3, 0);
    it.options.sync_from_log = false;
    it.crash(0);
    for _ in 0..50 {
        it.write();
        it.run_ms(1);
    }
    it.recover();
}

#[test]
fn the_end_of_an_epoch_begins_another() {
    let mut it = Ensemble::new(7, 3, 0);
    it.options.initial_counter = u32::MAX - 5;
    it.start_all();
    it.run_until(10_000, "served by all", |it| it.servers.iter().all(|s| s.serves()));
    it.options.initial_counter = 0;
    for _ in 0..40 {
        it.write();
        it.run_ms(100);
    }
    assert!(it.reigns.len() > 1, "{:?}", it.reigns);
    it.recover();
}

/// It goes like this: 1. A server at 1:2 got the tree as of 1:9 from a leader that then did not lead. 2. The next leader
/// is at 1:7. 3. Cut at 1:7 it would stand at 1:2, and believe to be at 1:7. It says nothing of 1:7, so it gets the tree.
#[test]
fn a_tree_ahead_of_the_leader_is_replaced_and_not_cut() {
    let mut it = Ensemble::new(10, 3, 0);
    it.options.commit_log_txns = 100;
    let zxid = |counter: i32| Zxid::new(Epoch(1), counter.unsigned_abs());
    let log: Vec<Txn> = (1..=9).map(|counter| txn(zxid(counter), counter)).collect();
    for at in 1..3 {
        it.servers[at].disk.log = log[..7].to_vec();
        it.servers[at].disk.epochs = Epochs::new(Epoch(1), Epoch(1));
        it.start(at);
    }
    it.run_until(5_000, "led", |it| it.leader().is_some());
    let mut tree = State::default();
    log.iter().for_each(|txn| tree.apply(txn));
    let disk = &mut it.servers[0].disk;
    disk.log = log[..2].to_vec();
    disk.snapshots.push(tree);
    disk.epochs = Epochs::new(Epoch(1), Epoch(0));
    it.start(0);
    it.recover();
    assert_eq!(it.committed.len(), 10);
    let facts = it.servers[0].member.as_ref().unwrap().facts();
    assert_eq!((facts.sync_mode, facts.counts.lookings), (Some("SNAP"), 1));
}

/// ZOOKEEPER-2325. 1. Something is committed by 1 and 3. 2. All stop, and 1 loses its disk. 3. 1 and 2
/// start: they are a quorum, and know nothing of it.
#[test]
fn a_server_that_lost_its_disk_does_not_vote_before_it_has_it_again() {
    let mut it = serving(11, 3, 0);
    it.crash(1);
    for _ in 0..10 {
        it.write();
    }
    it.run_ms(100);
    let before = it.committed.len();
    it.crash(0);
    it.crash(2);
    let nothing = State { applied: Vec::new(), last: Zxid::NONE };
    let disk = &mut it.servers[0].disk;
    disk.snapshots = vec![nothing];
    disk.log.clear();
    disk.epochs = Epochs::new(Epoch(0), Epoch(0));
    it.start(0);
    it.start(1);
    it.run_ms(5_000);
    assert_eq!(it.leader(), None);
    it.start(2);
    it.recover();
    assert_eq!(it.committed.len(), before + 3);
}

/// The folder of the server that would lead says an epoch that a stranger has said to an older release.
#[test]
fn a_server_whose_folder_says_too_late_an_epoch_does_not_keep_the_others_from_leading() {
    for accepted in [Epoch::LAST, Epoch(2_000_000_000)] {
        let mut it = serving(12, 3, 0);
        it.write();
        it.run_ms(100);
        (0..3).for_each(|at| it.crash(at));
        it.servers[2].disk.epochs.accepted = accepted;
        (0..3).for_each(|at| it.start(at));
        it.run_until(60_000, "led by another", |it| {
            it.leader() == Some(1) && it.servers[0].serves()
        });
        it.write();
        it.run_ms(100);
        let spread = (0..2).map(|at| it.servers[at].disk.epochs.accepted).max().unwrap();
        assert!(spread < Epoch(100), "epoch {spread} is on the disks of others");
        assert!(!it.servers[2].serves());
        // The way out.
        it.crash(2);
        it.servers[2].disk.epochs.accepted = it.servers[1].disk.epochs.current;
        it.start(2);
        it.recover();
    }
}

fn with_masters(it: &mut Ensemble) {
    it.options.observer_master = Some(Endpoint { host: "127.0.0.1".to_owned(), port: 2889 });
    it.options.observer_master_port = Some(2889);
}

#[test]
fn observers_learn_from_followers() {
    let mut it = Ensemble::new(9, 3, 2);
    with_masters(&mut it);
    it.start_all();
    it.run_until(10_000, "served by all", |it| it.servers.iter().all(|s| s.serves()));
    let master = |it: &Ensemble, at: usize| {
        it.servers[at].member.as_ref().unwrap().facts().learner_master.unwrap()
    };
    let leader = it.servers[it.leader().unwrap()].id;
    assert_ne!(master(&it, 3), leader);
    assert_ne!(master(&it, 4), leader);
    for _ in 0..20 {
        it.write();
        it.run_ms(2);
    }
    // What they ask goes over their master to the leader and back.
    let observer = &mut it.servers[3];
    let member = observer.member.as_mut().unwrap();
    member.forward(&sync_of(SessionId(1)));
    member.revalidate(SessionId(5), 4000, None);
    it.take_turn(3);
    let follower = usize::try_from(master(&it, 3).0 - 1).unwrap();
    let member = it.servers[follower].member.as_mut().unwrap();
    member.forward(&sync_of(SessionId(2)));
    it.take_turn(follower);
    it.run_until(1_000, "answered", |it| {
        let mut answers = it.servers[3].answers.clone();
        answers.sort();
        answers == ["session 5 true", "synced"]
            && it.servers[follower].answers.contains(&"synced".to_owned())
    });
    // The answer to the master's own question about the same session is its own.
    it.servers[3].answers.clear();
    it.servers[3].member.as_mut().unwrap().revalidate(SessionId(6), 4000, None);
    it.take_turn(3);
    let kept = Some(Tenure { since: Zxid::new(Epoch(1), 1), turn: 1 });
    it.servers[follower].member.as_mut().unwrap().revalidate(SessionId(6), 4000, kept);
    it.run_ms(1_000);
    assert_eq!(it.servers[3].answers, ["session 6 true"]);
    assert!(it.servers[follower].answers.contains(&"session 6 false".to_owned()));
    // When the master goes, they find another one.
    it.crash(follower);
    it.write();
    it.run_until(5_000, "served by observers", |it| {
        it.servers[3].serves() && master(it, 3) != it.servers[follower].id
    });
    it.recover();
}

fn lines(roles: &[(usize, &str)]) -> String {
    let line = |(id, role): &(usize, &str)| format!("server.{id}=h{id}:2888:3888:{role}\n");
    roles.iter().map(line).collect()
}

#[test]
fn servers_join_change_their_role_and_go() {
    let mut it = Ensemble::new(8, 4, 0);
    it.options.reconfig = true;
    let three = [(1, "participant"), (2, "participant"), (3, "participant")];
    it.config = Config::parse(&format!("{}version=0", lines(&three))).unwrap();
    // The one that joins has itself in its file.
    let joining = [&three[..], &[(4, "observer")]].concat();
    it.own_configs.insert(3, Config::parse(&format!("{}version=0", lines(&joining))).unwrap());
    it.start_all();
    it.run_until(10_000, "served by all", |it| it.servers.iter().all(|s| s.serves()));
    assert_eq!(it.leader(), Some(2));
    let version =
        |it: &Ensemble, at: usize| it.servers[at].member.as_ref().unwrap().config().version;
    assert!(version(&it, 0) > 0, "the first leader gives it a version");

    it.reconfigure(&lines(&joining));
    let wanted = it.servers[2].proposed.0;
    // ZooKeeper: who is in no configuration follows without a vote; now it comes back as another.
    it.run_until(5_000, "known to all", |it| {
        (0..4).all(|at| version(it, at) == wanted)
            && matches!(it.servers[3].standing, Standing::Observing { .. })
    });

    it.reconfigure(&lines(&[&three[..], &[(4, "participant")]].concat()));
    let wanted = it.servers[2].proposed.0;
    it.run_until(5_000, "known to all", |it| {
        (0..4).all(|at| version(it, at) == wanted && it.servers[at].serves())
            && matches!(it.servers[3].standing, Standing::Following { .. })
    });

    // The leader itself goes: the lead is handed over.
    let rest = [(1, "participant"), (2, "participant"), (4, "participant")];
    it.reconfigure(&lines(&rest));
    let wanted = it.servers[2].proposed.0;
    let before = it.now;
    it.run_until(5_000, "led by another", |it| {
        it.leader().is_some_and(|at| at != 2 && version(it, at) == wanted)
    });
    assert!(it.now - before < 1_000_000, "it took {} us", it.now - before);
    it.crash(2);
    it.write();
    it.run_ms(200);
    it.check_all();
    // The three that are left need no fourth.
    let at = it.leader().unwrap();
    it.crash(at);
    it.run_until(5_000, "led by another", |it| it.leader().is_some());
    it.check_all();
}

/// ZooKeeper's ReconfigRecoveryTest, testCurrentObserverIsParticipantInNewConfig: a change of the
/// ensemble was proposed and not carried out when all stopped. It needs a server that observes, and
/// one that still has a joiner's configuration.
#[test]
fn a_change_that_needs_a_present_observer_and_a_joiner_is_completed() {
    let mut it = Ensemble::new(12, 4, 0);
    it.options.reconfig = true;
    let before = [(1, "participant"), (2, "participant"), (3, "observer")];
    it.config = Config::parse(&format!("{}version=100000000", lines(&before))).unwrap();
    for at in 0..3 {
        it.start(at);
    }
    it.run_until(10_000, "served by three", |it| it.servers[..3].iter().all(|s| s.serves()));
    it.write();
    it.run_ms(100);
    let only_observes = |it: &Ensemble| it.servers[2].member.as_ref().unwrap().only_observes();
    assert!(only_observes(&it), "nobody counts on what it logs");
    for at in 0..3 {
        it.crash(at);
    }
    let after = lines(&[(3, "participant"), (4, "participant")]);
    let proposed = Config::parse(&format!("{after}version=200000000")).unwrap();
    it.options.last_seen = Some(proposed);
    for at in 0..3 {
        it.start(at);
    }
    assert!(!only_observes(&it), "its acknowledgement makes a quorum of what is proposed");
    it.options.last_seen = None;
    let joining = [&before[..], &[(4, "participant")]].concat();
    it.own_configs.insert(3, Config::parse(&format!("{}version=0", lines(&joining))).unwrap());
    it.start(3);
    let version =
        |it: &Ensemble, at: usize| it.servers[at].member.as_ref().unwrap().config().version;
    it.run_until(10_000, "carried out", |it| {
        (2..4).all(|at| version(it, at) == 0x2_0000_0000 && it.servers[at].serves())
    });
    it.write();
    it.run_ms(200);
    it.check_all();
    assert!(it.leader().is_some_and(|at| at >= 2));
}

/// That there is no room is heard while the leader is there, or when it is lost already.
#[test]
fn an_epoch_that_found_no_room_is_not_taken_for_written() {
    for leader_is_lost in [false, true] {
        an_epoch_finds_no_room(leader_is_lost);
    }
}

fn an_epoch_finds_no_room(leader_is_lost: bool) {
    let mut it = Ensemble::new(17, 3, 0);
    it.start_all();
    let learns = |it: &Ensemble, at: usize| {
        let member = it.servers[at].member.as_ref();
        member.is_some_and(|member| matches!(member.role, MemberRole::Learning(_)))
    };
    let writes = |it: &Ensemble| {
        let of = |at: &usize| {
            it.servers[*at].steps.iter().any(|step| matches!(step, Incident::Epochs(epochs) if epochs.accepted > it.servers[*at].disk.epochs.accepted))
        };
        (0..3).filter(|at| !leader_is_lost || learns(it, *at)).find(of)
    };
    it.run_until(3_000, "an epoch is to be written", |it| writes(it).is_some());
    let (at, now) = (writes(&it).unwrap(), MonoUs(it.now));
    let server = &mut it.servers[at];
    let tokens: Vec<u64> = server
        .steps
        .drain(..)
        .filter_map(|step| match step {
            Incident::Durable(token) => Some(token),
            _ => None,
        })
        .collect();
    server.step_at = u64::MAX;
    let on_disk = server.disk.epochs;
    if leader_is_lost {
        for other in (0..3).filter(|other| *other != at) {
            it.crash(other);
        }
        it.run_until(3_000, "it looks for another leader", |it| {
            matches!(it.servers[at].member.as_ref().unwrap().role, MemberRole::Looking(_))
        });
    }
    let member = it.servers[at].member.as_mut().unwrap();
    member.leave_unwritten(now, "no room for an epoch file", &tokens);
    // What comes later is durable.
    member.handle_durable(now, tokens.last().unwrap() + 1);
    assert_eq!((member.epochs_durable, member.role.lasting().epochs), (on_disk, on_disk));
    it.take_turn(at);
    for other in (0..3).filter(|other| leader_is_lost && *other != at) {
        it.start(other);
    }
    it.recover();
}

/// Who comes anew while a change is proposed gets it with what is proposed, and behind it NEWLEADER with
/// what is active. It has acknowledged the change then, and must not decide anything without it.
#[test]
fn who_comes_while_a_change_is_proposed_remembers_it() {
    for seed in 0..10 {
        let mut it = Ensemble::new(seed, 5, 0);
        it.options.reconfig = true;
        let three = [(1, "participant"), (2, "participant"), (3, "participant")];
        it.config = Config::parse(&format!("{}version=0", lines(&three))).unwrap();
        for (at, id) in [(3, 4), (4, 5)] {
            let joining = [&three[..], &[(id, "observer")]].concat();
            it.own_configs
                .insert(at, Config::parse(&format!("{}version=0", lines(&joining))).unwrap());
        }
        it.start_all();
        it.run_until(10_000, "served by all", |it| it.servers.iter().all(|s| s.serves()));
        assert_eq!(it.leader(), Some(2));
        // Server 2 hears of nothing from here on.
        it.network.cut.insert((1, 2));
        it.crash(0);
        it.reconfigure(&lines(&[&three[..], &[(4, "participant"), (5, "participant")]].concat()));
        let wanted = it.servers[2].proposed.0;
        it.start(0);
        it.run_until(5_000, "committed", |it| {
            it.servers[2].member.as_ref().unwrap().config().version == wanted
        });
        // Server 1 has not heard of that yet.
        assert_eq!(it.servers[0].member.as_ref().unwrap().config().version, 0x1_0000_0000);
        it.crash(1);
        for (one, other) in [(0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4)] {
            it.network.cut.insert((one, other));
        }
        it.start(1);
        for _ in 0..30 {
            it.run_ms(100);
            it.write();
            assert!(!it.servers[0].leads() && !it.servers[1].leads(), "seed={seed}");
        }
        it.check_all();
    }
}

fn set_room(it: &mut Ensemble, at: usize, has_room: bool) {
    let now = MonoUs(it.now);
    it.servers[at].member.as_mut().unwrap().set_room(now, has_room);
    it.take_turn(at);
}

#[test]
fn a_server_without_room_is_not_elected_until_it_has_some() {
    let mut it = serving(13, 3, 0);
    assert_eq!(it.leader(), Some(2));
    it.write();
    it.run_ms(100);
    set_room(&mut it, 2, false);
    let now = MonoUs(it.now);
    it.servers[2].member.as_mut().unwrap().leave(now, "the disk is full");
    it.take_turn(2);
    it.run_until(500, "led by another", |it| it.leader().is_some_and(|at| at != 2));
    // It voted, and follows.
    it.run_until(3_000, "served by all", |it| it.servers.iter().all(|s| s.serves()));
    // Its vote is enough, whoever goes.
    let leader = it.leader().unwrap();
    it.crash(leader);
    it.run_until(1_000, "led by another", |it| it.leader().is_some());
    assert_ne!(it.leader(), Some(2));
    it.start(leader);
    it.run_until(3_000, "served by all", |it| it.servers.iter().all(|s| s.serves()));
    // With room it is a candidate as before: the highest id wins among equals.
    set_room(&mut it, 2, true);
    let leader = it.leader().unwrap();
    it.crash(leader);
    it.run_until(1_000, "led by the third", |it| it.leader() == Some(2));
    it.recover();
}

#[test]
fn where_nobody_has_room_one_leads_all_the_same_after_a_while() {
    let mut it = Ensemble::new(14, 3, 0);
    it.start_all();
    for at in 0..3 {
        set_room(&mut it, at, false);
    }
    it.run_ms(800);
    assert_eq!(it.leader(), None);
    it.run_until(3_000, "served by all", |it| it.servers.iter().all(|s| s.serves()));
    it.recover();
}

/// What only it has on its disk may have been committed: it does not vote for who lacks it.
#[test]
fn a_server_without_room_leads_if_it_alone_has_the_history() {
    let mut it = serving(15, 3, 0);
    it.crash(0);
    for _ in 0..5 {
        it.write();
        it.run_ms(20);
    }
    it.crash(1);
    it.crash(2);
    it.start(2);
    set_room(&mut it, 2, false);
    it.start(0);
    it.run_ms(900);
    assert_eq!(it.leader(), None);
    it.run_until(3_000, "led by the third", |it| it.leader() == Some(2));
    it.recover();
}

/// Crashes, restarts, cuts, broken links, writes: one after the other, as the seed says.
fn torment(seed: u64) {
    let mut random = Random::new(seed ^ 0xabcd);
    let voters = [3, 3, 5, 2][random.index(4)];
    let observers = random.index(3);
    let count = voters + observers;
    let mut it = Ensemble::new(seed, voters, observers);
    it.options.sync_from_log = random.below(2) == 0;
    if random.below(2) == 0 {
        with_masters(&mut it);
    }
    it.options.commit_log_txns = [2, 8, 100][random.index(3)];
    it.start_all();
    for _ in 0..25 {
        it.run_ms(random.below(600));
        for _ in 0..random.below(6) {
            it.write();
            it.run_ms(random.below(3));
        }
        let at = random.index(count);
        match random.below(10) {
            0..4 => {
                if it.servers[at].member.is_some() {
                    it.crash(at);
                } else {
                    it.start(at);
                }
            }
            4 => {
                let other = random.index(count);
                it.network.cut.insert((at.min(other), at.max(other)));
            }
            5 => it.network.heal(it.now),
            6 | 7 => {
                let Ensemble { network, random, now, .. } = &mut it;
                network.break_one(*now, random, at);
            }
            8 => {
                if let Some(leader) = it.leader() {
                    it.crash(leader);
                }
            }
            _ => {
                // Everybody who is up starts, so that something happens at all.
                for at in 0..voters {
                    if it.servers[at].member.is_none() {
                        it.start(at);
                    }
                }
            }
        }
        it.check_all();
    }
    it.recover();
}

#[test]
fn whatever_happens_nothing_committed_is_lost() {
    let first: u64 = option_env!("SEED").and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let count: u64 = option_env!("SEEDS").and_then(|seed| seed.parse().ok()).unwrap_or(100);
    for seed in first..first + count {
        torment(seed);
    }
}
