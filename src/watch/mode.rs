//! What a watch covers, and how requests name watches.

/// How long a watch lives and what it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WatchMode {
    /// Fires once.
    Standard,
    /// Fires until removed.
    Persistent,
    /// Fires until removed, for the whole subtree; kept among the data watches only.
    PersistentRecursive,
}

impl WatchMode {
    /// The bits of all modes together. A watch may have several at once, each set and removed for itself.
    pub(super) const ALL_BITS: u8 = 7;

    /// The mode with this number in an `addWatch` request (`AddWatchMode`); a standard watch has none.
    pub const fn from_i32(number: i32) -> Option<WatchMode> {
        match number {
            0 => Some(WatchMode::Persistent),
            1 => Some(WatchMode::PersistentRecursive),
            _ => None,
        }
    }

    /// The bit of the mode in a set of modes.
    pub(super) const fn bit(self) -> u8 {
        match self {
            WatchMode::Standard => 1,
            WatchMode::Persistent => 2,
            WatchMode::PersistentRecursive => 4,
        }
    }
}

/// Which of ZooKeeper's two tables a watch is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WatchKind {
    /// Set by exists and getData.
    Data,
    /// Set by getChildren.
    Child,
}

/// What `checkWatches` and `removeWatches` ask for (`Watcher.WatcherType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WatcherType {
    /// Standard child watches.
    Children,
    /// Standard data watches.
    Data,
    /// Every kind and mode.
    Any,
    /// Persistent watches.
    Persistent,
    /// Persistent recursive watches.
    PersistentRecursive,
}

impl WatcherType {
    /// The type with this number on the wire. ZooKeeper knows 4 and 5 since 3.9.
    pub const fn from_i32(number: i32) -> Option<WatcherType> {
        Some(match number {
            1 => WatcherType::Children,
            2 => WatcherType::Data,
            3 => WatcherType::Any,
            4 => WatcherType::Persistent,
            5 => WatcherType::PersistentRecursive,
            _ => return None,
        })
    }

    /// The modes that it names in each table: data, child.
    // ZooKeeper: DataTree.removeWatch.
    pub(super) const fn bits(self) -> [u8; 2] {
        match self {
            WatcherType::Children => [0, WatchMode::Standard.bit()],
            WatcherType::Data => [WatchMode::Standard.bit(), 0],
            WatcherType::Any => [WatchMode::ALL_BITS; 2],
            WatcherType::Persistent => [WatchMode::Persistent.bit(); 2],
            WatcherType::PersistentRecursive => [WatchMode::PersistentRecursive.bit(), 0],
        }
    }
}
