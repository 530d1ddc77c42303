//! One random operation: any opcode, valid or not.

use ringkeeper::proto::opcode::OpCode;
use ringkeeper_rawclient::Body;

use crate::draft::{Draft, Path};
use crate::plan::Request;
use crate::rng::Rng;
use crate::universe::{self, LIMITS};

/// The operations that a plan draws from.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// `jute.maxbuffer`.
    pub frame_bytes_max: usize,
    /// Whether the body of an operation may be one that no server can decode.
    pub broken_bodies: bool,
    /// The percentage of operations on quota nodes.
    pub quota_percent: usize,
    /// Whether there are pipelines.
    pub bursts: bool,
}

/// A random operation that is answered in order and leaves the connection open: fit for a pipeline.
pub fn pipelined(rng: &mut Rng, shape: Shape) -> Request {
    if rng.chance(shape.quota_percent) {
        return quota(rng);
    }
    let op = *rng.weighted(&[
        (18, OpCode::Create),
        (10, OpCode::Create2),
        (4, OpCode::CreateContainer),
        (4, OpCode::CreateTtl),
        (16, OpCode::Delete),
        (14, OpCode::SetData),
        (8, OpCode::Exists),
        (8, OpCode::GetData),
        (3, OpCode::GetAcl),
        (5, OpCode::SetAcl),
        (6, OpCode::GetChildren),
        (6, OpCode::GetChildren2),
        (2, OpCode::Sync),
        (2, OpCode::Ping),
        (12, OpCode::Multi),
        (3, OpCode::MultiRead),
        (1, OpCode::Reconfig),
        (3, OpCode::CheckWatches),
        (3, OpCode::RemoveWatches),
        (4, OpCode::SetWatches),
        (4, OpCode::SetWatches2),
        (2, OpCode::GetEphemerals),
        (2, OpCode::GetAllChildrenNumber),
        (8, OpCode::AddWatch),
        (1, OpCode::WhoAmI),
    ]);
    let mut request = Request::new(op.number(), body_of(rng, op));
    if shape.broken_bodies && rng.chance(1) && op != OpCode::Ping {
        let percent = rng.below(100);
        request.draft.label += &format!(" (cut to {percent} %)");
        request.draft.cut_percent = Some(percent);
    }
    request
}

/// A random operation that must stand alone: its reply overtakes others, or the connection ends.
pub fn alone(rng: &mut Rng, shape: Shape) -> Request {
    match rng.below(21) {
        0..14 => {
            let (scheme, proof, closes) = universe::authentication(rng);
            let words = format!(
                "{scheme:?} {:?}",
                proof.as_deref().map(String::from_utf8_lossy).unwrap_or_default()
            );
            let body = Body::new()
                .int(rng.pick(&[0, 0, 0, 7]))
                .buffer(scheme.map(str::as_bytes))
                .buffer(proof.as_deref());
            Request::new(OpCode::Auth.number(), Draft::new("auth").body(body, &words))
                .closing(closes)
        }
        14..17 => {
            Request::new(OpCode::CloseSession.number(), Draft::new("closeSession")).closing(true)
        }
        17 => {
            let op = rng.pick(&[0, 10, 13, -1, 23, 99, 108, 1000, -2, i32::MIN]);
            let body = Body::path_version("/a", -1);
            Request::new(op, Draft::new(format!("opcode {op}")).body(body, "/a")).closing(true)
        }
        18 => {
            let op = rng.pick(&[0, 10, 13, -1, 99]);
            Request::new(op, Draft::new(format!("opcode {op}"))).closing(true)
        }
        19 => {
            // Header 8, path 4 + 2, data 4, version 4: the longest frame that is let in, or one byte more.
            let length = shape.frame_bytes_max - 22 + rng.below(2);
            let data = vec![b'L'; length];
            let body = Body::set_data("/a", Some(&data), -1);
            let draft = Draft::new(format!("setData /a {length} bytes"));
            Request::new(OpCode::SetData.number(), draft.body(body, ""))
        }
        _ => Request::new(OpCode::Ping.number(), Draft::new("ping")),
    }
}

