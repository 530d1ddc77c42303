//! Hand-made seeds: right conversations and records, which the engine then breaks.
//!
//! `UPDATE_SEEDS=1 cargo test --test fuzz_corpus` writes them into the corpus. Without the variable, that test
//! compares the committed files with them.

use ringkeeper::id::{Epoch, ServerId, SessionId, Zxid};
use ringkeeper::jute::{Jute, Vector, VectorBuf};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::data::{AclEntry, Id, perms};
use ringkeeper::proto::quorum::{
    ELECTION_PROTOCOL_V1, ELECTION_PROTOCOL_V2, ElectionHandshake, LearnerInfo, Notification,
    PROTOCOL_VERSION, QuorumPacket, ServerState, packet,
};
use ringkeeper::proto::txn::{
    CheckVersionTxn, CreateContainerTxn, CreateTtlTxn, CreateTxn, DeleteTxn, SetAclTxn, SetDataTxn,
    SubTxn, Txn, TxnBody, TxnDigest, TxnHeader,
};

/// The bytes of a file that ZooKeeper wrote.
macro_rules! golden {
    ($name:literal) => {
        concat!("../../tests/golden/", $name)
    };
}

/// Seeds of one target by the names of their files.
pub type Seeds = Vec<(String, Vec<u8>)>;

/// The values that the bodies of transactions borrow.
struct Parts {
    acl: VectorBuf<AclEntry<'static>>,
    paths: VectorBuf<Option<&'static str>>,
    multi: VectorBuf<SubTxn<'static>>,
}

impl Parts {
    fn new() -> Parts {
        let mut acl = VectorBuf::default();
        acl.push(&AclEntry {
            perms: perms::ALL,
            id: Id { scheme: Some("world"), id: Some("anyone") },
        });
        acl.push(&AclEntry {
            perms: perms::READ,
            id: Id { scheme: Some("digest"), id: Some("u:xyz=") },
        });
        let mut paths = VectorBuf::default();
        paths.push(&Some("/e"));
        paths.push(&Some("/a/e0000000001"));
        let mut multi: VectorBuf<SubTxn<'static>> = VectorBuf::default();
        let mut part = |op: OpCode, body: TxnBody<'_>| {
            let mut bytes = Vec::new();
            body.encode(&mut bytes);
            multi.push(&SubTxn { op: op.number(), body: Some(&bytes) });
        };
        part(OpCode::Check, TxnBody::Check(CheckVersionTxn { path: Some("/a"), version: 3 }));
        part(OpCode::Delete, TxnBody::Delete(DeleteTxn { path: Some("/a/b") }));
        part(OpCode::Error, TxnBody::Error { err: -2 });
        Parts { acl, paths, multi }
    }

    fn bodies(&self) -> Vec<(&'static str, OpCode, TxnBody<'_>)> {
        let (path, data) = (Some("/a"), Some(&b"value"[..]));
        let acl = self.acl.as_vector();
        let create = CreateTxn { path, data, acl, ephemeral: false, parent_cversion: 1 };
        vec![
            ("create", OpCode::Create, TxnBody::Create(create)),
            (
                "create2_ephemeral",
                OpCode::Create2,
                TxnBody::Create(CreateTxn { ephemeral: true, data: None, ..create }),
            ),
            (
                "create_container",
                OpCode::CreateContainer,
                TxnBody::CreateContainer(CreateContainerTxn {
                    path,
                    data,
                    acl,
                    parent_cversion: 2,
                }),
            ),
            (
                "create_ttl",
                OpCode::CreateTtl,
                TxnBody::CreateTtl(CreateTtlTxn { path, data, acl, parent_cversion: 2, ttl: 5000 }),
            ),
            ("delete", OpCode::Delete, TxnBody::Delete(DeleteTxn { path })),
            ("set_data", OpCode::SetData, TxnBody::SetData(SetDataTxn { path, data, version: 1 })),
            ("set_acl", OpCode::SetAcl, TxnBody::SetAcl(SetAclTxn { path, acl, version: 1 })),
            ("check", OpCode::Check, TxnBody::Check(CheckVersionTxn { path, version: 0 })),
            (
                "create_session",
                OpCode::CreateSession,
                TxnBody::CreateSession { timeout_ms: 10_000 },
            ),
            (
                "close_session",
                OpCode::CloseSession,
                TxnBody::CloseSession { paths: Some(self.paths.as_vector()) },
            ),
            ("close_session_old", OpCode::CloseSession, TxnBody::CloseSession { paths: None }),
            ("error", OpCode::Error, TxnBody::Error { err: -101 }),
            ("multi", OpCode::Multi, TxnBody::Multi(self.multi.as_vector())),
        ]
    }
}

