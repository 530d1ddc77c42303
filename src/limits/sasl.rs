//! Bounds of SASL: tokens, the JAAS file, and the rules that shorten Kerberos names.

/// Longest token of DIGEST-MD5 that a server reads, in bytes: what a Java server reads, and more than twice what
/// any client sends.
pub const SASL_TOKEN_BYTES_MAX: usize = 4096;

/// Longest challenge of DIGEST-MD5 that a client side reads, in bytes, as RFC 2831 demands.
pub const SASL_CHALLENGE_BYTES_MAX: usize = 2048;

/// Longest token of Kerberos that a server reads, in bytes. A ticket that lists a user's groups, as those of Active
/// Directory do, takes up to 48 KB.
pub const GSSAPI_TOKEN_BYTES_MAX: usize = 64 * 1024;
const _: () = assert!(GSSAPI_TOKEN_BYTES_MAX > SASL_TOKEN_BYTES_MAX);

/// Tokens of Kerberos that wait to be checked; a connection has one at most. A check takes a fraction of a
/// millisecond, so a client behind so many waits for less than a second.
pub const GSSAPI_TOKENS_WAITING_MAX: usize = 1024;

/// Bytes of the tokens of Kerberos that wait to be checked.
pub const GSSAPI_BYTES_WAITING_MAX: usize = 8 << 20;
const _: () = assert!(GSSAPI_BYTES_WAITING_MAX >= 2 * GSSAPI_TOKEN_BYTES_MAX);

/// Logins by Kerberos under way, between two tokens of their client. Each takes some tens of KB in the library, a
/// guess. A login takes as long as two exchanges; beyond this number the oldest is given up.
pub const GSSAPI_LOGINS_MAX: usize = 2048;
const _: () = assert!(GSSAPI_LOGINS_MAX > GSSAPI_TOKENS_WAITING_MAX);

/// Longest text of the library of Kerberos that goes to the log, in characters.
pub const GSSAPI_TEXT_CHARS_MAX: usize = 400;

/// Longest token of a login between servers, in bytes: the longest of a mechanism that is built.
pub const LOGIN_TOKEN_BYTES_MAX: usize = GSSAPI_TOKEN_BYTES_MAX;
const _: () = assert!(SASL_CHALLENGE_BYTES_MAX <= LOGIN_TOKEN_BYTES_MAX);
const _: () = assert!(SASL_TOKEN_BYTES_MAX <= LOGIN_TOKEN_BYTES_MAX);

/// Bytes that may follow a token of Kerberos on a link before it is checked, which nobody sends: the other side waits
/// for the answer.
pub const LOGIN_BYTES_AHEAD_MAX: usize = LOGIN_TOKEN_BYTES_MAX;

/// Links that other servers, or strangers, have opened and whose login is not over; the oldest makes room. Each holds a
/// packet at most.
pub const LOGINS_ACCEPTED_MAX: usize = 256;

/// Tokens of servers that wait to be checked: the links to which they belong may be gone. Each link has one at most.
pub const LOGIN_TOKENS_WAITING_MAX: usize = 2 * LOGINS_ACCEPTED_MAX;

/// Links that this server has opened and whose login is not over; the oldest makes room. There are one or two for each
/// member.
pub const LOGINS_OPENED_MAX: usize = 1024;

/// How long a server that has sent its id on the election port may be silent until it is taken for one that does not log
/// in, where none has to, in ms. A server that logs in says so with its id; one that does not may have no vote to send.
pub const LOGIN_SILENCE_MS: u64 = 1000;

/// Lines about failed logins between servers that are written at once, and after how many seconds another one is: a
/// server with a wrong password tries again for ever. Enough to see each reason once.
pub const LOGIN_LINES: (u64, u64) = (20, 5);

/// Logins of one connection that may fail; then it is closed, also where a client whose login has failed may stay
/// (`allowSaslFailedClients`). Otherwise one connection could try passwords without end. A client library tries once.
pub const LOGINS_FAILED_MAX: u32 = 3;

/// Random bytes of a nonce, as many as a Java server draws. The nonce has four characters for each three of them.
pub const SASL_NONCE_BYTES: usize = 30;
const _: () = assert!(SASL_NONCE_BYTES.is_multiple_of(3));

/// Longest JAAS file, in bytes. It lists users by hand; a file of thousands of them stays far below.
pub const JAAS_FILE_BYTES_MAX: usize = 1 << 20;

/// Longest word or quoted text of a JAAS file, in bytes: longer than any path or password.
pub const JAAS_WORD_BYTES_MAX: usize = 4096;
const _: () = assert!(JAAS_WORD_BYTES_MAX < JAAS_FILE_BYTES_MAX);

/// Sections of a JAAS file. ZooKeeper's programs know four.
pub const JAAS_SECTIONS_MAX: usize = 256;

/// Login modules of one section. ZooKeeper uses one.
pub const JAAS_MODULES_MAX: usize = 64;

/// Longest text of `security.auth_to_local`, in bytes. A site has tens of rules.
pub const AUTH_TO_LOCAL_BYTES_MAX: usize = 64 * 1024;

/// Memory that one compiled pattern of `security.auth_to_local` may take, in bytes: a repetition in a short pattern
/// can stand for a large automaton.
pub const AUTH_TO_LOCAL_PATTERN_BYTES_MAX: usize = 1 << 20;

/// Longest short name that a rule of `security.auth_to_local` may make, in bytes: a substitution of each letter by
/// a long text would multiply the name.
pub const SHORT_NAME_BYTES_MAX: usize = 4096;
