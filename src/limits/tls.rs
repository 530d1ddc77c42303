//! Bounds of TLS: the files that set it up, and the certificates of peers.

/// Bytes of a key store or trust store. Java's own list of all public authorities has 170 KB.
pub const STORE_BYTES_MAX: u64 = 4 << 20;

/// Bytes of a file with a password.
pub const PASSWORD_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Bytes of a file of revoked certificates: some hundred thousand of them. Each handshake hashes the list of the issuer
/// whole to check its signature (`webpki`), which takes a few milliseconds for a list of this size, as long as the
/// handshake itself.
pub const REVOCATION_BYTES_MAX: u64 = 4 << 20;

/// Lists of revoked certificates in one file. An issuer has one, or one for each part of its certificates.
pub const REVOCATION_LISTS_MAX: usize = 256;

/// Certificates in one store. Java's list has some 150.
pub const STORE_CERTIFICATES_MAX: usize = 4096;

/// Certificates of a chain, from a leaf to its root: webpki follows six issuers, and rustls refuses long messages.
pub const CHAIN_CERTIFICATES_MAX: usize = 16;

/// Bytes of a chain that a peer shows, as Java takes from one (`jdk.tls.maxHandshakeMessageSize`). The ticket with which
/// a client resumes its session holds the chain, and has two bytes for its length.
pub const CHAIN_BYTES_MAX: usize = 32 * 1024;
const _: () = assert!(CHAIN_BYTES_MAX <= u16::MAX as usize - 16 * 1024);

/// Rounds of hashing that one file may ask for, all its passwords together: some seconds. `keytool` and OpenSSL write
/// 2048 to 10 000 for each; a cautious operator takes a million.
// Java: PKCS12KeyStore.MAX_ITERATION_COUNT is 5 000 000 for each.
pub const PBE_ITERATIONS_MAX: u32 = 10_000_000;

/// Bytes of the names of trusted issuers that a server tells its clients; beyond it tells none. The field of the
/// message has two bytes for its length.
pub const ISSUER_HINTS_BYTES_MAX: usize = 16 * 1024;
const _: () = assert!(ISSUER_HINTS_BYTES_MAX < u16::MAX as usize);

/// Bytes of an object identifier in a name. Real ones have up to twenty.
pub const OBJECT_ID_BYTES_MAX: usize = 128;
