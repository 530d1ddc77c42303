//! The phases of a server's start and end, for an operator who waits for it.
//!
//! A thread of its own watches the phases. If a phase takes long, the thread logs a line, and another one after twice
//! the time. If a phase exceeds its bound, the thread ends the process, with a line that names the phase and says
//! what to look at. Before the server serves, a signal to stop ends the process at once, whatever the phase: no
//! client waits for an answer yet, and the files withstand an interruption at any moment, as they withstand
//! `kill -9`.
//!
//! Reading the data has no bound, because the operator decides how large a folder is. In that phase the thread logs
//! a line when nothing has been read for some time, and names the file.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::client_port::ADDRESS_PATIENCE;
use crate::runtime::Reading;

/// A phase of the start or the end, in the order in which a server passes through them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServerPhase {
    /// Waits for what the start before this one lacked: room on the disk, or memory that may be locked.
    Lacking,
    /// Checks what the system allows: io_uring, descriptors.
    System,
    /// Creates, locks and tries the data folders.
    Folders,
    /// Opens the client port.
    ClientPort,
    /// Starts the executors' threads.
    Executors {
        /// How many of the threads run.
        up: usize,
        /// How many there are.
        of: usize,
    },
    /// Reads the snapshot and the logs.
    Data,
    /// Serves clients.
    Serving,
    /// Finishes what is in flight, and sends the last bytes.
    Finishing,
    /// Ends the threads.
    Ending,
}

/// How long a phase may take before the log has a line about it. Each further line follows after twice the time.
const LINE_AFTER: Duration = Duration::from_secs(2);

/// The same for the client port. The server waits silently for an address in use, and then reports an error; a line
/// just before that error would contradict it.
const PORT_LINE_AFTER: Duration = ADDRESS_PATIENCE.saturating_add(LINE_AFTER);

/// The same for the wait for what was lacking, which begins with a line of its own.
const LACKING_LINE_AFTER: Duration = Duration::from_secs(60);

/// The bound on a phase that waits for the system. Such a phase takes milliseconds; the bound is a hundred times what
/// a machine that swaps, or a network file system whose server restarts, was seen to need (guessed).
const SYSTEM_MAX: Duration = Duration::from_secs(120);

/// The bound on the start of the executors: a thread that the scheduler has not run for two minutes could not serve
/// clients.
const EXECUTORS_MAX: Duration = Duration::from_secs(120);

/// The bound on each phase of the end. The steps of a phase have bounds of their own, which add up to a second;
/// supervisors wait for 10 s or more before they kill a process.
const END_MAX: Duration = Duration::from_secs(8);

/// How long reading the data may stand still before the log has a line about it. The server reads a mebibyte at a
/// time, for which the slowest disk, busy with other work, takes a second (guessed). Each further line follows after
/// twice the time.
const STANDSTILL: Duration = Duration::from_secs(5);

/// Exit code after a signal to stop.
const EXIT_OK: i32 = 0;
/// Exit code when a phase takes longer than it may.
const EXIT_FAILURE: i32 = 1;

impl ServerPhase {
    /// The phase in words, as the beginning of a line.
    fn name(self) -> String {
        match self {
            ServerPhase::Lacking => "waiting for what this server lacked".to_owned(),
            ServerPhase::System => "checking what the system allows".to_owned(),
            ServerPhase::Folders => "opening the data folders".to_owned(),
            ServerPhase::ClientPort => "opening the client port".to_owned(),
            ServerPhase::Executors { up, of } => {
                format!("starting the executors, {up} of {of} run")
            }
            ServerPhase::Data => "reading the data".to_owned(),
            ServerPhase::Serving => "serving".to_owned(),
            ServerPhase::Finishing => "finishing what is in flight".to_owned(),
            ServerPhase::Ending => "ending the executors".to_owned(),
        }
    }

