//! The name of a certificate's subject as Java's `X500Principal.getName()` writes it: the id of the scheme `x509`.
//!
//! It is RFC 2253 with Java's habits, and ACLs hold this text, so each habit counts: the last part comes first, `=` and
//! `#` inside a value are escaped, an unknown type is its number with `#` and the value's DER in hexadecimal digits.
//! Java: `sun.security.x509.X500Name`, `RDN` and `AVA`, their methods `toRFC2253String`.

use std::fmt::Write as _;

use super::der::{Der, Malformed, OBJECT_ID, SEQUENCE, SET};
use crate::limits::OBJECT_ID_BYTES_MAX;

/// The types that RFC 2253 names, as the contents of their object identifiers.
// Java: AVAKeyword, those that are compliant to RFC 2253.
const KEYWORDS: [(&[u8], &str); 9] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01], "UID"),
];

/// The tags of the strings that Java writes as text: UTF8String, PrintableString, T61String, IA5String, GeneralString,
/// BMPString.
const STRINGS: [u8; 6] = [0x0c, 0x13, 0x14, 0x16, 0x1b, 0x1e];

/// The text of a name. `name` is the content of its sequence, as `Certificate::subject` has it; a name without parts
/// is empty.
pub fn rfc2253(name: &[u8]) -> Result<String, Malformed> {
    let mut parts = Vec::new();
    let mut der = Der::new(name);
    while !der.is_empty() {
        parts.push(part(Der::new(der.take(SET)?))?);
    }
    parts.reverse();
    Ok(parts.join(","))
}

/// The values of the type `CN`, in the order in which the name has them, decoded as UTF-8.
pub fn common_names(name: &[u8]) -> Result<Vec<String>, Malformed> {
    let mut found = Vec::new();
    let mut der = Der::new(name);
    while !der.is_empty() {
        let mut attributes = Der::new(der.take(SET)?);
        while !attributes.is_empty() {
            let mut attribute = Der::new(attributes.take(SEQUENCE)?);
            let kind = attribute.take(OBJECT_ID)?;
            let value = attribute.any()?;
            if kind == KEYWORDS[0].0 && STRINGS.contains(&value.tag) {
                found.push(String::from_utf8_lossy(value.content).into_owned());
            }
        }
    }
    Ok(found)
}

/// One part; several attributes of it are joined in the order of the certificate.
fn part(mut attributes: Der<'_>) -> Result<String, Malformed> {
    let mut text = String::new();
    loop {
        let mut attribute = attributes.sequence()?;
        let kind = attribute.take(OBJECT_ID)?;
        let value = attribute.any()?;
        attribute.end()?;
        let keyword = KEYWORDS.iter().find(|(id, _)| *id == kind).map(|(_, keyword)| *keyword);
        match keyword {
            Some(keyword) => text.push_str(keyword),
            None => push_number(&mut text, kind)?,
        }
        text.push('=');
        if keyword.is_none() || !STRINGS.contains(&value.tag) {
            text.push('#');
            for byte in value.whole {
                // Writing into a String cannot fail.
                let _ = write!(text, "{byte:02x}");
            }
        } else {
            // Java takes the bytes of every kind of string as UTF-8, those of a BMPString too.
            push_escaped(&mut text, &decoded(value.content));
        }
        if attributes.is_empty() {
            return Ok(text);
        }
        text.push('+');
    }
}

/// UTF-8 as Java decodes it: like Rust, but half of a surrogate pair becomes one replacement, not three.
fn decoded(bytes: &[u8]) -> String {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(three) = bytes.get_mut(at..at + 3) {
        if three[0] == 0xed && three[1] >= 0xa0 && three[1] < 0xc0 && three[2] & 0xc0 == 0x80 {
            three.copy_from_slice("\u{fffd}".as_bytes());
        }
        at += 1;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn push_escaped(text: &mut String, value: &str) {
    let is_blank = |letter: char| letter == ' ' || letter == '\r';
    let mut escaped = String::with_capacity(value.len());
    for letter in value.chars() {
        match letter {
            ',' | '=' | '+' | '<' | '>' | '#' | ';' | '"' | '\\' => escaped.extend(['\\', letter]),
            '\0' => escaped.push_str("\\00"),
            _ => escaped.push(letter),
        }
    }
    let without = escaped.trim_start_matches(is_blank);
    let leading = escaped.len() - without.len();
    let middle = without.trim_end_matches(is_blank);
    for (at, letter) in escaped.char_indices() {
        if at < leading || at >= leading + middle.len() {
            text.push('\\');
        }
        text.push(letter);
    }
}

/// An object identifier as numbers with dots. `id` is the content of its element.
fn push_number(text: &mut String, id: &[u8]) -> Result<(), Malformed> {
    if id.is_empty()
        || id.len() > OBJECT_ID_BYTES_MAX
        || id.last().is_some_and(|last| *last >= 0x80)
    {
        return Err(Malformed::Shape);
    }
    let mut is_first = true;
    let mut number: u128 = 0;
    for byte in id {
        number = number.checked_mul(128).ok_or(Malformed::Shape)? + u128::from(byte & 0x7f);
        if *byte >= 0x80 {
            continue;
        }
        // The first two numbers share one place.
        let _ = match (is_first, number) {
            (true, 0..80) => write!(text, "{}.{}", number / 40, number % 40),
            (true, _) => write!(text, "2.{}", number - 80),
            (false, _) => write!(text, ".{number}"),
        };
        (is_first, number) = (false, 0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_java_writes() {
        let lines = include_str!("../../tests/golden/tls/x500_names.jsonl").lines();
        let mut count = 0;
        for line in lines {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let digits = line["der"].as_str().unwrap();
            let bytes: Vec<u8> = (0..digits.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
                .collect();
            let name = Der::new(&bytes).take(SEQUENCE).unwrap();
            assert_eq!(rfc2253(name).as_deref(), Ok(line["name"].as_str().unwrap()), "{digits}");
            count += 1;
        }
        assert_eq!(count, 500);
    }

    #[test]
    fn what_is_no_name_is_an_error() {
        for bytes in
            [&[0x31, 0][..], &[0x30, 0], &[0x31, 2, 0x30, 0], &[0x31, 5, 0x30, 3, 6, 1, 0x80]]
        {
            assert!(rfc2253(bytes).is_err(), "{bytes:?}");
        }
        let long = [&[0x31, 29, 0x30, 27, 6, 23][..], &[0xff; 22], &[0x7f, 5, 0]].concat();
        assert!(rfc2253(&long).is_err());
    }

    #[test]
    fn the_common_names_come_in_their_order() {
        let part = |kind: u8, value: &str| {
            let length = u8::try_from(value.len()).unwrap();
            [
                &[0x31, length + 9, 0x30, length + 7, 6, 3, 0x55, 4, kind, 12, length][..],
                value.as_bytes(),
            ]
            .concat()
        };
        let name = [part(3, "a"), part(10, "o"), part(3, "b")].concat();
        assert_eq!(common_names(&name).unwrap(), ["a", "b"]);
    }
}
