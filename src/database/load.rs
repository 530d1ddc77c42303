//! Builds a database from the parts of a snapshot (`DataTree.deserialize`), and the empty one.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use crate::acl::{AclId, AclList, AclSlot, AclTable};
use crate::database::{Database, DatabaseOptions, Promise};
use crate::id::{SessionId, Zxid};
use crate::proto::data::{AclVector, StatPersisted, perms};
use crate::tree::{KindRules, NodeId, NodeKind, QuotaPaths, Tree, split_path};
use crate::watch::WatchTable;

/// The parent of the built-in nodes.
const PROC: &str = "/zookeeper";
/// The parent of quotas.
const QUOTA: &str = "/zookeeper/quota";
/// The configuration of the ensemble.
pub(super) const CONFIG: &str = "/zookeeper/config";

/// Why the parts of a snapshot do not make a database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The first node is not the root.
    #[error("the first node is \"{path}\", not the root")]
    NoRoot {
        /// Its path.
        path: String,
    },
    /// A path that no node can have.
    #[error("\"{path}\" is not a node's path")]
    BadPath {
        /// The path.
        path: String,
    },
    /// A node before its parent, or without one.
    #[error("\"{path}\" has no parent before it")]
    NoParent {
        /// The node.
        path: String,
    },
    /// Two nodes of one path.
    ///
    /// ZooKeeper: DataTree.deserialize takes the second, and forgets which children the first had.
    #[error("\"{path}\" occurs twice, and it is unknown which of the two is right")]
    Twice {
        /// The path.
        path: String,
    },
    /// The snapshot has no node at all.
    #[error("there is no node")]
    Empty,
    /// A node below an ephemeral node.
    ///
    /// ZooKeeper: DataTree.deserialize takes it; the end of the session leaves such nodes in its table, under a
    /// parent that is not there.
    #[error(
        "\"{path}\", an ephemeral node of session 0x{owner:x}, has a node below it{}",
        extended_hint(*owner)
    )]
    BelowEphemeral {
        /// The ephemeral node.
        path: String,
        /// Its stored owner.
        owner: i64,
    },
    /// A node that every server needs would be deleted with a session, or by the server itself.
    #[error(
        "\"{path}\" has the owner 0x{owner:x}: it would be deleted with its owner, and every server needs it"
    )]
    Goes {
        /// The path.
        path: String,
        /// Its stored owner.
        owner: i64,
    },
}

/// A hint for the operator, if with extended types this owner would be that of another kind of node.
fn extended_hint(owner: i64) -> &'static str {
    let extended = KindRules { extended_types: true, ..KindRules::default() };
    match extended.kind(owner) {
        NodeKind::Ttl { .. } => {
            ". With zookeeper.extendedTypesEnabled=true it would be a node with a time to live, which may have \
             nodes below it: was the tree written with that setting?"
        }
        NodeKind::Persistent | NodeKind::Ephemeral(_) | NodeKind::Container => "",
    }
}

fn with_tree(options: DatabaseOptions, tree: Tree) -> Database {
    Database {
        options,
        tree,
        watches: WatchTable::new(options.hash_seed, options.watches),
        sessions: BTreeMap::new(),
        quotas: QuotaPaths::default(),
        last_processed: Zxid::ZERO,
        digest_log: VecDeque::new(),
        digest_mismatches: 0,
        digest_mismatch_last: None,
        promise: None,
        tolerant: false,
        misplaced: None,
        recorded: RefCell::default(),
    }
}

fn new_tree(
    options: DatabaseOptions,
    data: Option<&[u8]>,
    acl: AclSlot,
    stat: &StatPersisted,
    acls: AclTable,
) -> Tree {
    let DatabaseOptions { digest_enabled, hash_seed, .. } = options;
    Tree::new(options.kind_rules(), digest_enabled, hash_seed, stat, data, acl, acls)
}

/// The built-in nodes alone. Nothing created them, so all their numbers are 0.
pub(super) fn empty(options: DatabaseOptions) -> Database {
    let stat = StatPersisted::default();
    let tree = new_tree(options, Some(&[]), AclSlot::OPEN, &stat, AclTable::new());
    let mut database = with_tree(options, tree);
    database.add_built_in(PROC);
    database.add_built_in(QUOTA);
    database.add_built_in(CONFIG);
    assert!(database.tree.len() == 4, "the root and the built-in nodes");
    assert!(database.last_processed == Zxid::ZERO, "no transaction made them");
    database
}

impl Database {
    /// Checks the nodes that servers delete by themselves in a tree from a file or a leader: an ephemeral node is a
    /// leaf, and neither the root nor a built-in node is ephemeral. Costs a step for each ephemeral node.
    ///
    /// This need not hold while a log is replayed after a fuzzy snapshot: there a node may have been deleted and
    /// created again as another kind.
    ///
    /// # Errors
    /// A node for which it does not hold.
    pub fn check_ephemerals(&self) -> Result<(), LoadError> {
        for path in ["", PROC, QUOTA, CONFIG] {
            let node = self.tree.find(path).map(|id| self.tree.get(id));
            if let Some(owner) = node.map(|node| node.stat_persisted().ephemeral_owner)
                && owner != 0
            {
                let path = if path.is_empty() { "/" } else { path };
                return Err(LoadError::Goes { path: path.to_owned(), owner });
            }
        }
        let owners = self.tree.owners();
        for &id in owners.sessions().flat_map(|session| owners.ephemerals(session)) {
            let node = self.tree.get(id);
            if node.num_children() > 0 {
                let owner = node.stat_persisted().ephemeral_owner;
                return Err(LoadError::BelowEphemeral { path: node.path().to_owned(), owner });
            }
        }
        Ok(())
    }

