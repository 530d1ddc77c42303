//! What a request, a transaction and its events cost, in units of about a microsecond, estimated before they are
//! carried out.
//!
//! A cost is a guess from lengths and counts that are at hand. It never depends on a clock, so that equal inputs give
//! equal turns.

use super::connection::Connection;
use super::service::Service;
use crate::acl::{self, Identity};
use crate::id::SessionId;
use crate::jute::{Decoder, Jute};
use crate::limits;
use crate::processor::read::{self};
use crate::proto::OpCode;
use crate::proto::request::RequestHeader;
use crate::proto::txn::{Txn, TxnBody};
use crate::zab::ForwardedRequest;

/// How many events are written in one unit.
pub(super) const EVENTS_PER_UNIT: usize = 10;

/// Whether a request costs much more than most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// At most [`limits::HEAVY_WORK_UNITS`]: not much more than most requests.
    Light,
    /// More than [`limits::HEAVY_WORK_UNITS`].
    Heavy,
}

/// What a request costs at most, as far as can be estimated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Units that this server spends on it.
    pub units: u32,
    /// How heavy it is for the server that carries it out: the leader, if a learner passes it on.
    pub weight: Weight,
    /// Whether it changes something.
    pub is_write: bool,
}

/// Units for checking all identities against the ACL of each node in a list of so many bytes.
pub(super) fn units_of_checks(bytes: usize, identities: &[Identity]) -> usize {
    /// The shortest operation on a node: its header and a path.
    const OPERATION_BYTES: usize = 16;
    let checks = bytes / OPERATION_BYTES * (identities.len() / limits::IDENTITIES_PER_EVENT);
    checks / EVENTS_PER_UNIT
}

/// As a number of units; a larger one becomes the largest.
pub(super) fn in_units(units: usize) -> u32 {
    u32::try_from(units).unwrap_or(u32::MAX)
}

impl Weight {
    /// How heavy work of so many units is.
    pub fn of(units: u32) -> Weight {
        if units > limits::HEAVY_WORK_UNITS { Weight::Heavy } else { Weight::Light }
    }
}

/// What a short request costs that reads one node.
const LITTLE: Cost = Cost { units: 1, weight: Weight::Light, is_write: false };

impl Service {
    /// Units for applying a transaction, beyond what every transaction takes, and for the events that it may make.
    pub(super) fn units_of_applying(&self, txn: &Txn) -> u32 {
        let bytes_per_unit = match txn.header().op {
            OpCode::Multi | OpCode::CloseSession => limits::LIST_BYTES_PER_UNIT,
            _ => limits::COPIED_BYTES_PER_UNIT,
        };
        let session = txn.header().client_id;
        let tells_many = self.database.watches().may_tell_many();
        let (mut unlisted, mut events) = (0, 0);
        // Decoding takes some percent of what a small write costs, and is done for few of them.
        if tells_many || txn.header().op == OpCode::CloseSession {
            let body = txn.body();
            // A list of ephemeral nodes that was too long for the log is taken from the tree.
            if let TxnBody::CloseSession { paths: None } = body {
                unlisted = self.database.ephemerals_size(session).1;
            }
            if tells_many {
                events = self.tenths_of_events(session, &body) / EVENTS_PER_UNIT;
            }
        }
        let units = (txn.bytes().len() + unlisted) / bytes_per_unit;
        u32::try_from(units + events).unwrap_or(u32::MAX)
    }

    /// What a transaction's events cost, in tenths of units: a short event takes one.
    fn tenths_of_events(&self, session: SessionId, body: &TxnBody<'_>) -> usize {
        let of_path = |path: Option<&str>| {
            let Some(path) = path else { return 0 };
            let copied = EVENTS_PER_UNIT * path.len() / limits::SENT_BYTES_PER_UNIT;
            self.database.watches().found_max(path) * (1 + copied)
        };
        match *body {
            TxnBody::Create(txn) => of_path(txn.path),
            TxnBody::CreateContainer(txn) => of_path(txn.path),
            TxnBody::CreateTtl(txn) => of_path(txn.path),
            TxnBody::Delete(txn) => of_path(txn.path),
            TxnBody::SetData(txn) => of_path(txn.path),
            TxnBody::CloseSession { paths: Some(ref paths) } => paths.iter().map(of_path).sum(),
            TxnBody::CloseSession { paths: None } => {
                self.database.ephemerals(session).map(|path| of_path(Some(path))).sum()
            }
            TxnBody::Multi(parts) => {
                TxnBody::parts(parts).map(|(_, part)| self.tenths_of_events(session, &part)).sum()
            }
            // These make no events.
            TxnBody::SetAcl(_)
            | TxnBody::Check(_)
            | TxnBody::CreateSession { .. }
            | TxnBody::Error { .. } => 0,
        }
    }

    /// Whether a request of so many bytes is carried out in parts, a turn for each: then it stands in its connection's
    /// queue meanwhile.
    pub(super) fn takes_turns(op: OpCode, bytes: usize) -> bool {
        // The shortest path in a list takes five bytes.
        matches!(op, OpCode::SetWatches | OpCode::SetWatches2)
            && bytes / 5 > limits::WATCHES_SET_PER_TURN
    }

    /// What a request costs at most, as far as can be estimated, and whether it changes something.
    #[inline]
    pub(super) fn cost_of(&self, connection: &Connection, frame: &[u8]) -> Cost {
        if self.is_little(frame) { LITTLE } else { self.estimate(connection, frame) }
    }

