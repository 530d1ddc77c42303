//! The properties of atomic broadcast and of primary order: tests of random runs, and of the run by which the paper
//! shows what other protocols do.

use std::sync::OnceLock;

use ringkeeper::id::{Epoch, Zxid};

use crate::ensemble::Ensemble;
use crate::trace::{Broadcast, Trace};

/// The number of random runs, each from a seed of its own.
const RUNS: u64 = 200;
const EVENTS: u64 = 1200;

/// A sequence of numbers (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^= number >> 31;
        usize::try_from(number % u64::try_from(end).unwrap()).unwrap()
    }
}

/// A run in which oracles change their minds, processes crash at any moment, and messages and writes are held up. In
/// the end all faults are over, and one process leads all others.
fn run(seed: u64) -> Trace {
    let mut random = Random(seed);
    let count = [3, 3, 5][random.below(3)];
    let ids: Vec<i64> = (1..=count).collect();
    let mut ensemble = Ensemble::of(count);
    let mut value = 0;
    for _ in 0..EVENTS {
        let (one, other) = (ids[random.below(ids.len())], ids[random.below(ids.len())]);
        match random.below(100) {
            0 if ensemble.is_up(one) => {
                let mut others = ids.clone();
                others.retain(|id| *id != one && ensemble.is_up(*id) && random.below(8) > 0);
                ensemble.lead(one, &others);
            }
            1 if ensemble.is_leader(other) && !ensemble.is_leader(one) => {
                ensemble.follow(other, &[one]);
            }
            2 if random.below(3) == 0 => ensemble.crash(one),
            3 | 4 if !ensemble.is_up(one) => ensemble.recover(one),
            5 if random.below(3) == 0 => ensemble.hold(one, other),
            6 => ensemble.unhold(one, other),
            7..20 => {
                value += 1;
                ensemble.broadcast(one, value);
            }
            _ => {
                let actions = ensemble.actions();
                if !actions.is_empty() {
                    ensemble.act(actions[random.below(actions.len())]);
                }
            }
        }
    }
    for one in &ids {
        ids.iter().for_each(|other| ensemble.unhold(*one, *other));
        if !ensemble.is_up(*one) {
            ensemble.recover(*one);
        }
    }
    ensemble.run();
    let leads = ids.iter().any(|leader| {
        let others: Vec<i64> = ids.iter().copied().filter(|id| id != leader).collect();
        ensemble.lead(*leader, &others);
        ensemble.run();
        ensemble.broadcast(*leader, value + 1);
        ensemble.run();
        ids.iter().all(|id| ensemble.delivered(*id).last() == Some(&(value + 1)))
    });
    assert!(leads, "seed {seed}: all are up and hear each other, and nobody leads all");
    ensemble.into_trace()
}

fn all_have(property: impl Fn(&Trace) -> bool) {
    static TRACES: OnceLock<Vec<Trace>> = OnceLock::new();
    let traces = TRACES.get_or_init(|| (0..RUNS).map(run).collect());
    for (seed, trace) in traces.iter().enumerate() {
        assert!(property(trace), "seed {seed}: {trace:#?}");
    }
    let epochs = traces.iter().map(|trace| {
        let epochs = trace.broadcasts.iter().map(|broadcast| broadcast.change.0.epoch());
        epochs.collect::<std::collections::BTreeSet<_>>().len()
    });
    let epochs: usize = epochs.sum();
    assert!(epochs > 3 * traces.len(), "{epochs} primaries in {} runs", traces.len());
}

fn at(epoch: i64, counter: u32) -> Zxid {
    Zxid::new(Epoch(epoch), counter)
}

/// A trace with these deliveries. The primary of epoch 1 broadcasts 1:1 and 1:2; the primary of epoch 2, which has
/// delivered 1:1, broadcasts 2:1.
fn trace(deliveries: &[&[(i64, u32)]]) -> Trace {
    let mut trace = Trace::default();
    let change = |(epoch, counter)| (at(epoch, counter), 0);
    for (broadcast, delivered) in
        [((1, 1), vec![]), ((1, 2), vec![]), ((2, 1), vec![change((1, 1))])]
    {
        trace.broadcasts.push(Broadcast { change: change(broadcast), delivered });
    }
    for (id, delivered) in (1..).zip(deliveries) {
        trace.begin(id, delivered.iter().copied().map(change).collect());
    }
    trace
}

// Paper, properties of atomic broadcast.
#[test]
fn integrity_means_that_whatever_is_delivered_was_broadcast() {
    assert!(!trace(&[&[(1, 1), (1, 3)]]).has_integrity());
    all_have(Trace::has_integrity);
}

