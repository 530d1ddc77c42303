//! Tests of reconfig: which changes are refused, in which order, and what an accepted change makes of the
//! configuration.

use std::rc::Rc;

use super::{CONFIG_PATH, Prep, ReconfigFacts, Requester};
use crate::acl::Identity;
use crate::database::{Database, DatabaseOptions, Fired};
use crate::error::ErrorCode::{self, *};
use crate::id::{ConnectionId, SessionId, Zxid};
use crate::jute::Jute;
use crate::processor::{PrepOptions, finish};
use crate::proto::OpCode;
use crate::proto::event::EventType;
use crate::proto::request::ReconfigRequest;
use crate::proto::response::GetDataResponse;
use crate::proto::txn::{Txn, TxnBody};
use crate::quorum::Config;
use crate::time::WallMs;
use crate::watch::WatchKind;
use crate::zab::config_of;

const THREE: &str = "server.1=a:1:2;3\nserver.2=b:1:2;3\nserver.3=c:1:2;3\nversion=100000000";

struct Case {
    options: PrepOptions,
    database: Database,
    identities: Vec<Identity>,
    allowed: Result<(), ErrorCode>,
    active: Rc<Config>,
    last_seen: Rc<Config>,
    multi_address: bool,
    synced: bool,
}

fn case() -> Case {
    let config = Rc::new(Config::parse(THREE).unwrap());
    Case {
        options: PrepOptions {
            ephemerals_per_session_max: usize::MAX,
            skip_acl: false,
            schemes: Rc::default(),
            digest: true,
            enforce_quota: false,
            extended_types: false,
            close_session_paths: false,
            reconfig: true,
            acl_entries_max: crate::limits::ACL_ENTRIES_MAX,
            txn_bytes_max: 1 << 20,
            planted: None,
        },
        database: Database::new(DatabaseOptions::default()),
        identities: vec![Identity::new("super", "")],
        allowed: Ok(()),
        active: config.clone(),
        last_seen: config,
        multi_address: false,
        synced: true,
    }
}

fn remove_three() -> ReconfigRequest<'static> {
    let (joining_servers, leaving_servers) = (Some("server.4=d:1:2;3"), Some("3"));
    ReconfigRequest { joining_servers, leaving_servers, new_members: None, cur_config_id: -1 }
}

impl Case {
    fn txn(&self, request: &ReconfigRequest<'_>) -> Txn {
        let mut prep = Prep::new(self.options.clone(), &self.database);
        let requester = Requester {
            session: SessionId(7),
            cxid: 5,
            identities: &self.identities,
            allowed: self.allowed,
            allowed_ephemerals: Ok(()),
        };
        let facts = ReconfigFacts {
            active: &self.active,
            last_seen: &self.last_seen,
            standalone_enabled: true,
            multi_address: self.multi_address,
            is_quorum_synced: &|config| {
                assert_eq!(config.version, 0x1_0000_0005);
                self.synced
            },
        };
        let (zxid, now) = (Zxid(0x1_0000_0005), WallMs(1000));
        let txn = prep.prepare_reconfig(&self.database, now, zxid, &requester, request, &facts);
        let is_recorded = prep.outstanding_changes() == 1;
        assert_eq!(is_recorded, txn.header().op == OpCode::Reconfig, "{txn:?}");
        txn
    }

    fn error(&self, request: &ReconfigRequest<'_>) -> Option<ErrorCode> {
        let txn = self.txn(request);
        let TxnBody::Error { err } = txn.body() else { return None };
        assert_eq!(config_of(&txn), Ok(None));
        ErrorCode::from_code(err)
    }
}

/// Each request also breaks all rules that are checked later, so the refusal shows which check comes first.
#[test]
fn what_is_refused_is_refused_in_zookeepers_order() {
    let wrong =
        ReconfigRequest { leaving_servers: Some("1,2,3"), cur_config_id: 9, ..remove_three() };
    let mut case = case();
    (case.identities, case.synced) = (Vec::new(), false);
    case.allowed = Err(SessionExpired);
    case.options.reconfig = false;
    let older = Config { version: 1, ..(*case.active).clone() };
    case.active = Rc::new(older);

    assert_eq!(case.error(&wrong), Some(ReconfigDisabled));
    case.options.reconfig = true;
    assert_eq!(case.error(&wrong), Some(SessionExpired));
    case.allowed = Ok(());
    assert_eq!(case.error(&wrong), Some(ReconfigInProgress));
    case.active = case.last_seen.clone();
    assert_eq!(case.error(&wrong), Some(BadVersion));
    let wrong = ReconfigRequest { cur_config_id: 0x1_0000_0000, ..wrong };
    assert_eq!(case.error(&wrong), Some(BadArguments));
    let right = ReconfigRequest { leaving_servers: Some("3"), ..wrong };
    assert_eq!(case.error(&right), Some(NewConfigNoQuorum));
    case.synced = true;
    assert_eq!(case.error(&right), Some(NoAuth));
    case.options.skip_acl = true;
    assert_eq!(case.error(&right), None);
}

