//! Spans, stalls and lines at times that the tests choose.

use super::*;

const START: MonoUs = MonoUs(10_000_000);

fn at(us: u64) -> MonoUs {
    MonoUs(START.0 + us)
}

fn stalls() -> Stalls {
    Stalls::new(5, START, ThreadUse::default())
}

fn ran(us: u64) -> ThreadUse {
    ThreadUse { ran: Duration::from_micros(us), ..ThreadUse::default() }
}

#[test]
fn a_span_is_a_stall_from_the_threshold_on_and_knows_its_largest_part() {
    let mut stalls = stalls();
    stalls.begin(at(0));
    stalls.mark(TurnPart::Requests, at(1_000));
    assert_eq!(stalls.end(TurnPart::Core, at(4_999)), None);
    stalls.begin(at(10_000));
    stalls.mark(TurnPart::Requests, at(11_000));
    stalls.work().expired += 7;
    stalls.mark(TurnPart::Timers, at(14_500));
    let stall = stalls.end(TurnPart::Core, at(15_000)).expect("5 ms");
    assert_eq!((stall.us, stall.mostly()), (5_000, TurnPart::Timers));
    assert_eq!(stall.work.to_string(), "7 sessions expired");
    assert_eq!(
        stall.parts(),
        "expiring sessions and other timers 3.5 ms, handling requests 1.0 ms, applying \
         transactions, filling the log, a slice of a snapshot 0.5 ms"
    );
    stalls.begin(at(20_000));
    assert_eq!(stalls.end(TurnPart::Core, at(20_100)), None, "nothing is left of the last span");
}

#[test]
fn to_sleep_until_there_is_work_is_no_stall() {
    let mut stalls = stalls();
    stalls.begin(at(0));
    assert_eq!(stalls.end(TurnPart::Core, at(100)), None);
    stalls.begin(at(60_000_000));
    assert_eq!(stalls.end(TurnPart::Core, at(60_000_100)), None);
}

#[test]
fn a_turn_that_follows_without_sleep_counts_from_the_end_of_the_last() {
    let mut stalls = stalls();
    stalls.begin(at(0));
    assert_eq!(stalls.end(TurnPart::Core, at(100)), None);
    stalls.goes_on();
    stalls.begin(at(7_000));
    stalls.mark(TurnPart::Requests, at(7_000));
    let stall = stalls.end(TurnPart::Core, at(7_100)).expect("the others took 6.9 ms");
    assert_eq!((stall.us, stall.mostly()), (7_000, TurnPart::Requests));
}

#[test]
fn who_runs_later_than_promised_was_held_off_since_the_promise_or_the_last_turn() {
    let mut stalls = stalls();
    stalls.due(Some(at(5_000)));
    // An event wakes the thread before the late timer does.
    stalls.begin(at(25_000));
    let stall = stalls.end(TurnPart::Core, at(25_200)).expect("20 ms late");
    assert_eq!((stall.us, stall.mostly()), (20_200, TurnPart::Held));
    // The timer itself comes a little later; the remaining time is no stall.
    assert_eq!(stalls.on_due(at(25_300)), None);
    stalls.due(Some(at(30_300)));
    let stall = stalls.on_due(at(40_300)).expect("10 ms late, and nothing else happened");
    assert_eq!((stall.us, stall.mostly()), (10_000, TurnPart::Held));
    stalls.due(None);
    stalls.begin(at(90_000));
    assert_eq!(stalls.end(TurnPart::Core, at(90_100)), None);
}

#[test]
fn who_looks_and_is_not_heard_of_was_held_off() {
    let mut stalls = stalls();
    assert_eq!(stalls.looked(at(0), at(4_999)), None);
    let stall = stalls.looked(at(5_000), at(10_000)).expect("5 ms");
    assert_eq!((stall.us, stall.mostly()), (5_000, TurnPart::Look));
    let spinning = stalls.cause(&stall, at(10_000), ran(5_000)).0;
    assert_eq!(spinning, Cause::Machine, "there is no work of ours in that");
    stalls.awake(at(11_000));
    stalls.begin(at(19_000));
    assert_eq!(stalls.end(TurnPart::Core, at(19_000)).expect("8 ms").mostly(), TurnPart::Look);
    // The note that the thread was awake counts for the next span alone.
    stalls.begin(at(40_000));
    assert_eq!(stalls.end(TurnPart::Core, at(40_100)), None);
}

