//! What clients of wild ensembles ask for beyond the clients of other shapes: proofs of identity, permissions, many
//! operations in one request, and requests that are too long.
//!
//! Each kind has a rate of its own, so that some seeds have few kinds.

use ringkeeper::proto::data::perms;

use super::acl::{self, List, entry, name_of};
use super::history::{Look, Part, Request};
use super::rng::Rng;

/// The rates of the module's kinds of requests, in a thousand requests.
#[derive(Clone, Debug, Default)]
pub struct Asking {
    /// On a new connection, a client sometimes counts its requests from 1 again.
    pub xids_again: bool,
    /// Requests with ACLs that do not permit everything to every client.
    pub acls_per_mille: u64,
    /// multiRead requests.
    pub multi_reads_per_mille: u64,
    /// Requests as long as a frame may be, or longer.
    pub long_per_mille: u64,
    /// The ensemble's `jute.maxbuffer.extrasize`, so small that some requests that fit into a frame make
    /// transactions that are too long. 0: the option is not set.
    pub extra_bytes: u32,
}

/// The secrets by which clients prove digest identities.
const SECRETS: [&str; 4] = ["jo:1", "jo:2", "al:1", "bo:x"];

/// Bytes of a setData request beside its data, for a path of three letters.
const SET_BYTES: usize = 8 + 4 + 3 + 4 + 4;

impl Asking {
    /// Draws the rates.
    pub fn draw(rng: &mut Rng) -> Asking {
        Asking {
            xids_again: rng.one_in(2),
            acls_per_mille: *rng.pick(&[0, 0, 100, 300]),
            multi_reads_per_mille: *rng.pick(&[0, 0, 50, 150]),
            long_per_mille: *rng.pick(&[0, 0, 10, 50]),
            extra_bytes: 0,
        }
    }

    /// By how many bytes a transaction may be longer than a frame.
    pub fn txn_extra_bytes_max(&self) -> u32 {
        if self.extra_bytes == 0 { super::server::FRAME_BYTES_MAX } else { self.extra_bytes }
    }
}

/// The part of a client that thinks of such requests.
pub struct Asker {
    rng: Rng,
    asking: Asking,
    who: usize,
    keys: u64,
    values: u64,
}

impl Asker {
    /// The asker of client `who`. `None`: the ensemble has no such requests, and this draws no random number.
    pub fn new(asking: &Asking, who: usize, keys: u64, rng: &mut Rng) -> Option<Asker> {
        let Asking { acls_per_mille, multi_reads_per_mille, long_per_mille, .. } = asking;
        let rate = acls_per_mille + multi_reads_per_mille + long_per_mille;
        (rate > 0).then(|| Asker { rng: rng.fork(), asking: asking.clone(), who, keys, values: 0 })
    }

    /// The client's next request, if it is of one of these kinds.
    pub fn think(&mut self) -> Option<Request> {
        let Asking { acls_per_mille, multi_reads_per_mille, long_per_mille, .. } = self.asking;
        let at = self.rng.below(1000);
        if at < acls_per_mille {
            return Some(self.guarded());
        }
        if at < acls_per_mille + multi_reads_per_mille {
            let count = self.rng.between(1, 5);
            return Some(Request::MultiRead((0..count).map(|_| self.look()).collect()));
        }
        if at < acls_per_mille + multi_reads_per_mille + long_per_mille {
            return Some(self.long());
        }
        None
    }

    fn value(&mut self) -> Vec<u8> {
        self.values += 1;
        format!("a{}-{}-", self.who, self.values).into_bytes()
    }

    fn node(&mut self) -> String {
        let path = format!("/a{}", self.rng.below(3));
        if self.rng.one_in(3) { format!("{path}/k{}", self.rng.below(2)) } else { path }
    }

    fn list(&mut self) -> List {
        let rng = &mut self.rng;
        let bits = i32::try_from(rng.between(1, 31)).expect("five bits");
        let whose = name_of(SECRETS[rng.index(SECRETS.len())]);
        let master = entry(perms::ALL, "digest", &whose);
        match rng.below(12) {
            0..2 => acl::open(),
            2 => vec![entry(bits, "world", "anyone"), master],
            3 => vec![entry(perms::READ, "world", "anyone"), entry(perms::ALL, "auth", "")],
            4 => vec![entry(perms::ALL, "auth", "")],
            5 => vec![master],
            6 => vec![entry(perms::READ | perms::CREATE, "world", "anyone"), master],
            7 => vec![master.clone(), entry(bits, "auth", ""), master],
            8 => vec![entry(bits, "digest", &name_of(SECRETS[rng.index(SECRETS.len())])), master],
            9 => vec![entry(perms::READ, "world", "anyone"), master],
            10 => vec![entry(perms::ALL, "world", "nobody")],
            _ => Vec::new(),
        }
    }

    fn guarded(&mut self) -> Request {
        let path = self.node();
        let version = if self.rng.one_in(4) { self.small() } else { -1 };
        match self.rng.below(100) {
            0..20 => Request::CreateWith { path, data: self.value(), acl: self.list() },
            20..38 => Request::SetAcl { path, acl: self.list(), version },
            38..48 => Request::GetAcl { path },
            48..58 => Request::Get { path, watch: self.rng.one_in(2) },
            58..64 => Request::Exists { path, watch: self.rng.one_in(2) },
            64..70 => Request::Children { path, watch: self.rng.one_in(2) },
            70..78 => Request::Set { path, data: self.value(), version },
            78..86 => Request::Delete { path, version: -1 },
            86..93 => {
                let count = self.rng.between(1, 3);
                Request::Multi((0..count).map(|_| self.part()).collect())
            }
            93..99 => {
                let secret = SECRETS[self.rng.index(SECRETS.len())].to_owned();
                Request::Auth { scheme: "digest".to_owned(), secret: Some(secret) }
            }
            _ if self.rng.one_in(2) => {
                Request::Auth { scheme: "none".to_owned(), secret: Some("jo:1".to_owned()) }
            }
            _ => Request::Auth { scheme: "digest".to_owned(), secret: None },
        }
    }

    fn small(&mut self) -> i32 {
        i32::try_from(self.rng.below(4)).expect("a small number")
    }

    fn part(&mut self) -> Part {
        let path = self.node();
        match self.rng.below(4) {
            0 => Part::CreateWith { path, data: self.value(), acl: self.list() },
            1 => Part::Set { path, data: self.value(), version: -1 },
            2 => Part::Check { path, version: if self.rng.one_in(2) { 0 } else { -1 } },
            _ => Part::Delete { path, version: -1 },
        }
    }

    fn look(&mut self) -> Look {
        let key = format!("/r{}", self.rng.below(self.keys));
        match self.rng.below(8) {
            0..4 => Look::Get(key),
            4 => Look::Get(self.node()),
            5 => Look::Children(self.node()),
            6 => Look::Children((*self.rng.pick(&["/", "/q", "/e"])).to_owned()),
            _ => Look::Children(key),
        }
    }

    /// A request of exactly the bytes that a frame may have, a few less or a few more.
    fn long(&mut self) -> Request {
        let path = format!("/r{}", self.rng.below(self.keys));
        let mut data = self.value();
        let most = super::server::FRAME_BYTES_MAX as usize - SET_BYTES;
        let length = match self.rng.below(4) {
            0 => most,
            1 => most - self.rng.index(40),
            2 => most + 1,
            _ => most + 1 + self.rng.index(3000),
        };
        data.resize(length, b'.');
        Request::Set { path, data, version: -1 }
    }
}
