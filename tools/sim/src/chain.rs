//! Every transaction that any server ever applied, and the transaction before it.
//!
//! In ZAB a zxid names a transaction, and with it the whole history before it. All servers that ever apply a zxid,
//! live, in replay, or as part of a received tree, must therefore have the same bytes, the same zxid before it, and
//! the same digest after it, whether the transaction stays or is truncated later.

use std::collections::{BTreeMap, BTreeSet};

use ringkeeper::database::Recorded;
use ringkeeper::id::{ServerId, Zxid};
use ringkeeper::proto::txn::{Txn, TxnBody};

/// A transaction and what is known of it.
#[derive(Debug)]
pub struct Link {
    /// The transaction.
    pub txn: Txn,
    /// The transaction before it.
    pub before: Zxid,
    /// The digest of the tree after it.
    pub digest: i64,
    /// The server that applied it first.
    pub by: ServerId,
    /// The time of that, in µs.
    pub at: u64,
}

/// The transactions, epochs, digests, leaders and configurations that servers have shown so far.
#[derive(Debug, Default)]
pub struct Chain {
    links: BTreeMap<Zxid, Link>,
    /// The first zxids of epochs, which belong to no transaction, and the transaction before each.
    epochs: BTreeMap<Zxid, Zxid>,
    /// The digest of the state at each zxid, with the server that had it first.
    digests: BTreeMap<Zxid, (i64, ServerId)>,
    /// The server that led each epoch.
    leaders: BTreeMap<i64, ServerId>,
    /// Configurations as texts, by version, with the server that had each one first.
    configs: BTreeMap<Zxid, (String, ServerId)>,
    /// Configurations that may become active although no log has their transactions.
    kept_in_files_alone: BTreeSet<Zxid>,
}

/// Whether a zxid is only the beginning of an epoch.
fn is_marker(zxid: Zxid) -> bool {
    zxid.counter() == 0 && zxid.0 > 0
}

impl Chain {
    /// The zxid of the last transaction in a state of this zxid.
    pub fn resolve(&self, mut zxid: Zxid) -> Zxid {
        while is_marker(zxid) && !self.links.contains_key(&zxid) {
            match self.epochs.get(&zxid) {
                Some(before) => zxid = *before,
                None => break,
            }
        }
        zxid
    }

    /// Adds the transactions that a server has applied. `seen` is the zxid of the server's state at the last look.
    /// Returns those that no server had applied before.
    ///
    /// # Errors
    /// They contradict what was applied before, here or elsewhere.
    pub fn applied(
        &mut self,
        server: ServerId,
        at: u64,
        recorded: Vec<Recorded>,
    ) -> Result<Vec<Zxid>, String> {
        let mut fresh = Vec::new();
        for Recorded { after, txn, digest } in recorded {
            let zxid = txn.zxid();
            let before = self.resolve(after);
            let Some(link) = self.links.get(&zxid) else {
                self.links.insert(zxid, Link { txn, before, digest, by: server, at });
                fresh.push(zxid);
                continue;
            };
            if link.txn.bytes() != txn.bytes() {
                return Err(format!(
                    "server {server} applied another transaction at {zxid} than server {}: {:?} \
                     {:?}, not {:?} {:?}",
                    link.by,
                    txn.header(),
                    txn.body(),
                    link.txn.header(),
                    link.txn.body()
                ));
            }
            // The chain may have learned of the beginning of an epoch since.
            let known = self.resolve(link.before);
            if known != before && !is_marker(known) && !is_marker(before) {
                return Err(format!(
                    "server {server} applied {zxid} after {before}, server {} after {known}",
                    link.by
                ));
            }
            if link.digest != digest {
                return Err(format!(
                    "server {server} has digest {digest:x} at {zxid}, server {} had {:x}",
                    link.by, link.digest
                ));
            }
        }
        Ok(fresh)
    }

