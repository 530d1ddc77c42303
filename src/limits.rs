//! Every bound of the server, each with its reason. A configured bound has its default here.
//!
//! | file | what its bounds hold back |
//! |---|---|
//! | `clients` | what clients ask for and hold |
//! | `ensemble` | what servers ask of each other |
//! | `turns` | the work of one turn |
//! | `host` | what the process asks of its host |

mod clients;
mod ensemble;
mod host;
mod turns;

pub use clients::*;
pub use ensemble::*;
pub use host::*;
pub use turns::*;
