//! Addresses in ACLs: `address` or `address/bits` (`IPAuthenticationProvider`).
//!
//! Not [`std::net`]'s parser: ZooKeeper accepts other texts in places (`01.2.3.4` and `-1::` are addresses,
//! `::ffff:1.2.3.4` is none), and an ACL must mean the same on both servers.
//!
//! ```text
//! IPv4   four numbers from 0 to 255 between dots, each as Integer.parseInt reads it
//! IPv6   eight groups of up to 4 characters, hexadecimal, between colons; `::` once, for one group or more
//! range  address | address "/" bits, from 0 to 32 or 128
//! ```

use std::net::IpAddr;

/// An address as bytes in network order: 4 or 16 of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct Address {
    bytes: [u8; 16],
    /// 4 or 16.
    length: usize,
}

impl Address {
    /// # Errors
    /// `None`: ZooKeeper does not accept it as an address.
    pub fn parse(text: &str) -> Option<Address> {
        parse(text)
    }

    pub fn is_v4(&self) -> bool {
        self.length == 4
    }

    /// Its bits as a number: addresses of one family are ordered by it.
    pub fn number(&self) -> u128 {
        let number = u128::from_be_bytes(self.bytes);
        if self.is_v4() { number >> 96 } else { number }
    }
}

/// The addresses that share their first bits with one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    address: Address,
    /// The number of these bits.
    bits: usize,
}

impl Range {
    /// # Errors
    /// `None`: ZooKeeper does not accept it as a range.
    pub fn parse(expression: &str) -> Option<Range> {
        let (address, bits) = parse_prefix(expression)?;
        Some(Range { address, bits })
    }

    pub fn is_v4(&self) -> bool {
        self.address.is_v4()
    }

    /// The number of its lowest address.
    pub fn first(&self) -> u128 {
        self.address.number() & !self.others()
    }

    /// The number of its highest address.
    pub fn last(&self) -> u128 {
        self.address.number() | self.others()
    }

    /// A mask of the bits that do not count.
    fn others(&self) -> u128 {
        let others = self.address.length * 8 - self.bits;
        u32::try_from(others)
            .ok()
            .and_then(|others| u128::MAX.checked_shr(128 - others))
            .unwrap_or(0)
    }
}

/// `Integer.parseInt`: an optional sign, then digits.
fn java_int(text: &str, radix: u32) -> Option<i32> {
    i32::from_str_radix(text, radix).ok()
}

// ZooKeeper: IPAuthenticationProvider.v4addr2Bytes.
fn parse_v4(text: &str) -> Option<Address> {
    let mut bytes = [0; 16];
    let mut parts = text.split('.');
    for byte in &mut bytes[..4] {
        *byte = u8::try_from(java_int(parts.next()?, 10)?).ok()?;
    }
    parts.next().is_none().then_some(Address { bytes, length: 4 })
}

// ZooKeeper: IPAuthenticationProvider.v6addr2Bytes, parseV6addr, since 3.10.
fn parse_v6(text: &str) -> Option<Address> {
    let groups = |half: &str| -> Option<Vec<[u8; 2]>> {
        if half.is_empty() {
            return Some(Vec::new());
        }
        half.split(':')
            .map(|group| {
                if group.is_empty() || group.encode_utf16().count() > 4 {
                    return None;
                }
                // ZooKeeper: a sign is allowed ("-1" is 0xffff), the low 16 bits count.
                let [.., high, low] = java_int(group, 16)?.to_be_bytes();
                Some([high, low])
            })
            .collect()
    };
    // What stands before `::` fills the address from its beginning, what stands behind from its end.
    let halves: Vec<&str> = text.split("::").collect();
    let (front, back) = match halves[..] {
        [whole] => {
            let front = groups(whole)?;
            if front.len() != 8 {
                return None;
            }
            (front, Vec::new())
        }
        [front, back] => {
            let (front, back) = (groups(front)?, groups(back)?);
            if front.len() + back.len() >= 8 {
                return None;
            }
            (front, back)
        }
        _ => return None,
    };
    let mut bytes = [0; 16];
    for (to, from) in bytes.chunks_exact_mut(2).zip(&front) {
        to.copy_from_slice(from);
    }
    for (to, from) in bytes[16 - 2 * back.len()..].chunks_exact_mut(2).zip(&back) {
        to.copy_from_slice(from);
    }
    Some(Address { bytes, length: 16 })
}

/// An address of either family: a colon makes it IPv6.
fn parse(text: &str) -> Option<Address> {
    if text.contains(':') { parse_v6(text) } else { parse_v4(text) }
}

/// An address and how many of its leading bits count: all, if it names no number.
fn parse_prefix(text: &str) -> Option<(Address, usize)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address = parse(address)?;
    let bits_max = address.length * 8;
    let bits = match bits {
        Some(bits) => usize::try_from(java_int(bits, 10)?).ok()?,
        None => bits_max,
    };
    (bits <= bits_max).then_some((address, bits))
}

/// Whether an ACL may contain this expression.
pub(super) fn is_valid(expression: &str) -> bool {
    parse_prefix(expression).is_some()
}

/// Whether the address `id` lies in the range that an ACL names, parsing both each time.
#[cfg(test)]
pub(super) fn matches(id: &str, expression: &str) -> bool {
    // What is no range contains no address.
    let Some((range, bits)) = parse_prefix(expression) else { return false };
    // What is no address lies in no range.
    let Some(address) = parse(id) else { return false };
    let whole = bits / 8;
    let rest_mask = !(0xffu8 >> (bits % 8));
    address.length == range.length
        && address.bytes[..whole] == range.bytes[..whole]
        && (bits % 8 == 0 || (address.bytes[whole] ^ range.bytes[whole]) & rest_mask == 0)
}

/// The text of an address as Java prints it (`getHostAddress`): no `::`, no leading zeros.
pub fn host_text(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let groups: Vec<String> = v6.segments().iter().map(|g| format!("{g:x}")).collect();
            groups.join(":")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_the_addresses_that_share_its_bits() {
        assert!(matches("10.1.2.3", "10.1.2.3"));
        assert!(matches("10.1.2.3", "10.1.0.0/16"));
        assert!(!matches("10.2.2.3", "10.1.0.0/16"));
        assert!(matches("10.1.2.3", "10.1.3.0/23"));
        assert!(!matches("10.1.4.3", "10.1.2.0/23"));
        assert!(matches("1.2.3.4", "255.255.255.255/0"));
        assert!(matches("fe80:0:0:0:0:0:0:1", "fe80::/10"));
        assert!(!matches("10.1.2.3", "::/0"), "families do not match each other");
    }

    #[test]
    fn validity_is_zookeepers() {
        for good in ["1.2.3.4", "01.2.3.4", "1.2.3.4/0", "1.2.3.4/32", "::1", "1::/128", "::"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in
            ["", "a", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/-1"]
        {
            assert!(!is_valid(bad), "{bad}");
        }
        for bad in ["1:2:3", ":::", "1::2::3", "12345::", "1:2:3:4:5:6:7::8", "::/129"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn addresses_are_printed_as_java_does() {
        assert_eq!(host_text("::1".parse().unwrap()), "0:0:0:0:0:0:0:1");
        assert_eq!(host_text("::ffff:127.0.0.1".parse().unwrap()), "127.0.0.1");
        assert_eq!(host_text("127.0.0.1".parse().unwrap()), "127.0.0.1");
    }
}
