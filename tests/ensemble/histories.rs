//! Two histories in one ensemble must never be mixed: a quorum has lost its data and started again from nothing, and
//! then a server returns whose history has later epochs.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper_rawclient::{OPEN_ACL, Session};
use ringkeeper_testkit::{Ensemble, Mode, Program};

use crate::ground::{LIMIT, LONG_MS, config, ours, turn};
use crate::same;

/// How long the test watches the server that is kept out; it tries to join several times.
const WATCHED: Duration = Duration::from_millis(3500);
/// The server that keeps the old history.
const OLD: usize = 3;

fn create(ensemble: &Ensemble, id: usize, path: &str) {
    let mut session = Session::open(ensemble.address(id), LONG_MS).expect("a session");
    session.create(path, Some(b"x"), OPEN_ACL, 0).expect("create");
    session.close().expect("closeSession");
}

/// Apache ZooKeeper's QuorumZxidSyncTest, testBehindLeader:
///
/// 1. An ensemble has several epochs.
/// 2. A quorum loses its folders, starts again from nothing and acknowledges a write.
/// 3. The server with the old history and a later epoch returns. The leader must not give up its role, and that
///    server must not follow: both would mix the histories.
#[test]
fn a_server_of_a_later_epoch_is_kept_out_and_the_leader_stays() {
    let _turn = turn();
    let mut ensemble = Ensemble::start(&[ours(), ours(), ours()], config());
    for path in ["/0", "/1", "/2"] {
        let leader = ensemble.leader();
        create(&ensemble, leader, path);
        ensemble.restart(leader);
        ensemble.ids().for_each(|id| ensemble.wait_serving(id));
    }
    ensemble.kill_all();
    for id in [1, 2] {
        let data = ensemble.server(id).data_dir().to_owned();
        fs::remove_dir_all(data.join("version-2")).expect("a folder to empty");
        fs::write(data.join("initialize"), "").expect("a file");
        ensemble.spawn(id);
    }
    let leader = ensemble.wait_leader_among(&[1, 2], LIMIT);
    let mut session = Session::open(ensemble.address(leader), LONG_MS).expect("a session");
    session.create("/new", None, OPEN_ACL, 0).expect("create");
    assert_eq!(session.exists("/0", false).expect("exists"), None);
    let epoch = session.last_zxid().epoch();

    let log = ensemble.server(OLD).log_tail(usize::MAX).lines().count();
    let lines = |ensemble: &Ensemble, id: usize, skip: usize, words: &str| -> usize {
        let log = ensemble.server(id).log_tail(usize::MAX);
        log.lines().skip(skip).filter(|line| line.contains(words)).count()
    };
    ensemble.spawn(OLD);
    let begun = Instant::now();
    while begun.elapsed() < WATCHED {
        // Every write is answered, so the leader never leaves its quorum.
        session.set_data("/new", Some(b"y"), -1).expect("setData");
        assert_eq!(ensemble.mode(OLD), None, "it serves nobody");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(ensemble.mode(leader), Some(Mode::Leader));
    assert_eq!(session.last_zxid().epoch(), epoch, "the leader never changed");
    if matches!(ours(), Program::Ringkeeper(_)) {
        // The log of each side says what to do, and does not repeat that for every attempt.
        let advice = "move its version-2 folders (in dataDir and dataLogDir) aside";
        assert_eq!(lines(&ensemble, OLD, log, advice), 1, "{}", ensemble.tails(40));
        assert_eq!(lines(&ensemble, leader, 0, advice), 1, "{}", ensemble.tails(40));
    }

    // The operator does what the log says.
    ensemble.kill(OLD);
    let data = ensemble.server(OLD).data_dir().to_owned();
    fs::rename(data.join("version-2"), data.join("old")).expect("a folder to move");
    ensemble.reconfigure(OLD, |config| config.line("db.autocreate=false"));
    ensemble.spawn(OLD);
    ensemble.wait_mode(OLD, LIMIT, |mode| mode == Some(Mode::Follower));
    session.close().expect("closeSession");
    let tree = same::trees(&mut ensemble, "with the new history");
    assert!(tree.contains_key("/new") && !tree.contains_key("/0"));
}