// Paper, properties of atomic broadcast; Internals, guarantees.
#[test]
fn total_order_means_that_all_processes_deliver_in_one_order() {
    assert!(!trace(&[&[(1, 1), (1, 2)], &[(1, 2), (1, 1)]]).is_totally_ordered());
    assert!(!trace(&[&[(1, 1), (1, 2)], &[(1, 2)]]).is_totally_ordered());
    all_have(Trace::is_totally_ordered);
}

// Paper, properties of atomic broadcast.
#[test]
fn agreement_means_that_of_two_processes_one_delivers_what_the_other_does() {
    assert!(!trace(&[&[(1, 1), (1, 2)], &[(1, 1), (2, 1)]]).agrees());
    all_have(Trace::agrees);
}

// Paper, properties of primary order.
#[test]
fn local_primary_order_means_that_a_primarys_transactions_are_delivered_as_it_broadcast_them() {
    assert!(!trace(&[&[(1, 2)]]).has_local_primary_order());
    assert!(!trace(&[&[(1, 2), (1, 1)]]).has_local_primary_order());
    all_have(Trace::has_local_primary_order);
}

// Paper, properties of primary order.
#[test]
fn global_primary_order_means_that_an_earlier_primarys_transactions_are_delivered_first() {
    assert!(!trace(&[&[(1, 1), (2, 1), (1, 2)]]).has_global_primary_order());
    all_have(Trace::has_global_primary_order);
}

// Paper, properties of primary order.
#[test]
fn primary_integrity_means_that_a_primary_has_delivered_what_is_ever_delivered_of_earlier_ones() {
    assert!(!trace(&[&[(1, 1), (1, 2)]]).has_primary_integrity());
    assert!(trace(&[&[(1, 1), (2, 1)]]).has_primary_integrity());
    all_have(Trace::has_primary_integrity);
}

// Internals, guarantees: reliable delivery.
#[test]
fn what_one_process_has_delivered_all_deliver_when_the_ensemble_is_whole_again() {
    let mut ensemble = Ensemble::led(3, 1);
    [2, 3].into_iter().for_each(|id| ensemble.hold(1, id));
    ensemble.broadcast(1, 10).unwrap();
    ensemble.unhold(1, 2);
    // 2 logs the transaction, 1 delivers it, and the COMMIT reaches no other process.
    ensemble.run_until(|ensemble| ensemble.delivered(1) == [10]);
    ensemble.crash(1);
    assert_eq!((ensemble.ever_delivered(2), ensemble.ever_delivered(3)), (vec![], vec![]));
    ensemble.recover(1);
    ensemble.unhold(1, 3);
    ensemble.lead(2, &[1, 3]);
    ensemble.run();
    assert_eq!([1, 2, 3].map(|id| ensemble.delivered(id)), [[10], [10], [10]]);
}

/// With Paxos, each of three primaries may fill an empty place with a value of its choice. The processes then
/// deliver C of the second primary, and behind it B of the first one, which depends on A, which no process delivers.
// Paper, background: the run that shows why Paxos does not suffice.
#[test]
fn what_an_earlier_primary_had_outstanding_is_never_delivered_behind_a_later_one() {
    const A: i32 = 10;
    const B: i32 = 11;
    const C: i32 = 12;
    let mut ensemble = Ensemble::led(3, 1);
    // 1 logs A and B, which reach no other process.
    [2, 3].into_iter().for_each(|id| ensemble.hold(1, id));
    ensemble.broadcast(1, A).unwrap();
    ensemble.broadcast(1, B).unwrap();
    ensemble.run();
    ensemble.crash(1);
    // 2 logs C, which reaches no other process.
    ensemble.lead(2, &[3]);
    ensemble.run();
    ensemble.hold(2, 3);
    ensemble.broadcast(2, C).unwrap();
    ensemble.run();
    ensemble.crash(2);
    // 3 has none of these values and a later epoch than 1, so A and B are over.
    [2, 3].into_iter().for_each(|id| ensemble.release(1, id));
    ensemble.recover(1);
    ensemble.lead(1, &[3]);
    ensemble.release(2, 3);
    assert!(!ensemble.is_ready(1));
    ensemble.lead(3, &[1]);
    ensemble.run();
    ensemble.recover(2);
    ensemble.follow(3, &[2]);
    ensemble.broadcast(3, 13).unwrap();
    ensemble.run();
    assert_eq!([1, 2, 3].map(|id| ensemble.delivered(id)), [[13], [13], [13]]);
}