#[test]
fn the_cause_is_told_by_what_the_thread_had_of_the_machine() {
    let stall = |stalls: &mut Stalls| {
        stalls.begin(at(0));
        stalls.end(TurnPart::Core, at(10_000)).expect("a stall")
    };
    let cause = |used: ThreadUse| {
        let before = ThreadUse { queued: used.queued.map(|_| Duration::ZERO), ..ran(0) };
        let mut stalls = Stalls::new(5, START, before);
        let stall = stall(&mut stalls);
        stalls.cause(&stall, at(10_000), used).0
    };
    assert_eq!(cause(ran(9_000)), Cause::Own);
    assert_eq!(cause(ThreadUse { preemptions: 2, ..ran(1_000) }), Cause::Preempted);
    assert_eq!(cause(ThreadUse { waits: 1, ..ran(1_000) }), Cause::Blocked);
    assert_eq!(cause(ran(1_000)), Cause::Machine);
    assert_eq!(cause(ThreadUse { waits: 3, page_reads: 3, ..ran(0) }), Cause::Paged);
    // The time that the thread was queued says more than how often, and why, the thread left its processor.
    let queued = |ran_us: u64, us: u64| {
        let queued = Some(Duration::from_micros(us));
        ThreadUse { queued, waits: 2, preemptions: 1, ..ran(ran_us) }
    };
    assert_eq!(cause(queued(500, 8_500)), Cause::Preempted);
    assert_eq!(cause(queued(4_000, 3_500)), Cause::Own, "the largest part");
    let nobody_else = ThreadUse { preemptions: 9, ..queued(500, 0) };
    assert_eq!(cause(nobody_else), Cause::Blocked);
    // A process that was stopped is told by SIGCONT, wherever its thread was at that time.
    assert_eq!(cause(ThreadUse { continued: 1, ..nobody_else }), Cause::Stopped);
    assert_eq!(cause(ThreadUse { continued: 1, ..queued(500, 8_500) }), Cause::Preempted);
}

/// The sentence in the log and the counter follow from one judgement.
#[test]
fn a_process_that_neither_ran_nor_was_queued_before_it_began_was_stopped() {
    let before = ThreadUse { queued: Some(Duration::ZERO), ..ran(0) };
    let mut stalls = Stalls::new(5, START, before);
    stalls.due(Some(at(5_000)));
    stalls.begin(at(14_013_000));
    let stall = stalls.end(TurnPart::Core, at(14_013_100)).expect("14 s");
    // The figures of a thread that was stopped while it looked for events: many yields, and few pages of memory.
    let used = ThreadUse {
        queued: Some(Duration::from_micros(300)),
        waits: 1,
        preemptions: 40,
        page_reads: 2,
        ..ran(2_000)
    };
    let (cause, _) = stalls.cause(&stall, at(14_013_100), used);
    assert_eq!(cause, Cause::Stopped);
    assert!(cause.is_held_off() && cause.describe().contains("SIGSTOP"));
    let held_ms = stalls.held_us() / 1000;
    assert!((14_005..=14_008).contains(&held_ms), "no disk had this time: {held_ms}");
}

#[test]
fn a_stop_amid_requests_is_known_before_the_turn_ends_and_counted_once() {
    let before = ThreadUse { queued: Some(Duration::ZERO), ..ran(0) };
    let mut stalls = Stalls::new(5, START, before);
    stalls.begin(at(0));
    assert!(!stalls.is_long_already(at(99_999)) && stalls.is_long_already(at(1_400_000)));
    stalls.mark(TurnPart::Requests, at(1_400_000));
    let used = ThreadUse { waits: 1, continued: 1, queued: Some(Duration::ZERO), ..ran(1_000) };
    assert_eq!(stalls.held_us_with_span(at(1_400_000), used), 1_399_000);
    assert_eq!(stalls.held_us(), 0);
    let stall = stalls.end(TurnPart::Core, at(1_400_000)).expect("1.4 s");
    stalls.cause(&stall, at(1_400_000), used);
    assert_eq!(stalls.held_us(), 1_399_000);
}

