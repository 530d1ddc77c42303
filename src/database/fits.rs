//! Checks whether a transaction that other servers have committed fits this tree.
//!
//! A proposal of this server was checked against its own tree, and [`Database::apply`] relies on it to fit. A
//! leader's proposals were checked elsewhere. If the two trees differ, or the leader is false, a server that
//! stopped here would stop again each time it asked for the rest of the history.

use std::collections::BTreeMap;

use crate::database::Database;
use crate::id::SessionId;
use crate::proto::opcode::OpCode;
use crate::proto::txn::{Txn, TxnBody};
use crate::tree::{NodeKind, split_path, ttl_owner};

/// The nodes after the earlier parts of a multi; `None`: the node is deleted.
type Ahead = BTreeMap<String, Option<Known>>;

/// The facts that are needed about a node.
#[derive(Clone, Copy)]
struct Known {
    children: u64,
    is_ephemeral: bool,
}

/// The change that a part makes, if it fits.
enum Change<'a> {
    None,
    Created { path: &'a str, is_ephemeral: bool },
    Deleted(&'a str),
}

impl Database {
    /// Whether the transaction can be applied as intended. A tolerant database ([`Database::set_tolerant`]) skips
    /// one that cannot; in any other database it breaks an invariant.
    ///
    /// Costs a search or two, for nodes that are needed next.
    pub fn fits(&self, txn: &Txn) -> bool {
        let mut ahead = Ahead::new();
        let session = txn.header().client_id;
        let TxnBody::Multi(parts) = txn.body() else {
            return self.change(session, &txn.body(), &ahead).is_some();
        };
        // Nothing of a failed multi is applied.
        if parts.iter().any(|part| part.op == OpCode::Error.number()) {
            return true;
        }
        TxnBody::parts(parts).all(|(_, body)| {
            // A part that does not fit decides for the whole multi.
            let Some(change) = self.change(session, &body, &ahead) else { return false };
            let (path, made) = match change {
                Change::None => return true,
                Change::Created { path, is_ephemeral } => {
                    (path, Some(Known { children: 0, is_ephemeral }))
                }
                Change::Deleted(path) => (path, None),
            };
            let (parent, _) = split_path(path).expect("it was split before");
            let mut known = self.known(parent, &ahead).expect("it was found before");
            known.children = match made {
                Some(_) => known.children + 1,
                None => known.children.saturating_sub(1),
            };
            ahead.insert(whole(parent).to_owned(), Some(known));
            ahead.insert(path.to_owned(), made);
            true
        })
    }

    /// `None`: it does not fit.
    fn change<'a>(
        &self,
        session: SessionId,
        body: &TxnBody<'a>,
        ahead: &Ahead,
    ) -> Option<Change<'a>> {
        let is_there = |path: Option<&str>| self.known(path?, ahead).map(|_| Change::None);
        match *body {
            TxnBody::Create(txn) => self.creates(txn.path, txn.ephemeral, ahead),
            TxnBody::CreateContainer(txn) => self.creates(txn.path, false, ahead),
            TxnBody::CreateTtl(txn) => {
                ttl_owner(txn.ttl)?;
                self.creates(txn.path, false, ahead)
            }
            TxnBody::Delete(txn) => {
                let path = txn.path.filter(|path| split_path(path).is_some())?;
                (self.known(path, ahead)?.children == 0).then_some(Change::Deleted(path))
            }
            TxnBody::SetData(txn) => is_there(txn.path),
            TxnBody::SetAcl(txn) => is_there(txn.path),
            // Nodes that are already gone are skipped; a node with children belongs to no session.
            TxnBody::CloseSession { paths } => {
                let owned = self.tree.owners().ephemerals(session);
                let mut paths = paths.iter().flat_map(|paths| paths.iter()).enumerate();
                let has_children = |(place, path): (usize, Option<&str>)| {
                    let found = path.and_then(|path| self.tree.find_near(owned.get(place), path));
                    found.is_some_and(|id| self.tree.get(id).num_children() > 0)
                };
                (!paths.any(has_children)).then_some(Change::None)
            }
            TxnBody::Check(_)
            | TxnBody::CreateSession { .. }
            | TxnBody::Error { .. }
            | TxnBody::Multi(_) => Some(Change::None),
        }
    }

    fn creates<'a>(
        &self,
        path: Option<&'a str>,
        is_ephemeral: bool,
        ahead: &Ahead,
    ) -> Option<Change<'a>> {
        let path = path?;
        let (parent, _) = split_path(path)?;
        if self.known(parent, ahead)?.is_ephemeral {
            return None;
        }
        self.known(path, ahead).is_none().then_some(Change::Created { path, is_ephemeral })
    }

    /// `None`: there is no such node.
    fn known(&self, path: &str, ahead: &Ahead) -> Option<Known> {
        if let Some(known) = ahead.get(whole(path)) {
            return *known;
        }
        let node = self.tree.get(self.tree.find(path)?);
        let is_ephemeral = matches!(node.kind(), NodeKind::Ephemeral(_));
        Some(Known { children: node.num_children() as u64, is_ephemeral })
    }
}

/// The root has two paths.
fn whole(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}
