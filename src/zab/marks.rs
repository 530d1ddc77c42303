//! Marks of a history, by which two servers find out whether they have the same history.
//!
//! A zxid is not enough: if a quorum loses its data and begins anew, the same epochs and zxids come again with other
//! transactions. So a learner tells its leader, beside its last zxid, which sessions asked for its last transactions
//! and when, and the digest of the tree after each. A zxid belongs to one transaction of one leader, so that two
//! different marks of one zxid prove two histories. Equal marks prove that everything up to there is common, because
//! the digest covers all of it, and because no server gets a transaction without those before it. If no mark of one
//! zxid is known to both servers, nothing is proved, and nothing may be kept.

use crate::id::{SessionId, Zxid};
use crate::jute::Decoder;
use crate::limits::{HISTORY_MARKS_MAX, LEARNER_EARLY_BYTES_MAX};
use crate::proto::txn::{DIGEST_VERSION, Txn};

/// The number of newest transactions with a mark each. Of the transactions before, only some have one, ever further
/// apart.
const MARKS_DENSE: usize = 256;

/// The number of newest epochs of which the first transaction has a mark, too.
///
/// A history that begins anew goes through the same epochs, and each begins with the same counter. So these are the
/// zxids that two histories are likely to share if one of them is short.
const EPOCHS_MARKED: usize = 160;

// The others are at powers of two: 64 of them reach further back than memory does.
const _: () = assert!(MARKS_DENSE + EPOCHS_MARKED + 64 == HISTORY_MARKS_MAX);

// All marks are in one packet, and a learner may send no more at once.
const _: () = assert!(HISTORY_MARKS_MAX * Mark::BYTES + 256 <= LEARNER_EARLY_BYTES_MAX);

/// A server's knowledge of one point of its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The point.
    pub zxid: Zxid,
    /// The session that asked for the transaction, and the leader's clock then, in ms; `None`: the transaction is not
    /// at hand.
    pub txn: Option<(SessionId, i64)>,
    /// The digest of the tree after it, if it is known.
    pub digest: Option<i64>,
}

impl Mark {
    /// Length of the encoding.
    const BYTES: usize = 8 + 1 + 8 + 8 + 8;
    const HAS_TXN: u8 = 1;
    const HAS_DIGEST: u8 = 2;

    /// The mark of a transaction.
    pub fn of(txn: &Txn) -> Mark {
        let header = txn.header();
        let digest = txn.digest_after().filter(|digest| digest.version == DIGEST_VERSION);
        Mark {
            zxid: header.zxid,
            txn: Some((header.client_id, header.time)),
            digest: digest.map(|digest| digest.tree_digest),
        }
    }

    /// Whether both marks are of one zxid, and no history can have both.
    pub fn contradicts(&self, other: &Mark) -> bool {
        fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.zip(other).is_some_and(|(one, other)| one != other)
        }
        self.zxid == other.zxid
            && (differ(self.txn, other.txn) || differ(self.digest, other.digest))
    }

    /// Whether both marks are of one zxid, and prove that their histories are the same up to there.
    pub fn agrees(&self, other: &Mark) -> bool {
        fn equal<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.is_some() && one == other
        }
        self.zxid == other.zxid
            && !self.contradicts(other)
            && (equal(self.txn, other.txn) || equal(self.digest, other.digest))
    }

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let has_txn = if self.txn.is_some() { Mark::HAS_TXN } else { 0 };
        let has_digest = if self.digest.is_some() { Mark::HAS_DIGEST } else { 0 };
        let (session, time) = self.txn.unwrap_or((SessionId(0), 0));
        let start = out.len();
        out.extend_from_slice(&self.zxid.0.to_be_bytes());
        out.push(has_txn | has_digest);
        out.extend_from_slice(&session.0.to_be_bytes());
        out.extend_from_slice(&time.to_be_bytes());
        out.extend_from_slice(&self.digest.unwrap_or(0).to_be_bytes());
        assert_eq!(out.len() - start, Mark::BYTES, "every mark has one length");
    }

    /// Reads a mark; `None`: the bytes are not one.
    pub fn decode(bytes: &[u8]) -> Option<Mark> {
        if bytes.len() != Mark::BYTES {
            return None;
        }
        let mut input = Decoder::new(bytes);
        let zxid = Zxid(input.i64().ok()?);
        let flags = input.take(1).ok()?[0];
        let txn = (SessionId(input.i64().ok()?), input.i64().ok()?);
        let digest = input.i64().ok()?;
        assert!(input.is_empty(), "the length was checked");
        Some(Mark {
            zxid,
            txn: (flags & Mark::HAS_TXN != 0).then_some(txn),
            digest: (flags & Mark::HAS_DIGEST != 0).then_some(digest),
        })
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.txn {
            Some((origin, _)) if self.zxid == Zxid::ZERO => {
                return write!(f, "the origin {}", origin.0);
            }
            Some((session, time)) => write!(f, "a transaction of session {session} at {time} ms")?,
            None => write!(f, "a snapshot")?,
        }
        match self.digest {
            Some(digest) => write!(f, " (digest {digest:x})"),
            None => write!(f, " (digest unknown)"),
        }
    }
}

