//! Random conversations: whatever happens, digests agree, replies come in order, and the same
//! inputs give the same outputs.

use super::harness::*;
use crate::proto::OpCode;
use crate::proto::request::{CreateRequest, MultiOp, PathVersion, RequestBody, SetDataRequest};
use crate::random::Random;

/// Arbitrary requests.
struct Requests(Random);

impl Requests {
    fn below(&mut self, end: u64) -> u64 {
        self.0.below(end)
    }

    fn path(&mut self) -> &'static str {
        const PATHS: [&str; 12] =
            ["/a", "/a/b", "/a/b/c", "/a/d", "/e", "/e/f", "/e/g", "/", "/a/", "/bad//x", "", "/h"];
        PATHS[self.0.index(PATHS.len())]
    }

    fn version(&mut self) -> i32 {
        i32::try_from(self.below(4)).unwrap() - 1
    }

    fn flags(&mut self) -> i32 {
        i32::try_from(self.below(4)).unwrap()
    }

    fn part(&mut self) -> MultiOp<'static> {
        let path = Some(self.path());
        match self.below(4) {
            0 => MultiOp::Delete(PathVersion { path, version: self.version() }),
            1 => {
                let version = self.version();
                MultiOp::SetData(SetDataRequest { path, data: Some(b"multi"), version })
            }
            2 => MultiOp::Check(PathVersion { path, version: self.version() }),
            _ => {
                let (acl, flags) = (open_acl(), self.flags());
                let request = CreateRequest { path, data: Some(b"m"), acl, flags };
                MultiOp::Create(OpCode::Create2, request)
            }
        }
    }

    fn request(&mut self) -> (OpCode, RequestBody<'static>) {
        match self.below(12) {
            0..=3 => (OpCode::Create, create(self.path(), b"data", self.flags())),
            4 | 5 => (OpCode::Delete, delete(self.path(), self.version())),
            6 => (OpCode::SetData, set_data(self.path(), b"longer data", self.version())),
            7 | 8 => {
                let parts = (0..self.below(5)).map(|_| self.part()).collect();
                (OpCode::Multi, RequestBody::Multi(parts))
            }
            9 => (OpCode::GetChildren2, watch(self.path(), true)),
            10 => (OpCode::GetData, watch(self.path(), true)),
            _ => (OpCode::Exists, watch(self.path(), true)),
        }
    }
}

/// Runs some thousand random events, and gives everything that the clients received.
fn conversation(seed: u64) -> Vec<Vec<Reply>> {
    let mut random = Requests(Random::new(seed));
    let mut h = Harness::new();
    let mut clients: Vec<Client> = (0..4).map(|_| h.connect()).collect();
    let mut all = Vec::new();
    let mut next_xid = vec![1; clients.len()];
    let mut expected_xid = vec![1; clients.len()];
    for _ in 0..1500 {
        let who = usize::try_from(random.below(4)).unwrap();
        match random.below(20) {
            0 => {
                // One client's session ends, perhaps with writes in flight, and another session begins.
                let conn = clients[who].conn;
                if random.below(2) == 0 {
                    h.send(conn, 0x7777, OpCode::CloseSession, &RequestBody::Empty);
                    h.settle();
                } else {
                    h.close(conn);
                    h.settle();
                }
                clients[who] = h.connect();
                (next_xid[who], expected_xid[who]) = (1, 1);
            }
            1..=5 => {
                h.do_op();
            }
            _ => {
                let (op, body) = random.request();
                h.send(clients[who].conn, next_xid[who], op, &body);
                next_xid[who] += 1;
            }
        }
        let replies = h.replies(clients[who].conn);
        for reply in replies.iter().filter(|reply| reply.xid != -1) {
            assert_eq!(reply.xid, expected_xid[who], "seed {seed}: replies are in order");
            expected_xid[who] += 1;
        }
        all.push(replies);
    }
    h.settle();
    all
}

#[test]
fn digests_agree_and_replies_are_in_order_whatever_is_asked() {
    for seed in 1..=30 {
        conversation(seed);
    }
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    assert_eq!(conversation(99), conversation(99));
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash_at_any_moment() {
    for seed in 1..=40 {
        let mut random = Random::new(seed * 0x1234_5677 + 1);
        let mut options = crate::replica::ReplicaOptions::default();
        options.txnlog.snap_count = 60;
        let mut h = Harness::with(options);
        let mut acknowledged: Vec<String> = Vec::new();
        for _ in 0..3 {
            let mut client = h.connect();
            for _ in 0..random.below(150) {
                match random.below(10) {
                    0..=3 => h.send(client.conn, 5, OpCode::Create, &create("/n-", b"data", 2)),
                    4 => h.send(client.conn, 6, OpCode::Create, &create("/e-", b"data", 3)),
                    5 => {
                        h.send(client.conn, 7, OpCode::CloseSession, &RequestBody::Empty);
                        client = h.connect();
                    }
                    _ => {
                        h.do_op();
                    }
                }
                let replies = h.replies(client.conn);
                for reply in replies.iter().filter(|reply| (reply.xid, reply.err) == (5, 0)) {
                    acknowledged.push(reply.decode::<Option<&str>>().unwrap().to_owned());
                }
            }
            let promised = h.replica.last_processed();
            h.crash();
            assert!(h.replica.last_processed() >= promised, "seed {seed}");
            for path in &acknowledged {
                assert!(h.replica.database().node(path).is_some(), "seed {seed}: {path} is gone");
            }
        }
        let mut distinct = acknowledged.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), acknowledged.len(), "seed {seed}: a number was given twice");
    }
}
