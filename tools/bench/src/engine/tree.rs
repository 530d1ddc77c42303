//! The tree that a workload needs before it begins: groups of nodes below a root of the run's own.

use std::net::SocketAddr;

use super::control::Control;
use super::frames::Node;
use super::mix::{CREATE_GROUPS_FROM, OWN_GROUP};
use crate::definition::{Mix, Work};

/// The nodes that must exist before the load.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    groups: Vec<u32>,
    /// Leaves, numbered through all groups, `children` in each: `leaf / children` is the group.
    znodes: u32,
    children: u32,
    /// Further leaves of one group, numbered from 0.
    others: Option<(u32, u32)>,
    value_bytes: u32,
}

impl Tree {
    /// A tree of nodes alone.
    pub fn of_nodes(znodes: u32, children: u32, value_bytes: u32) -> Tree {
        let groups = (0..znodes.div_ceil(children)).collect();
        Tree { groups, znodes, children, others: None, value_bytes }
    }

    /// The tree that this work needs.
    pub fn of(work: &Work) -> Tree {
        match work {
            Work::Mix(mix) => Tree::of_mix(mix),
            Work::Lock(lock) => Tree { groups: (0..lock.locks).collect(), ..Tree::default() },
            Work::Discovery(discovery) => {
                Tree { groups: (0..discovery.services).collect(), ..Tree::default() }
            }
            Work::FanOut(fan_out) => Tree {
                groups: vec![0],
                others: Some((0, 1)),
                value_bytes: fan_out.value_bytes,
                ..Tree::default()
            },
            Work::ConnectStorm(_) => Tree::default(),
            Work::Churn(churn) => Tree { groups: (0..churn.sessions).collect(), ..Tree::default() },
        }
    }

    fn of_mix(mix: &Mix) -> Tree {
        let mut tree = Tree::of_nodes(mix.znodes, mix.children, mix.value_bytes);
        tree.groups.push(OWN_GROUP);
        tree.others = Some((OWN_GROUP, mix.sessions));
        let makes = mix.operations.create + mix.operations.create_ephemeral + mix.operations.delete;
        if makes > 0 && !mix.create_among_them {
            tree.groups.extend(CREATE_GROUPS_FROM..CREATE_GROUPS_FROM + mix.sessions);
        }
        tree
    }

    /// Makes the tree below a new root, and reports the part of it that exists, 0 to 1.
    ///
    /// # Errors
    /// A server cannot be reached or refuses.
    pub fn make(
        &self,
        servers: &[SocketAddr],
        done: &mut dyn FnMut(f64),
    ) -> Result<String, String> {
        let (mut control, server) = Control::connect(servers)?;
        let explain = |why: String| format!("{server}: making nodes: {why}");
        let root = control.make_root().map_err(explain)?;
        control.make_groups(&root, self.groups.iter().copied()).map_err(explain)?;
        let (group, others) = self.others.unwrap_or_default();
        let all = f64::from(self.znodes) + f64::from(others);
        let nodes = (0..self.znodes).map(|leaf| Node { group: leaf / self.children, leaf });
        let nodes = nodes.chain((0..others).map(|leaf| Node { group, leaf }));
        let value = vec![b'v'; usize::try_from(self.value_bytes).expect("64 bits")];
        let mut tell = |count| done(f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / all);
        control.make_leaves(&root, nodes, &value, &mut tell).map_err(explain)?;
        control.close();
        Ok(root)
    }
}

/// Removes a root and everything below it.
///
/// # Errors
/// A server cannot be reached or refuses.
pub fn remove(servers: &[SocketAddr], root: &str) -> Result<(), String> {
    let (mut control, server) = Control::connect(servers)?;
    control.remove(root).map_err(|why| {
        format!(
            "{server}: removing the nodes that were made: {why}; what is left lies below {root}"
        )
    })?;
    control.close();
    Ok(())
}