    /// Adds a built-in node if it is missing.
    fn add_built_in(&mut self, path: &str) {
        if self.tree.find(path).is_some() {
            return;
        }
        assert!(path.starts_with(PROC), "built-in nodes have paths of their own");
        let (parent, _) = split_path(path).expect("the path is one of a node");
        let parent = self.tree.find(parent).expect("built-in parents are added first");
        let mut stat = StatPersisted::default();
        let mut acl = AclSlot::OPEN;
        if path == CONFIG {
            // ZooKeeper: DataTree.addConfigNode sets its ACL with version -1.
            stat.aversion = -1;
            acl = self.tree.intern(AclList::of_anyone(perms::READ).vector());
        }
        self.tree.insert(parent, path, Some(&[]), acl, &stat);
    }
}

/// Takes the parts of a snapshot in the order of the file: sessions, ACLs, nodes, digest.
///
/// The file may hold any bytes. Nothing in it makes this panic.
#[derive(Debug)]
pub struct DatabaseBuilder {
    /// The options of the database.
    options: DatabaseOptions,
    /// Its sessions.
    sessions: BTreeMap<SessionId, i32>,
    /// Its ACLs, until the root arrives; then the tree has them.
    acls: AclTable,
    /// The database so far; `None` until the root arrives.
    database: Option<Database>,
    /// The digest that the file promises.
    promise: Option<Promise>,
    /// Whether it is unknown up to which zxid the tree is ahead.
    fuzzy: bool,
}

impl DatabaseBuilder {
    /// An empty builder.
    pub fn new(options: DatabaseOptions) -> Self {
        DatabaseBuilder {
            options,
            sessions: BTreeMap::new(),
            acls: AclTable::new(),
            database: None,
            promise: None,
            fuzzy: false,
        }
    }

    /// A session and its timeout in ms.
    pub fn session(&mut self, id: SessionId, timeout_ms: i32) {
        self.sessions.insert(id, timeout_ms);
    }

    /// The list of an ACL's key; all of them come before the first node.
    pub fn acl(&mut self, id: AclId, acl: AclVector<'_>) {
        match &mut self.database {
            Some(database) => database.tree.acls_mut().load(id, acl),
            None => self.acls.load(id, acl),
        }
    }

    /// A node. `path` is empty for the root, which comes first, as in the file.
    ///
    /// # Errors
    /// It cannot be a node at this place.
    pub fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: AclId,
        stat: StatPersisted,
    ) -> Result<(), LoadError> {
        let Some(database) = &mut self.database else {
            if !path.is_empty() {
                return Err(LoadError::NoRoot { path: path.to_owned() });
            }
            let mut acls = std::mem::take(&mut self.acls);
            let slot = acls.load_reference(acl);
            let tree = new_tree(self.options, data, slot, &stat, acls);
            self.database = Some(with_tree(self.options, tree));
            return Ok(());
        };
        let tree = &mut database.tree;
        if path.is_empty() {
            return Err(LoadError::Twice { path: "/".to_owned() });
        }
        let (parent, _) =
            split_path(path).ok_or_else(|| LoadError::BadPath { path: path.to_owned() })?;
        let parent = tree
            .find_parent(parent)
            .ok_or_else(|| LoadError::NoParent { path: path.to_owned() })?;
        if tree.find(path).is_some() {
            return Err(LoadError::Twice { path: path.to_owned() });
        }
        let slot = tree.acls_mut().load_reference(acl);
        let id = tree.insert(parent, path, data, slot, &stat);
        assert!(id != NodeId::ROOT, "the root is there already");
        Ok(())
    }

    /// The digest that the tree has, or will have when `zxid` is replayed: until then the tree is
    /// fuzzy.
    pub fn digest(&mut self, zxid: Zxid, version: i32, digest: i64) {
        self.promise = Some(Promise { zxid, version, digest });
    }

    /// It is unknown up to which zxid the tree is fuzzy; see [`Database::set_tolerant`].
    pub fn fuzzy(&mut self) {
        self.fuzzy = true;
    }

    /// The database, to which transactions after `zxid` may be applied.
    ///
    /// The digest, if one was given for this zxid, has been compared: see
    /// [`Database::digest_mismatches`].
    ///
    /// # Errors
    /// There was no root, or [`Database::check_ephemerals`] refuses the tree.
    pub fn finish(self, zxid: Zxid) -> Result<Database, LoadError> {
        let mut database = self.database.ok_or(LoadError::Empty)?;
        database.tree.acls_mut().load_end();
        assert!(database.sessions.is_empty(), "sessions come from the file alone");
        database.sessions = self.sessions;
        database.last_processed = zxid;
        database.tolerant = self.fuzzy;
        // ZooKeeper: a digest of an earlier zxid belongs to an epoch that ended; 0 is "none".
        database.promise =
            self.promise.filter(|promise| promise.zxid > Zxid::ZERO && promise.zxid >= zxid);
        // Folders from before 3.5 lack the last one.
        database.add_built_in(PROC);
        database.add_built_in(QUOTA);
        database.add_built_in(CONFIG);
        database.check_ephemerals()?;
        database.quota_set_up();
        database.settle_promise();
        assert!(database.last_processed == zxid, "the state is that of its zxid");
        let is_to_come = database.promise.is_none_or(|promise| promise.zxid > zxid);
        assert!(is_to_come, "a digest of this zxid was compared");
        assert!(database.watches.is_empty(), "nobody watches a tree that is being loaded");
        Ok(database)
    }
}