fn txn(op: OpCode, body: &TxnBody<'_>, digest: bool) -> Txn {
    let header = TxnHeader {
        client_id: SessionId(0x0100_0012_5a9c_0000),
        cxid: 4,
        zxid: Zxid(0x1_0000_0003),
        time: 1_795_163_301_145,
        op,
    };
    let digest = digest.then_some(TxnDigest { version: 2, tree_digest: 1_371_985_504 });
    Txn::new(header, body, digest)
}

fn chosen(choice: u8, bytes: &[u8]) -> Vec<u8> {
    let mut seed = vec![choice];
    seed.extend_from_slice(bytes);
    seed
}

/// For `quorum_packet`.
pub fn quorum_packet() -> Seeds {
    let parts = Parts::new();
    let mut seeds = Seeds::new();
    for (name, op, body) in parts.bodies() {
        seeds.push((format!("txn_{name}"), chosen(1, txn(op, &body, true).bytes())));
        let mut padded = txn(op, &body, false).bytes().to_vec();
        padded.extend_from_slice(&[0; 40]);
        seeds.push((format!("txn_{name}_padded"), chosen(1, &padded)));
    }
    let info = LearnerInfo {
        server_id: ServerId(2),
        protocol_version: Some(PROTOCOL_VERSION),
        config_version: Some(0x4_0000_0003),
    };
    for length in [8, 12, 20] {
        seeds.push((format!("learner_info_{length}"), chosen(2, &info.to_bytes()[..length])));
    }
    let info = info.to_bytes();
    let create = parts.bodies().remove(0);
    let proposal = txn(create.1, &create.2, true);
    let mut identities: VectorBuf<Id<'static>> = VectorBuf::default();
    identities.push(&Id { scheme: Some("ip"), id: Some("127.0.0.1") });
    let say = |packet_type, zxid, data: Option<&[u8]>, out: &mut Vec<u8>| {
        QuorumPacket { packet_type, zxid: Zxid(zxid), data, authinfo: Vector::NULL }.encode(out);
    };
    let mut learner = vec![0];
    say(packet::FOLLOWERINFO, 0x1_0000_0000, Some(&info), &mut learner);
    say(packet::ACKEPOCH, 0x1_0000_0002, Some(&1i32.to_be_bytes()), &mut learner);
    say(packet::ACK, 0x2_0000_0000, None, &mut learner);
    QuorumPacket {
        packet_type: packet::REQUEST,
        zxid: Zxid::NONE,
        data: Some(&[0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2]),
        authinfo: identities.as_vector(),
    }
    .encode(&mut learner);
    say(packet::PING, 0x2_0000_0000, Some(&[0; 12]), &mut learner);
    say(packet::REVALIDATE, -1, Some(&[0; 12]), &mut learner);
    say(packet::SYNC, 0, Some(&[]), &mut learner);
    seeds.push(("learner_speaks".into(), learner));
    let mut leader = vec![0];
    say(packet::LEADERINFO, 0x2_0000_0000, Some(&PROTOCOL_VERSION.to_be_bytes()), &mut leader);
    say(packet::DIFF, 0x1_0000_0003, None, &mut leader);
    say(packet::PROPOSAL, 0x1_0000_0003, Some(proposal.bytes()), &mut leader);
    say(packet::COMMIT, 0x1_0000_0003, None, &mut leader);
    say(
        packet::NEWLEADER,
        0x2_0000_0000,
        Some(b"server.1=h:1:2:participant;0.0.0.0:3\nversion=0"),
        &mut leader,
    );
    say(packet::UPTODATE, -1, None, &mut leader);
    say(packet::INFORM, 0x2_0000_0001, Some(proposal.bytes()), &mut leader);
    seeds.push(("leader_speaks".into(), leader));
    for (name, packet_type) in
        [("trunc", packet::TRUNC), ("snap", packet::SNAP), ("observer_info", packet::OBSERVERINFO)]
    {
        let mut stream = vec![0];
        say(packet_type, 0x1_0000_0003, Some(&info), &mut stream);
        seeds.push((name.into(), stream));
    }
    seeds
}

