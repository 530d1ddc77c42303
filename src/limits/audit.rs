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

/// Turns whose records wait for that thread.
pub const AUDIT_WAITING_TURNS_MAX: usize = 4096;

const _: () = assert!(AUDIT_RECORDS_BYTES_MAX < AUDIT_WAITING_BYTES_MAX);
const _: () = assert!(AUDIT_LINE_BYTES_MAX < AUDIT_RECORDS_BYTES_MAX);
