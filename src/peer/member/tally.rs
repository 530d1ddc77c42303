//! What a member counts: how often and how long it was without a leader, what went by.

use super::*;

/// Counts, and when what is being measured began.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) counts: PeerCounts,
    /// When it ceased to serve; `None`: it serves.
    unavailable_since: Option<MonoUs>,
    /// When it began to join the elected leader.
    joining_since: Option<MonoUs>,
    /// How long it took to join it, in ms, once that is done.
    pub(super) join_ms: Option<u64>,
}

impl Tally {
    /// It begins to look for a leader.
    // ZooKeeper: QuorumPeer.setPeerState begins to measure unavailable_time at the first LOOKING.
    pub(super) fn look(&mut self, now: MonoUs) {
        self.counts.lookings += 1;
        self.unavailable_since.get_or_insert(now);
        self.joining_since = None;
        self.join_ms = None;
    }

    /// A leader is elected, after so many ms of looking.
    pub(super) fn elected(&mut self, now: MonoUs, ms: u64) {
        self.counts.elections_ms.add(ms);
        self.joining_since = Some(now);
    }

    /// It leads, follows or observes, and serves.
    pub(super) fn joined(&mut self, now: MonoUs, standing: Standing) {
        let since = self.joining_since.take();
        self.join_ms = since.map(|since| now.since_us(since) / 1000);
        let counts = &mut self.counts;
        let durations = match standing {
            Standing::Following { .. } => Some(&mut counts.follower_sync_ms),
            Standing::Observing { .. } => Some(&mut counts.observer_sync_ms),
            Standing::Looking | Standing::Leading { .. } => None,
        };
        if let (Some(durations), Some(ms)) = (durations, self.join_ms) {
            durations.add(ms);
        }
        let Some(since) = self.unavailable_since.take() else { return };
        let ms = now.since_us(since) / 1000;
        counts.unavailable_ms.add(ms);
        if matches!(standing, Standing::Leading { .. }) {
            counts.leader_unavailable_ms.add(ms);
        }
    }

    /// It hands `ready` over to the replica.
    pub(super) fn hand_over(&mut self, ready: &Ready, leads: bool) {
        let (proposals, commits) = (ready.append.len() as u64, ready.commit.len() as u64);
        if leads {
            self.counts.proposals += proposals;
            self.counts.commits += commits;
        } else {
            self.counts.proposals_received += proposals;
            self.counts.commits_received += commits;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> MonoUs {
        MonoUs(ms * 1000)
    }

    #[test]
    fn times_without_a_leader_end_when_it_serves() {
        let mut tally = Tally::default();
        tally.look(at(0));
        tally.elected(at(200), 200);
        // The leader is lost before it was joined.
        tally.look(at(300));
        tally.elected(at(450), 150);
        assert_eq!(tally.join_ms, None);
        tally.joined(at(480), Standing::Following { leader: ServerId(2), epoch: Epoch(1) });
        assert_eq!(tally.join_ms, Some(30));
        tally.look(at(1000));
        tally.elected(at(1010), 10);
        tally.joined(at(1015), Standing::Leading { epoch: Epoch(2) });
        let counts = tally.counts;
        assert_eq!(counts.lookings, 3);
        assert_eq!(counts.elections_ms, Durations { count: 3, sum: 360, min: 10, max: 200 });
        assert_eq!(counts.unavailable_ms, Durations { count: 2, sum: 495, min: 15, max: 480 });
        assert_eq!(counts.leader_unavailable_ms, Durations { count: 1, sum: 15, min: 15, max: 15 });
        assert_eq!(counts.follower_sync_ms.count, 1);
        assert_eq!(counts.observer_sync_ms.count, 0);
    }
}
