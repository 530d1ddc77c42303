//! What clients think of: a mixture of requests on few nodes, so that clients get into each other's way.

use std::collections::BTreeMap;

use super::history::{Part, Request};
use super::rng::Rng;

/// The most sequential nodes of its own that a client leaves in the tree.
const OWN_NODES_MAX: usize = 6;

/// The next request of a client. `who`: the client's number and the count of values that it has written. `versions`:
/// the versions that it knows; `own`: its sequential nodes.
pub fn think(
    rng: &mut Rng,
    keys: u64,
    who: (usize, &mut u64),
    versions: &BTreeMap<String, i32>,
    own: &mut Vec<String>,
) -> Request {
    let (client, values) = who;
    let key = |rng: &mut Rng| format!("/r{}", rng.below(keys));
    let mut value = |rng: &mut Rng| {
        *values += 1;
        let mut data = format!("{client}-{values}-").into_bytes();
        let long = if rng.one_in(20) { 2000 } else { 60 };
        data.resize(data.len() + rng.index(long), b'.');
        data
    };
    let version = |rng: &mut Rng, path: &str| match versions.get(path) {
        Some(version) if rng.one_in(2) => *version,
        _ => -1,
    };
    if own.len() > OWN_NODES_MAX {
        return Request::Delete { path: own.remove(0), version: -1 };
    }
    match rng.below(100) {
        0..25 => {
            let path = key(rng);
            let version = version(rng, &path);
            Request::Set { data: value(rng), path, version }
        }
        25..37 => Request::Create {
            path: key(rng),
            data: value(rng),
            ephemeral: false,
            sequential: false,
        },
        37..43 => {
            let path = key(rng);
            let version = version(rng, &path);
            Request::Delete { path, version }
        }
        43..58 => Request::Get { path: key(rng), watch: rng.one_in(2) },
        58..65 => Request::Exists { path: key(rng), watch: rng.one_in(2) },
        65..72 => {
            let path = (*rng.pick(&["/q", "/e", "/"])).to_owned();
            Request::Children { path, watch: rng.one_in(2) }
        }
        72..78 => Request::Create {
            path: format!("/e/{}", rng.below(4)),
            data: value(rng),
            ephemeral: true,
            sequential: false,
        },
        78..86 => Request::Create {
            path: "/q/s-".to_owned(),
            data: value(rng),
            ephemeral: rng.one_in(2),
            sequential: true,
        },
        86..93 => {
            let mut parts = Vec::new();
            for _ in 0..rng.between(2, 4) {
                let path = key(rng);
                let version = version(rng, &path);
                parts.push(match rng.below(8) {
                    0..4 => Part::Set { data: value(rng), path, version },
                    4 => Part::Check { path, version },
                    5..7 => Part::Create { data: value(rng), path },
                    _ => Part::Delete { path, version },
                });
            }
            Request::Multi(parts)
        }
        _ => Request::Sync { path: key(rng) },
    }
}
