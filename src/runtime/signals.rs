//! Signal handling. SIGTERM, SIGINT and SIGHUP end the server in order; if that hangs, another one ends it at once.
//! SIGQUIT makes it log what it is doing, and SIGUSR1 makes it read its certificates again; for the others it logs
//! that they have no effect.
//!
//! A JVM does the same with the first four: it prints its threads on SIGQUIT and continues, and ends in order
//! on SIGHUP unless SIGHUP was ignored when it started, as with `nohup` and `zkServer.sh start`. Where it was ignored,
//! it means the same as SIGUSR1 here.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ};
use signal_hook::iterator::Signals;

use super::Doorbell;

/// Requests to a server from signals: to stop, or to log what it is doing.
#[derive(Clone, Debug, Default)]
pub struct StopFlag {
    stop: Arc<AtomicBool>,
    summary: Arc<AtomicBool>,
}

impl StopFlag {
    /// Whether it was asked to stop.
    pub fn is_set(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Asks the server to stop; the caller must also ring the bells.
    pub fn set(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Whether a summary was requested; returns true once per request.
    pub fn take_summary_wish(&self) -> bool {
        self.summary.load(Ordering::Relaxed) && self.summary.swap(false, Ordering::AcqRel)
    }
}

/// How often this process was continued after a stop (SIGCONT).
static CONTINUED: AtomicU64 = AtomicU64::new(0);

/// How often this process was continued after a stop. The first thread that runs after the stop counts it,
/// before it does anything else.
pub(super) fn times_continued() -> u64 {
    CONTINUED.load(Ordering::Relaxed)
}

/// From now on counts how often this process is continued.
fn count_continued() -> io::Result<()> {
    let count = || {
        CONTINUED.fetch_add(1, Ordering::Relaxed);
    };
    // SAFETY: what the handler does is one atomic addition, which is allowed at any moment.
    unsafe { signal_hook::low_level::register(SIGCONT, count) }.map(drop)
}

/// Whether SIGHUP was ignored when this process started.
static HANGUPS_ARE_IGNORED: AtomicBool = AtomicBool::new(false);

/// Ignores SIGHUP again if it was ignored at the start: for the program that takes the place of this one, because
/// execve(2) keeps what is ignored and forgets handlers.
pub fn ignore_hangups_as_before() {
    if HANGUPS_ARE_IGNORED.load(Ordering::Relaxed) {
        // SAFETY: SIG_IGN is no function that could run at a bad moment, and SIGHUP may be ignored.
        unsafe { libc::signal(SIGHUP, libc::SIG_IGN) };
    }
}

/// An orderly end takes less than this. Until then further signals are ignored: shells and supervisors often
/// send one to the process and one to its group.
const ORDERLY: Duration = Duration::from_secs(2);

/// Exit code when a later signal cuts the orderly end short (128 + SIGINT).
const IMPATIENT_EXIT_CODE: i32 = 130;

/// Starts the thread that waits for signals. At the first one that ends the server it calls `asked`
/// with its name, sets `stop` and rings `bells`. `reload` lets the server read its certificates again; false: it uses
/// none.
///
/// # Errors
/// The system refuses the handlers or the thread.
pub fn watch_signals(
    stop: StopFlag,
    bells: Vec<Doorbell>,
    asked: impl Fn(&str) + Send + 'static,
    reload: impl Fn() -> bool + Send + 'static,
) -> io::Result<()> {
    // Without a handler each of these ends the process at once, SIGXFSZ in the middle of a write.
    let watched = [SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGXFSZ, SIGHUP];
    HANGUPS_ARE_IGNORED.store(is_ignored(SIGHUP), Ordering::Relaxed);
    let mut signals = Signals::new(watched)?;
    count_continued()?;
    std::thread::Builder::new().name("rk-signals".into()).spawn(move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            match signal {
                SIGQUIT => {
                    tracing::info!("SIGQUIT: what this server is doing; it continues");
                    threads().iter().for_each(|line| tracing::info!("{line}"));
                    stop.summary.store(true, Ordering::Release);
                    bells.iter().for_each(Doorbell::ring);
                }
                // A terminal that closes sends it too, and nobody wants a line about that.
                SIGHUP if HANGUPS_ARE_IGNORED.load(Ordering::Relaxed) => {
                    if reload() {
                        tracing::info!("SIGHUP: reading the certificates again");
                    }
                }
                SIGUSR1 if reload() => tracing::info!("SIGUSR1: reading the certificates again"),
                SIGUSR1 | SIGUSR2 => tracing::info!(
                    "{}: has no effect, the server continues; SIGQUIT makes it log what it is \
                     doing, SIGTERM ends it",
                    name_of(signal)
                ),
                SIGXFSZ => tracing::error!(
                    "SIGXFSZ: a file has reached the size that RLIMIT_FSIZE allows, and the write \
                     fails: start the server with `ulimit -f unlimited`"
                ),
                _ => {
                    match first {
                        None => first = Some(Instant::now()),
                        Some(first) if first.elapsed() < ORDERLY => continue,
                        Some(_) => {
                            tracing::warn!("{} again: stopping at once", name_of(signal));
                            std::process::exit(IMPATIENT_EXIT_CODE);
                        }
                    }
                    asked(name_of(signal));
                    tracing::info!("{}: stopping", name_of(signal));
                    stop.set();
                    bells.iter().for_each(Doorbell::ring);
                }
            }
        }
    })?;
    Ok(())
}

fn name_of(signal: i32) -> &'static str {
    signal_hook::low_level::signal_name(signal).unwrap_or("a signal")
}

/// Whether the signal was ignored when this process started.
fn is_ignored(signal: i32) -> bool {
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return false };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

/// A line about each thread: whether it runs, where in the kernel it waits, how long it has run. This needs no
/// cooperation of the threads, so it also shows a thread that hangs.
fn threads() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let mut lines: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let read = |name: &str| fs::read_to_string(entry.path().join(name)).ok();
            let name = read("comm")?;
            // The state is after the name, which may contain blanks and brackets.
            let state = read("stat")?.rsplit_once(") ")?.1.chars().next()?;
            let state = match state {
                'R' => "runs or is to run",
                'S' => "sleeps",
                'D' => "waits for a disk",
                'T' | 't' => "is stopped",
                _ => "ends",
            };
            let times = read("schedstat").unwrap_or_default();
            let mut times = times.split(' ').map(|ns| ns.parse::<u64>().unwrap_or(0) / 1_000_000);
            let (ran, waited) = (times.next().unwrap_or(0), times.next().unwrap_or(0));
            let place = read("wchan").unwrap_or_default();
            let place = match place.trim() {
                "" | "0" => String::new(),
                place => format!(" in {place}"),
            };
            Some(format!(
                "thread {} ({}) {state}{place}; it has run for {ran} ms and waited for a processor \
                 for {waited} ms",
                name.trim(),
                entry.file_name().to_string_lossy()
            ))
        })
        .collect();
    lines.sort();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_a_line() {
        let lines = threads();
        assert!(lines.iter().any(|line| line.contains("runs or is to run")), "{lines:#?}");
        assert!(lines.iter().all(|line| line.starts_with("thread ")), "{lines:#?}");
    }

    #[test]
    fn a_wish_for_a_summary_is_taken_once() {
        let flag = StopFlag::default();
        flag.clone().summary.store(true, Ordering::Release);
        assert!(flag.take_summary_wish() && !flag.take_summary_wish() && !flag.is_set());
    }
}
