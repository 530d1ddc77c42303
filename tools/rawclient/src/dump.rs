//! Dumps a whole tree as a client sees it.

use std::collections::BTreeMap;

use ringkeeper::proto::data::Stat;

use crate::session::{Session, SessionError};

/// All that a client can learn about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedNode {
    /// The data, or the error code if the server refuses to show it.
    pub data: Result<Option<Vec<u8>>, i32>,
    /// The Stat of getData, or of exists if the client may not read the data.
    pub stat: Option<Stat>,
    /// The ACL as text, or the error code if the server refuses to show it.
    pub acl: Result<Vec<String>, i32>,
}

/// Nodes by path.
pub type Tree = BTreeMap<String, DumpedNode>;

/// Dumps `root` and everything below it. The session must be authenticated as the super user to see all of the tree.
///
/// # Errors
/// The connection fails. Refusals are part of the dump.
pub fn dump(session: &mut Session, root: &str) -> Result<Tree, SessionError> {
    let mut tree = Tree::new();
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let (data, mut stat) = match session.get_data(&path, false) {
            Ok((data, stat)) => (Ok(data), Some(stat)),
            Err(SessionError::Refused(code)) => (Err(code), None),
            Err(error) => return Err(error),
        };
        if stat.is_none() {
            stat = refusal_is_none(session.exists(&path, false))?.flatten();
        }
        let acl = match session.get_acl(&path) {
            Ok((acl, _)) => Ok(acl),
            Err(SessionError::Refused(code)) => Err(code),
            Err(error) => return Err(error),
        };
        if let Some((children, seen)) = refusal_is_none(session.children(&path, false))? {
            assert_eq!(Some(seen), stat, "getChildren2 and getData disagree about {path}");
            let slash = if path == "/" { "" } else { "/" };
            pending.extend(children.iter().map(|name| format!("{path}{slash}{name}")));
        }
        tree.insert(path, DumpedNode { data, stat, acl });
    }
    Ok(tree)
}

/// The first difference between two trees, in words; `None` if they are equal.
pub fn first_difference(left: &Tree, right: &Tree) -> Option<String> {
    for (path, node) in left {
        match right.get(path) {
            None => return Some(format!("{path} is only in the first: {node:?}")),
            Some(other) if other != node => {
                return Some(format!("{path}:\n  first  {node:?}\n  second {other:?}"));
            }
            Some(_) => {}
        }
    }
    let extra = right.iter().find(|(path, _)| !left.contains_key(*path));
    extra.map(|(path, node)| format!("{path} is only in the second: {node:?}"))
}

fn refusal_is_none<T>(result: Result<T, SessionError>) -> Result<Option<T>, SessionError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(SessionError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
