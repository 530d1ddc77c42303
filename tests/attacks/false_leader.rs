//! A false leader: the test uses the address of a member whose process is stopped. It wins the election with votes for
//! a history that no server has, accepts the other servers as learners, and then sends the packets that a test wants.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ringkeeper::id::{Epoch, ServerId, SessionId, Zxid};
use ringkeeper::jute::Jute;
use ringkeeper::proto::OpCode;
use ringkeeper::proto::quorum::{
    ELECTION_PROTOCOL_V1, ElectionHandshake, Notification, ServerState, packet,
};
use ringkeeper::proto::txn::{Txn, TxnBody, TxnHeader};
use ringkeeper::zab::packets::{put_bare, put_data, put_leader_info, put_txn};
use ringkeeper_testkit::Ensemble;

use crate::quorum_port::ports;
use crate::talk::{PATIENCE, Talk};

/// The number of an election round that no server reaches by itself.
const ROUND: i64 = 1 << 20;

/// The listeners and the votes of the member that the false leader claims to be.
pub struct FalseLeader {
    me: i64,
    quorum: TcpListener,
    stop: Arc<AtomicBool>,
    votes: Option<JoinHandle<()>>,
}

/// One server that has accepted the false leader.
pub struct Victim {
    talk: Talk,
    /// Its id.
    pub id: i64,
    /// The accepted epoch in its FOLLOWERINFO.
    pub accepted: Epoch,
    /// The epoch that follows what the victims have accepted.
    pub epoch: Epoch,
    /// The last transaction of its log, by ACKEPOCH.
    pub last: Zxid,
}

impl FalseLeader {
    /// Takes part in the election as `me`, with the servers `of`, and with this epoch in its votes.
    pub fn stand(ensemble: &Ensemble, me: usize, of: &[usize], voted: Epoch) -> FalseLeader {
        let (quorum, election) = ports(ensemble, me);
        let quorum = TcpListener::bind(quorum).unwrap();
        quorum.set_nonblocking(true).unwrap();
        // A server that finds no listener here takes the member for dead.
        let listener = TcpListener::bind(election).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let me = i64::try_from(me).unwrap();
        let to: Vec<SocketAddr> = of.iter().map(|id| ports(ensemble, *id).1).collect();
        let said = Said { me, election, voted };
        let told = stop.clone();
        let votes = Some(thread::spawn(move || canvass(&said, &to, &listener, &told)));
        FalseLeader { me, quorum, stop, votes }
    }

    /// Waits for the servers that follow the false leader.
    ///
    /// # Panics
    /// If too few servers connect.
    pub fn victims(&self, count: usize) -> Vec<Victim> {
        let until = Instant::now() + PATIENCE;
        let mut victims: Vec<Victim> = Vec::new();
        while victims.len() < count {
            assert!(Instant::now() < until, "{} of {count} follow {}", victims.len(), self.me);
            let Ok((socket, _)) = self.quorum.accept() else {
                thread::sleep(Duration::from_millis(2));
                continue;
            };
            socket.set_nonblocking(false).unwrap();
            // A server may connect, find that it is too early, and connect again.
            if let Some(victim) = Victim::introduced(socket) {
                victims.retain(|other| other.id != victim.id);
                victims.push(victim);
            }
        }
        let epoch = victims.iter().map(|victim| victim.accepted.0).max().unwrap() + 1;
        victims.iter_mut().for_each(|victim| victim.epoch = Epoch(epoch));
        victims
    }
}

impl Drop for FalseLeader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(votes) = self.votes.take() {
            let _ = votes.join();
        }
    }
}

/// The votes of a false leader.
struct Said {
    me: i64,
    election: SocketAddr,
    voted: Epoch,
}

