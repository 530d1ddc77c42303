//! The fields of an X.509 certificate (RFC 5280) that decide whom it names, for how long, and for what.
//!
//! It checks no signature: `verify` does that, with webpki. Versions 1 and 3 are read, because `openssl x509 -req` made
//! certificates of version 1 for decades, and Java accepts them.

use super::der::{
    BIT_STRING, BOOLEAN, Der, GENERALIZED_TIME, INTEGER, Malformed, OBJECT_ID, OCTET_STRING,
    SEQUENCE, UTC_TIME, explicit, implicit,
};

/// A certificate, as views of its bytes.
#[derive(Debug, Clone)]
pub struct Certificate<'a> {
    /// What the issuer signed, tag and length included.
    pub signed: &'a [u8],
    /// The content of the `AlgorithmIdentifier` of the signature.
    pub algorithm: &'a [u8],
    /// The bits of the signature.
    pub signature: &'a [u8],
    /// 1, 2 or 3.
    pub version: u8,
    /// The serial number: the content of its INTEGER. With the issuer's name it tells certificates apart.
    pub serial: &'a [u8],
    /// The content of the issuer's name.
    pub issuer: &'a [u8],
    /// The content of the subject's name.
    pub subject: &'a [u8],
    /// The first second in which it is valid, and the last: seconds since 1970.
    pub not_before: i64,
    /// See [`Certificate::not_before`].
    pub not_after: i64,
    /// The `SubjectPublicKeyInfo`, tag and length included.
    pub key: &'a [u8],
    /// What the extensions say.
    pub extensions: Extensions<'a>,
}

/// The extensions that are read; absent ones are empty.
#[derive(Debug, Clone, Default)]
pub struct Extensions<'a> {
    /// Whether `basicConstraints` says that it is an authority's.
    pub is_authority: bool,
    /// The first byte of `keyUsage`, highest bit first (digitalSignature).
    pub key_usage: Option<u8>,
    /// The purposes of `extendedKeyUsage`, as the contents of their object identifiers.
    pub purposes: Option<Vec<&'a [u8]>>,
    /// The content of `subjectAltName`.
    pub names: &'a [u8],
    /// Whether `nameConstraints` is there, critical or not.
    pub has_name_constraints: bool,
    /// Whether a critical extension is there that is not read.
    pub has_unknown_critical: bool,
}

/// `digitalSignature` in [`Extensions::key_usage`].
pub const DIGITAL_SIGNATURE: u8 = 0x80;
/// `keyCertSign` in [`Extensions::key_usage`].
pub const KEY_CERT_SIGN: u8 = 0x04;
/// `cRLSign` in [`Extensions::key_usage`].
pub const CRL_SIGN: u8 = 0x02;

impl<'a> Certificate<'a> {
    /// Reads a certificate in DER; anything behind it is an error.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = Der::new(bytes);
        let mut certificate = outer.sequence()?;
        outer.end()?;
        let signed = certificate.element(SEQUENCE)?;
        let algorithm = certificate.take(SEQUENCE)?;
        let signature = certificate.bits()?;
        certificate.end()?;
        let mut fields = Der::new(signed.content);
        let version = match fields.optional(explicit(0))? {
            None => 1,
            Some(version) => match Der::new(version).number()? {
                1 => 2,
                2 => 3,
                _ => return Err(Malformed::Shape),
            },
        };
        let serial = fields.take(INTEGER)?;
        // The algorithm stands in the certificate twice; a difference would be a forgery.
        if fields.take(SEQUENCE)? != algorithm {
            return Err(Malformed::Shape);
        }
        let issuer = fields.take(SEQUENCE)?;
        let mut validity = fields.sequence()?;
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        let subject = fields.take(SEQUENCE)?;
        let key = fields.element(SEQUENCE)?.whole;
        // Identifiers of versions 2 and 3, without use.
        fields.optional(implicit(1))?;
        fields.optional(implicit(2))?;
        let extensions = match fields.optional(explicit(3))? {
            Some(list) if version == 3 => extensions(Der::new(list).sequence()?)?,
            Some(_) => return Err(Malformed::Shape),
            None => Extensions::default(),
        };
        fields.end()?;
        let signed = signed.whole;
        Ok(Self {
            signed,
            algorithm,
            signature,
            version,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            key,
            extensions,
        })
    }

    /// Whether issuer and subject have the same name.
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// The algorithm of the key (the content of its `AlgorithmIdentifier`) and the bits of the key.
    pub fn key_parts(&self) -> Result<(&'a [u8], &'a [u8]), Malformed> {
        let mut info = Der::new(self.key).sequence()?;
        Ok((info.take(SEQUENCE)?, info.bits()?))
    }
}

