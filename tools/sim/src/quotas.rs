//! Quotas, as simple as possible: the model counts the figures anew after each transaction.

use std::collections::BTreeMap;

use ringkeeper::database::Database;
use ringkeeper::error::ErrorCode;
use ringkeeper::id::{ServerId, Zxid};

use super::history::{Call, History, Outcome, Request};
use super::model::{Model, Node, parent};

/// The node below which the quotas of all paths stand.
pub const ROOT: &str = "/zookeeper/quota";
/// The name of the node with the limits of a path.
pub const LIMITS: &str = "zookeeper_limits";
/// The name of the node with the figures of a path.
pub const FIGURES: &str = "zookeeper_stats";

/// The hard limits of a path and its figures, nodes first; -1: no limit.
type Quota = ([i64; 2], [i64; 2]);

/// The quotas, now and in the past.
#[derive(Debug, Default)]
pub struct Quotas {
    /// Whether hard limits are enforced (`enforceQuota`).
    pub enforced: bool,
    /// The quota of a path from a zxid on; `None`: there was none.
    past: Vec<(Zxid, String, Option<Quota>)>,
}

impl Quotas {
    /// What a request at `path` that adds this many nodes and bytes may have met: whether it may have passed, and
    /// whether it may have been refused. A leader looks at a state that it has applied, which is not older than
    /// `since`, the newest state that had been acknowledged before, and older than the request.
    fn verdicts(&self, path: &str, since: Zxid, [nodes, bytes]: [i64; 2]) -> (bool, bool) {
        let limited = |limited: &str| {
            path == limited || path.strip_prefix(limited).is_some_and(|rest| rest.starts_with('/'))
        };
        let mut paths: Vec<&str> = self.past.iter().map(|(_, path, _)| path.as_str()).collect();
        paths.retain(|path| limited(path));
        let Some(limited) = paths.first() else { return (true, false) };
        let goes_beyond = |quota: &Option<Quota>| {
            let Some((limits, figures)) = quota else { return false };
            let over = |limit: i64, figure: i64, more: i64| {
                more != 0 && limit > -1 && figure + more > limit
            };
            over(limits[0], figures[0], nodes) || over(limits[1], figures[1], bytes)
        };
        let of_path = self.past.iter().filter(|(_, path, _)| path == limited);
        let (before, after): (Vec<_>, Vec<_>) = of_path.partition(|(zxid, ..)| *zxid <= since);
        let first = before.last().is_some_and(|(.., quota)| goes_beyond(quota));
        let later = after.iter().map(|(.., quota)| goes_beyond(quota));
        let all: Vec<bool> = later.chain([first]).collect();
        (all.contains(&false), all.contains(&true))
    }
}

fn limit(text: Option<&[u8]>, name: &str) -> i64 {
    let text = String::from_utf8_lossy(text.unwrap_or_default()).into_owned();
    let value = text.split([',', ';']).find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or(-1)
}

fn figures_of(model: &Model, limited: &str) -> [i64; 2] {
    let below = format!("{limited}/");
    let mut figures = [0, 0];
    for (_, node) in
        model.nodes.iter().filter(|(path, _)| *path == limited || path.starts_with(&below))
    {
        figures[0] += 1;
        figures[1] += i64::from(node.stat.data_length);
    }
    figures
}

/// The paths that have limits.
fn limited(model: &Model) -> Vec<String> {
    let below = model.nodes.range(ROOT.to_owned()..).map(|(path, _)| path);
    let below = below.take_while(|path| path.starts_with(ROOT));
    let end = format!("/{LIMITS}");
    below.filter_map(|path| Some(path.strip_prefix(ROOT)?.strip_suffix(&end)?.to_owned())).collect()
}

fn write_figures(node: &mut Node, [nodes, bytes]: [i64; 2]) {
    let text = format!("count={nodes},bytes={bytes}").into_bytes();
    node.stat.data_length = i32::try_from(text.len()).expect("a short text");
    node.data = Some(text);
}

