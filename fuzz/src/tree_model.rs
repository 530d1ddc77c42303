//! The database beside a naive model: transactions that `processor::Prep` would let through, and a snapshot that is
//! taken while they go on.

use std::collections::BTreeMap;

use ringkeeper::database::{Database, DatabaseBuilder, DatabaseOptions};
use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::{Jute, VectorBuf};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::data::{AclEntry, AclVector, Id, StatPersisted};
use ringkeeper::proto::txn::{
    CheckVersionTxn, CreateContainerTxn, CreateTtlTxn, CreateTxn, DeleteTxn, SetAclTxn, SetDataTxn,
    SubTxn, Txn, TxnBody, TxnHeader,
};

use super::script::Script;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    data: Option<Vec<u8>>,
    acl: Vec<u8>,
    stat: StatPersisted,
}

/// Nodes by path; `/` is the root. The model leaves out the nodes below `/zookeeper`.
type Model = BTreeMap<String, Node>;

/// A snapshot under way: the nodes that it must hold, and those that it has given.
struct Frozen {
    expected: Model,
    given: Model,
    acls: BTreeMap<i64, Vec<u8>>,
    digest: i64,
}

/// A database and its model.
pub struct World {
    /// The database.
    pub database: Database,
    model: Model,
    sessions: BTreeMap<i64, i32>,
    frozen: Option<Frozen>,
}

const CONTAINER_OWNER: i64 = i64::MIN;
const TTL_OWNER: i64 = -0x0100_0000_0000_0000;

/// The input is a script of commands.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut world = World::new();
    while !script.is_empty() {
        world.command(&mut script);
    }
    world.check();
    world.finish_snapshot();
    world.check();
}

fn acl_of(choice: u8) -> VectorBuf<AclEntry<'static>> {
    const PEOPLE: [(i32, &str, &str); 4] =
        [(31, "world", "anyone"), (1, "ip", "10.0.0.0/8"), (31, "digest", "u:x="), (5, "auth", "")];
    let mut acl: VectorBuf<AclEntry<'static>> = VectorBuf::default();
    for (bit, (perms, scheme, id)) in PEOPLE.into_iter().enumerate() {
        if bit == 0 || choice & (1 << bit) != 0 {
            acl.push(&AclEntry { perms, id: Id { scheme: Some(scheme), id: Some(id) } });
        }
    }
    acl
}

fn parent_of(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(cut) => &path[..cut],
    }
}

impl World {
    /// A database and a model with the built-in nodes.
    pub fn new() -> World {
        let database =
            Database::new(DatabaseOptions { extended_types: true, ..DatabaseOptions::default() });
        let root = database.node("/").expect("there is always a root");
        let node = Node {
            data: root.data().map(<[u8]>::to_vec),
            acl: root.acl().to_bytes(),
            stat: root.stat_persisted(),
        };
        let model = BTreeMap::from([("/".to_owned(), node)]);
        World { database, model, sessions: BTreeMap::new(), frozen: None }
    }

