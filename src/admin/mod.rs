//! What operators see: the four-letter words and the log.

pub mod logging;
pub mod text;
pub mod version;
pub mod word;
