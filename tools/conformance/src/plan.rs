//! A sequence of steps, made from a seed alone.

use ringkeeper::proto::opcode::OpCode;

use crate::draft::Draft;
use crate::operations::{self, Shape};
use crate::profile::Profile;
use crate::rng::Rng;

/// The number of sessions of a plan.
pub const SLOTS: usize = 5;
const BURST_MAX: usize = 24;
/// A part of the label of every create with a null ACL.
const NULL_ACL: &str = " null flags";
/// The node that holds an ensemble's configuration.
pub const CONFIG_NODE: &str = "/zookeeper/config";

/// A request of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its opcode, known or not.
    pub op: i32,
    /// Its body and words.
    pub draft: Draft,
    /// Whether ZooKeeper closes the connection after the reply, so that the run waits for it.
    pub closing: bool,
}

impl Request {
    /// A request after which the connection stays open.
    pub fn new(op: i32, draft: Draft) -> Self {
        Request { op, draft, closing: false }
    }

    /// Sets [`Request::closing`].
    #[must_use]
    pub fn closing(mut self, closing: bool) -> Self {
        self.closing = closing;
        self
    }
}

/// How a connection is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connect {
    /// A new session with this timeout, with or without the read-only byte.
    New {
        /// The timeout that the client asks for, in ms.
        timeout_ms: i32,
        /// The read-only byte.
        read_only: Option<bool>,
    },
    /// The slot's session again; if its connection is open, the session moves.
    Resume,
    /// The slot's session with a wrong password. Its connection is closed first, see [`crate::ALLOWED`].
    WrongPassword,
    /// The slot's session with a null password.
    NullPassword,
    /// The slot's session with a last zxid from the future.
    FutureZxid,
    /// A session id that no server knows.
    UnknownSession,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// One request and its reply.
    Request(usize, Request),
    /// Several requests in one write, then their replies.
    Burst(usize, Vec<Request>),
    /// A new connection.
    Connect(usize, Connect),
    /// The socket is closed, the session is not.
    Drop(usize),
    /// Bytes that are no request, after which the client ends its sending side.
    Garbage(usize, Vec<u8>),
    /// A ping on every connection.
    PingAll,
    /// Both servers are killed and started again.
    Restart,
    /// Time passes, in ms; then a ping on every connection.
    Wait(u64),
}

/// Steps, and where they come from.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The options of both servers.
    pub profile: &'static Profile,
    /// The seed; `None` for a plan written by hand.
    pub seed: Option<u64>,
    /// How many steps were asked for.
    pub length: usize,
    /// The steps with their numbers in the whole plan.
    pub steps: Vec<(usize, Step)>,
}

impl Plan {
    /// `length` random steps.
    pub fn random(profile: &'static Profile, seed: u64, length: usize) -> Self {
        Self::random_in_shape(profile, seed, length, profile.shape(), profile.restarts)
    }

    /// `length` random steps for ensembles. There are no restarts, because the epochs would differ between the sides
    /// afterwards; no bodies that cannot be decoded; and nothing about the configuration, which holds ports and the
    /// time of a start.
    // ZooKeeper: a write request that cannot be decoded is never committed, and the follower that forwarded it waits
    // for it: no later sync of its clients is answered (CommitProcessor, queuedWriteRequests). A null ACL in a multi
    // does the same.
    pub fn random_for_ensembles(profile: &'static Profile, seed: u64, length: usize) -> Self {
        let shape = Shape { broken_bodies: false, ..profile.shape() };
        let mut plan = Self::random_in_shape(profile, seed, length, shape, false);
        plan.steps.retain(|(_, step)| {
            let label = step.label();
            ![CONFIG_NODE, NULL_ACL, "reconfig"].iter().any(|part| label.contains(part))
        });
        plan
    }

    fn random_in_shape(
        profile: &'static Profile,
        seed: u64,
        length: usize,
        shape: Shape,
        restarts: bool,
    ) -> Self {
        let mut rng = Rng::new(seed);
        // At most one restart, in the middle third.
        let restart = length / 3 + rng.below(length / 3 + 1);
        let steps = (0..length)
            .map(|number| {
                let step = if number == restart && restarts {
                    Step::Restart
                } else {
                    random_step(&mut rng, shape)
                };
                (number, step)
            })
            .collect();
        Plan { profile, seed: Some(seed), length, steps }
    }

    /// Steps written by hand.
    pub fn scripted(profile: &'static Profile, steps: Vec<Step>) -> Self {
        let steps: Vec<_> = steps.into_iter().enumerate().collect();
        Plan { profile, seed: None, length: steps.len(), steps }
    }

