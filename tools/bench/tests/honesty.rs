//! What the engine counts when a server misbehaves, tested with a server that misbehaves as a script says.
//!
//! All times are lower bounds that follow from the waits of the server: a slow machine makes the times longer, and
//! no test fails.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use ringkeeper::error::ErrorCode;
use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::{Jute, begin_frame, end_frame};
use ringkeeper::proto::connect::{ConnectRequest, ConnectResponse};
use ringkeeper::proto::opcode::OpCode;
use ringkeeper::proto::request::RequestHeader;
use ringkeeper::proto::response::{MultiHeader, ReplyHeader};
use ringkeeper_bench::definition::{Definition, Load, Mix, Operations, Work};
use ringkeeper_bench::engine::{self, Target};
use ringkeeper_bench::result::Measured;

/// What the server does with a setData.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    /// The server answers it together with the next one that it answers.
    Withheld,
    Refused(ErrorCode),
    /// The server ends the connection instead of answering.
    Cut,
}

/// The script of the server, and what the server saw.
struct Script {
    /// What the server does with each setData, by its number.
    fate: fn(u32) -> Fate,
    /// Whether the server lets clients resume sessions.
    resumes: bool,
    sets: u32,
    /// The ids of the sessions that clients asked to resume.
    resumed: Vec<i64>,
}

/// A server that does what the script says; its threads end with their connections.
fn server(fate: fn(u32) -> Fate, resumes: bool) -> (SocketAddr, Arc<Mutex<Script>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script = Arc::new(Mutex::new(Script { fate, resumes, sets: 0, resumed: Vec::new() }));
    let shared = script.clone();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let script = shared.clone();
            thread::spawn(move || serve(stream, &script));
        }
    });
    (address, script)
}

fn serve(mut stream: TcpStream, script: &Mutex<Script>) -> Option<()> {
    let frame = receive(&mut stream)?;
    let request = ConnectRequest::from_bytes(&frame).unwrap();
    let mut out = Vec::new();
    let comes_back = request.session_id != SessionId::NONE;
    if comes_back {
        script.lock().unwrap().resumed.push(request.session_id.0);
    }
    if comes_back && !script.lock().unwrap().resumes {
        ConnectResponse::refused(Some(false)).encode_frame(&mut out);
        return stream.write_all(&out).ok();
    }
    let response = ConnectResponse {
        protocol_version: 0,
        timeout_ms: 30_000,
        session_id: SessionId(77),
        password: [1; 16],
        read_only: Some(false),
    };
    response.encode_frame(&mut out);
    stream.write_all(&out).ok()?;
    out.clear();
    loop {
        let frame = receive(&mut stream)?;
        let header = RequestHeader::from_bytes(&frame).unwrap();
        let fate = if header.op == OpCode::SetData.number() {
            let mut script = script.lock().unwrap();
            script.sets += 1;
            (script.fate)(script.sets)
        } else {
            Fate::Answered
        };
        let err = match fate {
            Fate::Cut => return None,
            Fate::Refused(code) => code.code(),
            Fate::Answered | Fate::Withheld => 0,
        };
        let start = begin_frame(&mut out);
        ReplyHeader { xid: header.xid, zxid: Zxid(1), err }.encode(&mut out);
        match OpCode::from_i32(header.op) {
            Some(OpCode::Multi) => MultiHeader::END.encode(&mut out),
            Some(OpCode::GetChildren) => 0i32.encode(&mut out),
            _ => {}
        }
        end_frame(&mut out, start);
        if fate != Fate::Withheld {
            stream.write_all(&out).ok()?;
            out.clear();
        }
    }
}

fn receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut frame).ok()?;
    Some(frame)
}

fn run(address: SocketAddr, load: Load) -> Measured {
    let mut mix = Mix::new(1, load, Operations { set: 1, ..Operations::default() });
    mix.znodes = 1;
    engine::run(&Target::new(vec![address]), &definition(mix), None, &mut |_| {}).unwrap()
}