fn body_of(rng: &mut Rng, op: OpCode) -> Draft {
    let draft = Draft::new(op.name());
    match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            create(rng, op)
        }
        OpCode::Delete | OpCode::Check => delete(rng, draft),
        OpCode::SetData => set_data(rng, draft),
        OpCode::Exists | OpCode::GetData | OpCode::GetChildren | OpCode::GetChildren2 => {
            let watch = rng.chance(45);
            draft
                .path(universe::path(rng))
                .body(Body::new().bool(watch), if watch { "watch" } else { "" })
        }
        OpCode::Sync => draft.path(universe::echoed_path(rng)),
        OpCode::GetAcl | OpCode::GetEphemerals | OpCode::GetAllChildrenNumber => {
            draft.path(universe::path(rng))
        }
        OpCode::SetAcl => {
            let path =
                if rng.chance(96) { universe::good_path(rng) } else { universe::bad_path(rng) };
            let (acl, words) = universe::acl(rng);
            let version = universe::version(rng);
            draft
                .path(path)
                .body(acl, &words)
                .body(Body::new().int(version), &format!("v{version}"))
        }
        OpCode::Multi => multi(rng),
        OpCode::MultiRead => multi_read(rng),
        OpCode::Reconfig => {
            let body = match rng.below(3) {
                0 => Body::new().buffer(None).buffer(None).text("server.1=a:1:2;3").long(-1),
                1 => Body::new().text("server.5=a:1:2;3").text("3").buffer(None).long(7),
                _ => Body::new().buffer(None).buffer(None).buffer(None).long(-1),
            };
            draft.body(body, "")
        }
        OpCode::CheckWatches | OpCode::RemoveWatches => {
            let kind = rng.pick(&[1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 0, 6, -1]);
            draft.path(universe::path(rng)).body(Body::new().int(kind), &format!("type {kind}"))
        }
        OpCode::AddWatch => {
            let mode = rng.pick(&[0, 1, 0, 1, 0, 1, 0, 1, 2, -1]);
            draft
                .path(universe::echoed_path(rng))
                .body(Body::new().int(mode), &format!("mode {mode}"))
        }
        OpCode::SetWatches | OpCode::SetWatches2 => {
            let back = i64::try_from(rng.below(12)).expect("below 12") * i64::from(rng.chance(80))
                - i64::from(rng.chance(5)) * 1000;
            let lists = if op == OpCode::SetWatches2 { 5 } else { 3 };
            let mut draft = draft.zxid_back(back);
            for list in 0..lists {
                draft = if rng.chance(3) {
                    draft.body(Body::new().int(-1), "null")
                } else {
                    let count = rng.below(4);
                    let head = Body::new().int(i32::try_from(count).expect("below 4"));
                    (0..count).fold(draft.body(head, "|"), |draft, _| {
                        let null = list < 3 && rng.chance(1);
                        draft.path(if null {
                            Path::Literal(None)
                        } else {
                            universe::echoed_path(rng)
                        })
                    })
                };
            }
            draft
        }
        _ => draft,
    }
}

fn create(rng: &mut Rng, op: OpCode) -> Draft {
    let usual: &[i32] = match op {
        OpCode::CreateContainer => &[4],
        OpCode::CreateTtl => &[5, 6],
        _ => &[0, 0, 0, 1, 1, 2, 3],
    };
    let flags =
        if rng.chance(94) { rng.pick(usual) } else { rng.pick(&[0, 1, 2, 3, 4, 5, 6, 7, -1, 100]) };
    let sequential = matches!(flags, 2 | 3 | 6);
    let path = if sequential { universe::sequence_path(rng) } else { universe::path(rng) };
    let (acl, words) = universe::acl(rng);
    let value = universe::data(rng);
    let words = format!("{} {words} flags {flags}", data_words(value.as_deref()));
    let body = Body::new().buffer(value.as_deref()).append(&acl).int(flags);
    let mut draft = Draft::new(op.name()).path(path).body(body, &words);
    // See `crate::ALLOWED`.
    let has_other_kind = matches!(op, OpCode::CreateContainer | OpCode::CreateTtl);
    draft.is_unsteady = has_other_kind && matches!(flags, 1 | 3);
    if op == OpCode::CreateTtl {
        // Long, so that no node of a plan lives or dies by the clock; the plans about time have their own.
        let ttls: &[i64] = match flags {
            5 | 6 => &[3_600_000, 0x00ff_ffff_ffff, 3_600_001, 0, -1, 0x0100_0000_0000, i64::MAX],
            // ZooKeeper: PrepRequestProcessor looks at the TTL only if the flags ask for one. A wrong TTL stops
            // ZooKeeper when it applies the transaction, and again at every start, because the log has the
            // transaction.
            _ => &[3_600_000],
        };
        let ttl = rng.pick(ttls);
        draft.body(Body::new().long(ttl), &format!("ttl {ttl}"))
    } else {
        draft
    }
}

