//! The naive state, a sorted map from the path to all that a node has. The model is simple enough to verify by
//! reading, and the tests take it for right.

use std::collections::BTreeMap;

use crate::database::{Database, SnapshotNode};
use crate::jute::Jute;
use crate::proto::data::{AclVector, StatPersisted};
use crate::proto::txn::{TxnBody, TxnHeader};
use crate::tree::{self, CONTAINER_OWNER, ttl_owner};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelNode {
    pub data: Option<Vec<u8>>,
    /// The encoded ACL.
    pub acl: Vec<u8>,
    pub stat: StatPersisted,
}

/// Nodes by path; the root is `/`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Model {
    pub nodes: BTreeMap<String, ModelNode>,
    pub sessions: BTreeMap<i64, i32>,
}

fn parent_of(path: &str) -> String {
    let cut = path.rfind('/').unwrap();
    if cut == 0 { "/".to_owned() } else { path[..cut].to_owned() }
}

impl Model {
    /// A model with the content of a database.
    pub fn of(database: &Database) -> Model {
        let root = database.node("/").unwrap();
        let nodes = root
            .subtree()
            .map(|node| {
                let model = ModelNode {
                    data: node.data().map(<[u8]>::to_vec),
                    acl: node.acl().to_bytes(),
                    stat: node.stat_persisted(),
                };
                (node.path().to_owned(), model)
            })
            .collect();
        let sessions = database.sessions().map(|(id, timeout)| (id.0, timeout)).collect();
        Model { nodes, sessions }
    }

    /// Takes a node of a snapshot, whose ACL the caller has looked up.
    pub fn take(&mut self, node: &SnapshotNode<'_>, acl: Vec<u8>) {
        let path = if node.path.is_empty() { "/" } else { node.path };
        let parent_known = path == "/" || self.nodes.contains_key(&parent_of(path));
        assert!(parent_known, "{path} comes after its parent");
        let data = node.data.map(<[u8]>::to_vec);
        let former = self.nodes.insert(path.to_owned(), ModelNode { data, acl, stat: node.stat });
        assert!(former.is_none(), "{path} comes once");
    }

    pub fn digest(&self) -> i64 {
        self.nodes
            .iter()
            .filter(|(path, _)| !path.starts_with("/zookeeper/"))
            .map(|(path, node)| {
                tree::digest_of(tree::digest_seed(path, node.data.as_deref()), &node.stat)
            })
            .fold(0, i64::wrapping_add)
    }

    pub fn children(&self, path: &str) -> Vec<String> {
        self.nodes
            .keys()
            .filter(|child| *child != "/" && parent_of(child) == path)
            .map(|child| child[child.rfind('/').unwrap() + 1..].to_owned())
            .collect()
    }

    /// Number of nodes below a path, and bytes of their data.
    pub fn below(&self, path: &str) -> (usize, u64) {
        let begin = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        let below = self
            .nodes
            .iter()
            .filter(|(other, _)| other.starts_with(&begin) && other.len() > begin.len());
        let bytes = |node: &ModelNode| node.data.as_ref().map_or(0, Vec::len) as u64;
        below.fold((0, 0), |(count, sum), (_, node)| (count + 1, sum + bytes(node)))
    }

