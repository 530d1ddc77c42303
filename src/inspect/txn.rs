//! One transaction, for people and as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::text;
use crate::error::ErrorCode;
use crate::proto::data::{AclVector, perms};
use crate::proto::opcode::OpCode;
use crate::proto::txn::{Txn, TxnBody};

/// `zxid time session cxid type …` on one line.
pub(super) fn line(txn: &Txn) -> String {
    let header = txn.header();
    let mut line = format!(
        "{} {} session {} cxid {} {}",
        header.zxid,
        text::time(header.time),
        header.client_id,
        header.cxid,
        what(header.op, &txn.body())
    );
    if let Some(digest) = txn.digest_after() {
        line.push_str(&format!(" digest {},{}", digest.version, digest.tree_digest));
    }
    line
}

/// The same as an object; data whole, in base64.
pub(super) fn object(txn: &Txn) -> Value {
    let header = txn.header();
    let mut object = body_object(header.op, &txn.body());
    object["zxid"] = json!(header.zxid.to_string());
    object["time"] = json!(text::time(header.time));
    object["time_ms"] = json!(header.time);
    object["session"] = json!(header.client_id.to_string());
    object["cxid"] = json!(header.cxid);
    if let Some(digest) = txn.digest_after() {
        object["digest"] =
            json!({ "version": digest.version, "value": digest.tree_digest.to_string() });
    }
    object
}

/// The type and its fields.
fn what(op: OpCode, body: &TxnBody<'_>) -> String {
    let name = op.name();
    match body {
        TxnBody::Create(create) => {
            let kind = if create.ephemeral { " ephemeral" } else { "" };
            format!(
                "{name} {}{kind} data {} acl {} parent cversion {}",
                text::path(create.path),
                text::data(create.data),
                acl(create.acl),
                create.parent_cversion
            )
        }
        TxnBody::CreateContainer(create) => format!(
            "{name} {} data {} acl {} parent cversion {}",
            text::path(create.path),
            text::data(create.data),
            acl(create.acl),
            create.parent_cversion
        ),
        TxnBody::CreateTtl(create) => format!(
            "{name} {} ttl {} ms data {} acl {} parent cversion {}",
            text::path(create.path),
            create.ttl,
            text::data(create.data),
            acl(create.acl),
            create.parent_cversion
        ),
        TxnBody::Delete(delete) => format!("{name} {}", text::path(delete.path)),
        TxnBody::SetData(set) => format!(
            "{name} {} data {} version {}",
            text::path(set.path),
            text::data(set.data),
            set.version
        ),
        TxnBody::SetAcl(set) => {
            format!("{name} {} acl {} version {}", text::path(set.path), acl(set.acl), set.version)
        }
        TxnBody::Check(check) => {
            format!("{name} {} version {}", text::path(check.path), check.version)
        }
        TxnBody::CreateSession { timeout_ms } => format!("{name} timeout {timeout_ms} ms"),
        TxnBody::CloseSession { paths: None } => name.to_owned(),
        TxnBody::CloseSession { paths: Some(paths) } => {
            let paths: Vec<String> = paths.iter().map(text::path).collect();
            format!("{name} deletes [{}]", paths.join(" "))
        }
        TxnBody::Error { err } => format!("{name} {}", error(*err)),
        TxnBody::Multi(parts) => {
            let parts: Vec<String> =
                TxnBody::parts(*parts).map(|(op, body)| what(op, &body)).collect();
            format!("{name} of {} [{}]", parts.len(), parts.join("; "))
        }
    }
}

fn body_object(op: OpCode, body: &TxnBody<'_>) -> Value {
    let name = op.name();
    match body {
        TxnBody::Create(create) => json!({
            "type": name,
            "path": create.path,
            "data": data(create.data),
            "acl": acl_object(create.acl),
            "ephemeral": create.ephemeral,
            "parent_cversion": create.parent_cversion,
        }),
        TxnBody::CreateContainer(create) => json!({
            "type": name,
            "path": create.path,
            "data": data(create.data),
            "acl": acl_object(create.acl),
            "parent_cversion": create.parent_cversion,
        }),
        TxnBody::CreateTtl(create) => json!({
            "type": name,
            "path": create.path,
            "data": data(create.data),
            "acl": acl_object(create.acl),
            "parent_cversion": create.parent_cversion,
            "ttl_ms": create.ttl,
        }),
        TxnBody::Delete(delete) => json!({ "type": name, "path": delete.path }),
        TxnBody::SetData(set) => json!({
            "type": name,
            "path": set.path,
            "data": data(set.data),
            "version": set.version,
        }),
        TxnBody::SetAcl(set) => json!({
            "type": name,
            "path": set.path,
            "acl": acl_object(set.acl),
            "version": set.version,
        }),
        TxnBody::Check(check) => {
            json!({ "type": name, "path": check.path, "version": check.version })
        }
        TxnBody::CreateSession { timeout_ms } => {
            json!({ "type": name, "timeout_ms": timeout_ms })
        }
        TxnBody::CloseSession { paths } => {
            let paths: Option<Vec<_>> = paths.map(|paths| paths.iter().collect());
            json!({ "type": name, "paths": paths })
        }
        TxnBody::Error { err } => {
            json!({ "type": name, "err": err, "err_name": ErrorCode::from_code(*err).map(|code| format!("{code:?}")) })
        }
        TxnBody::Multi(parts) => {
            let parts: Vec<Value> =
                TxnBody::parts(*parts).map(|(op, body)| body_object(op, &body)).collect();
            json!({ "type": name, "parts": parts })
        }
    }
}

fn error(err: i32) -> String {
    ErrorCode::from_code(err).map_or_else(|| err.to_string(), |code| code.to_string())
}

/// All data, in base64.
pub(super) fn data(data: Option<&[u8]>) -> Option<String> {
    data.map(|data| BASE64.encode(data))
}

/// `[scheme:id:cdrwa …]`, as zkCli.sh writes permissions.
pub(super) fn acl(acl: AclVector<'_>) -> String {
    if acl.is_null() {
        return "null".to_owned();
    }
    let entries: Vec<String> = acl
        .iter()
        .map(|entry| {
            let (scheme, id) = (text::path(entry.id.scheme), text::path(entry.id.id));
            format!("{scheme}:{id}:{}", letters(entry.perms))
        })
        .collect();
    format!("[{}]", entries.join(" "))
}

/// The same as a list of objects.
pub(super) fn acl_object(acl: AclVector<'_>) -> Value {
    if acl.is_null() {
        return Value::Null;
    }
    acl.iter()
        .map(|entry| {
            json!({ "scheme": entry.id.scheme, "id": entry.id.id, "perms": letters(entry.perms) })
        })
        .collect()
}

fn letters(bits: i32) -> String {
    let letters = [
        (perms::CREATE, 'c'),
        (perms::DELETE, 'd'),
        (perms::READ, 'r'),
        (perms::WRITE, 'w'),
        (perms::ADMIN, 'a'),
    ];
    letters.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, letter)| letter).collect()
}
