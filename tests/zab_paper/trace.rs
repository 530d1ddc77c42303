//! What an ensemble has broadcast and delivered, and the properties that the paper demands of that.

use std::collections::{BTreeMap, BTreeSet};

use ringkeeper::id::Epoch;

use crate::disk::Change;

/// One transaction that a primary has broadcast.
#[derive(Clone, Debug)]
pub struct Broadcast {
    pub change: Change,
    /// The changes that the primary had delivered before.
    pub delivered: Vec<Change>,
}

/// All that was broadcast and delivered.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    pub broadcasts: Vec<Broadcast>,
    /// The deliveries of each process since it became ready.
    open: BTreeMap<i64, Vec<Change>>,
    /// The deliveries of earlier times in which a process was ready.
    over: Vec<(i64, Vec<Change>)>,
}

impl Trace {
    /// Notes that a process is ready and delivers all of its history.
    pub fn begin(&mut self, id: i64, history: Vec<Change>) {
        self.end(id);
        self.open.insert(id, history);
    }

    pub fn deliver(&mut self, id: i64, change: Change) {
        self.open.get_mut(&id).expect("it is ready").push(change);
    }

    /// Notes that a process delivers nothing more until it is ready again.
    pub fn end(&mut self, id: i64) {
        self.over.extend(self.open.remove(&id).map(|changes| (id, changes)));
    }

    /// What a process has delivered since it became ready.
    pub fn delivered(&self, id: i64) -> &[Change] {
        self.open.get(&id).map_or(&[], Vec::as_slice)
    }

    /// The deliveries of each time in which a process was ready.
    pub fn deliveries(&self) -> impl Iterator<Item = &Vec<Change>> {
        self.over.iter().map(|(_, changes)| changes).chain(self.open.values())
    }

    /// The deliveries of each time in which process `id` was ready.
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

    /// Integrity: every delivered change was broadcast.
    pub fn has_integrity(&self) -> bool {
        let broadcast: BTreeSet<Change> = self.broadcasts.iter().map(|it| it.change).collect();
        self.sets().iter().all(|delivered| delivered.is_subset(&broadcast))
    }

    /// Total order: all processes deliver changes in the same order. Two deliveries are equal up to the last change
    /// that they have in common.
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

    /// Agreement: of any two deliveries, one contains all changes of the other.
    pub fn agrees(&self) -> bool {
        let sets = self.sets();
        sets.iter().all(|one| sets.iter().all(|other| one.is_subset(other) || other.is_subset(one)))
    }

    // ---- the properties of primary order

    /// Local primary order: a process that delivers a change of a primary has delivered all earlier changes of that
    /// primary.
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

    /// Global primary order: changes of an earlier primary are delivered before those of a later one.
    pub fn has_global_primary_order(&self) -> bool {
        self.deliveries().all(|delivered| delivered.is_sorted_by_key(|(zxid, _)| zxid.epoch()))
    }

    /// Primary integrity: before a primary broadcasts anything, it has delivered every change of earlier primaries
    /// that is ever delivered.
    pub fn has_primary_integrity(&self) -> bool {
        let ever: BTreeSet<Change> = self.deliveries().flatten().copied().collect();
        self.broadcasts.iter().all(|broadcast| {
            let epoch = broadcast.change.0.epoch();
            let before: BTreeSet<Change> = broadcast.delivered.iter().copied().collect();
            ever.iter().filter(|(zxid, _)| zxid.epoch() < epoch).all(|it| before.contains(it))
        })
    }
}
