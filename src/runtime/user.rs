//! The user of this process, for messages about refused access.

use std::io;

use crate::io::way_out;

/// Text to append to the system's error about a file or folder: the refused user, if that matters, and
/// what can be done; empty if neither is known.
pub fn way_out_for_user(error: &io::Error) -> String {
    let who = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!(" (for the user with uid {})", rustix::process::geteuid().as_raw())
        }
        _ => String::new(),
    };
    who + way_out(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_refused_is_said_where_it_is_about_permission() {
        let said = way_out_for_user(&io::ErrorKind::PermissionDenied.into());
        let uid = rustix::process::geteuid().as_raw();
        assert!(
            said.starts_with(&format!(" (for the user with uid {uid}). The user that")),
            "{said}"
        );
        assert_eq!(way_out_for_user(&io::ErrorKind::NotFound.into()), "");
    }
}
