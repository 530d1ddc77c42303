//! Bounds on TLS: handshakes, and what a connection holds for its records.

use super::CONNECTION_READ_BYTES;

/// How long a handshake may take from its first byte until the client has proved who it is, in ms.
// ZooKeeper: the default of Netty's SslHandler.
pub const HANDSHAKE_MS_MAX: u64 = 10_000;

/// How long a client waits for its turn to begin a handshake, in ms; the time of the handshake follows. Three times as
/// long as handshakes that are never finished hold up the line.
pub const HANDSHAKE_LINE_MS_MAX: u64 = 3 * HANDSHAKE_MS_MAX;

/// Handshakes that one executor begins before everything else gets its turn. A signature takes up to a millisecond, so
/// ten thousand clients that return at once delay the others by some milliseconds, and not by ten seconds.
pub const HANDSHAKES_BEGUN_PER_ROUND: usize = 4;

/// Handshakes under way whose further messages one executor reads before everything else gets its turn. Each may take
/// the check of a certificate and of its issuers.
pub const HANDSHAKES_READ_PER_ROUND: usize = 16;

/// Handshakes of the whole process that have begun and are not over; further clients wait with their first bytes unread,
/// which costs them a socket and no memory here. Each takes some ten kilobytes until it is over.
pub const HANDSHAKES_UNDER_WAY_MAX: u32 = 4096;

/// How long the other side of a handshake may take for its next message, in ms, while as many are under way as
/// [`HANDSHAKES_UNDER_WAY_MAX`] allows: long enough for the slowest line, and short enough that handshakes that nobody
/// means to finish hold up others by seconds, and not by [`HANDSHAKE_MS_MAX`] each.
pub const HANDSHAKE_CROWDED_MS_MAX: u64 = 2000;
const _: () = assert!(HANDSHAKE_CROWDED_MS_MAX < HANDSHAKE_MS_MAX);

/// How long a client waits in line, in ms, before its executor looks again whether a handshake is over.
pub const HANDSHAKE_LOOK_MS: u64 = 5;

/// What a connection is counted with during its handshake, in bytes: the state of rustls, which cannot be asked for it,
/// with the certificates of a client. An estimate.
pub const HANDSHAKE_BYTES: usize = 16 * 1024;

/// Ciphertext that a connection holds because its record, or a message of its handshake, has not arrived as a whole: as
/// much as one read brings. The longest record has 16 KiB and the longest chain of certificates that Java sends 32 KiB
/// (`jdk.tls.maxHandshakeMessageSize`).
pub const RECORDS_HELD_BYTES_MAX: usize = CONNECTION_READ_BYTES;

/// Bytes of a connection that are encrypted at once. What the socket does not take of them is held.
pub const ENCRYPTED_BYTES_AT_ONCE: usize = 64 * 1024;

/// Ciphertext for a client that has not read it, beyond which nothing more is read from it: it would cause more, with
/// requests for new keys for example.
pub const CIPHERTEXT_UNSENT_BYTES_MAX: usize = 128 * 1024;
const _: () = assert!(ENCRYPTED_BYTES_AT_ONCE < CIPHERTEXT_UNSENT_BYTES_MAX);

/// Bytes of plaintext in a record below which records count as tiny: a record costs some hundred nanoseconds, however
/// short it is.
pub const TINY_RECORD_BYTES: usize = 512;

/// Bytes that are read in one turn from a connection whose records are tiny: two hundred of the shortest.
pub const TINY_RECORDS_READ_BYTES: usize = 4096;

/// How long the handshake of a link between servers may take, in ms. As long as that of a client.
pub const LINK_HANDSHAKE_MS_MAX: u64 = HANDSHAKE_MS_MAX;

/// Accepted links that have not said yet whether they begin with TLS, or whose handshake is not over, from addresses
/// that are not known as those of members. The oldest makes room: a handshake takes some milliseconds, so whoever wants
/// to keep a server out has to open some thousand connections a second.
pub const LINK_HANDSHAKES_MAX: usize = 64;
const _: () = assert!(LINK_HANDSHAKES_MAX < super::STRANGER_LINKS_MAX);
