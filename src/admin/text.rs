//! Numbers and times as Java prints them.

use std::fmt;

use crate::time::WallMs;

/// A floating-point number in the form of `Double.toString`: always a decimal point, and an
/// exponent below 0.001 and from ten million on.
pub struct JavaDouble(pub f64);

impl fmt::Display for JavaDouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if size == 0.0 || (1e-3..1e7).contains(&size) || !size.is_finite() {
            return write!(f, "{:?}", self.0);
        }
        let text = format!("{:E}", self.0);
        match text.split_once('E') {
            Some((digits, exponent)) if !digits.contains('.') => write!(f, "{digits}.0E{exponent}"),
            _ => f.write_str(&text),
        }
    }
}

/// A time in the form of `Date.toString` in UTC: `Fri Nov 20 08:28:32 UTC 2026`.
pub struct JavaDate(pub WallMs);

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl fmt::Display for JavaDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.0.div_euclid(1000);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let name = |names: &[&'static str], index: i64| -> &'static str {
            let index = usize::try_from(index).expect("the index is a remainder or a month");
            names[index]
        };
        write!(
            f,
            "{} {} {day:02} {:02}:{:02}:{:02} UTC {year}",
            name(&DAYS, days.rem_euclid(7)),
            name(&MONTHS, month - 1),
            second / 3600,
            second / 60 % 60,
            second % 60,
        )
    }
}

/// Year, month and day of the day that is `days` after 1 January 1970.
///
/// Years are counted from 1 March here, so that the leap day is the last of its year.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // from 1 March of the year 0
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_printed_as_java_prints_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (4.0, "4.0"),
            (2.6, "2.6"),
            (0.3333, "0.3333"),
            (0.0001, "1.0E-4"),
            (0.00025, "2.5E-4"),
            (1e7, "1.0E7"),
            (12_345_678.5, "1.23456785E7"),
            (9_999_999.0, "9999999.0"),
        ] {
            assert_eq!(JavaDouble(value).to_string(), text);
        }
    }

    #[test]
    fn dates_are_printed_as_java_prints_them() {
        for (ms, text) in [
            (1_795_163_312_000, "Fri Nov 20 08:28:32 UTC 2026"),
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (951_782_400_000, "Tue Feb 29 00:00:00 UTC 2000"),
            (4_107_542_399_999, "Sun Feb 28 23:59:59 UTC 2100"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
        ] {
            assert_eq!(JavaDate(WallMs(ms)).to_string(), text);
        }
    }
}