    /// Makes one change, or a step of a snapshot.
    pub fn command(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            0..=7 => self.change(script),
            8 => self.multi(script),
            9 => {
                let timeout_ms = i32::from(script.byte());
                let session = 1 + i64::from(script.byte() % 4);
                let body = TxnBody::CreateSession { timeout_ms };
                self.apply(session, OpCode::CreateSession, &body);
                self.sessions.insert(session, timeout_ms);
            }
            10 => self.close_session(script),
            11 if self.frozen.is_none() => self.begin_snapshot(),
            11 | 12 => {
                self.continue_snapshot(1 + script.below(5));
            }
            13 => self.finish_snapshot(),
            14 => self.check(),
            _ => {
                let err = -i32::from(script.byte());
                self.apply(1, OpCode::Error, &TxnBody::Error { err });
            }
        }
    }

    fn apply(&mut self, session: i64, op: OpCode, body: &TxnBody<'_>) {
        let zxid = Zxid(self.database.last_processed().0 + 1);
        let header =
            TxnHeader { client_id: SessionId(session), cxid: 1, zxid, time: 1000 + zxid.0, op };
        self.database.apply(&Txn::new(header, body, None), &mut Vec::new());
        assert_eq!(self.database.last_processed(), zxid);
    }

    /// The path of an existing node, and a path at which a node could be created.
    fn paths(&self, script: &mut Script<'_>) -> (String, String) {
        let index = script.below(self.model.len().min(256));
        let known = self.model.keys().nth(index).expect("the index is below the length").clone();
        let name = char::from(b'a' + script.byte() % 5);
        let long = "n".repeat(usize::from(script.byte() / 32));
        let below = if known == "/" { String::new() } else { known.clone() };
        (known, format!("{below}/{name}{long}"))
    }

    /// Makes a body that fits the present state, and calls `then` with it.
    fn with_body(&self, script: &mut Script<'_>, then: impl FnOnce(i64, OpCode, TxnBody<'_>)) {
        let (known, fresh) = self.paths(script);
        let session = 1 + i64::from(script.byte() % 4);
        let data = match script.byte() {
            0 => None,
            length => Some(vec![length; usize::from(length / 4)]),
        };
        let data = data.as_deref();
        let acl = acl_of(script.byte());
        let acl: AclVector<'_> = acl.as_vector();
        let parent = &self.model[&known];
        let creatable = !self.model.contains_key(&fresh)
            && (parent.stat.ephemeral_owner <= 0)
            && fresh.len() < 200;
        let next = parent.stat.cversion + 1;
        let parent_cversion = if script.one_in(2) { next } else { -1 };
        let path = Some(fresh.as_str());
        let has_children = self.model.keys().any(|path| path != "/" && parent_of(path) == known);
        let shape = script.byte() % 8;
        match shape {
            0 | 1 if creatable => {
                let ephemeral = shape == 1;
                let txn = CreateTxn { path, data, acl, ephemeral, parent_cversion };
                then(session, OpCode::Create2, TxnBody::Create(txn));
            }
            2 if creatable => {
                let txn = CreateContainerTxn { path, data, acl, parent_cversion };
                then(session, OpCode::CreateContainer, TxnBody::CreateContainer(txn));
            }
            3 if creatable => {
                let ttl = 1 + i64::from(script.byte());
                let txn = CreateTtlTxn { path, data, acl, parent_cversion, ttl };
                then(session, OpCode::CreateTtl, TxnBody::CreateTtl(txn));
            }
            4 | 5 if known != "/" && !has_children => {
                let op = if shape == 4 { OpCode::Delete } else { OpCode::DeleteContainer };
                then(session, op, TxnBody::Delete(DeleteTxn { path: Some(&known) }));
            }
            6 => {
                let version = parent.stat.aversion + 1;
                let txn = SetAclTxn { path: Some(&known), acl, version };
                then(session, OpCode::SetAcl, TxnBody::SetAcl(txn));
            }
            _ => {
                let version = parent.stat.version + 1;
                let txn = SetDataTxn { path: Some(&known), data, version };
                then(session, OpCode::SetData, TxnBody::SetData(txn));
            }
        }
    }

    fn change(&mut self, script: &mut Script<'_>) {
        let mut made = None;
        self.with_body(script, |session, op, body| {
            let mut bytes = Vec::new();
            body.encode(&mut bytes);
            made = Some((session, op, bytes));
        });
        let (session, op, bytes) = made.expect("there is always a body that fits");
        let body = decode(op, &bytes);
        self.apply(session, op, &body);
        let zxid = self.database.last_processed();
        imitate(&mut self.model, zxid, session, &body);
    }

    /// Applies a multi, which succeeds, or changes nothing because of an error among its parts.
    fn multi(&mut self, script: &mut Script<'_>) {
        let before = self.model.clone();
        let zxid = Zxid(self.database.last_processed().0 + 1);
        let fails = script.one_in(4);
        let mut parts: VectorBuf<SubTxn<'static>> = VectorBuf::default();
        for _ in 0..1 + script.below(4) {
            let mut made = None;
            self.with_body(script, |_, op, body| {
                let mut bytes = Vec::new();
                body.encode(&mut bytes);
                made = Some((op, bytes));
            });
            let (op, bytes) = made.expect("there is always a body that fits");
            imitate(&mut self.model, zxid, 2, &decode(op, &bytes));
            if fails {
                let mut error = Vec::new();
                TxnBody::Error { err: -2 }.encode(&mut error);
                parts.push(&SubTxn { op: OpCode::Error.number(), body: Some(&error) });
            } else {
                parts.push(&SubTxn { op: op.number(), body: Some(&bytes) });
            }
        }
        let mut check = Vec::new();
        TxnBody::Check(CheckVersionTxn { path: Some("/"), version: -1 }).encode(&mut check);
        if !fails {
            parts.push(&SubTxn { op: OpCode::Check.number(), body: Some(&check) });
        }
        self.apply(2, OpCode::Multi, &TxnBody::Multi(parts.as_vector()));
        if fails {
            self.model = before;
        }
    }

    fn close_session(&mut self, script: &mut Script<'_>) {
        let session = 1 + i64::from(script.byte() % 4);
        let owned: Vec<String> = self
            .model
            .iter()
            .filter(|(_, node)| node.stat.ephemeral_owner == session)
            .map(|(path, _)| path.clone())
            .collect();
        let mut list: VectorBuf<Option<&'static str>> = VectorBuf::default();
        for path in &owned {
            list.push(&Some(path.as_str()));
        }
        let paths = (script.one_in(2)).then(|| list.as_vector());
        self.apply(session, OpCode::CloseSession, &TxnBody::CloseSession { paths });
        let zxid = self.database.last_processed();
        self.sessions.remove(&session);
        for path in &owned {
            imitate(
                &mut self.model,
                zxid,
                session,
                &TxnBody::Delete(DeleteTxn { path: Some(path) }),
            );
        }
    }

    fn begin_snapshot(&mut self) {
        let head = self.database.snapshot_begin();
        assert_eq!(head.zxid, self.database.last_processed());
        let sessions: BTreeMap<i64, i32> =
            head.sessions.iter().map(|(id, timeout)| (id.0, *timeout)).collect();
        assert_eq!(sessions, self.sessions);
        let acls = head.acls.iter().map(|(id, list)| (id.0, list.encoded().to_vec())).collect();
        self.frozen = Some(Frozen {
            expected: self.model.clone(),
            given: BTreeMap::new(),
            acls,
            digest: head.digest,
        });
    }

    /// Takes up to `nodes` nodes of the snapshot. Returns whether there are more.
    fn continue_snapshot(&mut self, nodes: usize) -> bool {
        let Some(frozen) = &mut self.frozen else { return false };
        let (given, acls) = (&mut frozen.given, &frozen.acls);
        self.database.snapshot_next(nodes, &mut |node| {
            let path = if node.path.is_empty() { "/" } else { node.path };
            if path.starts_with("/zookeeper") {
                return;
            }
            assert!(path == "/" || given.contains_key(parent_of(path)), "{path} before its parent");
            // ZooKeeper: -1 is the list that lets everybody do everything.
            let acl = match acls.get(&node.acl.0) {
                Some(list) => list.clone(),
                None => {
                    assert_eq!(node.acl.0, -1, "{path} has an ACL that the snapshot lacks");
                    acl_of(0).as_vector::<AclEntry<'_>>().to_bytes()
                }
            };
            let data = node.data.map(<[u8]>::to_vec);
            let former = given.insert(path.to_owned(), Node { data, acl, stat: node.stat });
            assert!(former.is_none(), "{path} comes twice");
        })
    }

    /// Takes the rest of a snapshot under way, compares the snapshot with the nodes that existed when it began, and
    /// builds a database from it.
    pub fn finish_snapshot(&mut self) {
        while self.continue_snapshot(7) {}
        let Some(frozen) = self.frozen.take() else { return };
        self.database.snapshot_end();
        for (path, node) in &frozen.expected {
            assert_eq!(frozen.given.get(path), Some(node), "{path} in the snapshot");
        }
        assert_eq!(frozen.given.len(), frozen.expected.len());
        let mut builder = DatabaseBuilder::new(*self.database.options());
        for (key, bytes) in &frozen.acls {
            let list = AclVector::from_bytes(bytes).expect("it was encoded by us");
            builder.acl(ringkeeper::acl::AclId(*key), list);
        }
        let keys: BTreeMap<&Vec<u8>, i64> =
            frozen.acls.iter().map(|(key, list)| (list, *key)).collect();
        for (path, node) in &frozen.given {
            let key = keys.get(&node.acl).copied().unwrap_or(-1);
            let path = if path == "/" { "" } else { path };
            let data = node.data.as_deref();
            builder
                .node(path, data, ringkeeper::acl::AclId(key), node.stat)
                .expect("parents come before children");
        }
        let built = builder.finish(Zxid(1)).expect("there is a root");
        assert_eq!(naive_digest(&frozen.given), frozen.digest - zookeeper_digest(&self.database));
        for (path, node) in &frozen.given {
            let found = built.node(path).expect("it was given");
            assert_eq!(found.stat_persisted(), node.stat, "{path}");
            assert_eq!(found.data(), node.data.as_deref());
        }
    }

    /// Checks that the database says in everything what the model says.
    fn check(&self) {
        for (path, expected) in &self.model {
            let Some(node) = self.database.node(path) else { panic!("{path} is lost") };
            assert_eq!(node.data(), expected.data.as_deref(), "{path}");
            assert_eq!(node.stat_persisted(), expected.stat, "{path}");
            assert_eq!(node.acl().to_bytes(), expected.acl, "{path}");
            let mut children: Vec<&str> =
                node.children().filter(|name| path != "/" || *name != "zookeeper").collect();
            children.sort_unstable();
            let from = |child: &String| child != "/" && parent_of(child) == path;
            let names: Vec<&str> = self
                .model
                .keys()
                .filter(|child| from(child))
                .map(|child| &child[child.rfind('/').expect("a path") + 1..])
                .collect();
            assert_eq!(children, names, "{path}");
        }
        // Built in: the empty name for the root, /zookeeper, its quota and its config.
        assert_eq!(self.database.node_count(), self.model.len() + 4);
        assert_eq!(
            self.database.digest(),
            naive_digest(&self.model) + zookeeper_digest(&self.database)
        );
        let sessions: BTreeMap<i64, i32> =
            self.database.sessions().map(|(id, timeout)| (id.0, timeout)).collect();
        assert_eq!(sessions, self.sessions);
        let owned = |node: &&Node| node.stat.ephemeral_owner > 0;
        assert_eq!(self.database.ephemerals_count(), self.model.values().filter(owned).count());
    }
}

