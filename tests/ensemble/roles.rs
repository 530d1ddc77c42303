//! Members with other roles than equal voters: added and removed under load, observers, read-only servers, local
//! sessions; and a new epoch when the zxids of an epoch are used up.

use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::error::ErrorCode;
use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::proto::opcode::OpCode;
use ringkeeper_rawclient::{Body, Connection, Failure, OPEN_ACL, Roaming, Session, SessionError};
use ringkeeper_testkit::{Config, Ensemble, Mode, PeerType, Program};

use crate::faults::{one_leader, wait_quorum};
use crate::ground::{LIMIT, LONG_MS, config, ours, turn};
use crate::load::{Load, Pace};
use crate::same;

const ANY_CONFIG: i64 = -1;
const PATIENCE: Duration = Duration::from_secs(5);
/// The initial counter of zxids: a new epoch is 600 writes away, and the one after it is not too near.
const INITIAL_COUNTER: i64 = 0xffff_ffff - 600;

/// A request to change the ensemble, repeated while another change is under way.
fn reconfig(session: &mut Roaming, joining: Option<&str>, leaving: Option<&str>) {
    let body = Body::new()
        .buffer(joining.map(str::as_bytes))
        .buffer(leaving.map(str::as_bytes))
        .buffer(None)
        .long(ANY_CONFIG);
    let begun = Instant::now();
    loop {
        match session.call(OpCode::Reconfig, &body, LIMIT) {
            Ok(_) => return,
            // The leader may be stopping because of this very request, so its outcome is unknown, and it may be
            // repeated.
            Err(Failure::Unknown) => {}
            Err(Failure::Refused(code)) if code == ErrorCode::ReconfigInProgress.code() => {}
            Err(Failure::Refused(code)) if code == ErrorCode::NewConfigNoQuorum.code() => {}
            Err(failure) => panic!("reconfig {joining:?} {leaving:?}: {failure:?}"),
        }
        assert!(begun.elapsed() < LIMIT, "reconfig {joining:?} {leaving:?} takes too long");
        thread::sleep(Duration::from_millis(50));
    }
}

fn configuration(session: &mut Roaming) -> String {
    let (data, _) = session.read("/zookeeper/config", LIMIT).expect("the configuration");
    String::from_utf8(data.unwrap_or_default()).expect("text")
}

#[test]
fn servers_come_and_go_and_change_their_roles_under_load() {
    let _turn = turn();
    let members = vec![(ours(), PeerType::Participant); 4];
    let config = config().line("reconfigEnabled=true").line("skipACL=yes");
    let mut ensemble = Ensemble::prepare(&members, config);
    for id in 1..=3 {
        ensemble.reconfigure(id, |config| config.without_line("server.4"));
    }
    for id in 1..=3 {
        ensemble.spawn(id);
    }
    for id in 1..=3 {
        ensemble.wait_serving(id);
    }
    let addresses = ensemble.addresses();
    let load = Load::start(&addresses[..3], Pace::FORGETFUL);
    let mut session = Roaming::open(&addresses[..3], LONG_MS, PATIENCE, LIMIT).expect("a session");

    // A server that is not in the configuration does not vote, but it may already fetch the data.
    ensemble.spawn(4);
    let fourth = format!("server.4={}", ensemble.server_line(4));
    reconfig(&mut session, Some(&fourth), None);
    ensemble.wait_mode(4, LIMIT, |mode| mode == Some(Mode::Follower));
    assert!(configuration(&mut session).contains("server.4="), "{}", configuration(&mut session));
    println!("server 4 was added");

    reconfig(&mut session, Some(&fourth.replace("participant", "observer")), None);
    ensemble.wait_mode(4, LIMIT, |mode| mode == Some(Mode::Observer));
    reconfig(&mut session, Some(&fourth), None);
    ensemble.wait_mode(4, LIMIT, |mode| mode == Some(Mode::Follower));
    println!("server 4 was an observer for a while");

    // From now on each server starts with the configuration that it has saved itself.
    ensemble.ids().for_each(|id| ensemble.server_mut(id).keep_config_file());
    ensemble.restart(4);
    assert_eq!(ensemble.mode(4), Some(Mode::Follower), "as it wrote it down");

    session.set_servers(&addresses);
    let leader = ensemble.leader();
    let moment = Instant::now();
    reconfig(&mut session, None, Some(&leader.to_string()));
    let others: Vec<usize> = ensemble.ids().filter(|id| *id != leader).collect();
    ensemble.wait_leader_among(&others, LIMIT);
    let took = load.wait_acknowledged(moment);
    let text = configuration(&mut session);
    assert!(!text.contains(&format!("server.{leader}=")), "{text}");
    println!("the leader was removed, {} ms until the next write", took.as_millis());
    ensemble.kill(leader);
    load.wait_acknowledged(Instant::now());

    // And back. The configuration that the server has saved no longer contains it, so its operator rewrites the file.
    ensemble.server_mut(leader).write_config_file();
    ensemble.spawn(leader);
    let line = format!("server.{leader}={}", ensemble.server_line(leader));
    reconfig(&mut session, Some(&line), None);
    ensemble.wait_mode(leader, LIMIT, |mode| mode.is_some());
    one_leader(&mut ensemble);
    let summary = load.finish();
    same::trees(&mut ensemble, "after all changes");
    println!("{summary:?}");
}

