//! The outside witness of two servers (`oraclePath`): each server has a file that says whether the server may go on
//! without the other, and reads the file from time to time.
//!
//! The witness says yes to at most one server at a time. It gives its word to another server only as ZooKeeper's
//! manual requires of a failure detector: never to a server that may lack what the other one has committed alone.
//!
//! ```text
//! nobody ──both work together──▶ one of them ──taken back──▶ ending ──it has read that, or ended──▶ nobody
//! ```
//! Before it says yes again, the witness must see both servers work together: then each has all that was committed.

use ringkeeper::zab::PeerState;

use super::faults::Fault;
use super::plan::MS;
use super::server::server_id;
use super::wild::Broken;
use super::world::{Event, Phase, World};

/// Mean time between two looks of a server at its file.
const LOOKING: u64 = 200 * MS;

/// What the witness says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Word {
    /// No server may go on alone.
    #[default]
    Nobody,
    /// This server may.
    To(usize),
    /// This server may no longer, and its process with this number, which had read the yes, has not read that yet.
    Ending(usize, u64),
}

impl World {
    pub(super) fn plan_witness(&mut self) {
        if self.plan.wild.witness {
            let at = self.now + 1 + self.rng.waiting(LOOKING);
            self.schedule(at, Event::Fault(Fault::Witness));
        }
    }

    /// One server reads its file, and the witness may change its mind.
    pub(super) fn witness(&mut self) {
        self.plan_witness();
        let index = self.rng.index(self.plan.voters);
        let says_yes = self.word == Word::To(index);
        let read = self.read_clock(index);
        let is_paused = self.servers[index].paused_until > self.now;
        if let Some(replica) = self.servers[index].replica.as_mut().filter(|_| !is_paused) {
            replica.set_oracle(read, says_yes);
            if self.word == Word::Ending(index, self.servers[index].life) {
                self.say(Word::Nobody);
            }
            self.wake_server(index);
        }
        if self.phase == Phase::Chaos {
            self.maybe_say();
        }
    }

    fn maybe_say(&mut self) {
        match self.word {
            Word::Nobody if self.work_together() => {
                let index = self.rng.index(self.plan.voters);
                self.say(Word::To(index));
            }
            Word::To(index) if self.rng.one_in(20) => {
                self.say(Word::Ending(index, self.servers[index].life));
            }
            Word::Ending(index, life) if self.servers[index].life != life => {
                // Its next process begins without a word.
                self.say(Word::Nobody);
            }
            Word::Nobody | Word::To(_) | Word::Ending(..) => (),
        }
    }

    fn say(&mut self, word: Word) {
        let now = self.now;
        self.trace.event(now, &[29], || format!("the witness: {word:?}"));
        self.word = word;
    }

    /// Whether one server leads, and the other one has acknowledged the leader's history and has not gone since, as
    /// both see it: then nothing was committed without it.
    fn work_together(&self) -> bool {
        let Some(leader) = self.leader().filter(|leader| *leader < self.plan.voters) else {
            return false;
        };
        let other = server_id(1 - leader);
        let facts = |index: usize| {
            let replica = self.servers[index].replica.as_ref()?;
            Some(replica.peer().as_member()?.facts())
        };
        let (Some(of_leader), Some(of_other)) = (facts(leader), facts(1 - leader)) else {
            return false;
        };
        // A leader hears late that its follower has gone, and the follower may have led alone meanwhile.
        let follows = of_other.state == PeerState::Following
            && of_other.leader == Some(of_leader.me)
            && of_other.epoch == of_leader.epoch;
        let Some(leading) = of_leader.leading.filter(|_| follows) else { return false };
        let mut learners = leading.learners.iter();
        leading.is_active
            && learners
                .any(|it| it.server == Some(other) && !it.is_observer && it.stage == "synchronised")
    }

    /// Breaks for good the server without the witness's word: the other one must serve alone.
    pub(super) fn break_the_other(&mut self) {
        let Word::To(index) = self.word else { return };
        let other = 1 - index;
        let how = *self.rng.pick(&[Broken::Down, Broken::Cut, Broken::Mute, Broken::Deaf]);
        let now = self.now;
        self.trace.event(now, &[27, other as u64], || format!("s{}: stays {how:?}", other + 1));
        self.servers[other].broken = Some(how);
        if how == Broken::Down && self.servers[other].is_running() {
            self.crash(other, false);
        }
    }
}
