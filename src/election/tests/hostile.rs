//! Any input from the network: no panic, a bounded number of answers, and the votes of other servers still count.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use super::network::{config_of, options};
use crate::election::{Election, ElectionOptions, Outcome, Vote, notification};
use crate::id::{Epoch, ServerId, Zxid};
use crate::jute::Jute;
use crate::link::{LinkEvent, LinkId, LinkIds, LinkOp, Port};
use crate::proto::quorum::{ElectionHandshake, ServerState};
use crate::quorum::Config;
use crate::random::Random;
use crate::time::MonoUs;

const REMOTE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

fn handshake(seed: &mut Random) -> Vec<u8> {
    let ids = [0, 1, 2, 3, 4, 9, i64::MAX, i64::MAX - 1, -7];
    let server_id = ServerId(ids[usize::try_from(seed.below(9)).unwrap()]);
    let addresses = ["s1:3888", "0.0.0.0:1|[::1]:2", "x", "a:99999"];
    let addresses = addresses[usize::try_from(seed.below(4)).unwrap()];
    let version = -65535 - i64::try_from(seed.below(2)).unwrap();
    ElectionHandshake::Initial { version, server_id, addresses }.to_bytes()
}

fn message(seed: &mut Random) -> Vec<u8> {
    let states = [
        ServerState::Looking,
        ServerState::Following,
        ServerState::Leading,
        ServerState::Observing,
    ];
    let numbers = [0, 1, 2, 3, -1, i64::MAX, i64::MIN, 1 << 32];
    let mut number = || numbers[usize::try_from(seed.below(8)).unwrap()];
    let vote =
        Vote { leader: ServerId(number()), zxid: Zxid(number()), peer_epoch: Epoch(number()) };
    let round = number();
    let state = states[usize::try_from(seed.below(4)).unwrap()];
    let version = numbers[usize::try_from(seed.below(8)).unwrap()].max(0);
    let text = format!("{}version={version:x}", config_of(3));
    notification::write(state, vote, round, &Config::parse(&text).unwrap()).to_vec()
}

#[test]
fn nothing_that_comes_on_the_port_does_more_than_close_its_own_connection() {
    for number in 0..400 {
        let mut seed = Random::new(number);
        let me = 1 + i64::try_from(seed.below(3)).unwrap();
        let config = Rc::new(Config::parse(&config_of(3)).unwrap());
        let options = ElectionOptions { reconfig: number % 2 == 0, ..options(me) };
        let mut election = Election::new(options, config, LinkIds::default());
        let mut now = MonoUs(0);
        let mut links: Vec<LinkId> = Vec::new();
        let (mut accepted, mut sent) = (0, 0);
        for _ in 0..300 {
            let pick = |seed: &mut Random, links: &[LinkId]| {
                let many = u64::try_from(links.len()).unwrap().max(1);
                links.get(usize::try_from(seed.below(many)).unwrap()).copied()
            };
            match seed.below(12) {
                0 => {
                    accepted += 1;
                    let link = LinkId::accepted(accepted);
                    links.push(link);
                    let port = Port::Election;
                    election.handle_link(
                        now,
                        LinkEvent::Accepted { link, port, remote: REMOTE, may_be: None },
                    );
                    let bytes = handshake(&mut seed);
                    election.handle_link(now, LinkEvent::Received { link, bytes: &bytes });
                }
                1..=6 => {
                    let Some(link) = pick(&mut seed, &links) else { continue };
                    let mut bytes = message(&mut seed);
                    for _ in 0..seed.below(3) {
                        let many = u64::try_from(bytes.len()).unwrap();
                        let at = usize::try_from(seed.below(many)).unwrap();
                        bytes[at] ^= 1 << seed.below(8);
                    }
                    let cut =
                        usize::try_from(seed.below(u64::try_from(bytes.len()).unwrap())).unwrap();
                    let bytes = if seed.below(4) == 0 { &bytes[..cut] } else { &bytes[..] };
                    election.handle_link(now, LinkEvent::Received { link, bytes });
                }
                7 => {
                    let Some(link) = pick(&mut seed, &links) else { continue };
                    election.handle_link(now, LinkEvent::Closed { link, reason: "" });
                    links.retain(|other| *other != link);
                }
                8 => {
                    let Some(link) = pick(&mut seed, &links) else { continue };
                    election.handle_link(now, LinkEvent::Connected { link, remote: REMOTE });
                }
                9 => election.look(now, Zxid(1 << 32), Epoch(1)),
                10 => {
                    let Some(link) = pick(&mut seed, &links) else { continue };
                    let bytes = seed.below(1000);
                    election.handle_link(now, LinkEvent::Sent { link, bytes });
                }
                _ => {
                    now = now.plus_ms(seed.below(1000));
                    election.handle_timeout(now);
                }
            }
            let mut ops = Vec::new();
            let outcome = election.take(&mut ops);
            assert!(ops.len() < 40, "seed={number}: one event makes {} ops", ops.len());
            for op in ops {
                match op {
                    LinkOp::Connect { link, .. } => links.push(link),
                    LinkOp::Close { link } => links.retain(|other| *other != link),
                    LinkOp::Send { bytes, .. } => sent += bytes.len(),
                    LinkOp::Listen { .. } | LinkOp::Members { .. } => {
                        panic!("an election does not listen")
                    }
                }
            }
            match outcome {
                Some(Outcome::NewerConfig(config)) => {
                    assert!(config.voters().count() > 0);
                    election.set_config(config.clone(), config);
                    election.look(now, Zxid(1 << 32), Epoch(1));
                }
                Some(Outcome::Elected(elected)) if elected.leader != ServerId(me) => {
                    election.settle(ServerState::Following);
                }
                Some(Outcome::Elected(_)) => election.settle(ServerState::Leading),
                Some(Outcome::Deserted(_)) | None => {}
            }
        }
        assert!(sent < 4 << 20, "seed={number}: {sent} bytes");
    }
}
