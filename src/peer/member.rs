//! A member of an ensemble: LOOKING, LEADING, FOLLOWING or OBSERVING (`QuorumPeer`).
//!
//! ```text
//!            elected another          UPTODATE
//! LOOKING ───────────────▶ a learner ─────────▶ FOLLOWING, OBSERVING
//!    │ ▲                       │                    │ any failure
//!    │ └───────────────────────┴────────────────────┘
//!    │       elected this one            a quorum has its history
//!    └────────────────────────▶ a leader ───────────────────────▶ LEADING ──▶ LOOKING
//! ```
//! A member hands every event to the part that it concerns, and then settles what follows from it: a leader was
//! elected, or lost. The state that outlives a role is in [`Lasting`].

mod events;
mod facts;
mod held;
mod joining;
mod leaving;
mod links;
mod listening;
mod roles;
mod services;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::History;
use super::gate::Gate;
use crate::election::{Election, ElectionOptions};
use crate::id::{ServerId, Zxid};
use crate::link::{Endpoint, LinkId, LinkIds, LinkOp, MemberHosts, Port};
use crate::proto::txn::Txn;
use crate::quorum::{Config, PeerOptions};
use crate::random::Random;
use crate::time::MonoUs;
use crate::zab::{
    CommittedLog, Epochs, Lasting, Leader, Learner, Numbers, Ready, Standing, kept_out,
};
use held::HeldLinks;
use links::LinkOwners;

/// A member of an ensemble: its present role, its election, and what the roles have in common.
///
/// Between two events: while it looks or waits, its standing is `Looking`, and it holds links of learners; while it
/// leads or learns, it holds none. The standing is that of a leader only while it leads, and that of a learner only
/// while it learns.
#[derive(Debug)]
pub struct Member {
    /// The present role, which owns the state that outlives it.
    ///
    /// Invariant: never `Looking(None)` between two events.
    role: MemberRole,
    /// The election, which lives as long as this server.
    election: Election,
    /// The active configuration and the last one seen, as the election knows them. When they change, the election is
    /// told, and the network where to listen.
    election_configs: (Rc<Config>, Rc<Config>),
    /// Whether the election was told that the active configuration came with a vote.
    is_election_doubtful: bool,
    /// The standing that the replica was told last.
    standing: Standing,
    /// The links of learners that connected before this server knew whether it leads.
    held: HeldLinks,
    /// The owner of each link.
    links: LinkOwners,
    /// Keeps links from their owners until the login on them is over. `None`: servers do not log in.
    gate: Option<Box<Gate>>,
    /// The endpoints on which the network was last told to listen.
    listening: Vec<(Port, Endpoint)>,
    /// The hosts of the other members, as the network was last told.
    hosts: MemberHosts,
    /// The source of tokens and of ids of log reads, which all roles share.
    numbers: Numbers,
    /// What becomes true when a token is durable, oldest first.
    promises: VecDeque<(u64, Promise)>,
    /// The epochs that are certainly on the disk. A role that ends because the disk fails leaves these behind.
    epochs_durable: Epochs,
    /// Whether epochs that are not durable are forgotten with the role that ends.
    is_reverting: bool,
    /// The number of attempts to join a leader that have failed in a row. Each makes the next attempt wait longer.
    failures: u32,
    /// The time before which this server joins no leader.
    hold_until: MonoUs,
    /// The leaders that have kept this server out for its data, as the log has said.
    kept_out: kept_out::Said,
    /// Whether a leader has said that this server's data is of another history, and no leader has taken it in since.
    is_of_other_history: bool,
    /// The number of times that each leader could not be followed, since a leader was followed. Each doubles the time
    /// for which this server does not vote for it.
    avoided: BTreeMap<ServerId, u32>,
    /// When the present search, or the last one, began.
    looking_since: MonoUs,
    /// Whether the disk has room for what a leader has to write.
    has_room: bool,
    /// Whether this server stands for election in this search.
    stands: bool,
    /// Since when this server has served no client; `None`: it serves.
    unavailable_since: Option<MonoUs>,
    /// When this server began to join its leader.
    joining_since: MonoUs,
    /// Since when this server has had the standing of a leader or learner.
    ///
    /// Invariant: set only while it leads or learns.
    joined_at: Option<MonoUs>,
    /// The place of the next follower to ask, for an observer that learns from followers.
    next_master: usize,
    /// The source of random delays, and of the origin of a new history.
    random: Random,
    /// The time of the last event.
    now: MonoUs,
    /// The operations of the election, emptied in each step.
    link_ops: Vec<LinkOp>,
}

/// A role, with the state that outlives it.
#[derive(Debug)]
enum MemberRole {
    /// It looks for a leader. `None` only within a step from one role to another.
    Looking(Option<Box<Lasting>>),
    /// It knows the leader, and joins it a little later, because it has failed before.
    Waiting { leader: ServerId, lasting: Box<Lasting> },
    /// It leads, or tries to.
    Leading(Box<Leader>),
    /// It learns from a leader, or tries to.
    Learning(Box<Learner>),
}