fn delete(rng: &mut Rng, draft: Draft) -> Draft {
    let version = universe::version(rng);
    draft.path(universe::path(rng)).body(Body::new().int(version), &format!("v{version}"))
}

fn set_data(rng: &mut Rng, draft: Draft) -> Draft {
    let value = universe::data(rng);
    let version = universe::version(rng);
    let words = format!("{} v{version}", data_words(value.as_deref()));
    draft.path(universe::path(rng)).body(Body::new().buffer(value.as_deref()).int(version), &words)
}

fn multi(rng: &mut Rng) -> Draft {
    let count = rng.pick(&[0, 1, 2, 2, 3, 3, 4, 6]);
    let mut draft = Draft::new("multi");
    for _ in 0..count {
        let op = *rng.weighted(&[
            (8, OpCode::Create),
            (6, OpCode::Create2),
            (2, OpCode::CreateContainer),
            (2, OpCode::CreateTtl),
            (7, OpCode::Delete),
            (7, OpCode::SetData),
            (5, OpCode::Check),
        ]);
        let body = body_of(rng, op);
        draft = draft.body(multi_header(op.number(), false), "").draft(body);
    }
    if rng.chance(2) {
        let op = rng.pick(&[
            OpCode::GetData.number(),
            OpCode::SetAcl.number(),
            OpCode::Multi.number(),
            99,
        ]);
        let body = Draft::new(format!("opcode {op}"))
            .path(Path::of("/a"))
            .body(Body::new().bool(false), "");
        draft = draft.body(multi_header(op, false), "").draft(body);
    }
    if rng.chance(99) {
        draft.body(Body::new().multi_end(), "")
    } else {
        draft.body(Body::new(), "without end")
    }
}

fn multi_read(rng: &mut Rng) -> Draft {
    let count = rng.below(5);
    let mut draft = Draft::new("multiRead");
    for _ in 0..count {
        let op = if rng.chance(50) { OpCode::GetData } else { OpCode::GetChildren };
        let body = Draft::new(op.name())
            .path(universe::path(rng))
            .body(Body::new().bool(rng.chance(20)), "");
        draft = draft.body(multi_header(op.number(), false), "").draft(body);
    }
    if rng.chance(4) {
        let body =
            Draft::new("delete").path(universe::good_path(rng)).body(Body::new().int(-1), "");
        draft = draft.body(multi_header(OpCode::Delete.number(), false), "").draft(body);
    }
    draft.body(Body::new().multi_end(), "")
}

fn multi_header(op: i32, done: bool) -> Body {
    Body::new().int(op).bool(done).int(-1)
}

/// An operation on the nodes that quotas are made of.
fn quota(rng: &mut Rng) -> Request {
    let place = rng.pick(&["/zookeeper/quota/a", "/zookeeper/quota/b", "/zookeeper/quota/a/b"]);
    let limits = format!("{place}/zookeeper_limits");
    let stats = format!("{place}/zookeeper_stats");
    let value = rng.pick(LIMITS).as_bytes();
    let create = |path: &str, value: &[u8]| {
        let body = Body::create(path, Some(value), ringkeeper_rawclient::OPEN_ACL, 0);
        Request::new(OpCode::Create.number(), Draft::new(format!("create {path}")).body(body, ""))
    };
    match rng.below(8) {
        0 => create(place, b""),
        1..3 => create(&limits, value),
        3..5 => create(&stats, b"count=0,bytes=0"),
        5 => {
            let body = Body::set_data(&limits, Some(value), -1);
            Request::new(
                OpCode::SetData.number(),
                Draft::new(format!("setData {limits}")).body(body, ""),
            )
        }
        6 => {
            let path = if rng.chance(50) { limits } else { stats };
            let body = Body::path_version(&path, -1);
            Request::new(
                OpCode::Delete.number(),
                Draft::new(format!("delete {path}")).body(body, ""),
            )
        }
        _ => {
            let path = if rng.chance(50) { limits } else { stats };
            let body = Body::path_watch(&path, true);
            Request::new(
                OpCode::GetData.number(),
                Draft::new(format!("getData {path}")).body(body, ""),
            )
        }
    }
}

fn data_words(data: Option<&[u8]>) -> String {
    match data {
        None => "null".to_owned(),
        Some(data) => format!("{} bytes", data.len()),
    }
}
