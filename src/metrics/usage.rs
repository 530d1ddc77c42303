//! What this process uses, under the names that every client library of Prometheus gives it (`DefaultExports` of Java's,
//! which ZooKeeper's provider includes).

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};

use super::names::Value;
use super::process::FileDescriptors;

/// The values, as far as `/proc` can be read. A few system calls.
pub fn usage() -> Vec<(String, Value)> {
    let text = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let mut found = of_texts(&text("/proc/self/stat"), &text("/proc/stat")).unwrap_or_default();
    let FileDescriptors { open, max } = FileDescriptors::read();
    found.extend(open.map(|open| ("process_open_fds", Value::Integer(open))));
    found.extend(max.map(|max| ("process_max_fds", Value::Integer(max))));
    found.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Out of the texts of `/proc/self/stat` and `/proc/stat` (proc_pid_stat(5), proc_stat(5)).
fn of_texts(own: &str, system: &str) -> Option<Vec<(&'static str, Value)>> {
    // The name of the program, in brackets, may hold anything. The field behind it is the third.
    let (_, rest) = own.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let (user, kernel, began) = (field(14)?, field(15)?, field(22)?);
    let (virtual_bytes, resident_pages) = (field(23)?, field(24)?);
    let booted =
        system.lines().find_map(|line| line.strip_prefix("btime "))?.parse::<u64>().ok()?;
    let seconds = |ticks: u64| real(ticks) / real(clock_ticks_per_second());
    Some(vec![
        ("process_cpu_seconds_total", Value::Real(seconds(user + kernel))),
        ("process_start_time_seconds", Value::Real(real(booted) + seconds(began))),
        ("process_virtual_memory_bytes", Value::Integer(virtual_bytes)),
        ("process_resident_memory_bytes", Value::Integer(resident_pages * page_size() as u64)),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn real(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_fields_are_found_behind_any_name_of_the_program() {
        let own = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 300 200 0 0 20 0 5 0 1000 4096 3 9";
        let found = of_texts(own, "cpu 1 2\nbtime 100\n").unwrap();
        let ticks = real(clock_ticks_per_second());
        assert_eq!(
            found,
            [
                ("process_cpu_seconds_total", Value::Real(500.0 / ticks)),
                ("process_start_time_seconds", Value::Real(100.0 + 1000.0 / ticks)),
                ("process_virtual_memory_bytes", Value::Integer(4096)),
                ("process_resident_memory_bytes", Value::Integer(3 * page_size() as u64)),
            ]
        );
        assert_eq!(of_texts("7 (a) S 1", "btime 100"), None);
        assert_eq!(of_texts("", ""), None);
    }

    #[test]
    fn this_process_began_before_now_and_has_files_open() {
        let found = usage();
        let value = |name: &str| found.iter().find(|(it, _)| it == name).map(|(_, value)| *value);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let Some(Value::Real(began)) = value("process_start_time_seconds") else {
            panic!("{found:?}")
        };
        assert!((now - 86_400.0..=now + 1.0).contains(&began), "{began} {now}");
        assert!(matches!(value("process_open_fds"), Some(Value::Integer(2..))), "{found:?}");
        assert!(matches!(
            value("process_resident_memory_bytes"),
            Some(Value::Integer(1_000_000..))
        ));
    }
}
