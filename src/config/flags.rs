//! `-D` words of `SERVER_JVMFLAGS`, `JVMFLAGS` and the command line, as a JVM would get them.
//!
//! `zkServer.sh` expands both variables without quotes, `SERVER_JVMFLAGS` first: words end at blanks, quotes are
//! part of the word, and the last of two equal properties wins.
//!
//! ```text
//! SERVER_JVMFLAGS="-Xmx1g -Dzookeeper.snapCount=1000"     Option(-Xmx1g), Property(zookeeper.snapCount, 1000)
//! -D zookeeper.snapCount=1000 on the command line         Property, blanks in the value included
//! ```

/// One word of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word<'a> {
    /// `-Dname=value`; without `=` the value is empty.
    Property {
        /// The property's name.
        name: &'a str,
        /// Its value.
        value: &'a str,
    },
    /// Anything else: an option of the JVM.
    Option(&'a str),
}

/// The words of one variable.
pub fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    text.split([' ', '\t', '\n']).filter(|word| !word.is_empty()).map(|word| {
        match word.strip_prefix("-D") {
            Some(property) if !property.is_empty() => {
                let (name, value) = property.split_once('=').unwrap_or((property, ""));
                Word::Property { name, value }
            }
            _ => Word::Option(word),
        }
    })
}

/// A property on the command line, where the shell has already removed quotes: `NAME=VALUE`, blanks included.
pub fn property(text: &str) -> Word<'_> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    Word::Property { name, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_an_unquoted_shell_expansion_splits_them() {
        let found: Vec<_> = words(" -Xmx1g  -Da.b=c=d\t-De -Df=\"x y\" -D\n").collect();
        assert_eq!(
            found,
            vec![
                Word::Option("-Xmx1g"),
                Word::Property { name: "a.b", value: "c=d" },
                Word::Property { name: "e", value: "" },
                Word::Property { name: "f", value: "\"x" },
                Word::Option("y\""),
                Word::Option("-D"),
            ]
        );
    }
}
