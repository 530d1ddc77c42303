//! Draws the node that a request is about.

use crate::definition::Keys;

/// Draws nodes, numbered from 0.
#[derive(Debug, Clone)]
pub enum Draw {
    /// The session's own node.
    Own,
    /// Any node, each as often as the others.
    Uniform(u32),
    /// Some nodes more often than others.
    Zipfian(Zipfian),
    /// Always the first node.
    OneHot,
}

impl Draw {
    /// A draw over `nodes` nodes.
    pub fn new(keys: Keys, nodes: u32) -> Draw {
        match keys {
            Keys::Own => Draw::Own,
            Keys::Uniform => Draw::Uniform(nodes),
            Keys::Zipfian { theta } => Draw::Zipfian(Zipfian::new(nodes, theta)),
            Keys::OneHot => Draw::OneHot,
        }
    }

    /// The next node; `None` is the session's own.
    #[inline]
    pub fn next(&self, random: &mut fastrand::Rng) -> Option<u32> {
        match self {
            Draw::Own => None,
            Draw::Uniform(nodes) => Some(random.u32(0..*nodes)),
            Draw::Zipfian(zipfian) => Some(zipfian.next(random)),
            Draw::OneHot => Some(0),
        }
    }
}

/// Zipf's distribution in constant time per draw, by the method of Gray et al., "Quickly generating
/// billion-record synthetic databases" (1994), which the Yahoo cloud benchmark uses too. The ranks
/// are scattered over the nodes, so that the hot ones are not neighbours.
#[derive(Debug, Clone)]
pub struct Zipfian {
    nodes: u32,
    theta: f64,
    zeta: f64,
    alpha: f64,
    eta: f64,
}

/// A prime, so that multiplying by it visits every node of any smaller number of nodes once.
const SCATTER: u64 = 2_654_435_761;

impl Zipfian {
    /// The distribution over `nodes` nodes; theta is above 0 and below 1.
    pub fn new(nodes: u32, theta: f64) -> Zipfian {
        let zeta: f64 = (1..=nodes).map(|rank| f64::from(rank).powf(-theta)).sum();
        let zeta_of_two = 1.0 + 0.5f64.powf(theta);
        let eta = (1.0 - (2.0 / f64::from(nodes)).powf(1.0 - theta)) / (1.0 - zeta_of_two / zeta);
        Zipfian { nodes, theta, zeta, alpha: 1.0 / (1.0 - theta), eta }
    }

    #[inline]
    fn next(&self, random: &mut fastrand::Rng) -> u32 {
        let rank = self.rank(random.f64());
        u32::try_from(u64::from(rank) * SCATTER % u64::from(self.nodes)).expect("below nodes")
    }

    /// The rank, from 0, at which the distribution reaches this part of the whole.
    fn rank(&self, part: f64) -> u32 {
        let scaled = part * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5f64.powf(self.theta) {
            return 1.min(self.nodes - 1);
        }
        let rank = f64::from(self.nodes) * (self.eta * part - self.eta + 1.0).powf(self.alpha);
        floor_below(rank, self.nodes)
    }
}

fn floor_below(number: f64, bound: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let floor = number as u32;
    floor.min(bound - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frequencies_of_a_zipfian_draw_fall_with_the_rank_as_they_should() {
        const DRAWS: u32 = 200_000;
        let zipfian = Zipfian::new(1000, 0.99);
        let mut random = fastrand::Rng::with_seed(1);
        let mut counts = vec![0u32; 1000];
        for _ in 0..DRAWS {
            counts[usize::try_from(zipfian.rank(random.f64())).unwrap()] += 1;
        }
        for rank in [0u32, 1, 9, 99] {
            let expected = f64::from(DRAWS) * f64::from(rank + 1).powf(-0.99) / zipfian.zeta;
            let found = f64::from(counts[usize::try_from(rank).unwrap()]);
            // The method is exact for the first two ranks and an approximation of the rest.
            assert!((found / expected - 1.0).abs() < 0.25, "rank {rank}: {found}, not {expected}");
        }
    }

    #[test]
    fn every_node_has_a_rank_of_its_own() {
        for nodes in [1u32, 2, 1000, 1 << 20] {
            let mut seen = vec![false; usize::try_from(nodes).unwrap()];
            for rank in 0..u64::from(nodes) {
                let node = usize::try_from(rank * SCATTER % u64::from(nodes)).unwrap();
                assert!(!seen[node], "two ranks of {nodes} have node {node}");
                seen[node] = true;
            }
        }
    }

    #[test]
    fn a_single_node_can_be_drawn_from() {
        let draw = Draw::new(Keys::Zipfian { theta: 0.5 }, 1);
        assert_eq!(draw.next(&mut fastrand::Rng::with_seed(3)), Some(0));
    }
}
