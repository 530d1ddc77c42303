//! What a workload does: the kinds of work, their parameters, and the bounds of those.

use serde::{Deserialize, Serialize};

/// The most sessions of one run: the ports that one address of the generator has for one server, less a reserve.
pub const SESSIONS_MAX: u32 = 28_000;
/// The most parents of the nodes of a mix, because larger numbers do not fit their names.
const GROUPS_MAX: u32 = 900_000;
/// The most nodes of a mix. The nodes that it creates among them have the numbers behind.
const ZNODES_MAX: u32 = 10_000_000;

/// The work of a definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Work {
    /// Requests drawn from a mix of operations.
    Mix(Mix),
    /// Clients that want the same locks, by Curator's pattern.
    Lock(Lock),
    /// Services that come and go, and clients that want to know.
    Discovery(Discovery),
    /// One session writes a node that all others watch.
    FanOut(FanOut),
    /// All clients connect at once.
    ConnectStorm(ConnectStorm),
    /// Sessions that come, make ephemeral nodes, and go.
    Churn(Churn),
}

/// The servers that the sessions connect to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// All of them, in turn, the leader first.
    #[default]
    Spread,
    /// The leader, or the only one.
    Leader,
    /// All but the leader, in turn.
    Follower,
}

/// How requests are paced.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Load {
    /// Each session keeps a number of requests in flight.
    Closed {
        /// Requests in flight in each session.
        depth: u32,
    },
    /// Requests fall due at a rate over all sessions, whether or not earlier ones were answered.
    Open {
        /// Requests per second.
        per_second: f64,
    },
}

/// The parameters of requests drawn from a mix of operations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// The number of sessions.
    pub sessions: u32,
    /// The servers that the sessions connect to.
    #[serde(default)]
    pub placement: Placement,
    /// How requests are paced.
    pub load: Load,
    /// Weights of the operations.
    pub operations: Operations,
    /// The nodes that the operations are about.
    #[serde(default)]
    pub keys: Keys,
    /// Nodes that exist before the load begins.
    #[serde(default = "one_thousand")]
    pub znodes: u32,
    /// How many of these nodes each parent has.
    #[serde(default = "one_thousand")]
    pub children: u32,
    /// Whether creates and deletes happen among those nodes, under the first parent, instead of
    /// under a parent of each session's own.
    #[serde(default)]
    pub create_among_them: bool,
    /// Bytes of each value.
    #[serde(default = "hundred")]
    pub value_bytes: u32,
    /// Operations in each multi.
    #[serde(default = "ten")]
    pub multi_size: u32,
    /// Operations in each multi_read.
    #[serde(default = "ten")]
    pub multi_read_size: u32,
    /// Data watches that the sessions together set on those nodes before the load begins.
    #[serde(default)]
    pub watches: u32,
    /// Whether reads set a watch.
    #[serde(default)]
    pub reads_watch: bool,
}

/// Weights of a mix's operations; only their proportion matters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Operations {
    /// getData.
    pub get: u32,
    /// exists.
    pub exists: u32,
    /// getChildren of a node's parent.
    pub children: u32,
    /// setData.
    pub set: u32,
    /// create of a new node.
    pub create: u32,
    /// create of a new ephemeral node.
    pub create_ephemeral: u32,
    /// delete of the oldest node that the session created; if there is none, a create instead.
    pub delete: u32,
    /// A multi of several setData.
    pub multi: u32,
    /// A multi_read of several getData.
    pub multi_read: u32,
    /// sync.
    pub sync: u32,
}

/// The nodes that a mix's operations are about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    /// Each session has a node of its own, beside the others.
    #[default]
    Own,
    /// Any of the nodes.
    Uniform,
    /// Some nodes far more often than others: the frequency of the node of rank r is proportional to r to the power
    /// of minus theta.
    Zipfian {
        /// The exponent: above 0, below 1; 0.99 is usual.
        theta: f64,
    },
    /// All operations are about one node.
    OneHot,
}

/// Clients that want the same locks: each creates an ephemeral sequential node and watches the one before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Clients, each with a session of its own.
    pub sessions: u32,
    /// The servers that the sessions connect to.
    #[serde(default)]
    pub placement: Placement,
    /// The number of locks; client i wants lock i modulo this number.
    pub locks: u32,
}

