//! The requests of clients of wild ensembles beside those of `workload`: watches that stay, containers, nodes with a
//! time to live, quotas.
//!
//! Each kind has nodes and a rate of its own, so that some seeds have few kinds.

use std::collections::BTreeSet;

use super::history::{Part, Request, Watched};
use super::quotas;
use super::rng::Rng;

/// The rates of these requests, each for a thousand requests, and their settings.
#[derive(Clone, Debug, Default)]
pub struct Wider {
    /// Watches that stay, and questions about watches.
    pub watches_per_mille: u64,
    /// Containers and their children.
    pub containers_per_mille: u64,
    /// Nodes with a time to live, and their children.
    pub ttls_per_mille: u64,
    /// How often a leader looks for nodes that may go, in ms.
    pub reap_interval_ms: u64,
    /// How many of them it removes in a minute.
    pub reaped_per_minute: u32,
    /// The greatest age of containers that never have a child, in ms; `None`: any age.
    pub never_used_ms_max: Option<u64>,
    /// Quotas, and nodes that have one.
    pub quotas_per_mille: u64,
    /// `enforceQuota`.
    pub enforce_quota: bool,
    /// Whether some clients also read at servers without a leader, if those let them.
    pub readers: bool,
}

impl Wider {
    /// Draws the rates and settings for an ensemble.
    pub fn draw(rng: &mut Rng) -> Wider {
        Wider {
            watches_per_mille: *rng.pick(&[0, 0, 50, 150]),
            containers_per_mille: *rng.pick(&[0, 0, 50, 200]),
            ttls_per_mille: *rng.pick(&[0, 0, 50, 200]),
            reap_interval_ms: *rng.pick(&[200, 500, 2000]),
            reaped_per_minute: *rng.pick(&[60, 600, 10_000]),
            never_used_ms_max: rng.one_in(2).then(|| *rng.pick(&[500, 3000])),
            quotas_per_mille: *rng.pick(&[0, 0, 50, 200]),
            enforce_quota: !rng.one_in(3),
            readers: rng.one_in(2),
        }
    }

    /// Whether nodes disappear by themselves.
    pub fn reaps(&self) -> bool {
        self.containers_per_mille + self.ttls_per_mille > 0
    }

    fn is_idle(&self) -> bool {
        !self.reaps() && self.watches_per_mille + self.quotas_per_mille == 0
    }
}

/// Thinks of a client's further requests.
pub struct Thinker {
    rng: Rng,
    wider: Wider,
    keys: u64,
    values: u64,
}

impl Thinker {
    /// A thinker, or `None` if the ensemble has no such requests; then nothing is drawn.
    pub fn new(wider: &Wider, keys: u64, rng: &mut Rng) -> Option<Thinker> {
        (!wider.is_idle()).then(|| Thinker {
            rng: rng.fork(),
            wider: wider.clone(),
            keys,
            values: 0,
        })
    }

    /// The client's next requests, if they are of these kinds. `watches` are the watches of the client.
    pub fn think(&mut self, watches: &BTreeSet<(String, Watched)>) -> Option<Vec<Request>> {
        let Wider { watches_per_mille, containers_per_mille, ttls_per_mille, .. } = self.wider;
        let quotas_per_mille = self.wider.quotas_per_mille;
        let mut at = self.rng.below(1000);
        let mut is = |rate: u64| {
            let hit = at < rate;
            at = at.saturating_sub(rate) + if hit { 1000 } else { 0 };
            hit
        };
        if is(watches_per_mille) {
            Some(vec![self.watch(watches)])
        } else if is(containers_per_mille) {
            Some(vec![self.container()])
        } else if is(ttls_per_mille) {
            Some(vec![self.ttl()])
        } else if is(quotas_per_mille) {
            Some(self.quota())
        } else {
            None
        }
    }

    fn value(&mut self) -> Vec<u8> {
        self.values += 1;
        let mut data = format!("w{}-", self.values).into_bytes();
        data.resize(data.len() + self.rng.index(40), b'.');
        data
    }

    fn watch(&mut self, watches: &BTreeSet<(String, Watched)>) -> Request {
        let rng = &mut self.rng;
        let path = match rng.below(10) {
            0..5 => format!("/r{}", rng.below(self.keys)),
            5 => "/e".to_owned(),
            6 => format!("/e/{}", rng.below(4)),
            7 => "/q".to_owned(),
            8 => format!("/{}{}", rng.pick(&["c", "t"]), rng.below(3)),
            _ => "/".to_owned(),
        };
        if rng.one_in(2) {
            return Request::AddWatch { path, recursive: rng.one_in(2) };
        }
        let kind = i32::try_from(rng.between(1, 5)).expect("a small number");
        let remove = !rng.one_in(3);
        if watches.is_empty() || rng.one_in(4) {
            return Request::Watches { path, kind, remove };
        }
        let (path, watched) =
            watches.iter().nth(rng.index(watches.len())).expect("below the count");
        let kind = match watched {
            _ if rng.one_in(3) => kind,
            Watched::Children => 1,
            Watched::Data | Watched::Missing => 2,
            Watched::Persistent => 4,
            Watched::Recursive => 5,
        };
        Request::Watches { path: path.clone(), kind, remove }
    }

