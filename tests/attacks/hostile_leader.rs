//! A hostile host answers at the address of a member: the other servers elect it, and it misleads its followers.
//!
//! Servers do not authenticate each other, so such a host can be elected, stop the ensemble for as long as it answers,
//! write transactions, and replace the tree; a follower must accept all of that from a leader. The tests show that no
//! process ends, that memory stays bounded, and that the other servers serve again as soon as the host is gone. They
//! then have every acknowledged write, unless the host has removed it with packets that an honest leader could send.

use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::id::{Epoch, ServerId, SessionId, Zxid};
use ringkeeper::jute::Vector;
use ringkeeper::limits::{EPOCH_LEAD_MAX, LEARNER_OUTPUT_BYTES_MAX, PENDING_BYTES_MAX};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::quorum::packet;
use ringkeeper::proto::request::{PathRequest, RequestBody};
use ringkeeper::proto::txn::{CreateTxn, DeleteTxn, SetDataTxn, TxnBody};
use ringkeeper::zab::packets::{
    put_bare, put_commit_and_activate, put_data, put_inform_and_activate, put_leader_info,
    put_revalidated, put_txn,
};
use ringkeeper_testkit::{Config, Ensemble};

use crate::false_leader::{FalseLeader, Victim, txn};
use crate::harness::{memory_now, memory_peak, program};
use crate::raw::Client;
use crate::snapshots::{node, text, tree};

/// The member whose address the host has. Its id is the largest, so that no other member replaces its connections.
const HOST: usize = 3;
/// The members that follow the host.
const LED: [usize; 2] = [1, 2];
/// Nodes whose creation was acknowledged before the attack.
const KEPT: usize = 20;
/// The tick of these ensembles, and how long a leader may be silent, in ms.
const TICK_MS: u64 = 200;
const SILENCE_MS: u64 = 10 * TICK_MS;
/// Within this time after the attack the other servers serve again: they need an attempt to follow, a pause after
/// some failures, and an election. On a machine that runs other tests they need longer.
const BACK_MAX: Duration = Duration::from_secs(20);
/// How far the memory of a server may grow in attacks with small packets, in bytes.
const LITTLE: u64 = 64 << 20;
/// How long the test waits for the reaction to the last packet.
const MOMENT: Duration = Duration::from_secs(1);

/// An ensemble of three, one of which is stopped.
struct Ground {
    ensemble: Ensemble,
    /// The acknowledged writes.
    acknowledged: Vec<String>,
}

impl Ground {
    fn new(lines: &[&str]) -> Ground {
        let config = Config::new()
            .line(&format!("tickTime={TICK_MS}"))
            .line("initLimit=10")
            .line("syncLimit=10");
        let config = lines.iter().fold(config, |config, line| config.line(line));
        let ensemble = Ensemble::start(&[program(), program(), program()], config);
        let mut ground = Ground { ensemble, acknowledged: Vec::new() };
        let mut client = Client::connect_with(ground.ensemble.address(1), 10_000);
        for number in 0..KEPT {
            let path = format!("/kept-{number}");
            client.create(&path, path.as_bytes(), 0).ok();
            ground.acknowledged.push(path);
        }
        // The member that the host replaces may be one of the two that have a write. A follower without that write has
        // to have it before the attack: otherwise the host, which sends it nothing but newer transactions, makes its
        // history the newest, and the write is lost as it would be with any leader that two of three members trust.
        LED.iter().for_each(|id| ground.reads(*id, "before the attacks"));
        ground
    }

    /// Asserts that server `id` has every acknowledged write.
    fn reads(&self, id: usize, name: &str) {
        let tails = self.ensemble.tails(60);
        let mut client = Client::connect_with(self.ensemble.address(id), 10_000);
        client.call(OpCode::Sync, &RequestBody::Path(PathRequest { path: Some("/") })).ok();
        for path in &self.acknowledged {
            let reply = client.get(path);
            assert_eq!(reply.header.err, 0, "{name}: {path} of server {id}\n{tails}");
        }
    }