/// Services that register and leave, and clients that keep lists of the present instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discovery {
    /// The number of services; each has a node, the parent of its instances.
    pub services: u32,
    /// Instances of each service; each is an ephemeral node in a session of its own.
    pub instances: u32,
    /// Clients of each service, which watch the list of its instances.
    pub clients: u32,
    /// Instances of all services together that leave and come back in each second.
    pub changes_per_second: f64,
    /// How many of a hundred leaving instances vanish without closeSession, so that their sessions have to expire.
    #[serde(default)]
    pub expire_percent: u32,
    /// The session timeout that instances ask for.
    #[serde(default = "four_seconds_ms")]
    pub timeout_ms: u32,
    /// Bytes of an instance's value.
    #[serde(default = "hundred")]
    pub value_bytes: u32,
    /// The servers that the sessions connect to.
    #[serde(default)]
    pub placement: Placement,
}

/// One session writes a node that all others watch. Each watcher reads the node again and sets its watch again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FanOut {
    /// Watchers, each with a session of its own.
    pub watchers: u32,
    /// The servers that the sessions connect to.
    #[serde(default)]
    pub placement: Placement,
    /// Writes that are due in each second.
    pub writes_per_second: f64,
    /// Bytes of the value.
    #[serde(default = "hundred")]
    pub value_bytes: u32,
}

/// Clients that all connect at once, leave, and connect again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectStorm {
    /// The number of clients. All of them leave and begin anew when each has its session.
    pub sessions: u32,
    /// The servers that the sessions connect to.
    #[serde(default)]
    pub placement: Placement,
}

/// Sessions that come, make ephemeral nodes, and go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// The number of sessions at any time.
    pub sessions: u32,
    /// The servers that the sessions connect to.
    #[serde(default)]
    pub placement: Placement,
    /// Ephemeral nodes that each session makes.
    pub ephemerals: u32,
    /// Bytes of each node's value.
    #[serde(default = "hundred")]
    pub value_bytes: u32,
}

impl Work {
    /// The number of sessions that the work has at once.
    pub fn sessions(&self) -> u32 {
        match self {
            Work::Mix(mix) => mix.sessions,
            Work::Lock(lock) => lock.sessions,
            Work::Discovery(discovery) => {
                let each = discovery.instances.saturating_add(discovery.clients);
                each.saturating_mul(discovery.services)
            }
            Work::FanOut(fan_out) => fan_out.watchers.saturating_add(1),
            Work::ConnectStorm(storm) => storm.sessions,
            Work::Churn(churn) => churn.sessions,
        }
    }

    /// Sets a parameter of a ladder.
    pub(super) fn set(&mut self, parameter: &str, value: u64) -> Result<(), String> {
        if parameter == "servers" {
            // The caller that starts the servers handles this parameter.
            return Ok(());
        }
        let number = u32::try_from(value)
            .map_err(|_| format!("step: {parameter} = {value} is more than 4294967295"))?;
        let place = match (self, parameter) {
            (Work::Mix(mix), "read_percent") => {
                if number > 100 {
                    return Err(format!("step: read_percent = {number} is more than 100"));
                }
                mix.operations =
                    Operations { get: number, set: 100 - number, ..Operations::default() };
                return Ok(());
            }
            (Work::Mix(mix), "children") => {
                // All nodes have one parent.
                (mix.znodes, mix.children) = (number, number);
                return Ok(());
            }
            (Work::Mix(mix), "per_second") => {
                mix.load = Load::Open { per_second: f64::from(number) };
                return Ok(());
            }
            (Work::Mix(mix), "depth") => {
                mix.load = Load::Closed { depth: number };
                return Ok(());
            }
            (Work::Mix(mix), "sessions") => &mut mix.sessions,
            (Work::Mix(mix), "value_bytes") => &mut mix.value_bytes,
            (Work::Mix(mix), "znodes") => &mut mix.znodes,
            (Work::Mix(mix), "watches") => &mut mix.watches,
            (Work::Mix(mix), "multi_size") => &mut mix.multi_size,
            (Work::Lock(lock), "sessions") => &mut lock.sessions,
            (Work::Lock(lock), "locks") => &mut lock.locks,
            (Work::Discovery(discovery), "clients") => &mut discovery.clients,
            (Work::Discovery(discovery), "instances") => &mut discovery.instances,
            (Work::FanOut(fan_out), "watchers" | "sessions") => &mut fan_out.watchers,
            (Work::ConnectStorm(storm), "sessions") => &mut storm.sessions,
            (Work::Churn(churn), "sessions") => &mut churn.sessions,
            (Work::Churn(churn), "ephemerals") => &mut churn.ephemerals,
            _ => return Err(format!("step: this kind of work has no parameter `{parameter}`")),
        };
        *place = number;
        Ok(())
    }

