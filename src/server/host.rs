//! The replica and its hands: the log ring, the disk worker, the ways to its clients.
//!
//! One object on the replica's executor. Connections (or the ends of the queues from other cores)
//! give it frames as they arrive, links to other servers their bytes; the turn task then lets the
//! replica say what is to be done, and does it: bytes to clients first, they were waited for longest;
//! then those to other servers; then operations of the disk, since a proposal that left before its own
//! write began is written here and there at the same time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::again::{Failure, Lack};
use super::client_port::ClientPort;
use super::membership::Teller;
use super::past::Past;
use super::recover::Opener;
use super::stalls::{Ms, Stall, Stalls, TurnPart};
use crate::admin::word::{FourLetterWord, TRACE_MASK_BYTES};
use crate::admin::{Asking, Desk};
use crate::config::dynamic::Keeper;
use crate::id::ConnectionId;
use crate::io::{Completion, Op};
use crate::link::{LinkEvent, LinkId};
use crate::metrics;
use crate::net::links::{LinkCore, Links};
use crate::net::{Budget, Census, Core};
use crate::replica::{Fatal, Outgoing, Output, Replica};
use crate::runtime::{Clock, DataFolder, DiskWorker, LogRing, Reactor, ThreadUse, Timer};
use crate::time::{MonoUs, Now};
use crate::zab::ConfigChange;

/// Whoever carries bytes to clients: the connections of this executor, or the queues to others.
pub trait Deliver {
    /// Carries out one send; gives its buffer back if it is free again.
    fn deliver(&self, send: Outgoing) -> Option<Vec<u8>>;
    /// Called once after each turn's sends.
    fn flush(&self) {}
}

/// The answer to a four-letter word when connections hold all that they may hold.
const NO_ROOM: &str = "Too much waits for clients that do not read (ringkeeper.connectionMemoryMax). \
                       Ask again later.\n";

/// Milliseconds with one decimal, as the log shows them.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// See the module's words.
pub struct Host {
    replica: RefCell<Replica>,
    output: RefCell<Output>,
    ring: RefCell<LogRing>,
    worker: DiskWorker,
    desk: RefCell<Desk>,
    clock: Clock,
    /// What the thread waits on; stirred when something came in that the turn task has to look at.
    reactor: Reactor,
    clients: Box<dyn Deliver>,
    /// What connections may hold together.
    budget: Budget,
    census: Census,
    /// Four-letter words that wait for their answers.
    words: RefCell<VecDeque<Asked>>,
    /// Those answers, which do not come out of the replica.
    answers: RefCell<Vec<Outgoing>>,
    /// Closings that wait for the last write to their segment.
    closing: RefCell<Vec<Op>>,
    completions: RefCell<Vec<Completion>>,
    fatal: RefCell<Option<Failure>>,
    /// The time read at the start of this turn's first event.
    now: Cell<Option<Now>>,
    /// Looks for times in which nobody was served.
    stalls: RefCell<Stalls>,
    /// Rings when this thread should have been awake, as long as turns have something to do.
    beat: RefCell<Option<Timer>>,
    /// A turn had something to do since the beat was set. The one that the beat itself brings has
    /// not: an idle server would wake for ever.
    had_cause: Cell<bool>,
    /// Keeps what becomes of the ensemble's configuration.
    keeper: RefCell<Keeper>,
    /// Says what this server is in its ensemble.
    teller: RefCell<Teller>,
    /// Where clients connect.
    client_port: RefCell<ClientPort>,
    /// Sockets at another address, for clients to connect to from now on.
    new_sockets: RefCell<Option<Vec<TcpListener>>>,
    /// Connections to other servers.
    links: Links,
    /// Reads the log for others.
    past: Past,
    /// Reads the state anew.
    opener: Opener,
    /// Holds the locks of the folders.
    _folder: DataFolder,
}

/// A four-letter word.
struct Asked {
    asking: Asking,
    word: FourLetterWord,
    argument: [u8; TRACE_MASK_BYTES],
}

/// Words that are answered in one turn, and at most one of them tells of everything.
const WORDS_PER_TURN: usize = 16;

/// More bytes for clients than this go to them after what other servers are told: who asks for megabytes
/// does not see the difference, and a follower waits for no client.
const CLIENTS_FIRST_BYTES_MAX: usize = 256 * 1024;

