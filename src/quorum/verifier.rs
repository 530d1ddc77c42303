//! When enough members have agreed (`QuorumMaj`, `QuorumHierarchical`, `QuorumOracleMaj`).
//!
//! The rule that is easy to break: two quorums of one configuration have a voter in common. So servers without a vote
//! never count; and the witness of [`Oracle`], which can replace the second of two voters, must not say yes to both.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::Config;
use crate::id::ServerId;

/// The answer of an outside witness in an ensemble of two (`QuorumOracleMaj`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oracle {
    /// Whether the witness counts, because the other server is absent. True until a leader has a follower.
    pub needed: bool,
    /// Whether the witness says that this server may continue alone.
    pub says_yes: bool,
}

impl Config {
    /// Whether these servers are a quorum. Servers that do not vote do not count.
    pub fn has_quorum(&self, servers: &BTreeSet<ServerId>) -> bool {
        self.has_quorum_of(|id| servers.contains(&id))
    }

    /// Whether the servers for which `agrees` holds are a quorum.
    pub fn has_quorum_of(&self, agrees: impl Fn(ServerId) -> bool) -> bool {
        if self.is_hierarchical() {
            return self.has_groups_of(agrees);
        }
        let (mut voters, mut agreeing) = (0, 0);
        for id in self.voters() {
            voters += 1;
            agreeing += usize::from(agrees(id));
        }
        assert!(agreeing <= voters, "only voters agree: {agreeing} of {voters}");
        agreeing > voters / 2
    }

    /// Whether these servers are a quorum, or the witness replaces the second of two voters. `None`: there is no
    /// witness.
    pub fn has_quorum_with(&self, servers: &BTreeSet<ServerId>, oracle: Option<Oracle>) -> bool {
        if self.has_quorum(servers) {
            return true;
        }
        let Some(Oracle { needed, says_yes }) = oracle else { return false };
        !self.is_hierarchical() && self.voters().count() <= 2 && needed && says_yes
    }

    /// Whether the servers have more than half of the weight in each of a majority of the groups; groups without any
    /// weight do not count (`QuorumHierarchical.containsQuorum`).
    fn has_groups_of(&self, agrees: impl Fn(ServerId) -> bool) -> bool {
        let (mut groups, mut agreeing) = (0, 0);
        for servers in self.groups.values() {
            // Weights are not negative, and there are fewer than 2^32 of them.
            let weigh = |id: &ServerId| i128::from(self.weight(*id));
            let all: i128 = servers.iter().map(weigh).sum();
            assert!(all >= 0, "no weight is negative");
            if all == 0 {
                continue;
            }
            groups += 1;
            let part: i128 =
                servers.iter().filter(|id| self.is_voter(**id) && agrees(**id)).map(weigh).sum();
            assert!(part <= all, "a part weighs no more than the whole");
            agreeing += usize::from(part > all / 2);
        }
        assert!(agreeing <= groups, "only groups agree: {agreeing} of {groups}");
        agreeing > groups / 2
    }

    /// How many voters a quorum needs, for an operator; `None`: groups and weights decide.
    pub fn majority(&self) -> Option<usize> {
        let voters = self.voters().count();
        let majority = voters / 2 + 1;
        assert!(2 * majority > voters, "two majorities have a voter in common");
        (!self.is_hierarchical()).then_some(majority)
    }

    /// Whether groups and weights decide, not the majority.
    pub fn is_hierarchical(&self) -> bool {
        !self.groups.is_empty() || !self.weights.is_empty()
    }

    /// The weight of a server's vote: 1 if a majority decides. A server with weight 0 never leads.
    pub fn weight(&self, id: ServerId) -> i64 {
        // ZooKeeper: QuorumMaj.getWeight is 1 for every server.
        let weight =
            if self.is_hierarchical() { self.weights.get(&id).copied().unwrap_or(0) } else { 1 };
        assert!(weight >= 0, "the weight of server {id} is {weight}");
        weight
    }
}

/// The servers that have agreed to something, under one configuration, or under two while one replaces the other
/// (`SyncedLearnerTracker`). The default has no configuration and counts as complete.
#[derive(Debug, Clone, Default)]
pub struct AckTracker {
    /// The configurations whose quorums are needed.
    configs: Vec<Rc<Config>>,
    /// The servers that have agreed.
    ///
    /// Invariant: each votes in one of `configs`.
    acks: BTreeSet<ServerId>,
}

impl AckTracker {
    /// A tracker for one configuration, without acknowledgements.
    pub fn new(config: Rc<Config>) -> AckTracker {
        AckTracker { configs: vec![config], acks: BTreeSet::new() }
    }

    /// A tracker for the active configuration and, if that is newer, also for the last one seen.
    pub fn of_both(active: &Rc<Config>, last_seen: &Rc<Config>) -> AckTracker {
        let mut tracker = AckTracker::new(active.clone());
        if last_seen.version > active.version {
            tracker.add_config(last_seen.clone());
        }
        assert!((1..=2).contains(&tracker.configs.len()), "the active one, or it and the next");
        tracker
    }

    /// Adds a configuration whose quorum is also needed.
    ///
    /// # Panics
    /// If a server has agreed already.
    pub fn add_config(&mut self, config: Rc<Config>) {
        assert!(self.acks.is_empty(), "earlier agreement does not cover this configuration");
        self.configs.push(config);
    }

