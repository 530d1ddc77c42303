//! What the replica costs on one core, without disk and sockets: requests a second, by kind.
//!
//! Run with `cargo bench --bench replica`. `ringkeeper-bench core` measures the same work and says which goals it
//! reaches; this benchmark compares with an earlier state. The measure is the processor time of the thread, so that
//! a busy machine does not count.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "inputs/mod.rs"]
mod inputs;

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inputs::ThreadTime;
use ringkeeper_bench::in_process::{Core, KINDS, TURN};

fn replica(criterion: &mut Criterion<ThreadTime>) {
    let mut core = Core::new();
    let mut group = criterion.benchmark_group("replica");
    group.throughput(Throughput::Elements(1));
    for kind in &KINDS {
        group.bench_function(kind.name, |bencher| {
            bencher.iter_custom(|iters| {
                let (mut took, mut left) = (Duration::ZERO, iters);
                while left > 0 {
                    let turn = left.min(TURN);
                    took += core.turn(kind, turn);
                    left -= turn;
                }
                took
            });
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = inputs::criterion(); targets = replica }
criterion_main!(benches);
