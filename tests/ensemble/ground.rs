//! What all tests of ensembles share: the program under test, a lock so that one ensemble runs at a time, random
//! numbers, and the choice between a bounded and a whole run.

use std::env;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringkeeper_testkit::{Config, Program};

/// How long a test waits for anything: longer than it takes on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(60);
/// The timeout of sessions that must outlive everything that a test does.
pub const LONG_MS: i32 = 60_000;

static TURN: Mutex<()> = Mutex::new(());

/// A test holds this lock as long as its servers run.
pub fn turn() -> MutexGuard<'static, ()> {
    // A test that failed while it held the lock has left no servers behind.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The program under test.
pub fn ours() -> Program {
    match env::var("RINGKEEPER_TEST_PEER").as_deref() {
        Ok("java") => Program::ZooKeeper39,
        Ok(binary) => Program::Ringkeeper(binary.into()),
        Err(_) => Program::Ringkeeper(env!("CARGO_BIN_EXE_ringkeeper").into()),
    }
}

/// Whether to run everything, and not only what continuous integration has time for.
pub fn everything() -> bool {
    env::var("RINGKEEPER_ENSEMBLE").is_ok_and(|value| value == "all")
}

/// A number from the environment.
pub fn number_from(variable: &str) -> Option<usize> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}: expected a number")))
}

/// The options of all members: long sessions are allowed, and a returning server that lacks more than the others have
/// in memory gets a snapshot, never the log from their disk.
pub fn config() -> Config {
    Config::new()
        .line("maxSessionTimeout=600000")
        .line("maxClientCnxns=0")
        .flag("-Dzookeeper.snapshotSizeFactor=-1")
}

/// Random numbers (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// Takes the seed from `RINGKEEPER_ENSEMBLE_SEED`, or else from the clock, and prints it.
    pub fn seeded() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        let clock = u64::try_from(since.as_millis()).expect("a time that fits into 64 bits");
        let seed = number_from("RINGKEEPER_ENSEMBLE_SEED").map_or(clock, |seed| seed as u64);
        println!("seed {seed}");
        Random(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % (bound as u64)).expect("below a usize")
    }
}