/// Marks of one history: zxids rise, and there are at most [`HISTORY_MARKS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(Vec<Mark>);

impl Marks {
    /// Chooses from all marks of a history, which begin with the newest.
    pub fn choose(all: impl Iterator<Item = Mark>) -> Marks {
        let mut all = all.enumerate().peekable();
        let mut marks = Vec::new();
        let mut epochs = 0;
        while let Some((at, mark)) = all.next() {
            let older = all.peek().map(|(_, older)| older.zxid.epoch());
            let is_oldest = older.is_none();
            let begins_epoch = older != Some(mark.zxid.epoch()) && epochs < EPOCHS_MARKED;
            let is_near = at < MARKS_DENSE || at.is_power_of_two();
            if is_near || begins_epoch || is_oldest {
                epochs += usize::from(!is_near);
                marks.push(mark);
            }
        }
        marks.reverse();
        assert!(marks.len() <= HISTORY_MARKS_MAX, "{} marks, more than are read", marks.len());
        Marks(marks)
    }

    /// The oldest point at which another history, whose marks `known` gives, differs from this one: this history's
    /// mark, and the other's.
    pub fn difference(&self, known: impl Fn(Zxid) -> Option<Mark>) -> Option<(Mark, Mark)> {
        self.0.iter().find_map(|mark| {
            known(mark.zxid).filter(|other| mark.contradicts(other)).map(|other| (*mark, other))
        })
    }