/// What a host works with.
pub struct Parts {
    /// Where the transaction log is written.
    pub ring: LogRing,
    /// Where everything else of the disk is done.
    pub worker: DiskWorker,
    /// What answers four-letter words.
    pub desk: Desk,
    /// The clocks.
    pub clock: Clock,
    /// What the thread waits on.
    pub reactor: Reactor,
    /// Who carries bytes to clients.
    pub clients: Box<dyn Deliver>,
    /// What connections may hold together.
    pub budget: Budget,
    /// How many connections there may be.
    pub census: Census,
    /// Keeps what becomes of the ensemble's configuration.
    pub keeper: Keeper,
    /// Says what this server is in its ensemble.
    pub teller: Teller,
    /// Where clients connect.
    pub client_port: ClientPort,
    /// Connections to other servers.
    pub links: Links,
    /// Reads the log for others.
    pub past: Past,
    /// Reads the state anew.
    pub opener: Opener,
    /// The data.
    pub folder: DataFolder,
    /// `ringkeeper.stallMillis`.
    pub stall_ms: u32,
}

impl Host {
    /// Puts the parts together.
    pub fn new(mut replica: Replica, parts: Parts) -> Rc<Host> {
        let Parts {
            ring,
            worker,
            desk,
            clock,
            reactor,
            clients,
            budget,
            census,
            keeper,
            teller,
            client_port,
            links,
            past,
            opener,
            folder,
            stall_ms,
        } = parts;
        replica.set_output_room(budget.room());
        let stalls = Stalls::new(stall_ms, clock.mono(), ThreadUse::read());
        let host = Rc::new(Host {
            replica: RefCell::new(replica),
            output: RefCell::default(),
            ring: RefCell::new(ring),
            worker,
            desk: RefCell::new(desk),
            clock,
            reactor,
            clients,
            budget,
            census,
            words: RefCell::default(),
            answers: RefCell::default(),
            closing: RefCell::default(),
            completions: RefCell::default(),
            fatal: RefCell::new(None),
            now: Cell::new(None),
            stalls: RefCell::new(stalls),
            beat: RefCell::new(None),
            had_cause: Cell::new(false),
            keeper: RefCell::new(keeper),
            teller: RefCell::new(teller),
            client_port: RefCell::new(client_port),
            new_sockets: RefCell::new(None),
            links,
            past,
            opener,
            _folder: folder,
        });
        let core: Rc<dyn LinkCore> = host.clone();
        host.links.set_core(Rc::downgrade(&core));
        host
    }

    /// What the thread waits on.
    pub fn reactor(&self) -> Reactor {
        self.reactor.clone()
    }

    /// Connections to other servers.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Where clients are to connect from now on, if that has just changed.
    pub fn new_sockets(&self) -> Option<Vec<TcpListener>> {
        self.new_sockets.borrow_mut().take()
    }

    /// What the outside witness says.
    pub fn set_oracle(&self, says_yes: bool) {
        let now = self.now();
        self.replica.borrow_mut().set_oracle(now, says_yes);
        self.reactor.stir();
    }

    /// The clocks, read once per batch of events: a reading costs as much as a small read request.
    fn now(&self) -> Now {
        match self.now.get() {
            Some(now) => now,
            None => {
                let now = self.clock.now();
                self.now.set(Some(now));
                let mut stalls = self.stalls.borrow_mut();
                if stalls.begin(now.mono) {
                    stalls.read(now.mono, ThreadUse::read());
                }
                now
            }
        }
    }

    /// Writes of the log in flight.
    pub fn log_writes_in_flight(&self) -> usize {
        self.ring.borrow().in_flight()
    }

    /// Whether other servers are to say something that a client waits for.
    pub fn awaits_others(&self) -> bool {
        self.replica.borrow().awaits_others()
    }

    /// Takes in finished log writes without a turn; says whether there were any.
    pub fn reap(&self) -> bool {
        let mut completions = self.completions.borrow_mut();
        self.ring.borrow_mut().reap(&mut completions);
        !completions.is_empty()
    }

    /// Whether the log is written by a thread from now on: others want the processors.
    pub fn write_log_by_thread(&self, by_thread: bool) {
        self.ring.borrow_mut().write_by_thread(by_thread);
    }

    /// Completions ring the executor's bell from now on; false if one is there already.
    pub fn park_log(&self) -> bool {
        self.ring.borrow_mut().ring_when_done()
    }

