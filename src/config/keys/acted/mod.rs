//! Rows of the keys that change what the server does.
//!
//! Four files by theme. The rows about the ensemble and about authentication are beside this folder, because theirs
//! are mixed with rows that are not acted on, or need helpers of their own.

pub(super) mod clients;
pub(super) mod own;
pub(super) mod rules;
pub(super) mod storage;