    /// What an operator should look at if the phase takes long.
    fn advice(self) -> &'static str {
        match self {
            ServerPhase::Lacking => {
                "the line before says for what; a signal ends this server at once"
            }
            ServerPhase::System => "the kernel does not answer: look at `dmesg`",
            ServerPhase::Folders => {
                "their file system does not answer, or another server that uses them is still ending: \
                 look at the disk, at `dmesg`, and at the processes that have the folder open"
            }
            ServerPhase::ClientPort => {
                "the name in clientPortAddress may not resolve: look at the resolver of this machine"
            }
            ServerPhase::Executors { .. } => {
                "the processors are busy with something else: stop it, or set ringkeeper.cores to a \
                 smaller number"
            }
            ServerPhase::Data => "a large folder takes its time; lines say how far it is",
            ServerPhase::Serving => "",
            ServerPhase::Finishing | ServerPhase::Ending => {
                "the disk does not answer, or the processors are busy with something else"
            }
        }
    }

    /// How long the phase may take before the log has a line about it.
    fn line_after(self) -> Duration {
        match self {
            ServerPhase::ClientPort => PORT_LINE_AFTER,
            ServerPhase::Lacking => LACKING_LINE_AFTER,
            ServerPhase::System
            | ServerPhase::Folders
            | ServerPhase::Executors { .. }
            | ServerPhase::Data
            | ServerPhase::Serving
            | ServerPhase::Finishing
            | ServerPhase::Ending => LINE_AFTER,
        }
    }

    /// The time after which the process ends with a line about the phase; `None`: never.
    fn bound(self) -> Option<Duration> {
        match self {
            ServerPhase::System | ServerPhase::Folders | ServerPhase::ClientPort => {
                Some(SYSTEM_MAX)
            }
            ServerPhase::Executors { .. } => Some(EXECUTORS_MAX),
            // The operator decides how large a folder is. A signal ends this phase.
            ServerPhase::Data | ServerPhase::Serving => None,
            // The wait ends by itself, after at most `limits::ROOM_PAUSE_MS_MAX`.
            ServerPhase::Lacking => None,
            ServerPhase::Finishing | ServerPhase::Ending => Some(END_MAX),
        }
    }

    /// Whether no client and no other server can be waiting for this server yet.
    fn is_before_serving(self) -> bool {
        match self {
            ServerPhase::Lacking
            | ServerPhase::System
            | ServerPhase::Folders
            | ServerPhase::ClientPort
            | ServerPhase::Executors { .. }
            | ServerPhase::Data => true,
            ServerPhase::Serving | ServerPhase::Finishing | ServerPhase::Ending => false,
        }
    }

    /// Whether `next` is a later state of the same phase.
    fn goes_on_as(self, next: ServerPhase) -> bool {
        matches!((self, next), (ServerPhase::Executors { .. }, ServerPhase::Executors { .. }))
    }
}

/// The phases of this process. Clones are the same: the main thread enters phases, the thread of the signals asks to
/// stop, and the thread that watches writes the lines.
#[derive(Clone)]
pub struct Phases {
    /// What the clones share.
    inner: Arc<Inner>,
}

/// What the clones of [`Phases`] share.
struct Inner {
    /// The present phase.
    state: Mutex<State>,
    /// Wakes the thread that watches, because the phase has changed.
    changed: Condvar,
    /// The progress of reading the data.
    reading: Reading,
    /// Writes the waiting lines of the log before the process ends.
    flush: Box<dyn Fn() + Send + Sync>,
}

/// The present phase, and the lines about it.
struct State {
    /// The phase.
    phase: ServerPhase,
    /// The time at which it began.
    since: Instant,
    /// The time of the next line about the phase.
    line_at: Instant,
    /// How long reading the data may stand still until the next line about that.
    ///
    /// Invariant: at least [`STANDSTILL`].
    standstill: Duration,
}

impl State {
    /// The beginning of a phase, now.
    fn begin(phase: ServerPhase) -> State {
        let now = Instant::now();
        State { phase, since: now, line_at: now + phase.line_after(), standstill: STANDSTILL }
    }

    /// The line that is due at `now`, and whether the process ends with it. Sets the time of the next one.
    fn tell(&mut self, now: Instant, reading: &Reading) -> Option<(String, bool)> {
        let took = now.saturating_duration_since(self.since);
        let (name, advice) = (self.phase.name(), self.phase.advice());
        if let Some(bound) = self.phase.bound()
            && took >= bound
        {
            let line = format!("{name}: not done after {} s; {advice}", bound.as_secs());
            return Some((line, true));
        }
        if self.phase == ServerPhase::Data
            && let Some(line) = self.tell_of_standstill(now, reading)
        {
            return Some((line, false));
        }
        if self.phase == ServerPhase::Serving || now < self.line_at {
            return None;
        }
        // After twice the time that the phase has taken: ever fewer lines.
        self.line_at = now + took;
        let bound = match self.phase.bound() {
            Some(bound) => format!(" (the server gives up after {} s at most)", bound.as_secs()),
            None => String::new(),
        };
        Some((format!("{name}: {} s so far{bound}; {advice}", took.as_secs()), false))
    }

