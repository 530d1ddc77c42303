//! Closed loops of puts and ranges over gRPC: one HTTP/2 connection for each session of the
//! definition, one stream for each request in flight.
//!
//! It is far from the engine's cost per request, but also far from being etcd's bottleneck; how
//! busy it was stands in the result as ever.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use hdrhistogram::Histogram;
use http::{HeaderMap, Method, Request, Version};
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use crate::definition::{Definition, Keys, Load, Mix, Operations, Work};
use crate::engine::{Phase, Progress};
use crate::result::{Measured, OpResult, Slice, float, micros};
use crate::turn::Watcher;

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// Requests in flight at the end get this long.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// Whether a workload has a counterpart in etcd.
///
/// # Errors
/// It has none; says which part of it.
pub fn suits(definition: &Definition) -> Result<(), String> {
    let Work::Mix(mix) = &definition.work else {
        return Err("etcd runs plain mixes of reads and writes only".to_owned());
    };
    let Operations {
        get,
        set,
        create,
        exists,
        children,
        create_ephemeral,
        delete,
        multi,
        multi_read,
        sync,
    } = &mix.operations;
    if [exists, children, create_ephemeral, delete, multi, multi_read, sync].iter().any(|w| **w > 0)
        || get + set + create == 0
    {
        return Err("etcd runs get, set and create only".to_owned());
    }
    if mix.keys != Keys::Own || mix.watches > 0 || mix.reads_watch {
        return Err("etcd runs sessions with keys of their own and without watches only".to_owned());
    }
    if definition.step.is_some() || matches!(mix.load, Load::Open { .. }) {
        return Err("etcd runs closed loops without steps only".to_owned());
    }
    Ok(())
}

