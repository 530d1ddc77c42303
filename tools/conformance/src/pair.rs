//! Both servers: carries out each step on both, and requires that both sent the same text.

use std::collections::VecDeque;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::proto::opcode::OpCode;
use ringkeeper_rawclient::{Body, DumpedNode, Session, Tree, dump};
use ringkeeper_testkit::Program;

use crate::plan::{CONFIG_NODE, Plan, Step};
use crate::render;
use crate::servers::{Servers, Shape};
use crate::side::Side;
use crate::universe::{SUPER, USERS};

const HISTORY_SHOWN: usize = 24;
/// Steps between two pings on every connection. The pings show a missing event soon after the step that should have
/// caused it.
const PING_ALL_EVERY: usize = 50;
const COUNTS_LIMIT: Duration = Duration::from_secs(10);
/// Lines of `mntr` that depend on the operations alone.
const COUNTS: &[&str] =
    &["zk_znode_count", "zk_watch_count", "zk_ephemerals_count", "zk_global_sessions"];

/// The first difference between the servers.
#[derive(Debug)]
pub struct Difference {
    /// The step's number in the plan; `None` for what is compared at the end.
    pub step: Option<usize>,
    /// The request in words.
    pub label: String,
    /// The first server's name and answer.
    pub left: (&'static str, String),
    /// The second server's name and answer.
    pub right: (&'static str, String),
    /// The steps before it, oldest first.
    pub history: Vec<String>,
    /// The command that repeats it.
    pub command: String,
}

/// The outcome of a plan.
#[derive(Debug)]
pub enum Verdict {
    /// No difference.
    Same {
        /// Requests sent to each server.
        operations: usize,
        /// Nodes compared at the end.
        nodes: usize,
    },
    /// A difference.
    Different(Box<Difference>),
}

impl Difference {
    /// What was asked, and the lines in which the two answers differ, with one before and one after.
    pub fn without_history(&self) -> String {
        let mut text = format!("The servers differ at step {:?}: {}\n", self.step, self.label);
        let [left, right] =
            [&self.left, &self.right].map(|(_, answer)| answer.lines().collect::<Vec<_>>());
        let pairs = || left.iter().zip(&right);
        let same_before = pairs().take_while(|(left, right)| left == right).count();
        let backwards = || left.iter().rev().zip(right.iter().rev());
        let same_after = backwards().take_while(|(left, right)| left == right).count();
        for ((name, _), lines) in [(&self.left, &left), (&self.right, &right)] {
            let start = same_before.saturating_sub(1);
            let end = (lines.len() + 1).saturating_sub(same_after).clamp(start, lines.len());
            text += &format!("  {name}, line {} of {}:\n", start + 1, lines.len());
            lines[start..end].iter().for_each(|line| text += &format!("    {line}\n"));
        }
        text
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_history())?;
        writeln!(f, "The steps before it:")?;
        self.history.iter().try_for_each(|line| writeln!(f, "    {line}"))?;
        writeln!(f, "To repeat it:\n    {}", self.command)
    }
}

/// Two servers in step.
#[derive(Debug)]
pub struct Pair {
    left: Side,
    right: Side,
}

/// Starts both servers on empty folders, carries out the plan, compares everything.
pub fn run_plan(plan: &Plan, programs: &[Program; 2]) -> Verdict {
    run_plan_past(plan, programs, 0, |_| {})
}

/// Compares two ensembles, where each slot connects to a member of its own. Before a client acts, the run brings its
/// member up to date.
pub fn run_plan_on_ensembles(plan: &Plan, programs: &[Program; 2]) -> Verdict {
    Pair::start(plan, programs, Shape::Ensemble).run(plan, 0, |_| {})
}

/// Like [`run_plan`], but reports up to `passed_max` differences and goes on. Later differences may follow from
/// earlier ones.
pub fn run_plan_past(
    plan: &Plan,
    programs: &[Program; 2],
    passed_max: usize,
    tell: impl FnMut(&Difference),
) -> Verdict {
    Pair::start(plan, programs, Shape::Alone).run(plan, passed_max, tell)
}

impl Pair {
    /// Starts both sides.
    pub fn start(plan: &Plan, [left, right]: &[Program; 2], shape: Shape) -> Self {
        // Both start at the same time, because a Java machine starts slowly.
        thread::scope(|scope| {
            let other = scope.spawn(|| Side::start(right, plan.profile, shape));
            let left = Side::start(left, plan.profile, shape);
            let right = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Pair { left, right }
        })
    }