/// For `election`.
pub fn election() -> Seeds {
    let mut seeds = Seeds::new();
    let server_id = ServerId(3);
    for (name, handshake) in [
        ("handshake_legacy", ElectionHandshake::Legacy { server_id }),
        (
            "handshake_one_address",
            ElectionHandshake::Initial {
                version: ELECTION_PROTOCOL_V1,
                server_id,
                addresses: "127.0.0.1:3888",
            },
        ),
        (
            "handshake_addresses",
            ElectionHandshake::Initial {
                version: ELECTION_PROTOCOL_V2,
                server_id,
                addresses: "[0:0:0:0:0:0:0:1]:3888|zk3.example.org:3888",
            },
        ),
    ] {
        seeds.push((name.into(), chosen(0, &handshake.to_bytes())));
    }
    for state in
        [ServerState::Looking, ServerState::Following, ServerState::Leading, ServerState::Observing]
    {
        let notification = Notification {
            state,
            leader: server_id,
            zxid: Zxid(0x2_0000_0001),
            election_epoch: 7,
            peer_epoch: Epoch(2),
            config: Some(b"server.1=127.0.0.1:2888:3888:participant;0.0.0.0:2181\nversion=0"),
        };
        let name = format!("{state:?}").to_lowercase();
        seeds.push((name, chosen(1, &notification.to_bytes())));
        if state == ServerState::Looking {
            for length in [28, 36, 40, 44] {
                let bytes = &notification.to_bytes()[..length];
                seeds.push((format!("looking_of_{length}_bytes"), chosen(1, bytes)));
            }
        }
    }
    seeds
}

/// For `txnlog_replay`: stories of files, and the files of ZooKeeper.
pub fn txnlog_replay() -> Seeds {
    let mut seeds = Seeds::new();
    // Block size, number of transactions, then of each: length, digest, flush; at last the damage.
    let story = |block: u8, damage: &[u8]| {
        let mut story = vec![1, block, 12];
        for txn in 0..12 {
            story.extend_from_slice(&[txn * 7, txn, txn]);
        }
        story.extend_from_slice(damage);
        story
    };
    for block in 0..3 {
        seeds.push((format!("whole_{block}"), story(block, &[0, 0xff, 0xff, 1, 0])));
        seeds.push((format!("cut_{block}"), story(block, &[0, 0x08, 0x90, 0])));
        seeds.push((format!("flipped_{block}"), story(block, &[0, 0x0a, 0x07, 1, 3])));
        seeds.push((format!("blanked_{block}"), story(block, &[0, 0x0a, 0x00, 2, 64])));
        let thrice = [2, 0x0a, 0x00, 2, 9, 0x12, 0x34, 1, 2, 0x20, 0x00, 0];
        seeds.push((format!("damaged_thrice_{block}"), story(block, &thrice)));
    }
    seeds.push(("empty".into(), chosen(0, &[])));
    seeds.push(("header_alone".into(), chosen(0, &file_header())));
    let logs: [(&str, &[u8]); 3] = [
        (
            "zookeeper_100000001",
            include_bytes!(golden!("datadir-3.10-HEAD/version-2/log.100000001")),
        ),
        (
            "zookeeper_400000001",
            include_bytes!(golden!("datadir-3.10-HEAD/version-2/log.400000001")),
        ),
        (
            "zookeeper_500000001",
            include_bytes!(golden!("datadir-3.10-HEAD/version-2/log.500000001")),
        ),
    ];
    for (name, log) in logs {
        // A few of the zeroes that ZooKeeper writes ahead of time are enough.
        let used = log.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        seeds.push((name.into(), chosen(0, &log[..(used + 64).min(log.len())])));
    }
    seeds
}

/// The beginning of every log file.
fn file_header() -> Vec<u8> {
    let mut header = b"ZKLG".to_vec();
    header.extend_from_slice(&2i32.to_be_bytes());
    header.extend_from_slice(&0i64.to_be_bytes());
    header
}

