//! Values in a form for people.

use std::fmt::Write as _;

/// A time in ms since the Unix epoch as `2026-11-20T11:30:00.123Z`.
pub(super) fn time(ms: i64) -> String {
    const MS_PER_DAY: i64 = 86_400_000;
    let (day, ms) = (ms.div_euclid(MS_PER_DAY), ms.rem_euclid(MS_PER_DAY));
    let (year, month, day) = date(day);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let ms = ms % 1000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
fn date(day: i64) -> (i64, i64, i64) {
    // Counted from 1 March of year 0, leap days are the last of their years, and every 400 years
    // have the same number of days.
    const DAYS_PER_400_YEARS: i64 = 146_097;
    const DAYS_FROM_MARCH_0_TO_1970: i64 = 719_468;
    let day = day + DAYS_FROM_MARCH_0_TO_1970;
    let (era, day) = (day.div_euclid(DAYS_PER_400_YEARS), day.rem_euclid(DAYS_PER_400_YEARS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + later, month, day_of_month)
}

/// The number of nodes in a snapshot, and the number that ZooKeeper's `srvr`, `mntr` and
/// SnapshotFormatter show for the same tree.
// ZooKeeper: DataTree keeps the root under two names, "" and "/", and getNodeCount counts both.
pub(super) fn nodes(count: u64) -> String {
    format!("{count} nodes (srvr, which counts the root twice, says {})", count + 1)
}

/// The beginning of a value: as text if it is text, otherwise in hexadecimal, with its length.
pub(super) fn data(data: Option<&[u8]>) -> String {
    const SHOWN_CHARS_MAX: usize = 64;
    let Some(data) = data else { return "null".to_owned() };
    let mut shown = String::new();
    match std::str::from_utf8(data) {
        Ok(text) => {
            shown.push('"');
            shown.extend(text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug));
            shown.push('"');
            if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
                shown.push('…');
            }
        }
        Err(_) => {
            shown.push_str("0x");
            for byte in data.iter().take(SHOWN_CHARS_MAX / 2) {
                write!(shown, "{byte:02x}").expect("writing to a string does not fail");
            }
            if data.len() > SHOWN_CHARS_MAX / 2 {
                shown.push('…');
            }
        }
    }
    format!("{} bytes {shown}", data.len())
}

/// A path, or null. Characters that would change the line are escaped.
pub(super) fn path(path: Option<&str>) -> String {
    match path {
        None => "null".to_owned(),
        Some(path) if path.chars().any(char::is_control) => path.escape_debug().to_string(),
        Some(path) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_of_the_calendar() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_163_924_458, "2026-11-20T08:38:44.458Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ];
        for (ms, expected) in cases {
            assert_eq!(time(ms), expected);
        }
    }

    #[test]
    fn values_show_their_beginning_on_one_line() {
        assert_eq!(data(None), "null");
        assert_eq!(data(Some(b"a\nb")), r#"3 bytes "a\nb""#);
        assert_eq!(data(Some(&[0xff, 0x00])), "2 bytes 0xff00");
        assert!(data(Some(&[b'x'; 70])).ends_with("x\"…"));
        assert_eq!(path(Some("/a\n")), "/a\\n");
    }
}
