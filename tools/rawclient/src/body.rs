//! Request bodies, field by field: right ones and wrong ones.

use ringkeeper::jute::Jute;
use ringkeeper::proto::response::MultiHeader;

/// ACL entries as tests write them: permissions, scheme, id.
pub type Acl<'a> = &'a [(i32, &'a str, &'a str)];

/// Everything for everybody.
pub const OPEN_ACL: Acl<'static> = &[(31, "world", "anyone")];

/// A request body being built. Nothing is checked: any sequence of fields may be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    bytes: Vec<u8>,
}

impl Body {
    /// An empty body.
    pub fn new() -> Self {
        Body::default()
    }

    /// A boolean.
    #[must_use]
    pub fn bool(mut self, value: bool) -> Self {
        value.encode(&mut self.bytes);
        self
    }

    /// A 4-byte integer.
    #[must_use]
    pub fn int(mut self, value: i32) -> Self {
        value.encode(&mut self.bytes);
        self
    }

    /// An 8-byte integer.
    #[must_use]
    pub fn long(mut self, value: i64) -> Self {
        value.encode(&mut self.bytes);
        self
    }

    /// A string.
    #[must_use]
    pub fn text(self, value: &str) -> Self {
        self.buffer(Some(value.as_bytes()))
    }

    /// A buffer or a string of any bytes, or null.
    #[must_use]
    pub fn buffer(mut self, value: Option<&[u8]>) -> Self {
        value.encode(&mut self.bytes);
        self
    }

    /// A vector of strings.
    #[must_use]
    pub fn texts<S: AsRef<str>>(self, values: &[S]) -> Self {
        let count = i32::try_from(values.len()).expect("a short list");
        values.iter().fold(self.int(count), |body, value| body.text(value.as_ref()))
    }

    /// An ACL.
    #[must_use]
    pub fn acl(self, acl: Acl<'_>) -> Self {
        let count = i32::try_from(acl.len()).expect("a short list");
        acl.iter().fold(self.int(count), |body, (perms, scheme, id)| {
            body.int(*perms).text(scheme).text(id)
        })
    }

    /// Appends the fields of another body.
    #[must_use]
    pub fn append(mut self, other: &Body) -> Self {
        self.bytes.extend_from_slice(&other.bytes);
        self
    }

    /// Bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// One operation of a multi: its header and its body.
    #[must_use]
    pub fn multi_op(mut self, op: i32, body: &Body) -> Self {
        MultiHeader { op, done: false, err: -1 }.encode(&mut self.bytes);
        self.append(body)
    }

    /// The end of a multi.
    #[must_use]
    pub fn multi_end(mut self) -> Self {
        MultiHeader::END.encode(&mut self.bytes);
        self
    }

    /// create, create2, createContainer.
    pub fn create(path: &str, data: Option<&[u8]>, acl: Acl<'_>, flags: i32) -> Self {
        Body::new().text(path).buffer(data).acl(acl).int(flags)
    }

    /// createTTL.
    pub fn create_ttl(path: &str, data: Option<&[u8]>, acl: Acl<'_>, flags: i32, ttl: i64) -> Self {
        Body::create(path, data, acl, flags).long(ttl)
    }

    /// delete, check.
    pub fn path_version(path: &str, version: i32) -> Self {
        Body::new().text(path).int(version)
    }

    /// exists, getData, getChildren, getChildren2.
    pub fn path_watch(path: &str, watch: bool) -> Self {
        Body::new().text(path).bool(watch)
    }

    /// getACL, sync, getEphemerals, getAllChildrenNumber.
    pub fn path(path: &str) -> Self {
        Body::new().text(path)
    }

    /// setData.
    pub fn set_data(path: &str, data: Option<&[u8]>, version: i32) -> Self {
        Body::new().text(path).buffer(data).int(version)
    }

    /// setACL.
    pub fn set_acl(path: &str, acl: Acl<'_>, version: i32) -> Self {
        Body::new().text(path).acl(acl).int(version)
    }

    /// auth.
    pub fn auth(scheme: &str, proof: &[u8]) -> Self {
        Body::new().int(0).text(scheme).buffer(Some(proof))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