/// For `config`.
pub fn config() -> Seeds {
    let standalone = "# a comment\ntickTime=2000\ndataDir=/var/lib/zookeeper\nclientPort=2181\n\
         maxClientCnxns=60\nautopurge.purgeInterval=1\n4lw.commands.whitelist=stat, ruok\n";
    let member = "tickTime = 2000\ndataDir:/d\ninitLimit=5\nsyncLimit=2\n\
         server.1=a:2888:3888;2181\nserver.2=[::1]:2888:3888:observer;0.0.0.0:2181\n\
         group.1=1:2\nweight.1=1\nweight.2=3\nreconfigEnabled=true\n";
    let toml = "tickTime = 2000\ndataDir = \"/d\"\nclientPort = 2181\nforceSync = \"no\"\n\
         [ringkeeper]\ncores = 2\n";
    let odd = "dataDir=/d\\\n  ata\nclientPort\\u003d=1\n!x\nnoSuchKey=1\nkey with space\n=\n";
    vec![
        ("standalone".into(), chosen(0, standalone.as_bytes())),
        (
            "flags".into(),
            chosen(0, &[standalone.as_bytes(), b"\0-Djute.maxbuffer=2000000 -Dx -Xmx1g"].concat()),
        ),
        ("member".into(), chosen(0, &[member.as_bytes(), b"\0\x001\n"].concat())),
        ("toml".into(), chosen(1, toml.as_bytes())),
        ("odd".into(), chosen(0, odd.as_bytes())),
        ("nothing".into(), chosen(0, b"")),
    ]
}

/// For `client`: scripts; see the target for the commands.
pub fn client() -> Seeds {
    // Creates and reads on two connections, a slow disk, a crash, a closed session.
    let mut writes = vec![0];
    for path in 0..8 {
        // request: create; new session, zxid, timeout, read-only; path, data, version or flags.
        writes.extend_from_slice(&[0, 0, 0, 0, 100, 1, path, 3, 0, 2, b'x', b'y', 0]);
        writes.extend_from_slice(&[64, 4, 0, 0, 100, 1, path, 0]);
        writes.extend_from_slice(&[10, 2]);
    }
    writes.extend_from_slice(&[11, 15, 1, 14, 11]);
    // Every kind of request with small numbers, settled after each.
    let mut kinds = vec![6];
    for op in 0..29 {
        kinds.extend_from_slice(&[0, op, 0, 0, 100, 1, 0, 3, 0, 1, b'd', 1, 2, 3, 0, 0, 11]);
    }
    // Watches, a session that expires, and one that is taken up again.
    let mut watches = vec![0];
    for op in [5, 17, 20, 21, 0, 3, 2] {
        watches.extend_from_slice(&[0, op, 0, 0, 20, 1, 0, 0, 0, 0, 0, 0]);
        watches.extend_from_slice(&[64, op, 0, 0, 20, 1, 0, 1, 0, 0, 0, 0]);
    }
    watches.extend_from_slice(&[11, 9, 12, 20, 0, 4, 192, 0, 20, 1, 0, 0, 12, 200, 12, 200, 11]);
    // Frames of anything.
    let wild = [
        &[0, 8, 0, 0, 4, 1, 2, 3, 4][..],
        &[7, 1, 0, 0, 100, 1, 0, 0, 0, 9, 0, 3, 0, 0, 0],
        &[8, 2, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 7],
        &[13, 0, 0, 0, 0, 0, 0, 1, 11, 12, 200, 13, 1, 11],
    ]
    .concat();
    vec![
        ("writes".into(), writes),
        ("every_kind".into(), kinds),
        ("watches".into(), watches),
        ("anything".into(), wild),
        ("nothing".into(), Vec::new()),
    ]
}

