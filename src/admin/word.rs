//! The four-letter words: their bytes, and which of them may be used.
//!
//! A connection's first four bytes are a word or the length of a frame; as lengths, all words are
//! far above any frame (`ruok` would be 1.9 GB), except telnet's, which is negative. After the
//! answer the connection is closed. Only the first four bytes count: later ones are always a
//! length.

use std::fmt;

/// Bytes that follow `stmk`: the new mask, a big-endian long.
pub const TRACE_MASK_BYTES: usize = 8;

/// The answer to `gtmk`: client requests, server packets, sessions, warnings.
// ZooKeeper: ZooTrace.traceMask's initial value. It never changes here: the mask selects log lines
// of Java classes; levels of our log are set in its configuration.
pub const TRACE_MASK: i64 = 306;

macro_rules! words {
    ($($(#[$meta:meta])* $name:ident = $text:literal;)*) => {
        /// A four-letter word (`FourLetterCommands`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FourLetterWord {
            $($(#[$meta])* $name,)*
            /// The bytes that telnet sends when it is interrupted; handled like a word that does
            /// nothing.
            TelnetClose,
        }

        impl FourLetterWord {
            /// Every word but telnet's.
            pub const ALL: &'static [FourLetterWord] = &[$(FourLetterWord::$name,)*];

            /// The word that a connection begins with, if it is one.
            pub const fn parse(first: [u8; 4]) -> Option<FourLetterWord> {
                $(if u32::from_be_bytes(first) == u32::from_be_bytes(*$text) {
                    return Some(FourLetterWord::$name);
                })*
                if u32::from_be_bytes(first) == 0xfff4_fffd {
                    return Some(FourLetterWord::TelnetClose);
                }
                None
            }

            /// Its name, as the whitelist spells it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(FourLetterWord::$name => match std::str::from_utf8($text) {
                        Ok(name) => name,
                        Err(_) => unreachable!(),
                    },)*
                    FourLetterWord::TelnetClose => "telnet close",
                }
            }
        }
    };
}

words! {
    /// The configuration in force.
    Conf = b"conf";
    /// Every connection in detail.
    Cons = b"cons";
    /// Resets the statistics of every connection.
    Crst = b"crst";
    /// Bytes of the data folders.
    Dirs = b"dirs";
    /// Sessions, ephemeral nodes, connections.
    Dump = b"dump";
    /// The environment of the server.
    Envi = b"envi";
    /// The trace mask.
    Gtmk = b"gtmk";
    /// The digests of the tree at some zxids.
    Hash = b"hash";
    /// Whether the server is read-only.
    Isro = b"isro";
    /// Every metric.
    Mntr = b"mntr";
    /// Whether the server is alive.
    Ruok = b"ruok";
    /// Resets the statistics of the server.
    Srst = b"srst";
    /// The server in brief.
    Srvr = b"srvr";
    /// The server in brief, and its connections.
    Stat = b"stat";
    /// Sets the trace mask; eight bytes follow.
    Stmk = b"stmk";
    /// Watches by session.
    Wchc = b"wchc";
    /// Watches by path.
    Wchp = b"wchp";
    /// Watches in numbers.
    Wchs = b"wchs";
}

impl FourLetterWord {
    /// Whether its answer lists connections, sessions, watches or files.
    pub const fn tells_of_everything(self) -> bool {
        matches!(
            self,
            FourLetterWord::Cons
                | FourLetterWord::Stat
                | FourLetterWord::Dump
                | FourLetterWord::Wchc
                | FourLetterWord::Wchp
                | FourLetterWord::Crst
                | FourLetterWord::Conf
                | FourLetterWord::Dirs
        )
    }

    /// The number of bytes of the word's argument.
    pub const fn argument_bytes(self) -> usize {
        match self {
            FourLetterWord::Stmk => TRACE_MASK_BYTES,
            _ => 0,
        }
    }

    const fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

impl fmt::Display for FourLetterWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The words that may be used (`4lw.commands.whitelist`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whitelist(u32);

impl Whitelist {
    /// Reads the value of the key: `*` for all, or words separated by commas. `srvr` is always
    /// allowed, `isro` with read-only mode. Unknown words are ignored.
    pub fn new(value: Option<&str>, read_only_mode: bool) -> Whitelist {
        // ZooKeeper: zkServer.sh needs srvr; a read-only client's search for a server needs isro.
        let mut allowed = FourLetterWord::Srvr.bit();
        if read_only_mode {
            allowed |= FourLetterWord::Isro.bit();
        }
        for word in value.unwrap_or_default().split(',').map(str::trim) {
            if word == "*" {
                allowed = u32::MAX;
            }
            for known in FourLetterWord::ALL {
                if known.name() == word {
                    allowed |= known.bit();
                }
            }
        }
        Whitelist(allowed)
    }

    /// Whether the word may be used.
    pub const fn allows(self, word: FourLetterWord) -> bool {
        self.0 & word.bit() != 0
    }
}

/// The answer to a word that is not in the whitelist.
pub fn refusal(word: FourLetterWord) -> String {
    format!("{word} is not executed because it is not in the whitelist.\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_its_own_name() {
        for &word in FourLetterWord::ALL {
            let bytes: [u8; 4] = word.name().as_bytes().try_into().unwrap();
            assert_eq!(FourLetterWord::parse(bytes), Some(word));
        }
        assert_eq!(FourLetterWord::ALL.len(), 18);
        let telnet = [0xff, 0xf4, 0xff, 0xfd];
        assert_eq!(FourLetterWord::parse(telnet), Some(FourLetterWord::TelnetClose));
    }

    #[test]
    fn a_length_is_no_word() {
        for length in [0i32, 44, 45, 1024, 0xf_ffff, -1] {
            assert_eq!(FourLetterWord::parse(length.to_be_bytes()), None);
        }
        assert_eq!(FourLetterWord::parse(*b"RUOK"), None);
    }

    #[test]
    fn without_a_whitelist_only_srvr_is_allowed() {
        let list = Whitelist::new(None, false);
        for &word in FourLetterWord::ALL {
            assert_eq!(list.allows(word), word == FourLetterWord::Srvr, "{word}");
        }
        assert!(Whitelist::new(None, true).allows(FourLetterWord::Isro));
        assert!(!list.allows(FourLetterWord::TelnetClose));
    }

    #[test]
    fn a_whitelist_names_words_or_all() {
        let some = Whitelist::new(Some(" stat, ruok,,nope"), false);
        assert!(some.allows(FourLetterWord::Stat) && some.allows(FourLetterWord::Ruok));
        assert!(some.allows(FourLetterWord::Srvr) && !some.allows(FourLetterWord::Conf));
        let all = Whitelist::new(Some("conf, *"), false);
        assert!(FourLetterWord::ALL.iter().all(|&word| all.allows(word)));
    }

    #[test]
    fn the_refusal_names_the_word() {
        assert_eq!(
            refusal(FourLetterWord::Ruok),
            "ruok is not executed because it is not in the whitelist.\n"
        );
    }
}