/// An extension of `id-ce`: 2.5.29.N.
const EXTENSIONS: &[u8] = &[0x55, 0x1d];

fn extensions<'a>(mut list: Der<'a>) -> Result<Extensions<'a>, Malformed> {
    let mut found = Extensions::default();
    while !list.is_empty() {
        let mut extension = list.sequence()?;
        let id = extension.take(OBJECT_ID)?;
        let is_critical = extension.optional(BOOLEAN)?.is_some_and(|value| value != [0]);
        let value = extension.take(OCTET_STRING)?;
        match id.strip_prefix(EXTENSIONS) {
            Some(&[15]) => {
                let bits = Der::new(value).take(BIT_STRING)?;
                found.key_usage = Some(bits.get(1).copied().unwrap_or(0));
            }
            Some(&[17]) => found.names = Der::new(value).take(SEQUENCE)?,
            Some(&[19]) => {
                let mut constraints = Der::new(value).sequence()?;
                found.is_authority =
                    constraints.optional(BOOLEAN)?.is_some_and(|value| value != [0]);
            }
            Some(&[30]) => {
                found.has_name_constraints = true;
                found.has_unknown_critical |= is_critical;
            }
            Some(&[37]) => {
                let mut purposes = Der::new(value).sequence()?;
                let mut read = Vec::new();
                while !purposes.is_empty() {
                    read.push(purposes.take(OBJECT_ID)?);
                }
                found.purposes = Some(read);
            }
            _ => found.has_unknown_critical |= is_critical,
        }
    }
    Ok(found)
}

/// Reads a UTCTime or a GeneralizedTime, as RFC 5280 restricts them: whole seconds, `Z`.
pub(super) fn time(der: &mut Der<'_>) -> Result<i64, Malformed> {
    let element = der.any()?;
    let (year_digits, digits) = match element.tag {
        UTC_TIME => (2, 12),
        GENERALIZED_TIME => (4, 14),
        _ => return Err(Malformed::Shape),
    };
    let text = element.content.strip_suffix(b"Z").ok_or(Malformed::Shape)?;
    if text.len() != digits || !text.iter().all(u8::is_ascii_digit) {
        return Err(Malformed::Shape);
    }
    let number = |from: usize, length: usize| {
        text[from..from + length].iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
    };
    let mut year = number(0, year_digits);
    if year_digits == 2 {
        year += if year < 50 { 2000 } else { 1900 };
    }
    let part = |index: usize| number(year_digits + 2 * index, 2);
    let (month, day, hour, minute, second) = (part(0), part(1), part(2), part(3), part(4));
    let is_real = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    if !is_real {
        return Err(Malformed::Shape);
    }
    Ok(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // The year begins in March, so that the leap day is its last; 400 years have 146 097 days.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(tag: u8, text: &str) -> Result<i64, Malformed> {
        let mut bytes = vec![tag, u8::try_from(text.len()).unwrap()];
        bytes.extend(text.as_bytes());
        time(&mut Der::new(&bytes))
    }

    #[test]
    fn times_become_seconds_since_1970() {
        assert_eq!(seconds(UTC_TIME, "700101000000Z"), Ok(0));
        assert_eq!(seconds(UTC_TIME, "000229120000Z"), Ok(951_825_600));
        assert_eq!(seconds(GENERALIZED_TIME, "20261130195810Z"), Ok(1_796_068_690));
        assert_eq!(seconds(GENERALIZED_TIME, "99991231235959Z"), Ok(253_402_300_799));
        assert_eq!(seconds(UTC_TIME, "491231235959Z"), Ok(2_524_607_999));
        assert_eq!(seconds(UTC_TIME, "500101000000Z"), Ok(-631_152_000));
        for text in ["", "Z", "700101000000", "7001010000Z", "701301000000Z", "70010100000xZ"] {
            assert!(seconds(UTC_TIME, text).is_err(), "{text}");
        }
    }
}
