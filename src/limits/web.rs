//! Bounds on the HTTP servers for operators: the AdminServer, and the port for Prometheus.

/// Connections of all clients of one HTTP server together. Further ones wait in the backlog of the socket.
pub const WEB_CONNECTIONS_MAX: usize = 128;

/// Connections of one address to one HTTP server: a browser opens six, and a slow reader keeps no one else out.
pub const WEB_CONNECTIONS_PER_ADDRESS_MAX: usize = 32;
const _: () = assert!(WEB_CONNECTIONS_PER_ADDRESS_MAX < WEB_CONNECTIONS_MAX);

/// Bytes of the head of a request. Browsers send two kilobytes.
pub const WEB_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Headers of a request.
pub const WEB_HEADERS_MAX: usize = 64;

/// How long a client may take for the head of its first request, and for each further one after the answer before it,
/// in ms. `admin.idleTimeout` makes it shorter.
pub const WEB_HEAD_MS_MAX: u64 = 30_000;

/// How long one connection lives, in ms, whatever it does: whoever reads its answer slowly, or asks for ever, gives its
/// place to others. Agents connect anew.
pub const WEB_CONNECTION_MS_MAX: u64 = 60_000;

/// Questions to the replica that wait for a turn. A turn answers a few, so a full line is over in milliseconds.
pub const WEB_QUESTIONS_WAITING_MAX: usize = 64;

/// Questions to the replica that one turn answers: as many as its four-letter words.
pub const WEB_QUESTIONS_PER_TURN: usize = 16;

/// Answers about every connection, session or watch that are made or sent at once: each may hold some
/// [`WORD_BYTES_MAX`](super::WORD_BYTES_MAX) of paths, and clients may read it slowly.
pub const WEB_LONG_ANSWERS_MAX: usize = 8;

/// Bytes up to which such an answer counts as a short one as soon as it is made.
pub const WEB_SHORT_ANSWER_BYTES: usize = 256 * 1024;

/// How long a question to the replica may wait, in ms. A server that reads its data answers none.
pub const WEB_ANSWER_MS_MAX: u64 = 10_000;
const _: () = assert!(WEB_ANSWER_MS_MAX < WEB_CONNECTION_MS_MAX);