impl MemberRole {
    /// Why a role has a state that outlives it. Only [`MemberRole::end`] leaves a role without one, and its callers
    /// put the next role in its place at once.
    const KEPT: &str = "the present role owns what outlives it";

    /// The state that outlives the role.
    fn lasting(&self) -> &Lasting {
        match self {
            MemberRole::Looking(lasting) => lasting.as_ref().expect(MemberRole::KEPT),
            MemberRole::Waiting { lasting, .. } => lasting,
            MemberRole::Leading(leader) => leader.lasting(),
            MemberRole::Learning(learner) => learner.lasting(),
        }
    }

    /// The same, to be changed.
    fn lasting_mut(&mut self) -> &mut Lasting {
        match self {
            MemberRole::Looking(lasting) => lasting.as_mut().expect(MemberRole::KEPT),
            MemberRole::Waiting { lasting, .. } => lasting,
            MemberRole::Leading(leader) => leader.lasting_mut(),
            MemberRole::Learning(learner) => learner.lasting_mut(),
        }
    }

    /// Ends this role: the state for the next one.
    fn end(&mut self) -> Box<Lasting> {
        match std::mem::replace(self, MemberRole::Looking(None)) {
            MemberRole::Looking(lasting) => lasting.expect(MemberRole::KEPT),
            MemberRole::Waiting { lasting, .. } => lasting,
            MemberRole::Leading(leader) => leader.into_lasting(),
            MemberRole::Learning(learner) => learner.into_lasting(),
        }
    }

    /// Ends this role: the server looks for a leader.
    fn look(&mut self) {
        *self = MemberRole::Looking(Some(self.end()));
    }

    /// Ends this role: the server waits until it joins `leader`.
    fn wait(&mut self, leader: ServerId) {
        *self = MemberRole::Waiting { leader, lasting: self.end() };
    }
}

/// What becomes true when a token is durable.
#[derive(Clone, Copy, Debug)]
enum Promise {
    /// The log ends at this zxid, or a tree as of this zxid has replaced it.
    Cut(Zxid),
    /// The files have these epochs.
    Epochs(Epochs),
}

impl Member {
    /// A member that begins to look for a leader. `seed` is any number that differs from run to run.
    ///
    /// A proposed configuration in `options` counts besides `config` if it is newer: this server may have missed that
    /// it became active.
    pub fn new(
        options: PeerOptions,
        config: Config,
        history: History,
        now: MonoUs,
        seed: u64,
    ) -> Member {
        let config = Rc::new(config);
        // A proposal that is not newer was replaced by the active configuration, or became it.
        let newer = options.last_seen.clone().filter(|seen| seen.version > config.version);
        let last_seen = newer.map_or_else(|| config.clone(), Rc::new);
        let ids = LinkIds::default();
        let mut election =
            Election::new(ElectionOptions::new(&options), config.clone(), ids.clone());
        election.set_config(config.clone(), last_seen.clone());
        let gate = Gate::new(&options).map(Box::new);
        let recent = CommittedLog::new(history.last, history.recent, options.commit_log_txns)
            .with_digest(history.digest);
        let (config_now, last_seen_now) = (config.clone(), last_seen.clone());
        assert!(last_seen_now.version >= config_now.version, "what is active was seen");
        let lasting = Lasting::new(options, ids, config_now, last_seen_now, history.epochs, recent);
        let mut member = Member {
            epochs_durable: lasting.epochs,
            is_reverting: false,
            role: MemberRole::Looking(Some(Box::new(lasting))),
            election,
            election_configs: (config, last_seen),
            is_election_doubtful: false,
            standing: Standing::Looking,
            held: HeldLinks::default(),
            links: LinkOwners::default(),
            gate,
            listening: Vec::new(),
            hosts: Vec::new(),
            numbers: Numbers::default(),
            promises: VecDeque::new(),
            failures: 0,
            hold_until: now,
            kept_out: kept_out::Said::default(),
            is_of_other_history: false,
            avoided: BTreeMap::new(),
            looking_since: now,
            has_room: true,
            stands: true,
            unavailable_since: Some(now),
            joining_since: now,
            joined_at: None,
            next_master: 0,
            random: Random::new(seed),
            now,
            link_ops: Vec::new(),
        };
        // The network must know where to listen before the first vote asks anyone to connect back.
        member.listen();
        member.look();
        member.settle();
        member
    }

    // ---- events, from the replica

    /// Whether others have logged what this server, which leads, has not: one of them can lead as well.
    pub fn is_behind_others(&self) -> bool {
        self.leader().is_some_and(Leader::is_behind_others)
    }

    /// Whether nothing more should be read from this link for now: it is an observer's, and the leader has to get to
    /// what observers of this follower have asked for before.
    pub fn has_enough_of(&self, link: LinkId) -> bool {
        self.role
            .lasting()
            .observers
            .as_ref()
            .is_some_and(|observers| observers.has_enough_of(link))
    }

    /// Whether this server leads, and the voter at the other end of this link has not acknowledged the oldest proposal
    /// that is not committed.
    pub fn awaits_ack_over(&self, link: LinkId) -> bool {
        self.leader().is_some_and(|leader| leader.awaits_ack_over(link))
    }

