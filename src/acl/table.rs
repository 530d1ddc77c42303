//! The interned ACLs of a tree, with reference counts (`ReferenceCountedACLCache`).
//!
//! A list has two numbers. Its [`AclId`] is ZooKeeper's key: snapshots contain it, it grows and is
//! never reused. Its [`AclSlot`] is its place in this table: small, reused, and kept by nodes.

use std::collections::{BTreeMap, HashMap};

use crate::acl::list::AclList;
use crate::proto::data::AclVector;

/// ZooKeeper's key of an ACL: -1 is the null list, which allows everything; others count up from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AclId(pub i64);

impl AclId {
    /// The null list of built-in nodes (`OPEN_UNSAFE_ACL_ID`).
    pub const OPEN: AclId = AclId(-1);
}

/// The place of a list in its table. Valid while a reference to it is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AclSlot(u32);

impl AclSlot {
    /// The null list, always there and never counted.
    pub const OPEN: AclSlot = AclSlot(0);
}

/// A list in its slot.
#[derive(Debug)]
struct Entry {
    /// ZooKeeper's key of the list.
    id: AclId,
    /// Nodes that have this list. Invariant: 0 only in slot 0, and while loading.
    references: u64,
    /// The list.
    list: AclList,
    /// Whether the index by bytes refers to this slot: not for a second id of one list, nor for a
    /// list that a snapshot failed to define.
    interned: bool,
}

/// Every ACL that some node has, once.
#[derive(Debug)]
pub struct AclTable {
    /// The lists, by slot; `None` in free slots.
    entries: Vec<Option<Entry>>,
    /// Slots to use again. Invariant: each once.
    free: Vec<u32>,
    /// By the bytes of the entries, so that a known list is found without making one.
    by_bytes: HashMap<Box<[u8]>, u32>,
    /// Ids that a snapshot defined or used, while it is being loaded; then empty.
    loading: BTreeMap<AclId, u32>,
    /// The last key that was given out or loaded: the next list gets the one after it.
    id_last: i64,
}

impl Default for AclTable {
    fn default() -> Self {
        AclTable::new()
    }
}

impl AclTable {
    /// A table with only the null list.
    pub fn new() -> AclTable {
        let open = Entry { id: AclId::OPEN, references: 0, list: AclList::open(), interned: false };
        AclTable {
            entries: vec![Some(open)],
            free: Vec::new(),
            by_bytes: HashMap::new(),
            loading: BTreeMap::new(),
            id_last: 0,
        }
    }

    /// Counts one more reference to the list, which is new or known by its bytes.
    pub fn intern(&mut self, acl: AclVector<'_>) -> AclSlot {
        if acl.is_null() {
            return AclSlot::OPEN;
        }
        if let Some(&slot) = self.by_bytes.get(acl.item_bytes()) {
            self.entry_mut(AclSlot(slot)).references += 1;
            return AclSlot(slot);
        }
        let (id, list) = (self.new_id(), AclList::new(acl));
        let slot = self.insert(Entry { id, references: 1, list, interned: true });
        self.by_bytes.insert(acl.item_bytes().into(), slot.0);
        slot
    }

    /// The list with these entries, if some node has it.
    pub fn find(&self, acl: AclVector<'_>) -> Option<&AclList> {
        let slot = self.by_bytes.get(acl.item_bytes())?;
        Some(self.list(AclSlot(*slot)))
    }

    /// An id that no list has had. A snapshot may have used the largest number; then this returns the lowest number
    /// that no list has now.
    // ZooKeeper: ReferenceCountedACLCache.incrementIndex counts on, and overflows.
    fn new_id(&mut self) -> AclId {
        if let Some(next) = self.id_last.checked_add(1) {
            self.id_last = next;
            return AclId(next);
        }
        let is_free = |id: &i64| !self.entries.iter().flatten().any(|entry| entry.id.0 == *id);
        AclId((1..i64::MAX).find(is_free).expect("fewer lists than numbers"))
    }

    /// Removes one reference; the last one frees the slot.
    pub fn release(&mut self, slot: AclSlot) {
        if slot == AclSlot::OPEN {
            return;
        }
        let entry = self.entry_mut(slot);
        assert!(entry.references > 0, "an ACL is released once for each time it was interned");
        entry.references -= 1;
        if entry.references == 0 {
            self.remove(slot);
        }
    }