    /// Lets the other servers look for a leader and find the host, which votes with the epoch `voted`. The host does
    /// `attack` to each server, which returns the outcome in words. Then the host disappears.
    fn case(
        &mut self,
        name: &str,
        memory: u64,
        voted: Epoch,
        attack: impl Fn(Victim) -> String + Sync,
    ) {
        let ensemble = &mut self.ensemble;
        ensemble.kill_all();
        let leader = FalseLeader::stand(ensemble, HOST, &LED, voted);
        LED.iter().for_each(|id| ensemble.spawn(*id));
        let victims = leader.victims(LED.len());
        let before: Vec<(u32, u64)> = LED
            .iter()
            .map(|id| ensemble.server(*id).pid())
            .map(|pid| (pid, memory_now(pid)))
            .collect();
        let mut answers: Vec<String> = thread::scope(|scope| {
            let led = victims.into_iter().map(|victim| scope.spawn(|| attack(victim)));
            let led: Vec<_> = led.collect();
            led.into_iter().map(|victim| victim.join().unwrap()).collect()
        });
        for id in LED {
            let is_running = ensemble.server_mut(id).is_running();
            assert!(is_running, "{name}: server {id} ended\n{}", ensemble.tails(60));
        }
        let grown = before.iter().map(|(pid, was)| memory_peak(*pid).saturating_sub(*was)).max();
        let grown = grown.unwrap();
        drop(leader);
        let begun = Instant::now();
        for id in LED {
            ensemble.wait_serving(id);
        }
        let took = begun.elapsed();
        answers.dedup();
        println!(
            "| {name} | {} | back after {} ms | {:.1} MB |",
            answers.join(", "),
            took.as_millis(),
            grown as f64 / 1e6
        );
        let tails = || self.ensemble.tails(60);
        assert!(took < BACK_MAX, "{name}: served after {took:?}\n{}", tails());
        assert!(grown <= memory, "{name}: memory grew by {grown} bytes, not {memory}\n{}", tails());
        self.holds(name);
    }

    /// Asserts that no acknowledged write is lost, and that writes succeed again.
    fn holds(&mut self, name: &str) {
        let tails = self.ensemble.tails(60);
        for id in LED {
            assert!(
                !self.ensemble.server(id).log_tail(2000).contains("panicked"),
                "{name}\n{tails}"
            );
            let mut client = Client::connect_with(self.ensemble.address(id), 10_000);
            let path = format!("/after-{}", self.acknowledged.len());
            client.create(&path, path.as_bytes(), 0).ok();
            self.acknowledged.push(path);
            self.reads(id, name);
        }
    }

    /// Asserts that the member itself can return, and gets the same data.
    fn end(mut self) {
        let begun = Instant::now();
        self.ensemble.restart(HOST);
        println!(
            "| the member itself comes back | serves | {} ms | |",
            begun.elapsed().as_millis()
        );
        self.reads(HOST, "the member itself");
    }
}

/// The epoch of a history that is newer than any real one, but not by much.
const NEAR: Epoch = Epoch(1000);

fn delete(path: &str) -> TxnBody<'_> {
    TxnBody::Delete(DeleteTxn { path: Some(path) })
}

fn set_data(path: &str) -> TxnBody<'_> {
    TxnBody::SetData(SetDataTxn { path: Some(path), data: Some(b"x"), version: 1 })
}

fn create<'a>(path: &'a str, data: &'a [u8]) -> TxnBody<'a> {
    let (path, data) = (Some(path), Some(data));
    TxnBody::Create(CreateTxn {
        path,
        data,
        acl: Vector::NULL,
        ephemeral: false,
        parent_cversion: 1,
    })
}

/// Sends a packet if the packets before it were accepted.
fn then(mut victim: Victim, went: bool, write: impl FnOnce(&Victim, &mut Vec<u8>)) -> String {
    if !went {
        return "left before".to_owned();
    }
    let mut bytes = Vec::new();
    write(&victim, &mut bytes);
    victim.send(&bytes);
    victim.end(MOMENT)
}

