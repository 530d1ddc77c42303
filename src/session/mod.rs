//! Sessions apart from what they own: ids, passwords, timeouts and expiry.
//!
//! Which sessions exist for everybody is the database's matter, because they come and go by
//! transactions; here is what the server that expires them keeps in memory.

mod ids;
mod password;
mod tenure;
mod tracker;

pub use ids::{IdGenerator, Timeouts};
pub use password::password;
pub use tenure::Tenure;
pub use tracker::Tracker;
