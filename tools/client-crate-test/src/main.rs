//! Runs the `zookeeper-client` crate against a server. Usage: `client-crate-test HOST:PORT`; and with further arguments,
//! see `secure.rs`, to make one node over TLS or after a login.
//!
//! One line per use; panics at the first that goes wrong. It is the only common client that sends
//! multiRead requests and reads the zxid of an event. The server must be fresh, allow TTL nodes and
//! reap containers.

mod secure;

use std::env;
use std::error::Error as StdError;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use zookeeper_client::{
    Acl, Acls, AddWatchMode, AuthId, Client, CreateMode, CreateOptions, Error, EventType,
    LockPrefix, MultiReadResult, MultiWriteError, MultiWriteResult, Permission, SessionState,
    WatchedEvent,
};

type Outcome = Result<(), Box<dyn StdError>>;

const LIMIT: Duration = Duration::from_secs(20);

fn open(mode: CreateMode) -> CreateOptions<'static> {
    mode.with_acls(Acls::anyone_all())
}

async fn connect(address: &str) -> Result<Client, Error> {
    Client::connector().with_session_timeout(Duration::from_secs(5)).connect(address).await
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Outcome {
    let address = env::args().nth(1).ok_or("usage: client-crate-test HOST:PORT")?;
    if env::args().len() > 2 {
        return secure::make_node(&address, env::args().skip(2)).await;
    }
    nodes(&address).await?;
    println!("ok nodes");
    kinds(&address).await?;
    println!("ok kinds of nodes");
    multi_write(&address).await?;
    println!("ok multi");
    multi_read(&address).await?;
    println!("ok multi read");
    one_time_watches(&address).await?;
    println!("ok one-time watches");
    persistent_watches(&address).await?;
    println!("ok persistent watches");
    access_control(&address).await?;
    println!("ok access control");
    locks(&address).await?;
    println!("ok locks");
    sessions(&address).await?;
    println!("ok sessions");
    Ok(())
}

async fn nodes(address: &str) -> Outcome {
    let client = connect(address).await?;
    let (created, sequence) =
        client.create("/nodes", b"one", &open(CreateMode::Persistent)).await?;
    assert_eq!((created.version, created.czxid, sequence.into_i64()), (0, created.mzxid, -1));
    assert_eq!(client.get_data("/nodes").await?, (b"one".to_vec(), created));
    assert_eq!(client.check_stat("/nodes").await?, Some(created));
    assert_eq!(client.check_stat("/none").await?, None);
    let written = client.set_data("/nodes", b"two", Some(0)).await?;
    assert_eq!((written.version, written.czxid), (1, created.czxid));
    assert!(written.mzxid > created.mzxid);
    let twice = client.create("/nodes", b"", &open(CreateMode::Persistent)).await;
    assert_eq!(twice.err(), Some(Error::NodeExists));
    assert_eq!(client.set_data("/nodes", b"", Some(0)).await.err(), Some(Error::BadVersion));
    assert_eq!(client.delete("/none", None).await.err(), Some(Error::NoNode));
    client.mkdir("/nodes/a/b/c", &open(CreateMode::Persistent)).await?;
    assert_eq!(client.delete("/nodes/a", None).await.err(), Some(Error::NotEmpty));
    assert_eq!(client.count_descendants_number("/nodes").await?, 3);
    assert_eq!(client.list_children("/nodes").await?, ["a"]);
    let (children, stat) = client.get_children("/nodes").await?;
    assert_eq!((children, stat.num_children, stat.cversion), (vec!["a".to_owned()], 1, 1));
    let inner = client.clone().chroot("/nodes/a").map_err(|_| "the chroot is refused")?;
    assert_eq!(inner.list_children("/").await?, ["b"]);
    client.sync("/").await?;
    let (config, _) = client.get_config().await?;
    assert!(config.is_empty(), "a lone server's configuration: {config:?}");

    // Requests are on their way together, and are carried out in their order.
    let writes: Vec<_> =
        (0..200u32).map(|number| client.set_data("/nodes", &number.to_be_bytes(), None)).collect();
    let read = client.get_data("/nodes");
    let mut version = 1;
    for write in writes {
        version += 1;
        assert_eq!(write.await?.version, version);
    }
    assert_eq!(read.await?.0, 199u32.to_be_bytes());
    Ok(())
}

async fn kinds(address: &str) -> Outcome {
    let client = connect(address).await?;
    client.create("/kinds", b"", &open(CreateMode::Persistent)).await?;
    for expected in 0..3 {
        let (_, sequence) =
            client.create("/kinds/s-", b"", &open(CreateMode::PersistentSequential)).await?;
        assert_eq!(sequence.into_i64(), expected);
    }
    let mortal = connect(address).await?;
    let (stat, _) = mortal.create("/kinds/e", b"", &open(CreateMode::Ephemeral)).await?;
    assert_eq!(stat.ephemeral_owner, mortal.session_id().0);
    assert_eq!(mortal.list_ephemerals("/kinds").await?, ["/kinds/e"]);
    let child = client.create("/kinds/e/child", b"", &open(CreateMode::Persistent)).await;
    assert_eq!(child.err(), Some(Error::NoChildrenForEphemerals));
    drop(mortal);
    gone(&client, "/kinds/e").await?;

    let brief = open(CreateMode::Persistent).with_ttl(Duration::from_millis(300));
    client.create("/kinds/ttl", b"", &brief).await?;
    client.create("/kinds/box", b"", &open(CreateMode::Container)).await?;
    client.create("/kinds/box/child", b"", &open(CreateMode::Persistent)).await?;
    client.delete("/kinds/box/child", None).await?;
    gone(&client, "/kinds/ttl").await?;
    gone(&client, "/kinds/box").await
}

async fn gone(client: &Client, path: &str) -> Outcome {
    let begun = Instant::now();
    while client.check_stat(path).await?.is_some() {
        assert!(begun.elapsed() < LIMIT, "{path} is still there");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn multi_write(address: &str) -> Outcome {
    let client = connect(address).await?;
    client.create("/multi", b"0", &open(CreateMode::Persistent)).await?;
    let mut writer = client.new_multi_writer();
    writer.add_check_version("/multi", 0)?;
    writer.add_create("/multi/a", b"a", &open(CreateMode::Persistent))?;
    writer.add_set_data("/multi", b"1", Some(0))?;
    writer.add_delete("/multi/a", None)?;
    let results = writer.commit().await?;
    assert!(matches!(
        &results[..],
        [
            MultiWriteResult::Check,
            MultiWriteResult::Create { path, stat },
            MultiWriteResult::SetData { stat: after },
            MultiWriteResult::Delete,
        ] if path == "/multi/a" && stat.czxid == after.mzxid && after.version == 1
    ));

    let mut writer = client.new_multi_writer();
    writer.add_create("/multi/b", b"", &open(CreateMode::Persistent))?;
    writer.add_delete("/multi", Some(7))?;
    let failure = writer.commit().await.err();
    let expected = MultiWriteError::OperationFailed { index: 1, source: Error::BadVersion };
    assert_eq!(failure, Some(expected));
    assert_eq!(client.check_stat("/multi/b").await?, None, "rolled back");
    assert_eq!(client.new_multi_writer().commit().await?.len(), 0);
    Ok(())
}

async fn multi_read(address: &str) -> Outcome {
    let client = connect(address).await?;
    client.create("/read", b"data", &open(CreateMode::Persistent)).await?;
    client.create("/read/child", b"", &open(CreateMode::Persistent)).await?;
    let mut reader = client.new_multi_reader();
    reader.add_get_data("/read")?;
    reader.add_get_data("/none")?;
    reader.add_get_children("/read")?;
    let results = reader.commit().await?;
    assert!(matches!(
        &results[..],
        [
            MultiReadResult::Data { data, .. },
            MultiReadResult::Error { err: Error::NoNode },
            MultiReadResult::Children { children },
        ] if data == b"data" && children == &["child"]
    ));
    Ok(())
}

async fn one_time_watches(address: &str) -> Outcome {
    let (client, writer) = (connect(address).await?, connect(address).await?);
    let (_, created) = client.check_and_watch_stat("/watched").await?;
    let (stat, _) = writer.create("/watched", b"", &open(CreateMode::Persistent)).await?;
    expect(
        timeout(LIMIT, created.changed()).await?,
        EventType::NodeCreated,
        "/watched",
        stat.czxid,
    );

    let (_, _, changed) = client.get_and_watch_data("/watched").await?;
    let stat = writer.set_data("/watched", b"x", None).await?;
    let event = timeout(LIMIT, changed.changed()).await?;
    expect(event, EventType::NodeDataChanged, "/watched", stat.mzxid);

    let (_, _, children) = client.get_and_watch_children("/watched").await?;
    let (stat, _) = writer.create("/watched/c", b"", &open(CreateMode::Persistent)).await?;
    let event = timeout(LIMIT, children.changed()).await?;
    expect(event, EventType::NodeChildrenChanged, "/watched", stat.czxid);

    let (_, _, removed) = client.get_and_watch_data("/watched").await?;
    let (_, _, kept) = client.get_and_watch_data("/watched").await?;
    drop(removed);
    let stat = writer.set_data("/watched", b"y", None).await?;
    let event = timeout(LIMIT, kept.changed()).await?;
    expect(event, EventType::NodeDataChanged, "/watched", stat.mzxid);
    Ok(())
}

async fn persistent_watches(address: &str) -> Outcome {
    let (client, writer) = (connect(address).await?, connect(address).await?);
    let mut node = client.watch("/lasting", AddWatchMode::Persistent).await?;
    let mut tree = client.watch("/lasting", AddWatchMode::PersistentRecursive).await?;
    let (stat, _) = writer.create("/lasting", b"", &open(CreateMode::Persistent)).await?;
    let (child, _) = writer.create("/lasting/c", b"", &open(CreateMode::Persistent)).await?;
    let written = writer.set_data("/lasting/c", b"x", None).await?;
    let own = writer.set_data("/lasting", b"x", None).await?;
    let for_node = [
        (EventType::NodeCreated, "/lasting", stat.czxid),
        (EventType::NodeChildrenChanged, "/lasting", child.czxid),
        (EventType::NodeDataChanged, "/lasting", own.mzxid),
    ];
    for (kind, path, zxid) in for_node {
        expect(timeout(LIMIT, node.changed()).await?, kind, path, zxid);
    }
    let for_tree = [
        (EventType::NodeCreated, "/lasting", stat.czxid),
        (EventType::NodeCreated, "/lasting/c", child.czxid),
        (EventType::NodeDataChanged, "/lasting/c", written.mzxid),
        (EventType::NodeDataChanged, "/lasting", own.mzxid),
    ];
    for (kind, path, zxid) in for_tree {
        expect(timeout(LIMIT, tree.changed()).await?, kind, path, zxid);
    }
    // Dropped watches are removed from the server as well.
    drop((node, tree));
    writer.delete("/lasting/c", None).await?;
    client.sync("/").await?;
    Ok(())
}

fn expect(event: WatchedEvent, kind: EventType, path: &str, zxid: i64) {
    assert_eq!((event.event_type, &event.path[..], event.zxid), (kind, path, zxid));
}

async fn access_control(address: &str) -> Outcome {
    let alice = Client::connector().with_auth("digest", b"alice:secret").connect(address).await?;
    let stranger = connect(address).await?;
    let private = CreateMode::Persistent.with_acls(Acls::creator_all());
    alice.create("/private", b"", &private).await?;
    assert_eq!(stranger.get_data("/private").await.err(), Some(Error::NoAuth));
    let (acls, _) = alice.get_acl("/private").await?;
    let hash = "alice:aYXlLOpEooaV1cRAvUL1fp9Qt7E=";
    let mine = Acl::new(Permission::ALL, AuthId::new("digest", hash));
    assert_eq!(acls, std::slice::from_ref(&mine));
    let shared = [mine, Acl::new(Permission::READ, AuthId::anyone())];
    let stat = alice.set_acl("/private", &shared, Some(0)).await?;
    assert_eq!(stat.aversion, 1);
    stranger.get_data("/private").await?;
    assert_eq!(stranger.set_data("/private", b"", None).await.err(), Some(Error::NoAuth));
    stranger.auth("digest", b"alice:secret").await?;
    stranger.set_data("/private", b"", None).await?;
    let mut users: Vec<String> = stranger
        .list_auth_users()
        .await?
        .iter()
        .map(|user| format!("{}:{}", user.scheme(), user.user()))
        .collect();
    users.sort();
    assert_eq!(users, ["digest:alice", "ip:127.0.0.1"]);
    let nobody = connect(address).await?;
    assert_eq!(nobody.auth("nonsense", b"x").await.err(), Some(Error::AuthFailed));
    Ok(())
}

async fn locks(address: &str) -> Outcome {
    let (one, other) = (connect(address).await?, connect(address).await?);
    one.create("/locks", b"", &open(CreateMode::Persistent)).await?;
    let held =
        one.lock(LockPrefix::new_curator("/locks", "lock-")?, b"", Acls::anyone_all()).await?;
    let waiting = other.lock(LockPrefix::new_curator("/locks", "lock-")?, b"", Acls::anyone_all());
    let mut waiting = Box::pin(waiting);
    assert!(timeout(Duration::from_millis(300), &mut waiting).await.is_err(), "held twice");
    held.create("/locks-guarded", b"", &open(CreateMode::Persistent)).await?;
    drop(held);
    let next = timeout(LIMIT, waiting).await??;
    next.delete("/locks-guarded", None).await?;
    Ok(())
}

async fn sessions(address: &str) -> Outcome {
    // tickTime is 500 ms, and a session lasts two to twenty of them. (Fewer are not asked for: this
    // client gives up connecting after the time that it asks for.)
    for (asked_ms, given_ms) in [(4_000, 4_000), (60_000, 10_000)] {
        let timeout = Duration::from_millis(asked_ms);
        let client = Client::connector().with_session_timeout(timeout).connect(address).await?;
        assert_eq!(client.session_timeout(), Duration::from_millis(given_ms));
    }
    let timeout = Duration::from_secs(2);
    let client = Client::connector().with_session_timeout(timeout).connect(address).await?;
    // Nothing is asked for two timeouts: pings keep it alive.
    sleep(2 * timeout).await;
    assert_eq!(client.state(), SessionState::SyncConnected);

    // Detached: the session outlives its client, and another one takes it over.
    let first = Client::connector()
        .with_session_timeout(Duration::from_secs(5))
        .with_detached()
        .connect(address)
        .await?;
    first.create("/session", b"", &open(CreateMode::Ephemeral)).await?;
    let session = first.session().clone();
    drop(first);
    let second = Client::connector().with_session(session.clone()).connect(address).await?;
    assert_eq!(second.session_id(), session.id());
    assert_eq!(second.list_ephemerals("/session").await?, ["/session"]);
    drop(second);
    let observer = connect(address).await?;
    gone(&observer, "/session").await?;
    let expired = Client::connector().with_session(session).connect(address).await;
    assert_eq!(expired.err(), Some(Error::SessionExpired));
    Ok(())
}
