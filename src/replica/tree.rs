//! Whole trees between servers: this server's tree on its way to learners, and the leader's tree, which replaces that
//! of this server.

use super::Replica;
use super::ensemble::Ensemble;
use super::pipeline::Pipeline;
use super::service::Service;
use super::transfer::Transfer;
use crate::database::Database;
use crate::id::Zxid;
use crate::snapshot::{StreamProgress, StreamReader, StreamWriter};
use crate::time::Now;

/// Why another tree replaces that of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The leader sent the tree.
    Received,
    /// This server's tree held transactions that the ensemble never committed, so it was read from the disk again.
    Cut,
}

impl Ensemble {
    /// Whether the tree on its way to learners can go on at once.
    pub(super) fn outgoing_wants_poll(&self) -> bool {
        match self.outgoing {
            Some(_) => self.peer.wants_snapshot_piece() || !self.peer.sends_snapshot(),
            None => false,
        }
    }

    /// A piece of the leader's tree has arrived.
    pub(super) fn on_snapshot_piece(&mut self, now: Now, bytes: &[u8]) {
        // An earlier piece was refused, and the link is being closed.
        let Some((reader, transfer)) = &mut self.incoming else { return };
        let is_due = transfer.advance(now.mono, bytes.len());
        match reader.feed(bytes) {
            Ok(StreamProgress::NeedMore) if is_due => {
                let ((bytes, nodes), ms) = (reader.progress(), transfer.ms(now.mono));
                tracing::info!(bytes, nodes, ms, "receiving the leader's whole tree: so far");
            }
            Ok(StreamProgress::NeedMore) => {}
            Ok(StreamProgress::Done { database, consumed }) => {
                let ((bytes_read, nodes), ms) = (reader.progress(), transfer.ms(now.mono));
                let zxid = reader.zxid();
                tracing::info!(
                    %zxid,
                    bytes = bytes_read,
                    nodes,
                    ms,
                    "received the leader's whole tree"
                );
                assert!(self.received.is_none(), "one tree at a time is received");
                self.incoming = None;
                let digest = database.sure_digest();
                self.received = Some(database);
                self.peer.snapshot_received(now.mono, digest, &bytes[consumed..]);
            }
            Err(error) => {
                self.incoming = None;
                self.peer.snapshot_refused(now.mono, &error.to_string());
            }
        }
    }
}

impl Ensemble {
    /// Stops sending the tree.
    pub(super) fn give_up_outgoing(&mut self, database: &mut Database) {
        if let Some((writer, transfer)) = self.outgoing.take() {
            tracing::info!(
                bytes = transfer.bytes(),
                "no learner wants the whole tree any more: giving it up"
            );
            writer.abandon(database);
        }
    }
}

impl Pipeline {
    /// Gives up all that holds the database, because it is about to be replaced, or files are about to be cut.
    pub(super) fn give_up_snapshots(&mut self, database: &mut Database, ensemble: &mut Ensemble) {
        // A step that waits for a tree that is given up would wait for ever.
        assert!(!self.steps.writes_tree(), "a tree that a step waits for is not given up");
        ensemble.give_up_outgoing(database);
        self.snapshots.give_up(database);
    }
}

impl Service {
    /// Begins to send the tree if a learner waits for it and nothing else holds the database, and
    /// gives the peer the next piece.
    pub(super) fn poll_outgoing(&mut self) {
        if self.ensemble.outgoing.is_none() {
            if self.pipeline.steps.is_frozen()
                || self.ensemble.is_applying()
                || self.pipeline.snapshots.holds_database()
                || !self.ensemble.peer.wants_snapshot()
            {
                return;
            }
            let writer = StreamWriter::begin(&mut self.database);
            tracing::info!(zxid = %writer.zxid(), "sending the whole tree to a learner");
            let digest = self.database.sure_digest();
            self.ensemble.peer.snapshot_begins(writer.zxid(), digest);
            self.ensemble.outgoing = Some((writer, Transfer::begin(self.now.mono)));
        }
        if !self.ensemble.peer.sends_snapshot() {
            return self.ensemble.give_up_outgoing(&mut self.database);
        }
        if !self.ensemble.peer.wants_snapshot_piece() {
            return;
        }
        let now = self.now.mono;
        let (writer, transfer) = self.ensemble.outgoing.as_mut().expect("the tree is being sent");
        match writer.next_piece(&mut self.database) {
            Some(bytes) => {
                if transfer.advance(now, bytes.len()) {
                    let (bytes, ms) = (transfer.bytes(), transfer.ms(now));
                    tracing::info!(bytes, ms, "sending the whole tree: so far");
                }
                self.ensemble.peer.snapshot_piece(bytes);
            }
            None => {
                let (bytes, ms, zxid) = (transfer.bytes(), transfer.ms(now), writer.zxid());
                tracing::info!(%zxid, bytes, ms, "sent the whole tree");
                self.ensemble.outgoing = None;
                self.ensemble.peer.snapshot_ends();
            }
        }
    }

    /// The leader begins to send its tree.
    pub(super) fn on_snapshot_begins(&mut self, zxid: Zxid, digest: Option<i64>) {
        tracing::info!(%zxid, "receiving the leader's whole tree");
        let options = *self.database.options();
        self.ensemble.received = None;
        let reader = Box::new(StreamReader::new(options, zxid, digest));
        self.ensemble.incoming = Some((reader, Transfer::begin(self.now.mono)));
    }

    /// Writes the active configuration into its node.
    pub(super) fn show_config(&mut self, now: Now) {
        if let Some(config) = self.ensemble.peer.config() {
            let (text, version) = (config.to_text(), Zxid(config.version));
            self.database.set_config(&text, version, now.wall.0);
        }
    }
}

impl Replica {
    /// The received tree replaces that of this server.
    pub(super) fn restore_in_memory(&mut self, now: Now, zxid: Zxid) {
        let received = self.service.ensemble.received.take();
        let database = *received.expect("the peer restores a tree that was received");
        assert_eq!(database.last_processed(), zxid, "the peer restores the tree that was received");
        self.replace_database(now, database, Reason::Received);
    }

    /// Another tree replaces that of this server, and does not continue it: clients that have seen the old one must
    /// connect again.
    pub(super) fn replace_database(&mut self, now: Now, database: Database, reason: Reason) {
        self.service
            .pipeline
            .give_up_snapshots(&mut self.service.database, &mut self.service.ensemble);
        self.close_all_clients();
        self.service.database = database;
        let reset = match reason {
            Reason::Received => !self.service.options.reconfig,
            Reason::Cut => true,
        };
        // ZooKeeper: without reconfigurations every server shows its own configuration, whatever
        // the tree of its leader says (ZOOKEEPER-2819).
        if reset {
            self.service.show_config(now);
        }
    }
}
