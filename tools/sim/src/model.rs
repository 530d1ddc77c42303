//! A tree as simple as possible, to compare the answers of servers with the meaning of the history.

use std::collections::{BTreeMap, BTreeSet};

use ringkeeper::error::ErrorCode;
use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::Vector;
use ringkeeper::proto::OpCode;
use ringkeeper::proto::data::{Stat, perms};
use ringkeeper::proto::txn::{SubTxn, Txn, TxnBody};

use super::acl::{List, Who, from_wire};
use super::history::{Part, Request};
use super::plan::Plan;
use super::quotas::{self, Quotas};

/// Whether, and when, a node disappears by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// The node stays; an ephemeral one goes with its session.
    #[default]
    Plain,
    /// The node goes some time after its last child.
    Container,
    /// The node goes when it has had neither children nor new data for this many ms.
    Ttl(i64),
}

/// A node of the model.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Whether it disappears by itself.
    pub kind: Kind,
    /// Its data.
    pub data: Option<Vec<u8>>,
    /// Its Stat as a client sees it, with `num_children` and `data_length`.
    pub stat: Stat,
    /// Names of its children.
    pub children: BTreeSet<String>,
    /// Its ACL; empty for the nodes that every tree begins with.
    pub acl: List,
}

/// The tree and its sessions.
#[derive(Debug, Default)]
pub struct Model {
    /// By path; the root is "/".
    pub nodes: BTreeMap<String, Node>,
    /// Sessions that live.
    pub sessions: BTreeSet<SessionId>,
    /// `skipACL`: whether no ACL is checked.
    pub unchecked: bool,
    /// Every sequential name ever given.
    pub names: BTreeSet<String>,
    /// How old containers get that never have a child, in ms; `None`: any age.
    pub never_used_ms: Option<i64>,
    /// The quotas and their past.
    pub quotas: Quotas,
}

/// The folder in which clients create sequential nodes.
const SEQUENTIAL: &str = "/q/s-";

/// The path above a path.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &path[..at],
    }
}

impl Model {
    /// A model with the built-in nodes.
    pub fn new() -> Model {
        let mut model = Model::default();
        model.nodes.insert("/".to_owned(), Node::default());
        for path in ["/zookeeper", "/zookeeper/config", "/zookeeper/quota"] {
            model.nodes.insert(path.to_owned(), Node::default());
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            let above = model.nodes.get_mut(parent(path)).expect("made before");
            above.children.insert(name);
            above.stat.num_children += 1;
        }
        model
    }

    /// As `new`, with the rules of an ensemble.
    pub fn of(plan: &Plan) -> Model {
        let mut model = Model::new();
        let wider = &plan.wild.wider;
        model.never_used_ms = wider.never_used_ms_max.and_then(|ms| i64::try_from(ms).ok());
        model.quotas.enforced = wider.enforce_quota;
        model.unchecked = plan.changes();
        model
    }

    /// The error that a request would meet now, or `None`.
    pub fn obstacle(&self, request: &Request, who: &Who) -> Option<ErrorCode> {
        let creates = |path: &str, sequential: bool| {
            self.gate(parent(path), perms::CREATE, who)
                .or_else(|| self.create_obstacle(path, sequential))
        };
        match request {
            Request::Create { path, sequential, .. } => creates(path, *sequential),
            Request::CreateContainer { path, .. } | Request::CreateTtl { path, .. } => {
                creates(path, false)
            }
            Request::CreateWith { path, acl, .. } => {
                invalid_acl(acl, who).or_else(|| creates(path, false))
            }
            Request::SetAcl { path, acl, version } => {
                invalid_acl(acl, who).or_else(|| self.gate(path, perms::ADMIN, who)).or_else(|| {
                    let found = self.nodes.get(path)?.stat.aversion;
                    (*version != -1 && *version != found).then_some(ErrorCode::BadVersion)
                })
            }
            Request::Set { path, version, .. } => {
                self.gate(path, perms::WRITE, who).or_else(|| self.version_obstacle(path, *version))
            }
            Request::Delete { path, version } => self
                .gate(parent(path), perms::DELETE, who)
                .or_else(|| self.delete_obstacle(path, *version)),
            Request::Multi(parts) => {
                // Later parts see the effects of earlier ones, so the model works on a copy.
                let mut copy = Model { nodes: self.nodes.clone(), ..Model::default() };
                parts.iter().find_map(|part| copy.part(part, who))
            }
            _ => None,
        }
    }

