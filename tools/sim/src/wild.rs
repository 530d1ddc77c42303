//! The faults and options of wild ensembles only: connections that end without a word, servers that stay broken
//! while the others must serve, an operator who empties the folders of a quorum by mistake, and options that the
//! other shapes leave at their defaults.
//!
//! The other shapes have `Wild::default()`, which changes nothing and draws nothing, so that their
//! seeds keep their runs.

use super::asking::Asking;
use super::plan::{MS, SECOND};
use super::rng::Rng;
use super::wider::Wider;

/// The ways in which a server may be broken while the others must serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Nobody starts it.
    Down,
    /// No other server hears it, and it hears them.
    Mute,
    /// It hears no other server, and they hear it.
    Deaf,
    /// It hears no other server, and none hears it.
    Cut,
    /// Its disk takes half a second and more for everything.
    Slow,
    /// In guarded ensembles: the others do not let it in.
    LockedOut,
}

/// The faults and options that a seed draws for a wild ensemble.
#[derive(Clone, Debug, Default)]
pub struct Wild {
    /// Mean pause in µs until a sender tries again after its way was blocked; 0: it tries at once.
    pub resend_pause: u64,
    /// How many of a thousand ends of connections come late.
    pub late_ends_per_mille: u64,
    /// The longest delay of a late end, in µs.
    pub late_end: u64,
    /// Mean time between connections that end on one side only, in µs.
    pub half_open: Option<u64>,
    /// Mean time between connections that vanish, over which nothing comes any more, in µs.
    pub vanish: Option<u64>,
    /// The time at which the operator empties the folders of a quorum, in µs.
    pub mistake_at: Option<u64>,
    /// Whether as many servers as an ensemble may lose stay broken after all other faults have ended.
    pub stay_broken: bool,
    /// `syncEnabled=false`.
    pub sync_disabled: bool,
    /// `readonlymode.enabled`.
    pub read_only_mode: bool,
    /// `db.autocreate`.
    pub autocreate: bool,
    /// `leaderServes=no`.
    pub leader_only_leads: bool,
    /// `enableEagerACLCheck`.
    pub eager_acl_check: bool,
    /// `forceSnapshotSync`.
    pub force_snapshot_sync: bool,
    /// `snapshotSizeFactor` below 0: no learner is served from the files of the log.
    pub no_sync_from_log: bool,
    /// `digest.enabled=false`.
    pub no_digest: bool,
    /// `closeSessionTxn.enabled=false`.
    pub no_close_session_paths: bool,
    /// Mean time between two purges of old files, in µs of the whole ensemble.
    pub purge: Option<u64>,
    /// Whether trees are written and sent in small steps, as large ones are.
    pub small_slices: bool,
    /// How many of a thousand opened files cannot be read, or not to their end.
    pub read_errors_per_mille: u64,
    /// How many of a thousand cuts of a log end half-way, because the power goes or the disk fails.
    pub broken_cuts_per_mille: u64,
    /// Whether some partitions concern one port only.
    pub blocks_ports: bool,
    /// Groups and weights: the first number of each group after the first, and each weight.
    pub groups: Option<(Vec<usize>, Vec<i64>)>,
    /// Requests that only clients of wild ensembles send.
    pub wider: Wider,
    /// Ways of asking that only clients of wild ensembles use.
    pub asking: Asking,
    /// Whether servers keep their configuration in files.
    pub config_files: bool,
    /// During how many of a thousand changes of these files the power goes.
    pub config_cuts_per_mille: u64,
    /// Servers whose disks lose writes that they have reported as durable.
    pub lying_disks: Vec<usize>,
    /// How many of a thousand power cuts of those servers lose such writes.
    pub forgets_per_mille: u64,
    /// Whether two servers have an outside witness (`oraclePath`).
    pub witness: bool,
    /// Units of work of a turn, if it does less than usual.
    pub turn_work_units: Option<u32>,
}

impl Wild {
    /// Draws the faults and options of an ensemble. With `changes`, its members change.
    pub fn draw(rng: &mut Rng, voters: usize, chaos: u64, changes: bool) -> Wild {
        let mut rate = |one_in: u64, seconds: &[u64]| {
            let mean = *rng.pick(seconds) * SECOND;
            (!rng.one_in(one_in)).then_some(mean)
        };
        let (half_open, vanish) = (rate(3, &[1, 3, 10]), rate(3, &[3, 10, 30]));
        let groups = (!changes && voters > 3 && rng.one_in(4)).then(|| {
            let begins = if voters == 7 { vec![2, 4] } else { vec![2] };
            let weights = (0..voters).map(|_| *rng.pick(&[1, 1, 1, 2, 3])).collect();
            (begins, weights)
        });
        let steady = !changes && groups.is_none();
        let mistake = steady && rng.one_in(4);
        let mistake_at = mistake.then(|| chaos / 4 + rng.below(chaos / 2));
        let mut wild = Wild {
            resend_pause: *rng.pick(&[0, 200, 2000]) * MS,
            late_ends_per_mille: *rng.pick(&[0, 100, 500]),
            late_end: *rng.pick(&[500, 3000, 10_000]) * MS,
            half_open,
            vanish,
            mistake_at,
            stay_broken: steady && !mistake && rng.one_in(2),
            sync_disabled: rng.one_in(4),
            read_only_mode: rng.one_in(4),
            autocreate: rng.one_in(4),
            leader_only_leads: rng.one_in(6),
            eager_acl_check: rng.one_in(4),
            force_snapshot_sync: rng.one_in(6),
            no_sync_from_log: rng.one_in(6),
            // Without digests, servers cannot tell two histories apart.
            no_digest: rng.one_in(6) && !mistake,
            no_close_session_paths: rng.one_in(6),
            purge: rng.one_in(2).then(|| *rng.pick(&[1, 3, 10]) * SECOND),
            small_slices: rng.one_in(3),
            read_errors_per_mille: *rng.pick(&[0, 0, 5, 50]),
            broken_cuts_per_mille: *rng.pick(&[0, 300, 1000]),
            blocks_ports: rng.one_in(2),
            groups,
            wider: Wider::draw(rng),
            asking: Asking::draw(rng),
            config_files: true,
            config_cuts_per_mille: *rng.pick(&[0, 100, 300]),
            lying_disks: draw_liars(rng, voters, steady),
            forgets_per_mille: *rng.pick(&[500, 1000]),
            witness: steady && rng.one_in(8),
            turn_work_units: None,
        };
        if wild.witness {
            // With a mistake, both servers would begin anew, and neither of two servers may be missing.
            (wild.mistake_at, wild.lying_disks) = (None, Vec::new());
            // The server that goes on alone leads, so leaders must serve clients.
            wild.leader_only_leads = false;
        }
        wild.asking.extra_bytes = *rng.pick(&[0, 20, 36]);
        wild.turn_work_units = *rng.pick(&[None, None, Some(10), Some(100)]);
        wild
    }
}

/// Draws servers whose disks lie, at most as many as an ensemble may lose.
fn draw_liars(rng: &mut Rng, voters: usize, steady: bool) -> Vec<usize> {
    let count = if steady && rng.one_in(3) { 1 + rng.index((voters - 1) / 2) } else { 0 };
    let mut all: Vec<usize> = (0..voters).collect();
    (0..count).map(|_| all.remove(rng.index(all.len()))).collect()
}