    fn container(&mut self) -> Request {
        let path = format!("/c{}", self.rng.below(3));
        let child = format!("{path}/k{}", self.rng.below(2));
        let data = self.value();
        let rng = &mut self.rng;
        match rng.below(100) {
            0..25 => Request::CreateContainer { path, data },
            25..30 => Request::CreateContainer { path: child, data },
            30..55 => {
                let ephemeral = rng.one_in(3);
                Request::Create { path: child, data, ephemeral, sequential: false }
            }
            55..75 => Request::Delete { path: child, version: -1 },
            75..80 => Request::Delete { path, version: -1 },
            80..85 => Request::Set { path, data, version: -1 },
            _ => look(rng, path),
        }
    }

    /// Limits and figures come and go together, and quotas do not lie within each other: otherwise the figures of
    /// servers would differ (`database::quotas`). ZooKeeper's own client also removes both, and refuses quotas
    /// within each other.
    fn quota(&mut self) -> Vec<Request> {
        let path = format!("/l{}", self.rng.below(2));
        let child = format!("{path}/k{}", self.rng.below(4));
        let top = format!("{}{path}", quotas::ROOT);
        let (limits, figures) =
            (format!("{top}/{}", quotas::LIMITS), format!("{top}/{}", quotas::FIGURES));
        let data = self.value();
        let rng = &mut self.rng;
        let text = {
            let (count, bytes) = (*rng.pick(&[-1, 2, 3, 5]), *rng.pick(&[-1, 40, 100, 200]));
            if rng.one_in(4) {
                format!("count={count},bytes={bytes}")
            } else {
                format!("count=-1,bytes=-1=;byteHardLimit={bytes};countHardLimit={count}")
            }
        };
        let create = |path: &str, data: &[u8], ephemeral| Request::Create {
            path: path.to_owned(),
            data: data.to_vec(),
            ephemeral,
            sequential: false,
        };
        let delete = |path: &str| Request::Delete { path: path.to_owned(), version: -1 };
        match rng.below(100) {
            0..12 => {
                let part = |path: &str, data: &[u8]| Part::Create {
                    path: path.to_owned(),
                    data: data.to_vec(),
                };
                let figures = part(&figures, b"count=0,bytes=0");
                let both = vec![part(&limits, text.as_bytes()), figures];
                vec![create(&top, b"", false), Request::Multi(both)]
            }
            12..20 => vec![Request::Set { path: limits, data: text.into_bytes(), version: -1 }],
            20..24 => {
                let part = |path: &str| Part::Delete { path: path.to_owned(), version: -1 };
                vec![Request::Multi(vec![part(&limits), part(&figures)]), delete(&top)]
            }
            24..34 => vec![create(&path, &data, false)],
            34..52 => vec![create(&child, &data, rng.one_in(4))],
            52..72 => vec![Request::Set { path: child, data, version: -1 }],
            72..82 => vec![delete(&child)],
            82..84 => vec![delete(&path)],
            84..92 => vec![Request::Get { path: figures, watch: false }],
            _ => vec![look(rng, child)],
        }
    }

    fn ttl(&mut self) -> Request {
        let path = format!("/t{}", self.rng.below(3));
        let child = format!("{path}/k");
        let data = self.value();
        let rng = &mut self.rng;
        let ttl_ms = *rng.pick(&[1, 100, 1000, 10_000]);
        match rng.below(100) {
            0..35 => Request::CreateTtl { path, data, ttl_ms },
            35..55 => Request::Set { path, data, version: -1 },
            55..60 => Request::CreateTtl { path: child, data, ttl_ms },
            60..65 => Request::Create { path: child, data, ephemeral: false, sequential: false },
            65..80 => Request::Delete { path: child, version: -1 },
            80..85 => Request::Delete { path, version: -1 },
            _ => look(rng, path),
        }
    }
}

/// A read of a node.
fn look(rng: &mut Rng, path: String) -> Request {
    let watch = rng.one_in(2);
    match rng.below(3) {
        0 => Request::Get { path, watch },
        1 => Request::Exists { path, watch },
        _ => Request::Children { path, watch },
    }
}