/// Changes of every shape, more and more of them, with a snapshot under way.
fn changes(count: u8) -> Vec<u8> {
    let mut script = Vec::new();
    for step in 0..count {
        // Command; path and name; session, data, acl, parent's version, shape.
        script.extend_from_slice(&[0, step, step * 3, 0, step, 40, step, step, step % 8]);
        if step % 7 == 3 {
            script.extend_from_slice(&[9, 50, step, 11, 12, 2]);
        }
        if step % 11 == 5 {
            script.extend_from_slice(&[8, step, 2, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
        }
    }
    script.extend_from_slice(&[10, 1, 0, 14, 13, 15, 3]);
    script
}

/// For `tree_model`.
pub fn tree_model() -> Seeds {
    let mut seeds: Seeds =
        [3, 10, 30, 80].map(|count| (format!("changes_{count}"), changes(count))).into();
    seeds.push(("nothing".into(), Vec::new()));
    seeds
}

/// For `snapshot_load`.
pub fn snapshot_load() -> Seeds {
    let mut seeds = Seeds::new();
    for (name, harm) in [("cut", 0), ("flipped", 1), ("gap", 2)] {
        for at in [9, 0x150] {
            let mut story = vec![3, 30];
            // The target reads at most thirty commands, and takes the rest as the damage.
            story.extend_from_slice(&[0, 1, 3, 0, 1, 40, 1, 1, 0].repeat(30));
            story.extend_from_slice(&u16::to_be_bytes(at));
            story.extend_from_slice(&[harm, 2]);
            seeds.push((format!("{name}_at_{at}"), story));
        }
    }
    for choice in 0..3 {
        seeds.push((format!("empty_{choice}"), vec![choice]));
    }
    let files: [(&str, u8, &[u8]); 5] = [
        ("zookeeper_0", 0, include_bytes!(golden!("datadir-3.10-HEAD/version-2/snapshot.0"))),
        (
            "zookeeper_100000002",
            0,
            include_bytes!(golden!("datadir-3.10-HEAD/version-2/snapshot.100000002")),
        ),
        (
            "zookeeper_400000003",
            0,
            include_bytes!(golden!("datadir-3.10-HEAD/version-2/snapshot.400000003")),
        ),
        ("zookeeper_gz", 1, include_bytes!(golden!("compressed-3.9.4/snapshot.500000003.gz"))),
        (
            "zookeeper_snappy",
            2,
            include_bytes!(golden!("compressed-3.9.4/snapshot.500000003.snappy")),
        ),
    ];
    for (name, choice, file) in files {
        seeds.push((name.into(), chosen(choice, file)));
    }
    seeds
}

/// For `snapshot_stream`.
pub fn snapshot_stream() -> Seeds {
    let file: &[u8] = include_bytes!(golden!("datadir-3.10-HEAD/version-2/snapshot.400000003"));
    // A leader sends the bytes between the header of a snapshot and its seals.
    let tree = &file[16..file.len() - 13 - 33 - 21];
    let mut whole = tree.to_vec();
    whole.extend_from_slice(b"\0\0\0\x0aBenWasHere");
    let mut seeds = Seeds::new();
    for (name, piece_bytes) in [("one_byte", 1u16), ("odd", 97), ("all", u16::MAX)] {
        let mut seed = piece_bytes.to_le_bytes().to_vec();
        seed.extend_from_slice(&whole);
        seeds.push((format!("zookeeper_{name}"), seed.clone()));
        seed.extend_from_slice(b"more");
        seeds.push((format!("zookeeper_{name}_and_more"), seed.clone()));
        seed.truncate(seed.len() - 30);
        seeds.push((format!("zookeeper_{name}_cut"), seed));
    }
    let hostile: [(&str, &[u8]); 4] = [
        ("sessions_without_end", &[0x7f, 0xff, 0xff, 0xff, 1, 2, 3]),
        (
            "an_acl_without_end",
            &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0x7f, 255, 255, 255],
        ),
        ("a_path_without_end", &[0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, b'/']),
        ("nothing_but_the_end", b"\0\0\0\0\0\0\0\0\0\0\0\x01/\0\0\0\x0aBenWasHere"),
    ];
    for (name, stream) in hostile {
        seeds.push((name.into(), [&[5, 0], stream].concat()));
    }
    seeds
}

/// Folders by script: see [`impossible`](super::impossible).
pub fn impossible() -> Seeds {
    // A snapshot alone, one with a log behind it, a log alone; then requests of every kind.
    let mut seeds = Seeds::new();
    for (name, kinds) in [("snapshot", [1, 1]), ("both", [1, 0]), ("log", [0, 0])] {
        let mut script = vec![4, 5];
        script.extend_from_slice(&kinds);
        script.extend((0..400_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8));
        for op in 0..29 {
            script.extend_from_slice(&[0, op, 0, 0, 100, 1, op, 3, 0, 1, b'd', 1, 2, 3, 0, 0, 11]);
        }
        seeds.push((name.to_owned(), script));
    }
    seeds
}

/// For `amplification`: see the target for the commands. Most are named after a past fault, in which a few bytes
/// made a server do, send or hold much.
pub fn amplification() -> Seeds {
    // Places in the target's tables, of counts and of lengths.
    let (once, thirty, hundred, thousand, thousands, most, all) = (0, 6, 7, 9, 12, 13, 15);
    let (none, short, name, long, longer, large, longest) = (0, 1, 4, 8, 10, 13, 14);
    // A command about a number of things of one length, below the root or `/a`; or about `/a` itself.
    let below = |command: u8, count: u8, length: u8, base: u8, flavour: u8| {
        vec![command, count << 4 | length, flavour << 4 | 8 | base]
    };
    let about = |command: u8, count: u8, base: u8, flavour: u8| {
        vec![command, count << 4, flavour << 4 | base]
    };
    let (create, multi, read, multi_read, set_acl, auth) = (0, 2, 6, 9, 11, 12);
    let (acl, set_watches, add_watch, quota, reads, close) = (13, 14, 16, 17, 20, 21);
    let (close_session, wait, deepen, data) = (22, 24, 27, 29);
    let second = 64; // the second client
    let a = about(create, once, 1, 0);
    let shown = below(auth, thirty, longer, 0, 2);
    let silent = about(reads, once, 0, 1);
    let read_as = |op: u8, mut command: Vec<u8>| {
        command.push(op);
        command
    };
    let children = read_as(0, about(read, thousand, 1, 0));
    let list = below(create, thousand, long, 1, 0);
    let stories: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("nothing", vec![]),
        (
            "an_auth_entry_for_many_identities",
            vec![
                shown.clone(),
                about(acl, thousand, 0, 1),
                a.clone(),
                about(set_acl, hundred, 1, 0),
                about(acl, once, 0, 1),
                about(set_acl, hundred, 1, 0),
            ],
        ),
        (
            "who_am_i_of_large_identities",
            vec![
                shown.clone(),
                silent.clone(),
                read_as(6, about(read, thousands, 1, 0)),
                read_as(6, about(read, thousands, 1, 0)),
            ],
        ),
        ("a_list_of_long_names", vec![a.clone(), list.clone(), silent.clone(), children.clone()]),
        (
            "a_multi_too_long_to_be_written",
            vec![
                shown,
                a.clone(),
                about(acl, once, 0, 1),
                below(multi, thousand, name, 1, 0),
                below(multi, most, short, 1, 0),
            ],
        ),
        (
            "a_multi_that_fails_at_last",
            vec![
                a.clone(),
                below(multi, thousands, short, 1, 8),
                below(multi, most, short, 1, 8),
                below(multi, thousands, short, 1, 12),
            ],
        ),
        (
            "a_quota_of_junk",
            vec![a.clone(), below(quota, once, longest, 1, 0), below(create, thousand, name, 1, 0)],
        ),
        (
            "events_of_many_watches",
            vec![
                a.clone(),
                below(second | set_watches, all, name, 1, 9),
                about(second | reads, once, 0, 1),
                below(create, thousands, name, 1, 0),
                below(4, thousands, name, 1, 0),
            ],
        ),
        (
            "set_watches_of_many_paths",
            (0..5).map(|kind| below(set_watches, all, short, 0, kind)).collect(),
        ),
        (
            "a_multi_read_of_one_list_many_times",
            vec![
                a.clone(),
                list.clone(),
                about(multi_read, hundred, 1, 14),
                about(multi_read, all, 1, 0),
            ],
        ),
        (
            "a_session_of_many_ephemerals",
            vec![
                a.clone(),
                below(multi, most, name, 1, 1),
                below(multi, most, long, 1, 1),
                below(create, thousands, short, 0, 1),
                about(close_session, once, 0, 0),
            ],
        ),
        (
            "a_session_of_many_ephemerals_expires",
            vec![
                a.clone(),
                below(multi, most, name, 1, 1),
                below(second | add_watch, once, none, 0, 1),
                about(close, once, 0, 0),
                about(second | wait, once, 0, 8),
                about(second | wait, once, 0, 8),
            ],
        ),
        (
            "permissions_said_again_and_again",
            vec![
                below(acl, thousand, name, 0, 2),
                a.clone(),
                about(set_acl, hundred, 1, 0),
                below(acl, thousand, name, 0, 3),
                about(set_acl, hundred, 1, 0),
            ],
        ),
        (
            "containers_that_nobody_used",
            vec![
                a.clone(),
                below(multi, most, name, 1, 4),
                below(create, thousands, name, 0, 4),
                about(wait, once, 0, 8),
                about(wait, once, 0, 8),
            ],
        ),
        (
            "watches_above_a_deep_path",
            vec![
                below(deepen, thousand, short, 0, 0),
                about(second | add_watch, once, 7, 1),
                below(create, thousand, short, 7, 0),
            ],
        ),
        (
            "large_nodes_and_nobody_reads",
            vec![
                below(data, once, large, 0, 0),
                a.clone(),
                silent,
                read_as(2, about(read, thousands, 1, 0)),
                read_as(1, about(read, thousands, 1, 1)),
            ],
        ),
        ("two_clients_at_once", {
            let mut both = vec![a, list];
            // Each command comes into the same turns as the next one.
            for client in [0, second] {
                both.push(about(client | multi_read | 32, thousands, 1, 0));
                both.push(read_as(0, about(client | read | 32, thousands, 1, 0)));
            }
            both
        }),
    ];
    stories
        .into_iter()
        .map(|(name, commands)| (name.to_owned(), [vec![0], commands.concat()].concat()))
        .collect()
}