#[test]
fn a_server_without_a_quorum_serves_reads_to_those_who_accept_that() {
    let _turn = turn();
    // ZooKeeper: without a leader a new session can only be a local one (ReadOnlyRequestProcessor).
    let config = config()
        .flag("-Dreadonlymode.enabled=true")
        .line("localSessionsEnabled=true")
        .line("localSessionsUpgradingEnabled=true");
    let mut ensemble = Ensemble::start(&[ours(), ours(), ours()], config);
    let leader = ensemble.leader();
    let mut session = Session::open(ensemble.address(leader), LONG_MS).expect("a session");
    session.create("/read", Some(b"me"), OPEN_ACL, 0).expect("create");
    session.close().expect("closeSession");
    let alone = ensemble.followers()[0];
    let others: Vec<usize> = ensemble.ids().filter(|id| *id != alone).collect();
    let mut synced = Session::open(ensemble.address(alone), LONG_MS).expect("a session");
    synced.call(OpCode::Sync, &Body::path("/")).expect("sync");
    others.iter().for_each(|id| ensemble.kill(*id));
    ensemble.wait_mode(alone, LIMIT, |mode| mode == Some(Mode::ReadOnly));

    let connection = Connection::open(ensemble.address(alone)).expect("a connection");
    let mut reader =
        Session::greet(connection, LONG_MS, SessionId::NONE, [0; 16], Zxid::ZERO, true)
            .expect("a session to read with");
    assert!(reader.is_read_only());
    let (data, _) = reader.get_data("/read", false).expect("getData");
    assert_eq!(data.as_deref(), Some(&b"me"[..]));
    let refused = reader.create("/written", None, OPEN_ACL, 0);
    assert_eq!(refused, Err(SessionError::Refused(ErrorCode::NotReadOnly.code())));
    assert!(
        Session::open(ensemble.address(alone), LONG_MS).is_err(),
        "who wants to write must look for another server"
    );

    let (id, password) = (reader.id(), reader.password());
    ensemble.start_all();
    let mut roaming =
        Roaming::open(&ensemble.addresses(), LONG_MS, PATIENCE, LIMIT).expect("a session");
    // ZooKeeper: the session for reads ended together with the ReadOnlyZooKeeperServer.
    ensemble.wait_mode(alone, LIMIT, |mode| matches!(mode, Some(Mode::Leader | Mode::Follower)));
    let again = Session::resume(ensemble.address(alone), LONG_MS, id, password);
    let refusal = again.expect_err("the session to read with is over");
    assert_eq!(refusal.kind(), ErrorKind::NotFound, "{refusal}");
    roaming.create("/written", None, OPEN_ACL, 0, LIMIT).expect("create");
    roaming.close(LIMIT).expect("closeSession");
    same::trees(&mut ensemble, "with a quorum again");
}