    /// Completions ring no bell any more.
    pub fn unpark_log(&self) {
        self.ring.borrow_mut().ring_no_more();
    }

    /// One turn: completions and time in, bytes and operations out. Gives the time of its end.
    pub fn turn(self: &Rc<Self>) -> MonoUs {
        self.reap();
        // Requests and bytes of other servers have read the clock.
        if self.now.replace(None).is_some() || !self.completions.borrow().is_empty() {
            self.had_cause.set(true);
        }
        let now = self.now();
        let mut stalls = self.stalls.borrow_mut();
        stalls.mark(TurnPart::Requests, now.mono);
        let held_us = match stalls.is_long_already(now.mono) {
            true => stalls.held_us_with_span(now.mono, ThreadUse::read()),
            false => stalls.held_us(),
        };
        drop(stalls);
        self.replica.borrow_mut().note_held(held_us);
        let last = self.turn_steps(now);
        let ended = self.clock.mono();
        let stall = self.stalls.borrow_mut().end(last, ended);
        if let Some(stall) = stall {
            self.report(&stall, ended);
        }
        if self.had_cause.get() && self.beat.borrow().is_none() {
            self.expect_to_be_awake();
        }
        ended
    }

    /// The steps of a turn; which one was the last.
    fn turn_steps(&self, now: Now) -> TurnPart {
        let mut replica = self.replica.borrow_mut();
        let before = (replica.stats().sessions_expired, replica.stats().txns_applied);
        for completion in self.completions.borrow_mut().drain(..) {
            replica.handle_completion(now, completion);
        }
        self.links.deliver(|event| {
            self.had_cause.set(true);
            replica.handle_link(now, event);
        });
        self.release_closings();
        let mut files = false;
        while let Some(done) = self.worker.done() {
            files = true;
            if let Some(opened) = done.opened {
                self.ring.borrow_mut().open_segment(opened.segment, opened.file, opened.name);
            }
            replica.handle_completion(now, done.completion);
        }
        while let Some((id, txns)) = self.past.done() {
            replica.handle_log_read(now, id, txns);
            files = true;
        }
        if files {
            self.had_cause.set(true);
            self.mark(TurnPart::Files);
        }
        if replica.next_timeout().is_some_and(|at| at <= now.mono) {
            self.had_cause.set(true);
            self.mark(TurnPart::Core);
            replica.handle_timeout(now);
            self.mark(TurnPart::Timers);
        }
        let mut output = self.output.borrow_mut();
        replica.take_output(&mut output);
        self.mark(TurnPart::Core);
        self.note_work(&replica, before, &output);
        self.answer_words(now, &mut replica);
        self.teller.borrow_mut().tell(&replica);
        let is_behind = replica.is_behind();
        self.worker.note_log_waits(replica.txnlog().is_short_of_room());
        drop(replica);
        if let Some(Fatal { reason, lacks_room }) = output.fatal.take() {
            let lack = lacks_room.then_some(Lack::Room);
            *self.fatal.borrow_mut() = Some(Failure { reason, lack });
            return TurnPart::Core;
        }
        let bytes: usize = output.sends.iter().map(|send| send.bytes.len()).sum();
        if bytes > CLIENTS_FIRST_BYTES_MAX {
            self.tell_others(&mut output);
        }
        let mut sends = std::mem::take(&mut output.sends);
        for send in sends.drain(..).chain(self.answers.borrow_mut().drain(..)) {
            if let Some(spare) = self.clients.deliver(send) {
                output.recycle(spare);
            }
        }
        output.sends = sends;
        self.clients.flush();
        self.replica.borrow_mut().set_output_room(self.budget.room());
        self.tell_others(&mut output);
        self.mark(TurnPart::Sends);
        let mut ops = std::mem::take(&mut output.ops);
        for op in ops.drain(..) {
            self.perform(op);
        }
        output.ops = ops;
        for change in output.configs.drain(..) {
            self.keeper.borrow_mut().keep(&change);
            if let ConfigChange::Active(config) = &change {
                let ring = self.ring.borrow();
                let moved = self.client_port.borrow_mut().follow(config, ring.bell());
                self.move_clients(moved);
            }
        }
        let moved = self.client_port.borrow_mut().settle();
        self.move_clients(moved);
        for wish in output.log_reads.drain(..) {
            if !self.past.submit(wish) {
                self.replica.borrow_mut().handle_log_read(now, wish.id, None);
                self.reactor.stir();
            }
        }
        let reload = output.reload.take();
        drop(output);
        self.now.set(None);
        let mut last = TurnPart::Disk;
        if let Some(reload) = reload {
            self.mark(last);
            last = TurnPart::Reload;
            let result = self.opener.reload(reload);
            // Reading may have taken a while.
            self.replica.borrow_mut().handle_reloaded(self.clock.now(), result);
            self.reactor.stir();
        }
        self.links.end_turn();
        if !is_behind {
            self.links.resume();
        }
        last
    }

