//! Writes that the server of a client refuses before they get a zxid (`enableEagerACLCheck`).
//!
//! Such a refusal says nothing of the state that it was made from. But that state is not older than what the client
//! had seen when it asked, and not newer than what it saw next. A state between these two must explain the refusal.
//! In the same way, a state must explain why the server let a write without permission pass.

use ringkeeper::error::ErrorCode;
use ringkeeper::id::Zxid;
use ringkeeper::proto::data::perms;

use super::acl::{Who, is_early_refusal};
use super::check::what;
use super::history::{Call, History, Outcome, Request, Seen};
use super::model::{Model, parent};
use super::plan::Plan;

/// A refusal that waits for a state that explains it.
struct Open {
    place: usize,
    from: Zxid,
    to: Zxid,
    /// The error that the state must give; `None`: the state must allow the write.
    wanted: Option<ErrorCode>,
}

/// All refusals, and writes let pass, that a state must explain.
pub struct Refusals {
    open: Vec<Open>,
    is_early: bool,
}

impl Refusals {
    /// Those of a history.
    pub fn new(history: &History, plan: &Plan) -> Refusals {
        let is_early = plan.wild.eager_acl_check;
        let codes = [ErrorCode::NoAuth, ErrorCode::InvalidAcl];
        let mut open = Vec::new();
        for (place, call) in history.calls.iter().enumerate() {
            let Outcome::Replied { zxid, err, .. } = call.outcome else { continue };
            let Some(code) = codes.into_iter().find(|code| code.code() == err) else { continue };
            if !call.request.is_write() {
                continue;
            }
            let from = seen_before(history, call);
            if is_early_refusal(call) {
                let to = seen_after(history, place);
                open.push(Open { place, from, to, wanted: Some(code) });
            } else if is_early && is_screened(&call.request) {
                open.push(Open { place, from, to: zxid, wanted: None });
            }
        }
        Refusals { open, is_early }
    }

    /// Looks at the model, which is the state from one zxid up to the one before another.
    pub fn look(
        &mut self,
        history: &History,
        askers: &[Who],
        model: &Model,
        begins: Zxid,
        ends: Zxid,
    ) {
        self.open.retain(|open| {
            let is_possible = begins <= open.to && ends > open.from;
            let request = &history.calls[open.place].request;
            !(is_possible && screened(model, request, &askers[open.place]) == open.wanted)
        });
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// No state explains a refusal, or a write let pass.
    pub fn end(self, history: &History) -> Result<(), String> {
        let Some(Open { place, from, to, wanted }) = self.open.first() else { return Ok(()) };
        Err(format!(
            "EAGER: {} was refused {}, and no state from {from} to {to} explains it \
             (enableEagerACLCheck={}): {:?}",
            what(&history.calls[*place]),
            if wanted.is_some() { "before it got a zxid" } else { "with a zxid" },
            self.is_early,
            history.calls[*place].outcome
        ))
    }
}

/// The newest zxid that the client had seen on the connection when it asked.
fn seen_before(history: &History, call: &Call) -> Zxid {
    let known = history
        .calls
        .iter()
        .filter(|other| (other.client, other.connection) == (call.client, call.connection));
    let zxids = known.filter_map(|other| match other.outcome {
        Outcome::Replied { at, zxid, .. } if at <= call.invoked => Some(zxid),
        Outcome::Replied { .. } | Outcome::Unknown => None,
    });
    zxids.max().unwrap_or(Zxid::ZERO)
}

/// The zxid that the client saw next on the connection.
fn seen_after(history: &History, place: usize) -> Zxid {
    let call = &history.calls[place];
    let its = history
        .frames
        .iter()
        .filter(|frame| (frame.client, frame.connection) == (call.client, call.connection));
    let mut later = its.skip_while(|frame| !matches!(frame.seen, Seen::Reply(at) if at == place));
    // The state that an event shows may be later than that of a reply before it, and never earlier.
    later.find(|frame| frame.zxid.0 > 0).map_or(Zxid(i64::MAX), |frame| frame.zxid)
}

/// Whether the server checks the permissions for a request early. It does not for a multi, a container or a TTL
/// node.
fn is_screened(request: &Request) -> bool {
    matches!(
        request,
        Request::Create { .. }
            | Request::CreateWith { .. }
            | Request::Set { .. }
            | Request::Delete { .. }
            | Request::SetAcl { .. }
    )
}

/// The error that a request meets before it gets a zxid, or `None`.
fn screened(model: &Model, request: &Request, who: &Who) -> Option<ErrorCode> {
    let (path, wanted) = match request {
        Request::CreateWith { acl, .. } | Request::SetAcl { acl, .. }
            if who.stored(acl).is_none() =>
        {
            return Some(ErrorCode::InvalidAcl);
        }
        Request::Create { path, .. } | Request::CreateWith { path, .. } => {
            (parent(path), perms::CREATE)
        }
        Request::Delete { path, .. } => (parent(path), perms::DELETE),
        Request::Set { path, .. } => (path.as_str(), perms::WRITE),
        Request::SetAcl { path, .. } => (path.as_str(), perms::ADMIN),
        _ => return None,
    };
    let node = model.nodes.get(path)?;
    (!who.may(&node.acl, wanted)).then_some(ErrorCode::NoAuth)
}