    /// Carries out the plan and compares; see [`run_plan_past`].
    pub fn run(
        &mut self,
        plan: &Plan,
        passed_max: usize,
        mut tell: impl FnMut(&Difference),
    ) -> Verdict {
        let mut history: VecDeque<String> = VecDeque::new();
        let mut passed = 0;
        for (index, (number, step)) in plan.steps.iter().enumerate() {
            let label = format!("{number}: {}", step.label());
            let mut outcome = self.step(step);
            if outcome.is_ok() && index % PING_ALL_EVERY == PING_ALL_EVERY - 1 {
                outcome = self.step(&Step::PingAll);
            }
            if let Err(answers) = outcome {
                let found =
                    self.different(plan, Some(*number), label.clone(), answers, history.clone());
                if passed == passed_max {
                    return Verdict::Different(found);
                }
                passed += 1;
                tell(&found);
            }
            if history.len() == HISTORY_SHOWN {
                history.pop_front();
            }
            history.push_back(label);
        }
        if let Err((left, right)) = self.step(&Step::PingAll) {
            let label = "ping on all connections at the end".to_owned();
            return Verdict::Different(self.different(plan, None, label, (left, right), history));
        }
        if let Err((left, right)) = self.same_counts() {
            let label = "mntr".to_owned();
            return Verdict::Different(self.different(plan, None, label, (left, right), history));
        }
        let (left, right) = (tree(plan, &mut self.left), tree(plan, &mut self.right));
        if let Some(difference) = tree_difference(&left, &right) {
            let label = "the trees".to_owned();
            return Verdict::Different(self.different(plan, None, label, difference, history));
        }
        Verdict::Same { operations: plan.operations(), nodes: left.len() }
    }

    fn step(&mut self, step: &Step) -> Result<(), (String, String)> {
        if let Step::Wait(ms) = step {
            thread::sleep(Duration::from_millis(*ms));
        }
        self.left.begin(step);
        self.right.begin(step);
        let left = self.left.finish(step);
        let right = self.right.finish(step);
        if left == right { Ok(()) } else { Err((left.join("\n"), right.join("\n"))) }
    }

    /// Watches and sessions of connections that were just closed vanish a little later, so this waits until the
    /// counts are equal.
    fn same_counts(&self) -> Result<(), (String, String)> {
        let deadline = Instant::now() + COUNTS_LIMIT;
        loop {
            let counts = [&self.left, &self.right].map(|side| {
                let texts = side.servers().four_letter("mntr").into_iter().map(|text| {
                    let kept = text.lines().filter(|line| {
                        COUNTS.iter().any(|name| line.split('\t').next() == Some(name))
                    });
                    let mut kept: Vec<&str> = kept.collect();
                    kept.sort_unstable();
                    kept.join("\n")
                });
                texts.collect::<Vec<_>>().join("\n--\n")
            });
            let [left, right] = counts;
            if left == right {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err((left, right));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn different(
        &self,
        plan: &Plan,
        step: Option<usize>,
        label: String,
        (left, right): (String, String),
        history: VecDeque<String>,
    ) -> Box<Difference> {
        Box::new(Difference {
            step,
            label,
            left: (self.left.name(), left),
            right: (self.right.name(), right),
            history: history.into(),
            command: plan.command(),
        })
    }
}

/// The tree in canonical text, read by a session with every identity that there is.
fn tree(plan: &Plan, side: &mut Side) -> Vec<(String, String)> {
    let mut session = Session::open(side.servers().address(0), 100_000)
        .unwrap_or_else(|error| panic!("{}: {error}", side.name()));
    let proofs = USERS.iter().chain(plan.profile.has_super.then_some(&SUPER));
    for proof in proofs {
        session.authenticate("digest", proof.as_bytes()).expect("digest is always accepted");
    }
    let mut tree = dump(&mut session, "/").expect("the server answers");
    if matches!(side.servers(), Servers::Ensemble { .. }) {
        tree.remove(CONFIG_NODE);
    }
    session.call(OpCode::CloseSession, &Body::new()).expect("closeSession");
    canonical(side, tree)
}

fn canonical(side: &mut Side, tree: Tree) -> Vec<(String, String)> {
    tree.into_iter()
        .map(|(path, DumpedNode { data, stat, mut acl })| {
            if let Ok(entries) = &mut acl {
                entries.sort_unstable();
            }
            let data = data.map(|data| data.map(|data| render::bytes(&data)));
            let stat = stat.map(|stat| side.stat_text(&stat));
            (path, format!("{data:?} {stat:?} {acl:?}"))
        })
        .collect()
}

fn tree_difference(
    left: &[(String, String)],
    right: &[(String, String)],
) -> Option<(String, String)> {
    let at = left.iter().zip(right).position(|(left, right)| left != right);
    let at = match at {
        Some(at) => at,
        None if left.len() == right.len() => return None,
        None => left.len().min(right.len()),
    };
    let show = |tree: &[(String, String)]| match tree.get(at) {
        Some((path, node)) => format!("{path}: {node}"),
        None => "(end of the tree)".to_owned(),
    };
    Some((show(left), show(right)))
}