    /// What other servers are to be told.
    fn tell_others(&self, output: &mut Output) {
        for op in output.links.drain(..) {
            self.links.perform(op);
        }
        self.links.flush();
    }

    /// Answers some of the words that wait.
    fn answer_words(&self, now: Now, replica: &mut Replica) {
        let mut words = self.words.borrow_mut();
        for _ in 0..WORDS_PER_TURN {
            let Some(asked) = words.pop_front() else { return };
            self.answer_word(now, replica, &asked);
            if asked.word.tells_of_everything() {
                break;
            }
        }
        if !words.is_empty() {
            self.reactor.stir();
        }
    }

    fn answer_word(&self, now: Now, replica: &mut Replica, asked: &Asked) {
        let mut desk = self.desk.borrow_mut();
        let mut answers = self.answers.borrow_mut();
        // Answers about all watches are long, and anybody may ask for a hundred of them.
        let made: usize = answers.iter().map(|answer| answer.bytes.len()).sum();
        let (connections, bytes) = self.budget.closed();
        desk.held = metrics::Held {
            bytes: self.budget.held(),
            bytes_max: self.budget.bytes_max(),
            closed: connections,
            closed_bytes: bytes,
            watches: replica.database().watches().held_bytes(),
            watches_max: replica.database().options().watches.bytes_max,
            watches_refused: replica.stats().watches_refused,
        };
        desk.connections_refused = self.census.refused();
        let Asked { asking, word, argument } = *asked;
        let text = match made < self.budget.room() {
            true => desk.answer(word, argument, replica, asking, now),
            false => NO_ROOM.to_owned(),
        };
        let Some(conn) = asking.conn else { return };
        answers.push(Outgoing {
            conn,
            bytes: text.into_bytes(),
            answered: 0,
            close: true,
            // The replica knows nothing of it.
            is_reported: false,
        });
    }

    /// The time since the last mark went to `step`.
    fn mark(&self, step: TurnPart) {
        let mut stalls = self.stalls.borrow_mut();
        if stalls.is_on() {
            stalls.mark(step, self.clock.mono());
        }
    }

    /// Keeps what the turn has to show for its time.
    fn note_work(&self, replica: &Replica, before: (u64, u64), output: &Output) {
        let mut stalls = self.stalls.borrow_mut();
        if !stalls.is_on() {
            return;
        }
        let work = stalls.work();
        let stats = replica.stats();
        work.expired += stats.sessions_expired.saturating_sub(before.0);
        work.applied += stats.txns_applied.saturating_sub(before.1);
        for send in &output.sends {
            work.bytes_out += send.bytes.len() as u64;
        }
        for op in &output.ops {
            match op {
                Op::LogWrite { bytes, .. } => work.log_bytes += u64::from(*bytes),
                Op::SnapshotWrite { bytes, .. } => work.snapshot_bytes += bytes.len() as u64,
                Op::SegmentPrepare { .. }
                | Op::SegmentName { .. }
                | Op::SegmentClose { .. }
                | Op::SnapshotCreate { .. }
                | Op::SnapshotCommit { .. }
                | Op::SnapshotAbandon { .. }
                | Op::FileReplace { .. }
                | Op::Remove { .. } => {}
            }
        }
    }

    /// The next turn follows without sleeping.
    pub fn goes_on(&self, ended: MonoUs) {
        let mut stalls = self.stalls.borrow_mut();
        if stalls.goes_on() {
            stalls.read(ended, ThreadUse::read());
        }
    }

    /// This thread was awake at `last`, the last time that it looked for something, and does not
    /// sleep before the next turn.
    pub fn was_awake(&self, last: Instant) {
        self.stalls.borrow_mut().awake(self.clock.mono_of(last));
    }

