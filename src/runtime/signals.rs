//! SIGTERM and SIGINT end the server in order; if that hangs, another one ends it at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Doorbell;

/// Whether the server was asked to stop.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Whether it was.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Asks the server to stop; who sets it rings the bells as well.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// An orderly end takes less than this. Until then further signals say nothing new: shells and
/// supervisors often send one to the process and one to its group.
const ORDERLY: Duration = Duration::from_secs(2);

/// Exit code when a later signal cuts the orderly end short (128 + SIGINT).
const IMPATIENT_EXIT_CODE: i32 = 130;

/// Starts the thread that waits for SIGTERM and SIGINT, sets `stop` and rings `bells`.
pub fn watch_signals(stop: StopFlag, bells: Vec<Doorbell>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    std::thread::Builder::new().name("rk-signals".into()).spawn(move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            let name = if signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
            match first {
                None => first = Some(Instant::now()),
                Some(first) if first.elapsed() < ORDERLY => continue,
                Some(_) => {
                    tracing::warn!("{name} again: stopping at once");
                    std::process::exit(IMPATIENT_EXIT_CODE);
                }
            }
            tracing::info!("{name}: stopping");
            stop.set();
            bells.iter().for_each(Doorbell::ring);
        }
    })?;
    Ok(())
}
