//! Many sessions that are opened at once and then stay idle.

use std::net::SocketAddr;
use std::thread;

use ringkeeper_rawclient::Session;

use crate::engine;

/// Threads that open sessions. Each session is a durable write, and the sessions of several threads share one.
const OPENERS: u32 = 32;

/// Opens `count` sessions.
///
/// # Errors
/// The server does not open one of them, or the process may not open a file for each.
pub fn open(server: SocketAddr, timeout_ms: i32, count: u32) -> Result<Vec<Session>, String> {
    engine::allow_files(u64::from(count))?;
    let one = move |_| {
        Session::open(server, timeout_ms)
            .map_err(|error| format!("{server}: opening a session: {error}"))
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
