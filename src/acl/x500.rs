//! What an ACL may write as the subject of a certificate.

/// Keywords of attributes that Java knows (`sun.security.x509.AVAKeyword`); any other attribute needs its number.
const KEYWORDS: [&str; 19] = [
    "CN",
    "C",
    "L",
    "S",
    "ST",
    "O",
    "OU",
    "T",
    "IP",
    "STREET",
    "DC",
    "DNQUALIFIER",
    "DNQ",
    "SURNAME",
    "GIVENNAME",
    "INITIALS",
    "GENERATION",
    "EMAILADDRESS",
    "UID",
];

/// Whether this is a distinguished name: `CN=a,OU=b+UID=c`, or empty. Commas, plus signs and semicolons inside a value
/// need a backslash or quotes.
///
/// Any name that the scheme `x509` gives a client is one. Java's `X500Principal` refuses a few that this accepts; such
/// an entry matches nobody.
pub(super) fn is_name(text: &str) -> bool {
    if text.trim().is_empty() {
        return true;
    }
    let mut rest = text;
    loop {
        let Some((keyword, value)) = rest.split_once('=') else { return false };
        if !is_attribute(keyword.trim()) {
            return false;
        }
        match end_of_value(value) {
            Some((_, "")) => return true,
            Some((_, more)) => rest = more,
            None => return false,
        }
    }
}

fn is_attribute(keyword: &str) -> bool {
    if keyword.eq_ignore_ascii_case("SERIALNUMBER")
        || KEYWORDS.iter().any(|known| known.eq_ignore_ascii_case(keyword))
    {
        return true;
    }
    let prefix = keyword.get(..4).filter(|prefix| prefix.eq_ignore_ascii_case("OID."));
    let number = prefix.map_or(keyword, |_| &keyword[4..]);
    number.contains('.')
        && number
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Splits off a value; what is behind its separator may be empty only if there is no separator. `None`: a backslash or
/// a quote has no end, or nothing follows a separator.
fn end_of_value(text: &str) -> Option<(&str, &str)> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b',' | b';' | b'+' if !quoted => {
                let more = &text[at + 1..];
                return (!more.trim().is_empty()).then_some((&text[..at], more));
            }
            _ => {}
        }
    }
    (!quoted && !escaped).then_some((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_java_gives_to_clients_are_names() {
        for name in [
            "",
            "CN=zk-client",
            "CN=a,OU=b,O=c,L=d,ST=e,C=DE",
            "CN=a+UID=b,DC=example,DC=org",
            "CN=a\\=b,O=x\\, y",
            "CN=\"a, b\",O=c",
            "1.2.840.113549.1.9.1=#1603614062,CN=a",
            "OID.2.5.4.3=a",
            "cn=a, o=b",
            "CN=",
            "CN=ä\\\\",
        ] {
            assert!(is_name(name), "{name:?}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in
            ["a", "CN", "=a", "X=a", "CN=a,", "CN=a,,O=b", "CN=a,b", "1..2=a", "CN=\"a", "CN=a\\"]
        {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