#[test]
fn epochs_that_make_no_sense_are_not_followed() {
    let mut ground = Ground::new(&[]);
    let far = |victim: &Victim| Epoch(victim.accepted.0 + EPOCH_LEAD_MAX + 1001);
    ground.case("LEADERINFO of a far epoch", LITTLE, NEAR, |victim| {
        then(victim, true, |it, out| put_leader_info(out, far(it), None))
    });
    ground.case("LEADERINFO of the epoch 0, and of -1", LITTLE, NEAR, |victim| {
        let epoch = Epoch(if victim.id == 1 { 0 } else { -1 });
        then(victim, true, |_, out| put_leader_info(out, epoch, None))
    });
    ground.case("NEWLEADER of another epoch", LITTLE, NEAR, |mut victim| {
        let went = victim.agree();
        then(victim, went, |it, out| {
            put_bare(out, packet::NEWLEADER, Zxid::new(Epoch(it.epoch.0 + 1), 0));
        })
    });
    // Votes for the last epoch but one do not prove that an ensemble reached it.
    let last = i64::from(i32::MAX);
    ground.case("votes and LEADERINFO of the last epochs", LITTLE, Epoch(last - 1), |victim| {
        then(victim, true, |_, out| put_leader_info(out, Epoch(last), None))
    });
    ground.end();
}

#[test]
fn a_choice_that_makes_no_sense_costs_nothing() {
    let mut ground = Ground::new(&[]);
    let last = i64::from(i32::MAX);
    let zxids = [Zxid(i64::MAX), Zxid(i64::MIN), Zxid(-1), Zxid::new(Epoch(last), u32::MAX)];
    for (kind, name) in [(packet::DIFF, "DIFF"), (packet::TRUNC, "TRUNC"), (packet::SNAP, "SNAP")] {
        ground.case(&format!("{name} to zxids that make no sense"), LITTLE, NEAR, |mut victim| {
            let went = victim.lead();
            let zxid = if victim.id == 1 { zxids[3] } else { zxids[usize::from(kind != 13)] };
            then(victim, went, |it, out| {
                put_bare(out, kind, zxid);
                if kind == packet::SNAP {
                    out.extend(tree(&[], &[("", 0), ("/a", 0)]));
                    text(out, "/");
                    text(out, "BenWasHere");
                }
                put_data(out, packet::NEWLEADER, it.zxid(0), &[]);
            })
        });
    }
    ground.end();
}

#[test]
fn a_tree_that_is_none_replaces_nothing() {
    const ENDLESS: usize = 64 << 20;
    let mut ground = Ground::new(&[]);
    let begins = |mut victim: Victim| {
        let went = victim.lead() && {
            let zxid = victim.zxid(0);
            victim.say(|out| put_bare(out, packet::SNAP, zxid))
        };
        (victim, went)
    };
    let whole = tree(&[(7, 4000)], &[("", 0), ("/a", 0), ("/a/b", 7)]);
    ground.case("a damaged tree", LITTLE, NEAR, |victim| {
        let (victim, went) = begins(victim);
        then(victim, went, |it, out| {
            out.extend(&whole);
            if it.id == 1 {
                text(out, "/c/d");
            }
            text(out, "/");
            text(out, "BenWasNotHere");
        })
    });
    ground.case("a node of 2 GiB", LITTLE, NEAR, |victim| {
        let (victim, went) = begins(victim);
        then(victim, went, |it, out| {
            out.extend(&whole);
            if it.id == 1 {
                text(out, "/large");
            }
            out.extend(i32::MAX.to_be_bytes());
            out.resize(out.len() + (1 << 20), b'x');
        })
    });
    // The received part of a tree may take several times its length, until the follower drops it.
    ground.case("64 MiB of a tree that does not end", 6 * ENDLESS as u64, NEAR, |victim| {
        let (mut victim, mut went) = begins(victim);
        let mut bytes = whole.clone();
        let (mut sent, mut number) = (0, 0);
        let data = "x".repeat(500);
        while went && sent < ENDLESS {
            while bytes.len() < 1 << 20 {
                number += 1;
                node(&mut bytes, &format!("/n{number}"), 0, &data);
            }
            sent += bytes.len();
            went = victim.send(&bytes);
            bytes.clear();
        }
        victim.end(Duration::ZERO)
    });
    ground.case("a tree with a byte each 100 ms", LITTLE, NEAR, |victim| {
        let (mut victim, went) = begins(victim);
        let begun = Instant::now();
        let mut bytes = whole.iter();
        while went && begun.elapsed() < Duration::from_millis(SILENCE_MS + 500) {
            victim.send(&[*bytes.next().unwrap()]);
            thread::sleep(Duration::from_millis(100));
        }
        victim.end(Duration::ZERO)
    });
    ground.end();
}