    /// Exchanges `ready`, which must be empty, with the next effects. True: there are more, which may be taken only
    /// when the order of these is certain.
    pub fn take_ready(&mut self, ready: &mut Ready) -> bool {
        self.collect();
        self.role.lasting_mut().ready.take(ready);
        self.links.note(&ready.send);
        if let Some(gate) = &mut self.gate {
            gate.note(&ready.send);
        }
        let cut = ready.truncate.or(ready.restore).map(Promise::Cut);
        let epochs = ready.epochs.map(Promise::Epochs);
        if cut.is_some() || epochs.is_some() {
            assert!(cut.is_none() || epochs.is_none(), "a cut is durable before anything else");
            // The replica reports one token for all that a `Ready` makes durable, so its promises share it.
            let token = *ready.durable.get_or_insert_with(|| self.numbers.next());
            self.promises.extend(cut.into_iter().chain(epochs).map(|promise| (token, promise)));
        }
        !self.role.lasting_mut().ready.is_empty()
    }

    // ---- facts

    /// The newest transaction of the log, written or on its way there.
    pub fn accepted(&self) -> Zxid {
        self.leader().map_or(self.role.lasting().journal.accepted(), Leader::accepted)
    }

    /// The newest transaction handed out for commit.
    pub fn committed(&self) -> Zxid {
        self.leader().map_or(self.role.lasting().journal.committed(), Leader::committed)
    }

    /// `leader`, `follower`, `observer`; `leaderelection` while looking.
    pub fn mode(&self) -> &'static str {
        // A role may exist without its standing, but never a standing without its role.
        match self.standing {
            Standing::Looking => "leaderelection",
            Standing::Leading { .. } => "leader",
            Standing::Following { .. } => "follower",
            Standing::Observing { .. } => "observer",
        }
    }

    /// Whether no leader counts on this server's log: it observes, and will go on observing if the proposed
    /// configuration becomes active. For a proposed voter, a leader may count the acknowledgement of NEWLEADER.
    pub fn only_observes(&self) -> bool {
        let votes_next = self.role.lasting().last_seen.is_voter(self.me());
        self.role.lasting().is_observer && !votes_next
    }

    /// Whether a leader has kept this server out because its data is of another history, and no leader has taken it in
    /// since.
    pub fn is_of_other_history(&self) -> bool {
        self.is_of_other_history
    }

    /// The active configuration.
    pub fn config(&self) -> &Rc<Config> {
        &self.role.lasting().config
    }

    /// The last configuration that was proposed or seen; the active one if no change is on its way.
    pub fn last_seen_config(&self) -> &Rc<Config> {
        &self.role.lasting().last_seen
    }

    /// Whether a reconfiguration must leave two participants (`standaloneEnabled`).
    pub fn standalone_enabled(&self) -> bool {
        self.role.lasting().options.standalone_enabled
    }

    /// Whether a server may have several addresses (`multiAddress.enabled`).
    pub fn multi_address(&self) -> bool {
        self.role.lasting().options.multi_address
    }

    /// The id of this server.
    pub fn me(&self) -> ServerId {
        self.role.lasting().options.me
    }

    /// Checks how the fields are related between two events.
    fn check(&self) {
        let (is_leading, is_learning) = match &self.role {
            MemberRole::Looking(lasting) => {
                assert!(lasting.is_some(), "a step from one role to another has ended");
                (false, false)
            }
            MemberRole::Waiting { .. } => (false, false),
            MemberRole::Leading(_) => (true, false),
            MemberRole::Learning(_) => (false, true),
        };
        match self.standing {
            Standing::Looking => {}
            Standing::Leading { .. } => assert!(is_leading, "only a leader stands as one"),
            Standing::Following { .. } | Standing::Observing { .. } => {
                assert!(is_learning, "only a learner stands as one");
            }
        }
        let is_joined = is_leading || is_learning;
        assert!(self.joined_at.is_none() || is_joined, "a server that has joined leads or learns");
        assert!(self.held.is_empty() || !is_joined, "links are held until it is known who leads");
        assert!(self.link_ops.is_empty(), "what the election wants of the network is on its way");
        let observers = &self.role.lasting().observers;
        assert!(observers.is_none() || is_learning, "observers learn only from a learner");
        assert!(
            observers.is_none() || self.joined_at.is_some(),
            "observers learn only from a follower that is up to date"
        );
    }

    /// The leader that this server is, if it leads or tries to.
    fn leader(&self) -> Option<&Leader> {
        match &self.role {
            MemberRole::Leading(leader) => Some(leader),
            MemberRole::Looking(_) | MemberRole::Waiting { .. } | MemberRole::Learning(_) => None,
        }
    }

    /// The leader that this server is.
    ///
    /// # Panics
    /// If it does not lead, or does not serve yet.
    fn leader_mut(&mut self) -> &mut Leader {
        match &mut self.role {
            MemberRole::Leading(leader) => {
                assert!(leader.is_active(), "a leader that does not serve proposes nothing");
                leader
            }
            MemberRole::Looking(_) | MemberRole::Waiting { .. } | MemberRole::Learning(_) => {
                panic!("only a leader proposes")
            }
        }
    }
}
