//! Every bound of the server, each with its reason. A configured bound has its default here.
//!
//! | file | what its bounds hold back |
//! |---|---|
//! | `audit` | the length and the number of lines of the audit log |
//! | `clients` | what clients ask for and hold |
//! | `ensemble` | what servers ask of each other |
//! | `sasl` | what a login by SASL, and the files that it needs, may be |
//! | `turns` | the work of one turn |
//! | `host` | what the process asks of its host |
//! | `handshakes` | TLS handshakes, and records that are incomplete or unsent |
//! | `tls` | files of keys and certificates, and what peers show |

mod audit;
mod clients;
mod ensemble;
mod handshakes;
mod host;
mod sasl;
mod tls;
mod turns;
mod web;

pub use audit::*;
pub use clients::*;
pub use ensemble::*;
pub use handshakes::*;
pub use host::*;
pub use sasl::*;
pub use tls::*;
pub use turns::*;
pub use web::*;
