//! What access control costs: a check of one client against lists of several lengths, and the work that is done once
//! for each list. Run with `cargo bench --bench acl`.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "inputs/mod.rs"]
mod inputs;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use inputs::{ThreadTime, elements};
use ringkeeper::acl::{AclList, Identity, Schemes};
use ringkeeper::jute::VectorBuf;
use ringkeeper::proto::data::{AclEntry, Id};

/// Entries of a list: one, as many as a list may have, and many more, as in a file of Apache ZooKeeper, which sets
/// no bound.
const LENGTHS: [usize; 3] = [1, 1024, 40_000];

fn list(
    length: usize,
    scheme: &str,
    name: impl Fn(usize) -> String,
) -> VectorBuf<AclEntry<'static>> {
    let mut list = VectorBuf::default();
    for number in 0..length {
        let name = name(number);
        list.push(&AclEntry { perms: 1, id: Id { scheme: Some(scheme), id: Some(&name) } });
    }
    list
}

fn digests(length: usize) -> VectorBuf<AclEntry<'static>> {
    list(length, "digest", |number| format!("user{number}:D/InIHSb7yEEbrWz8b9l71RjZJU="))
}

fn ranges(length: usize) -> VectorBuf<AclEntry<'static>> {
    list(length, "ip", |number| format!("10.{}.{}.0/24", number / 256, number % 256))
}

fn acl(criterion: &mut Criterion<ThreadTime>) {
    let who = [
        Identity::new("ip", "192.168.1.17"),
        Identity::new("digest", "somebody:D/InIHSb7yEEbrWz8b9l71RjZJU="),
    ];
    for (kind, make) in [("digest", digests as fn(usize) -> _), ("ip", ranges as fn(usize) -> _)] {
        let mut group = criterion.benchmark_group(format!("acl: {kind}"));
        for length in LENGTHS {
            let entries: VectorBuf<AclEntry<'static>> = make(length);
            let acl = AclList::new(entries.as_vector());
            group.throughput(elements(1));
            group.bench_function(BenchmarkId::new("a check of a stranger", length), |bencher| {
                bencher.iter(|| black_box(&acl).permits(1, black_box(&who), &Schemes::USUAL));
            });
            group.throughput(elements(length));
            group.bench_function(
                BenchmarkId::new("a list is made, each entry", length),
                |bencher| {
                    bencher.iter(|| AclList::new(black_box(entries.as_vector())));
                },
            );
        }
        group.finish();
    }
}

criterion_group! { name = benches; config = inputs::criterion(); targets = acl }
criterion_main!(benches);
