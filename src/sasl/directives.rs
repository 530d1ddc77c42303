//! The directives of a DIGEST-MD5 token: `name=value` or `name="quoted value"`, separated by commas (RFC 2831,
//! section
//! 7.1).
//!
//! What is accepted is what a Java server accepts: empty elements, white space around names and values, and white
//! space in the place of a comma. The caller bounds the length of a token.

use super::Failure;

/// A directive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directive<'t> {
    /// Its name, as it was written: case does not matter.
    pub name: &'t [u8],
    /// Its value, without quotes and escapes.
    pub value: Vec<u8>,
}

/// The directives of a token, in their order. After an error there are no more.
pub(super) struct Directives<'t> {
    rest: &'t [u8],
}

impl<'t> Directives<'t> {
    pub fn of(token: &'t [u8]) -> Directives<'t> {
        Directives { rest: token }
    }

    /// The values of these directives; others are skipped.
    ///
    /// # Errors
    /// The token is malformed, or one of them stands twice.
    pub fn values<const N: usize>(
        self,
        names: [&'static str; N],
    ) -> Result<[Option<Vec<u8>>; N], Failure> {
        let mut values = [const { None }; N];
        for directive in self {
            let Directive { name, value } = directive?;
            let known = names.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(name));
            let Some(at) = known else { continue };
            if values[at].replace(value).is_some() {
                return Err(Failure::Twice(names[at]));
            }
        }
        Ok(values)
    }

    fn skip(&mut self, skipped: fn(u8) -> bool) {
        let end = self.rest.iter().position(|byte| !skipped(*byte)).unwrap_or(self.rest.len());
        self.rest = &self.rest[end..];
    }

    /// Takes the bytes up to the first that `ends` is true of.
    fn take_until(&mut self, ends: fn(u8) -> bool) -> &'t [u8] {
        let end = self.rest.iter().position(|byte| ends(*byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn directive(&mut self) -> Result<Directive<'t>, Failure> {
        let name = self.take_until(|byte| byte == b'=' || is_separator(byte));
        self.skip(is_space);
        let after = self.rest.strip_prefix(b"=").filter(|_| !name.is_empty());
        self.rest = after.ok_or(Failure::Malformed)?;
        self.skip(is_space);
        let value = match self.rest.split_first() {
            None => return Err(Failure::Malformed),
            Some((b'"', rest)) => {
                self.rest = rest;
                self.quoted()?
            }
            Some(_) => self.take_until(is_separator).to_vec(),
        };
        Ok(Directive { name, value })
    }

    /// A value whose opening quote is taken already.
    fn quoted(&mut self) -> Result<Vec<u8>, Failure> {
        let mut value = Vec::new();
        let mut bytes = self.rest.iter();
        loop {
            match bytes.next() {
                Some(b'"') => break,
                Some(b'\\') => value.push(*bytes.next().ok_or(Failure::Malformed)?),
                Some(byte) => value.push(*byte),
                None => return Err(Failure::Malformed),
            }
        }
        self.rest = bytes.as_slice();
        match self.rest.first() {
            Some(byte) if !is_separator(*byte) => Err(Failure::Malformed),
            Some(_) | None => Ok(value),
        }
    }
}

impl<'t> Iterator for Directives<'t> {
    type Item = Result<Directive<'t>, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        self.skip(is_separator);
        if self.rest.is_empty() {
            return None;
        }
        let directive = self.directive();
        if directive.is_err() {
            self.rest = &[];
        }
        Some(directive)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_separator(byte: u8) -> bool {
    byte == b',' || is_space(byte)
}

/// Appends `name="value"`, with escapes as a Java client and a Java server write them.
pub(super) fn put_quoted(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    for &byte in value {
        let is_control = byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\n');
        if is_control || byte == b'"' || byte == b'\\' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(token: &str) -> Result<Vec<(String, String)>, Failure> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Directives::of(token.as_bytes())
            .map(|directive| directive.map(|it| (text(it.name), text(&it.value))))
            .collect()
    }

    #[test]
    fn names_and_values_are_found_between_commas_and_white_space() {
        for token in
            ["a=b,c=\"d e\"", " a = b , ,\r\n c=\t\"d e\" ,", "a=b c=\"d e\"", ",a=b,,c=\"d e\""]
        {
            let expected = [("a".into(), "b".into()), ("c".into(), "d e".into())];
            assert_eq!(read(token).unwrap(), expected, "{token:?}");
        }
        assert_eq!(read("a=\"\\\"\\\\\\x\"").unwrap(), [("a".into(), "\"\\x".into())]);
        assert_eq!(read("a=,b=c").unwrap()[0], ("a".into(), String::new()));
        assert_eq!(read("a=b\"c").unwrap(), [("a".into(), "b\"c".into())]);
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn what_is_no_list_of_directives_is_refused() {
        for token in [
            "a",
            "a b=c",
            "a,b=c",
            "=b",
            "a=",
            "a= ",
            "a=\"b",
            "a=\"b\\",
            "a=\"b\"c",
            "a=\"b\"\"c\"",
        ] {
            assert_eq!(read(token), Err(Failure::Malformed), "{token:?}");
        }
    }

    #[test]
    fn a_directive_stands_once_and_in_either_case() {
        let values =
            |token: &'static str| Directives::of(token.as_bytes()).values(["realm", "nonce"]);
        let found = values("NONCE=x,other=1,other=2").unwrap();
        assert_eq!(found, [None, Some(b"x".to_vec())]);
        assert_eq!(values("realm=a,Realm=a"), Err(Failure::Twice("realm")));
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_back(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut token = Vec::new();
            put_quoted(&mut token, "it", &value);
            let values = Directives::of(&token).values(["it"]).unwrap();
            prop_assert_eq!(values, [Some(value)]);
        }

        #[test]
        fn no_token_is_too_odd(token in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Directives::of(&token).count();
        }
    }
}