/// For `quorum_port`: scripts; see the target for the commands.
pub fn quorum_port() -> Seeds {
    let mut seeds = vec![("nothing".to_owned(), Vec::new())];
    for (who, name) in [(0, "stranger"), (3, "anybody"), (4, "beside_a_member")] {
        seeds.extend(as_a_learner(who, name));
    }
    // Bytes that are no packet, half a packet and nothing more, a port where no server listens, and silence.
    let anything: [&[u8]; 7] = [
        &[0, 2, 0, 18, 0, 0, 5, b'G', b'E', b'T', b' ', b'/', 0],
        &[0, 2, 0, 19, 20, 1, 1, 7, 1, 2, 2, 1, 0],
        &[0, 0, 2, 19, 3, 16, 1, 1, 0, 0],
        &[0, 1, 2, 17, 7, 0, 1, 2, 6, 3, 2, 0, 1, 0],
        &[21, 0, 0, 21, 0, 1, 20, 2],
        &[18, 1, 0, 5, 6, 1, 0, 3, 1, 2, 3, 0, 0],
        &[26, 255, 26, 255],
    ];
    seeds.push(attack("stranger_says_anything", 0, 1, &anything));
    seeds.push(attack("beside_a_member_says_anything", 4, 1, &anything));
    for (member, name) in [(2, "the_leader"), (0, "a_follower"), (1, "the_other_follower")] {
        seeds.extend(as_a_leader(member, name));
    }
    seeds
}

