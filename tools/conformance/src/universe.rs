//! The paths, values, identities and ACLs of all operations: few, so that operations meet on the same nodes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringkeeper_rawclient::Body;
use sha1::{Digest, Sha1};

use crate::draft::Path;
use crate::rng::Rng;

/// Ordinary nodes.
pub const NODES: &[&str] = &[
    "/a",
    "/b",
    "/c",
    "/a/b",
    "/a/c",
    "/b/a",
    "/b/c",
    "/a/b/c",
    "/a/b/d",
    "/a/b/c/d",
    "/é",
    "/é/日本",
    "/x y",
    "/x y/z",
    "/c/e",
    "/c/f",
];

/// Prefixes of sequential nodes. Behind a prefix that ends in a slash, the name is the number alone.
const SEQUENCES: &[&str] = &["/a/s-", "/b/s-", "/a/", "/c/", "/é/ü", "/a/b/q", "/s-", "/"];

/// Nodes that every server has, and parents of quotas. Limits and statistics are missing here: a value in them that
/// is no quota stops ZooKeeper.
const RESERVED: &[&str] = &[
    "/zookeeper",
    "/zookeeper/config",
    "/zookeeper/quota",
    "/zookeeper/quota/a",
    "/zookeeper/quota/b",
    "/zookeeper/other",
];

/// Values for limits nodes.
pub const LIMITS: &[&str] = &[
    "count=3,bytes=-1",
    "count=-1,bytes=40",
    "count=-1,bytes=-1=;byteHardLimit=30;countHardLimit=-1",
    "count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=4",
    "count=2,bytes=9=;byteHardLimit=300;countHardLimit=9",
    "count=-1,bytes=-1",
];

const BAD_PATHS: &[&[u8]] = &[
    b"",
    b"a",
    b"a/b",
    b"/a/",
    b"//",
    b"/a//b",
    b"/a/./b",
    b"/a/..",
    b"/.",
    b"/..",
    b"/a/.b",
    b"/a\0b",
    b"/a\x01",
    b"/a\x1f",
    b"/a\x7f",
    b"/a\xc2\x9f",
    b"/a\xc2\xa0",
    b"/a\xee\x80\x80",
    b"/a\xef\xa4\x80",
    b"/a\xef\xbf\xb0",
    b"/a\xef\xbf\xbf",
    b"/a\xf0\x9f\x98\x80",
    b"/zookeeperx",
    b"zookeeper",
    b"/a/b/",
];

/// `user:password` pairs that sessions authenticate with.
pub const USERS: &[&str] = &["ann:one", "bob:two"];
/// The super user's pair, in the profiles with a super user.
pub const SUPER: &str = "super:secret";

/// `user:base64(SHA1(user:password))`.
pub fn digest_of(user_and_password: &str) -> String {
    let user = user_and_password.split(':').next().unwrap_or_default();
    format!("{user}:{}", STANDARD.encode(Sha1::digest(user_and_password.as_bytes())))
}

/// A path: mostly a good one.
pub fn path(rng: &mut Rng) -> Path {
    match rng.below(100) {
        0..80 => Path::of(rng.pick(NODES)),
        80..89 => Path::Recent(rng.below(6)),
        89..93 => Path::of(rng.pick(RESERVED)),
        93..95 => Path::of("/"),
        _ => bad_path(rng),
    }
}

/// A good or bad path for a request whose path the server sends back or watches.
pub fn echoed_path(rng: &mut Rng) -> Path {
    loop {
        let path = path(rng);
        // See `crate::ALLOWED`: ZooKeeper sends back four bytes of UTF-8 as six other bytes, and watches null.
        let odd = match &path {
            Path::Literal(bytes) => bytes.as_ref().is_none_or(|bytes| bytes.contains(&0xf0)),
            Path::Recent(_) => false,
        };
        if !odd {
            return path;
        }
    }
}

/// A path of an ordinary node or of a recent sequential one.
pub fn good_path(rng: &mut Rng) -> Path {
    if rng.chance(88) { Path::of(rng.pick(NODES)) } else { Path::Recent(rng.below(6)) }
}

/// The path for a sequential create.
pub fn sequence_path(rng: &mut Rng) -> Path {
    if rng.chance(90) { Path::of(rng.pick(SEQUENCES)) } else { path(rng) }
}

/// A path that is wrong in some way, or looks so.
pub fn bad_path(rng: &mut Rng) -> Path {
    match rng.below(20) {
        0 => Path::Literal(None),
        1 => Path::Literal(Some([b"/a/", &vec![b'n'; 2000][..]].concat())),
        _ => Path::Literal(Some(rng.pick(BAD_PATHS).to_vec())),
    }
}