    /// The error that the ACL of an existing node gives to a client, or `None`.
    fn gate(&self, path: &str, wanted: i32, who: &Who) -> Option<ErrorCode> {
        match self.nodes.get(path) {
            None => Some(ErrorCode::NoNode),
            Some(node) if !who.may(&node.acl, wanted) => Some(ErrorCode::NoAuth),
            Some(_) => None,
        }
    }

    fn part(&mut self, part: &Part, who: &Who) -> Option<ErrorCode> {
        let zxid = Zxid::ZERO;
        match part {
            Part::Set { path, data, version } => {
                let obstacle = self
                    .gate(path, perms::WRITE, who)
                    .or_else(|| self.version_obstacle(path, *version));
                if obstacle.is_none() {
                    self.set(path, Some(data), zxid, 0);
                }
                obstacle
            }
            Part::Check { path, version } => {
                self.gate(path, perms::READ, who).or_else(|| self.version_obstacle(path, *version))
            }
            Part::Create { path, data } | Part::CreateWith { path, data, .. } => {
                let acl = match part {
                    Part::CreateWith { acl, .. } => acl.clone(),
                    _ => super::acl::open(),
                };
                let obstacle = invalid_acl(&acl, who)
                    .or_else(|| self.gate(parent(path), perms::CREATE, who))
                    .or_else(|| self.create_obstacle(path, false));
                if obstacle.is_none() {
                    self.create(path, Some(data), 0, zxid, 0);
                    self.nodes.get_mut(path).expect("just made").acl =
                        who.stored(&acl).unwrap_or_default();
                }
                obstacle
            }
            Part::Delete { path, version } => {
                let obstacle = self
                    .gate(parent(path), perms::DELETE, who)
                    .or_else(|| self.delete_obstacle(path, *version));
                if obstacle.is_none() {
                    self.delete(path, zxid);
                }
                obstacle
            }
        }
    }

    fn create_obstacle(&self, path: &str, sequential: bool) -> Option<ErrorCode> {
        let Some(above) = self.nodes.get(parent(path)) else { return Some(ErrorCode::NoNode) };
        if !sequential && self.nodes.contains_key(path) {
            return Some(ErrorCode::NodeExists);
        }
        (above.stat.ephemeral_owner != 0).then_some(ErrorCode::NoChildrenForEphemerals)
    }

    fn version_obstacle(&self, path: &str, version: i32) -> Option<ErrorCode> {
        let Some(node) = self.nodes.get(path) else { return Some(ErrorCode::NoNode) };
        (version != -1 && version != node.stat.version).then_some(ErrorCode::BadVersion)
    }

    fn delete_obstacle(&self, path: &str, version: i32) -> Option<ErrorCode> {
        self.version_obstacle(path, version).or_else(|| {
            let node = self.nodes.get(path)?;
            (!node.children.is_empty()).then_some(ErrorCode::NotEmpty)
        })
    }

    /// Carries out a transaction. Returns the paths whose data or existence changed, and those whose
    /// children did.
    ///
    /// # Errors
    /// The transaction does not fit, or breaks a rule about sessions, ephemeral nodes or sequential names.
    pub fn apply(&mut self, txn: &Txn) -> Result<(), String> {
        let header = txn.header();
        let (zxid, time) = (header.zxid, header.time);
        if header.op == OpCode::DeleteContainer {
            self.goes_rightly(txn)?;
        }
        self.body(&txn.body(), header.client_id, zxid, time)?;
        quotas::count(self, zxid);
        Ok(())
    }

