//! Requests as bytes, which are made once, and copied and changed in place for each request.
//!
//! Every node of a run has a path of one length, `ROOT/gGGGGGG/nNNNNNNNN`, so that requests for two nodes differ
//! only in digits, and no request needs formatting or an allocation.

use ringkeeper::jute::{Jute, begin_frame, end_frame};
use ringkeeper::proto::data::{AclEntry, Id, perms};
use ringkeeper::proto::opcode::{CreateMode, OpCode};
use ringkeeper::proto::request::RequestHeader;
use ringkeeper::proto::response::MultiHeader;

/// The offset of the xid in a frame: after the length.
pub const XID_AT: usize = 4;
/// Bytes of a reply's header: xid, zxid, error.
pub const REPLY_HEADER_BYTES: usize = 16;

const GROUP_DIGITS: usize = 6;
const LEAF_DIGITS: usize = 8;
/// The length of `/g`, and that of a root such as `/bench-0a1b2`. The path of a leaf has 30 bytes in all.
const GROUP_AFTER_ROOT: usize = 2;
const LEAF_AFTER_ROOT: usize = 2 + GROUP_DIGITS + 2;

/// How many leaves of one group the digits of a path can number.
pub const LEAVES_MAX: u32 = 100_000_000;

/// A node: a leaf of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Its parent.
    pub group: u32,
    /// Its number in the group.
    pub leaf: u32,
}

/// The path of a node.
pub fn leaf_path(root: &str, node: Node) -> String {
    format!(
        "{root}/g{:0group$}/n{:0leaf$}",
        node.group,
        node.leaf,
        group = GROUP_DIGITS,
        leaf = LEAF_DIGITS
    )
}

/// The path of a group.
pub fn group_path(root: &str, group: u32) -> String {
    format!("{root}/g{group:0width$}", width = GROUP_DIGITS)
}

/// A request, and the places of its nodes' digits.
#[derive(Debug, Clone)]
pub struct Template {
    frame: Vec<u8>,
    /// The offset of each leaf's path, behind the root.
    leaves_at: Vec<usize>,
    /// The offset of each group's path, behind the root.
    groups_at: Vec<usize>,
}

impl Template {
    /// A request of this operation about one node, or about a group if it is `getChildren`.
    pub fn new(root: &str, op: OpCode, fill: impl FnOnce(&mut Vec<u8>, &str)) -> Template {
        let zero = Node { group: 0, leaf: 0 };
        let path =
            if op == OpCode::GetChildren { group_path(root, 0) } else { leaf_path(root, zero) };
        let mut frame = Vec::new();
        encode(&mut frame, op, |body| fill(body, &path));
        Template::find_paths(frame, root)
    }

    /// Several operations in one request.
    pub fn multi(
        root: &str,
        op: OpCode,
        part: OpCode,
        parts: u32,
        fill: impl Fn(&mut Vec<u8>, &str),
    ) -> Template {
        let path = leaf_path(root, Node { group: 0, leaf: 0 });
        let mut frame = Vec::new();
        encode(&mut frame, op, |body| {
            for _ in 0..parts {
                MultiHeader { op: part.number(), done: false, err: -1 }.encode(body);
                fill(body, &path);
            }
            MultiHeader::END.encode(body);
        });
        Template::find_paths(frame, root)
    }

    /// Looks for the paths by their lengths and beginnings. The bytes behind a path, such as a value, never contain
    /// a root.
    fn find_paths(frame: Vec<u8>, root: &str) -> Template {
        let (mut leaves_at, mut groups_at) = (Vec::new(), Vec::new());
        let beginning = format!("{root}/g");
        for (at, window) in frame.windows(beginning.len()).enumerate() {
            if window != beginning.as_bytes() {
                continue;
            }
            let behind = at + root.len();
            if frame.get(behind + LEAF_AFTER_ROOT - 2) == Some(&b'/') {
                leaves_at.push(behind);
            } else {
                groups_at.push(behind);
            }
        }
        Template { frame, leaves_at, groups_at }
    }

