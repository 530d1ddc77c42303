//! The trait of all kinds of work: they hear of events, and answer them through [`Io`].

use ringkeeper::error::ErrorCode;
use ringkeeper::proto::event::WatcherEvent;

use super::io::Io;
use super::session::Pending;

/// An answer.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// The code of the error; `None` is success.
    pub error: Option<i32>,
    /// What follows the header.
    pub body: &'a [u8],
}

/// What the sessions of one thread do.
///
/// The worker calls it when something happens; it answers by calling [`Io`]. Requests that were in
/// flight when a connection broke have been counted as failed before [`Workload::on_lost`].
pub trait Workload {
    /// How many sessions this thread has.
    fn sessions(&self) -> usize;
    /// Opens the sessions that must be open first: all, by default.
    fn start(&mut self, io: &mut Io) {
        for index in 0..self.sessions() {
            io.open(index);
        }
    }
    /// A session is open: a new one, or the old one if it was `resumed`.
    fn on_live(&mut self, io: &mut Io, index: usize, resumed: bool);
    /// The answer to a request.
    fn on_reply(&mut self, io: &mut Io, index: usize, request: Pending, reply: Reply<'_>);
    /// A watch fired.
    fn on_event(&mut self, _io: &mut Io, _index: usize, _event: WatcherEvent<'_>) {}
    /// A connection broke, and the session connects again. The requests in `lost` get no answer.
    fn on_lost(&mut self, io: &mut Io, index: usize, lost: &[Pending]);
    /// A session was closed as asked.
    fn on_closed(&mut self, _io: &mut Io, _index: usize, _due: u64) {}
    /// Whether everything is prepared.
    fn is_ready(&self) -> bool;
    /// The load begins.
    fn begin(&mut self, io: &mut Io);
    /// The time at which the workload wants the next [`Workload::on_time`], in ns.
    fn next_time(&self) -> u64 {
        u64::MAX
    }
    /// The time that [`Workload::next_time`] named has come.
    fn on_time(&mut self, _io: &mut Io) {}
    /// Whether, after the end, something beside the answers to requests is still on its way.
    fn awaits(&self, _io: &Io) -> bool {
        false
    }
    /// Stops waiting: counts what should have come and did not.
    fn give_up(&mut self, _io: &mut Io) {}
}

/// A code's name, as it stands in results.
pub fn error_name(code: i32) -> &'static str {
    match ErrorCode::from_code(code) {
        Some(ErrorCode::NoNode) => "NoNode",
        Some(ErrorCode::NodeExists) => "NodeExists",
        Some(ErrorCode::NotEmpty) => "NotEmpty",
        Some(ErrorCode::BadVersion) => "BadVersion",
        Some(ErrorCode::ConnectionLoss) => "ConnectionLoss",
        Some(ErrorCode::SessionExpired) => "SessionExpired",
        Some(ErrorCode::SessionMoved) => "SessionMoved",
        Some(ErrorCode::NoAuth) => "NoAuth",
        Some(ErrorCode::Unimplemented) => "Unimplemented",
        Some(ErrorCode::RuntimeInconsistency) => "RuntimeInconsistency",
        Some(ErrorCode::ThrottledOp) => "ThrottledOp",
        Some(ErrorCode::QuotaExceeded) => "QuotaExceeded",
        Some(ErrorCode::SystemError) => "SystemError",
        Some(_) => "another error code",
        None => "an unknown error code",
    }
}
