//! What an ensemble has broadcast and delivered, and what the paper demands of it.

use std::collections::{BTreeMap, BTreeSet};

use ringkeeper::id::Epoch;

use crate::disk::Change;

/// A primary has broadcast a transaction.
#[derive(Clone, Debug)]
pub struct Broadcast {
    pub change: Change,
    /// What it had delivered before.
    pub delivered: Vec<Change>,
}

/// What was broadcast, and delivered.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    pub broadcasts: Vec<Broadcast>,
    /// What each process delivers since it became ready.
    open: BTreeMap<i64, Vec<Change>>,
    /// The same of those times that are over.
    over: Vec<(i64, Vec<Change>)>,
}

impl Trace {
    /// A process is ready, and delivers all of its history.
    pub fn begin(&mut self, id: i64, history: Vec<Change>) {
        self.end(id);
        self.open.insert(id, history);
    }

    pub fn deliver(&mut self, id: i64, change: Change) {
        self.open.get_mut(&id).expect("it is ready").push(change);
    }

    /// A process delivers nothing more, until it is ready again.
    pub fn end(&mut self, id: i64) {
        self.over.extend(self.open.remove(&id).map(|changes| (id, changes)));
    }

    /// What a process has delivered since it became ready.
    pub fn delivered(&self, id: i64) -> &[Change] {
        self.open.get(&id).map_or(&[], Vec::as_slice)
    }

    /// What was delivered, each time that a process was ready.
    pub fn deliveries(&self) -> impl Iterator<Item = &Vec<Change>> {
        self.over.iter().map(|(_, changes)| changes).chain(self.open.values())
    }

    /// The same of one process.
    pub fn deliveries_of(&self, id: i64) -> impl Iterator<Item = &Vec<Change>> {
        let over = self.over.iter().filter(move |(of, _)| *of == id).map(|(_, changes)| changes);
        over.chain(self.open.get(&id))
    }

    /// What the primary of an epoch has broadcast, in its order.
    fn broadcasts_of(&self, epoch: Epoch) -> Vec<Change> {
        let changes = self.broadcasts.iter().map(|broadcast| broadcast.change);
        changes.filter(|(zxid, _)| zxid.epoch() == epoch).collect()
    }

    /// Each of the deliveries as a set.
    fn sets(&self) -> Vec<BTreeSet<Change>> {
        self.deliveries().map(|changes| changes.iter().copied().collect()).collect()
    }

    // ---- the properties of atomic broadcast

    /// Whatever is delivered was broadcast.
    pub fn has_integrity(&self) -> bool {
        let broadcast: BTreeSet<Change> = self.broadcasts.iter().map(|it| it.change).collect();
        self.sets().iter().all(|delivered| delivered.is_subset(&broadcast))
    }

    /// Who delivers one behind another here, delivers it behind that one everywhere: up to the last that two have in
    /// common they are the same.
    pub fn is_totally_ordered(&self) -> bool {
        let sets = self.sets();
        self.deliveries().all(|one| {
            self.deliveries().zip(&sets).all(|(other, set)| {
                let Some(end) = one.iter().rposition(|change| set.contains(change)) else {
                    return true;
                };
                other.starts_with(&one[..=end])
            })
        })
    }

    /// Of two that deliver something, one delivers what the other does.
    pub fn agrees(&self) -> bool {
        let sets = self.sets();
        sets.iter().all(|one| sets.iter().all(|other| one.is_subset(other) || other.is_subset(one)))
    }

    // ---- the properties of primary order

    /// What a primary broadcasts first is delivered first by whoever delivers what comes behind it.
    pub fn has_local_primary_order(&self) -> bool {
        self.deliveries().all(|delivered| {
            let epochs: BTreeSet<Epoch> = delivered.iter().map(|(zxid, _)| zxid.epoch()).collect();
            epochs.into_iter().all(|epoch| {
                let of_epoch: Vec<Change> =
                    delivered.iter().filter(|(zxid, _)| zxid.epoch() == epoch).copied().collect();
                self.broadcasts_of(epoch).starts_with(&of_epoch)
            })
        })
    }

    /// What an earlier primary has broadcast is delivered before what a later one has.
    pub fn has_global_primary_order(&self) -> bool {
        self.deliveries().all(|delivered| delivered.is_sorted_by_key(|(zxid, _)| zxid.epoch()))
    }

    /// A primary has delivered all that is ever delivered of earlier primaries before it broadcasts anything.
    pub fn has_primary_integrity(&self) -> bool {
        let ever: BTreeSet<Change> = self.deliveries().flatten().copied().collect();
        self.broadcasts.iter().all(|broadcast| {
            let epoch = broadcast.change.0.epoch();
            let before: BTreeSet<Change> = broadcast.delivered.iter().copied().collect();
            ever.iter().filter(|(zxid, _)| zxid.epoch() < epoch).all(|it| before.contains(it))
        })
    }
}
