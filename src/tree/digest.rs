//! The digest of a node, version 2 (`DigestCalculator`). The tree's digest is the wrapping sum of
//! its nodes' digests.
//!
//! A digest is the CRC-32 of path, data and Stat in this order, so the CRC of path and data stays
//! the same while only the Stat changes. Nodes keep it, so a change of a parent with much data
//! costs no more than one without.

use crc32fast::Hasher;

use crate::proto::data::StatPersisted;

/// Each server changes the nodes below this path on its own, so digests exclude them. The node
/// `/zookeeper` itself counts.
const LOCAL_SUBTREE: &str = "/zookeeper/";

/// Whether digests exclude the node.
pub fn is_left_out(path: &str) -> bool {
    path.starts_with(LOCAL_SUBTREE)
}

/// CRC-32 of path and data: where the digest of a node begins. The root's path counts as empty.
pub fn digest_seed(path: &str, data: Option<&[u8]>) -> u32 {
    let mut crc = Hasher::new();
    if path != "/" {
        crc.update(path.as_bytes());
    }
    crc.update(data.unwrap_or_default());
    crc.finalize()
}

/// As [`digest_seed`], of a path followed by its data; not for the root.
pub(super) fn digest_seed_of_both(path_and_data: &[u8]) -> u32 {
    crc32fast::hash(path_and_data)
}

/// The digest of a node that digests include, from its seed and Stat.
pub fn digest_of(seed: u32, stat: &StatPersisted) -> i64 {
    let StatPersisted {
        czxid,
        mzxid,
        ctime,
        mtime,
        version,
        cversion,
        aversion,
        ephemeral_owner,
        pzxid,
    } = *stat;
    let mut bytes = [0; 60];
    let longs = [czxid.0, mzxid.0, pzxid.0, ctime, mtime];
    for (to, from) in bytes[..40].chunks_exact_mut(8).zip(longs) {
        to.copy_from_slice(&from.to_be_bytes());
    }
    for (to, from) in bytes[40..52].chunks_exact_mut(4).zip([version, cversion, aversion]) {
        to.copy_from_slice(&from.to_be_bytes());
    }
    bytes[52..].copy_from_slice(&ephemeral_owner.to_be_bytes());
    let mut crc = Hasher::new_with_initial(seed);
    crc.update(&bytes);
    i64::from(crc.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_continued_is_the_crc_of_everything() {
        let stat = StatPersisted { version: 3, ctime: 77, ..StatPersisted::default() };
        let mut bytes = [0; 60];
        bytes[31] = 77;
        bytes[43] = 3;
        let mut whole = Hasher::new();
        whole.update(b"/adata");
        whole.update(&bytes);
        let seed = digest_seed("/a", Some(b"data"));
        assert_eq!(digest_of(seed, &stat), i64::from(whole.finalize()));
    }
}
