//! The transaction log, in ZooKeeper's own file format (`FileTxnLog`).
//!
//! [`Writer`] turns transactions into groups of whole blocks and reports what is durable;
//! [`Reader`] reads files, ours and ZooKeeper's, and distinguishes a torn tail from damage;
//! [`plan`] knows the names of files and which files are still needed. `format` holds the layout
//! that all three share.
//!
//! The rule that is easy to break: after its last group, a segment holds only zeroes, always.
//! Java's reader stops at the first zero length, and ours takes sectors that are still zero for
//! sectors that no write has reached.

mod format;
mod group;
pub mod plan;
mod reader;
mod window;
mod writer;

pub use format::{FILE_HEADER_BYTES, file_header, plain_header, put_plain_record};
pub use reader::{Entry, GroupEnd, Reader, Verdict};
pub use writer::{Append, Progress, Synced, Writer, WriterOptions};

#[cfg(test)]
pub(crate) mod tests;
