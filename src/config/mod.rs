//! Configuration: `zoo.cfg`, TOML and `-D` words become one typed, valid [`Config`].
//!
//! It is pure, except for [`dynamic::Keeper`]: it reads no file and no environment variable, and it never panics on
//! any input. The caller passes bytes, and a function that reads the further files that a configuration may name.
//! The rule that is easy to break: a key is described once, in its row of [`keys`]; nothing else may know a key's
//! type, range, default or fate.
//!
//! ```text
//! -D words ─▶ flags ─────────────────┐
//! zoo.cfg  ─▶ properties ─▶ document ┤
//! TOML     ──────────────▶ document ┴▶ read: which value counts ─▶ value: is it allowed? ─▶ keys: store it
//!     ─▶ finish, members: what several keys decide ─▶ Config, or all errors, and notes
//! ```
//! `server` turns the result into the options of each module (`server::options`); a module below it gets options, and
//! knows no key. The other ways out are [`report`], which writes about a configuration, and [`convert`], which writes
//! it in the other form.

mod collisions;
pub mod convert;
pub mod document;
pub mod dynamic;
mod finish;
mod flags;
mod kerberos;
pub mod keys;
mod logins_between;
mod members;
mod origin;
pub mod properties;
mod quorum;
mod read;
pub mod report;
mod sasl;
mod server_line;
mod settings;
mod shell_files;
mod slips;
mod tls;
pub mod value;

pub use document::Format;
pub use origin::{ConfigError, Level, Note, Origin, Problem};
pub use quorum::{PeerAddressCheck, Quorum};
pub use read::{Examination, FILE_BYTES_MAX, ReadFile, SourceFile, Sources, examine};
pub use server_line::{GroupLine, MemberAddress, PeerType, ServerLine};
pub use settings::*;

/// The variables whose `-D` words count, in the order in which `zkServer.sh` passes them to the JVM.
pub const FLAG_VARIABLES: [&str; 2] = ["SERVER_JVMFLAGS", "JVMFLAGS"];

/// Reads one file by itself: no `-D` words, no `myid`, no dynamic file. `name` is for messages, and decides the form:
/// TOML if it ends in `.toml`, otherwise Java properties.
///
/// # Errors
/// All errors of the file, by line.
pub fn parse(bytes: &[u8], name: &str) -> Result<Config, Vec<ConfigError>> {
    let file = SourceFile { name, bytes, format: Format::of_name(name) };
    examine(Sources { file: Some(file), flags: &[], properties: &[] }, None).into_result()
}