    /// Compares the state of a server. `before`: the last transaction that the server is known to have applied.
    ///
    /// # Errors
    /// Another server had another state at this zxid.
    pub fn state(
        &mut self,
        server: ServerId,
        zxid: Zxid,
        digest: i64,
        before: Zxid,
    ) -> Result<(), String> {
        if is_marker(zxid) && !self.links.contains_key(&zxid) && before.0 >= 0 {
            // The leader has the zxid first. A server that got the leader's tree had another `before`; its digest
            // shows its state.
            let before = self.resolve(before);
            if before < zxid {
                self.epochs.entry(zxid).or_insert(before);
            }
        }
        let (known, first) = *self.digests.entry(zxid).or_insert((digest, server));
        if known != digest {
            return Err(format!(
                "server {server} has digest {digest:x} at {zxid}, server {first} had {known:x}"
            ));
        }
        if let Some(link) = self.links.get(&zxid)
            && link.digest != digest
        {
            return Err(format!(
                "server {server} has digest {digest:x} at {zxid}, server {} had {:x}",
                link.by, link.digest
            ));
        }
        Ok(())
    }

    /// Notes that a server leads an epoch and serves.
    ///
    /// # Errors
    /// Another server led the epoch before.
    pub fn leads(&mut self, server: ServerId, epoch: i64) -> Result<(), String> {
        let first = *self.leaders.entry(epoch).or_insert(server);
        if first == server {
            Ok(())
        } else {
            Err(format!("servers {first} and {server} both led epoch {epoch}"))
        }
    }

    /// Notes that a server works with a configuration. True: the server is the first one that does.
    ///
    /// # Errors
    /// Another server has another configuration of this version.
    pub fn configured(
        &mut self,
        server: ServerId,
        zxid: Zxid,
        text: String,
    ) -> Result<bool, String> {
        if let Some((known, first)) = self.configs.get(&zxid) {
            if *known != text {
                return Err(format!(
                    "server {server} works with the configuration\n{text}\nof version {zxid}, server \
                     {first} with\n{known}"
                ));
            }
            return Ok(false);
        }
        self.configs.insert(zxid, (text, server));
        Ok(true)
    }

    /// Notes that a server with a proposed configuration in its files ended: perhaps no log has the transaction.
    // ZooKeeper: a leader activates the proposed configuration in its files, even if the transaction did not come
    // into its log before the process ended (ReconfigRecoveryTest). A quorum of both configurations has then agreed
    // to it with NEWLEADER.
    pub fn may_lack(&mut self, version: Zxid) {
        self.kept_in_files_alone.insert(version);
    }

    /// Whether a configuration was noted with [`Chain::may_lack`].
    pub fn is_in_files_alone(&self, version: Zxid) -> bool {
        self.kept_in_files_alone.contains(&version)
    }

    /// Checks that every configuration that a server ever worked with was agreed on. The first one is an exception:
    /// a leader gives it the zxid with which the leader's epoch begins.
    ///
    /// # Errors
    /// A configuration was not agreed on.
    pub fn configs_are_in(&self, links: &[&Link]) -> Result<(), String> {
        for (zxid, (text, server)) in &self.configs {
            let link = links.binary_search_by_key(zxid, |link| link.txn.zxid());
            let made = link.ok().and_then(|at| match links[at].txn.body() {
                TxnBody::SetData(set) => set.data,
                _ => None,
            });
            let may_lack = is_marker(*zxid) || self.kept_in_files_alone.contains(zxid);
            if made != Some(text.as_bytes()) && !may_lack {
                return Err(format!(
                    "server {server} worked with the configuration of {zxid}, which the history does \
                     not have:\n{text}"
                ));
            }
        }
        Ok(())
    }

    /// The one history that ends with `last`, oldest first.
    ///
    /// # Errors
    /// No server ever applied some part of the history.
    pub fn history(&self, last: Zxid) -> Result<Vec<&Link>, String> {
        let mut links = Vec::new();
        let mut at = self.resolve(last);
        while at != Zxid::ZERO {
            let link = self
                .links
                .get(&at)
                .ok_or_else(|| format!("{at} is part of the history, and nobody applied it"))?;
            links.push(link);
            let before = self.resolve(link.before);
            if before >= at {
                return Err(format!("{at} comes after {before}"));
            }
            at = before;
        }
        links.reverse();
        Ok(links)
    }

    /// The transaction of a zxid, if a server has applied it.
    pub fn get(&self, zxid: Zxid) -> Option<&Link> {
        self.links.get(&zxid)
    }

    /// The first zxids of all epochs that servers have shown.
    pub fn epochs(&self) -> BTreeSet<Zxid> {
        self.epochs.keys().copied().collect()
    }
}
