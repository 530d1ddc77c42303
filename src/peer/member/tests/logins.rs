//! Ensembles whose servers log in at each other (`quorum.auth.*`).

use super::servers::Ensemble;
use crate::sasl::between::{Account, PeerLogins};
use crate::sasl::digest_md5::{Service, Users};
use crate::sasl::jaas::JaasFile;
use crate::sasl::{Mechanism, NonceKey, Secret};

/// How far a server has come in the rolling change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Plain,
    Enabled,
    LogsIn,
    Demands,
}

const STEPS: [Step; 4] = [Step::Plain, Step::Enabled, Step::LogsIn, Step::Demands];

fn logins(step: Step, password: &str) -> Option<PeerLogins> {
    let file = JaasFile::read(b"S { m required user_zk=\"swordfish\"; };").unwrap();
    let users = Users::of_section(Service::SERVERS, file.section("S").unwrap());
    let own = Account::DigestMd5 { name: "zk".into(), password: Secret::new(password) };
    (step > Step::Plain).then(|| PeerLogins {
        accepted: Mechanism::DigestMd5(users),
        is_demanded: step == Step::Demands,
        own: (step >= Step::LogsIn).then_some(own),
        nonce_key: NonceKey::new([3; 32]),
    })
}

impl Ensemble {
    fn set(&mut self, at: usize, step: Step) {
        match logins(step, "swordfish") {
            Some(logins) => self.logins.insert(at, logins),
            None => self.logins.remove(&at),
        };
    }
}

fn serving(seed: u64, voters: usize, observers: usize, step: impl Fn(usize) -> Step) -> Ensemble {
    let mut it = Ensemble::new(seed, voters, observers);
    for at in 0..voters + observers {
        it.set(at, step(at));
    }
    it.start_all();
    it.run_until(15_000, "served by all", |it| it.servers.iter().all(|s| s.serves()));
    it
}

#[test]
fn servers_of_two_steps_of_the_change_form_an_ensemble() {
    for (seed, steps) in (1..).zip(STEPS.windows(2)) {
        for turned in [false, true] {
            let step = |at: usize| steps[usize::from(at.is_multiple_of(2) != turned)];
            let mut it = serving(seed, 3, 2, step);
            for _ in 0..5 {
                it.write();
                it.run_ms(5);
            }
            let former = it.leader().unwrap();
            it.crash(former);
            it.run_until(15_000, "led by another", |it| it.leader().is_some());
            it.write();
            it.recover();
        }
    }
}

#[test]
fn logins_cost_an_election_little_time() {
    let it = serving(1, 3, 0, |_| Step::Demands);
    assert_eq!(it.leader(), Some(2));
    assert!(it.now < 2_500_000, "it took until {}", it.now);
    let counts = it.servers[2].member.as_ref().unwrap().facts().counts;
    assert!(counts.logins_accepted.passed >= 2, "{counts:?}");
    assert_eq!((counts.logins_accepted.failed, counts.logins_opened.failed), (0, 0));
}

#[test]
fn the_change_is_made_server_by_server_there_and_back() {
    let mut it = serving(7, 3, 1, |_| Step::Plain);
    for step in STEPS.into_iter().chain(STEPS.into_iter().rev()) {
        for at in 0..4 {
            it.crash(at);
            it.set(at, step);
            it.run_ms(100);
            it.start(at);
            it.run_until(15_000, "served by all", |it| it.servers.iter().all(|s| s.serves()));
            it.write();
        }
    }
    it.recover();
}

#[test]
fn a_server_with_a_wrong_password_or_without_a_login_stays_out() {
    for wrong in [logins(Step::Demands, "wrong"), logins(Step::Enabled, ""), None] {
        let mut it = Ensemble::new(9, 3, 0);
        for at in 0..2 {
            it.set(at, Step::Demands);
        }
        if let Some(wrong) = wrong {
            it.logins.insert(2, wrong);
        }
        it.start_all();
        it.run_until(15_000, "led", |it| it.leader().is_some());
        it.run_ms(10_000);
        assert_ne!(it.leader(), Some(2));
        assert!(!it.servers[2].serves());
        let leader = it.leader().unwrap();
        let counts = it.servers[leader].member.as_ref().unwrap().facts().counts;
        assert!(counts.logins_accepted.failed > 0, "{counts:?}");
        it.crash(2);
        it.set(2, Step::Demands);
        it.recover();
    }
}

#[test]
fn links_that_break_during_logins_are_renewed() {
    for seed in 20..40 {
        let mut it =
            serving(seed, 3, 1, |at| if at % 2 == 0 { Step::Demands } else { Step::LogsIn });
        for _ in 0..60 {
            let at = it.random.index(4);
            match it.random.below(6) {
                0 => {
                    it.crash(at);
                    it.run_ms(20);
                    it.start(at);
                }
                1 => {
                    let other = (at + 1) % 4;
                    it.network.cut.insert((at.min(other), at.max(other)));
                    it.run_ms(700);
                    it.network.heal(it.now);
                }
                _ => it.network.break_one(it.now, &mut it.random, at),
            }
            let ms = it.random.below(60);
            it.run_ms(ms);
            it.write();
        }
        it.recover();
    }
}