    /// The line that is due if nothing has been read for long.
    fn tell_of_standstill(&mut self, now: Instant, reading: &Reading) -> Option<String> {
        // The time of the phase before does not count.
        let still = now.saturating_duration_since(reading.moved_at().max(self.since));
        if still < STANDSTILL {
            self.standstill = STANDSTILL;
        }
        if still < self.standstill {
            return None;
        }
        self.standstill = still * 2;
        Some(format!(
            "{}: nothing was read for {} s, waiting for {}; its file system does not answer: look at \
             the disk, at `dmesg`, and for a network file system at its server. A signal ends this \
             server at once",
            self.phase.name(),
            still.as_secs(),
            reading.what()
        ))
    }

    /// The next time at which a line may be due; `None`: not in this phase.
    fn due(&self, reading: &Reading) -> Option<Instant> {
        let bound = self.phase.bound().map(|bound| self.since + bound);
        let line = (self.phase != ServerPhase::Serving).then_some(self.line_at);
        let standstill = (self.phase == ServerPhase::Data)
            .then(|| reading.moved_at().max(self.since) + self.standstill);
        [bound, line, standstill].into_iter().flatten().min()
    }
}

impl Phases {
    /// Begins the first phase, and starts the thread that watches. `flush` writes the log.
    ///
    /// # Errors
    /// The system denies the thread.
    pub fn begin(flush: impl Fn() + Send + Sync + 'static) -> io::Result<Phases> {
        let state = Mutex::new(State::begin(ServerPhase::System));
        let phases = Phases {
            inner: Arc::new(Inner {
                state,
                changed: Condvar::new(),
                reading: Reading::of_nothing(),
                flush: Box::new(flush),
            }),
        };
        let watched = phases.clone();
        std::thread::Builder::new().name("rk-phases".into()).spawn(move || watched.watch())?;
        Ok(phases)
    }

    /// The progress of reading the data, for the code that reads.
    pub fn reading(&self) -> Reading {
        self.inner.reading.clone()
    }

    /// Begins `phase`. A change within one phase, such as one more executor that runs, keeps the time of its
    /// beginning.
    pub fn enter(&self, phase: ServerPhase) {
        let mut state = self.state();
        let (since, line_at, standstill) = (state.since, state.line_at, state.standstill);
        *state = if state.phase.goes_on_as(phase) {
            State { phase, since, line_at, standstill }
        } else {
            State::begin(phase)
        };
        drop(state);
        self.inner.changed.notify_one();
    }

    /// A signal tells the server to stop; `signal` is its name. Does not return if the server does not serve yet: the
    /// process ends.
    pub fn asked_to_stop(&self, signal: &str) {
        let mut state = self.state();
        if state.phase.is_before_serving() {
            tracing::info!("{signal} while {}: stopped", state.phase.name());
            // This keeps the lock, so no other thread can enter the phase of serving.
            (self.inner.flush)();
            std::process::exit(EXIT_OK);
        }
        *state = State::begin(ServerPhase::Finishing);
        drop(state);
        self.inner.changed.notify_one();
    }

