//! Checks that all servers of an ensemble hold the same data: trees with Stats and ACLs, digests, and the ephemeral
//! nodes of sessions.

use std::collections::BTreeSet;
use std::time::Instant;

use ringkeeper::proto::opcode::OpCode;
use ringkeeper_rawclient::{Body, Session, SessionError, Tree, dump, first_difference};
use ringkeeper_testkit::{Ensemble, Program};

use crate::ground::{LIMIT, LONG_MS};

const CONFIG_NODE: &str = "/zookeeper/config";

/// Compares all running servers and their digests while no client writes; returns the tree. Servers of Apache ZooKeeper
/// must have found no digest that differs from their own.
///
/// # Panics
/// With the first difference.
pub fn check(ensemble: &mut Ensemble, what: &str) -> Tree {
    let tree = trees(ensemble, what);
    let running = running(ensemble);
    same_digests(ensemble, &running, what);
    for id in running {
        assert_eq!(mismatches(ensemble, id), 0, "{what}: digest mismatches of server {id}");
    }
    tree
}

/// As [`check`] without the digests, because Apache ZooKeeper, even without Ringkeeper, sometimes finds mismatches
/// when servers are replaced under load.
pub fn trees(ensemble: &mut Ensemble, what: &str) -> Tree {
    let running = running(ensemble);
    let trees: Vec<Tree> = running.iter().map(|id| tree(ensemble, *id, what)).collect();
    for (id, tree) in running.iter().zip(&trees).skip(1) {
        if let Some(difference) = first_difference(&trees[0], tree) {
            panic!(
                "{what}: servers {} ({}) and {id} ({}) differ at {difference}",
                running[0],
                ensemble.server(running[0]).program().name(),
                ensemble.server(*id).program().name()
            );
        }
    }
    trees.into_iter().next().expect("a server runs")
}

fn running(ensemble: &mut Ensemble) -> Vec<usize> {
    ensemble.ids().filter(|id| ensemble.server_mut(*id).is_running()).collect()
}

/// How many digests a server has found that differ from its own.
pub fn mismatches(ensemble: &Ensemble, id: usize) -> u64 {
    let count = ensemble.mntr(id, "digest_mismatches_count");
    match ensemble.server(id).program() {
        Program::Ringkeeper(_) => count.map_or(0, |count| count.parse().expect("a number")),
        _ => count.expect("Java counts them").parse().expect("a number"),
    }
}

/// The state that one server shows after a sync.
fn tree(ensemble: &Ensemble, id: usize, what: &str) -> Tree {
    let begun = Instant::now();
    let mut tree = loop {
        match read_tree(ensemble, id) {
            Ok(tree) => break tree,
            // A Java server that had just returned has once left a read without an answer, on a busy machine.
            // Ringkeeper must always answer.
            Err(error)
                if is_silence(&error) && is_java(ensemble, id) && begun.elapsed() < LIMIT =>
            {
                println!("{what}: server {id}, Java, was silent; it is asked again");
            }
            Err(error) => panic!("{what}: server {id}: {error:?}"),
        }
    };
    if let Some(node) = tree.get_mut(CONFIG_NODE) {
        // ZooKeeper: each server writes this node when it starts, without a transaction, with the time of its own
        // clock.
        node.stat = None;
    }
    tree
}

fn read_tree(ensemble: &Ensemble, id: usize) -> Result<Tree, SessionError> {
    let mut session = Session::open(ensemble.address(id), LONG_MS)
        .unwrap_or_else(|error| panic!("server {id}: {error}"));
    session.authenticate("digest", b"ann:secret")?;
    session.call(OpCode::Sync, &Body::path("/"))?;
    let tree = dump(&mut session, "/")?;
    session.close()?;
    Ok(tree)
}

fn is_silence(error: &SessionError) -> bool {
    matches!(error, SessionError::Silence)
}

fn is_java(ensemble: &Ensemble, id: usize) -> bool {
    !matches!(ensemble.server(id).program(), Program::Ringkeeper(_))
}

/// Asserts that digests are equal at all zxids that all these servers list, and returns the number of those zxids.
/// Servers list every 128th zxid among those that came while they ran.
pub fn same_digests(ensemble: &Ensemble, running: &[usize], what: &str) -> usize {
    let all: Vec<_> = running.iter().map(|id| ensemble.digests(*id)).collect();
    let common =
        all.iter().skip(1).fold(all[0].keys().collect::<BTreeSet<_>>(), |common, other| {
            common.into_iter().filter(|zxid| other.contains_key(zxid)).collect()
        });
    for zxid in &common {
        let values: BTreeSet<_> = all.iter().map(|digests| &digests[*zxid]).collect();
        assert!(values.len() == 1, "{what}: digests at 0x{zxid:x}: {values:?}");
    }
    common.len()
}
