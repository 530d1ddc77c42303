//! Bounds of the audit log: how long a line may be, and how many wait for a slow disk.

/// Bytes of one value in a line of the audit log, escaped; the rest of it is cut off. Clients may send paths and ACLs
/// as long as a request. Paths in use have some hundred bytes.
// ZooKeeper: AuditEvent writes any length.
pub const AUDIT_VALUE_BYTES_MAX: usize = 4096;

/// Bytes of a line of the audit log, its end included: three values of the longest length (users, path, ACL), and their
/// marks of a cut, beside time, names of fields, session, address, operation, type and result.
pub const AUDIT_LINE_BYTES_MAX: usize = 3 * (AUDIT_VALUE_BYTES_MAX + 6) + 512;

/// Bytes of the records that one event of the replica may leave for the edge: those of a multi of the usual largest
/// number of operations, several times over. Records beyond it are dropped and counted.
pub const AUDIT_RECORDS_BYTES_MAX: usize = 16 << 20;

/// Bytes of records that wait for the thread that writes the audit log: what a disk writes in a tenth of a second.
/// Records beyond it are dropped and counted, because no write of a client may wait for them.
pub const AUDIT_WAITING_BYTES_MAX: usize = 64 << 20;

/// Bytes that the records of a turn take while they wait, beside their own: a place in the queue, and room for three
/// more records in their list, which is the most that a short one has. With it some 80,000 turns of one record fit:
/// seconds of small writes.
pub const AUDIT_TURN_BYTES: usize = 512;

const _: () = assert!(AUDIT_RECORDS_BYTES_MAX < AUDIT_WAITING_BYTES_MAX);
const _: () = assert!(AUDIT_LINE_BYTES_MAX < AUDIT_RECORDS_BYTES_MAX);
const _: () = assert!(AUDIT_TURN_BYTES < AUDIT_WAITING_BYTES_MAX / 65_536);