/// The seed of an attack. `who` is the attacker's address: 0 that of a stranger, 3 any, 4 beside a member, 5 that of
/// a member. The bits of `shape` add an observer (1), observer masters (2) and a second client (4); its upper four
/// bits choose the member.
fn attack(name: &str, who: u8, shape: u8, commands: &[&[u8]]) -> (String, Vec<u8>) {
    (name.to_owned(), [&[who, shape], &commands.concat()[..]].concat())
}

/// An attacker that behaves as a learner to the end, votes, and passes on requests.
fn as_a_learner(who: u8, name: &str) -> Seeds {
    let named = |what: &str| format!("{name}_{what}");
    // Kind, protocol, id, configuration, epoch and the rest of the zxid.
    let follower_2 = [1, 7, 1, 2, 2, 1];
    let observer_6 = [0, 7, 5, 2, 2, 1];
    let far_ahead = [1, 7, 1, 2, 255, 1];
    let learn = |server: u8, who: &[u8], behind: &[u8]| {
        // Behind `who` stands ACKEPOCH: the epoch that he followed, whether marks follow, how many, and the last zxid.
        [&[23, server, 1], who, &[2, 2, 0, 6], behind].concat()
    };
    // How many ACKs and requests. A request: kind, that it is whole, what it needs, identities, session, scope, cxid.
    let silent = [2, 0];
    let writes = [2, 2, 3, 1, 0, 0, 0, 2, 0, 2, 9, 29, 1, 0, 0, 0, 0, 2, 2, 2, 10];
    let closes_sessions = [2, 2, 1, 1, 2, 0, 2, 9, 1, 1, 2, 2, 2, 10];
    let wait = [26, 100];
    let servers = 0..4;
    let learners: Vec<Vec<u8>> = servers
        .flat_map(|server| [&follower_2, &observer_6].map(|who| learn(server, who, &silent)))
        .collect();
    let learners: Vec<&[u8]> = learners.iter().map(Vec::as_slice).collect();
    let far = learn(2, &far_ahead, &silent);
    let asks = [learn(2, &observer_6, &writes), learn(2, &observer_6, &closes_sessions)];
    // A greeting of server 3, and its votes for each server in each state.
    let votes: Vec<[u8; 13]> =
        (0..4).map(|state| [25, 2, 1, 3, 7, 0, state, state, 6, 9, 2, 1, 1]).collect();
    let votes: Vec<&[u8]> = votes.iter().map(|vote| &vote[..]).collect();
    let sessions: [&[u8]; 5] = [
        &learn(2, &observer_6, &silent),
        // REVALIDATE; SYNC; PING with the sessions that it heard of; and the last message repeated many times.
        &[7, 0, 1, 0, 0, 0, 39, 16, 0],
        &[8, 0, 6, 0, 8, 1, 6, 0],
        &[8, 2, 2, 0, 0, 0, 39, 16, 2, 0, 0, 39, 16, 6, 0],
        &[4, 7, 0, 4, 8, 0, 22, 0, 39],
    ];
    vec![
        attack(&named("learns"), who, 7, &learners),
        attack(&named("says_a_far_epoch"), who, 0, &[&far, &wait, &far]),
        attack(&named("asks"), who, 4, &[&asks[0], &wait, &asks[1], &wait]),
        attack(&named("votes"), who, 1, &votes),
        attack(&named("keeps_sessions"), who, 5, &sessions),
    ]
}