    /// The present phase, locked. A panic elsewhere aborts the process, so a poisoned lock does not matter.
    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes lines when they are due, for ever. Ends the process when a phase exceeds its bound.
    fn watch(&self) {
        let mut state = self.state();
        loop {
            match state.tell(Instant::now(), &self.inner.reading) {
                Some((line, true)) => {
                    tracing::error!("{line}");
                    (self.inner.flush)();
                    std::process::exit(EXIT_FAILURE);
                }
                Some((line, false)) => tracing::warn!("{line}"),
                None => {}
            }
            let changed = &self.inner.changed;
            state = match state.due(&self.inner.reading) {
                None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    // A spurious or early wake-up does no harm: nothing is due then, and the thread waits again.
                    let left = due.saturating_duration_since(Instant::now());
                    let waited = changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    #[test]
    fn what_takes_long_is_said_less_and_less_often_and_ends_at_its_bound() {
        let mut state = State::begin(ServerPhase::Executors { up: 1, of: 3 });
        let (begun, reading) = (state.since, Reading::of_nothing());
        let mut said = Vec::new();
        let last = loop {
            let due = state.due(&reading).unwrap();
            match state.tell(due, &reading).unwrap() {
                (_, false) => said.push((due - begun).as_secs()),
                (line, true) => break line,
            }
        };
        assert_eq!(said, [2, 4, 8, 16, 32, 64]);
        assert_eq!(
            last,
            "starting the executors, 1 of 3 run: not done after 120 s; the processors are busy with \
             something else: stop it, or set ringkeeper.cores to a smaller number"
        );
    }

    /// 1. The client port is in use.
    /// 2. After 2 s a line says that the server gives up after 120 s.
    /// 3. The server gives up 8 ms later.
    #[test]
    fn nothing_is_said_of_the_client_port_while_an_address_in_use_is_waited_for() {
        let mut state = State::begin(ServerPhase::ClientPort);
        let (begun, reading) = (state.since, Reading::of_nothing());
        let given_up = begun + ADDRESS_PATIENCE + Duration::from_millis(500);
        assert_eq!(state.tell(given_up, &reading), None);
        let (line, last) = state.tell(begun + PORT_LINE_AFTER, &reading).unwrap();
        let says = "opening the client port: 4 s so far (the server gives up after 120 s at most); the name";
        assert!(!last && line.starts_with(says), "{line}");
    }

    #[test]
    fn the_wait_for_room_is_not_given_up() {
        let mut state = State::begin(ServerPhase::Lacking);
        let reading = Reading::of_nothing();
        let end = state.since + Duration::from_millis(limits::ROOM_PAUSE_MS_MAX);
        let mut said = 0;
        while let Some(due) = state.due(&reading).filter(|due| *due <= end) {
            let (line, last) = state.tell(due, &reading).unwrap();
            assert!(!last && line.starts_with("waiting for what this server lacked: "), "{line}");
            said += 1;
        }
        assert_eq!(said, 2);
    }

    #[test]
    fn reading_the_data_and_serving_take_as_long_as_they_take() {
        let mut state = State::begin(ServerPhase::Data);
        let reading = Reading::of_nothing();
        // The reader has just made progress.
        state.since -= Duration::from_secs(3600);
        state.line_at = state.since + LINE_AFTER;
        let (line, last) = state.tell(Instant::now(), &reading).unwrap();
        assert!(!last && line.starts_with("reading the data: 3600 s so far;"), "{line}");
        state = State::begin(ServerPhase::Serving);
        let later = state.since + Duration::from_secs(3600);
        assert!(state.due(&reading).is_none() && state.tell(later, &reading).is_none());
    }

    #[test]
    fn that_nothing_is_read_is_said_less_and_less_often_until_something_is() {
        let mut state = State::begin(ServerPhase::Data);
        let reading = Reading::of_nothing();
        reading.begin("/data/version-2/log.5".to_owned());
        let begun = reading.moved_at();
        let mut said = Vec::new();
        while said.len() < 4 {
            let due = state.due(&reading).unwrap();
            let (line, last) = state.tell(due, &reading).unwrap();
            assert!(!last);
            if line.contains("nothing was read for") {
                assert!(line.contains("waiting for /data/version-2/log.5;"), "{line}");
                said.push((due - begun).as_secs());
            }
        }
        assert_eq!(said, [5, 10, 20, 40]);
        reading.moved();
        assert_eq!(state.tell_of_standstill(Instant::now(), &reading), None);
        assert_eq!(state.standstill, STANDSTILL);
    }

    #[test]
    fn a_phase_that_goes_on_keeps_its_time() {
        let phases = Phases::begin(|| ()).unwrap();
        phases.enter(ServerPhase::Executors { up: 0, of: 2 });
        let since = phases.state().since;
        phases.enter(ServerPhase::Executors { up: 1, of: 2 });
        assert_eq!(phases.state().since, since);
        phases.enter(ServerPhase::Serving);
        assert!(phases.state().since > since);
        phases.asked_to_stop("SIGTERM");
        assert_eq!(phases.state().phase, ServerPhase::Finishing);
        // The only phase without a bound: the watching thread outlives this test, and would end all tests.
        phases.enter(ServerPhase::Serving);
    }
}