    fn body(
        &mut self,
        body: &TxnBody<'_>,
        session: SessionId,
        zxid: Zxid,
        time: i64,
    ) -> Result<(), String> {
        match body {
            TxnBody::Create(create) => {
                let path = create.path.unwrap_or_default();
                if let Some(error) = self.create_obstacle(path, false) {
                    return Err(format!("{zxid} creates {path}: {error}"));
                }
                let owner = if create.ephemeral { session } else { SessionId::NONE };
                if create.ephemeral && !self.sessions.contains(&session) {
                    return Err(format!(
                        "{zxid} creates the ephemeral node {path} of session {session}, which does \
                         not live"
                    ));
                }
                if path.starts_with(SEQUENTIAL) && !self.names.insert(path.to_owned()) {
                    return Err(format!("{zxid} gives the sequential name {path} once more"));
                }
                self.create(path, create.data, owner.0, zxid, time);
                self.nodes.get_mut(path).expect("just made").acl = from_wire(create.acl);
            }
            TxnBody::SetData(set) => {
                let path = set.path.unwrap_or_default();
                let Some(node) = self.nodes.get(path) else {
                    return Err(format!("{zxid} sets {path}, which is not there"));
                };
                if set.version != -1 && set.version != node.stat.version + 1 {
                    return Err(format!(
                        "{zxid} makes version {} of {path}, which has version {}",
                        set.version, node.stat.version
                    ));
                }
                self.set(path, set.data, zxid, time);
            }
            TxnBody::Delete(delete) => {
                let path = delete.path.unwrap_or_default();
                if let Some(error) = self.delete_obstacle(path, -1) {
                    return Err(format!("{zxid} deletes {path}: {error}"));
                }
                self.delete(path, zxid);
            }
            TxnBody::Check(_) | TxnBody::Error { .. } => (),
            TxnBody::CreateSession { .. } => {
                if !self.sessions.insert(session) {
                    return Err(format!("{zxid} begins session {session}, which lives"));
                }
            }
            TxnBody::CloseSession { paths } => {
                self.sessions.remove(&session);
                let owned: BTreeSet<String> = self
                    .nodes
                    .iter()
                    .filter(|(_, node)| node.stat.ephemeral_owner == session.0 && session.0 != 0)
                    .map(|(path, _)| path.clone())
                    .collect();
                if let Some(paths) = paths {
                    let named: BTreeSet<String> =
                        paths.iter().map(|path| path.unwrap_or_default().to_owned()).collect();
                    if named != owned {
                        return Err(format!(
                            "{zxid} closes session {session} and deletes {named:?}; it owns \
                             {owned:?}"
                        ));
                    }
                }
                for path in owned {
                    self.delete(&path, zxid);
                }
            }
            // The transaction lists the parts before the failed one as they were asked for, but none of them
            // happened.
            TxnBody::Multi(parts) if has_failed(*parts) => (),
            TxnBody::Multi(parts) => {
                for (_, part) in TxnBody::parts(*parts) {
                    self.body(&part, session, zxid, time)?;
                }
            }
            TxnBody::CreateContainer(create) => {
                let path = create.path.unwrap_or_default();
                self.create_special(path, create.data, Kind::Container, (zxid, time))?;
                self.nodes.get_mut(path).expect("just made").acl = from_wire(create.acl);
            }
            TxnBody::CreateTtl(create) => {
                let path = create.path.unwrap_or_default();
                self.create_special(path, create.data, Kind::Ttl(create.ttl), (zxid, time))?;
                self.nodes.get_mut(path).expect("just made").acl = from_wire(create.acl);
            }
            TxnBody::SetAcl(set) => {
                let path = set.path.unwrap_or_default();
                let Some(node) = self.nodes.get_mut(path) else {
                    return Err(format!("{zxid} sets the ACL of {path}, which is not there"));
                };
                if set.version != node.stat.aversion + 1 {
                    return Err(format!(
                        "{zxid} makes version {} of the ACL of {path}, which has version {}",
                        set.version, node.stat.aversion
                    ));
                }
                node.stat.aversion = set.version;
                node.acl = from_wire(set.acl);
            }
        }
        Ok(())
    }