/// An attacker in place of a member that is elected, and leads with a history of its own.
fn as_a_leader(member: u8, name: &str) -> Seeds {
    let shape = 5 | member << 4;
    let named = |what: &str| format!("in_place_of_{name}_{what}");
    // A vote for itself, with a zxid and an epoch later than anybody's.
    let vote = [25, member, 1, 3, 7, 0, 0, member, 203, 3, 3, 3, 1, 1];
    let choices: [(&str, &[u8]); 5] = [
        ("diff", &[6, 0]),
        ("trunc", &[3, 2]),
        ("snap", &[6, 5, 3, 0, 1]),
        ("snap_far", &[255, 4, 3, 0, 1]),
        ("snap_cut", &[6, 4, 3, 0, 0, 100]),
    ];
    // Two proposals with their COMMIT: the beginning of a session, and the creation of a node.
    let session = [7, 0, 7, 0, 0, 0, 39, 16, 1, 5, 6, 0, 7];
    let node = [8, 0, 7, 3, 0, 1, b'd', 0, 0, 0, 1, 1, 5, 6, 0, 8];
    let proposals = [&[2], &session[..], &node].concat();
    // A proposal of the new epoch, and its COMMIT, to the server that connected last.
    let broadcast = [12, 201, 3, 0, 7, 0, 0, 0, 39, 16, 1, 5, 6, 0, 14, 201, 3, 1, 0];
    let mut seeds = vec![attack(&named("is_silent"), 5, shape, &[&[26, 255, 26, 255, 26, 255]])];
    for (kind, choice) in choices {
        // LEADERINFO of the next epoch; the choice; NEWLEADER, UPTODATE.
        let lead = [&[24, 3, 3], choice, &proposals[..], &[3, 0, 0]].concat();
        let bare = [&[24, 3, 3], choice, &[0, 3, 0, 0]].concat();
        let script: [&[u8]; 10] = [
            &[26, 15],
            &vote,
            &[26, 60],
            &lead,
            &[26, 30],
            &broadcast,
            &vote,
            &[26, 60],
            &bare,
            &broadcast,
        ];
        seeds.push(attack(&named(kind), 5, shape, &script));
    }
    seeds
}