    /// Applies a body that fits.
    pub fn apply(&mut self, header: &TxnHeader, body: &TxnBody<'_>) {
        match *body {
            TxnBody::Create(txn) => {
                let owner = if txn.ephemeral { header.client_id.0 } else { 0 };
                self.create(header, txn.path.unwrap(), txn.data, txn.acl, owner);
            }
            TxnBody::CreateContainer(txn) => {
                self.create(header, txn.path.unwrap(), txn.data, txn.acl, CONTAINER_OWNER);
            }
            TxnBody::CreateTtl(txn) => {
                let owner = ttl_owner(txn.ttl).unwrap();
                self.create(header, txn.path.unwrap(), txn.data, txn.acl, owner);
            }
            TxnBody::Delete(txn) => self.delete(header, txn.path.unwrap()),
            TxnBody::SetData(txn) => {
                let node = self.nodes.get_mut(txn.path.unwrap()).unwrap();
                node.data = txn.data.map(<[u8]>::to_vec);
                node.stat.mzxid = header.zxid;
                node.stat.mtime = header.time;
                node.stat.version = txn.version;
            }
            TxnBody::SetAcl(txn) => {
                let node = self.nodes.get_mut(txn.path.unwrap()).unwrap();
                node.acl = txn.acl.to_bytes();
                node.stat.aversion = txn.version;
            }
            TxnBody::CreateSession { timeout_ms } => {
                self.sessions.insert(header.client_id.0, timeout_ms);
            }
            TxnBody::CloseSession { .. } => {
                self.sessions.remove(&header.client_id.0);
                for path in self.owned(header.client_id.0) {
                    self.delete(header, &path);
                }
            }
            TxnBody::Check(_) | TxnBody::Error { .. } => {}
            TxnBody::Multi(parts) => {
                let parts: Vec<TxnBody<'_>> = TxnBody::parts(parts).map(|(_, b)| b).collect();
                if !parts.iter().any(|part| matches!(part, TxnBody::Error { .. })) {
                    for part in &parts {
                        self.apply(header, part);
                    }
                }
            }
        }
    }

    pub fn owned(&self, session: i64) -> Vec<String> {
        self.nodes
            .iter()
            .filter(|(_, node)| session != 0 && node.stat.ephemeral_owner == session)
            .map(|(path, _)| path.clone())
            .collect()
    }

    fn create(
        &mut self,
        header: &TxnHeader,
        path: &str,
        data: Option<&[u8]>,
        acl: AclVector<'_>,
        owner: i64,
    ) {
        let parent = self.nodes.get_mut(&parent_of(path)).unwrap();
        parent.stat.cversion += 1;
        parent.stat.pzxid = header.zxid;
        let stat = StatPersisted {
            czxid: header.zxid,
            mzxid: header.zxid,
            pzxid: header.zxid,
            ctime: header.time,
            mtime: header.time,
            ephemeral_owner: owner,
            ..StatPersisted::default()
        };
        let node = ModelNode { data: data.map(<[u8]>::to_vec), acl: acl.to_bytes(), stat };
        assert!(self.nodes.insert(path.to_owned(), node).is_none());
    }

    fn delete(&mut self, header: &TxnHeader, path: &str) {
        assert!(self.children(path).is_empty());
        self.nodes.remove(path).unwrap();
        self.nodes.get_mut(&parent_of(path)).unwrap().stat.pzxid = header.zxid;
    }

    /// Compares everything in a database with this model.
    pub fn check(&self, database: &Database) {
        let found = Model::of(database);
        for (path, node) in &self.nodes {
            assert_eq!(found.nodes.get(path), Some(node), "{path}");
        }
        assert_eq!(found.nodes.len(), self.nodes.len());
        assert_eq!(found.sessions, self.sessions);
        assert_eq!(database.digest(), self.digest());
        assert_eq!(database.node_count(), self.nodes.len() + 1);
        let bytes: usize = self
            .nodes
            .iter()
            .map(|(path, node)| path.len() + node.data.as_ref().map_or(0, Vec::len))
            .sum();
        assert_eq!(database.approximate_data_size(), bytes as u64);
        for path in self.nodes.keys() {
            let node = database.node(path).unwrap();
            let mut names: Vec<&str> = node.children().collect();
            names.sort_unstable();
            assert_eq!(names, self.children(path));
            assert_eq!(names.len(), node.num_children());
            let below = self.below(path);
            assert_eq!((node.descendants_count(), node.descendants_bytes()), below, "{path}");
        }
        let owners: Vec<_> = database.ephemeral_owners().collect();
        for owner in &owners {
            let mut paths: Vec<&str> = database.ephemerals(*owner).collect();
            paths.sort_unstable();
            assert_eq!(paths, self.owned(owner.0));
        }
        let acls: std::collections::BTreeSet<&Vec<u8>> =
            self.nodes.values().map(|node| &node.acl).collect();
        let table = database.acl_count();
        // Built-in nodes have the null list, which reads as an open one and is not counted.
        assert!(table == acls.len() || table + 1 == acls.len(), "{table} of {}", acls.len());
    }
}