/// Sends the vote to all servers again and again.
fn canvass(said: &Said, to: &[SocketAddr], listener: &TcpListener, stop: &AtomicBool) {
    listener.set_nonblocking(true).unwrap();
    let addresses = said.election.to_string();
    let (version, server_id) = (ELECTION_PROTOCOL_V1, ServerId(said.me));
    let handshake =
        ElectionHandshake::Initial { version, server_id, addresses: &addresses }.to_bytes();
    let vote = Notification {
        state: ServerState::Looking,
        leader: server_id,
        zxid: Zxid::new(said.voted, u32::MAX),
        election_epoch: ROUND,
        peer_epoch: said.voted,
        config: None,
    };
    let body = vote.to_bytes();
    let vote = [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat();
    let mut sockets: Vec<Option<TcpStream>> = to.iter().map(|_| None).collect();
    let mut accepted = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        // The server with the smaller id closes the connection, and the other one connects.
        accepted.extend(listener.accept());
        for (at, socket) in to.iter().zip(&mut sockets) {
            if socket.as_mut().is_some_and(|socket| is_over(socket, &vote)) {
                *socket = None;
            }
            if socket.is_none()
                && let Ok(mut new) = TcpStream::connect(at)
            {
                let _ = new.write_all(&handshake);
                let _ = new.write_all(&vote);
                *socket = Some(new);
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Answers each message with the vote; returns whether the connection has ended.
fn is_over(socket: &mut TcpStream, vote: &[u8]) -> bool {
    socket.set_nonblocking(true).unwrap();
    let read = socket.read(&mut [0; 4096]);
    socket.set_nonblocking(false).unwrap();
    match read {
        Ok(0) => true,
        Ok(_) => socket.write_all(vote).is_err(),
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

impl Deref for Victim {
    type Target = Talk;

    fn deref(&self) -> &Talk {
        &self.talk
    }
}

impl DerefMut for Victim {
    fn deref_mut(&mut self) -> &mut Talk {
        &mut self.talk
    }
}

impl Victim {
    /// Reads the FOLLOWERINFO of the server.
    fn introduced(socket: TcpStream) -> Option<Victim> {
        let (id, accepted, last) = (0, Epoch(0), Zxid::NONE);
        let mut victim = Victim { talk: Talk::on(socket), id, accepted, epoch: Epoch(0), last };
        let first = victim.hear(packet::FOLLOWERINFO)?;
        victim.id = first.learner_info().ok()??.server_id.0;
        victim.accepted = first.zxid.epoch();
        Some(victim)
    }

    /// Sends LEADERINFO, and returns the answer.
    pub fn lead(&mut self) -> bool {
        let epoch = self.epoch;
        if !self.say(|out| put_leader_info(out, epoch, None)) {
            return false;
        }
        match self.hear(packet::ACKEPOCH) {
            Some(ack) => {
                self.last = ack.zxid;
                true
            }
            None => false,
        }
    }

    /// Sends DIFF, and no transactions yet.
    pub fn agree(&mut self) -> bool {
        let last = self.last;
        self.lead() && self.say(|out| put_bare(out, packet::DIFF, last))
    }

    /// Sends NEWLEADER, and waits for the ACK.
    pub fn begin_epoch(&mut self) -> bool {
        let zxid = Zxid::new(self.epoch, 0);
        self.say(|out| put_data(out, packet::NEWLEADER, zxid, &[]))
            && self.hear(packet::ACK).is_some()
    }

    /// Sends all packets up to UPTODATE, as an honest leader does.
    pub fn serve(&mut self) -> bool {
        self.agree()
            && self.begin_epoch()
            && self.say(|out| put_bare(out, packet::UPTODATE, Zxid::NONE))
            && self.hear(packet::ACK).is_some()
    }

    /// The zxid of the `counter`th transaction of its epoch.
    pub fn zxid(&self, counter: u32) -> Zxid {
        Zxid::new(self.epoch, counter)
    }

    /// Sends PROPOSAL and COMMIT.
    pub fn decide(&mut self, counter: u32, op: OpCode, body: &TxnBody<'_>) -> bool {
        let txn = txn(self.zxid(counter), op, body);
        self.say(|out| put_txn(out, packet::PROPOSAL, &txn))
            && self.say(|out| put_bare(out, packet::COMMIT, txn.zxid()))
    }
}

/// A transaction that no client has asked for.
pub fn txn(zxid: Zxid, op: OpCode, body: &TxnBody<'_>) -> Txn {
    let header = TxnHeader { client_id: SessionId(7), cxid: 0, zxid, time: 1, op };
    Txn::new(header, body, None)
}