fn definition(mix: Mix) -> Definition {
    Definition {
        name: "honesty".to_owned(),
        title: String::new(),
        why: String::new(),
        groups: Vec::new(),
        servers: vec![1],
        warm_up_s: 0.0,
        seconds: 0.5,
        slice_ms: 100,
        fresh: false,
        beside: ringkeeper_bench::beside::Beside::default(),
        step: None,
        work: Work::Mix(mix),
    }
}

fn errors(measured: &Measured) -> BTreeMap<&str, u64> {
    measured.errors.iter().map(|(name, &count)| (name.as_str(), count)).collect()
}

#[test]
fn a_stall_costs_every_request_that_was_due_meanwhile_in_an_open_loop() {
    // The first answer waits for the fortieth request, which is due 195 ms later.
    let (address, _) = server(|set| if set < 40 { Fate::Withheld } else { Fate::Answered }, true);
    let measured = run(address, Load::Open { per_second: 200.0 });
    assert_eq!(errors(&measured), BTreeMap::new());
    // The engine counts one request for every 5 ms of half a second, in spite of the stall.
    assert_eq!(measured.all.count, 100);
    assert!(measured.all.percentiles.max_us >= 194_000.0, "{:?}", measured.all.percentiles);
    let slow = measured.all.curve.iter().find(|point| point.1 >= 95_000.0).unwrap();
    // Twenty of the hundred waited for 95 ms or more.
    assert!(slow.0 <= 0.82, "{slow:?}");
}

#[test]
fn the_rate_of_an_open_loop_does_not_depend_on_the_answers() {
    let (address, script) = server(|_| Fate::Withheld, true);
    let measured = run(address, Load::Open { per_second: 100.0 });
    assert_eq!(measured.all.count, 0);
    assert_eq!(errors(&measured), BTreeMap::from([("unanswered", 50)]));
    assert_eq!(script.lock().unwrap().sets, 50);
}

#[test]
fn requests_lost_with_their_connection_are_counted_and_the_load_goes_on_in_the_same_session() {
    let (address, script) = server(|set| if set == 10 { Fate::Cut } else { Fate::Answered }, true);
    let measured = run(address, Load::Closed { depth: 3 });
    let lost = errors(&measured)["connection lost"];
    assert!((1..=3).contains(&lost), "{lost} of at most 3 in flight");
    assert_eq!(measured.all.errors, lost);
    assert_eq!(measured.sessions_lost, 0);
    assert!(measured.all.count > 10, "{}", measured.all.count);
    assert_eq!(script.lock().unwrap().resumed, [77]);
    // The requests in the places that the loss freed were due from the loss on, so their wait includes the time
    // without a connection.
    assert!(measured.all.percentiles.max_us >= 19_000.0, "{:?}", measured.all.percentiles);
}

#[test]
fn a_session_that_a_server_let_expire_is_counted_and_replaced() {
    let (address, _) = server(|set| if set == 10 { Fate::Cut } else { Fate::Answered }, false);
    let measured = run(address, Load::Closed { depth: 1 });
    assert_eq!(measured.sessions_lost, 1);
    assert!(measured.all.count > 10, "{}", measured.all.count);
}

#[test]
fn refusals_are_counted_by_name_and_are_no_successes() {
    let (address, script) = server(|_| Fate::Refused(ErrorCode::NoNode), true);
    let measured = run(address, Load::Closed { depth: 1 });
    assert_eq!(measured.all.count, 0);
    assert_eq!(measured.operations["set"].errors, measured.all.errors);
    assert_eq!(errors(&measured), BTreeMap::from([("NoNode", measured.all.errors)]));
    assert!(u64::from(script.lock().unwrap().sets) >= measured.all.errors);
    let in_slices: u64 = measured.timeline.iter().map(|slice| slice.errors).sum();
    assert!(in_slices > 0 && in_slices <= measured.all.errors);
}

#[test]
fn a_definition_that_makes_no_sense_is_refused_before_anybody_is_asked() {
    let mix = Mix::new(1, Load::Closed { depth: 1 }, Operations::default());
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let why = engine::run(&Target::new(vec![nobody]), &definition(mix), None, &mut |_| {});
    let why = why.unwrap_err().to_string();
    assert!(why.starts_with("honesty: work.operations names no operation"), "{why}");
}