/// A follower must accept this, and cannot tell this leader from an honest one.
#[test]
fn a_whole_tree_replaces_what_was_there_and_is_served() {
    let mut ground = Ground::new(&[]);
    ground.acknowledged = vec!["/a".to_owned()];
    ground.case("a whole tree of its own", LITTLE, NEAR, |mut victim| {
        let went = victim.lead();
        let zxid = victim.zxid(0);
        let sent = victim.say(|out| {
            put_bare(out, packet::SNAP, zxid);
            out.extend(tree(&[], &[("", 0), ("/a", 0)]));
            text(out, "/");
            text(out, "BenWasHere");
        });
        assert!(went && sent && victim.begin_epoch());
        "taken".to_owned()
    });
    ground.end();
}

#[test]
fn proposals_without_an_end_are_bounded() {
    let mut ground = Ground::new(&[]);
    // The pending transactions, and the bytes that the allocator keeps.
    let memory = PENDING_BYTES_MAX + (128 << 20);
    let name = "1 MB PROPOSALs without COMMIT, in the history and behind it";
    ground.case(name, memory, NEAR, |mut victim| {
        let is_history = victim.id == 1;
        let mut went = if is_history { victim.agree() } else { victim.serve() };
        let data = vec![b'x'; 1_000_000];
        let mut sent = 0;
        while went && u64::from(sent) * 1_000_000 < memory {
            sent += 1;
            let txn = txn(victim.zxid(sent), OpCode::Create, &create("/unread", &data));
            went = victim.say(|out| put_txn(out, packet::PROPOSAL, &txn));
        }
        // A server that leaves first reads the bytes in transit, so that its own last packet arrives.
        assert_eq!(victim.end(Duration::from_secs(5)), "left", "{sent} were taken");
        format!("left after {} hundred MB", sent / 100)
    });
    ground.end();
}