/// Counts the figures of all quotas after a transaction.
pub fn count(model: &mut Model, zxid: Zxid) {
    let limited = limited(model);
    let gone = |path: &String| !limited.contains(path);
    let ended: Vec<String> =
        model.quotas.past.iter().map(|(_, path, _)| path.clone()).filter(gone).collect();
    for path in ended {
        let last = model.quotas.past.iter().rev().find(|(_, of, _)| *of == path);
        if last.is_some_and(|(.., quota)| quota.is_some()) {
            model.quotas.past.push((zxid, path, None));
        }
    }
    // The figures are counted when their node is created, even without limits.
    let new: Vec<String> = model
        .nodes
        .range(ROOT.to_owned()..)
        .take_while(|(path, _)| path.starts_with(ROOT))
        .filter(|(path, node)| path.ends_with(FIGURES) && node.stat.czxid == zxid)
        .map(|(path, _)| parent(path)[ROOT.len()..].to_owned())
        .collect();
    for path in limited.iter().chain(&new) {
        let figures = figures_of(model, path);
        let limits = model.nodes.get(&format!("{ROOT}{path}/{LIMITS}")).map(|node| {
            let text = node.data.as_deref();
            [limit(text, "countHardLimit"), limit(text, "byteHardLimit")]
        });
        let node = model.nodes.get_mut(&format!("{ROOT}{path}/{FIGURES}"));
        let is_counted = node.is_some();
        if let Some(node) = node {
            write_figures(node, figures);
        }
        let quota = limits.filter(|_| is_counted).map(|limits| (limits, figures));
        let past = &mut model.quotas.past;
        let last = past.iter().rev().find(|(_, of, _)| of == path).map(|(.., quota)| *quota);
        if last.unwrap_or(None) != quota {
            past.push((zxid, path.clone(), quota));
        }
    }
}

/// For each call, the newest zxid that had been acknowledged when the client made it. `of_zxid` gives the call that
/// each transaction carried out.
pub fn acknowledged_before(history: &History, of_zxid: &BTreeMap<Zxid, usize>) -> Vec<Zxid> {
    let answered = |(zxid, place): (&Zxid, &usize)| match history.calls[*place].outcome {
        Outcome::Replied { at, .. } => Some((at, *zxid)),
        Outcome::Unknown => None,
    };
    let mut returned: Vec<(u64, Zxid)> = of_zxid.iter().filter_map(answered).collect();
    returned.sort_unstable();
    let mut next = 0;
    let mut newest = Zxid::ZERO;
    let newest_before = |call: &Call| {
        while next < returned.len() && returned[next].0 < call.invoked {
            newest = newest.max(returned[next].1);
            next += 1;
        }
        newest
    };
    history.calls.iter().map(newest_before).collect()
}

/// The errors that a request may meet, 0 for none. `obstacle` is the error that it meets beside quotas, and `since`
/// the newest zxid that had been acknowledged when the client made the request.
pub fn errors(
    model: &Model,
    request: &Request,
    obstacle: Option<ErrorCode>,
    since: Zxid,
) -> Vec<i32> {
    let usual = obstacle.map_or(0, ErrorCode::code);
    if !model.quotas.enforced {
        return vec![usual];
    }
    let length = |data: &[u8]| i64::try_from(data.len()).expect("a short text");
    let (path, more) = match request {
        Request::Create { path, data, .. }
        | Request::CreateContainer { path, data }
        | Request::CreateTtl { path, data, .. }
            if obstacle.is_none() =>
        {
            (path, [1, length(data)])
        }
        // The server checks the version after the quota.
        Request::Set { path, data, .. } => match model.nodes.get(path) {
            Some(node) => (path, [0, length(data) - i64::from(node.stat.data_length)]),
            None => return vec![usual],
        },
        _ => return vec![usual],
    };
    let (passes, refused) = model.quotas.verdicts(path, since, more);
    let mut errors = Vec::new();
    if passes {
        errors.push(usual);
    }
    if refused {
        errors.push(ErrorCode::QuotaExceeded.code());
    }
    errors
}

/// Checks that the figures of a server are those of the history.
///
/// # Errors
/// The figures differ.
pub fn agree(model: &Model, server: ServerId, database: &Database) -> Result<(), String> {
    for path in limited(model) {
        let path = format!("{ROOT}{path}/{FIGURES}");
        let expected = model.nodes.get(&path).map(|node| node.data.clone().unwrap_or_default());
        let found = database.node(&path).map(|node| node.data().unwrap_or_default().to_vec());
        if found != expected {
            let text = |data: Option<Vec<u8>>| {
                data.map(|data| String::from_utf8_lossy(&data).into_owned())
            };
            return Err(format!(
                "QUOTA: server {server} has {:?} in {path} instead of {:?}",
                text(found),
                text(expected)
            ));
        }
    }
    Ok(())
}
