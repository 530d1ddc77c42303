//! Compares the answer to a read with the model.

use ringkeeper::error::ErrorCode;
use ringkeeper::proto::data::perms;

use super::acl::Who;
use super::check::{is_meant, what};
use super::history::{Answer, Call, Found, Look, Outcome, Request};
use super::model::Model;

/// Checks that a read shows the state of the zxid that it names.
///
/// # Errors
/// The read shows another state.
pub fn read(model: &Model, call: &Call, who: &Who) -> Result<(), String> {
    let Outcome::Replied { zxid, err, answer, .. } = &call.outcome else { return Ok(()) };
    let wrong = |expected: &dyn std::fmt::Debug| {
        let (expected, answer) = (format!("{expected:?}"), format!("{answer:?}"));
        Err(format!(
            "{} was answered from {zxid}: error {err}, {answer:.400}; the history says {expected:.400}",
            what(call)
        ))
    };
    if *err != 0 && !is_meant(*err) {
        return Ok(());
    }
    let (path, wanted) = match &call.request {
        Request::Get { path, .. }
        | Request::Exists { path, .. }
        | Request::Children { path, .. } => (path, perms::READ),
        Request::GetAcl { path } => (path, perms::READ | perms::ADMIN),
        Request::MultiRead(looks) => {
            let expected: Vec<Found> = looks.iter().map(|look| found(model, look, who)).collect();
            let is_it = *err == 0 && matches!(answer, Answer::Found(found) if *found == expected);
            return if is_it { Ok(()) } else { wrong(&expected) };
        }
        _ => return Ok(()),
    };
    let refused = |code: ErrorCode| if *err == code.code() { Ok(()) } else { wrong(&code) };
    let Some(node) = model.nodes.get(path) else { return refused(ErrorCode::NoNode) };
    if !who.may(&node.acl, wanted) {
        return refused(ErrorCode::NoAuth);
    }
    let same = match answer {
        Answer::Data(data, stat) => *data == node.data && *stat == node.stat,
        Answer::Stat(stat) => *stat == node.stat,
        Answer::Children(names, stat) => {
            // The root had changed before the history began, so its Stat is not compared.
            names.iter().eq(node.children.iter()) && (path == "/" || *stat == node.stat)
        }
        Answer::Acl(list, stat) => {
            who.shown(&node.acl).as_ref() == Some(list) && *stat == node.stat
        }
        Answer::Path(_)
        | Answer::Created(..)
        | Answer::Multi(_)
        | Answer::Found(_)
        | Answer::Nothing => false,
    };
    if same { Ok(()) } else { wrong(&node) }
}

/// The answer that a part of a multiRead must find.
fn found(model: &Model, look: &Look, who: &Who) -> Found {
    let (Look::Get(path) | Look::Children(path)) = look;
    let Some(node) = model.nodes.get(path) else { return Found::Error(ErrorCode::NoNode.code()) };
    if !who.may(&node.acl, perms::READ) {
        return Found::Error(ErrorCode::NoAuth.code());
    }
    match look {
        Look::Get(_) => Found::Data(node.data.clone(), node.stat),
        Look::Children(_) => Found::Children(node.children.iter().cloned().collect()),
    }
}
