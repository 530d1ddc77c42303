//! The certificates of this server, those that it trusts, and those that are revoked: read at the start, said in the
//! log, and read again.
//!
//! ```text
//!                          every two seconds, if the key for it is set      at once
//! thread of the stores  ◀──────────────────────────────────────────────  SIGUSR1, SIGHUP (Reloads)
//!        └─▶ the files have changed: new connections use them, the log says so; broken: those before stay in force
//! ```

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::config::TlsSide;
use crate::tls::{Reload, TlsContext, TlsError};

/// How often the stores are read to see whether they have changed: some hundred kilobytes, and up to 4 MiB of lists of
/// revoked certificates.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How often a list of revoked certificates whose successor is due is a line of the log.
const REMIND_EVERY: Duration = Duration::from_hours(24);

/// Asks those who watch stores to read them now. Clones are the same.
#[derive(Clone, Default)]
pub struct Reloads {
    watchers: Arc<Mutex<Vec<Sender<()>>>>,
}

impl Reloads {
    /// Asks all of them; returns how many there are.
    pub fn ask(&self) -> usize {
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        // A watcher lives as long as the process.
        watchers.iter().filter(|watcher| watcher.send(()).is_ok()).count()
    }

    fn watch(&self) -> Receiver<()> {
        let (sender, asked) = mpsc::channel();
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        asked
    }
}

/// What new connections use. Clones are the same.
#[derive(Clone)]
pub struct Certificates {
    current: Arc<Mutex<TlsContext>>,
    /// What they are for, as the beginning of a line of the log.
    what: &'static str,
}

impl Certificates {
    /// Reads the stores of one side.
    ///
    /// # Errors
    /// A store cannot be used: a sentence for the operator.
    pub fn load(side: &TlsSide, what: &'static str) -> Result<Certificates, String> {
        let context = TlsContext::load(side).map_err(|error| error.to_string())?;
        let certificates = Certificates { current: Arc::new(Mutex::new(context)), what };
        certificates.say();
        Ok(certificates)
    }

    /// Those to be used now.
    pub fn get(&self) -> TlsContext {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whole days until the certificate of this server expires; negative once it has. `now`: seconds since 1970.
    pub fn days_left(&self, now: i64) -> i64 {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).own.days_left(now)
    }

    fn set(&self, context: TlsContext) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = context;
    }

    /// From now on reads the stores again when `reloads` asks for it, and also from time to time if `looks`, and lets
    /// new connections use what has changed. What cannot be used changes nothing, and is said once, or as often as
    /// somebody asks.
    ///
    /// # Errors
    /// The system denies a thread: a sentence for the operator.
    pub fn follow(&self, side: &TlsSide, looks: bool, reloads: &Reloads) -> Result<(), String> {
        let (this, side, asked) = (self.clone(), side.clone(), reloads.watch());
        let watch = move || {
            let (mut context, mut last_error) = (this.get(), None);
            let mut reminded = Instant::now();
            loop {
                let is_asked = match asked.recv_timeout(LOOK_EVERY) {
                    Ok(()) => true,
                    Err(RecvTimeoutError::Timeout) => false,
                    // Nobody can ask any more: the process ends.
                    Err(RecvTimeoutError::Disconnected) => return,
                };
                if reminded.elapsed() >= REMIND_EVERY {
                    reminded = Instant::now();
                    this.say_what_is_due();
                }
                if is_asked {
                    // What could not be used may be asked about again.
                    context = this.get();
                    last_error = None;
                } else if !looks {
                    continue;
                }
                match context.reload(&side) {
                    Reload::Same => {
                        last_error = None;
                        if is_asked {
                            tracing::info!("{}: the files are as they were", this.what);
                            this.say();
                        }
                    }
                    Reload::Changed(new) => {
                        last_error = None;
                        reminded = Instant::now();
                        context = *new;
                        this.set(context.clone());
                        this.say();
                    }
                    Reload::Broken(error) => this.say_broken(error, &mut last_error),
                }
            }
        };
        let thread = std::thread::Builder::new().name("rk-certificates".into()).spawn(watch);
        thread
            .map(drop)
            .map_err(|error| format!("the thread that watches the certificates: {error}"))
    }

    fn say_broken(&self, error: TlsError, last: &mut Option<TlsError>) {
        if last.as_ref() != Some(&error) {
            tracing::error!(
                "{}: the new files cannot be used, and those before stay in force: {error}",
                self.what
            );
        }
        *last = Some(error);
    }

    fn say(&self) {
        let context = self.get();
        let (own, days) = (&context.own, context.own.days_left(now()));
        tracing::info!(
            "{}: the certificate of this server is {} (SHA-256 {}), valid for {days} more days",
            self.what,
            own.subject,
            own.fingerprint
        );
        for warning in &context.warnings {
            tracing::warn!("{}: {warning}", self.what);
        }
        for list in &context.lists {
            let days = (list.due - now()).div_euclid(86_400);
            tracing::info!(
                "{}: a list says which certificates {} has revoked; the next one is due in {days} days",
                self.what,
                list.issuer
            );
        }
        self.say_what_is_due();
    }

    fn say_what_is_due(&self) {
        for list in self.get().lists.iter().filter(|list| list.due < now()) {
            tracing::warn!(
                "{}: the list of the certificates that {} has revoked is out of date: the next one was due {} days \
                 ago. It stays in force, and what was revoked since then is accepted: get a new list",
                self.what,
                list.issuer,
                (now() - list.due) / 86_400
            );
        }
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// What would keep a server from using the stores of one side.
pub fn obstacle(side: &TlsSide) -> Option<String> {
    TlsContext::load(side).err().map(|error| error.to_string())
}