    /// The mark of this zxid, if there is one.
    pub fn at(&self, zxid: Zxid) -> Option<Mark> {
        let at = self.0.binary_search_by_key(&zxid, |mark| mark.zxid).ok()?;
        assert_eq!(self.0[at].zxid, zxid, "a mark is found by its zxid");
        Some(self.0[at])
    }

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|mark| mark.encode(out));
    }

    /// Reads marks; `None`: the bytes are not marks, or too many.
    pub fn decode(bytes: &[u8]) -> Option<Marks> {
        let (items, rest) = bytes.as_chunks::<{ Mark::BYTES }>();
        if !rest.is_empty() || items.len() > HISTORY_MARKS_MAX {
            return None;
        }
        let marks: Vec<Mark> =
            items.iter().map(|item| Mark::decode(item)).collect::<Option<_>>()?;
        marks.is_sorted_by(|one, next| one.zxid < next.zxid).then_some(Marks(marks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Epoch;

    fn mark(zxid: i64, txn: Option<i64>, digest: Option<i64>) -> Mark {
        Mark { zxid: Zxid(zxid), txn: txn.map(|time| (SessionId(7), time)), digest }
    }

    #[test]
    fn only_what_both_know_can_differ() {
        let one = mark(5, Some(100), Some(1));
        assert!(!one.contradicts(&one));
        assert!(one.contradicts(&mark(5, Some(101), Some(1))));
        assert!(one.contradicts(&mark(5, Some(100), Some(2))));
        assert!(one.contradicts(&mark(5, None, Some(2))));
        assert!(!one.contradicts(&mark(5, Some(100), None)));
        assert!(!one.contradicts(&mark(5, None, None)));
        assert!(!one.contradicts(&mark(6, Some(101), Some(2))));
    }

    #[test]
    fn only_what_both_know_can_agree() {
        let one = mark(5, Some(100), Some(1));
        assert!(one.agrees(&one));
        assert!(one.agrees(&mark(5, Some(100), None)));
        assert!(one.agrees(&mark(5, None, Some(1))));
        assert!(!one.agrees(&mark(5, None, None)));
        assert!(!mark(5, None, None).agrees(&mark(5, None, None)));
        assert!(!mark(5, None, Some(1)).agrees(&mark(5, Some(100), None)));
        // One of two is not enough where the other differs.
        assert!(!one.agrees(&mark(5, Some(100), Some(2))));
        assert!(!one.agrees(&mark(5, Some(101), Some(1))));
        assert!(!one.agrees(&mark(6, Some(100), Some(1))));
    }

    #[test]
    fn they_are_read_as_they_were_written() {
        let all = [mark(9, Some(3), Some(-1)), mark(8, None, Some(4)), mark(2, Some(1), None)];
        let marks = Marks::choose(all.into_iter());
        let mut bytes = Vec::new();
        marks.encode(&mut bytes);
        assert_eq!(Marks::decode(&bytes), Some(marks.clone()));
        assert_eq!(marks.at(Zxid(8)), Some(all[1]));
        assert_eq!(marks.at(Zxid(7)), None);
        assert_eq!(Marks::decode(&bytes[1..]), None);
        // Zxids rise, and there is a bound.
        let twice = [&bytes[..], &bytes[..]].concat();
        assert_eq!(Marks::decode(&twice), None);
        assert_eq!(Marks::decode(&vec![0; Mark::BYTES * (HISTORY_MARKS_MAX + 1)]), None);
        assert_eq!(Marks::decode(&[]), Some(Marks::default()));
    }

    #[test]
    fn a_long_history_has_marks_further_and_further_apart() {
        let all = (1..=100_000).rev().map(|zxid| mark(zxid, Some(zxid), None));
        let marks = Marks::choose(all);
        assert!(marks.0.len() <= HISTORY_MARKS_MAX, "{}", marks.0.len());
        assert_eq!(marks.at(Zxid(100_000 - 255)).unwrap().zxid, Zxid(100_000 - 255));
        assert!(marks.at(Zxid(100_000 - 65_536)).is_some());
        // The oldest difference is found.
        let known = |zxid: Zxid| Some(mark(zxid.0, Some(zxid.0.max(50_000)), None));
        let (ours, theirs) = marks.difference(known).unwrap();
        assert_eq!(ours.zxid, Zxid(1));
        assert_eq!(theirs.txn, Some((SessionId(7), 50_000)));
    }

    #[test]
    fn a_short_history_meets_the_beginning_of_a_long_one() {
        let zxids = |epoch, last| (1..=last).map(move |n| Zxid::new(Epoch(epoch), n));
        let long: Vec<Zxid> = zxids(1, 310).chain(zxids(2, 300)).collect();
        let marks = Marks::choose(long.iter().rev().map(|zxid| mark(zxid.0, Some(1), None)));
        for epoch in [1, 2] {
            let short = |zxid| (zxid == Zxid::new(Epoch(epoch), 1)).then_some(zxid);
            let known = |zxid: Zxid| short(zxid).map(|zxid| mark(zxid.0, Some(2), None));
            assert!(marks.difference(known).is_some(), "epoch {epoch}");
        }
    }

    #[test]
    fn however_many_epochs_there_are_the_marks_have_a_bound() {
        let all =
            (1..=100_000).rev().map(|epoch| mark(Zxid::new(Epoch(epoch), 1).0, Some(1), None));
        let marks = Marks::choose(all);
        assert!(marks.0.len() <= HISTORY_MARKS_MAX, "{}", marks.0.len());
        let mut bytes = Vec::new();
        marks.encode(&mut bytes);
        assert_eq!(Marks::decode(&bytes), Some(marks));
    }
}