#[test]
fn a_transaction_that_does_not_fit_is_not_carried_out() {
    let mut ground = Ground::new(&[]);
    let cases: [(&str, OpCode, TxnBody<'_>); 4] = [
        ("a delete of what is not there", OpCode::Delete, delete("/not-there")),
        ("a setData of what is not there", OpCode::SetData, set_data("/not-there")),
        ("a create under nothing", OpCode::Create, create("/not/there", b"")),
        ("a create of what is there", OpCode::Create, create("/kept-0", b"")),
    ];
    for (name, op, body) in cases {
        ground.case(name, LITTLE, NEAR, |mut victim| {
            let went = victim.serve() && victim.decide(1, op, &body);
            then(victim, went, |_, _| {})
        });
    }
    ground.end();
}

#[test]
fn words_out_of_order_end_nothing() {
    let mut ground = Ground::new(&[]);
    let nothing = TxnBody::Error { err: -101 };
    ground.case("COMMIT of what was never proposed", LITTLE, NEAR, |mut victim| {
        let went = victim.serve();
        then(victim, went, |it, out| put_bare(out, packet::COMMIT, it.zxid(9)))
    });
    ground.case("zxids that go back", LITTLE, NEAR, |mut victim| {
        let went = victim.serve()
            && victim.decide(1, OpCode::Error, &nothing)
            && victim.decide(2, OpCode::Error, &nothing);
        then(victim, went, |it, out| {
            put_txn(out, packet::PROPOSAL, &txn(it.zxid(1), OpCode::Error, &nothing));
        })
    });
    ground.case("zxids of another epoch", LITTLE, NEAR, |mut victim| {
        let went = victim.serve();
        then(victim, went, |_, out| {
            let zxid = Zxid::new(Epoch(i64::from(i32::MAX)), 1);
            put_txn(out, packet::PROPOSAL, &txn(zxid, OpCode::Error, &nothing));
        })
    });
    ground.case("UPTODATE twice, NEWLEADER once more", LITTLE, NEAR, |mut victim| {
        let went = victim.serve();
        then(victim, went, |it, out| {
            put_bare(out, packet::UPTODATE, Zxid::NONE);
            put_bare(out, packet::NEWLEADER, it.zxid(0));
            put_bare(out, packet::SNAP, it.zxid(0));
        })
    });
    ground.case("answers that nobody has asked for", LITTLE, NEAR, |mut victim| {
        let went = victim.serve();
        then(victim, went, |_, out| {
            for session in 0..1000 {
                put_revalidated(out, SessionId(session), session % 2 == 0, None);
                put_bare(out, packet::SYNC, Zxid::ZERO);
            }
        })
    });
    ground.case("a packet of 1 GiB", LITTLE, NEAR, |mut victim| {
        let went = victim.serve();
        then(victim, went, |it, out| {
            out.extend(packet::PROPOSAL.to_be_bytes());
            out.extend(it.zxid(1).0.to_be_bytes());
            let length = if it.id == 1 { 1 << 30 } else { (1 << 30) + 1 };
            out.extend(i32::to_be_bytes(length));
            out.resize(out.len() + (4 << 20), 0);
        })
    });
    ground.end();
}

#[test]
fn a_flood_of_pings_is_answered_within_bounds() {
    let mut ground = Ground::new(&[]);
    // A follower leaves a leader for which so many bytes wait, and a buffer that grows has at most twice the room
    // that it needs.
    let memory = 2 * LEARNER_OUTPUT_BYTES_MAX;
    ground.case("PINGs without a pause, no answer read", memory, NEAR, |mut victim| {
        let mut went = victim.serve();
        let mut pings = Vec::new();
        (0..1000).for_each(|_| put_bare(&mut pings, packet::PING, Zxid::ZERO));
        let (begun, mut sent) = (Instant::now(), 0);
        while went && begun.elapsed() < Duration::from_secs(3) {
            went = victim.send(&pings);
            sent += 1000;
        }
        let end = victim.end(Duration::ZERO);
        format!("{end} after {}", if sent > 1000 { "many" } else { "few" })
    });
    ground.end();
}

#[test]
fn a_forged_configuration_is_not_taken_where_none_may_change() {
    let mut ground = Ground::new(&[]);
    let forged = "server.8=127.0.0.3:7:8:participant\nserver.9=127.0.0.3:9:10:participant\n\
                  version=7000000000000000";
    let reconfig = |zxid| {
        let (path, data) = (Some("/zookeeper/config"), Some(forged.as_bytes()));
        txn(zxid, OpCode::Reconfig, &TxnBody::SetData(SetDataTxn { path, data, version: -1 }))
    };
    ground.case("NEWLEADER with a forged configuration", LITTLE, NEAR, |mut victim| {
        let went = victim.agree();
        then(victim, went, |it, out| {
            put_data(out, packet::NEWLEADER, it.zxid(0), forged.as_bytes());
            put_bare(out, packet::UPTODATE, Zxid::NONE);
        })
    });
    ground.case("INFORMANDACTIVATE to followers", LITTLE, NEAR, |mut victim| {
        let went = victim.serve();
        then(victim, went, |it, out| {
            put_inform_and_activate(out, &reconfig(it.zxid(1)), ServerId(9));
        })
    });
    ground.case("COMMITANDACTIVATE of a forged configuration", LITTLE, NEAR, |mut victim| {
        let went = victim.serve();
        then(victim, went, |it, out| {
            put_txn(out, packet::PROPOSAL, &reconfig(it.zxid(1)));
            put_commit_and_activate(out, it.zxid(1), ServerId(9));
        })
    });
    ground.end();
}

/// Makes the first steps of an honest leader; returns whether they succeeded.
type Step = fn(&mut Victim) -> bool;

/// A server leaves a silent leader after initLimit or syncLimit.
#[test]
fn silence_after_each_step_is_noticed() {
    let mut ground = Ground::new(&[]);
    let patience = Duration::from_millis(SILENCE_MS) + Duration::from_secs(5);
    let steps: [(&str, Step); 5] = [
        ("FOLLOWERINFO", |_| true),
        ("LEADERINFO", Victim::lead),
        ("DIFF", Victim::agree),
        ("NEWLEADER", |victim| victim.agree() && victim.begin_epoch()),
        ("UPTODATE", Victim::serve),
    ];
    for (name, step) in steps {
        ground.case(&format!("silence after {name}"), LITTLE, NEAR, |mut victim| {
            assert!(step(&mut victim), "{name}");
            let end = victim.end(patience);
            assert_eq!(end, "left", "{name}");
            end
        });
    }
    ground.end();
}
