//! The certificates of this server, and those that it trusts: read at the start, said in the log, and read again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::config::TlsSide;
use crate::tls::{Reload, TlsContext};

/// How often the stores are read to see whether they have changed: some hundred kilobytes at most.
const LOOK_EVERY: Duration = Duration::from_secs(2);

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

    fn set(&self, context: TlsContext) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = context;
    }

    /// From now on reads the stores again from time to time, and lets new connections use what has changed. What cannot
    /// be used changes nothing, and is said once.
    ///
    /// # Errors
    /// The system denies a thread: a sentence for the operator.
    pub fn follow(&self, side: &TlsSide) -> Result<(), String> {
        let (this, side) = (self.clone(), side.clone());
        let watch = move || {
            let (mut context, mut last_error) = (this.get(), None);
            loop {
                std::thread::sleep(LOOK_EVERY);
                match context.reload(&side) {
                    Reload::Same => last_error = None,
                    Reload::Changed(new) => {
                        last_error = None;
                        context = *new;
                        this.set(context.clone());
                        this.say();
                    }
                    Reload::Broken(error) if last_error.as_ref() == Some(&error) => {}
                    Reload::Broken(error) => {
                        tracing::error!(
                            "{}: the new files cannot be used, and those before stay in force: {error}",
                            this.what
                        );
                        last_error = Some(error);
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("rk-certificates".into()).spawn(watch);
        thread
            .map(drop)
            .map_err(|error| format!("the thread that watches the certificates: {error}"))
    }

    fn say(&self) {
        let context = self.get();
        let own = &context.own;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let days = own.days_left(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        tracing::info!(
            "{}: the certificate of this server is {} (SHA-256 {}), valid for {days} more days",
            self.what,
            own.subject,
            own.fingerprint
        );
        for warning in &context.warnings {
            tracing::warn!("{}: {warning}", self.what);
        }
    }
}

/// What would keep a server from using the stores of one side.
pub fn obstacle(side: &TlsSide) -> Option<String> {
    TlsContext::load(side).err().map(|error| error.to_string())
}
