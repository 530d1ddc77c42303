//! Closes connections that stay silent for their session's timeout (`NIOServerCnxnFactory.cnxnExpiryQueue`).
//!
//! The session itself ends where it is tracked. This module is about the socket: a client that has moved
//! to another server, or whose machine is gone, closes nothing. Its connection would be kept, with its watches
//! and requests, until the kernel gives it up after many minutes.

use std::collections::{BTreeMap, VecDeque};

use super::Replica;
use super::clients::Clients;
use super::connection::{Slot, State};
use crate::limits::EXPIRY_LOOK_MS;
use crate::time::{MonoUs, Now};

/// How often connections are looked at.
// ZooKeeper: the step of the queue is nio.sessionlessCnxnTimeout, 10 s by default.
const STEP_MS: u64 = 10_000;

/// Most connections that are looked at in one turn: each costs a fraction of a microsecond.
const LOOKS_AT_ONCE: usize = 2000;

/// When to look at which connection. A connection that ends is not searched for here, but found gone at the next look.
/// So all are looked at again and again, although most may be silent for longer.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// Connections that have sent their connect request, by the time in ms at which to look at them.
    ///
    /// Invariant: each connection that is not gone is listed once.
    buckets: BTreeMap<u64, Vec<Slot>>,
    /// Connections whose clients ended their side before there was a session, and when each is closed if it still has
    /// none.
    ///
    /// Invariant: the times do not fall.
    ended: VecDeque<(MonoUs, Slot)>,
}

impl Silence {
    /// Plans the next look at a connection, whose client last did something at `heard`.
    pub fn watch(&mut self, now: MonoUs, slot: Slot, heard: MonoUs, timeout_ms: i32) {
        let due_ms = due_ms(heard, timeout_ms).min(now.as_ms().saturating_add(EXPIRY_LOOK_MS));
        self.buckets.entry((due_ms / STEP_MS + 1) * STEP_MS).or_default().push(slot);
    }

    /// The client of a connection without a session sends nothing more. As a rule it has given up. The session may take
    /// minutes to begin, and a client that tries again and again would use up the connections that its address may
    /// have.
    pub fn watch_ended(&mut self, until: MonoUs, slot: Slot) {
        let last = self.ended.back().map(|(until, _)| *until);
        assert!(last.is_none_or(|last| last <= until), "connections end in the order of time");
        self.ended.push_back((until, slot));
    }

    /// When to look at the next connection.
    pub fn next(&self) -> Option<MonoUs> {
        let silent = self.buckets.first_key_value();
        let silent = silent.map(|(&ms, _)| MonoUs(ms.saturating_mul(1000)));
        silent.into_iter().chain(self.ended.front().map(|(until, _)| *until)).min()
    }
}

/// The time in ms after which a connection was silent for too long.
fn due_ms(heard: MonoUs, timeout_ms: i32) -> u64 {
    heard.as_ms().saturating_add(u64::try_from(timeout_ms).unwrap_or(0))
}

impl Clients {
    /// How many connections are in the buckets.
    #[cfg(test)]
    pub(super) fn silent_connections_kept(&self) -> usize {
        self.silence.buckets.values().map(Vec::len).sum()
    }
}

impl Replica {
    /// Closes connections that were silent for too long, of those whose look is due.
    pub(super) fn close_silent(&mut self, now: Now) {
        self.close_ended(now);
        for _ in 0..LOOKS_AT_ONCE {
            let Some(mut bucket) = self.service.clients.silence.buckets.first_entry() else {
                return;
            };
            if *bucket.key() > now.mono.as_ms() {
                return;
            }
            let Some(slot) = bucket.get_mut().pop() else {
                bucket.remove();
                continue;
            };
            // The connection is gone, and was listed until now.
            let Some(connection) = self.connections.get(slot) else { continue };
            let (heard, timeout_ms) = (connection.heard, connection.timeout_ms);
            if due_ms(heard, timeout_ms) >= now.mono.as_ms() {
                self.service.clients.silence.watch(now.mono, slot, heard, timeout_ms);
                continue;
            }
            if connection.is_open()
                && let Some(unsaid) = self.service.lines.allow(now.mono)
            {
                tracing::info!(
                    conn = slot.id.0, remote = %connection.remote, session = %connection.session,
                    timeout_ms, unsaid,
                    "closing a connection: its client was silent for the timeout of its session"
                );
            }
            self.close(slot);
        }
    }

    /// Closes connections that have no session, and whose clients ended their side long enough ago.
    fn close_ended(&mut self, now: Now) {
        while let Some(&(until, slot)) = self.service.clients.silence.ended.front()
            && until <= now.mono
        {
            self.service.clients.silence.ended.pop_front();
            // The connection is gone, and was listed until now.
            let Some(connection) = self.connections.get(slot) else { continue };
            if matches!(connection.state, State::Connecting | State::Reopening) {
                if let Some(unsaid) = self.service.lines.allow(now.mono) {
                    tracing::info!(
                        conn = slot.id.0, remote = %connection.remote, session = %connection.session,
                        unsaid, "closing a connection: its client has gone before there was a session"
                    );
                }
                self.close(slot);
            }
        }
    }
}