    /// The list in a slot.
    #[inline]
    pub fn list(&self, slot: AclSlot) -> &AclList {
        &self.entry(slot).list
    }

    /// The entries of the list in a slot.
    pub fn get(&self, slot: AclSlot) -> AclVector<'_> {
        self.entry(slot).list.vector()
    }

    /// ZooKeeper's key of the list in a slot.
    pub fn id(&self, slot: AclSlot) -> AclId {
        self.entry(slot).id
    }

    /// Every list but the null one, for a snapshot.
    pub fn iter(&self) -> impl Iterator<Item = (AclId, &AclList)> {
        self.entries.iter().skip(1).flatten().map(|entry| (entry.id, &entry.list))
    }

    /// Number of lists, the null one not counted.
    pub fn len(&self) -> usize {
        self.entries.len() - 1 - self.free.len()
    }

    /// Whether there is no list but the null one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// While loading: the snapshot says that `id` stands for `list`. Of two lists for one id the
    /// later counts, as in ZooKeeper.
    pub fn load(&mut self, id: AclId, acl: AclVector<'_>) {
        if id == AclId::OPEN {
            return;
        }
        self.id_last = self.id_last.max(id.0);
        // ZooKeeper: refuses a null list here. When it is written again, it must not be null.
        let acl = if acl.is_null() { AclVector::EMPTY } else { acl };
        let list = AclList::new(acl);
        let slot = match self.loading.get(&id) {
            Some(&slot) => {
                let entry = self.entry_mut(AclSlot(slot));
                let old = std::mem::replace(&mut entry.list, list);
                if self.by_bytes.get(old.item_bytes()) == Some(&slot) {
                    self.by_bytes.remove(old.item_bytes());
                }
                slot
            }
            None => self.insert(Entry { id, references: 0, list, interned: false }).0,
        };
        self.loading.insert(id, slot);
        // Two ids for one list happen in ZooKeeper's files: nodes keep their id, and new nodes take
        // the first one.
        let first = *self.by_bytes.entry(acl.item_bytes().into()).or_insert(slot) == slot;
        self.entry_mut(AclSlot(slot)).interned = first;
    }

    /// While loading: counts a reference by a node. An id that the snapshot did not define stands
    /// for a list that grants nothing; the log that is replayed afterwards corrects it.
    // ZooKeeper: such a node loads, and every later access to it throws (ReferenceCountedACLCache).
    pub fn load_reference(&mut self, id: AclId) -> AclSlot {
        if id == AclId::OPEN {
            return AclSlot::OPEN;
        }
        let slot = match self.loading.get(&id) {
            Some(&slot) => AclSlot(slot),
            None => {
                self.id_last = self.id_last.max(id.0);
                let list = AclList::of_anyone(0);
                let slot = self.insert(Entry { id, references: 0, list, interned: false });
                self.loading.insert(id, slot.0);
                slot
            }
        };
        self.entry_mut(slot).references += 1;
        slot
    }

    /// Ends loading: lists that no node has are dropped (`purgeUnused`). From now on the invariant of the references
    /// holds.
    pub fn load_end(&mut self) {
        for slot in std::mem::take(&mut self.loading).into_values() {
            if self.entry(AclSlot(slot)).references == 0 {
                self.remove(AclSlot(slot));
            }
        }
    }

    /// Puts a list into a free slot, or a new one.
    fn insert(&mut self, entry: Entry) -> AclSlot {
        match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = Some(entry);
                AclSlot(slot)
            }
            None => {
                let slot = u32::try_from(self.entries.len()).expect("fewer ACLs than nodes");
                self.entries.push(Some(entry));
                AclSlot(slot)
            }
        }
    }

    /// Frees a slot, and its entry in the index by bytes, if it has that.
    fn remove(&mut self, slot: AclSlot) {
        let entry = self.entries[slot.0 as usize].take().expect("the slot is in use");
        if entry.interned {
            self.by_bytes.remove(entry.list.item_bytes());
        }
        self.free.push(slot.0);
    }

    /// What is in a slot in use.
    #[inline]
    fn entry(&self, slot: AclSlot) -> &Entry {
        self.entries[slot.0 as usize].as_ref().expect("a counted reference keeps the slot in use")
    }

    /// The same, to change it.
    fn entry_mut(&mut self, slot: AclSlot) -> &mut Entry {
        self.entries[slot.0 as usize].as_mut().expect("a counted reference keeps the slot in use")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::acl::Schemes;
    use crate::jute::VectorBuf;
    use crate::proto::data::{AclEntry, Id};

    fn list(name: u8) -> VectorBuf<AclEntry<'static>> {
        let mut list = VectorBuf::default();
        let id = Id { scheme: Some("world"), id: Some("anyone") };
        list.push(&AclEntry { perms: i32::from(name), id });
        list
    }

    proptest! {
        #[test]
        fn a_list_is_there_while_somebody_has_it(
            draws in proptest::collection::vec((any::<bool>(), 0u8..6), 1..100),
        ) {
            let mut table = AclTable::new();
            let mut held: Vec<(u8, AclSlot)> = Vec::new();
            let mut ids = std::collections::BTreeMap::new();
            for (add, name) in draws {
                if add || held.is_empty() {
                    let slot = table.intern(list(name).as_vector());
                    let is_new = !held.iter().any(|(other, _)| *other == name);
                    let id = table.id(slot);
                    if is_new {
                        prop_assert!(!ids.values().any(|known| *known == id), "ids are never reused");
                        ids.insert(name, id);
                    }
                    prop_assert_eq!(ids[&name], id);
                    held.push((name, slot));
                } else {
                    let (_, slot) = held.swap_remove(usize::from(name) % held.len());
                    table.release(slot);
                }
                let mut names: Vec<u8> = held.iter().map(|(name, _)| *name).collect();
                names.sort_unstable();
                names.dedup();
                prop_assert_eq!(table.len(), names.len());
                prop_assert_eq!(table.iter().count(), names.len());
                for (name, slot) in &held {
                    let expected = list(*name);
                    prop_assert_eq!(table.get(*slot), expected.as_vector());
                }
            }
        }
    }

    #[test]
    fn the_null_list_is_open_and_has_zookeepers_key() {
        let mut table = AclTable::new();
        let slot = table.intern(AclVector::NULL);
        assert_eq!(table.id(slot), AclId(-1));
        assert!(table.list(slot).permits(31, &[], &Schemes::USUAL));
        table.release(slot);
        assert!(table.is_empty());
        let open = table.intern(list(31).as_vector());
        assert_eq!(table.id(open), AclId(1), "the same list in words has a key of its own");
    }

    #[test]
    fn loaded_lists_keep_their_keys_and_unused_ones_go() {
        let mut table = AclTable::new();
        for (id, name) in [(7, 1), (3, 2), (9, 1), (4, 5)] {
            table.load(AclId(id), list(name).as_vector());
        }
        let seven = table.load_reference(AclId(7));
        let nine = table.load_reference(AclId(9));
        table.load_reference(AclId(4));
        table.load_end();
        assert_eq!(table.len(), 3);
        assert_eq!((table.id(seven), table.id(nine)), (AclId(7), AclId(9)));
        assert_eq!(table.intern(list(1).as_vector()), seven, "of two keys the first is taken");
        table.release(seven);
        table.release(seven);
        table.release(nine);
        assert_eq!(table.len(), 1);
        let new = table.intern(list(1).as_vector());
        assert_eq!(table.id(new), AclId(10), "above every key that the snapshot had");
    }

    #[test]
    fn the_last_number_there_is_may_be_taken() {
        let mut table = AclTable::new();
        table.load(AclId(i64::MAX), list(1).as_vector());
        table.load(AclId(1), AclVector::NULL);
        table.load_reference(AclId(i64::MAX));
        let empty = table.load_reference(AclId(1));
        table.load_end();
        assert_eq!(table.get(empty), AclVector::EMPTY);
        let slot = table.intern(list(2).as_vector());
        assert_eq!(table.id(slot), AclId(2));
        let slot = table.intern(list(3).as_vector());
        assert_eq!(table.id(slot), AclId(3));
    }

    #[test]
    fn a_key_defined_twice_means_the_later_list() {
        let mut table = AclTable::new();
        table.load(AclId(1), list(1).as_vector());
        table.load(AclId(1), list(2).as_vector());
        let slot = table.load_reference(AclId(1));
        table.load_end();
        assert_eq!(table.get(slot), list(2).as_vector());
        assert_eq!(table.intern(list(2).as_vector()), slot);
        assert_ne!(table.intern(list(1).as_vector()), slot);
    }
}
