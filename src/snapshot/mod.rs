//! Snapshots: the whole state at one zxid, in ZooKeeper's own file format (`FileSnap`).
//!
//! [`Writer`] writes one while the server goes on, slice by slice; [`load()`] makes a database of one,
//! plain or compressed; [`StreamWriter`] and [`StreamReader`] carry one from a leader to a learner;
//! [`read`] shows its parts to whoever asks. Ours are exact, ZooKeeper's are
//! fuzzy: they may hold parts of transactions beyond the zxid in their name, so that replay must
//! start at that zxid and bear with what is already there.

mod format;
mod input;
mod load;
mod parts;
mod snappy;
mod stream_reader;
mod stream_writer;
mod writer;

pub use format::Compression;
pub use load::{Digest, Loaded, Look, Parts, SnapshotError, Trailers, load, look, read};
pub use stream_reader::{StreamProgress, StreamReader};
pub use stream_writer::StreamWriter;
pub use writer::{Progress, SNAPSHOT_TEMPORARY, Writer, WriterOptions};

#[cfg(test)]
#[path = "tests/stream.rs"]
mod stream_tests;
#[cfg(test)]
mod tests;