    /// Whether [`Service::estimate`] would say [`LITTLE`]: it would for most requests, which are short and read one
    /// node, and this takes a fifth of the time.
    #[inline]
    fn is_little(&self, frame: &[u8]) -> bool {
        const GET_DATA: i32 = OpCode::GetData as i32;
        const EXISTS: i32 = OpCode::Exists as i32;
        let Ok(RequestHeader { op, .. }) = RequestHeader::decode(&mut Decoder::new(frame)) else {
            return true;
        };
        let is_short = frame.len() < limits::COPIED_BYTES_PER_UNIT;
        match op {
            GET_DATA => is_short && !self.work.is_serving && self.work.is_nobody_in_line(),
            EXISTS => is_short,
            _ => false,
        }
    }

    /// The same, from a look at the request and at what it is about.
    fn estimate(&self, connection: &Connection, frame: &[u8]) -> Cost {
        let mut input = Decoder::new(frame);
        let Ok(RequestHeader { op, .. }) = RequestHeader::decode(&mut input) else {
            return LITTLE;
        };
        let Some(op) = OpCode::from_i32(op) else { return LITTLE };
        let bytes = frame.len();
        let mut node = || {
            let path = <Option<&str>>::decode(&mut input).ok().flatten()?;
            self.database.node(path)
        };
        let units = match op {
            // While nobody waits, a look at the node is not worth its time: the reply's length is counted afterwards.
            OpCode::GetData if self.work.is_serving || !self.work.is_nobody_in_line() => {
                let data = node().and_then(|node| node.data().map(<[u8]>::len)).unwrap_or(0);
                1 + bytes / limits::COPIED_BYTES_PER_UNIT + data / limits::SENT_BYTES_PER_UNIT
            }
            OpCode::GetChildren | OpCode::GetChildren2 => {
                1 + node().map_or(0, |node| node.num_children()) / limits::NAMES_PER_UNIT
            }
            OpCode::GetEphemerals => {
                1 + self.database.ephemerals_size(connection.session).0 / limits::NAMES_PER_UNIT
            }
            OpCode::SetWatches | OpCode::SetWatches2 => {
                1 + (bytes / limits::SET_WATCH_BYTES_PER_UNIT).min(limits::WATCHES_SET_PER_TURN)
            }
            OpCode::MultiRead => {
                1 + bytes / limits::LIST_BYTES_PER_UNIT
                    + units_of_checks(bytes, &connection.identities)
            }
            // The server hashes a secret.
            OpCode::Auth | OpCode::Sasl => 3 + bytes / limits::HASHED_BYTES_PER_UNIT,
            op if read::is_read(op) => 1 + bytes / limits::COPIED_BYTES_PER_UNIT,
            op => {
                let carried_out =
                    self.units_of_write(op, bytes, connection.session, &connection.identities);
                assert!(carried_out > 0, "every write costs something");
                let weight = Weight::of(in_units(carried_out));
                let names = acl::bytes_of(&connection.identities);
                let units = match op {
                    _ if self.ensemble.proposes() => carried_out,
                    // A learner decodes a multi and passes it on.
                    OpCode::Multi => {
                        2 + bytes / limits::READ_BYTES_PER_UNIT
                            + names / limits::WRITTEN_BYTES_PER_UNIT
                    }
                    _ => 2 + (bytes + names) / limits::WRITTEN_BYTES_PER_UNIT,
                };
                return Cost { units: in_units(units), weight, is_write: true };
            }
        };
        assert!(units > 0, "every request costs something");
        let units = in_units(units);
        Cost { units, weight: Weight::of(units), is_write: false }
    }

    /// Units for a write of so many bytes at the server that proposes it.
    fn units_of_write(
        &self,
        op: OpCode,
        bytes: usize,
        session: SessionId,
        identities: &[Identity],
    ) -> usize {
        match op {
            OpCode::Multi => {
                4 + bytes / limits::LIST_BYTES_PER_UNIT
                    + units_of_checks(bytes, identities)
                    + self.units_of_names(bytes, identities)
            }
            OpCode::CloseSession => {
                let (ephemerals, _) = self.database.ephemerals_size(session);
                4 + ephemerals * limits::UNITS_PER_EPHEMERAL
            }
            OpCode::SetData | OpCode::Delete => 4 + bytes / limits::WRITTEN_BYTES_PER_UNIT,
            _ => {
                4 + bytes / limits::WRITTEN_BYTES_PER_UNIT + self.units_of_names(bytes, identities)
            }
        }
    }

    /// Units for the identities that a write may add to its lists of permissions: each `auth` in them stands for all of
    /// the client's identities.
    fn units_of_names(&self, bytes: usize, identities: &[Identity]) -> usize {
        /// The shortest entry of a list, and the shortest operation of a multi with a list.
        const ENTRY_BYTES: usize = 16;
        let name = |identity: &Identity| identity.scheme.len() + identity.id.len();
        let names = identities.iter().map(name).sum::<usize>();
        if names < limits::IDENTITIES_BYTES_USUAL {
            return 0;
        }
        let most = names * (1 + bytes / ENTRY_BYTES);
        most.min(self.options.txn_extra_bytes_max as usize) / limits::NAME_BYTES_PER_UNIT
    }

    /// Units for a request that a learner has passed on, at this leader.
    pub(super) fn units_of_forwarded(&self, request: &ForwardedRequest) -> u32 {
        let op = OpCode::from_i32(request.op).unwrap_or(OpCode::Error);
        let bytes = request.body.len();
        let carried_out = self.units_of_write(op, bytes, request.session, &request.identities);
        // The identities came with the request, and the leader hashes each.
        let names = acl::bytes_of(&request.identities) / limits::HASHED_BYTES_PER_UNIT;
        in_units(carried_out + names)
    }
}