    /// How long this thread may be unheard of without that being a stall; `None`: for ever.
    pub fn stall_threshold(&self) -> Option<Duration> {
        let stalls = self.stalls.borrow();
        stalls.is_on().then(|| Duration::from_micros(stalls.threshold_us()))
    }

    /// This thread looked for a log write at `from`, and did not get to look again before `to`.
    pub fn was_held(&self, from: Instant, to: Instant) {
        let (from, to) = (self.clock.mono_of(from), self.clock.mono_of(to));
        let stall = self.stalls.borrow_mut().looked(from, to);
        if let Some(stall) = stall {
            self.report(&stall, to);
        }
    }

    /// Finds out whether this thread runs when it should, as long as turns have something to do: after
    /// the time that counts as a stall it is to be awake.
    fn expect_to_be_awake(self: &Rc<Self>) {
        let Some(period) = self.stall_threshold() else { return };
        self.stalls.borrow_mut().due(Some(self.clock.mono_of(Instant::now() + period)));
        self.had_cause.set(false);
        let this = Rc::downgrade(self);
        let beat = self.reactor.after(period, move || {
            if let Some(this) = this.upgrade() {
                this.is_awake();
            }
        });
        *self.beat.borrow_mut() = Some(beat);
    }

    fn is_awake(self: &Rc<Self>) {
        self.beat.take();
        let now = self.clock.mono();
        let stall = self.stalls.borrow_mut().on_due(now);
        if let Some(stall) = stall {
            self.report(&stall, now);
        }
        if self.had_cause.get() {
            self.expect_to_be_awake();
        } else {
            self.stalls.borrow_mut().due(None);
        }
    }

    /// Counts a stall, and says so if the log is not full of them.
    fn report(&self, stall: &Stall, now: MonoUs) {
        let mut stalls = self.stalls.borrow_mut();
        let (cause, had) = stalls.cause(stall, now, ThreadUse::read());
        let (held_off, waiting) = (cause.is_held_off(), cause.is_waiting());
        self.desk.borrow_mut().stalls.record(stall.us / 1000, held_off, waiting);
        let ran_ms = millis(had.ran);
        let queued_ms = had.queued.map(millis);
        macro_rules! line {
            ($level:ident, $($unsaid:tt)*) => {
                tracing::$level!(
                    ran_ms,
                    queued_ms,
                    parts = stall.parts(),
                    work = %stall.work,
                    waits = had.waits,
                    preemptions = had.preemptions,
                    page_reads = had.page_reads,
                    $($unsaid)*
                    "nobody was served for {} ms: {}; mostly {}",
                    Ms(stall.us),
                    cause.describe(),
                    stall.mostly().describe()
                )
            };
        }
        match stalls.say(stall, now) {
            Some(say) => {
                line!(
                    warn,
                    unsaid = say.unsaid,
                    unsaid_ms_max = millis(Duration::from_micros(say.unsaid_us_max)),
                );
            }
            None => line!(debug,),
        }
    }

    fn perform(&self, op: Op) {
        match op {
            Op::LogWrite { token, segment, offset, buf, bytes, sync } => {
                self.worker.note_log_write();
                let written =
                    self.ring.borrow_mut().write(token, segment, offset, buf, bytes, sync);
                if let Err(error) = written {
                    // The state of the write is unknown: as for any failed write, we stop.
                    let reason =
                        format!("submitting a write to the transaction log failed: {error}");
                    *self.fatal.borrow_mut() = Some(reason.into());
                }
            }
            Op::SegmentClose { segment, .. } if self.ring.borrow().is_writing_to(segment) => {
                self.closing.borrow_mut().push(op);
            }
            Op::SegmentClose { segment, .. } => {
                self.ring.borrow_mut().close_segment(segment);
                self.worker.submit(op);
            }
            Op::SegmentPrepare { .. }
            | Op::SegmentName { .. }
            | Op::SnapshotCreate { .. }
            | Op::SnapshotWrite { .. }
            | Op::SnapshotCommit { .. }
            | Op::SnapshotAbandon { .. }
            | Op::FileReplace { .. }
            | Op::Remove { .. } => self.worker.submit(op),
        }
    }

    /// Clients connect elsewhere from now on.
    fn move_clients(&self, moved: Option<(Vec<TcpListener>, u16)>) {
        let Some((sockets, port)) = moved else { return };
        self.desk.borrow_mut().conf.client_port = port.into();
        *self.new_sockets.borrow_mut() = Some(sockets);
    }

