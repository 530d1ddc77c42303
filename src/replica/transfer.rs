//! The progress of a whole tree on its way between servers, for an operator who waits for it.

use crate::time::MonoUs;

/// Time between two lines of the log about one transfer. Small trees take less than that, and get no such line.
const LINE_EVERY_MS: u64 = 5_000;

/// One tree on its way.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// When the transfer began.
    since: MonoUs,
    /// When the log last said how far it is.
    ///
    /// Invariant: not before `since`.
    told: MonoUs,
    /// Bytes transferred so far.
    bytes: u64,
}

impl Transfer {
    /// A transfer that begins now.
    pub fn begin(now: MonoUs) -> Transfer {
        Transfer { since: now, told: now, bytes: 0 }
    }

    /// `bytes` more are transferred. True: it is time for a line of the log.
    pub fn advance(&mut self, now: MonoUs, bytes: usize) -> bool {
        self.bytes += bytes as u64;
        let is_due = now.since_us(self.told) / 1000 >= LINE_EVERY_MS;
        if is_due {
            self.told = now;
        }
        is_due
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How long the transfer has taken until `now`, in ms.
    pub fn ms(&self, now: MonoUs) -> u64 {
        now.since_us(self.since) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_transfer_says_now_and_then_how_far_it_is() {
        let at = |ms: u64| MonoUs(ms * 1000);
        let mut transfer = Transfer::begin(at(1000));
        assert!(!transfer.advance(at(1001), 10));
        assert!(!transfer.advance(at(5999), 10));
        assert!(transfer.advance(at(6000), 10));
        assert!(!transfer.advance(at(6001), 10));
        assert!(transfer.advance(at(11_000), 10));
        assert_eq!((transfer.bytes(), transfer.ms(at(11_000))), (50, 10_000));
    }
}