/// Runs a workload that [`suits`] and measures it.
///
/// # Errors
/// It does not suit, or a server cannot be reached.
pub fn run(
    servers: &[SocketAddr],
    definition: &Definition,
    watcher: Watcher<'_>,
) -> Result<Measured, String> {
    suits(definition)?;
    let (Work::Mix(mix), false) = (&definition.work, servers.is_empty()) else {
        return Err("etcd runs mixes on at least one server".to_owned());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start a runtime: {error}"))?;
    LocalSet::new().block_on(&runtime, drive(servers, definition, mix, watcher))
}

/// What is recorded, shared by all requests of the thread.
struct Recorder {
    begun: Instant,
    from: Duration,
    end: Duration,
    operations: BTreeMap<&'static str, Operation>,
    errors: BTreeMap<String, u64>,
    slice: Operation,
}

struct Operation {
    latencies: Histogram<u64>,
    /// Successes answered within the measured time.
    in_window: u64,
    errors: u64,
}

impl Operation {
    fn new() -> Self {
        let latencies =
            Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("these bounds are allowed");
        Operation { latencies, in_window: 0, errors: 0 }
    }
}

impl Recorder {
    fn record(&mut self, name: &'static str, due: Duration, outcome: Result<(), String>) {
        let now = self.begun.elapsed();
        let latency = u64::try_from((now - due).as_nanos()).unwrap_or(u64::MAX);
        let measured = now >= self.from && due < self.end;
        let operation = self.operations.entry(name).or_insert_with(Operation::new);
        match outcome {
            Ok(()) => {
                self.slice.latencies.saturating_record(latency);
                if measured {
                    operation.latencies.saturating_record(latency);
                    operation.in_window += u64::from(now < self.end);
                }
            }
            Err(why) => {
                self.slice.errors += 1;
                if measured {
                    operation.errors += 1;
                    *self.errors.entry(why).or_default() += 1;
                }
            }
        }
    }
}

async fn drive(
    servers: &[SocketAddr],
    definition: &Definition,
    mix: &Mix,
    watcher: Watcher<'_>,
) -> Result<Measured, String> {
    let tell = |watcher: &mut dyn FnMut(&Progress), phase, done, slice: Option<Slice>, rate| {
        watcher(&Progress { phase, done, slice, per_second: rate });
    };
    tell(watcher, Phase::Preparing, 0.0, None, 0.0);
    let Load::Closed { depth } = mix.load else {
        return Err("etcd runs closed loops only".to_owned());
    };
    let value = vec![b'v'; usize::try_from(mix.value_bytes).expect("a size that fits")];
    let mut clients = Vec::new();
    for (session, server) in (0..mix.sessions).zip(servers.iter().cycle()) {
        let client = connect(*server).await?;
        let key = format!("/bench/{session:06}");
        request(client.clone(), PUT, put(&key, &value)).await?;
        clients.push((client, key));
    }

    let warm_up = Duration::from_secs_f64(definition.warm_up_s);
    let seconds = Duration::from_secs_f64(definition.seconds);
    let recorder = Rc::new(RefCell::new(Recorder {
        begun: Instant::now(),
        from: warm_up,
        end: warm_up + seconds,
        operations: BTreeMap::new(),
        errors: BTreeMap::new(),
        slice: Operation::new(),
    }));
    let mut loops = JoinSet::new();
    for (client, key) in clients {
        for place in 0..depth {
            let (recorder, client) = (Rc::clone(&recorder), client.clone());
            let (operations, value) = (mix.operations.clone(), value.clone());
            loops.spawn_local(keep_busy(recorder, client, key.clone(), place, operations, value));
        }
    }

    let begun = recorder.borrow().begun;
    let slice = Duration::from_millis(u64::from(definition.slice_ms));
    tell(watcher, Phase::WarmingUp, 0.0, None, 0.0);
    tokio::time::sleep_until((begun + warm_up).into()).await;
    recorder.borrow_mut().slice = Operation::new();
    let cpu = thread_cpu();
    tell(watcher, Phase::Measuring, 0.0, None, 0.0);
    let mut timeline = Vec::new();
    let mut at = Duration::ZERO;
    while at < seconds {
        let next = (at + slice).min(seconds);
        tokio::time::sleep_until((begun + warm_up + next).into()).await;
        let over = std::mem::replace(&mut recorder.borrow_mut().slice, Operation::new());
        let told = over.slice(at);
        timeline.push(told);
        let rate = float(told.operations) / (next - at).as_secs_f64();
        tell(watcher, Phase::Measuring, next.div_duration_f64(seconds), Some(told), rate);
        at = next;
    }
    let busy = thread_cpu().saturating_sub(cpu).div_duration_f64(seconds).min(1.0);
    tell(watcher, Phase::CleaningUp, 0.0, None, 0.0);
    let drained =
        tokio::time::timeout(LAST_ANSWERS, async { while loops.join_next().await.is_some() {} });
    if drained.await.is_err() {
        let unanswered = u64::try_from(loops.len()).unwrap_or(u64::MAX);
        recorder.borrow_mut().errors.insert("unanswered".to_owned(), unanswered);
    }
    loops.abort_all();

    let recorder = recorder.borrow();
    let mut all = Operation::new();
    for operation in recorder.operations.values() {
        all.latencies.add(&operation.latencies).expect("histograms of the same bounds");
        all.in_window += operation.in_window;
        all.errors += operation.errors;
    }
    let seconds = seconds.as_secs_f64();
    let results = recorder.operations.iter();
    Ok(Measured {
        seconds,
        all: all.result(seconds),
        operations: results.map(|(name, op)| ((*name).to_owned(), op.result(seconds))).collect(),
        errors: recorder.errors.clone(),
        sessions_lost: 0,
        timeline,
        generator_busy: busy,
    })
}

/// One place in flight: the next request is due when the last one is answered.
async fn keep_busy(
    recorder: Rc<RefCell<Recorder>>,
    client: SendRequest<Bytes>,
    key: String,
    place: u32,
    operations: Operations,
    value: Vec<u8>,
) {
    let (begun, end) = {
        let recorder = recorder.borrow();
        (recorder.begun, recorder.end)
    };
    let Operations { get, set, create, .. } = operations;
    // The same mix in every place, but not in step.
    let mut number = place;
    loop {
        let due = begun.elapsed();
        if due >= end {
            return;
        }
        let turn = number.wrapping_mul(7) % (get + set + create);
        let (name, path, message) = if turn < get {
            ("get", RANGE, range(&key))
        } else if turn < get + set {
            ("set", PUT, put(&key, &value))
        } else {
            ("create", PUT, put(&format!("{key}/{place}/{number}"), &value))
        };
        let outcome = request(client.clone(), path, message).await;
        let failed = outcome.is_err();
        recorder.borrow_mut().record(name, due, outcome);
        if failed {
            // A connection that is gone fails at once, again and again.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        number = number.wrapping_add(1);
    }
}

async fn connect(server: SocketAddr) -> Result<SendRequest<Bytes>, String> {
    let stream = TcpStream::connect(server).await.map_err(|error| format!("{server}: {error}"))?;
    stream.set_nodelay(true).map_err(|error| format!("{server}: {error}"))?;
    let explain = |error: h2::Error| format!("{server}: {error}");
    let (client, connection) = h2::client::handshake(stream).await.map_err(explain)?;
    // It ends with its last handle; an error on it fails the requests that wait for it.
    tokio::task::spawn_local(async move { drop(connection.await) });
    client.ready().await.map_err(explain)
}

/// One unary call; `Ok` if its status is 0.
async fn request(
    client: SendRequest<Bytes>,
    path: &'static str,
    message: Bytes,
) -> Result<(), String> {
    let explain = |error: h2::Error| format!("connection: {error}");
    let mut client = client.ready().await.map_err(explain)?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://etcd{path}"))
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request made of constants");
    let (response, mut stream) = client.send_request(request, false).map_err(explain)?;
    stream.send_data(message, true).map_err(explain)?;
    let response = response.await.map_err(explain)?;
    let (head, mut body) = response.into_parts();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(explain)?;
        body.flow_control().release_capacity(chunk.len()).map_err(explain)?;
    }
    let trailers = body.trailers().await.map_err(explain)?;
    // A call that fails at once has its status in the head.
    let status = trailers.as_ref().and_then(status_of).or_else(|| status_of(&head.headers));
    match status {
        Some("0") => Ok(()),
        Some(code) => Err(format!("gRPC status {code}")),
        None => Err("no gRPC status".to_owned()),
    }
}

fn status_of(headers: &HeaderMap) -> Option<&str> {
    headers.get("grpc-status")?.to_str().ok()
}

/// A PutRequest: key = 1, value = 2.
fn put(key: &str, value: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(key.len() + value.len() + 24);
    bytes_field(&mut message, 1, key.as_bytes());
    bytes_field(&mut message, 2, value);
    framed(&message)
}

/// A RangeRequest of one key: key = 1, serializable = 7.
fn range(key: &str) -> Bytes {
    let mut message = BytesMut::with_capacity(key.len() + 16);
    bytes_field(&mut message, 1, key.as_bytes());
    message.put_u8(7 << 3);
    message.put_u8(1);
    framed(&message)
}

/// A field of Protocol Buffers with wire type 2: tag, length as a varint, bytes.
fn bytes_field(message: &mut BytesMut, number: u8, bytes: &[u8]) {
    message.put_u8(number << 3 | 2);
    let mut rest = bytes.len();
    while rest >= 0x80 {
        message.put_u8(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
        rest >>= 7;
    }
    message.put_u8(u8::try_from(rest).expect("seven bits"));
    message.put_slice(bytes);
}

/// gRPC's frame: not compressed, length, message.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("a message below 4 GiB"));
    frame.put_slice(message);
    frame.freeze()
}

impl Operation {
    fn result(&self, seconds: f64) -> OpResult {
        OpResult::of(&self.latencies, self.errors, self.in_window, seconds)
    }

    fn slice(&self, at: Duration) -> Slice {
        Slice {
            at_s: at.as_secs_f64(),
            operations: self.latencies.len(),
            errors: self.errors,
            p50_us: micros(self.latencies.value_at_quantile(0.5)),
            p99_us: micros(self.latencies.value_at_quantile(0.99)),
            max_us: micros(self.latencies.max()),
        }
    }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_framed_as_grpc_wants_them() {
        let range = range("/k");
        assert_eq!(&range[..], b"\0\0\0\0\x06\x0a\x02/k\x38\x01");
        let put = put("/k", &[7; 300]);
        assert_eq!(&put[..13], b"\0\0\0\x01\x33\x0a\x02/k\x12\xac\x02\x07");
        assert_eq!(put.len(), 5 + 4 + 3 + 300);
    }
}