    fn release_closings(&self) {
        if self.closing.borrow().is_empty() {
            return;
        }
        for op in std::mem::take(&mut *self.closing.borrow_mut()) {
            self.perform(op);
        }
    }

    /// Why the process must stop, if it must.
    pub fn fatal(&self) -> Option<Failure> {
        self.fatal.borrow_mut().take()
    }

    /// When the next turn is due without any event.
    pub fn next_timeout(&self) -> Option<MonoUs> {
        self.replica.borrow().next_timeout()
    }

    /// The clock that the replica is told.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Says in the log what the four-letter word `srvr` would, which is always allowed.
    pub fn say_state(&self) {
        let asking = Asking { conn: None, remote: SocketAddr::from(([127, 0, 0, 1], 0)) };
        // Not the clocks as of this turn: there may be no turn after this for long, and then the next
        // one would take this moment for its own.
        let now = self.clock.now();
        let mut replica = self.replica.borrow_mut();
        let word = FourLetterWord::Srvr;
        let text =
            self.desk.borrow_mut().answer(word, Default::default(), &mut replica, asking, now);
        for line in text.lines() {
            tracing::info!("state: {line}");
        }
        let waiting = self.ring.borrow().in_flight();
        tracing::info!("state: log writes in flight: {waiting}");
    }

    /// Begins to stop: see [`Replica::shutdown`].
    pub fn shutdown(&self) {
        let now = self.now();
        self.replica.borrow_mut().shutdown(now);
        self.reactor.stir();
    }

    /// Whether nothing is in flight any more.
    pub fn is_quiet(&self) -> bool {
        self.ring.borrow().in_flight() == 0 && self.replica.borrow().is_quiet()
    }
}

impl Core for Host {
    fn open(&self, conn: ConnectionId, remote: SocketAddr) {
        let now = self.now();
        self.replica.borrow_mut().handle_open(now, conn, remote);
        self.stalls.borrow_mut().work().opened += 1;
        self.reactor.stir();
    }

    fn frames(&self, conn: ConnectionId, frames: &[u8]) {
        let now = self.now();
        self.replica.borrow_mut().handle_frames(now, conn, frames);
        let mut stalls = self.stalls.borrow_mut();
        stalls.work().batches += 1;
        stalls.work().bytes_in += frames.len() as u64;
        drop(stalls);
        self.reactor.stir();
    }

    fn word(
        &self,
        conn: ConnectionId,
        remote: SocketAddr,
        word: FourLetterWord,
        argument: Option<[u8; 8]>,
    ) {
        // It reads the clock, so that the turn counts from here.
        self.now();
        let asking = Asking { conn: Some(conn), remote };
        let argument = argument.unwrap_or_default();
        self.words.borrow_mut().push_back(Asked { asking, word, argument });
        self.reactor.stir();
    }

    fn is_busy(&self) -> bool {
        self.replica.borrow().has_somebody_in_line()
    }

    fn end(&self, conn: ConnectionId) {
        let now = self.now();
        self.replica.borrow_mut().handle_end(now, conn);
        self.reactor.stir();
    }

    fn written(&self, conn: ConnectionId, bytes: usize) {
        let now = self.now();
        self.replica.borrow_mut().handle_written(now, conn, bytes);
        self.reactor.stir();
    }

    fn close(&self, conn: ConnectionId) {
        let now = self.now();
        self.replica.borrow_mut().handle_close(now, conn);
        self.stalls.borrow_mut().work().closed += 1;
        self.reactor.stir();
    }
}

impl LinkCore for Host {
    fn link_events(&self) {
        self.reactor.stir();
    }

    fn link_received(&self, link: LinkId, bytes: &[u8]) {
        let now = self.now();
        let mut replica = self.replica.borrow_mut();
        // That the link is there comes before what it says.
        self.links.deliver(|event| replica.handle_link(now, event));
        replica.handle_link(now, LinkEvent::Received { link, bytes });
        self.reactor.stir();
    }

    fn link_fatal(&self, reason: String) {
        *self.fatal.borrow_mut() = Some(reason.into());
        self.reactor.stir();
    }

    fn has_enough_of(&self, link: LinkId) -> bool {
        self.replica.borrow().has_enough_of(link)
    }
}
