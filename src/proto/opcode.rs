//! The types of requests (`ZooDefs.OpCode`) and the kinds of nodes (`CreateMode`).

macro_rules! opcodes {
    ($($(#[$meta:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// The type of a request, and of the transaction that it becomes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i32)]
        pub enum OpCode { $($(#[$meta])* $name = $number,)* }

        impl OpCode {
            /// Every opcode, in the order of their numbers except for the internal ones.
            pub const ALL: &'static [OpCode] = &[$(OpCode::$name,)*];

            /// The opcode with this number.
            pub const fn from_i32(number: i32) -> Option<OpCode> {
                match number { $($number => Some(OpCode::$name),)* _ => None }
            }

            /// ZooKeeper's name for it (`Request.op2String`).
            pub const fn name(self) -> &'static str {
                match self { $(OpCode::$name => $text,)* }
            }
        }
    };
}

opcodes! {
    /// Never sent by a client.
    Notification = 0, "notification";
    /// Creates a node; returns its path.
    Create = 1, "create";
    /// Deletes a node.
    Delete = 2, "delete";
    /// Stat of a node, if it exists.
    Exists = 3, "exists";
    /// Data and Stat.
    GetData = 4, "getData";
    /// Replaces the data.
    SetData = 5, "setData";
    /// ACL and Stat.
    GetAcl = 6, "getACL";
    /// Replaces the ACL.
    SetAcl = 7, "setACL";
    /// Names of the children.
    GetChildren = 8, "getChildren";
    /// Waits for all earlier transactions.
    Sync = 9, "sync";
    /// Keeps the session alive.
    Ping = 11, "ping";
    /// Names of the children, and the Stat.
    GetChildren2 = 12, "getChildren2";
    /// Checks a version; only within a multi.
    Check = 13, "check";
    /// Several operations, all or none.
    Multi = 14, "multi";
    /// Creates a node; returns path and Stat.
    Create2 = 15, "create2";
    /// Changes the ensemble.
    Reconfig = 16, "reconfig";
    /// Asks whether a watch is set.
    CheckWatches = 17, "checkWatches";
    /// Removes watches.
    RemoveWatches = 18, "removeWatches";
    /// Creates a container.
    CreateContainer = 19, "createContainer";
    /// Internal: removes an empty container or an expired TTL node.
    DeleteContainer = 20, "deleteContainer";
    /// Creates a node with a time to live.
    CreateTtl = 21, "createTTL";
    /// Several reads.
    MultiRead = 22, "multiRead";
    /// Adds an identity to the connection.
    Auth = 100, "auth";
    /// Sets watches again after a reconnect.
    SetWatches = 101, "setWatches";
    /// A round of SASL.
    Sasl = 102, "sasl";
    /// Ephemeral nodes of the session.
    GetEphemerals = 103, "getEphemerals";
    /// Number of all descendants.
    GetAllChildrenNumber = 104, "getAllChildrenNumber";
    /// As `SetWatches`, persistent ones included.
    SetWatches2 = 105, "setWatches2";
    /// Sets a persistent watch.
    AddWatch = 106, "addWatch";
    /// The identities of the connection.
    WhoAmI = 107, "whoAmI";
    /// Internal: a session begins.
    CreateSession = -10, "createSession";
    /// A session ends.
    CloseSession = -11, "closeSession";
    /// Internal: the transaction of a request that failed.
    Error = -1, "error";
}

impl OpCode {
    /// The number on the wire.
    pub const fn number(self) -> i32 {
        self as i32
    }
}

/// What kind of node a create makes (`CreateMode.fromFlag`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum CreateMode {
    /// Stays until it is deleted.
    Persistent = 0,
    /// Deleted with its session.
    Ephemeral = 1,
    /// Persistent, with a unique number at the end of its name.
    PersistentSequential = 2,
    /// Ephemeral, with a unique number at the end of its name.
    EphemeralSequential = 3,
    /// Removed by the server some time after its last child.
    Container = 4,
    /// Removed by the server when unchanged and childless for its time to live.
    PersistentWithTtl = 5,
    /// As `PersistentWithTtl`, with a unique number at the end of its name.
    PersistentSequentialWithTtl = 6,
}

impl CreateMode {
    /// The mode with this flag.
    pub const fn from_flag(flag: i32) -> Option<CreateMode> {
        Some(match flag {
            0 => CreateMode::Persistent,
            1 => CreateMode::Ephemeral,
            2 => CreateMode::PersistentSequential,
            3 => CreateMode::EphemeralSequential,
            4 => CreateMode::Container,
            5 => CreateMode::PersistentWithTtl,
            6 => CreateMode::PersistentSequentialWithTtl,
            _ => return None,
        })
    }

    /// The flag on the wire.
    pub const fn flag(self) -> i32 {
        self as i32
    }

    /// ZooKeeper's name for it (`CreateMode.toString`), in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            CreateMode::Persistent => "persistent",
            CreateMode::Ephemeral => "ephemeral",
            CreateMode::PersistentSequential => "persistent_sequential",
            CreateMode::EphemeralSequential => "ephemeral_sequential",
            CreateMode::Container => "container",
            CreateMode::PersistentWithTtl => "persistent_with_ttl",
            CreateMode::PersistentSequentialWithTtl => "persistent_sequential_with_ttl",
        }
    }

    /// Whether the node is deleted with its session.
    pub const fn is_ephemeral(self) -> bool {
        matches!(self, CreateMode::Ephemeral | CreateMode::EphemeralSequential)
    }

    /// Whether the server appends a number to the name.
    pub const fn is_sequential(self) -> bool {
        matches!(
            self,
            CreateMode::PersistentSequential
                | CreateMode::EphemeralSequential
                | CreateMode::PersistentSequentialWithTtl
        )
    }

    /// Whether the node has a time to live.
    pub const fn is_ttl(self) -> bool {
        matches!(self, CreateMode::PersistentWithTtl | CreateMode::PersistentSequentialWithTtl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_opcodes_belong_together() {
        for &opcode in OpCode::ALL {
            assert_eq!(OpCode::from_i32(opcode.number()), Some(opcode));
        }
        assert_eq!(OpCode::from_i32(10), None);
        for flag in 0..7 {
            assert_eq!(CreateMode::from_flag(flag).map(CreateMode::flag), Some(flag));
        }
        assert_eq!(CreateMode::from_flag(7), None);
    }
}
