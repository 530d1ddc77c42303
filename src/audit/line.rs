//! A record as a line: the fields and separators of ZooKeeper's `AuditEvent`, in the form of its `logback.xml`.
//!
//! The rule that is easy to break: a client chooses paths, names and ACLs, so nothing of them may end a field or a
//! line, or turn the direction in which it is read.

use std::fmt::Write as _;

use crate::acl::host_text;
use crate::admin::text::civil;
use crate::limits::{AUDIT_LINE_BYTES_MAX, AUDIT_VALUE_BYTES_MAX};
use crate::log::is_harmless;
use crate::replica::{AuditRecord, AuditResult};
use crate::time::WallMs;

/// The mark of a value that was cut.
const CUT: char = '…';

/// Longest value: the replica has marked the cut of a value already, and this cut has a mark of its own.
const VALUE_BYTES_MAX: usize = AUDIT_VALUE_BYTES_MAX + CUT.len_utf8();

/// Appends a record and the end of its line. `server_user`: the user who runs this server, for what no client asked for.
// ZooKeeper: Slf4jAuditLogger writes a failure on the level ERROR and everything else on INFO; logback writes the time
// of the machine's zone, here it is UTC.
pub(super) fn put(record: &AuditRecord, server_user: &str, out: &mut String) {
    let AuditRecord { at, operation, result, session, client, znode, znode_type, acl } = record;
    let start = out.len();
    let level = match result {
        AuditResult::Failure => "ERROR",
        AuditResult::Success | AuditResult::Invoked => "INFO",
    };
    put_time(*at, out);
    // Writing to a string cannot fail.
    let _ = write!(out, " {level} audit.Slf4jAuditLogger: ");
    if let Some(session) = session {
        let _ = write!(out, "session={session}\t");
    }
    match client {
        None => put_field("user", server_user, out),
        Some(client) if client.users.is_empty() => {}
        Some(client) => put_field("user", &client.users, out),
    }
    if let Some(client) = client {
        put_field("ip", &host_text(client.address), out);
    }
    put_field("operation", operation.name(), out);
    if let Some(path) = znode {
        put_field("znode", path, out);
    }
    if let Some(kind) = znode_type {
        put_field("znode_type", kind.name(), out);
    }
    if let Some(acl) = acl {
        put_field("acl", acl, out);
    }
    let _ = writeln!(out, "result={}", result.name());
    assert!(out.len() - start <= AUDIT_LINE_BYTES_MAX, "a line has a bound");
}

/// The time as logback writes it with `%d{ISO8601}`, in UTC.
fn put_time(at: WallMs, out: &mut String) {
    let (seconds, ms) = (at.0.div_euclid(1000), at.0.rem_euclid(1000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let _ = write!(out, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02},{ms:03}");
}

/// Appends a field and the tab behind it.
fn put_field(name: &str, value: &str, out: &mut String) {
    out.push_str(name);
    out.push('=');
    put_value(value, out);
    out.push('\t');
}

/// Appends a value, with escapes in the place of everything that could be taken for something else.
fn put_value(value: &str, out: &mut String) {
    let start = out.len();
    for letter in value.chars() {
        let before = out.len();
        // A backslash begins an escape.
        if letter != '\\' && is_harmless(letter) {
            out.push(letter);
        } else {
            out.extend(letter.escape_default());
        }
        if out.len() - start > VALUE_BYTES_MAX {
            out.truncate(before);
            out.push(CUT);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::id::SessionId;
    use crate::proto::CreateMode;
    use crate::replica::{AuditClient, AuditOperation};

    fn of_client(users: &str, znode: &str, acl: Option<&str>) -> AuditRecord {
        let address = "::ffff:10.1.2.3".parse().unwrap();
        AuditRecord {
            at: WallMs(1_795_163_312_007),
            operation: AuditOperation::Create,
            result: AuditResult::Failure,
            session: Some(SessionId(0x0100_0012_5a9c_0000)),
            client: Some(Arc::new(AuditClient { users: users.into(), address })),
            znode: Some(znode.into()),
            znode_type: Some(CreateMode::PersistentSequential),
            acl: acl.map(Into::into),
        }
    }

    fn line(record: &AuditRecord) -> String {
        let mut out = String::new();
        put(record, "zk", &mut out);
        out
    }

    #[test]
    fn a_line_has_zookeepers_fields_in_its_order() {
        assert_eq!(
            line(&of_client("10.1.2.3,bob", "/a b", Some("world:anyone:r"))),
            "2026-11-20 08:28:32,007 ERROR audit.Slf4jAuditLogger: session=0x10000125a9c0000\t\
             user=10.1.2.3,bob\tip=10.1.2.3\toperation=create\tznode=/a b\t\
             znode_type=persistent_sequential\tacl=world:anyone:r\tresult=failure\n"
        );
        let start =
            AuditRecord::of_server(WallMs(0), AuditOperation::ServerStart, AuditResult::Success);
        assert_eq!(
            line(&start),
            "1970-01-01 00:00:00,000 INFO audit.Slf4jAuditLogger: user=zk\toperation=serverStart\t\
             result=success\n"
        );
    }

    #[test]
    fn a_client_forges_no_line_and_no_field() {
        let users = "bob\tip=1.1.1.1\n2026 INFO x: user=root";
        let path = "/a\r\n\u{85}\u{2028}\u{202e}\0\u{7f}\tresult=success";
        let forged = line(&of_client(users, path, Some("digest:a\tb:x:r")));
        assert_eq!(forged.lines().count(), 1);
        assert_eq!(forged.split('\t').count(), 8, "{forged}");
        assert!(forged.contains(r"user=bob\tip=1.1.1.1\n2026 INFO x: user=root"), "{forged}");
        let escaped = r"znode=/a\r\n\u{85}\u{2028}\u{202e}\u{0}\u{7f}\tresult=success";
        assert!(forged.contains(escaped), "{forged}");
        assert!(forged.ends_with("result=failure\n"));
    }

    #[test]
    fn an_escape_and_the_letters_of_one_look_different() {
        let [one, other] = ["/a\nb", r"/a\nb"].map(|path| line(&of_client("bob", path, None)));
        assert!(one.contains(r"znode=/a\nb"), "{one}");
        assert!(other.contains(r"znode=/a\\nb"), "{other}");
    }

    #[test]
    fn a_line_has_a_bound_whatever_a_client_sends() {
        let long = "\n".repeat(AUDIT_VALUE_BYTES_MAX) + "…";
        let cut = line(&of_client(&long, &long, Some(&long)));
        assert!(cut.len() <= AUDIT_LINE_BYTES_MAX);
        assert!(cut.matches('…').count() == 3 && cut.ends_with("result=failure\n"));
        let whole = "a".repeat(AUDIT_VALUE_BYTES_MAX) + "…";
        assert!(line(&of_client(&whole, "/", None)).contains(&whole));
    }
}
