//! What it costs to read a request, to write an answer, to encode a transaction, and to check one that came from
//! elsewhere. Run with `cargo bench --bench codec`.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "inputs/mod.rs"]
mod inputs;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use inputs::{ThreadTime, Txns, elements, open_acl, path};
use ringkeeper::id::Zxid;
use ringkeeper::jute::{Decoder, Jute, VectorBuf, begin_frame, end_frame};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::data::Stat;
use ringkeeper::proto::request::{
    CreateRequest, MultiOp, PathWatch, RequestBody, RequestHeader, SetDataRequest,
};
use ringkeeper::proto::response::{GetChildren2Response, GetDataResponse, ReplyHeader};
use ringkeeper::proto::txn::Txn;

const DATA: [u8; 100] = [7; 100];

/// A request as it stands in a frame: the header, then the body.
fn request(op: OpCode, body: &RequestBody<'_>) -> Vec<u8> {
    let mut out = RequestHeader { xid: 1, op: op.number() }.to_bytes();
    body.encode(op, &mut out);
    out
}

fn set(path: &str) -> SetDataRequest<'_> {
    SetDataRequest { path: Some(path), data: Some(&DATA), version: -1 }
}

fn requests() -> Vec<(&'static str, OpCode, Vec<u8>)> {
    let (path, acl) = (path(7), open_acl());
    let path = path.as_str();
    let get = RequestBody::PathWatch(PathWatch { path: Some(path), watch: false });
    let create = RequestBody::Create(CreateRequest {
        path: Some(path),
        data: Some(&DATA),
        acl: acl.as_vector(),
        flags: 0,
    });
    let multi = RequestBody::Multi((0..10).map(|_| MultiOp::SetData(set(path))).collect());
    let set = RequestBody::SetData(set(path));
    [
        ("getData", OpCode::GetData, get),
        ("setData of 100 bytes", OpCode::SetData, set),
        ("create of 100 bytes", OpCode::Create, create),
        ("multi of ten setData", OpCode::Multi, multi),
    ]
    .into_iter()
    .map(|(name, op, body)| (name, op, request(op, &body)))
    .collect()
}

fn decode(criterion: &mut Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("codec: read a request");
    group.throughput(elements(1));
    for (name, op, bytes) in requests() {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut input = Decoder::new(black_box(&bytes));
                let header = RequestHeader::decode(&mut input).unwrap();
                let body = RequestBody::decode(op, input.rest()).unwrap();
                black_box(&body);
                header.xid
            });
        });
    }
    group.finish();
}

fn encode(criterion: &mut Criterion<ThreadTime>) {
    let stat = Stat::decode(&mut Decoder::new(&[1; 68])).unwrap();
    let data = GetDataResponse { data: Some(&DATA), stat };
    let mut names = VectorBuf::<Option<&str>>::default();
    for n in 0..100 {
        names.push(&Some(format!("node-{n:014}").as_str()));
    }
    let children = GetChildren2Response { children: names.as_vector(), stat };
    let mut group = criterion.benchmark_group("codec: write a reply");
    group.throughput(elements(1));
    let mut out = Vec::new();
    let mut reply = |bencher: &mut criterion::Bencher<'_, ThreadTime>,
                     body: &dyn Fn(&mut Vec<u8>)| {
        bencher.iter(|| {
            out.clear();
            let start = begin_frame(&mut out);
            ReplyHeader { xid: 1, zxid: Zxid(2), err: 0 }.encode(&mut out);
            body(&mut out);
            end_frame(&mut out, start);
            out.len()
        });
    };
    group.bench_function("getData of 100 bytes", |bencher| {
        reply(bencher, &|out| black_box(&data).encode(out));
    });
    group.bench_function("getChildren2 of a hundred", |bencher| {
        reply(bencher, &|out| black_box(&children).encode(out));
    });
    group.finish();
}

fn transactions(criterion: &mut Criterion<ThreadTime>) {
    let path = path(7);
    let mut txns = Txns::new();
    let mut group = criterion.benchmark_group("codec: transactions");
    group.throughput(elements(1));
    group.bench_function("encode setData of 100 bytes", |bencher| {
        bencher.iter(|| txns.set(black_box(&path), &DATA));
    });
    group.bench_function("encode create of 100 bytes", |bencher| {
        bencher.iter(|| txns.create(black_box(&path), &DATA));
    });
    let bytes = txns.create(&path, &DATA).bytes().clone();
    group.bench_function("check create of 100 bytes", |bencher| {
        bencher.iter(|| Txn::parse(black_box(&bytes)).unwrap());
    });
    group.finish();
}

criterion_group! { name = benches; config = inputs::criterion(); targets = decode, encode, transactions }
criterion_main!(benches);
