//! Runs one sequence of operations on two servers and compares every answer.
//!
//! A [`Plan`] is a list of steps made from a seed alone, never from a server's answer. [`Pair`] carries the plan out
//! on two servers, one step at a time, and writes down what each server sent as a canonical text (module `render`),
//! in which times and session ids have become names. The two texts must be equal. [`ALLOWED`] lists all differences
//! that are allowed, with their reasons.
//!
//! | file | idea |
//! |---|---|
//! | `rng` | random numbers from a seed |
//! | `universe` | the few paths, values, identities and ACLs that everything is made of |
//! | `draft` | a request before the zxids and names that only a run knows are filled in |
//! | `operations` | one random operation |
//! | `plan` | a sequence of steps |
//! | `scripted` | the plan about expiry, containers and TTLs, written by hand |
//! | `profile` | the server options under which plans run |
//! | `render` | frames as canonical text |
//! | `servers` | a server alone, or an ensemble with each client on another member |
//! | `side` | one side: connections, sessions, what is known about its times |
//! | `pair` | both servers: carry out, compare, report |
//! | `shrink` | fewer steps that still differ |

mod allowed;
mod draft;
mod operations;
mod pair;
mod plan;
mod profile;
mod render;
mod rng;
mod scripted;
mod servers;
mod shrink;
mod side;
mod universe;

pub use allowed::{ALLOWED, Allowed};
pub use pair::{Difference, Pair, Verdict, run_plan, run_plan_on_ensembles, run_plan_past};
pub use plan::{Plan, Step};
pub use profile::{PROFILES, Profile};
pub use scripted::timers;
pub use servers::Shape;
pub use shrink::shrink;
pub use universe::digest_of;