/// Data: null, empty, small, seldom large.
pub fn data(rng: &mut Rng) -> Option<Vec<u8>> {
    let length = match rng.below(40) {
        0..4 => return None,
        4..8 => 0,
        8..30 => 1 + rng.below(8),
        30..38 => rng.below(200),
        38 => rng.below(5000),
        _ => rng.below(60_000),
    };
    let fill = b'a' + u8::try_from(rng.below(26)).expect("below 26");
    Some(vec![fill; length])
}

/// A version to expect: mostly any, sometimes a likely one.
pub fn version(rng: &mut Rng) -> i32 {
    match rng.below(20) {
        0..12 => -1,
        12..15 => 0,
        15..19 => i32::try_from(rng.below(4)).expect("below 4"),
        _ => rng.pick(&[-2, i32::MIN, i32::MAX, 1000]),
    }
}

/// An encoded ACL and how to name it.
pub fn acl(rng: &mut Rng) -> (Body, String) {
    if rng.chance(55) {
        return one(&[(31, "world", "anyone")]);
    }
    let ann = digest_of(USERS[0]);
    let bob = digest_of(USERS[1]);
    let perms = i32::try_from(rng.below(32)).expect("below 32");
    match rng.below(30) {
        0 => one(&[(1, "world", "anyone")]),
        1 => one(&[(perms, "world", "anyone")]),
        2..5 => one(&[(31, "auth", "")]),
        5 => one(&[(perms, "auth", "")]),
        6 => one(&[(31, "digest", &ann)]),
        7 => one(&[(31, "digest", &ann), (1, "digest", &bob)]),
        8 => one(&[(perms, "digest", &bob), (1, "world", "anyone")]),
        9 => one(&[(31, "ip", "127.0.0.1")]),
        10 => one(&[(perms, "ip", "127.0.0.0/8"), (1, "world", "anyone")]),
        11 => one(&[(31, "ip", "10.0.0.0/8"), (17, "world", "anyone")]),
        12 => one(&[(
            31,
            "ip",
            rng.pick(&[
                "foo",
                "127.0.0.1/33",
                "127.0.0.1/-1",
                "",
                "1.2.3",
                "::1",
                "256.0.0.1",
                "127.0.0.1/",
                "1.2.3.4/8/9",
            ]),
        )]),
        13 => one(&[(31, "world", "foo")]),
        14 => one(&[(31, "sasl", "bob")]),
        15 => one(&[(31, "x509", "CN=x")]),
        16 => one(&[]),
        17 => (Body::new().int(-1), "null".to_owned()),
        18 => (Body::new().int(1).int(31).buffer(None).text("anyone"), "[null scheme]".to_owned()),
        19 => (Body::new().int(1).int(31).text("world").buffer(None), "[null id]".to_owned()),
        20 => one(&[(0, "world", "anyone")]),
        21 => one(&[(rng.pick(&[-1, 32, 64, i32::MAX]), "world", "anyone")]),
        22 => one(&[(31, "world", "anyone"), (31, "world", "anyone")]),
        23 => one(&[(31, "nobody", "knows")]),
        24 => one(&[(31, "super", "x"), (1, "world", "anyone")]),
        25 => one(&[(31, "digest", rng.pick(&["ann", "ann:x:y", "", ":", "ann:"]))]),
        26 => one(&[(31, "auth", "ignored"), (1, "world", "anyone")]),
        27 => one(&[(1, "world", "anyone"), (31, "auth", ""), (2, "digest", &ann)]),
        28 => {
            (Body::new().int(1).int(31).text("auth").buffer(None), "[auth with null id]".to_owned())
        }
        _ => one(&[(31, "digest", &ann), (31, "digest", &bob)]),
    }
}

fn one(entries: &[(i32, &str, &str)]) -> (Body, String) {
    (Body::new().acl(entries), format!("{entries:?}"))
}

/// An authentication: scheme, proof, and whether ZooKeeper closes the connection afterwards.
pub fn authentication(rng: &mut Rng) -> (Option<&'static str>, Option<Vec<u8>>, bool) {
    let proof = |text: &str| Some(text.as_bytes().to_vec());
    match rng.below(24) {
        0..8 => (Some("digest"), proof(USERS[0]), false),
        8..14 => (Some("digest"), proof(USERS[1]), false),
        14..17 => (Some("digest"), proof(SUPER), false),
        17 => (Some("digest"), proof("super:wrong"), false),
        18 => (Some("ip"), proof(""), false),
        19 => {
            (Some("digest"), proof(rng.pick(&["", "nocolon", ":", "a:b:c", "ann:\u{e9}"])), false)
        }
        20 => (Some("nobody"), proof("x"), true),
        21 => (Some("world"), proof("anyone"), true),
        22 => (Some("auth"), proof(""), true),
        _ => (None, proof("x"), true),
    }
}
