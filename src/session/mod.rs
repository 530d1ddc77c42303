//! Sessions without the nodes that they own: ids, passwords, timeouts and expiry.
//!
//! The database knows which global sessions exist, because transactions begin and end them; this
//! module is what the server that expires them keeps in memory.

mod ids;
mod password;
mod tenure;
mod tracker;

pub use ids::{IdGenerator, Timeouts};
pub use password::password;
pub use tenure::Tenure;
pub use tracker::Tracker;
