//! Snapshots: the whole state at one zxid, in ZooKeeper's own file format (`FileSnap`).
//!
//! [`Writer`] writes a snapshot while the server works, slice by slice; [`load()`] builds a database
//! from one, plain or compressed; [`StreamWriter`] and [`StreamReader`] transfer one from a leader to
//! a learner; [`read`] passes its parts to the caller. Ours are exact. ZooKeeper's are fuzzy: they may
//! hold parts of transactions beyond the zxid in their name, so replay must start at that zxid and
//! tolerate changes that the tree already has.

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