impl Default for World {
    fn default() -> Self {
        World::new()
    }
}

fn decode(op: OpCode, bytes: &[u8]) -> TxnBody<'_> {
    TxnBody::decode(op, &mut ringkeeper::jute::Decoder::new(bytes)).expect("it was encoded by us")
}

/// The sum of the digests of all nodes except those below `/zookeeper`.
fn naive_digest(model: &Model) -> i64 {
    let digest = |(path, node): (&String, &Node)| {
        let seed = Database::digest_seed(path, node.data.as_deref());
        Database::digest_of(path, seed, &node.stat)
    };
    model.iter().map(digest).fold(0, i64::wrapping_add)
}

/// The digest of `/zookeeper` itself, which counts and never changes here.
fn zookeeper_digest(database: &Database) -> i64 {
    database.node("/zookeeper").expect("it is built in").digest()
}

/// Applies a body that fits to the model.
fn imitate(model: &mut Model, zxid: Zxid, session: i64, body: &TxnBody<'_>) {
    let time = 1000 + zxid.0;
    let mut create = |path: &str, data: Option<&[u8]>, acl: AclVector<'_>, owner: i64| {
        let parent = model.get_mut(parent_of(path)).expect("the parent is there");
        parent.stat.cversion += 1;
        parent.stat.pzxid = zxid;
        let stat = StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            ephemeral_owner: owner,
            ..StatPersisted::default()
        };
        let node = Node { data: data.map(<[u8]>::to_vec), acl: acl.to_bytes(), stat };
        model.insert(path.to_owned(), node);
    };
    match *body {
        TxnBody::Create(txn) => {
            let owner = if txn.ephemeral { session } else { 0 };
            create(txn.path.expect("a path"), txn.data, txn.acl, owner);
        }
        TxnBody::CreateContainer(txn) => {
            create(txn.path.expect("a path"), txn.data, txn.acl, CONTAINER_OWNER);
        }
        TxnBody::CreateTtl(txn) => {
            create(txn.path.expect("a path"), txn.data, txn.acl, TTL_OWNER | txn.ttl);
        }
        TxnBody::Delete(txn) => {
            let path = txn.path.expect("a path");
            model.remove(path).expect("it is there");
            model.get_mut(parent_of(path)).expect("the parent is there").stat.pzxid = zxid;
        }
        TxnBody::SetData(txn) => {
            let node = model.get_mut(txn.path.expect("a path")).expect("it is there");
            node.data = txn.data.map(<[u8]>::to_vec);
            node.stat.version = txn.version;
            node.stat.mzxid = zxid;
            node.stat.mtime = time;
        }
        TxnBody::SetAcl(txn) => {
            let node = model.get_mut(txn.path.expect("a path")).expect("it is there");
            node.acl = txn.acl.to_bytes();
            node.stat.aversion = txn.version;
        }
        TxnBody::Check(_)
        | TxnBody::CreateSession { .. }
        | TxnBody::CloseSession { .. }
        | TxnBody::Error { .. }
        | TxnBody::Multi(_) => {}
    }
}