    fn create_special(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        kind: Kind,
        (zxid, time): (Zxid, i64),
    ) -> Result<(), String> {
        if let Some(error) = self.create_obstacle(path, false) {
            return Err(format!("{zxid} creates {path}: {error}"));
        }
        self.create(path, data, 0, zxid, time);
        self.nodes.get_mut(path).expect("just made").kind = kind;
        Ok(())
    }

    /// Checks that a container or a TTL node may disappear now.
    fn goes_rightly(&self, txn: &Txn) -> Result<(), String> {
        let TxnBody::Delete(delete) = txn.body() else { return Ok(()) };
        let path = delete.path.unwrap_or_default();
        let Some(node) = self.nodes.get(path) else {
            return Err(format!("{} removes {path}, which is not there", txn.zxid()));
        };
        let idle_ms = txn.header().time - node.stat.mtime;
        let may_go = match node.kind {
            Kind::Plain => false,
            Kind::Container => {
                let never_used = self.never_used_ms;
                node.stat.cversion > 0 || never_used.is_some_and(|limit| idle_ms > limit)
            }
            Kind::Ttl(ttl_ms) => idle_ms > ttl_ms,
        };
        if may_go && node.children.is_empty() {
            return Ok(());
        }
        Err(format!(
            "REAPED: {} removes {path} at {} too early: {:?} {:?}",
            txn.zxid(),
            txn.header().time,
            node.kind,
            node.stat
        ))
    }

    fn create(&mut self, path: &str, data: Option<&[u8]>, owner: i64, zxid: Zxid, time: i64) {
        let stat = Stat {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            ephemeral_owner: owner,
            data_length: length(data),
            ..Stat::default()
        };
        let node = Node { data: data.map(<[u8]>::to_vec), stat, ..Node::default() };
        self.nodes.insert(path.to_owned(), node);
        self.change_children(path, zxid, true);
    }

    fn set(&mut self, path: &str, data: Option<&[u8]>, zxid: Zxid, time: i64) {
        let node = self.nodes.get_mut(path).expect("the caller looked");
        node.data = data.map(<[u8]>::to_vec);
        node.stat.data_length = length(data);
        node.stat.version += 1;
        node.stat.mzxid = zxid;
        node.stat.mtime = time;
    }

    fn delete(&mut self, path: &str, zxid: Zxid) {
        self.nodes.remove(path);
        self.change_children(path, zxid, false);
    }

    fn change_children(&mut self, path: &str, zxid: Zxid, created: bool) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let above = self.nodes.get_mut(parent(path)).expect("a node has a parent");
        if created {
            above.children.insert(name.to_owned());
            above.stat.num_children += 1;
        } else {
            above.children.remove(name);
            above.stat.num_children -= 1;
        }
        above.stat.cversion += 1;
        above.stat.pzxid = zxid;
    }
}

fn invalid_acl(acl: &List, who: &Who) -> Option<ErrorCode> {
    who.stored(acl).is_none().then_some(ErrorCode::InvalidAcl)
}

/// Whether a part of a multi failed, and with it the whole multi.
pub fn has_failed(parts: Vector<'_, SubTxn<'_>>) -> bool {
    TxnBody::parts(parts).any(|(_, part)| matches!(part, TxnBody::Error { .. }))
}

fn length(data: Option<&[u8]>) -> i32 {
    i32::try_from(data.map_or(0, <[u8]>::len)).expect("small data")
}