#[test]
fn arguments_that_java_cannot_read_are_a_marshalling_error() {
    let request = ReconfigRequest { leaving_servers: Some("three"), ..remove_three() };
    assert_eq!(case().error(&request), Some(MarshallingError));
    let all = ReconfigRequest { new_members: Some("server.1=a:1:2:observer"), ..remove_three() };
    assert_eq!(case().error(&all), Some(MarshallingError));
}

#[test]
fn several_addresses_of_a_server_are_refused_where_they_are_not_allowed() {
    let two = "server.4=d:1:2|e:1:2;3";
    let joining = ReconfigRequest { joining_servers: Some(two), ..remove_three() };
    let all = ReconfigRequest {
        new_members: Some("server.1=a:1:2;3,server.2=b:1:2|f:1:2;3"),
        ..remove_three()
    };
    let mut case = case();
    assert_eq!(case.error(&joining), Some(BadArguments));
    assert_eq!(case.error(&all), Some(BadArguments));
    case.multi_address = true;
    assert_eq!((case.error(&joining), case.error(&all)), (None, None));
    // A server that has several addresses already keeps them while other servers change.
    let config = format!("{THREE}\n{two}");
    case.active = Rc::new(Config::parse(&config).unwrap());
    (case.last_seen, case.multi_address) = (case.active.clone(), false);
    let leaving = ReconfigRequest { joining_servers: None, ..remove_three() };
    assert_eq!(case.error(&leaving), None);
}

#[test]
fn with_groups_servers_cannot_be_added_or_removed_one_by_one() {
    let mut case = case();
    let groups = format!("{THREE}\ngroup.1=1:2:3");
    case.active = Rc::new(Config::parse(&groups).unwrap());
    case.last_seen = case.active.clone();
    assert_eq!(case.error(&remove_three()), Some(BadArguments));
    let all =
        ReconfigRequest { new_members: Some("server.1=a:1:2,server.2=b:1:2"), ..remove_three() };
    assert_eq!(case.error(&all), None);
}

#[test]
fn a_reconfiguration_sets_the_node_tells_its_watchers_and_answers_the_new_text() {
    let mut case = case();
    let txn = case.txn(&remove_three());
    assert_eq!(txn.header().op, OpCode::Reconfig);
    let text = "server.1=a:1:2:participant;0.0.0.0:3\nserver.2=b:1:2:participant;0.0.0.0:3\n\
                server.4=d:1:2:participant;0.0.0.0:3\nversion=100000005";
    let TxnBody::SetData(body) = txn.body() else { panic!("{txn:?}") };
    assert_eq!((body.path, body.version), (Some(CONFIG_PATH), -1));
    assert_eq!(body.data, Some(text.as_bytes()));
    assert_eq!(config_of(&txn).unwrap().unwrap().to_text(), text);

    case.database.watches_mut().add(CONFIG_PATH, ConnectionId(1), WatchKind::Data).unwrap();
    let before = case.database.digest();
    let mut fired: Vec<Fired> = Vec::new();
    let applied = case.database.apply(&txn, &mut fired);
    assert_eq!((fired[0].event, &*fired[0].path), (EventType::NodeDataChanged, CONFIG_PATH));
    // Everything below /zookeeper is the server's own and not part of the digest.
    assert_eq!(case.database.digest(), before);
    assert_eq!(txn.digest_after().unwrap().tree_digest, before);
    let mut reply = Vec::new();
    assert_eq!(finish::reply(&txn, &applied, &mut reply), Ok(()));
    let reply = GetDataResponse::from_bytes(&reply).unwrap();
    assert_eq!(reply.data, Some(text.as_bytes()));
    let stat = reply.stat;
    assert_eq!((stat.version, stat.mzxid, stat.mtime), (-1, Zxid(0x1_0000_0005), 1000));
    assert_eq!(case.database.node(CONFIG_PATH).unwrap().data(), Some(text.as_bytes()));
    assert_eq!(stat.data_length, i32::try_from(text.len()).unwrap());
}
