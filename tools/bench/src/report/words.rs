//! Numbers as people read them: three figures and a unit. Programs read the results file itself.

/// A rate or a count: `950`, `61.5 k`, `1.16 M`.
pub fn count(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 999_500_000.0 => (value / 1e9, " G"),
        size if size >= 999_500.0 => (value / 1e6, " M"),
        size if size >= 9_995.0 => (value / 1e3, " k"),
        _ => return grouped(value),
    };
    format!("{}{unit}", three_figures(scaled))
}

/// A time given in microseconds: `87 µs`, `4.02 ms`, `1.3 s`.
pub fn micros(value: f64) -> String {
    match value.abs() {
        size if size >= 99_950_000.0 => format!("{} s", grouped(value / 1e6)),
        size if size >= 999_500.0 => format!("{} s", three_figures(value / 1e6)),
        size if size >= 999.5 => format!("{} ms", three_figures(value / 1e3)),
        _ => format!("{} µs", three_figures(value)),
    }
}

/// A size in bytes: `260 B`, `64 KiB`, `1.5 GiB`.
pub fn bytes(value: f64) -> String {
    const KIB: f64 = 1024.0;
    match value.abs() {
        size if size >= KIB * KIB * KIB => format!("{} GiB", three_figures(value / KIB.powi(3))),
        size if size >= KIB * KIB => format!("{} MiB", three_figures(value / KIB.powi(2))),
        size if size >= KIB => format!("{} KiB", three_figures(value / KIB)),
        _ => format!("{} B", three_figures(value)),
    }
}

/// A factor: `1.30`, `11.7`, `120`.
pub fn ratio(value: f64) -> String {
    match value.abs() {
        size if size >= 99.5 => grouped(value),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.0995 || size == 0.0 => format!("{value:.2}"),
        _ => three_figures(value),
    }
}

/// A ratio of two figures that are nearly equal: `1.004`.
pub fn factor(value: f64) -> String {
    format!("{value:.3}")
}

/// The size of one of many things, always in bytes, so that a reader compares two of them at a glance.
pub fn bytes_each(value: f64) -> String {
    format!("{} B", grouped(value))
}

/// A time given in seconds.
pub fn seconds(value: f64) -> String {
    micros(value * 1e6)
}

/// A part of a whole: `42 %`, `0.35 %`.
pub fn percent(part: f64) -> String {
    format!("{} %", three_figures(part * 100.0))
}

/// From one number to another, with the unit once if it is the same: `1.63–1.69 ms`.
pub fn range(least: f64, most: f64, words: impl Fn(f64) -> String) -> String {
    let (least, most) = (words(least), words(most));
    if least == most {
        return least;
    }
    let unit = |text: &str| text.rsplit_once(' ').map(|(_, unit)| unit.to_owned());
    match (unit(&least), unit(&most)) {
        // The last word may also be a group of digits, because spaces separate the groups of a number.
        (Some(one), Some(other)) if one == other && !one.starts_with(char::is_numeric) => {
            format!("{}–{most}", least.strip_suffix(&one).unwrap_or(&least).trim_end())
        }
        _ => format!("{least}–{most}"),
    }
}

/// The value of a step in the words of its parameter: sizes in bytes, `read_percent` in per cent, all others as
/// counts.
pub fn step(parameter: &str, value: f64) -> String {
    if parameter.ends_with("bytes") {
        exact_bytes(value)
    } else if parameter.ends_with("percent") {
        format!("{value:.0} %")
    } else {
        plain(value)
    }
}

/// A number of rounds.
pub fn rounds(count: u32) -> String {
    if count == 1 { "one round".to_owned() } else { format!("{count} rounds") }
}

/// A title as the beginning of a sentence.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

/// The parameter of a ladder as the title of an axis.
pub fn parameter(name: &str) -> String {
    match name {
        "value_bytes" => "size of the values".to_owned(),
        "depth" => "requests in flight in each session".to_owned(),
        "multi_size" => "operations in each multi".to_owned(),
        "per_second" => "requests due per second".to_owned(),
        "read_percent" => "share of reads".to_owned(),
        "children" => "children of one parent".to_owned(),
        "servers" => "servers of the ensemble".to_owned(),
        other => other.replace('_', " "),
    }
}

