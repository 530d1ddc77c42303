//! Snapshots: the whole state at one zxid, in ZooKeeper's own file format (`FileSnap`).
//!
//! [`Writer`] writes one while the server goes on, slice by slice; [`load()`] makes a database of one,
//! plain or compressed; [`read`] shows its parts to whoever asks. Ours are exact, ZooKeeper's are
//! fuzzy: they may hold parts of transactions beyond the zxid in their name, so that replay must
//! start at that zxid and bear with what is already there.

mod format;
mod input;
mod load;
mod snappy;
mod writer;

pub use format::Compression;
pub use load::{Digest, Loaded, Parts, SnapshotError, Trailers, is_plausible, load, read};
pub use writer::{Progress, SNAPSHOT_TEMPORARY, Writer, WriterOptions};

#[cfg(test)]
mod tests;
