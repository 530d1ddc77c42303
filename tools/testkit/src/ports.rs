//! Free loopback ports for servers under test.

use std::env;
use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below Linux's ephemeral range (32768 and up), so that no outgoing connection of a client can sit
/// on a server's port while that server is down between two starts.
const RANGE: (u16, u16) = (20_000, 29_999);

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// A port of 127.0.0.1 on which no process listens now. No other call in this process returns it until the whole
/// range has been handed out. Other test processes begin elsewhere in the range, by their process id, so two of them
/// seldom choose the same port; if they do, the start of the server fails and says so.
///
/// `RINGKEEPER_TEST_PORTS=first-last` names another range.
///
/// # Panics
/// If no port in the range is free, or the variable is malformed.
pub fn free_port() -> u16 {
    let (first, last) = range();
    let size = u32::from(last - first) + 1;
    // Processes with neighbouring ids begin 257 ports apart: a test process seldom starts more servers than that,
    // and 257 shares no factor with a round range.
    let begin = process::id().wrapping_mul(257);
    for _ in 0..size {
        let step = begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % size;
        let port = first + u16::try_from(step).expect("less than the size of a range of u16");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {first}-{last}; RINGKEEPER_TEST_PORTS=first-last names another range");
}

fn range() -> (u16, u16) {
    let Ok(text) = env::var("RINGKEEPER_TEST_PORTS") else { return RANGE };
    let parsed = text.split_once('-').and_then(|(first, last)| {
        let range = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (range.0 > 0 && range.0 <= range.1).then_some(range)
    });
    parsed.unwrap_or_else(|| {
        panic!("RINGKEEPER_TEST_PORTS={text}: expected first-last, such as 20000-29999")
    })
}
