//! Measurements by name, for `mntr`, the AdminServer and Prometheus.
//!
//! Names and units are ZooKeeper's (durations in ms), because dashboards and alarms are written in
//! them; the numbers come from the replica, which keeps plain integers, and from the edge. This
//! module measures nothing.

mod audit;
mod certificates;
mod exposition;
mod held;
mod links;
mod names;
pub mod process;
pub mod quorum;
mod room;
mod stalls;
mod usage;

pub use audit::{OWN as AUDIT_OWN, each as each_audit};
pub use certificates::{CertificateDays, OWN as CERTIFICATES_OWN, each as each_certificate};
pub use exposition::{CONTENT_TYPE, Quantile, exposition, quantiles};
pub use held::{Held, OWN as HELD_OWN, each as each_held};
pub use links::{OWN as LINKS_OWN, each as each_link};
pub(crate) use names::rounded;
pub use names::{ENSEMBLES_ALONE, Gauges, HandshakeFigures, Value, WITHOUT_MEANING, each};
pub use room::{OWN as ROOM_OWN, each as each_room};
pub use stalls::{OWN as STALLS_OWN, Stalls, each as each_stall};
pub use usage::usage;