/// A quantile as a percentile: `50 %`, `99.9 %`.
pub fn quantile(value: f64) -> String {
    let text = format!("{:.6}", value * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} %")
}

/// A size that a definition chose, in powers of 1024 if it is a round one, else of 1000.
fn exact_bytes(value: f64) -> String {
    const KIB: f64 = 1024.0;
    let of = |unit: f64| value >= unit && (value / unit).fract() == 0.0;
    let found = [(KIB * KIB, "MiB"), (KIB, "KiB"), (1e6, "MB"), (1e3, "kB")];
    match found.into_iter().find(|(unit, _)| of(*unit)) {
        Some((unit, name)) => format!("{} {name}", value / unit),
        None => format!("{value} B"),
    }
}

/// A round figure without rounding: `1000` stays, `10000` becomes `10 k`.
fn plain(value: f64) -> String {
    let exact = [(1e6, " M"), (1e3, " k")].into_iter().find(|(size, _)| {
        let scaled = value / size;
        value >= 10_000.0 && (scaled * 100.0).fract() == 0.0 && scaled >= 1.0
    });
    match exact {
        Some((size, unit)) => format!("{}{unit}", value / size),
        None => format!("{value}"),
    }
}

/// Three significant figures, without an exponent and without zeroes at the end of a fraction.
fn three_figures(value: f64) -> String {
    let text = match value.abs() {
        size if size >= 99.95 => return format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.9995 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A number below ten thousand in full, above with thin groups.
fn grouped(value: f64) -> String {
    if value.abs() < 99.95 {
        return three_figures(value);
    }
    let digits = format!("{value:.0}");
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", &digits[..]),
    };
    let mut out = String::from(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_three_figures_and_takes_the_unit_that_fits() {
        assert_eq!([count(0.0), count(950.0), count(2457.3)], ["0", "950", "2 457"]);
        assert_eq!([count(61_502.0), count(1_160_338.0)], ["61.5 k", "1.16 M"]);
        assert_eq!([count(9_994.0), count(9_996.0), count(999_600.0)], ["9 994", "10 k", "1 M"]);
        assert_eq!(
            [micros(87.4), micros(4017.0), micros(1_300_000.0)],
            ["87.4 µs", "4.02 ms", "1.3 s"]
        );
        assert_eq!([micros(999.4), micros(999.6)], ["999 µs", "1 ms"]);
        assert_eq!([bytes(260.0), bytes(65_536.0), bytes(1.5e9)], ["260 B", "64 KiB", "1.4 GiB"]);
        assert_eq!([ratio(1.3), ratio(11.66), ratio(1234.0)], ["1.30", "11.7", "1 234"]);
    }

    #[test]
    fn a_range_names_its_unit_once_if_both_ends_have_it() {
        assert_eq!(range(1630.0, 1690.0, micros), "1.63–1.69 ms");
        assert_eq!(range(990.0, 1690.0, micros), "990 µs–1.69 ms");
        assert_eq!(range(1000.0, 1000.1, micros), "1 ms");
        assert_eq!(range(18_200.0, 19_800.0, count), "18.2–19.8 k");
        assert_eq!(range(2457.0, 3457.0, count), "2 457–3 457");
        assert_eq!(range(1.8, 2.06, |value| format!("{} ×", ratio(value))), "1.80–2.06 ×");
    }

    #[test]
    fn a_step_is_written_in_the_unit_of_its_parameter() {
        assert_eq!(step("value_bytes", 1_048_576.0), "1 MiB");
        assert_eq!([step("value_bytes", 1e6), step("value_bytes", 1500.0)], ["1 MB", "1500 B"]);
        assert_eq!(step("read_percent", 90.0), "90 %");
        assert_eq!([step("sessions", 1000.0), step("sessions", 10_000.0)], ["1000", "10 k"]);
        assert_eq!([step("znodes", 1e6), step("znodes", 1_234_567.0)], ["1 M", "1234567"]);
    }

    #[test]
    fn a_quantile_shows_all_its_nines() {
        assert_eq!([quantile(0.5), quantile(0.99), quantile(0.9999)], ["50 %", "99 %", "99.99 %"]);
    }
}