    /// Appends the request about the nodes that `node` names one after the other.
    #[inline]
    pub fn append(&self, out: &mut Vec<u8>, mut node: impl FnMut() -> Node) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let frame = &mut out[start..];
        for &at in &self.leaves_at {
            let node = node();
            digits(&mut frame[at + GROUP_AFTER_ROOT..][..GROUP_DIGITS], node.group);
            digits(&mut frame[at + LEAF_AFTER_ROOT..][..LEAF_DIGITS], node.leaf);
        }
        for &at in &self.groups_at {
            digits(&mut frame[at + GROUP_AFTER_ROOT..][..GROUP_DIGITS], node().group);
        }
    }
}

#[inline]
fn digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
    }
    assert!(number == 0, "a number has too many digits for its place in a path");
}

/// Appends a request whose xid is filled in later.
pub fn encode(out: &mut Vec<u8>, op: OpCode, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = begin_frame(out);
    RequestHeader { xid: 0, op: op.number() }.encode(out);
    fill(out);
    end_frame(out, start);
}

/// Appends the body of create and create2, with an ACL that allows everybody everything.
pub fn create_body(body: &mut Vec<u8>, path: &str, value: &[u8], mode: CreateMode) {
    Some(path).encode(body);
    Some(value).encode(body);
    1i32.encode(body);
    let id = Id { scheme: Some("world"), id: Some("anyone") };
    AclEntry { perms: perms::ALL, id }.encode(body);
    mode.flag().encode(body);
}

/// Appends the body of setData, for any version.
pub fn set_body(body: &mut Vec<u8>, path: &str, value: &[u8]) {
    Some(path).encode(body);
    Some(value).encode(body);
    (-1i32).encode(body);
}

/// Appends the body of delete, for any version.
pub fn delete_body(body: &mut Vec<u8>, path: &str) {
    Some(path).encode(body);
    (-1i32).encode(body);
}

/// Appends the body of getData, exists and getChildren.
pub fn read_body(body: &mut Vec<u8>, path: &str, watch: bool) {
    Some(path).encode(body);
    watch.encode(body);
}

#[cfg(test)]
mod tests {
    use ringkeeper::proto::request::{PathWatch, SetDataRequest};

    use super::*;

    const ROOT: &str = "/bench-0a1b2";

    #[test]
    fn a_template_filled_in_is_the_request_that_the_codec_would_make() {
        let template =
            Template::new(ROOT, OpCode::SetData, |body, path| set_body(body, path, b"value"));
        let mut out = vec![9; 3];
        template.append(&mut out, || Node { group: 12, leaf: 34_567 });
        let request = SetDataRequest::from_bytes(&out[3 + 12..]).unwrap();
        assert_eq!(request.path, Some("/bench-0a1b2/g000012/n00034567"));
        assert_eq!(request.data, Some(&b"value"[..]));
        assert_eq!(
            usize::try_from(i32::from_be_bytes(out[3..7].try_into().unwrap())),
            Ok(out.len() - 7)
        );
    }

    #[test]
    fn a_group_is_asked_for_by_its_path_alone() {
        let template =
            Template::new(ROOT, OpCode::GetChildren, |body, path| read_body(body, path, false));
        let mut out = Vec::new();
        template.append(&mut out, || Node { group: 7, leaf: 1 });
        assert_eq!(PathWatch::from_bytes(&out[12..]).unwrap().path, Some("/bench-0a1b2/g000007"));
    }

    #[test]
    fn each_part_of_a_multi_is_about_a_node_of_its_own() {
        let fill = |body: &mut Vec<u8>, path: &str| set_body(body, path, b"");
        let template = Template::multi(ROOT, OpCode::Multi, OpCode::SetData, 3, fill);
        let mut leaf = 0;
        let mut out = Vec::new();
        template.append(&mut out, || {
            leaf += 1;
            Node { group: 0, leaf }
        });
        let text = String::from_utf8_lossy(&out).into_owned();
        for leaf in 1..=3 {
            assert!(text.contains(&leaf_path(ROOT, Node { group: 0, leaf })));
        }
    }

    #[test]
    fn a_leaf_has_a_path_of_thirty_bytes() {
        assert_eq!(leaf_path(ROOT, Node { group: 0, leaf: 0 }).len(), 30);
    }
}
