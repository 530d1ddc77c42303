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