#[test]
fn a_wait_in_the_kernel_is_not_counted_as_being_held_off() {
    let causes = [Cause::Own, Cause::Preempted, Cause::Paged, Cause::Blocked, Cause::Stopped];
    for cause in causes.into_iter().chain([Cause::Machine]) {
        assert!(!(cause.is_held_off() && cause.is_waiting()), "{cause:?}");
        let says_wait = cause.describe().contains("waited in the kernel")
            || cause.describe().contains("waited for its memory");
        assert_eq!(says_wait, cause.is_waiting(), "{cause:?}");
    }
}

#[test]
fn a_short_stall_at_which_nobody_waited_gets_no_line_and_is_counted() {
    let mut stalls = stalls();
    stalls.due(Some(at(5_000)));
    let idle = stalls.on_due(at(14_000)).expect("9 ms");
    assert_eq!(stalls.say(&idle, at(14_000)), None);
    stalls.due(None);
    stalls.begin(at(20_000));
    stalls.work().batches += 1;
    let asked = stalls.end(TurnPart::Requests, at(29_000)).expect("9 ms");
    let say = stalls.say(&asked, at(29_000)).expect("a client waited");
    assert_eq!((say.unsaid, say.unsaid_us_max), (1, 9_000));
    let look = stalls.looked(at(30_000), at(49_000)).expect("19 ms");
    assert!(stalls.say(&look, at(49_000)).is_some(), "a client waits for a log write");
    stalls.due(Some(at(55_000)));
    let long = stalls.on_due(at(255_000)).expect("200 ms");
    assert!(stalls.say(&long, at(255_000)).is_some());
}

#[test]
fn a_reading_is_wanted_when_the_last_one_is_old_and_taken_once() {
    let mut stalls = stalls();
    assert!(!stalls.begin(at(1_000)));
    assert_eq!(stalls.end(TurnPart::Core, at(1_001)), None);
    assert!(stalls.begin(at(3_000)));
    stalls.read(at(3_000), ran(50));
    assert_eq!(stalls.end(TurnPart::Core, at(3_001)), None);
    assert!(!stalls.goes_on());
    assert!(!stalls.begin(at(4_000)));
}

#[test]
fn the_log_gets_ever_fewer_lines_and_what_is_new_at_once() {
    let mut stalls = stalls();
    let work = SpanWork { batches: 1, ..SpanWork::default() };
    let stall = |ms: u64| Stall { us: ms * 1000, parts: [0; 9], work };
    let mut said = 0;
    // Ten stalls a second, for ten minutes.
    for n in 0..6_000_u64 {
        said += u32::from(stalls.say(&stall(20), at(n * 100_000)).is_some());
    }
    assert!((10..=20).contains(&said), "{said}");
    let say = stalls.say(&stall(40), at(600_000_000)).expect("twice as long");
    assert!(say.unsaid > 0 && say.unsaid_us_max == 20_000);
    assert_eq!(stalls.say(&stall(40), at(600_000_001)), None);
    let after = at(900_000_000);
    assert_eq!(stalls.say(&stall(5), after).expect("after a quiet time").unsaid, 1);
    assert!(stalls.say(&stall(5), MonoUs(after.0 + 1_000_000)).is_some());
}

#[test]
fn nothing_is_looked_for_where_it_is_switched_off() {
    let mut stalls = Stalls::new(0, START, ThreadUse::default());
    stalls.due(Some(at(5)));
    assert!(!stalls.begin(at(90_000_000)));
    assert_eq!(stalls.end(TurnPart::Core, at(99_000_000)), None);
    assert!(!stalls.goes_on());
    assert_eq!(stalls.looked(at(0), at(99_000_000)), None);
    assert_eq!(stalls.on_due(at(99_000_000)), None);
}
