//! Every transaction that any server ever applied, and what came before it.
//!
//! In ZAB a zxid names a transaction, and with it the whole history before it. So all servers that
//! ever apply a zxid, live, in replay, or as part of a received tree, must have the same bytes, the
//! same zxid before it, and the same digest after it; whether the transaction stays or is truncated
//! later.

use std::collections::{BTreeMap, BTreeSet};

use ringkeeper::database::Recorded;
use ringkeeper::id::{ServerId, Zxid};
use ringkeeper::proto::txn::{Txn, TxnBody};

/// A transaction and what is known of it.
#[derive(Debug)]
pub struct Link {
    /// It.
    pub txn: Txn,
    /// The transaction before it.
    pub before: Zxid,
    /// The digest of the tree after it.
    pub digest: i64,
    /// Who applied it first.
    pub by: ServerId,
    /// When, in µs.
    pub at: u64,
}

/// See the module's words.
#[derive(Debug, Default)]
pub struct Chain {
    links: BTreeMap<Zxid, Link>,
    /// The first zxids of epochs, which belong to no transaction, and the transaction before each.
    epochs: BTreeMap<Zxid, Zxid>,
    /// Digests of states at a zxid, with who had it first.
    digests: BTreeMap<Zxid, (i64, ServerId)>,
    /// Sessions that were closed, and when that was applied first.
    leaders: BTreeMap<i64, ServerId>,
    /// Configurations as texts, by version, with who had each first.
    configs: BTreeMap<Zxid, (String, ServerId)>,
    /// Configurations that may become active although no log has their transactions.
    kept_in_files_alone: BTreeSet<Zxid>,
}

/// Whether a zxid is only the beginning of an epoch.
fn is_marker(zxid: Zxid) -> bool {
    zxid.counter() == 0 && zxid.0 > 0
}

impl Chain {
    /// The transaction that a state of this zxid ends with.
    pub fn resolve(&self, mut zxid: Zxid) -> Zxid {
        while is_marker(zxid) && !self.links.contains_key(&zxid) {
            match self.epochs.get(&zxid) {
                Some(before) => zxid = *before,
                None => break,
            }
        }
        zxid
    }

    /// A server has applied transactions. `seen` is the zxid of its state when it was last looked
    /// at. Returns those that nobody had applied before.
    ///
    /// # Errors
    /// It contradicts what was applied before, here or elsewhere.
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
            // The beginning of an epoch may be known by now that was not known then.
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

    /// The state of a server. `before`: the last transaction that it has applied, as far as known.
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
            // The leader has it first. Who got its tree comes from elsewhere: the digest tells.
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

    /// A server leads an epoch, and serves.
    ///
    /// # Errors
    /// Another did before.
    pub fn leads(&mut self, server: ServerId, epoch: i64) -> Result<(), String> {
        let first = *self.leaders.entry(epoch).or_insert(server);
        if first == server {
            Ok(())
        } else {
            Err(format!("servers {first} and {server} both led epoch {epoch}"))
        }
    }

    /// A server works with a configuration. True: it is the first that does.
    ///
    /// # Errors
    /// It is not the one that was agreed on.
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

    /// A server ended that had a proposed configuration in its files: its transaction may be in no log.
    // ZooKeeper: a leader makes active what it was proposed and has in its files, whether or not that
    // came into its log before it ended (ReconfigRecoveryTest). A quorum of both configurations has then
    // agreed to it with NEWLEADER.
    pub fn may_lack(&mut self, version: Zxid) {
        self.kept_in_files_alone.insert(version);
    }

    /// Every configuration that a server ever worked with was agreed on; but for the first one, to
    /// which a leader gives the zxid that its epoch begins with.
    ///
    /// # Errors
    /// One was not.
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
    /// A part of it was never applied by anybody.
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

    /// What is known of a zxid.
    pub fn get(&self, zxid: Zxid) -> Option<&Link> {
        self.links.get(&zxid)
    }

    /// The first zxids of epochs that were seen.
    pub fn epochs(&self) -> BTreeSet<Zxid> {
        self.epochs.keys().copied().collect()
    }
}