    /// The plan with only some of its steps.
    #[must_use]
    pub fn keeping(&self, numbers: &[usize]) -> Self {
        let mut plan = self.clone();
        plan.steps.retain(|(number, _)| numbers.contains(number));
        plan
    }

    /// The number of requests in the plan.
    pub fn operations(&self) -> usize {
        self.steps
            .iter()
            .map(|(_, step)| match step {
                Step::Burst(_, requests) => requests.len(),
                _ => 1,
            })
            .sum()
    }

    /// The command that runs the plan again.
    pub fn command(&self) -> String {
        let Some(seed) = self.seed else {
            return format!("cargo test --test conformance {}", self.profile.name);
        };
        let mut command = format!(
            "cargo run -p ringkeeper-conformance -- --profile {} --seed {seed} --steps {}",
            self.profile.name, self.length
        );
        if self.steps.len() < self.length {
            let kept: Vec<String> =
                self.steps.iter().map(|(number, _)| number.to_string()).collect();
            command += &format!(" --keep {}", kept.join(","));
        }
        command
    }
}

impl Step {
    /// The step in words.
    pub fn label(&self) -> String {
        match self {
            Step::Request(slot, request) => format!("[{slot}] {}", request.draft.label),
            Step::Burst(slot, requests) => {
                let labels: Vec<&str> =
                    requests.iter().map(|request| &request.draft.label[..]).collect();
                format!("[{slot}] pipeline of {}: {}", requests.len(), labels.join(" ; "))
            }
            Step::Connect(slot, how) => format!("[{slot}] connect {how:?}"),
            Step::Drop(slot) => format!("[{slot}] drop the connection"),
            Step::Garbage(slot, bytes) => {
                let shown = &bytes[..bytes.len().min(24)];
                format!("[{slot}] garbage of {} bytes {shown:02x?}", bytes.len())
            }
            Step::PingAll => "ping on all connections".to_owned(),
            Step::Restart => "kill and restart both servers".to_owned(),
            Step::Wait(ms) => format!("wait {ms} ms"),
        }
    }
}

fn random_step(rng: &mut Rng, shape: Shape) -> Step {
    let slot = rng.below(SLOTS);
    match rng.below(1000) {
        0..850 => Step::Request(slot, operations::pipelined(rng, shape)),
        850..900 => Step::Request(slot, operations::alone(rng, shape)),
        900..940 if shape.bursts => {
            let count = 2 + rng.below(BURST_MAX - 1);
            let mut burst: Vec<Request> = (0..count)
                .map(|_| operations::pipelined(rng, shape))
                // See `crate::ALLOWED`.
                .filter(|request| request.op != OpCode::SetAcl.number())
                .filter(|request| !request.draft.is_unsteady)
                .collect();
            if rng.chance(10) {
                let close = Request::new(OpCode::CloseSession.number(), Draft::new("closeSession"));
                burst.push(close.closing(true));
            }
            Step::Burst(slot, burst)
        }
        940..968 => Step::Connect(slot, random_connect(rng)),
        968..978 => Step::Drop(slot),
        978..984 => Step::Garbage(slot, random_garbage(rng, shape)),
        _ => Step::PingAll,
    }
}

fn random_connect(rng: &mut Rng) -> Connect {
    match rng.below(12) {
        0..3 => Connect::New {
            timeout_ms: rng.pick(&[600_000, 0, -1, 1, 599_999, 900_000, i32::MAX, i32::MIN]),
            read_only: rng.pick(&[None, Some(false), Some(true)]),
        },
        3..8 => Connect::Resume,
        8 => Connect::WrongPassword,
        9 => Connect::NullPassword,
        10 => Connect::FutureZxid,
        _ => Connect::UnknownSession,
    }
}

fn random_garbage(rng: &mut Rng, shape: Shape) -> Vec<u8> {
    let length = |value: i32| value.to_be_bytes().to_vec();
    let above = i32::try_from(shape.frame_bytes_max + 1).expect("a small limit");
    match rng.below(9) {
        0 => length(-1),
        1 => length(i32::MIN),
        2 => length(above),
        3 => length(i32::MAX),
        4 => length(0),
        5 => [length(4), vec![0, 0, 0, 9]].concat(),
        6 => [length(7), vec![0, 0, 0, 9, 0, 0, 0]].concat(),
        7 => [length(100), vec![0; 20]].concat(),
        _ => vec![0, 0],
    }
}