    /// Adds the agreement of a server. Returns whether it counts: not if the server votes in none of the
    /// configurations.
    pub fn add(&mut self, id: ServerId) -> bool {
        let counts = self.configs.iter().any(|config| config.is_voter(id));
        if counts {
            self.acks.insert(id);
        }
        assert_eq!(self.acks.contains(&id), counts, "agreement that counts is kept");
        counts
    }

    /// Whether the server votes in every configuration.
    pub fn has_voter(&self, id: ServerId) -> bool {
        self.configs.iter().all(|config| config.is_voter(id))
    }

    /// Whether the servers are a quorum of every configuration.
    pub fn has_all_quorums(&self) -> bool {
        self.configs.iter().all(|config| config.has_quorum(&self.acks))
    }

    /// Whether, for every configuration, they are a quorum, or the witness replaces the second of two voters.
    pub fn has_all_quorums_with(&self, oracle: Option<Oracle>) -> bool {
        self.configs.iter().all(|config| config.has_quorum_with(&self.acks, oracle))
    }

    /// The servers that have agreed.
    pub fn acks(&self) -> &BTreeSet<ServerId> {
        &self.acks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Rc<Config> {
        Rc::new(Config::parse(text).unwrap())
    }

    fn set(ids: &[i64]) -> BTreeSet<ServerId> {
        ids.iter().copied().map(ServerId).collect()
    }

    fn majority(voters: i64) -> Rc<Config> {
        let lines: String = (1..=voters).map(|i| format!("server.{i}=a:1:2\n")).collect();
        config(&format!("{lines}server.100=a:1:2:observer"))
    }

    #[test]
    fn more_than_half_of_the_voters_are_a_majority() {
        for (voters, needed) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)] {
            let config = majority(voters);
            let ids: Vec<i64> = (1..=voters).collect();
            assert!(config.has_quorum(&set(&ids[..needed])), "{voters}");
            assert!(!config.has_quorum(&set(&ids[..needed - 1])), "{voters}");
        }
        // Observers and strangers do not count.
        assert!(!majority(3).has_quorum(&set(&[1, 100, 7])));
    }

    // The scenarios of ZooKeeper's HierarchicalQuorumTest.
    #[test]
    fn groups_decide_by_weight() {
        let servers: String = (1..=9).map(|i| format!("server.{i}=a:1:2\n")).collect();
        let config = config(&format!(
            "{servers}group.1=1:2:3\ngroup.2=4:5:6\ngroup.3=7:8:9\n\
             weight.7=0\nweight.8=0\nweight.9=0"
        ));
        // The third group has no weight, so both of the others are needed.
        assert!(config.has_quorum(&set(&[1, 2, 4, 5])));
        assert!(!config.has_quorum(&set(&[1, 2, 3, 4])));
        assert!(!config.has_quorum(&set(&[1, 2, 7, 8, 9])));
        assert!(!config.has_quorum(&set(&[])));
        assert_eq!((config.weight(ServerId(1)), config.weight(ServerId(7))), (1, 0));
    }

    #[test]
    fn a_heavy_server_outweighs_its_group() {
        let servers: String = (1..=3).map(|i| format!("server.{i}=a:1:2\n")).collect();
        let config = config(&format!("{servers}group.1=1:2:3\nweight.1=3"));
        assert!(config.has_quorum(&set(&[1])));
        assert!(!config.has_quorum(&set(&[2, 3])));
        let max = i64::MAX;
        let heavy =
            format!("{servers}group.1=1:2:3\nweight.1={max}\nweight.2={max}\nweight.3={max}");
        let heavy = Config::parse(&heavy).unwrap();
        assert!(heavy.has_quorum(&set(&[1, 2])) && !heavy.has_quorum(&set(&[3])));
    }

    #[test]
    fn a_witness_decides_between_two_servers_only() {
        let yes = Some(Oracle { needed: true, says_yes: true });
        assert!(majority(2).has_quorum_with(&set(&[1]), yes));
        for oracle in [
            None,
            Some(Oracle { needed: true, says_yes: false }),
            Some(Oracle { needed: false, says_yes: true }),
        ] {
            assert!(!majority(2).has_quorum_with(&set(&[1]), oracle));
        }
        assert!(!majority(3).has_quorum_with(&set(&[1]), yes));
        assert!(majority(2).has_quorum_with(&set(&[1, 2]), None));
    }

    #[test]
    fn during_a_reconfiguration_both_configurations_need_their_quorum() {
        let (old, new) = (
            config("server.1=a:1:2\nserver.2=a:1:2\nserver.3=a:1:2\nversion=1"),
            config("server.3=a:1:2\nserver.4=a:1:2\nserver.5=a:1:2\nversion=2"),
        );
        let mut tracker = AckTracker::of_both(&old, &new);
        assert!(tracker.add(ServerId(1)) && tracker.add(ServerId(3)));
        assert!(!tracker.has_all_quorums());
        assert!(!tracker.add(ServerId(9)));
        assert!(tracker.add(ServerId(5)));
        assert!(tracker.has_all_quorums());
        assert!(tracker.has_voter(ServerId(3)) && !tracker.has_voter(ServerId(1)));
        // An older one does not count.
        assert!(!AckTracker::of_both(&new, &old).has_voter(ServerId(1)));
        assert!(AckTracker::of_both(&new, &old).has_voter(ServerId(4)));
    }
}
