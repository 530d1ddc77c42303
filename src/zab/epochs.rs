//! The state that a member keeps on disk beside its data (two epochs, and the origin of its history), and what it says
//! of it in ACKEPOCH.

use super::Mark;
use crate::id::{Epoch, SessionId, Zxid};

/// The number of a history. A leader that begins with an empty history draws one, and every Ringkeeper that gets the
/// history keeps it.
///
/// A history that begins anew has the same zxids as the one before it. Once both are long, no mark is in the memory of
/// both servers; the origins distinguish the two histories all the same. A history that began with Apache ZooKeeper has
/// none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin(pub i64);

impl Origin {
    /// The origin as a mark, which every server with this history has.
    pub fn mark(self) -> Mark {
        Mark { zxid: Zxid::ZERO, txn: Some((SessionId(self.0), 0)), digest: None }
    }

    /// The origin that a mark at zxid 0 stands for.
    pub fn of_mark(mark: &Mark) -> Option<Origin> {
        let (number, _) = mark.txn.filter(|_| mark.zxid == Zxid::ZERO)?;
        Some(Origin(number.0))
    }
}

/// The epoch that a server has promised to respect, and the epoch that it has followed.
///
/// Invariant: `0 ≤ current ≤ accepted`. `current` is 0 on a server that has never had a leader's history. Whether such
/// a server may vote depends on its last zxid, not on this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs {
    /// `acceptedEpoch`: this server follows no leader of an earlier epoch.
    pub accepted: Epoch,
    /// `currentEpoch`: the epoch of the leader whose history this server has taken over.
    pub current: Epoch,
    /// The origin of that history, if it is known. `historyOrigin` keeps it while `current` is above 0.
    pub origin: Option<Origin>,
}

impl Epochs {
    /// Name of the file that holds [`Epochs::accepted`].
    pub const ACCEPTED_FILE: &'static str = "acceptedEpoch";
    /// Name of the file that holds [`Epochs::current`].
    pub const CURRENT_FILE: &'static str = "currentEpoch";
    /// Name of the file that holds [`Epochs::origin`] ([`OriginFile`]).
    // ZooKeeper reads no file of this name.
    pub const ORIGIN_FILE: &'static str = "historyOrigin";

    /// The epochs of a history whose origin is not known.
    pub const fn new(accepted: Epoch, current: Epoch) -> Epochs {
        Epochs { accepted, current, origin: None }
    }
}

/// The content of `historyOrigin`: the origins of one leader's history, or of two, each with its epoch.
///
/// ```text
/// NUMBER EPOCH        NUMBER decimal, signed; EPOCH decimal
/// NUMBER EPOCH
/// ```
/// or the one line `none`. A line counts while currentEpoch is its EPOCH. So neither a change of currentEpoch without
/// this file, as by Apache ZooKeeper, nor a crash between the two files leaves a number that belongs to other data.
/// Before currentEpoch changes, the file has both lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OriginFile([Option<(Origin, Epoch)>; 2]);

impl OriginFile {
    /// The text of the file if no origin is known.
    const NOTHING: &'static str = "none";

    /// The file as it is between two values of currentEpoch.
    pub fn between(before: Option<Epochs>, after: Epochs) -> OriginFile {
        let before = before.filter(|before| before.current != after.current);
        let line = |epochs: Epochs| Some((epochs.origin?, epochs.current));
        let file = match (before.and_then(line), line(after)) {
            (Some(before), after) => OriginFile([Some(before), after]),
            (None, after) => OriginFile([after, None]),
        };
        assert_eq!(OriginFile::parse(&file.to_string()), Some(file), "it is read as it is written");
        file
    }

    /// The origin of the history of this epoch's leader.
    // Without a leader's history, an origin that was drawn for one does not count.
    pub fn origin(&self, current: Epoch) -> Option<Origin> {
        let mut lines = self.0.iter().flatten();
        lines
            .find(|(_, epoch)| *epoch == current && current > Epoch::ZERO)
            .map(|(origin, _)| *origin)
    }

    /// Reads the file; `None`: no server writes such a text.
    pub fn parse(text: &str) -> Option<OriginFile> {
        if text.trim() == Self::NOTHING {
            return Some(OriginFile::default());
        }
        let mut lines = text.lines().map(|line| {
            let (number, epoch) = line.trim().split_once(' ')?;
            Some((Origin(number.parse().ok()?), Epoch(epoch.parse().ok()?)))
        });
        let file = OriginFile([
            Some(lines.next()??),
            lines.next().map_or(Some(None), |line| Some(Some(line?)))?,
        ]);
        lines.next().is_none().then_some(file)
    }
}

impl std::fmt::Display for OriginFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == OriginFile::default() {
            return f.write_str(Self::NOTHING);
        }
        for (Origin(number), epoch) in self.0.iter().flatten() {
            writeln!(f, "{number} {epoch}")?;
        }
        Ok(())
    }
}

/// A learner's answer to a leader's epoch (ACKEPOCH).
// ZooKeeper: Learner.registerWithLeader writes one number, and -1 for both "do not count me" and the
// currentEpoch of a server that had no data. A server with a tree and that number was never counted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochAck {
    /// The learner promises to follow no earlier leader, for the first time, and its history is of this epoch: it
    /// counts for the quorum.
    Counts(Epoch),
    /// The learner has promised so before, perhaps to another leader, or has no history to compare.
    DoesNotCount,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(current: i64, origin: Option<i64>) -> Epochs {
        Epochs { origin: origin.map(Origin), ..Epochs::new(Epoch(9), Epoch(current)) }
    }

    #[test]
    fn an_origin_counts_only_with_the_epoch_beside_which_it_was_written() {
        let file = OriginFile::between(Some(epochs(5, Some(-1))), epochs(7, Some(2)));
        assert_eq!(file.to_string(), "-1 5\n2 7\n");
        assert_eq!(file.origin(Epoch(5)), Some(Origin(-1)));
        assert_eq!(file.origin(Epoch(7)), Some(Origin(2)));
        // Apache ZooKeeper has followed another leader since.
        assert_eq!(file.origin(Epoch(8)), None);
        assert_eq!(file.origin(Epoch::ZERO), None);
    }

    #[test]
    fn an_origin_is_given_up_in_the_epoch_that_is_current() {
        let file = OriginFile::between(Some(epochs(5, Some(1))), epochs(5, None));
        assert_eq!(file.to_string(), "none");
        assert_eq!(file.origin(Epoch(5)), None);
    }

    #[test]
    fn what_is_written_is_read_and_what_nobody_writes_is_not() {
        for (before, after) in
            [(None, None), (Some(i64::MIN), None), (None, Some(3)), (Some(1), Some(i64::MAX))]
        {
            let file = OriginFile::between(Some(epochs(5, before)), epochs(6, after));
            assert_eq!(OriginFile::parse(&file.to_string()), Some(file));
        }
        for text in ["", "7", "x 1", "7 x", "7 1\nx", "7 1\n8 2\n9 3\n", "7 1\n\n"] {
            assert_eq!(OriginFile::parse(text), None, "{text:?}");
        }
    }
}