#[test]
fn a_local_session_becomes_global_with_its_first_ephemeral_node() {
    let _turn = turn();
    let config =
        config().line("localSessionsEnabled=true").line("localSessionsUpgradingEnabled=true");
    let mut ensemble = Ensemble::start(&[ours(), ours(), ours()], config);
    let follower = ensemble.followers()[0];
    let count = |ensemble: &Ensemble, name: &str| ensemble.mntr(follower, name).expect("a count");
    let mut session = Session::open(ensemble.address(follower), LONG_MS).expect("a session");
    assert_eq!(count(&ensemble, "local_sessions"), "1");
    assert_eq!(count(&ensemble, "global_sessions"), "0");
    session.create("/plain", None, OPEN_ACL, 0).expect("create");
    assert_eq!(count(&ensemble, "local_sessions"), "1");
    session.create("/ephemeral", None, OPEN_ACL, 1).expect("create");
    assert_eq!(count(&ensemble, "local_sessions"), "0");
    assert_eq!(count(&ensemble, "global_sessions"), "1");
    let tree = same::trees(&mut ensemble, "with an ephemeral node");
    let owner = tree["/ephemeral"].stat.expect("a Stat").ephemeral_owner;
    assert_eq!(SessionId(owner), session.id());

    let (id, password) = (session.id(), session.password());
    drop(session);
    let leader = ensemble.leader();
    let moved = Session::resume(ensemble.address(leader), LONG_MS, id, password)
        .expect("a global session moves");
    moved.close().expect("closeSession");
    let tree = same::trees(&mut ensemble, "after its end");
    assert!(!tree.contains_key("/ephemeral"));
}

#[test]
fn zxids_run_out_and_no_client_sees_an_error() {
    let _turn = turn();
    let config = config().flag(&format!("-Dzookeeper.testingonly.initialZxid={INITIAL_COUNTER}"));
    let mut ensemble = Ensemble::start(&[ours(), ours(), ours()], config);
    let load = Load::start(&ensemble.addresses(), Pace::FORGETFUL);
    load.wait_acknowledged(Instant::now());
    let first_epoch = epoch(&ensemble);
    let begun = Instant::now();
    while epoch(&ensemble) == first_epoch {
        assert!(begun.elapsed() < LIMIT, "no new epoch");
        load.wait_acknowledged(Instant::now());
        thread::sleep(Duration::from_millis(20));
    }
    load.wait_acknowledged(Instant::now());
    let summary = load.finish();
    if let Program::Ringkeeper(_) = ours() {
        // ZooKeeper's clients lose their connections, and with them the answers that they wait for.
        assert_eq!(summary.unknown, 0, "{summary:?}");
    }
    one_leader(&mut ensemble);
    same::trees(&mut ensemble, "in the new epoch");
    println!("epoch {first_epoch} to {}: {summary:?}", epoch(&ensemble));
}

/// The epoch of the last zxid of server 1.
fn epoch(ensemble: &Ensemble) -> u64 {
    let zxid = ensemble.server(1).try_four_letter("srvr").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("Zxid: 0x"))?.to_owned();
        u64::from_str_radix(line.trim(), 16).ok()
    });
    zxid.map_or(0, |zxid| zxid >> 32)
}

#[test]
fn weights_decide_what_a_quorum_is() {
    let _turn = turn();
    let config: Config =
        config().line("group.1=1:2:3").line("weight.1=1").line("weight.2=1").line("weight.3=0");
    let mut ensemble = Ensemble::start(&[ours(), ours(), ours()], config);
    let load = Load::start(&ensemble.addresses(), Pace::FORGETFUL);
    assert_ne!(ensemble.leader(), 3, "a server without weight does not lead");
    ensemble.kill(3);
    load.wait_acknowledged(Instant::now());
    ensemble.restart(3);
    // The other two servers need each other for a quorum.
    ensemble.kill(1);
    ensemble.wait_mode(2, LIMIT, |mode| mode.is_none());
    ensemble.restart(1);
    wait_quorum(&mut ensemble, &load);
    let summary = load.finish();
    same::trees(&mut ensemble, "with weights");
    println!("{summary:?}");
}
