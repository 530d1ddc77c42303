//! Many sessions at once that then say nothing.

use std::net::SocketAddr;
use std::thread;

use ringkeeper_rawclient::Session;

use crate::engine;

/// Threads that open sessions: a session is a durable write, and they share one.
const OPENERS: u32 = 32;

/// Opens so many.
///
/// # Errors
/// The server does not open one of them, or the process may not have so many files.
pub fn open(server: SocketAddr, timeout_ms: i32, count: u32) -> Result<Vec<Session>, String> {
    open_with(server, timeout_ms, count, |_, _| Ok(()))
}

/// The same, and does something with each; its number among all counts from 0.
///
/// # Errors
/// Those, and what `prepare` says.
pub fn open_with(
    server: SocketAddr,
    timeout_ms: i32,
    count: u32,
    prepare: impl Fn(&mut Session, u32) -> Result<(), String> + Sync,
) -> Result<Vec<Session>, String> {
    engine::allow_files(u64::from(count)).map_err(|error| error.to_string())?;
    let prepare = &prepare;
    let one = move |number| {
        let mut session = Session::open(server, timeout_ms)
            .map_err(|error| format!("{server}: opening a session: {error}"))?;
        prepare(&mut session, number)?;
        Ok(session)
    };
    thread::scope(|scope| {
        let openers: Vec<_> = (0..OPENERS)
            .map(|opener| {
                let numbers = (opener..count).step_by(OPENERS as usize);
                scope.spawn(move || numbers.map(one).collect::<Result<Vec<_>, String>>())
            })
            .collect();
        let mut all = Vec::new();
        for opener in openers {
            all.extend(opener.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}
