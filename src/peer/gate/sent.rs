//! Which of the bytes that the network reports as sent are of a login, and which of the link's owner.

/// The bytes of one link up to the end of its login: first those that its owner has sent before it, then those of the
/// login. All later ones are the owner's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LoginBytes {
    /// Bytes of the owner from before the login that the network has not sent.
    before: u64,
    /// The same of the login.
    login: u64,
}

impl LoginBytes {
    /// The owner has sent bytes before the login.
    pub(super) fn begin_after(bytes: usize) -> LoginBytes {
        LoginBytes { before: u64::try_from(bytes).expect("a small number"), login: 0 }
    }

    /// Bytes of the login are on their way.
    pub(super) fn add(&mut self, bytes: usize) {
        self.login += u64::try_from(bytes).expect("a small number");
    }

    /// The network has sent so many bytes: how many of them are the owner's.
    pub(super) fn own_of(&mut self, bytes: u64) -> u64 {
        let before = bytes.min(self.before);
        self.before -= before;
        let login = (bytes - before).min(self.login);
        self.login -= login;
        bytes - login
    }

    /// Whether all that follows is the owner's.
    pub(super) fn is_empty(self) -> bool {
        self == LoginBytes::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_in_the_order_in_which_they_were_given() {
        let mut bytes = LoginBytes::begin_after(10);
        bytes.add(5);
        assert_eq!(bytes.own_of(4), 4);
        assert_eq!(bytes.own_of(8), 6);
        bytes.add(1);
        assert!(!bytes.is_empty());
        assert_eq!(bytes.own_of(10), 6);
        assert!(bytes.is_empty());
        assert_eq!(bytes.own_of(7), 7);
    }
}
