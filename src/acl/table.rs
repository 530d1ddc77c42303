//! The interned ACLs of a tree, with reference counts (`ReferenceCountedACLCache`).
//!
//! A list has two numbers. Its [`AclId`] is ZooKeeper's key: it stands in snapshots, grows and is
//! never reused. Its [`AclSlot`] is where it lies here: small, reused, and what nodes keep.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::acl::list::AclList;
use crate::proto::data::AclVector;

/// ZooKeeper's key of an ACL: -1 is the null list, which means open to all; others count up from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AclId(pub i64);

impl AclId {
    /// The null list of built-in nodes (`OPEN_UNSAFE_ACL_ID`).
    pub const OPEN: AclId = AclId(-1);
}

/// Where a list lies in its table. Valid while a reference to it is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AclSlot(u32);

impl AclSlot {
    /// The null list, always there and never counted.
    pub const OPEN: AclSlot = AclSlot(0);
}

#[derive(Debug)]
struct Entry {
    id: AclId,
    /// Nodes that have this list. Invariant: 0 only in free slots, in slot 0, and while loading.
    references: u64,
    list: AclList,
    /// Whether `encoded` of this list leads here; not so for one that a snapshot failed to define.
    interned: bool,
}

/// Every ACL that some node has, once.
#[derive(Debug)]
pub struct AclTable {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    by_bytes: HashMap<Rc<[u8]>, u32>,
    /// Ids that a snapshot defined or used, while it is being loaded; then empty.
    loading: BTreeMap<AclId, u32>,
    id_last: i64,
}

impl Default for AclTable {
    fn default() -> Self {
        AclTable::new()
    }
}

impl AclTable {
    /// A table of the null list alone.
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
        let list = AclList::new(acl);
        if let Some(&slot) = self.by_bytes.get(list.encoded()) {
            self.entry_mut(AclSlot(slot)).references += 1;
            return AclSlot(slot);
        }
        self.id_last += 1;
        let id = AclId(self.id_last);
        let bytes = Rc::from(list.encoded());
        let slot = self.insert(Entry { id, references: 1, list, interned: true });
        self.by_bytes.insert(bytes, slot.0);
        slot
    }

    /// Counts one reference less; the last one frees the slot.
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
        let list = AclList::new(acl);
        let bytes: Rc<[u8]> = Rc::from(list.encoded());
        let slot = match self.loading.get(&id) {
            Some(&slot) => {
                let entry = self.entry_mut(AclSlot(slot));
                let old = std::mem::replace(&mut entry.list, list);
                if self.by_bytes.get(old.encoded()) == Some(&slot) {
                    self.by_bytes.remove(old.encoded());
                }
                slot
            }
            None => self.insert(Entry { id, references: 0, list, interned: false }).0,
        };
        self.loading.insert(id, slot);
        // Two ids for one list happen in ZooKeeper's files: nodes keep the id they have, and new
        // nodes take the first.
        let first = *self.by_bytes.entry(bytes).or_insert(slot) == slot;
        self.entry_mut(AclSlot(slot)).interned = first;
    }

    /// While loading: counts a reference by a node. An id that the snapshot did not define stands
    /// for a list that gives nothing to anybody; the log replayed on top of it will say better.
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

    /// Ends loading: lists that no node has are dropped (`purgeUnused`).
    pub fn load_end(&mut self) {
        for slot in std::mem::take(&mut self.loading).into_values() {
            if self.entry(AclSlot(slot)).references == 0 {
                self.remove(AclSlot(slot));
            }
        }
    }

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

    fn remove(&mut self, slot: AclSlot) {
        let entry = self.entries[slot.0 as usize].take().expect("the slot is in use");
        if entry.interned {
            self.by_bytes.remove(entry.list.encoded());
        }
        self.free.push(slot.0);
    }

    #[inline]
    fn entry(&self, slot: AclSlot) -> &Entry {
        self.entries[slot.0 as usize].as_ref().expect("a counted reference keeps the slot in use")
    }

    fn entry_mut(&mut self, slot: AclSlot) -> &mut Entry {
        self.entries[slot.0 as usize].as_mut().expect("a counted reference keeps the slot in use")
    }
}