    /// Checks the parameters.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut rate = ("", 1.0);
        let at_least_one = match self {
            Work::Mix(mix) => vec![("sessions", mix.sessions)],
            Work::Lock(lock) => vec![("sessions", lock.sessions), ("locks", lock.locks)],
            Work::Discovery(discovery) => {
                rate = ("changes_per_second", discovery.changes_per_second);
                let Discovery { services, instances, clients, .. } = *discovery;
                vec![("services", services), ("instances", instances), ("clients", clients)]
            }
            Work::FanOut(fan_out) => {
                rate = ("writes_per_second", fan_out.writes_per_second);
                vec![("watchers", fan_out.watchers)]
            }
            Work::ConnectStorm(storm) => vec![("sessions", storm.sessions)],
            Work::Churn(churn) => {
                vec![("sessions", churn.sessions), ("ephemerals", churn.ephemerals)]
            }
        };
        if let Some((what, _)) = at_least_one.iter().find(|(_, number)| *number == 0) {
            return Err(format!("work.{what} must be at least 1"));
        }
        let sessions = self.sessions();
        if sessions > SESSIONS_MAX {
            return Err(format!(
                "{sessions} sessions are more than one machine has ports for: at most {SESSIONS_MAX}"
            ));
        }
        if !is_rate(rate.1) {
            return Err(format!("work.{} must be above 0", rate.0));
        }
        if let Work::Mix(mix) = self { mix.check() } else { Ok(()) }
    }
}

fn is_rate(per_second: f64) -> bool {
    per_second > 0.0 && per_second < 1e8
}

impl Mix {
    /// A mix with the defaults of a definition for everything else.
    pub fn new(sessions: u32, load: Load, operations: Operations) -> Mix {
        Mix {
            sessions,
            placement: Placement::default(),
            load,
            operations,
            keys: Keys::default(),
            znodes: one_thousand(),
            children: one_thousand(),
            create_among_them: false,
            value_bytes: hundred(),
            multi_size: ten(),
            multi_read_size: ten(),
            watches: 0,
            reads_watch: false,
        }
    }

    fn check(&self) -> Result<(), String> {
        let Operations {
            get,
            exists,
            children,
            set,
            create,
            create_ephemeral,
            delete,
            multi,
            multi_read,
            sync,
        } = self.operations;
        let weights =
            [get, exists, children, set, create, create_ephemeral, delete, multi, multi_read, sync];
        if weights.iter().all(|&weight| weight == 0) {
            return Err("work.operations names no operation; `operations.set = 1` would do".into());
        }
        if weights.iter().any(|&weight| weight > 1_000_000) {
            return Err("work.operations: weights are at most 1000000".into());
        }
        match self.load {
            Load::Closed { depth: 0 } => {
                return Err("work.load.closed.depth must be at least 1".into());
            }
            Load::Open { per_second } if !is_rate(per_second) => {
                return Err("work.load.open.per_second must be above 0".into());
            }
            Load::Closed { .. } | Load::Open { .. } => {}
        }
        match self.keys {
            Keys::Zipfian { theta } if !(theta > 0.0 && theta < 1.0) => {
                return Err("work.keys.zipfian.theta must be above 0 and below 1".into());
            }
            Keys::Own | Keys::Uniform | Keys::Zipfian { .. } | Keys::OneHot => {}
        }
        if self.znodes == 0
            || self.children == 0
            || self.znodes.div_ceil(self.children) > GROUPS_MAX
        {
            return Err(format!(
                "work.znodes and work.children must be at least 1, and the parents {GROUPS_MAX} at most"
            ));
        }
        if self.znodes > ZNODES_MAX {
            return Err(format!("work.znodes must be at most {ZNODES_MAX}"));
        }
        if self.multi_size == 0 || self.multi_read_size == 0 {
            return Err("work.multi_size and work.multi_read_size must be at least 1".into());
        }
        Ok(())
    }
}

fn four_seconds_ms() -> u32 {
    4000
}

fn ten() -> u32 {
    10
}

fn hundred() -> u32 {
    100
}

fn one_thousand() -> u32 {
    1000
}
